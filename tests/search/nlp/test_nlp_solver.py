"""Points polished by an NLP solver of the user's: right ones taken, wrong ones not."""

import logging

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import ModelError, TransformationError
from pyomo_relu.model.blocks import network_blocks
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.search import find_point
from pyomo_relu.search.completion import problem_of
from pyomo_relu.search.nlp.model import NLPModel
from pyomo_relu.search.nonlinear.nonlinear import NonlinearSearcher
from tests.branch.test_atoms import absolute
from tests.branch.test_flowsheets import flowsheet
from tests.networks import chain
from tests.search.models import two_networks, violation
from tests.search.nonlinear.test_nonlinear import assert_holds, check, needs_flowsheets
from tests.transform.battery import snapshot

#: Solvers that take products; each is asked where it is installed.
SOLVERS = ["ipopt", "scip_direct", "gurobi_direct_minlp"]


def installed(name):
    if not pyo.SolverFactory(name).available(exception_flag=False):
        pytest.skip(f"{name} is not installed")
    return name


def bilinear():
    """min z^2 + |x| / 2 + k / 5 with z |x| >= 1, k >= 1.5 x: z = 1 / |x|."""
    m = absolute()
    m.k = pyo.Var(domain=pyo.Integers, bounds=(0, 3))
    m.z = pyo.Var(bounds=(0.2, 3))
    m.row = pyo.Constraint(expr=m.z * m.y >= 1)
    m.whole = pyo.Constraint(expr=m.k >= 1.5 * m.x)
    m.obj = pyo.Objective(expr=m.z**2 + 0.5 * m.y + 0.2 * m.k)
    return m


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_takes_points_to_the_optimum(name):
    installed(name)
    m = bilinear()
    alone = find_point(m, methods="samples", time_limit=None, max_rounds=1)
    found = find_point(
        m, methods="samples", time_limit=None, max_rounds=1, nlp_solver=name
    )
    assert f"'{name}' was run" in found.message and "failed" not in found.message
    assert found.objective <= alone.objective
    assert found.method == name
    check(m, found)
    # integers stay where the start has them, x on its side of zero
    k, side = round(found.values[m.k]), np.sign(found.values[m.x])
    x = side * np.linspace(1 / 3, 2, 20001)
    x = x[(x >= -1) & (1.5 * x <= k + 1e-9)]
    best = (1 / x**2 + 0.5 * np.abs(x)).min() + 0.2 * k
    assert found.objective == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("name", SOLVERS)
def test_linear_surroundings_and_encoded_blocks(name):
    m = two_networks()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    before = snapshot(m)
    alone = find_point(m, methods="samples", time_limit=None, max_rounds=1)
    found = find_point(
        m,
        methods="samples",
        time_limit=None,
        max_rounds=1,
        nlp_solver=installed(name),
    )
    assert snapshot(m) == before
    assert found.objective <= alone.objective and "failed" not in found.message
    pyo.TransformationFactory("relu.warmstart").apply_to(
        m, methods=(), start=list(found.inputs.values()), nlp_solver=name
    )
    assert violation(m) <= 2e-6
    assert pyo.value(m.cost) <= found.objective + 1e-6


@needs_flowsheets
@pytest.mark.parametrize(
    ("name", "value"), [("cstr", 25.1762), ("reformer_exp", 16.68815)]
)
def test_flowsheets_by_ipopt(name, value):
    m = flowsheet(name)
    found = find_point(
        m, "samples", time_limit=None, max_rounds=1, nlp_solver=installed("ipopt")
    )
    assert check(m, found) == pytest.approx(value, rel=1e-5)


def test_the_model_it_gets_says_what_the_modeller_said():
    """Completed points meet every row of functions; rows are missed by as much."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(0.1, 2))
    m.w = pyo.Var()
    m.k = pyo.Var(domain=pyo.Integers, bounds=(0, 3))
    m.free = pyo.Var()
    m.nn = ReLUNetworkBlock(
        network=chain([3, 6, 2], seed=4, ceilings=[0.7]), inputs=[m.x[0], m.w, m.k]
    )
    y = m.nn.outputs
    m.name_of = pyo.Constraint(expr=m.w == m.x[1] * m.x[2] - 0.3 * m.x[0])
    m.many = pyo.Constraint(
        expr=pyo.exp(m.x[0]) + pyo.log(m.x[1]) + pyo.sin(y[0]) * pyo.cos(m.x[2])
        <= 0.2 + pyo.tanh(m.k - y[1]) / (1 + m.x[1])
    )
    m.more = pyo.Constraint(expr=(0, abs(y[0]) ** 3 + m.x[0] ** 0.6, 5))
    m.quadratic = pyo.Constraint(
        expr=(m.x[0] - m.x[1]) ** 2 + m.x[0] * m.x[2] + m.free == 1
    )
    m.obj = pyo.Objective(expr=m.x[0] / m.x[1] + pyo.sqrt(m.x[2] + m.free**2))
    s = read_surrounding(m, network_blocks(m, None, "a test"), atoms_for="a test")
    problem = problem_of(s).in_unit_range()
    searcher = NonlinearSearcher(problem, Deadline(None), 0)
    points = searcher.complete(searcher.points(20))
    silent = searcher.silent_rows(points)
    lower, upper = searcher.column_bounds()
    nlp = NLPModel(problem, lower, upper, searcher.moving, silent, points)
    rows = np.flatnonzero(~silent)
    assert 0 < rows.size < silent.size
    linear = problem.linear
    for x in points:
        nlp.begin(x)
        np.testing.assert_allclose(nlp.values(), x, rtol=0, atol=1e-12)
        assert nlp.model.x[s.column(m.k)].fixed
        for row in nlp.model.functions.values():
            assert pyo.value(row.body) - pyo.value(row.upper) == pytest.approx(
                0, abs=1e-12
            )
        for block in nlp.model.networks.values():
            for row in block.component_data_objects(pyo.Constraint, active=True):
                assert min(row.lslack(), row.uslack()) >= -1e-9, row.name
        values = (linear.matrix @ x)[rows]
        assert len(nlp.model.rows) == rows.size
        for row, value in zip(nlp.model.rows.values(), values, strict=True):
            assert pyo.value(row.body) == pytest.approx(value, abs=1e-9)
        assert pyo.value(nlp.model.objective) == pytest.approx(
            problem.objective(x) - problem.constant
        )


class Careless:
    """A solver of the user's that does to the Vars whatever it was made for."""

    name = "careless"

    def __init__(self, act):
        self.act, self.runs = act, 0

    def available(self, exception_flag=True):
        return True

    def solve(self, model, timelimit=None):
        self.runs += 1
        self.act(model)


def far(model):
    for var in model.component_data_objects(pyo.Var):
        var.set_value(1e9, skip_validation=True)


def infeasible(model):
    """As good as can be, if no row counted."""
    for var in model.component_data_objects(pyo.Var):
        low = var.lb if var.lb is not None else -7.0
        var.set_value(low, skip_validation=True)


def fail(model):
    raise RuntimeError("the licence is void")


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda m: m.x[0].set_value(None), "'careless' gave no values"),
        (lambda m: m.x[0].set_value(float("nan"), True), "'careless' gave no values"),
        (fail, "'careless' failed: RuntimeError: the licence is void"),
        (far, None),
        (infeasible, None),
        (lambda m: None, None),
    ],
)
def test_what_a_solver_gives_is_taken_only_if_it_is_feasible(act, said, caplog):
    m = bilinear()
    by = {"methods": "samples", "time_limit": None, "max_rounds": 1}
    alone = find_point(m, **by)
    solver = Careless(act)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        found = find_point(m, **by, nlp_solver=solver)
    assert solver.runs > 0 and found.objective <= alone.objective + 1e-9
    check(m, found)
    if said is None:
        assert not caplog.records
    else:
        assert f"{said}. The search's own points stay." in caplog.text
        assert len(caplog.records) == 1  # further ones are for those who ask
        assert f"and failed {solver.runs} time" in found.message
        assert found.objective == alone.objective


def test_a_solver_for_linear_models_is_logged_and_changes_nothing(caplog):
    m = bilinear()
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        found = find_point(m, "samples", max_rounds=1, nlp_solver="appsi_highs")
    assert "'appsi_highs' failed: " in caplog.text
    check(m, found)


def test_an_interrupt_within_the_solver_leaves_the_model_as_it_was():
    m = two_networks()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    before = snapshot(m)

    def interrupted(model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pyo.TransformationFactory("relu.warmstart").apply_to(
            m, methods="samples", max_rounds=1, nlp_solver=Careless(interrupted)
        )
    assert snapshot(m) == before


def test_starts_where_nothing_is_feasible_yet():
    """The solver is the only one that can find it: it knows where the point is."""
    m = absolute()
    m.row = pyo.Constraint(expr=m.x * m.y == 3.61)
    m.obj = pyo.Objective(expr=m.x)

    def exactly(model):
        model.x[0].set_value(1.9)

    found = find_point(
        m, "samples", time_limit=None, max_rounds=1, nlp_solver=Careless(exactly)
    )
    assert found.method == "careless" and found.objective == pytest.approx(1.9)
    check(m, found)


def test_solvers_that_are_not_there_are_named_before_any_work(caplog):
    m = bilinear()
    with pytest.raises(
        ModelError,
        match="find_point: the solver 'no_such' is not available to Pyomo. Install it, "
        "or name another NLP solver as nlp_solver=",
    ):
        find_point(m, nlp_solver="no_such")
    warmstart = pyo.TransformationFactory("relu.warmstart")
    with pytest.raises(ModelError, match="'no_such' is not available"):
        warmstart.apply_to(m, nlp_solver="no_such")
    with pytest.raises(ModelError, match="find_point: nlp_solver must be the name"):
        find_point(m, nlp_solver=7)
    with pytest.raises(TransformationError, match="nlp_solver must be the name"):
        warmstart.apply_to(m, nlp_solver=[1])
    if pyo.SolverFactory("gurobi_persistent").available(exception_flag=False):
        with pytest.raises(ModelError, match="'gurobi_persistent' holds a model"):
            find_point(m, nlp_solver="gurobi_persistent")
    assert all(v.value is None for v in m.component_data_objects(pyo.Var))
    assert not caplog.records


def test_warm_starts_are_polished_and_hold():
    m = bilinear()
    pyo.TransformationFactory("relu.complementarity").apply_to(m)
    result = pyo.TransformationFactory("relu.warmstart").apply_to(
        m, methods="samples", max_rounds=1, nlp_solver=Careless(lambda model: None)
    )
    assert "'careless' was run" in result.message
    assert result.objective == pytest.approx(pyo.value(m.obj))
    assert_holds(m)
