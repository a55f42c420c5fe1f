"""The history of a run: bound and incumbent over time, in the modeller's sense."""

import copy
import io
import itertools
import math
import pickle

import pyomo.environ as pyo
import pytest
from pyomo.opt import SolverResults

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.interface.results import HistoryEntry
from tests.networks import chain

SOLVERS = ("relu", "relu.branch", "relu.decompose")


def model(sense=pyo.minimize, scale=1.0, parts=1):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(parts), [0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        range(parts),
        network=chain([2, 8, 8, 1], seed=3),
        inputs=lambda m, p: [m.x[p, 0], m.x[p, 1]],
    )
    total = sum(m.nn[p].outputs[0] for p in range(parts))
    m.cost = pyo.Objective(expr=scale * total + 5 * scale, sense=sense)
    return m


def check(results, sense):
    """Never worse than before, bound on its side, and the outcome as the last entry."""
    history = results.history
    assert history and all(isinstance(entry, HistoryEntry) for entry in history)
    sign = 1 if sense == pyo.minimize else -1
    size = 1e-9 * max(1.0, abs(history[-1].incumbent))
    for a, b in itertools.pairwise(history):
        assert 0 <= a.seconds <= b.seconds + 1e-9
        assert sign * a.bound <= sign * b.bound + size or math.isinf(a.bound)
        assert sign * b.incumbent <= sign * a.incumbent + size
    for entry in history:
        assert sign * entry.bound <= sign * history[-1].incumbent + size
    problem = results.problem
    ends = (history[-1].bound, history[-1].incumbent)
    assert ends[::sign] == (problem.lower_bound, problem.upper_bound)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("solver", SOLVERS)
def test_history_of_every_solver_and_sense(solver, sense):
    m = model(sense)
    results = pyo.SolverFactory(solver).solve(m)
    pyo.assert_optimal_termination(results)
    check(results, sense)
    assert results.history[-1].incumbent == pytest.approx(pyo.value(m.cost))


@pytest.mark.parametrize("solver", SOLVERS)
def test_history_is_in_the_models_units(solver):
    results = pyo.SolverFactory(solver).solve(model(scale=1e6))
    plain = pyo.SolverFactory(solver).solve(model())
    check(results, pyo.minimize)
    large, small = (r.history[-1].incumbent for r in (results, plain))
    assert large == pytest.approx(1e6 * small, rel=1e-3)
    bounds = [e.bound for e in results.history if math.isfinite(e.bound)]
    assert all(abs(bound) > 1e3 for bound in bounds)


def test_history_of_several_parts_is_their_sum():
    one = pyo.SolverFactory("relu").solve(model(), mip_gap=1e-6)
    results = pyo.SolverFactory("relu").solve(model(parts=3), mip_gap=1e-6)
    check(results, pyo.minimize)
    alone = one.history[-1].incumbent - 5
    assert results.history[-1].incumbent == pytest.approx(3 * alone + 5, abs=1e-4)
    # nothing is known of the whole before every part has a point
    assert math.isinf(results.history[0].incumbent)


def test_history_of_what_has_no_point():
    m = model()
    m.never = pyo.Constraint(expr=m.nn[0].outputs[0] >= 1e3)
    results = pyo.SolverFactory("relu.branch").solve(m, load_solutions=False)
    (*_, last) = results.history
    assert last.incumbent == math.inf


def test_history_is_kept_by_copies_and_nothing_else_changes():
    results = pyo.SolverFactory("relu.branch").solve(model())
    assert isinstance(results, SolverResults) and len(results.history) > 1
    for other in (copy.deepcopy(results), pickle.loads(pickle.dumps(results))):
        assert other.history == results.history
    plain = SolverResults()
    assert list(plain) == list(results)
    for form in ("json", "yaml"):
        out = io.StringIO()
        results.write(ostream=out, format=form)
        assert "istory" not in out.getvalue() and "optimal" in out.getvalue()


def test_tee_prints_what_it_printed(capsys):
    pyo.SolverFactory("relu.branch").solve(model(), tee=True)
    printed = capsys.readouterr().out
    assert "incumbent" in printed and printed.rstrip().splitlines()[-1].startswith(
        "stat"
    )
    pyo.SolverFactory("relu.branch").solve(model())
    assert capsys.readouterr().out == ""
