"""relu.branch on random models with networks and nonlinear rows, against dense points."""

import math

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from tests.random_networks import random_network

#: Models of the default run, of which none takes long, and all others.
FEW = range(8, 24)
MANY = [*range(8), *range(24, 500)]
POINTS = 60_000

NUMPY = {
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "abs": np.abs,
}
PYOMO = {name: getattr(pyo, name) for name in NUMPY if name != "abs"} | {"abs": abs}


def expression(rng, names, depth):
    """A function of (values, functions) that is the same formula in numpy and Pyomo."""
    kind = rng.choice(
        ["sum", "product", "square", "power", "quotient", "function", "form", "leaf"],
        p=[0.2, 0.2, 0.1, 0.08, 0.08, 0.17, 0.08, 0.09],
    )
    if depth == 0 or kind == "leaf":
        name, c = str(rng.choice(names)), round(float(rng.normal()), 2)
        return lambda v, _f: v[name] if abs(c) < 0.5 else c * v[name]
    a, b = (expression(rng, names, depth - 1) for _ in range(2))
    c = round(float(rng.uniform(0.3, 2.0)), 2)
    if kind == "sum":
        return lambda v, f: a(v, f) - c * b(v, f) + c
    if kind == "product":
        return lambda v, f: a(v, f) * b(v, f)
    if kind == "form":
        # a quadratic form of all products, convex or not
        some = [str(n) for n in rng.permutation(names)[:3]]
        B = rng.normal(size=(len(some), len(some))).round(2)
        Q = B @ B.T if rng.random() < 0.6 else B
        return lambda v, _f: sum(
            float(Q[i, j]) * v[p] * v[q]
            for i, p in enumerate(some)
            for j, q in enumerate(some)
        )
    if kind == "square":
        return lambda v, f: (a(v, f) - c) ** 2
    if kind == "power":
        p = float(rng.choice([-1, 0.5, 0.6, 1.5, 3, -2, 4]))
        p = int(p) if p == round(p) else p
        if p in (3, 4):
            return lambda v, f: (0.5 * a(v, f)) ** p
        return lambda v, f: (1.0 + a(v, f) ** 2) ** p
    if kind == "quotient":
        return lambda v, f: a(v, f) / (c + b(v, f) ** 2)
    name = str(rng.choice(list(NUMPY)))
    if name in ("log", "log10", "sqrt"):
        return lambda v, f: f[name](c + a(v, f) ** 2)
    if name == "exp":
        return lambda v, f: f[name](0.5 * f["tanh"](a(v, f)))
    return lambda v, f: f[name](a(v, f))


class Case:
    """A model, and the same formulas to be evaluated at many points."""

    def __init__(self, seed, defined=True):
        rng = np.random.default_rng(seed)
        self.n = n = int(rng.integers(2, 5))
        self.networks = [
            random_network(rng, n, (int(rng.integers(3, 7)),), 1)
            for _ in range(int(rng.integers(1, 3)))
        ]
        self.whole = rng.random(n) < 0.15
        self.free = int(rng.random() < 0.4)
        names = [f"x{j}" for j in range(n)]
        if self.free:
            names.append("z")
        names += [f"y{k}" for k in range(len(self.networks))]
        self.defined = None
        if defined and rng.random() < 0.5:
            self.defined = expression(rng, names, 1)
            names.append("w")
        self.rows = [
            (expression(rng, names, int(rng.integers(1, 3))), rng.uniform(-0.5, 1.0))
            for _ in range(int(rng.integers(0, 3)))
        ]
        self.objective = expression(rng, names, 2)
        self.sense = pyo.minimize if rng.random() < 0.5 else pyo.maximize
        self.rng = rng

    def model(self):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(self.n), bounds=(-1.5, 1))
        for j in np.flatnonzero(self.whole):
            m.x[int(j)].domain = pyo.Integers
        values = {f"x{j}": m.x[j] for j in range(self.n)}
        if self.free:
            m.z = pyo.Var(bounds=(-1, 2))
            values["z"] = m.z
        m.y = pyo.Var(range(len(self.networks)))
        for k, network in enumerate(self.networks):
            block = ReLUNetworkBlock(network=network, inputs=m.x, outputs=[m.y[k]])
            m.add_component(f"nn{k}", block)
            values[f"y{k}"] = m.y[k]
        if self.defined is not None:
            m.w = pyo.Var()
            m.definition = pyo.Constraint(expr=m.w == self.defined(values, PYOMO))
            values["w"] = m.w
        m.rows = pyo.ConstraintList()
        for row, side in self.rows:
            m.rows.add(row(values, PYOMO) <= side)
        m.obj = pyo.Objective(expr=self.objective(values, PYOMO), sense=self.sense)
        return m

    def at(self, X):
        """Objective (minimised) and largest violation at points of (x, z)."""
        X = np.array(X)
        whole = np.flatnonzero(self.whole)
        X[:, whole] = np.clip(np.round(X[:, whole]), -1.0, 1.0)
        values = {f"x{j}": X[:, j] for j in range(self.n)}
        if self.free:
            values["z"] = X[:, self.n]
        for k, network in enumerate(self.networks):
            values[f"y{k}"] = network.forward(X[:, : self.n])[:, 0]
        with np.errstate(all="ignore"):
            if self.defined is not None:
                values["w"] = self.defined(values, NUMPY) + 0.0 * X[:, 0]
            worst = np.zeros(len(X))
            for row, side in self.rows:
                worst = np.maximum(worst, row(values, NUMPY) - side)
            value = self.objective(values, NUMPY) + 0.0 * X[:, 0]
        value = value if self.sense == pyo.minimize else -value
        ok = np.isfinite(worst) & np.isfinite(value)
        return np.where(ok, value, np.inf), np.where(ok, worst, np.inf)

    def best(self, margin=0.0):
        """The least objective found: random points, then ever closer to the best."""
        n = self.n + self.free
        lower = np.array([-1.5] * self.n + [-1.0] * self.free)
        upper = np.array([1.0] * self.n + [2.0] * self.free)
        X = self.rng.uniform(lower, upper, (POINTS, n))
        corners = self.rng.random(X.shape)
        X[::4] = np.where(corners < 0.15, lower, np.where(corners > 0.85, upper, X))[
            ::4
        ]
        least = np.inf
        for size in (0.2, 0.05, 0.01, 0.002, 4e-4):
            value, worst = self.at(X)
            value = np.where(worst <= margin, value, np.inf)
            best = np.argsort(value)[:40]
            least = min(least, value[best[0]])
            around = X[np.repeat(best, 200)]
            X = around + self.rng.normal(size=around.shape) * size * (
                self.rng.random(around.shape) < 0.7
            )
            X = np.concatenate([np.clip(X, lower, upper), X[:0]])
        return least


def check(seed):
    case = Case(seed)
    m = case.model()
    results = pyo.SolverFactory("relu.branch").solve(
        m, timelimit=120, load_solutions=False
    )
    status = results.solver.termination_condition
    least = case.best()
    if status == pyo.TerminationCondition.infeasible:
        assert not np.isfinite(least), f"{seed}: feasible, {least}"
        return status
    ends = results.problem.lower_bound, results.problem.upper_bound
    bound, value = ends if case.sense == pyo.minimize else (-ends[1], -ends[0])
    size = 1.0 + abs(least) if np.isfinite(least) else 1.0
    assert bound <= least + 1e-7 * size, f"{seed}: bound {bound}, a point has {least}"
    assert status == pyo.TerminationCondition.optimal, f"{seed}: {status}"
    assert value - bound <= 1.01e-4 * abs(value) + 2e-6 * size
    m.solutions.load_from(results)
    x = [m.x[j].value for j in range(case.n)] + (
        [m.z.value or 0.0] if case.free else []
    )
    there, worst = case.at(np.array([x]))
    assert worst[0] <= 1e-4, f"{seed}: violated by {worst[0]}"
    assert there[0] == pytest.approx(value, rel=1e-4, abs=1e-4), seed
    shown = pyo.value(m.obj) if case.sense == pyo.minimize else -pyo.value(m.obj)
    assert math.isclose(shown, value, rel_tol=1e-6, abs_tol=1e-6)
    for row in m.component_data_objects(pyo.Constraint, active=True):
        body = pyo.value(row.body)
        slack = 3e-6 * (1.0 + abs(body))
        assert row.lower is None or body >= pyo.value(row.lower) - slack
        assert row.upper is None or body <= pyo.value(row.upper) + slack
    return status


@pytest.mark.parametrize("seed", FEW)
def test_agrees_with_dense_points(seed):
    check(seed)


@pytest.mark.dense
@pytest.mark.parametrize("seed", MANY)
def test_agrees_with_dense_points_on_many_models(seed):
    check(seed)
