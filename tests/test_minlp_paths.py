"""What each of Pyomo's solver paths takes where the model around a network is nonlinear."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.transform.parts.solver_paths import MINLP_PATHS, WAYS, minlp_table
from tests.networks import chain
from tests.paths import ROOT
from tests.truth import solve

NETWORK = chain([2, 4, 1], seed=2)

#: What is added to the network's output, by the kind of the model around it.
TERMS = {
    "linear": {"sum": lambda a, b, exp: 0.5 * a + b},
    "quadratic": {
        "convex": lambda a, b, exp: a**2 + b**2,
        "bilinear": lambda a, b, exp: a * b,
    },
    "general": {
        "exp": lambda a, b, exp: exp(a) * b,
        "power": lambda a, b, exp: (a + 1.5) ** 0.6 * b,
    },
}
CASES = [(kind, name) for kind, terms in TERMS.items() for name in terms]


def model(term, in_objective):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1), initialize=0.2)
    m.nn = ReLUNetworkBlock(network=NETWORK, inputs=m.x)
    expr = term(m.x[0], m.x[1], pyo.exp)
    if not in_objective:
        m.t = pyo.Var(bounds=(-5, 5))
        m.row = pyo.Constraint(expr=m.t == expr)
        expr = m.t
    m.objective = pyo.Objective(expr=m.nn.outputs[0] + 0.3 * expr)
    return m


def best_on_grid(term):
    axis = np.linspace(-1, 1, 201)
    a, b = np.meshgrid(axis, axis)
    y = NETWORK.forward(np.stack([a.ravel(), b.ravel()], axis=1))[:, 0]
    return (y + 0.3 * term(a.ravel(), b.ravel(), np.exp)).min()


@pytest.mark.parametrize("kind, name", CASES)
@pytest.mark.parametrize("path", MINLP_PATHS)
def test_every_path_solves_it_or_refuses_it(path, kind, name):
    """``MINLP_PATHS`` is what happens; nothing is dropped silently."""
    if not pyo.SolverFactory(path).available(exception_flag=False):
        pytest.skip(f"{path} is not installed")
    term = TERMS[kind][name]
    best = best_on_grid(term)
    for way, transformation in WAYS.items():
        # a nonlinear objective is one of another kind of row for some interfaces
        for in_objective in (False, True) if way == "binaries" else (False,):
            m = model(term, in_objective)
            if transformation is not None:
                pyo.TransformationFactory(transformation).apply_to(m)
            if way not in getattr(MINLP_PATHS[path], kind):
                with pytest.raises(Exception, match="."):
                    solve(m, path)
                continue
            if path == "ipopt":
                m.nn.initialize([0.2, 0.2])
            found = solve(m, path, tolerance=5e-3)
            assert found >= best - 0.02
            assert path == "ipopt" or found <= best + 1e-4


def test_the_table_has_every_path_once_and_is_the_one_of_the_documentation():
    table = minlp_table()
    page = ROOT / "docs" / "howto" / "minlp_solvers.md"
    assert table in page.read_text(encoding="utf-8")
    for path in MINLP_PATHS:
        assert table.count(f"`{path}`") == 1
