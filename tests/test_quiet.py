"""Nothing is printed unless asked for: no solver's banner, no licence, no bars."""

import ast
import subprocess
import sys

import pytest

from tests.paths import ROOT

SOLVE = """
import pyomo.environ as pyo
from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.search import find_point

network = Network.sequential(
    [[[1.0, -1.0], [0.5, 1.0], [-1.0, 0.3]], [[1.0, -2.0, 1.5]]],
    [[0.1, -0.2, 0.3], [0.3]],
)
m = pyo.ConcreteModel()
m.x = pyo.Var([0, 1], bounds=(-1, 1))
m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
m.cost = pyo.Objective(expr=m.nn.outputs[0])
m.row = pyo.Constraint(expr=m.x[0] + m.x[1] >= -0.5)
pyo.TransformationFactory("relu.obbt").apply_to(
    m, relaxation_solver={0!r}, methods=["interval", "lp", "milp"]
)
pyo.TransformationFactory("relu.cells").apply_to(m, relaxation_solver={0!r})
find_point(m, methods=["sample_mip"], time_limit=None, max_rounds=1)
for name in ("relu.branch", "relu.decompose"):
    pyo.SolverFactory(name).solve(m)
pyo.SolverFactory("relu").solve(m, solver={0!r})
"""


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_solvers_print_nothing_in_a_fresh_process(solver):
    if solver == "gurobi":
        pytest.importorskip("gurobipy")
    run = subprocess.run(
        [sys.executable, "-c", SOLVE.replace("{0!r}", repr(solver))],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    assert (run.stdout, run.stderr) == ("", "")


def test_progress_bars_are_those_that_notebooks_show():
    """One module makes bars, by ``tqdm.auto``."""
    found = {}
    for path in (ROOT / "pyomo_relu").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "tqdm" for name in names):
                found[path.name] = names
    assert found == {"progress.py": ["tqdm.auto"]}
