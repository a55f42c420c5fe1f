"""The tree of LPs comes to the optimum of a MILP, and its bounds hold at any time."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.portfolio.convex.lp_tree import LPTree


def random_milp(seed, free=False):
    """Binaries and general integers beside continuous columns, half of them feasible."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(6, 12)), int(rng.integers(4, 9))
    matrix = rng.normal(size=(m, n)) * (rng.random((m, n)) < 0.6)
    integer = rng.random(n) < 0.6
    lower = np.where(rng.random(n) < 0.5, 0.0, -2.0)
    upper = np.where(integer & (lower == 0.0), 1.0, 3.0)
    inside = rng.uniform(lower, upper)
    inside[integer] = np.round(inside[integer])
    room = rng.uniform(0.0, 0.4, m)
    low = np.where(rng.random(m) < 0.4, -np.inf, matrix @ inside - room)
    high = matrix @ inside + room
    if rng.random() < 0.3:  # maybe without a point
        high[0] = (matrix @ inside)[0] - 4.0
        low[0] = -np.inf
    linear = LinearModel(sparse.csr_array(matrix), low, high, lower, upper, integer)
    return linear, rng.normal(size=n)


class Search:
    """A tree over some of the rows; the others are added where they are violated."""

    def __init__(self, linear, costs, given, gap=1e-7):
        self.linear, self.costs, self.gap = linear, costs, gap
        self.value, self.point = np.inf, None
        self.given = given
        few = linear.replace(
            matrix=linear.matrix[:given],
            row_lower=linear.row_lower[:given],
            row_upper=linear.row_upper[:given],
        )
        self.tree = LPTree(
            few,
            costs,
            0.5,
            self.violated,
            self.offer,
            lambda: self.value - self.gap,
            lambda: self.gap,
            lambda: None,
        )

    def violated(self, point, least):
        linear = self.linear
        values = linear.matrix @ point
        off = np.maximum(linear.row_lower - values, values - linear.row_upper)
        rows = np.flatnonzero(off > max(least, 1e-8))
        rows = rows[rows >= self.given]
        return linear.matrix[rows], linear.row_lower[rows], linear.row_upper[rows]

    def offer(self, point):
        value = float(self.costs @ point) + 0.5
        if value < self.value:
            self.value, self.point = value, point


@pytest.mark.parametrize("seed", range(40))
def test_comes_to_the_optimum(seed):
    linear, costs = random_milp(seed)
    answer = solve_linear(linear, costs, mip_gap=0.0)
    search = Search(linear, costs, linear.n_rows if seed % 2 else 2)
    tree = search.tree
    bounds = []
    if tree.begin():
        tree.dive(tree.root.point[tree.whole])
        for most in range(5, 3000, 5):
            bounds.append(tree.bound)
            if tree.finished:
                break
            tree.run(most)
    assert tree.finished
    if answer.primal is None:
        assert tree.infeasible and search.point is None
        return
    optimum = answer.objective + 0.5
    assert search.value == pytest.approx(optimum, abs=1e-6)
    assert max([*bounds, tree.bound]) <= search.value
    assert tree.bound == pytest.approx(optimum, abs=1e-6)
    values = linear.matrix @ search.point
    assert (values >= linear.row_lower - 1e-7).all()
    assert (values <= linear.row_upper + 1e-7).all()
    whole = search.point[linear.integer]
    assert whole == pytest.approx(np.round(whole), abs=1e-6)
    tree.close()


def test_without_a_bound_nothing_is_proven():
    """A column without an end that the costs push along: no bound, and no verdict."""
    linear, costs = random_milp(1)
    linear = linear.replace(
        matrix=sparse.csr_array((0, linear.n_columns)),
        row_lower=np.zeros(0),
        row_upper=np.zeros(0),
        upper=np.full(linear.n_columns, np.inf),
    )
    search = Search(linear, -np.abs(costs), 0)
    assert not search.tree.begin()
    assert search.tree.bound == -np.inf and not search.tree.infeasible


@pytest.mark.parametrize("seed", range(20))
def test_dives_never_end_worse_than_their_integer_values(seed):
    linear, costs = random_milp(seed)
    search = Search(linear, costs, linear.n_rows)
    if not search.tree.begin():
        return
    for values in np.random.default_rng(seed).integers(
        0, 2, (4, search.tree.whole.size)
    ):
        whole = search.tree.whole
        values = np.clip(values, linear.lower[whole], linear.upper[whole])
        lower, upper = linear.lower.copy(), linear.upper.copy()
        lower[whole] = upper[whole] = values
        fixed = linear.replace(lower=lower, upper=upper)
        alone = solve_linear(fixed, costs)
        search.tree.dive(values.astype(float))
        if alone.primal is not None:
            assert search.value <= alone.objective + 0.5 + 1e-6
    search.tree.close()


def test_a_node_without_a_bound_tells_nothing_of_its_columns():
    """What its halves gain is infinite, and no measure of what others will gain."""
    linear, costs = random_milp(0)
    tree = Search(linear, costs, linear.n_rows).tree
    assert tree.begin()
    values = tree.root.point[tree.whole]
    candidates = np.flatnonzero(np.abs(values - np.round(values)) > 1e-6)
    assert candidates.size > 1
    tree.root.bound = -np.inf
    with np.errstate(invalid="raise"):
        for _ in range(2):
            tree._choose(tree.root, candidates)
    assert np.isfinite(tree._gains).all()
    tree.close()


def test_dives_go_on_beyond_kinks():
    """min sum of max(0, u - a) / 2 - u over u in [0, 2]: past every kink, to its end."""
    a = np.linspace(0.4, 1.5, 5)
    k, eye = a.size, np.eye(a.size)
    zero = np.zeros((k, k))
    matrix = np.block(  # columns u, x = max(0, u - a) and its indicator z
        [[-eye, eye, zero], [eye, -eye, -np.diag(a)], [zero, -eye, np.diag(2.0 - a)]]
    )
    linear = LinearModel(
        sparse.csr_array(matrix),
        np.concatenate([-a, np.zeros(2 * k)]),
        np.full(3 * k, np.inf),
        np.zeros(3 * k),
        np.concatenate([np.full(2 * k, 2.0), np.ones(k)]),
        np.arange(3 * k) >= 2 * k,
    )
    costs = np.repeat([-1.0, 0.5, 0.0], k)
    search = Search(linear, costs, linear.n_rows)
    assert search.tree.begin()
    search.tree.dive(np.zeros(k))
    search.tree.close()
    assert search.value == pytest.approx((0.5 * (2.0 - a) - 2.0).sum() + 0.5)
