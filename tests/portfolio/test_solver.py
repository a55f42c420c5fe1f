"""SolverFactory("relu"): same optima as every other route, whichever of its own runs."""

import logging
import re

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import BoundsError, ModelError
from pyomo_relu.portfolio import portfolio
from pyomo_relu.portfolio.plan import Planned, plan, sizes
from pyomo_relu.portfolio.routes import DecompositionRoute, MILPRoute, TreeRoute
from tests.branch.interface.test_solver import absolute, peaky
from tests.branch.test_truth import MODELS, check_solution, reference
from tests.networks import chain
from tests.random_networks import random_network

CONDITION = pyo.TerminationCondition
SOLVER = pyo.SolverFactory("relu")

#: Which routes run: what the plan says, or one of them alone.
ROUTES = {
    "planned": None,
    "branch": TreeRoute,
    "decompose": DecompositionRoute,
    "HiGHS": lambda model, options: MILPRoute(model, options, "highs"),
    "Gurobi": lambda model, options: MILPRoute(model, options, "gurobi"),
}


def run(m, route="planned", **options):
    """Solve by one route alone, without Pyomo's face: the result and the portfolio."""
    read = read_model(m, "relu")
    given = BranchOptions(**options)
    p = portfolio.Portfolio(read.problem, given, Deadline(), "highs")
    if ROUTES[route] is not None:
        p.plan = lambda model, options, solver: (
            [Planned(ROUTES[route](model, options))],
            "a test",
        )
    return read, p.solve(), p


@pytest.mark.covering(5)
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("route", ROUTES)
def test_same_optimum_as_bigm(make, seed, route):
    m = make(np.random.default_rng(seed))
    expected = reference(m)
    read, result, _ = run(m, route)
    if expected == "infeasible":
        assert result.status == "infeasible"
        return
    assert result.status == "optimal"
    read.load(result.full)
    sign = -1.0 if read.maximise else 1.0
    little = 1e-4 * max(1.0, abs(expected))
    assert pyo.value(m.obj) == pytest.approx(expected, abs=little)
    assert sign * result.value == pytest.approx(pyo.value(m.obj), abs=1e-7)
    assert result.bound <= sign * expected + little / 10
    assert result.value - result.bound <= max(1.01e-6, 1.01e-4 * abs(expected))
    check_solution(m)


def two_parts(second=1):
    """Two networks that nothing joins, a column of its own, and a fixed one in both."""
    m = pyo.ConcreteModel("two parts")
    m.x = pyo.Var(range(4), bounds=(-1, 1))
    m.z = pyo.Var(bounds=(-3, 2), domain=pyo.Integers)
    m.fixed = pyo.Var(initialize=0.5)
    m.fixed.fix()
    m.first = ReLUNetworkBlock(network=chain([2, 6, 1]), inputs=[m.x[0], m.x[1]])
    m.second = ReLUNetworkBlock(
        network=chain([2, 6, 1], seed=second), inputs=[m.x[2], m.x[3]]
    )
    m.one = pyo.Constraint(expr=m.x[0] + m.fixed <= 1)
    m.two = pyo.Constraint(expr=m.x[2] - m.fixed <= 0)
    m.obj = pyo.Objective(
        expr=3 + m.first.outputs[0] + m.second.outputs[0] + m.z + 2 * m.fixed
    )
    return m


def test_parts_add_up(capsys):
    m = two_parts()
    expected = reference(m)
    results = SOLVER.solve(m, tee=True, solver="highs")
    assert results.solver.termination_condition == CONDITION.optimal
    assert pyo.value(m.obj) == pytest.approx(expected, abs=1e-4)
    assert results.problem.lower_bound <= expected + 1e-6
    assert results.problem.upper_bound == pytest.approx(pyo.value(m.obj))
    check_solution(m)
    printed = capsys.readouterr().out
    assert "part 1 of 2" in printed and "part 2 of 2" in printed
    assert "all parts: bound" in printed
    assert "2 parts" in results.solver.message


def test_parts_whose_gaps_add_up_are_closed_further_and_the_log_says_so(capsys):
    # objectives that nearly cancel: each part's gap is small next to its own value
    m = two_parts(second=0)
    m.del_component(m.obj)
    m.obj = pyo.Objective(
        expr=m.first.outputs[0] - 100 + 100 - m.second.outputs[0] + 1e-3 * m.z
    )
    results = SOLVER.solve(m, solver="highs", mip_gap=0, abs_gap=0.3, tee=True)
    ends = results.problem.lower_bound, results.problem.upper_bound
    assert ends[1] - ends[0] <= 0.3 + 1e-6
    printed = capsys.readouterr().out.splitlines()
    begun = [line.partition("routes:")[0] for line in printed if "routes:" in line]
    assert begun[:2] == ["part 1 of 2, ", "part 2 of 2, "]
    assert begun[2:] and all("again for a smaller gap" in line for line in begun[2:])


def test_an_infeasible_part_is_enough():
    m = two_parts()
    m.never = pyo.Constraint(expr=m.second.outputs[0] >= 1e3)
    results = SOLVER.solve(m)
    assert results.solver.termination_condition == CONDITION.infeasible
    assert "'never'" in results.solver.message


def test_log_says_which_route_holds_what(capsys):
    m = peaky()
    SOLVER.solve(m, tee=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("relu ") and "1 network, 2 inputs" in lines[0]
    assert lines[1].startswith("routes: branch, then decompose, then MILP (2 inputs, ")
    assert lines[2].split() == ["seconds", "bound", "by", "incumbent", "by", "gap"]
    last = re.split(" +", lines[-2].strip())
    assert last[2] == last[4] == "branch"
    assert float(last[1]) <= float(last[3]) == pytest.approx(pyo.value(m.obj))
    assert lines[-1] == "status: optimal"
    SOLVER.solve(peaky())
    assert capsys.readouterr().out == ""


def test_message_names_who_proved_it():
    results = SOLVER.solve(peaky())
    assert results.solver.name == "relu"
    assert "bound by branch, point by branch" in results.solver.message
    assert results.solver.statistics.branch_and_bound.number_of_bounded_subproblems > 0


def test_the_model_stays_as_it_was_and_may_be_transformed():
    m = peaky()
    before = [c.name for c in m.component_data_objects(pyo.Constraint)]
    SOLVER.solve(m)
    assert [c.name for c in m.component_data_objects(pyo.Constraint)] == before
    optimum = pyo.value(m.obj)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    SOLVER.solve(m)
    assert pyo.value(m.obj) == pytest.approx(optimum, abs=1e-4)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_bound_of_the_root_without_time(sense):
    m = peaky(3, n=4, widths=(20, 20), sense=sense)
    results = SOLVER.solve(m.clone(), time_limit=0)
    assert results.solver.termination_condition == CONDITION.maxTimeLimit
    X = np.random.default_rng(0).uniform(-2, 2, (20000, 4))
    values = m.nn.network.forward(X)
    assert np.isfinite(results.problem.lower_bound)
    assert np.isfinite(results.problem.upper_bound)
    assert results.problem.lower_bound <= values.min() or sense == pyo.maximize
    assert results.problem.upper_bound >= values.max() or sense == pyo.minimize


class Nothing:
    """A route that finds nothing before the time is over."""

    name, elsewhere, tasks, done, nodes, milps = "none", False, None, "nothing", 0, 0

    def work(self, turn, findings):
        """Wait to be stopped."""
        while True:
            turn.pause()


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("integers", [False, True])
def test_point_and_bound_where_no_route_found_any(sense, integers):
    """Also of several parts, in far units."""
    m = pyo.ConcreteModel()
    m.p = pyo.Var([0, 1], bounds=(1e5, 3e5))
    m.z = pyo.Var(bounds=(-1.5, 2), domain=pyo.Integers if integers else pyo.Reals)
    m.nn = ReLUNetworkBlock(
        network=chain([2, 8, 1]), inputs=[p / 1e5 for p in m.p.values()]
    )
    m.b = ReLUNetworkBlock(network=chain([1, 4, 1], seed=1), inputs=[m.z])
    m.obj = pyo.Objective(expr=m.nn.outputs[0] - m.b.outputs[0] + 7, sense=sense)
    read = read_model(m, "relu")
    p = portfolio.Portfolio(read.problem, BranchOptions(), Deadline(0.0), "highs")
    p.plan = lambda model, options, solver: ([Planned(Nothing())], "a test")
    result = p.solve()
    assert result.status == "time limit" and np.isfinite(result.bound)
    read.load(result.full)
    check_solution(m)
    sign = -1.0 if sense == pyo.maximize else 1.0
    assert sign * result.value == pytest.approx(pyo.value(m.obj), abs=1e-9)
    optimum = run(m)[1].value
    assert result.bound <= optimum <= result.value


def test_only_the_first_part_begins_after_the_time():
    """However many there are, and however long a route takes to see that it is over."""
    read = read_model(two_parts(), "relu")
    p = portfolio.Portfolio(read.problem, BranchOptions(), Deadline(0.0), "highs")
    p.solve()
    assert [bool(run.routes) for run in p.runs] == [True, False]


def test_rows_that_intervals_contradict_where_no_route_found_any():
    m = peaky(3)
    m.high = pyo.Constraint(expr=m.nn.outputs[0] >= 1e6)
    read = read_model(m, "relu")
    p = portfolio.Portfolio(read.problem, BranchOptions(), Deadline(0.0), "highs")
    p.plan = lambda model, options, solver: ([Planned(Nothing())], "a test")
    assert p.solve().status == "infeasible"


@pytest.mark.parametrize("route", ["planned", "HiGHS", "Gurobi"])
def test_infeasible_and_unbounded(route):
    m = absolute()
    m.row = pyo.Constraint(expr=m.nn.outputs[0] <= -0.01)
    m.obj = pyo.Objective(expr=m.x)
    assert run(m, route)[1].status == "infeasible"
    if route == "planned":
        m = absolute()
        m.z = pyo.Var()
        m.row = pyo.Constraint(expr=m.z >= m.nn.outputs[0])
        m.obj = pyo.Objective(expr=m.x - m.z)
        assert run(m, route)[1].status == "unbounded"


def test_unbounded_input_is_named():
    m = absolute()
    m.x.setub(None)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    with pytest.raises(BoundsError, match=r"^relu: network input 'x' has the bounds"):
        SOLVER.solve(m)


def test_inputs_that_rows_bound():
    m = absolute()
    m.x.setub(None)
    m.z = pyo.Var(bounds=(0, 1))
    m.row = pyo.Constraint(expr=m.x + m.z <= 2)
    m.obj = pyo.Objective(expr=m.nn.outputs[0] + m.z, sense=pyo.maximize)
    for route in ROUTES:
        assert run(m, route)[1].value == pytest.approx(-2.0, abs=1e-4)


def test_models_are_refused_in_its_own_name():
    with pytest.raises(ModelError, match=r"^relu: 'empty' has no active"):
        SOLVER.solve(pyo.ConcreteModel("empty"))
    with pytest.raises(ModelError, match=r"^relu: unknown option 'sover'"):
        SOLVER.solve(peaky(), sover="highs")
    with pytest.raises(ModelError, match=r"^relu: .*solver"):
        SOLVER.solve(peaky(), solver="cplex")


def test_warmstart_begins_with_the_values():
    m = peaky(5, n=3)
    SOLVER.solve(m)
    read = read_model(m)
    _, _, p = run(m, start=read.start())
    first = p.runs[0].findings.history[0]
    assert first.route == "start"
    assert first.value * p.units.objective == pytest.approx(pyo.value(m.obj))


def test_interrupt_keeps_the_best_point():
    m = peaky(10, n=4, widths=(20, 20))
    read = read_model(m)
    p = portfolio.Portfolio(read.problem, BranchOptions(), Deadline())

    class Log:
        def begin(self, portfolio):
            self.portfolio = portfolio

        def routes(self, run, at):
            self.findings = run.findings

        def tick(self):
            if self.findings.point is not None:
                raise KeyboardInterrupt

    p.log = Log()
    result = p.solve()
    assert result.status in ("interrupted", "optimal")
    assert result.bound <= result.value < np.inf
    assert read.problem.original.violation(result.full) <= 1e-6


def test_gurobi_is_left_where_its_licence_is_too_small(caplog):
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=chain([2, 1100, 1], scale=0.5))
    for var in m.nn.input_vars():
        var.setlb(-1e-4)
        var.setub(1e-4)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    read = read_model(m)
    options = BranchOptions()
    route = MILPRoute(read.problem.original.in_unit_range(), options, "auto")
    p = portfolio.Portfolio(read.problem, options, Deadline(20.0))
    p.plan = lambda *_: ([Planned(route)], "a test")
    with caplog.at_level(logging.INFO, logger="pyomo.relu"):
        p.solve()
    assert route.name == "HiGHS"
    assert "HiGHS instead of Gurobi: this Gurobi licence is too small" in caplog.text


def test_sizes_and_order():
    def planned(*layers, seed=0, bound=1.0, solver="highs"):
        m = peaky(seed, layers[0], layers[1:], bound)
        model = read_model(m).problem.original.in_unit_range()
        routes, _ = plan(model, BranchOptions(), solver)
        return [one.route.name for one in routes], sizes(model)

    assert planned(1, 8)[0] == ["HiGHS", "decompose"]
    assert planned(1, 8)[1].wide == 0
    names, found = planned(2, 20, 20)
    assert names == ["branch", "decompose", "HiGHS"]
    assert found.inputs == 2 and found.unstable == 40
    assert planned(10, 12)[0] == ["HiGHS", "branch"]
    # Gurobi is quick with more unstable neurons
    assert planned(7, 40, 40, bound=5.0)[0] == ["branch", "HiGHS"]
    assert planned(7, 40, 40, bound=5.0, solver="gurobi")[0] == ["Gurobi", "branch"]


def test_no_milp_is_begun_for_thousands_of_neurons():
    def planned(shared, count):
        network = random_network(0, 3, (60,), 1)
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(2 * count), bounds=(-1, 1))
        m.y = pyo.Var(range(count))
        m.nn = ReLUNetworkBlock(
            range(count),
            network=network,
            inputs=lambda s: [
                *((m.x[0], m.x[1]) if shared else (m.x[2 * s], m.x[2 * s + 1])),
                float(s),
            ],
            outputs=lambda s: [m.y[s]],
        )
        m.o = pyo.Objective(expr=sum(m.y[s] for s in range(count)))
        model = read_model(m).problem.original.in_unit_range()
        return [one.route.name for one in plan(model, BranchOptions(), "highs")[0]]

    assert planned(True, 70) == ["branch", "decompose"]
    assert planned(False, 70) == ["decompose"]
    assert "HiGHS" in planned(True, 20)


def test_an_unbounded_part_counts_only_if_the_others_have_a_point():
    m = two_parts()
    m.ray = pyo.Var()
    m.more = pyo.Constraint(expr=m.ray >= m.first.outputs[0])
    m.obj.expr = m.first.outputs[0] + m.second.outputs[0] - m.ray
    _, result, p = run(m)
    assert result.status == "unbounded"
    assert p._have_points(["unbounded", "time limit"])
    p.runs[1].findings.point = None
    assert not p._have_points(["unbounded", "time limit"])
    assert p._have_points(["unbounded", "unbounded"])
