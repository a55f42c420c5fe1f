"""The truth test: solve, then ask onnxruntime what the network gives at the solution."""

import functools

import numpy as np
import onnxruntime
import pyomo.environ as pyo

import pyomo_relu
from pyomo_relu.block.block import ReLUNetworkBlockData


@functools.lru_cache(maxsize=32)
def session(path):
    """An onnxruntime session of a file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def run_onnx(path, x):
    """Flat outputs of a single-input ONNX file at the flat point ``x``."""
    s = session(str(path))
    (tensor,) = s.get_inputs()
    shape = [n if isinstance(n, int) else 1 for n in tensor.shape]
    dtype = {"tensor(double)": np.float64, "tensor(float16)": np.float16}.get(
        tensor.type, np.float32
    )
    results = s.run(None, {tensor.name: np.reshape(x, shape).astype(dtype)})
    return np.concatenate([np.ravel(r).astype(float) for r in results])


def network_blocks(model):
    """All active network blocks of a model."""
    return [
        b
        for b in model.component_data_objects(pyo.Block, active=True)
        if isinstance(b, ReLUNetworkBlockData)
    ]


def solve(model, solver="appsi_highs", tolerance=1e-6, **options):
    """Solve to optimality, check every network by its forward pass; the objective.

    ``tolerance`` is relative to the size of the outputs.
    """
    results = _solver(solver, model).solve(model, **options)
    pyo.assert_optimal_termination(results)
    for block in network_blocks(model):
        size = max(1.0, max(abs(v.value) for v in block.output_vars()))
        assert block.forward_error() <= tolerance * size, block.summary()
    (objective,) = model.component_data_objects(pyo.Objective, active=True)
    return pyo.value(objective)


def _solver(name, model):
    opt = pyo.SolverFactory(name)
    if name == "gurobi_persistent":
        opt.set_instance(model)
    return opt


def check_against_onnx(block, path, tolerance=1e-4):
    """Compare a solved block with onnxruntime (float32) on its ONNX file."""
    x = [v.value for v in block.input_vars()]
    y = np.array([v.value for v in block.output_vars()])
    truth = run_onnx(path, x)
    assert np.max(np.abs(y - truth)) <= tolerance * max(1.0, np.max(np.abs(truth)))


def optimise(network, box, sense, output=0, formulation="relu.bigm", solver="highs"):
    """Optimum of one output over a box, by a formulation and a solver.

    Returns
    -------
    (float, model)
    """
    m = pyo.ConcreteModel()
    m.nn = pyomo_relu.ReLUNetworkBlock(network=network)
    lower, upper = (
        np.broadcast_to(box[0], m.nn.network.n_inputs),
        np.broadcast_to(box[1], m.nn.network.n_inputs),
    )
    for var, lo, hi in zip(
        m.nn.input_vars(), lower.tolist(), upper.tolist(), strict=True
    ):
        var.setlb(lo)
        var.setub(hi)
    m.objective = pyo.Objective(expr=m.nn.output_vars()[output], sense=sense)
    pyo.TransformationFactory(formulation).apply_to(m)
    return solve(m, solver), m
