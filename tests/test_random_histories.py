"""After any history of changes an answer is right, or refused; after refresh it is right.

Seeds that once failed stand in ``FOUND``.
"""

import pyomo.environ as pyo
import pytest

from pyomo_relu.errors import ReLUError
from tests.random_histories import REFUSED, History, T, networks
from tests.thinned import thinned

FOUND = [30, 290]
SEEDS = [*FOUND, *thinned(range(24), 8)]
STEPS = 9


def same(a, b):
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return a == pytest.approx(b, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_are_right_or_refused(seed):
    history = History(seed)
    for _ in range(STEPS):
        history.step()
    answers = history.answers()
    found = history.found()
    assert found == REFUSED or any(same(found, a) for a in answers), history.log
    assert any(same(refreshed(history), a) for a in answers), history.log


def refreshed(history):
    try:
        T("relu.refresh").apply_to(history.model)
    except ReLUError:
        return REFUSED
    return history.found()


@pytest.mark.parametrize("seed", SEEDS[::2])
def test_branching_is_right_or_refused(seed):
    """It needs no encoding, but meets Var bounds and records that others left."""
    history = History(seed)
    for _ in range(STEPS):
        history.step()
    m, answers = history.model, history.answers()
    try:
        results = pyo.SolverFactory("relu.branch").solve(m)
    except ReLUError:
        return
    if results.solver.termination_condition == pyo.TerminationCondition.infeasible:
        assert answers[-1] == "infeasible", history.log
    else:
        assert same(pyo.value(m.best), answers[-1]), history.log


@pytest.mark.parametrize("seed", SEEDS[::2])
def test_reversing_everything_leaves_no_trace(seed):
    history = History(seed)
    history.copy = lambda: None  # tokens are of the original only
    for _ in range(STEPS):
        history.step()
    while history.tokens:
        try:
            history.reverse()
        except ReLUError as error:  # dropped, because it no longer held
            history.log.append(f"   refused: {error}")
    m, fresh = history.model, history.fresh()
    for block in networks(m):
        if block.record.encoding is None and not block.record.runs:
            twin = fresh.component(block.name)
            assert state(block) == state(twin), history.log
    if not any(b.record.encoding or b.record.runs for b in networks(m)):
        assert [v.bounds for v in m.x.values()] == [v.bounds for v in fresh.x.values()]
        assert m.y.bounds == fresh.y.bounds


def state(block):
    variables = block.component_data_objects(pyo.Var)
    rows = block.component_data_objects(pyo.Constraint, active=True)
    return [(v.name, v.bounds) for v in variables], [
        (r.name, str(r.expr)) for r in rows
    ]
