"""Inputs given as expressions, Params and numbers: the same as Vars linked by hand."""

import math
import pickle

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction
from pyomo.util.check_units import assert_units_consistent

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.block.arguments.implied_bounds import expression_bounds
from pyomo_relu.errors import BoundsError, ModelError
from pyomo_relu.search import find_point
from tests.networks import chain, two_two_one
from tests.printed import printed
from tests.truth import solve

NETWORK = chain([4, 8, 8, 1], seed=3)


def surrounding():
    m = pyo.ConcreteModel()
    m.F = pyo.Var(bounds=(0, 1))
    m.x = pyo.Var(["A", "B"], bounds=(-1, 1))
    m.p = pyo.Param(initialize=0.3, mutable=True)
    m.e = pyo.Expression(expr=m.F - m.x["B"])
    m.row = pyo.Constraint(expr=m.F + m.x["A"] <= 1.2)
    return m


def linear(m):
    return [m.F + m.p * m.x["A"], m.p, 2 * m.e + 1, 0.25]


def nonlinear(m):
    return [m.F * m.x["A"], pyo.exp(m.x["B"]), m.x["B"], m.p**2]


def linked(inputs=linear):
    m = surrounding()
    m.nn = ReLUNetworkBlock(network=NETWORK, inputs=inputs(m))
    m.objective = pyo.Objective(expr=m.nn.outputs[0] - 0.1 * m.F)
    return m


def by_hand(inputs=linear, limits=5.0):
    m = surrounding()
    m.u = pyo.Var(range(4), bounds=(-limits, limits))
    given = inputs(m)
    m.link = pyo.Constraint(range(4), rule=lambda m, j: m.u[j] == given[j])
    m.nn = ReLUNetworkBlock(network=NETWORK, inputs=m.u)
    m.objective = pyo.Objective(expr=m.nn.outputs[0] - 0.1 * m.F)
    return m


def apply(m, *names, **options):
    for name in names:
        pyo.TransformationFactory(name).apply_to(m, **options)
    return m


@pytest.fixture(scope="module")
def optimum():
    return solve(apply(by_hand(), "relu.bigm"))


# -- the same optimum as written by hand -------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("relu.bigm",),
        ("relu.obbt", "relu.bigm"),
        ("relu.cells",),
        ("relu.partition",),
        ("relu.reduce",),
        ("relu.cuts",),
        ("relu.scaled",),
        ("relu.gdp", "gdp.bigm"),
        ("relu.auto",),
    ],
)
def test_linear_expressions_have_the_optimum_of_rows_written_by_hand(names, optimum):
    assert solve(apply(linked(), *names)) == pytest.approx(optimum, abs=1e-5)


@pytest.mark.parametrize("name", ["relu.branch", "relu"])
def test_linear_expressions_are_branched_on(name, optimum):
    m = linked()
    assert solve(m, name) == pytest.approx(optimum, abs=1e-4)
    assert m.nn.linked_inputs[2].value == pytest.approx(pyo.value(2 * m.e + 1))


def test_a_point_is_found(optimum):
    m = linked()
    found = find_point(m)
    assert found.objective == pytest.approx(optimum, abs=0.05)
    apply(m, "relu.warmstart")
    assert m.nn.forward_error() <= 1e-6
    assert pyo.value(m.objective) == pytest.approx(optimum, abs=0.05)


def test_obbt_over_the_model(optimum):
    m = linked()
    m.F.setub(None)
    with pytest.raises(BoundsError, match=r"linked_inputs\[0\].*scope='model'"):
        apply(m, "relu.bigm")
    apply(m, "relu.obbt", scope="model")
    assert m.nn.linked_inputs[0].ub < 10
    apply(m, "relu.bigm")
    assert solve(m) <= optimum + 1e-6
    m.row.deactivate()
    with pytest.raises(ModelError, match="row"):
        m.nn.forward_error()


def needs(name):
    opt = pyo.SolverFactory(name)
    if not opt.available(exception_flag=False):
        pytest.skip(f"{name} is not installed")
    return name


@pytest.mark.parametrize(
    "solver, formulation",
    [
        ("gurobi_direct_minlp", None),
        ("gurobi_direct_minlp", "relu.bigm"),
        ("scip_direct", "relu.bigm"),
        ("scip_direct", "relu.complementarity"),
        ("relu.branch", None),
        ("relu", None),
    ],
)
def test_nonlinear_expressions_for_minlp_solvers(solver, formulation):
    needs(solver)
    m, axis = linked(nonlinear), np.linspace(0, 1, 81)
    if formulation:
        apply(m, formulation)
    F, A, B = np.meshgrid(axis, 2 * axis - 1, 2 * axis - 1, indexing="ij")
    F, A, B = F.ravel(), A.ravel(), B.ravel()
    F, A, B = (v[F + A <= 1.2] for v in (F, A, B))
    X = np.stack([F * A, np.exp(B), B, np.full(F.size, 0.09)], axis=1)
    best = (NETWORK.forward(X)[:, 0] - 0.1 * F).min()
    found = solve(m, solver, tolerance=1e-4)
    assert best - 0.05 <= found <= best + 1e-4
    assert m.nn.linked_inputs[0].value == pytest.approx(
        pyo.value(m.F * m.x["A"]), abs=1e-5
    )


def test_one_expression_is_one_input():
    m = surrounding()
    network = chain([1, 5, 1])
    m.a = ReLUNetworkBlock(network=network, inputs=2 * m.F - 1)
    m.b = ReLUNetworkBlock(network=network, inputs=m.p)
    m.c = ReLUNetworkBlock(network=network, inputs=m.e)
    m.d = ReLUNetworkBlock(network=network, inputs=0.5)
    m.v = ReLUNetworkBlock(network=network, inputs=m.x["A"])
    assert str(m.a.linking[0].expr) == "a.linked_inputs[0]  ==  2*F - 1"
    assert [b.linked_inputs[0].bounds for b in (m.b, m.d)] == [(0.3, 0.3), (0.5, 0.5)]
    assert m.c.linked_inputs[0].bounds == pytest.approx((-1, 2))
    assert m.v.component("linked_inputs") is None


def test_indexed_blocks_params_expressions_and_references():
    m = pyo.ConcreteModel()
    m.T = pyo.RangeSet(0, 2)
    m.x = pyo.Var(m.T, bounds=(0, 1))
    m.demand = pyo.Param(m.T, initialize=lambda m, t: 0.1 * t)
    m.price = pyo.Param(m.T, [0, 1], initialize=lambda m, t, j: t + j, mutable=True)
    m.half = pyo.Expression(m.T, rule=lambda m, t: m.x[t] / 2)
    m.rule = ReLUNetworkBlock(
        m.T, network=two_two_one(), inputs=lambda m, t: [m.x[t] + t, m.demand[t]]
    )
    m.slices = ReLUNetworkBlock(
        m.T, network=two_two_one(), inputs=lambda t: m.price[t, :]
    )
    m.mapping = ReLUNetworkBlock(
        [0, 1], network=two_two_one(), inputs={0: [m.half[0], 3], 1: [m.x[1], m.x[2]]}
    )
    m.whole = ReLUNetworkBlock(
        network=chain([3, 2, 1]), inputs=pyo.Reference(m.half[:])
    )
    m.numbers = ReLUNetworkBlock(network=chain([3, 2, 1]), inputs=m.demand)
    assert m.rule[2].linked_inputs[0].bounds[0] == pytest.approx(2)
    assert m.rule[2].linked_inputs[1].value is None
    assert m.slices[2].linked_inputs[1].bounds == (3, 3)
    assert m.mapping[0].linked_inputs[1].bounds == (3, 3)
    assert m.mapping[1].component("linked_inputs") is None
    assert [v.ub for v in m.whole.input_vars()] == pytest.approx([0.5] * 3)
    assert [v.ub for v in m.numbers.input_vars()] == [0, 0.1, 0.2]
    for v in m.x.values():
        v.set_value(0.5)
    for block in (m.rule, m.slices, m.mapping, m.whole, m.numbers):
        block.initialize()
        assert block.forward_error() == 0
    expected = two_two_one().forward(np.array([2.5, 0.2]))
    assert m.rule[2].outputs[0].value == pytest.approx(expected[0])


def test_abstract_models():
    m = pyo.AbstractModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.p = pyo.Param(initialize=2, mutable=True)
    m.nn = ReLUNetworkBlock(
        network=two_two_one(), inputs=lambda m: [m.p * m.x, m.x - 1]
    )
    instance = m.create_instance()
    assert instance.nn.linked_inputs[0].ub == pytest.approx(2)


# -- bounds --------------------------------------------------------------------------


def test_bounds_follow_the_model():
    m = linked()
    var = m.nn.linked_inputs[0]
    m.F.setub(7)
    m.p.set_value(2)
    assert var.bounds == pytest.approx((-2, 9))
    m.x["A"].fix(0.5)
    assert var.bounds == pytest.approx((1, 8))
    lower, upper = m.nn.input_box(assume_fixed_vars_permanent=False)
    assert (lower[0], upper[0]) == pytest.approx((-2, 9))
    m.F.setub(None)
    assert var.bounds == (pytest.approx(1), None)
    m.e.set_value(3 * m.x["A"])
    assert m.nn.linked_inputs[2].bounds == pytest.approx((4, 4), abs=1e-9)


def test_an_encoding_knows_that_an_expression_reaches_further():
    m = apply(linked(), "relu.bigm")
    solve(m)
    m.F.setub(1.5)
    with pytest.raises(ModelError, match=r"linked_inputs\[0\].*were widened"):
        m.nn.forward_error()
    assert m.nn.refresh()
    widened = solve(m)
    other = by_hand()
    other.F.setub(1.5)
    assert widened == pytest.approx(solve(apply(other, "relu.bigm")), abs=1e-6)
    m.p.set_value(-0.5)
    assert m.nn.refresh()
    other = by_hand()
    other.F.setub(1.5)
    other.p.set_value(-0.5)
    assert solve(m) == pytest.approx(solve(apply(other, "relu.bigm")), abs=1e-6)


def test_fixed_vars_may_be_unfixed_where_that_was_asked_for(optimum):
    m = linked()
    m.F.fix(0.5)
    apply(m, "relu.bigm", assume_fixed_vars_permanent=False)
    m.F.unfix()
    assert solve(m) == pytest.approx(optimum, abs=1e-6)


FUNCTIONS = [
    lambda x, y: x + y - x,
    lambda x, y: 3 * x - 2 * y + 1e8 - 1e8,
    lambda x, y: x * y + x * x,
    lambda x, y: pyo.sin(7 * x) * pyo.sin(7 * y),
    lambda x, y: pyo.cos(x + 100 * y),
    lambda x, y: pyo.exp(x) / (3 + y),
    lambda x, y: (x + 3) ** 0.6 * pyo.exp(-y),
    lambda x, y: x**3 - y**2,
    lambda x, y: pyo.tanh(2 * x) + pyo.sqrt(y + 2.5),
    lambda x, y: abs(x - y) + pyo.log(x + 3),
    lambda x, y: pyo.tan(x / 2) + pyo.atan(y) + pyo.sinh(x),
    lambda x, y: pyo.sinh(x) * pyo.log10(y + 4) - pyo.asinh(x),
    lambda x, y: (x + 2.5) ** (-2) + 1 / (y + 3),
    lambda x, y: pyo.Expr_if(x >= 0, x, -y),
    lambda x, y: pyo.cosh(x) + y,
]


@pytest.mark.parametrize("which", range(len(FUNCTIONS)))
def test_all_values_lie_within_an_expressions_bounds(which):
    rng = np.random.default_rng(which)
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(), pyo.Var()
    expr = FUNCTIONS[which](m.x, m.y)
    for _ in range(20):
        ends = np.sort(rng.uniform(-2, 2, (2, 2)))
        ends[rng.uniform(size=2) < 0.2, 1] = ends[0, 0]  # a point, or none
        ends.sort()
        box = dict(zip((id(m.x), id(m.y)), ends.tolist(), strict=True))
        lower, upper = expression_bounds(expr, lambda var, box=box: box[id(var)])
        points = rng.uniform(size=(40, 2))
        points[:8] = np.round(points[:8])
        for x, y in (ends[:, 0] + points * (ends[:, 1] - ends[:, 0])).tolist():
            m.x.set_value(x)
            m.y.set_value(y)
            slack = 4e-16 * (1e9 if which == 1 else 10)
            assert lower - slack <= pyo.value(expr) <= upper + slack


def test_exact_bounds_of_linear_expressions():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(0, 1)), pyo.Var(bounds=(-1, 3))
    assert linked().nn.linked_inputs[0].bounds == pytest.approx((-0.3, 1.3))
    for expr, ends in [
        (m.x + 2 * m.y - 1, (-3, 6)),
        (m.x * m.y, (-1, 3)),
        (pyo.log(m.x), (-math.inf, 0)),
        (pyo.log(-m.x - 1), (-math.inf, math.inf)),
        ((m.y - 5) ** 0.5, (-math.inf, math.inf)),
        (pyo.exp(1000 * m.x), (1, math.inf)),
        (1e300 * m.x * 1e300 - 1e300 * m.y * 1e300, (-math.inf, math.inf)),
        (1 / m.y, (-math.inf, math.inf)),
        (pyo.acosh(m.x + 1), (-math.inf, math.inf)),
    ]:
        found = expression_bounds(expr, lambda var: var.bounds)
        assert found == pytest.approx(ends, abs=1e-12), str(expr)


@pytest.mark.parametrize(
    "solver", ["appsi_highs", "highs", "gurobi_persistent_v2", "scip_persistent"]
)
def test_solvers_that_keep_a_model_see_wider_bounds(solver):
    needs(solver)
    m = pyo.ConcreteModel()
    m.F = pyo.Var(bounds=(0, 1))
    m.p = pyo.Param(initialize=1.0, mutable=True)
    m.nn = ReLUNetworkBlock(network=chain([1, 1]), inputs=[2 * m.F * m.p])
    m.objective = pyo.Objective(expr=m.nn.inputs[0], sense=pyo.maximize)
    opt, found = pyo.SolverFactory(solver), []
    for change in (lambda: None, lambda: m.F.setub(3), lambda: m.p.set_value(5.0)):
        change()
        opt.solve(m)
        found.append(pyo.value(m.objective))
    assert found == pytest.approx([2, 6, 30])


# -- blocks among others -------------------------------------------------------------


def test_networks_chained_by_expressions_in_any_order():
    values = []
    for linked_by_hand in (False, True):
        m = pyo.ConcreteModel()
        m.x, m.s = pyo.Var(bounds=(-1, 1)), pyo.Var([0, 1])
        if linked_by_hand:
            m.t = pyo.Var(bounds=(-100, 100))
            m.row = pyo.Constraint(expr=m.t == 2 * m.s[0] + 1)
        # the one that reads comes first
        m.second = ReLUNetworkBlock(
            network=two_two_one(),
            inputs=[m.t if linked_by_hand else 2 * m.s[0] + 1, m.x],
            outputs=m.s[1],
        )
        m.first = ReLUNetworkBlock(
            network=chain([1, 6, 1]), inputs=[m.x], outputs=m.s[0]
        )
        m.s[0].setlb(-50)
        m.s[0].setub(50)
        m.objective = pyo.Objective(expr=m.s[1])
        values.append(solve(apply(m, "relu.bigm")))
        values.append(solve(m, "relu.branch"))
    assert values == pytest.approx([values[0]] * 4, abs=1e-4)


def test_own_outputs_bound_the_next_networks_expressions():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.a = ReLUNetworkBlock(network=chain([1, 6, 1]), inputs=[m.x])
    m.b = ReLUNetworkBlock(network=two_two_one(), inputs=[3 * m.a.outputs[0], m.x])
    m.objective = pyo.Objective(expr=m.b.outputs[0])
    apply(m, "relu.bigm")
    axis = np.linspace(-1, 1, 4001)[:, None]
    y = chain([1, 6, 1]).forward(axis)
    best = two_two_one().forward(np.hstack([3 * y, axis])).min()
    assert solve(m) == pytest.approx(best, abs=1e-2)


@pytest.mark.parametrize("name", ["gdp.bigm", "gdp.hull"])
def test_on_a_disjunct(name):
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-1, 1)), pyo.Var(bounds=(-10, 10))
    m.on, m.off = Disjunct(), Disjunct()
    m.on.nn = ReLUNetworkBlock(
        network=two_two_one(), inputs=[2 * m.x, 0.5], outputs=m.y
    )
    m.off.row = pyo.Constraint(expr=m.y == 3)
    m.choice = Disjunction(expr=[m.on, m.off])
    m.objective = pyo.Objective(expr=m.y)
    apply(m, "relu.bigm", name)
    pyo.assert_optimal_termination(pyo.SolverFactory("appsi_highs").solve(m))
    axis = np.linspace(-1, 1, 2001)
    X = np.stack([2 * axis, np.full(axis.size, 0.5)], axis=1)
    best = two_two_one().forward(X).min()
    assert pyo.value(m.objective) == pytest.approx(best, abs=1e-3)
    assert m.on.nn.forward_error() <= 1e-6


def test_units_far_from_one():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    network = chain([2, 6, 1])
    m.nn = ReLUNetworkBlock(
        network=network,
        inputs=[1e6 * m.x, 1e-6 * m.x + 1e-6],
        input_scaling=([0, 0], [1e6, 1e-6]),
    )
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    axis = np.linspace(0, 1, 4001)
    best = network.forward(np.stack([axis, axis + 1], axis=1)).min()
    assert solve(apply(m, "relu.bigm")) == pytest.approx(best, abs=1e-3)


def test_vars_with_units_over_their_units():
    pytest.importorskip("pint")
    units = pyo.units
    m = pyo.ConcreteModel()
    m.T, m.x = pyo.Var(bounds=(300, 400), units=units.K), pyo.Var(bounds=(0, 1))
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=[m.T / units.K, m.x])
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    assert_units_consistent(m)
    assert m.nn.linked_inputs[0].bounds == pytest.approx((300, 400))
    assert solve(apply(m, "relu.bigm")) == pytest.approx(300)


# -- copies, reversal, values, reports -----------------------------------------------


def test_clones_and_pickles_have_expressions_of_their_own(optimum):
    m = linked()
    for other in (m.clone(), pickle.loads(pickle.dumps(m))):
        other.F.setub(5)
        assert other.nn.linked_inputs[0].ub == pytest.approx(5.3)
        assert m.nn.linked_inputs[0].ub == pytest.approx(1.3)
        assert other.nn.input_expressions()[1] is other.p
        other.F.setub(1)
        assert solve(apply(other, "relu.bigm")) == pytest.approx(optimum, abs=1e-6)


def test_create_using_and_reversal_leave_no_trace(optimum):
    m = linked()
    before = printed(m)
    new = pyo.TransformationFactory("relu.bigm").create_using(m)
    assert solve(new) == pytest.approx(optimum, abs=1e-6)
    assert printed(m) == before
    relu, obbt = map(pyo.TransformationFactory, ("relu.bigm", "relu.obbt"))
    tokens = [obbt.apply_to(m, scope="model"), relu.apply_to(m)]
    relu.apply_to(m, reverse=tokens[1])
    obbt.apply_to(m, reverse=tokens[0])
    assert printed(m) == before


def test_initialize_evaluates_the_expressions():
    m = linked()
    with pytest.raises(
        ModelError, match=r"linked_inputs\[0\]', which reads 'F', has no"
    ):
        m.nn.initialize()
    for var, at in ((m.F, 0.5), (m.x["A"], -0.5), (m.x["B"], 0.25)):
        var.set_value(at)
    m.nn.initialize()
    assert [v.value for v in m.nn.input_vars()] == pytest.approx([0.35, 0.3, 1.5, 0.25])
    assert m.nn.forward_error() == 0
    assert (
        max(abs(pyo.value(row.body - row.lower)) for row in m.nn.linking.values()) == 0
    )
    m.F.set_value(0.75)  # the inputs do not follow; the outputs are wrong now
    assert m.nn.forward_error() > 1e-3
    m.nn.initialize([1, 2, 3, 4])
    assert [v.value for v in m.nn.input_vars()] == [1, 2, 3, 4]


def test_an_expression_without_a_value():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(initialize=-1)
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=[pyo.log(m.x), 1])
    with pytest.raises(ModelError, match=r"'log\(x\)' has no finite value"):
        m.nn.initialize()


def test_reports_say_what_was_made():
    m = linked()
    shown = printed(m)
    assert "linked_inputs[k] == expression" in shown
    assert "nn.linked_inputs[2] - (2*(F - x[B]) + 1)" in shown
    assert "0: F + p*x[A], 1: p" in m.nn.summary()
    assert "expressions" not in by_hand().nn.summary()


# -- what is refused -----------------------------------------------------------------


def refused_inputs(m):
    m.many = pyo.Param([1, 2], initialize=1.0)
    m.loose = pyo.Param({"a", "b"}, initialize=1.0)
    m.words = pyo.Param(initialize="word", within=pyo.Any)
    m.yes = pyo.BooleanVar()
    m.goal = pyo.Objective(expr=m.F)
    m.block = pyo.Block()
    new = pyo.Var()
    return {
        "relational": ([m.F <= 1, 1], "entry 0 is 'F +<= +1', which is true or false"),
        "logical": ([1, m.yes], "entry 1 is 'yes', which is true or false"),
        "bool": ([1, True], "entry 1 is 'True', which is true or false"),
        "str": ([m.F, "T"], "entry 1 is 'T', a str"),
        "bytes": (b"ab", "a bytes"),
        "None": ([m.F, None], "a NoneType, which stands for no number"),
        "nan": ([m.F, math.nan], "entry 1 is nan, which is no finite real number"),
        "complex": ([m.F, 1j], "entry 1 is 1j, a complex"),
        "word": ([m.F, m.words], "'word', which is no number|'words'.*no number"),
        "objective": ([m.F, m.goal], "'goal', a ScalarObjective"),
        "constraint": ([m.F, m.row], "'row', a ScalarConstraint"),
        "block": ([m.F, m.block], "'block', a ScalarBlock"),
        "several": ([m.F, m.many], "'many', a IndexedParam"),
        "count": ([m.F, m.F, 1], "2 inputs .* but got 3 entries"),
        "not constructed": ([m.F, 2 * new], "rests on '.*', which is not constructed"),
        "slice of numbers": (m.many[:], "members are numbers"),
        "no order": (m.loose, "which has none"),
    }


@pytest.mark.parametrize("what", list(refused_inputs(surrounding())))
def test_what_stands_for_no_number_is_refused(what):
    m = surrounding()
    given, message = refused_inputs(m)[what]
    before = list(m.component_map())
    with pytest.raises(ModelError, match=f"nn: inputs=.*{message}|nn: .*{message}"):
        m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=given)
    assert list(m.component_map()) == before


def test_expressions_by_position_are_told_their_keyword():
    m = surrounding()
    with pytest.raises(ModelError, match="belongs to inputs="):
        m.nn = ReLUNetworkBlock(2 * m.F, network=two_two_one())


def test_outputs_stay_vars():
    m = surrounding()
    for given in ([2 * m.F], [m.p], [3.0]):
        with pytest.raises(ModelError, match=r"outputs= entry 0 .*Outputs stay Vars"):
            m.nn = ReLUNetworkBlock(network=two_two_one(), outputs=given)
