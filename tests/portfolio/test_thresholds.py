"""stop_at and prove_above of ``relu``: on one part and on sums of several, both senses."""

import signal
import threading
from dataclasses import replace

import pyomo.environ as pyo
import pytest
from pyomo.opt import TerminationCondition

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.statuses import INTERRUPTED, OPTIMAL
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.portfolio.plan import Planned, by_name
from pyomo_relu.portfolio.portfolio import Portfolio
from pyomo_relu.portfolio.sharing import Stopped
from tests.networks import chain


def model(parts, sense=pyo.minimize, row=False):
    """Parts that share nothing, or one with a row between them."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(parts), [0, 1], bounds=(-1, 1))

    @m.Block(range(parts))
    def b(b, i):
        inputs = [m.x[i, 0], m.x[i, 1]]
        b.net = ReLUNetworkBlock(network=chain([2, 5, 5, 1], seed=3 + i), inputs=inputs)

    if row:
        m.row = pyo.Constraint(expr=sum(m.x.values()) == 0.5)
    cost = sum(300.0 * m.b[i].net.outputs[0] for i in range(parts)) + 5
    m.o = pyo.Objective(expr=cost, sense=sense)
    return m


@pytest.mark.parametrize(
    ("sense", "parts", "row"),
    [
        (pyo.minimize, 1, False),
        (pyo.maximize, 1, False),
        (pyo.minimize, 2, True),
        (pyo.maximize, 3, False),
    ],
)
def test_decisions_on_both_sides_of_the_optimum(sense, parts, row):
    solver = pyo.SolverFactory("relu")
    m = model(parts, sense, row)
    solver.solve(m)
    best, sign = pyo.value(m.o), 1 if sense == pyo.minimize else -1
    worse, better = best + sign * 10.0, best - sign * 10.0

    found = solver.solve(m, stop_at=worse)
    condition = found.solver.termination_condition
    assert condition == TerminationCondition.minFunctionValue
    assert "stop_at is reached" in found.solver.message
    assert sign * pyo.value(m.o) <= sign * worse

    found = solver.solve(m, prove_above=better)
    assert found.solver.termination_condition == TerminationCondition.other
    assert "prove_above is proven" in found.solver.message
    ends = found.problem.lower_bound, found.problem.upper_bound
    bound, value = ends if sign > 0 else ends[::-1]
    assert sign * bound >= sign * better
    assert sign * value >= sign * best - 0.1

    # neither can be reached: the optimum is found as usual
    found = solver.solve(m, stop_at=better, prove_above=worse)
    assert found.solver.termination_condition == TerminationCondition.optimal
    assert pyo.value(m.o) == pytest.approx(best, rel=1e-3)


def test_values_just_beyond_the_optimum_of_two_parts_are_no_decision():
    m = model(2)
    solver = pyo.SolverFactory("relu")
    solver.solve(m)
    best = pyo.value(m.o)
    found = solver.solve(m, stop_at=best - 1.0)
    assert found.solver.termination_condition == TerminationCondition.optimal
    found = solver.solve(m, prove_above=best + 1.0)
    assert found.solver.termination_condition == TerminationCondition.optimal


def test_a_threshold_is_a_number():
    with pytest.raises(ValueError, match="stop_at"):
        pyo.SolverFactory("relu").solve(model(1), stop_at="low")


class InterruptedAtTheEnd:
    """A route that is asked to end, and meanwhile somebody presses Ctrl-C."""

    name, elsewhere, tasks, done = "last", False, None, "nothing"
    nodes = milps = 0

    def work(self, turn, findings):
        """Wait to be stopped."""
        try:
            while True:
                turn.pause()
        except Stopped:
            main = threading.main_thread().ident
            signal.pthread_kill(main, signal.SIGINT)
            raise


@pytest.fixture
def interruptible():
    """Python's own handler of Ctrl-C, whatever solvers' libraries left in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before or signal.default_int_handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("parts", [1, 2])
def test_an_interrupt_after_the_proof_keeps_it_and_begins_nothing(parts):
    problem, begun = read_model(model(parts)).problem, []

    def plan(part, options, solver):
        begun.append(part)
        proves = by_name(part, replace(options), solver)["branch"]
        return [Planned(InterruptedAtTheEnd()), Planned(proves)], "both"

    portfolio = Portfolio(problem, BranchOptions(threads=2), Deadline())
    portfolio.plan = plan
    result = portfolio.solve()
    assert len(begun) == 1
    assert result.status == (OPTIMAL if parts == 1 else INTERRUPTED)
    first = portfolio.runs[0].findings
    assert first.done
    if parts == 1:
        assert result.gap <= 1.001e-4
    else:
        assert result.full is None
