"""Effort of a solve: figures agree between solvers and with independent ones."""

import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.analysis import measure_effort
from pyomo_relu.analysis.effort.effort import apply_transformations
from pyomo_relu.errors import ModelError, SolverError
from tests.networks import chain

SOLVERS = ["highs", "gurobi", "appsi_highs"]


def network_model(sense=pyo.minimize, sizes=(2, 10, 10, 1), seed=1):
    m = pyo.ConcreteModel("net")
    m.x = pyo.Var(range(sizes[0]), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain(sizes, seed), inputs=[m.x[j] for j in m.x])
    m.objective = pyo.Objective(expr=2 * m.nn.outputs[0] + 5, sense=sense)
    return m


def knapsack():
    m = pyo.ConcreteModel("knapsack")
    weights, values = [5, 4, 3, 7], [10, 9, 6, 13]
    m.take = pyo.Var(range(4), domain=pyo.Integers, bounds=(0, 1))
    m.room = pyo.Constraint(expr=sum(w * m.take[j] for j, w in enumerate(weights)) <= 9)
    m.objective = pyo.Objective(
        expr=sum(v * m.take[j] for j, v in enumerate(values)), sense=pyo.maximize
    )
    return m


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_solvers_agree_and_bounds_are_ordered(sense):
    values = []
    for solver in SOLVERS:
        m = network_model(sense)
        effort = measure_effort(m, ["relu.bigm"], solver)
        assert effort.optimal and effort.solver == solver
        assert m.nn.forward_error() <= 1e-6
        assert pyo.value(m.objective) == pytest.approx(effort.objective, abs=1e-6)
        values.append(effort.objective)
        sign = 1 if sense == pyo.minimize else -1
        chain_of_bounds = [
            b
            for b in (
                effort.relaxation_bound,
                effort.root_bound,
                effort.dual_bound,
                effort.objective,
            )
            if b is not None
        ]
        ordered = [sign * b for b in chain_of_bounds]
        assert ordered == pytest.approx(sorted(ordered), abs=1e-3)
        assert effort.gap <= 1e-4
    assert values == pytest.approx([values[0]] * 3, rel=2e-4)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_relaxation_bound_is_that_of_the_relaxed_model(solver):
    m = network_model()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    relaxed = pyo.TransformationFactory("core.relax_integer_vars").create_using(m)
    pyo.SolverFactory("appsi_highs").solve(relaxed)
    effort = measure_effort(m, solver=solver)
    expected = pyo.value(relaxed.objective)
    assert effort.relaxation_bound == pytest.approx(expected, rel=1e-6)
    gap = abs(effort.objective - expected) / abs(effort.objective)
    assert effort.relaxation_gap == pytest.approx(gap, rel=1e-3)
    left_out = measure_effort(m, solver=solver, relaxation=False)
    assert left_out.relaxation_bound is None and left_out.relaxation_gap is None


@pytest.mark.parametrize("solver", SOLVERS)
def test_integer_models_without_networks(solver):
    m = knapsack()
    effort = measure_effort(m, solver=solver)
    assert effort.objective == pytest.approx(19)
    assert [round(m.take[j].value) for j in m.take] == [1, 1, 0, 0]
    assert effort.n_binaries == 4 and effort.n_variables == 4 and effort.n_rows == 1


def test_branching_is_counted_and_work_is_gurobis():
    efforts = {}
    for solver in ("highs", "gurobi"):
        m = network_model(sizes=(4, 20, 20, 1))
        efforts[solver] = measure_effort(m, ["relu.bigm"], solver)
        assert efforts[solver].nodes > 1 and efforts[solver].iterations > 10
        assert efforts[solver].root_gap > 0
        assert efforts[solver].solve_seconds > 0
        assert efforts[solver].solve_cpu_seconds > 0
    assert efforts["highs"].work is None and efforts["gurobi"].work > 0
    again = measure_effort(network_model(sizes=(4, 20, 20, 1)), ["relu.bigm"], "gurobi")
    assert again.work == efforts["gurobi"].work
    assert again.nodes == efforts["gurobi"].nodes


def test_preprocessing_is_apart_and_helps_the_relaxation():
    loose = measure_effort(network_model(), ["relu.bigm"])
    steps = [
        ("relu.bounds", {"methods": ["crown"]}),
        ("relu.obbt", {"methods": ["lp"]}),
        "relu.bigm",
    ]
    tight = measure_effort(network_model(), steps)
    assert list(tight.preprocessing) == ["relu.bounds", "relu.obbt", "relu.bigm"]
    assert all(seconds > 0 for seconds in tight.preprocessing.values())
    assert tight.preprocessing_seconds == sum(tight.preprocessing.values())
    total = tight.preprocessing_seconds + tight.solve_seconds
    assert tight.total_seconds == pytest.approx(total)
    assert tight.n_binaries <= loose.n_binaries
    assert tight.relaxation_gap < loose.relaxation_gap
    assert tight.objective == pytest.approx(loose.objective, rel=2e-4)


def test_a_transformation_applied_twice_is_listed_twice():
    seconds = apply_transformations(network_model(), ["relu.bounds", "relu.bounds"])
    assert list(seconds) == ["relu.bounds", "relu.bounds (2)"]


def test_limits_stop_with_proven_bounds():
    hard = {"sizes": (6, 40, 40, 40, 1), "seed": 3}
    stopped = measure_effort(
        network_model(**hard), ["relu.bigm"], "gurobi", work_limit=0.3
    )
    assert stopped.status == "work limit" and not stopped.optimal
    assert stopped.gap is None or stopped.gap > 1e-4
    late = measure_effort(network_model(**hard), ["relu.bigm"], "highs", time_limit=1)
    assert late.status == "time limit"
    assert late.dual_bound >= late.relaxation_bound - 1e-6
    if stopped.objective is not None:  # an incumbent of one is no better than the
        assert late.dual_bound <= stopped.objective + 1e-6  # bound of the other


@pytest.mark.parametrize("solver", SOLVERS)
def test_infeasible_models_are_reported(solver):
    m = network_model()
    m.impossible = pyo.Constraint(expr=m.nn.outputs[0] >= 1e3)
    effort = measure_effort(m, ["relu.bigm"], solver)
    assert "infeasible" in effort.status
    assert effort.objective is None and effort.gap is None


def test_the_record_prints_and_turns_into_plain_figures():
    effort = measure_effort(network_model(), ["relu.bigm"])
    figures = effort.to_dict()
    assert figures["nodes"] == effort.nodes and figures["gap"] == effort.gap
    assert figures["preprocessing"] == effort.preprocessing
    assert "relaxation gap" in str(effort)


def test_models_that_cannot_be_measured_are_refused():
    with pytest.raises(ModelError, match=r"(?s)not linear.*relu\.bigm"):
        measure_effort(network_model())
    with pytest.raises(ModelError, match="unknown transformation 'relu.nothing'"):
        measure_effort(network_model(), ["relu.nothing"])
    two = knapsack()
    two.other = pyo.Objective(expr=two.take[0])
    with pytest.raises(ModelError, match="2 active objectives"):
        measure_effort(two)
    with pytest.raises(SolverError, match="no work units"):
        measure_effort(knapsack(), solver="highs", work_limit=1)
    with pytest.raises(SolverError, match="'no_such_solver' is not available"):
        measure_effort(knapsack(), solver="no_such_solver")


def test_a_licence_that_is_too_small_says_so():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2500), bounds=(0, 1))
    m.row = pyo.Constraint(range(2500), rule=lambda m, i: m.x[i] >= 0.5)
    m.objective = pyo.Objective(expr=pyo.quicksum(m.x.values()))
    try:
        effort = measure_effort(m, solver="gurobi")
    except SolverError as error:
        assert "licence is too small for 2500 rows and 2500 columns" in str(error)
    else:  # a full licence
        assert effort.objective == pytest.approx(1250)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_models_are_handed_over_in_unit_range_or_as_they_are(solver):
    values = []
    for as_it_is in (False, True):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(2), bounds=(0, 1e3))
        m.z = pyo.Var(domain=pyo.Binary)
        m.row = pyo.Constraint(expr=2e-3 * m.x[0] + m.x[1] <= 500 * m.z)
        m.cost = pyo.Objective(expr=-m.x[0] - m.x[1] + 7 * m.z)
        effort = measure_effort(m, solver=solver, in_unit_range=not as_it_is)
        values.append(effort.objective)
        ends = effort.smallest_coefficient, effort.largest_coefficient
        assert (ends == (2e-3, 500.0)) is as_it_is
        assert m.x[0].value == pytest.approx(1e3)
    assert values == pytest.approx([-1000 - 498 + 7] * 2)


def test_node_limits_stop_and_pyomo_solvers_tell_their_nodes():
    hard = {"sizes": (6, 30, 30, 1), "seed": 3}
    for solver, most in (("highs", 20), ("gurobi", 200)):
        stopped = measure_effort(
            network_model(**hard), ["relu.bigm"], solver, node_limit=5
        )
        assert stopped.status == "node limit" and stopped.nodes <= most
    stopped = measure_effort(network_model(**hard), [], "relu.branch", node_limit=300)
    assert stopped.status == "node limit" and stopped.nodes >= 300
    with pytest.raises(SolverError, match="'appsi_highs' takes no node limit"):
        measure_effort(knapsack(), solver="appsi_highs", node_limit=3)
