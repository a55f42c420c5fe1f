"""Models with convex atoms: tangents' optimum is the one that dense points confirm."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.portfolio.convex.outer import OuterApproximation
from pyomo_relu.portfolio.convex.route import OuterRoute
from pyomo_relu.portfolio.plan import Planned
from pyomo_relu.portfolio.portfolio import Portfolio, Run
from tests.random_networks import random_network

FEW, MANY = range(12), range(12, 200)
POINTS = 40_000

#: What is in the exponentials.
SHARE = 0.05


class Case:
    """Networks in a model whose objective and rows are convex quadratic forms."""

    def __init__(self, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.n = n = int(rng.integers(2, 4))
        self.networks = [
            random_network(rng, n, (int(rng.integers(3, 8)),) * int(rng.integers(1, 3)))
            for _ in range(int(rng.integers(1, 3)))
        ]
        self.size = n + len(self.networks)  # x and y
        self.whole = rng.random(n) < 0.2
        self.forms = [self._form() for _ in range(int(rng.integers(1, 4)))]
        self.sides = rng.uniform(0.2, 4.0, len(self.forms))
        self.linear = rng.normal(size=self.size).round(2)
        self.maximise = rng.random() < 0.3
        self.through = rng.random() < 0.3

    def _form(self):
        """Q and c of ``(v - c)'Q (v - c)``, of some of the numbers v."""
        some = self.rng.permutation(self.size)[: int(self.rng.integers(1, 4))]
        B = np.zeros((self.size, self.size))
        B[np.ix_(some, some)] = self.rng.normal(size=(some.size, some.size)).round(2)
        if self.rng.random() < 0.5:
            B = np.diag(np.diag(B))
        return B.T @ B, (0.5 * self.rng.normal(size=self.size)).round(2)

    def model(self):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(self.n), bounds=(-1.5, 1))
        for j in np.flatnonzero(self.whole):
            m.x[int(j)].domain = pyo.Integers
        m.y = pyo.Var(range(len(self.networks)), bounds=(-50, 50))
        for k, network in enumerate(self.networks):
            block = ReLUNetworkBlock(network=network, inputs=m.x, outputs=[m.y[k]])
            m.add_component(f"nn{k}", block)
        v = [*m.x.values(), *m.y.values()]
        forms = [
            sum(
                float(Q[i, j]) * (v[i] - c[i]) * (v[j] - c[j])
                for i, j in np.argwhere(Q)
            )
            for Q, c in self.forms
        ]
        m.rows = pyo.ConstraintList()
        for form, side in zip(forms[1:], self.sides[1:], strict=True):
            m.rows.add(form <= side)
        cost = forms[0] + sum(float(a) * b for a, b in zip(self.linear, v, strict=True))
        if self.through:
            m.t = pyo.Var()
            m.defined = pyo.Constraint(expr=m.t == cost)
            cost = m.t
        if self.maximise:
            m.obj = pyo.Objective(expr=-cost, sense=pyo.maximize)
        else:
            m.obj = pyo.Objective(expr=cost)
        return m

    def at(self, X):
        """Objective (minimised) and largest violation at inputs."""
        X = X.copy()
        X[:, self.whole] = np.round(X[:, self.whole])
        X[:, self.whole] = np.maximum(X[:, self.whole], -1.0)
        V = np.concatenate([X, *[n.forward(X) for n in self.networks]], axis=1)
        values = [
            np.einsum("ni,ij,nj->n", V - c, Q, V - c, optimize=True)
            for Q, c in self.forms
        ]
        worst = np.zeros(len(X))
        for value, side in zip(values[1:], self.sides[1:], strict=True):
            worst = np.maximum(worst, value - side)
        return values[0] + V @ self.linear, worst

    def best(self):
        """The least objective found: random points, then ever closer to the best."""
        X = self.rng.uniform(-1.5, 1.0, (POINTS, self.n))
        least = np.inf
        for width in (0.2, 0.05, 0.01, 0.002, 4e-4):
            value, worst = self.at(X)
            value = np.where(worst <= 0.0, value, np.inf)
            best = np.argsort(value)[:40]
            least = min(least, value[best[0]])
            around = X[np.repeat(best, 100)]
            X = np.clip(around + width * self.rng.normal(size=around.shape), -1.5, 1.0)
        return least


class Composed(Case):
    """The same with the exponential of the objective."""

    def model(self):
        m = super().model()
        cost = -m.obj.expr if self.maximise else m.obj.expr
        m.obj.expr = (-1 if self.maximise else 1) * pyo.exp(SHARE * cost)
        return m

    def at(self, X):
        value, worst = super().at(X)
        return np.exp(np.minimum(SHARE * value, 700.0)), worst


def check(seed, kind=Case):
    """The status; bound and value agree with dense points, and the point holds."""
    case = kind(seed)
    m = case.model()
    results = pyo.SolverFactory("relu").solve(m, solver="highs", load_solutions=False)
    status, least = results.solver.termination_condition, case.best()
    who = results.solver.message
    if status == pyo.TerminationCondition.infeasible:
        assert not np.isfinite(least), f"{seed}: feasible, {least}"
        return who
    ends = results.problem.lower_bound, results.problem.upper_bound
    bound, value = (-ends[1], -ends[0]) if case.maximise else ends
    size = 1.0 + abs(least) if np.isfinite(least) else 1.0
    assert bound <= least + 1e-7 * size, f"{seed}: bound {bound}, a point has {least}"
    assert status == pyo.TerminationCondition.optimal, f"{seed}: {status}"
    assert value - bound <= 1.01e-4 * abs(value) + 2e-6 * size
    m.solutions.load_from(results)
    there, worst = case.at(np.array([[m.x[j].value for j in range(case.n)]]))
    assert worst[0] <= 1e-5, f"{seed}: violated by {worst[0]}"
    assert there[0] == pytest.approx(value, rel=1e-5, abs=1e-5), seed
    return who


@pytest.mark.parametrize("seed", FEW)
def test_agrees_with_dense_points(seed):
    check(seed)


@pytest.mark.dense
@pytest.mark.parametrize("seed", MANY)
def test_agrees_with_dense_points_on_many_models(seed):
    check(seed)


@pytest.mark.parametrize("seed", [0, 3])
def test_increasing_functions_of_convex_ones_agree_with_dense_points(seed):
    assert "tangents" in check(seed, Composed)


@pytest.mark.dense
@pytest.mark.parametrize("seed", range(4, 40))
def test_increasing_functions_of_convex_ones_agree_on_many_models(seed):
    check(seed, Composed)


def run_of(m, most, solver="highs", seconds=100.0):
    """A Run of the tangents' route alone, with so many LPs of its tree."""
    portfolio = Portfolio(
        read_model(m, "relu").problem, BranchOptions(), Deadline(None)
    )
    ((_, part),) = portfolio.parts
    outer = OuterApproximation(part)
    assert outer.convex
    route = OuterRoute(part, BranchOptions(), solver, outer, most)
    deadline = Deadline(seconds)
    return Run(part, BranchOptions(), deadline, [Planned(route)], "test"), route


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("seed", [0, 2, 5])
def test_milps_after_the_tree_come_to_the_same(seed, solver):
    found = []
    for most in (4000, 0):
        run, route = run_of(Case(seed).model(), most, solver)
        status = run.solve()
        found.append((status, run.findings.value))
        assert not (most and route.milps)
    assert found[0][0] == found[1][0]
    if np.isfinite(found[0][1]):
        assert found[0][1] == pytest.approx(found[1][1], rel=3e-4, abs=3e-6)


def small(bound=1.0):
    """``min (x - 1)^2 + y`` with a network of one layer, and ``x^2 <= bound``."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-2, 2))
    m.y, m.z = pyo.Var(bounds=(-50, 50)), pyo.Var()
    network = random_network(3, 2, (6, 6))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=[m.y])
    m.row = pyo.Constraint(expr=m.x[0] ** 2 + m.x[1] ** 2 <= bound)
    m.obj = pyo.Objective(expr=(m.x[0] - 1) ** 2 + m.y)
    return m


def test_parts_without_networks_are_solved_too():
    m = small()
    m.apart = pyo.Var(range(2), bounds=(-3, 3))
    m.apart[1].domain = pyo.Integers
    m.near = pyo.Constraint(expr=m.apart[0] + m.apart[1] >= 2.25)
    alone = pyo.SolverFactory("relu").solve(m, solver="highs").problem.upper_bound
    m.obj.expr += m.apart[0] ** 2 + (m.apart[1] - 0.1) ** 2
    results = pyo.SolverFactory("relu").solve(m, solver="highs")
    least = min((2.25 - k) ** 2 + (k - 0.1) ** 2 for k in range(-3, 4))
    assert results.solver.termination_condition == "optimal"
    assert results.problem.upper_bound == pytest.approx(alone + least, abs=2e-3)


def test_what_is_infeasible_is_said_to_be():
    m = small()
    m.far = pyo.Constraint(expr=m.x[0] + m.x[1] >= 1.5)
    run, _ = run_of(m, 4000)
    assert run.solve() == "infeasible"
    results = pyo.SolverFactory("relu").solve(m, load_solutions=False)
    assert results.solver.termination_condition == "infeasible"


def test_what_is_unbounded_is_said_to_be():
    m = small()
    m.obj.expr += m.z
    results = pyo.SolverFactory("relu").solve(m, load_solutions=False)
    assert results.solver.termination_condition == "unbounded"


@pytest.mark.parametrize("most", [1, 8, 20])
def test_bounds_of_runs_that_end_early_hold(most):
    m = small()
    best = run_of(m, 4000)[0]
    assert best.solve() == "optimal"
    run, _ = run_of(m, most, seconds=0.0)
    assert run.solve() in ("optimal", "time limit")
    assert run.findings.bound <= best.findings.value + 1e-9


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (lambda m: m.x[0] ** 2 + m.x[1] ** 2, True),
        (lambda m: -(m.x[0] ** 2), False),
        (lambda m: m.x[0] ** 2 + m.x[0] * m.x[1] + m.x[1] ** 2, True),
        (lambda m: m.x[0] ** 2 + 3 * m.x[0] * m.x[1] + m.x[1] ** 2, False),
        (lambda m: m.x[0] * m.x[1], False),
        (lambda m: pyo.exp(m.x[0]) + abs(m.x[1]) + (m.y - 1) ** 2, True),
        (lambda m: pyo.sqrt(m.x[0] + 3), False),
        (lambda m: -pyo.sqrt(m.x[0] + 3), True),
        (lambda m: m.x[0] ** 3, False),
        (lambda m: pyo.tanh(m.x[0] + 3), False),
        (lambda m: -pyo.tanh(m.x[0] + 3), True),
        (lambda m: 1 / (m.x[0] + 3), True),
        (lambda m: pyo.exp(m.x[0] ** 2 + m.x[0] * m.x[1] + m.x[1] ** 2 + m.y), True),
        (lambda m: pyo.exp(m.x[0] ** 2 + 3 * m.x[0] * m.x[1] + m.x[1] ** 2), False),
        (lambda m: pyo.exp(-(m.x[0] ** 2)), False),
        (lambda m: -pyo.log(9 - m.x[0] ** 2 - m.x[1] ** 2), True),
        (lambda m: -pyo.log(1 + m.x[0] ** 2), False),
        (lambda m: 1 / (5 - m.x[0] ** 2), True),
        (lambda m: 1 / (1 + m.x[0] ** 2), False),
        (lambda m: (m.x[0] ** 2 + abs(m.x[1])) ** 1.5, True),
        (lambda m: (m.x[0] ** 2 + 1) ** 2, True),
        (lambda m: (m.x[0] ** 2 - 1) ** 2, False),
        # defined only where x^2 >= 1
        (lambda m: (m.x[0] ** 2 - 1) ** 1.5, False),
    ],
)
@pytest.mark.parametrize("through", [False, True])
def test_what_counts_as_convex(add, expected, through):
    """In the objective, and in a row that defines what the objective counts."""
    m = small()
    if through:
        m.t = pyo.Var()
        m.defined = pyo.Constraint(expr=m.t == add(m) + m.x[1])
        m.obj.expr += 2 * m.t
    else:
        m.obj.expr += add(m)
    portfolio = Portfolio(
        read_model(m, "relu").problem, BranchOptions(), Deadline(None)
    )
    ((_, part), *_) = portfolio.parts
    assert OuterApproximation(part).convex == expected


def test_a_row_that_looks_like_one_that_says_a_form_is_convex_is_none():
    m = small()
    m.alike = pyo.Constraint(expr=m.x[0] * m.x[1] >= (m.x[0] - m.y) ** 2)
    m.obj.expr += m.x[0] * m.x[1]
    portfolio = Portfolio(
        read_model(m, "relu").problem, BranchOptions(), Deadline(None)
    )
    ((_, part), *_) = portfolio.parts
    assert not OuterApproximation(part).convex


def test_the_log_names_the_route(capsys):
    pyo.SolverFactory("relu").solve(small(), tee=True, solver="highs")
    said = capsys.readouterr().out
    assert "routes: tangents, then branch (convex, 2 inputs, 12 neurons)" in said
