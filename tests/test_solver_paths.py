"""Every way from a Pyomo model to a solver: refused loudly before, right after."""

import io

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from tests.networks import chain
from tests.truth import solve

SOLVERS = [
    "appsi_highs",
    "highs",
    "gurobi",
    "gurobi_direct",
    "gurobi_persistent",
    "gurobi_direct_v2",
    "gurobi_persistent_v2",
    "appsi_gurobi",
    "scip_direct",
    "scip_persistent",
]


def model():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain([2, 6, 6, 1]), inputs=m.x)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    return m


def best_on_grid(m):
    axis = np.linspace(-1, 1, 401)
    X = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    return m.nn.network.forward(X).min()


def available(name):
    opt = pyo.SolverFactory(name)
    if not opt.available(exception_flag=False):
        pytest.skip(f"{name} is not installed")
    return opt


@pytest.mark.parametrize("name", SOLVERS)
def test_untransformed_block_is_refused(name):
    m = model()
    opt = available(name)
    with pytest.raises(Exception) as caught:
        if name == "gurobi_persistent":
            opt.set_instance(m)
        opt.solve(m)
    text = f"{type(caught.value).__name__} {caught.value}".lower()
    assert any(word in text for word in ("degree", "linear", "support", "expression"))


def test_untransformed_block_is_right_for_an_minlp_solver():
    m = model()
    available("gurobi_direct_minlp")
    best = best_on_grid(m)
    assert solve(m, "gurobi_direct_minlp", tolerance=1e-5) <= best + 1e-6


@pytest.mark.parametrize("name", SOLVERS)
def test_bigm_is_right(name):
    m = model()
    available(name)
    best = best_on_grid(m)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    optimum = solve(m, name)
    assert best - 0.02 <= optimum <= best + 1e-6


@pytest.mark.parametrize("format", ["lp", "mps"])
def test_writers_refuse_the_untransformed_block(format, tmp_path):
    with pytest.raises((ValueError, RuntimeError)):
        model().write(str(tmp_path / f"m.{format}"), format=format)


@pytest.mark.parametrize("format", ["lp", "mps"])
def test_written_files_solve_to_the_same_optimum(format, tmp_path):
    import highspy

    m = model()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    path = tmp_path / f"m.{format}"
    m.write(str(path), format=format, io_options={"symbolic_solver_labels": True})
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    h.readModel(str(path))
    h.run()
    assert h.getInfo().objective_function_value == pytest.approx(
        solve(m), rel=1e-6, abs=1e-6
    )


def test_nl_writer_accepts_both():
    m = model()
    from pyomo.repn.plugins.nl_writer import NLWriter

    NLWriter().write(m, io.StringIO(), io.StringIO(), io.StringIO())
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    NLWriter().write(m, io.StringIO(), io.StringIO(), io.StringIO())


def test_names_in_lp_files_are_readable_and_reproducible(tmp_path):
    texts = []
    for run in range(2):
        m = model()
        pyo.TransformationFactory("relu.bigm").apply_to(m)
        path = tmp_path / f"{run}.lp"
        m.write(str(path), io_options={"symbolic_solver_labels": True})
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    assert "nn_pre(0_3)" in texts[0] and "nn_post(1_5)" in texts[0]
