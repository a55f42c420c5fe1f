"""Right arguments of public and other checked functions, and values that are none."""

import importlib

import numpy as np
import pyomo.environ as pyo
from scipy import sparse

from pyomo_relu import Network, ReLUNetworkBlock, example_network
from pyomo_relu.bounds import TighteningOptions, interval_bounds, tighten
from pyomo_relu.bounds.cells.partition import CellPartition
from pyomo_relu.bounds.relaxation.model import EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network.rescale import clip_network
from pyomo_relu.properties import parse_vnnlib
from tests.networks import chain

NETWORK = chain([2, 4, 3, 1], seed=5)
ONE_INPUT = chain([1, 3, 1], seed=2)
BOUNDS = tighten(NETWORK, -1.0, 1.0)[0]
BATCH = -np.ones((2, 2)), np.ones((2, 2))
LAYERS = interval_bounds(NETWORK, -1.0, 1.0)
CEILINGS = [np.full(4, 0.5), np.full(3, np.inf)]
FACTORS = [np.full(4, 2.0), np.full(3, 0.5)]


PROPERTY = """
(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)
(assert (and (>= X_0 -1) (<= X_0 1) (>= X_1 -1) (<= X_1 1) (<= Y_0 100)))
"""


class Odd:
    """An object that is nothing in particular."""

    def __repr__(self):
        return "Odd()"


WRONG = [
    None,
    "nonsense",
    b"x",
    -1,
    0,
    7,
    1.5,
    True,
    float("nan"),
    float("inf"),
    1j,
    [],
    [1],
    [None],
    ["x"],
    [[1, 2], [3]],
    (1, 2, 3),
    {3, 4},
    {},
    {"a": 1},
    {0: "x"},
    np.zeros((0, 2)),
    np.full((2, 2), np.nan),
    np.array([object()]),
    Odd(),
    Odd,
    len,
    Network,
]


def linear_model():
    """Columns x0, x1, y of one network; no rows."""
    free = np.array([np.inf])
    return LinearModel(
        sparse.csr_array((0, 3)),
        np.zeros(0),
        np.zeros(0),
        np.concatenate([-np.ones(2), -free]),
        np.concatenate([np.ones(2), free]),
    )


def block_of_two_inputs():
    """A model and its block."""
    m = block_model()
    return m, m.nn


def block_model():
    """A model with one network block."""
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=NETWORK)
    for var in m.nn.input_vars():
        var.setlb(-1)
        var.setub(1)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    return m


def _box(**more):
    return {"network": NETWORK, "lower": -1.0, "upper": 1.0, **more}


def _batch(**more):
    return {"network": NETWORK, "lower": BATCH[0], "upper": BATCH[1], **more}


def _lines(**more):
    lists = [
        [np.tile(a, (2, 1)) for a in side] for side in (LAYERS.lower, LAYERS.upper)
    ]
    return _batch(lowers=lists[0], uppers=lists[1], **more)


def _cells():
    partition = CellPartition(BOUNDS)
    partition.refine(4)
    return partition


#: {module: {name: right arguments, made anew for each call}}.  Records that functions
#: return are left out.
RIGHT = {
    "pyomo_relu": {
        "example_network": lambda: {"name": "peaks_2x20"},
        "example_networks": dict,
        "verify": lambda: {
            "onnx": example_network("peaks_2x10_seed0"),
            "vnnlib": parse_vnnlib(PROPERTY),
            "time_limit": 5.0,
            "progress": False,
            "seed": 0,
        },
        "read_vnnlib": lambda: {
            **dict(zip(("m", "block"), block_of_two_inputs(), strict=True)),
            "path": parse_vnnlib(PROPERTY),
        },
        "Layer": lambda: {
            "sources": [(-1, True)],
            "weights": [np.ones((2, 2))],
            "bias": [0.0, 1.0],
            "activation": "clipped",
            "ceiling": [1.0, 2.0],
            "name": "layer",
        },
        "Network": lambda: {
            "layers": NETWORK.layers,
            "inputs": [("x", (2,))],
            "outputs": [("y", (1,))],
            "name": "network",
        },
        "Network.sequential": lambda: {
            "weights": [np.ones((3, 2)), np.ones((1, 3))],
            "biases": [np.zeros(3), np.zeros(1)],
            "ceilings": [1.0],
            "name": "network",
        },
        "NeuronBounds": lambda: {
            "network": NETWORK,
            "lower": LAYERS.lower,
            "upper": LAYERS.upper,
            "source": "given",
            "input_lower": -np.ones(2),
            "input_upper": np.ones(2),
        },
        "load_onnx": lambda: {
            "source": "nowhere.onnx",
            "output": None,
            "input_shapes": None,
            "check": True,
        },
        "register_operator": lambda: {
            "op_type": "NotAnOperator",
            "function": len,
            "domain": "test",
        },
    },
    "pyomo_relu.network": {
        "Budget": lambda: {"elements": 1e6, "nodes": 1e3, "seconds": 5.0},
        "reduce_network": lambda: {"network": NETWORK, "bounds": BOUNDS},
        "clip_network": lambda: {"network": NETWORK, "ceilings": CEILINGS},
        "l1_factors": lambda: {"network": NETWORK, "max_sweeps": 5},
        "max_factors": lambda: {"network": NETWORK, "max_sweeps": 5},
        "rescale_network": lambda: {"network": NETWORK, "factors": FACTORS},
    },
    "pyomo_relu.bounds": {
        "crown_bounds": lambda: _box(start=BOUNDS, alpha_steps=1),
        "split_bounds": lambda: _box(
            max_cells=4, time_limit=1.0, start=BOUNDS, neurons="all", tolerance=0.1
        ),
        "tighten": lambda: _box(
            methods=["interval", "crown"],
            start=BOUNDS,
            time_limit=1.0,
            solver="highs",
            executor=None,
            max_cells=4,
            alpha_steps=1,
            window=1,
            solve_limit=1.0,
            progress=None,
        ),
        "interval_bounds": lambda: _box(),
        "lp_obbt": lambda: {
            "network": NETWORK,
            "bounds": BOUNDS,
            "options": TighteningOptions(),
            "neurons": None,
            "time_limit": 1.0,
        },
        "milp_obbt": lambda: {
            "network": NETWORK,
            "bounds": BOUNDS,
            "options": TighteningOptions(window=1),
            "neurons": None,
            "time_limit": 1.0,
        },
        "TighteningOptions": lambda: {
            "executor": None,
            "stop_at_sign": False,
            "recompute_lost": True,
            "progress": None,
            "chunk_size": 16,
            "filter_tolerance": 1e-8,
            "aggressive_filter": False,
            "window": 1,
            "solve_limit": 1.0,
        },
    },
    "pyomo_relu.search": {
        "minimise_over_box": lambda: _box(
            costs=[1.0],
            n_starts=2,
            steps=2,
            seed=0,
            start=[0.0, 0.0],
            input_costs=[0.0, 0.0],
            walks=1,
        ),
        "find_point": lambda: {
            "model": block_model(),
            "methods": ["samples"],
            "time_limit": 0.05,
            "seed": 0,
            "progress": False,
            "start": [[0.0, 0.0]],
            "max_rounds": 1,
            "rounds": None,
            "stop_at": 0.0,
            "nlp_solver": None,
        },
    },
    "pyomo_relu.analysis": {
        "big_m_statistics": lambda: {"bounds": {"all": BOUNDS}},
        "stability": lambda: {"bounds": {"all": BOUNDS}},
        "critical_neurons": lambda: {
            "bounds": BOUNDS,
            "weights": [1.0],
            "share": 0.5,
        },
        "count_regions": lambda: _box(
            bounds=BOUNDS,
            method="auto",
            max_regions=50,
            time_limit=1.0,
            n_samples=20,
            rational=False,
            seed=0,
        ),
        "lagrangian_bound": lambda: {
            "networks": [NETWORK, NETWORK],
            "lower": -1.0,
            "upper": 1.0,
            "weights": [0.5, 0.5],
            "neuron_bounds": [BOUNDS, BOUNDS],
            "rows": None,
            "iterations": 1,
            "tolerance": 1e-3,
            "multipliers": np.zeros((2, 2)),
            "solver": "highs",
            "solve_limit": 5.0,
            "time_limit": 5.0,
            "executor": None,
        },
        "measure_effort": lambda: {
            "model": block_model(),
            "transformations": ["relu.bigm"],
            "solver": "highs",
            "time_limit": 5.0,
            "work_limit": None,
            "mip_gap": 1e-4,
            "seed": 0,
            "threads": 1,
            "relaxation": False,
        },
    },
    "pyomo_relu.transform": {
        "use_native_constraints": lambda: {
            "opt": None,
            "model": block_model(),
            "kind": "max",
        },
    },
    "pyomo_relu.bounds.cells.partition": {
        "CellPartition": lambda: {"bounds": BOUNDS, "rows": None},
    },
    "pyomo_relu.bounds.cells.pieces": {
        "affine_pieces": lambda: {
            "bounds": interval_bounds(ONE_INPUT, -1, 1),
            "max_cells": 9,
            "rows": None,
        },
    },
    "pyomo_relu.bounds.cells.refinement": {
        "CellRefinement": lambda: {
            "linear": linear_model(),
            "costs": np.array([0.0, 0.0, 1.0]),
            "networks": [(_cells(), np.array([0, 1]), np.array([2]), 8)],
            "solver": "highs",
        },
    },
    "pyomo_relu.bounds.cells.relaxation": {
        "output_terms": lambda: {"cells": _cells()},
    },
    "pyomo_relu.bounds.clipping": {
        "clipped_bounds": lambda: {"bounds": BOUNDS, "ceilings": CEILINGS},
        "difference_network": lambda: {"first": NETWORK, "second": NETWORK},
        "output_movement": lambda: {
            "bounds": BOUNDS,
            "clipped": interval_bounds(clip_network(NETWORK, CEILINGS), -1, 1),
        },
    },
    "pyomo_relu.bounds.crown.crown": {
        "crown_batch": lambda: _batch(start=BOUNDS, alpha_steps=1, unstable_only=True),
        "layer_lines": lambda: _lines(k=1),
        "output_lines": lambda: _lines(),
    },
    "pyomo_relu.bounds.crown.interval": {
        "interval_batch": lambda: _batch(),
    },
    "pyomo_relu.bounds.refute": {
        "attained_range": lambda: {
            "bounds": BOUNDS,
            "claims": {(0, 0): (-9.0, 9.0)},
            "time_limit": 1.0,
        },
    },
    "pyomo_relu.bounds.relaxation.cuts": {
        "CutRounds": lambda: {
            "linear": linear_model(),
            "costs": np.array([0.0, 0.0, 1.0]),
            "networks": [(BOUNDS, np.array([0, 1]), np.array([2]))],
            "solver": "highs",
        },
    },
    "pyomo_relu.bounds.relaxation.model": {
        "EmbeddedNetwork": lambda: {
            "network": NETWORK,
            "inputs": [0, 1],
            "outputs": [2],
            "name": "nn",
        },
    },
    "pyomo_relu.bounds.model_tightening": {
        "tighten_model": lambda: {
            "model": linear_model(),
            "networks": [EmbeddedNetwork(NETWORK, [0, 1], [2])],
            "cutoff": None,
            "methods": ["interval", "crown"],
            "time_limit": 1.0,
            "solver": "highs",
            "alpha_steps": 1,
        },
    },
    "pyomo_relu.common.deadline": {
        "Deadline": lambda: {"seconds": 1.0},
    },
    "pyomo_relu.linear.model": {
        "LinearModel": lambda: {
            "matrix": sparse.csr_array(np.ones((1, 2))),
            "row_lower": [0.0],
            "row_upper": [1.0],
            "lower": [0.0, 0.0],
            "upper": [1.0, 1.0],
            "integer": None,
            "names": None,
        },
    },
    "pyomo_relu.network.rescale": {
        "l1_norm": lambda: {"network": NETWORK},
        "power_of_two": lambda: {"factors": FACTORS, "up": None},
    },
    "pyomo_relu.search.methods.ascent": {
        "value_and_gradient": lambda: {
            "network": NETWORK,
            "X": np.zeros((3, 2)),
            "costs": [1.0],
        },
    },
    "pyomo_relu.search.completion": {
        "polish": lambda: {"surrounding": None, "points": [[0.0, 0.0]]},
    },
}


def public(module, name):
    """The function of that name, "Class.method" included."""
    thing = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing
