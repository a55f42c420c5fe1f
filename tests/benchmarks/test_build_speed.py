"""Building a network block and applying relu.bigm, against a floor in the same run.

Run with ``python -m pytest tests/benchmarks --benchmark-only`` (see README).  The floor
is the same model written by hand: one LinearExpression per affine row from Python
floats, the big-M rows, vectorised interval bounds, garbage collection paused.
"""

import gc
import itertools
import time

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.core.expr.numeric_expr import LinearExpression

from benchmarks.other_packages.conversion import omlt_definition
from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.bounds import interval_bounds
from pyomo_relu.common.model_building import pause_garbage_collection

SIZES = [
    (10, 200, 200, 200, 1),
    (100, 500, 500, 1),
    (784, 256, 256, 10),
]


def network(sizes):
    rng = np.random.default_rng(0)
    pairs = list(itertools.pairwise(sizes))
    return Network.sequential(
        [rng.normal(size=(b, a)) * np.sqrt(2 / a) for a, b in pairs],
        [0.1 * rng.normal(size=b) for _, b in pairs],
    )


def floor(net):
    """The same rows written by hand."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(net.n_inputs), bounds=(-1, 1))
    ones = np.ones(net.n_inputs)
    bounds = interval_bounds(net, -ones, ones)
    with pause_garbage_collection():
        previous = list(m.x.values())
        for k, layer in enumerate(net.layers):
            previous = _floor_layer(
                m, k, layer, previous, bounds, k + 1 < len(net.layers)
            )
    return m


def _floor_layer(m, k, layer, previous, bounds, activation):
    rows, rhs = layer.weights[0].tolist(), (-layer.bias).tolist()
    low, high = bounds.lower[k].tolist(), bounds.upper[k].tolist()
    n = range(layer.size)
    v = _vars(m, f"v{k}", n, low, high)
    m.add_component(
        f"affine{k}",
        pyo.Constraint(
            n,
            rule=lambda m, i: (
                LinearExpression(
                    linear_coefs=[*rows[i], -1.0], linear_vars=[*previous, v[i]]
                ),
                rhs[i],
            ),
        ),
    )
    if not activation:
        return v
    x = _vars(m, f"x{k}", n, [0.0] * layer.size, [max(0.0, u) for u in high])
    z = pyo.Var(n, domain=pyo.Binary)
    m.add_component(f"z{k}", z)
    for name, rule in (
        ("above", lambda m, i: x[i] - v[i] >= 0),
        ("active", lambda m, i: x[i] - v[i] - low[i] * z[i] <= -low[i]),
        ("inactive", lambda m, i: x[i] - high[i] * z[i] <= 0),
    ):
        m.add_component(f"{name}{k}", pyo.Constraint(n, rule=rule))
    return x


def _vars(m, name, n, low, high):
    var = pyo.Var(n)
    m.add_component(name, var)
    for v, lo, hi in zip(var.values(), low, high, strict=True):
        v.setlb(lo)
        v.setub(hi)
    return list(var.values())


def ours(net):
    """Block and relu.bigm."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(net.n_inputs), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=net, inputs=m.x)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    return m


def cpu(function, *args, repeat=7):
    """Median CPU seconds, each run starting from a collected heap."""
    times, result = [], None
    for _ in range(repeat):
        result = None
        gc.collect()
        start = time.process_time()
        result = function(*args)
        times.append(time.process_time() - start)
    return float(np.median(times)), result


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_build_and_bigm(benchmark, sizes):
    net = network(sizes)
    ours(net)
    base, _ = cpu(floor, net)
    own, m = cpu(ours, net)
    benchmark.extra_info["ratio to floor (CPU)"] = round(own / base, 2)
    benchmark.extra_info["clone (CPU s)"] = cpu(m.clone, repeat=3)[0]
    benchmark.extra_info["hand-over to HiGHS (CPU s)"] = cpu(_hand_over, m, repeat=3)[0]
    benchmark.pedantic(ours, args=(net,), rounds=3)


def _hand_over(m):
    from pyomo.contrib.appsi.solvers import Highs

    m.del_component("objective")
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    Highs().set_instance(m)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_build_against_omlt(benchmark, sizes):
    omlt = pytest.importorskip("omlt")
    from omlt.neuralnet import ReluBigMFormulation

    net = network(sizes)

    def theirs():
        ends = np.ones(net.n_inputs)
        definition = omlt_definition(net, -ends, ends)
        m = pyo.ConcreteModel()
        m.nn = omlt.OmltBlock()
        m.nn.build_formulation(ReluBigMFormulation(definition))
        return m

    ours(net)
    other, _ = cpu(theirs, repeat=1)
    own, _ = cpu(ours, net)
    benchmark.extra_info["OMLT / ours (CPU)"] = round(other / own, 1)
    benchmark.pedantic(ours, args=(net,), rounds=3)
