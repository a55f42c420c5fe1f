"""Pieces of parts: cuts and bounds hold at every point, MILPs over them reach optima."""

import threading

import numpy as np
import pytest

from pyomo_relu.branch.bounding.leaves import solve_leaf
from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.statuses import OPTIMAL
from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.decompose.nodes.branching import split_at
from pyomo_relu.decompose.pieces.disjunction import choose
from pyomo_relu.decompose.pieces.facets import facets
from pyomo_relu.decompose.pieces.pieces import Pieces
from pyomo_relu.decompose.pieces.refinement import Refinement
from pyomo_relu.decompose.pieces.rounds import Follower, Refining
from pyomo_relu.decompose.subproblems.family import families
from pyomo_relu.decompose.subproblems.parts import take_apart
from pyomo_relu.decompose.subproblems.pricing import Pricing
from pyomo_relu.decompose.tree import Decomposition
from pyomo_relu.linear.embedded import FEASIBILITY
from tests.decompose.models import coupled, many, units


def split_family(seed, whole=False):
    """Three members of a family, split some times, with cuts of every kind."""
    model, rng = many(seed, 3, identical=seed % 3 == 0), np.random.default_rng(seed)
    (family,) = families(take_apart(model).parts, model.linear.integer)
    family.integer[:, 1] = whole
    low, high = np.full((3, 2), -2.0), np.full((3, 2), 3.0)
    linked = np.ones((3, 3), dtype=bool)
    linked[:, 1] = False
    pieces = Pieces(
        family, family.begin(low, high, rng), linked, rng.normal(size=(3, 3))
    )
    for _ in range(6):
        b, j = int(rng.integers(len(pieces))), int(rng.integers(2))
        at = rng.uniform(pieces.lower[b, j], pieces.upper[b, j])
        box = pieces.lower[b], pieces.upper[b]
        split = split_at(j, at, *box, family.integer[pieces.member[b]])
        if split is None:
            continue
        pieces.split([(b, [split])])
        pi = pieces.priced(rng.normal(size=(3, 3)))
        (pieces.cover,), (values,) = Pricing().prove(
            [pieces], [pieces.cover], [pi[pieces.member]], 1e-2, ENDLESS
        )
        some = np.flatnonzero(rng.random(len(pieces)) < 0.8)
        pieces.add_cuts(some, pi[pieces.member[some]], values[some])
        of, duals = zip(*facets(pieces, range(len(pieces)), pi), strict=True)
        duals = np.concatenate([duals, duals + rng.normal(size=3) * [1, 0, 0]])
        view = pieces.several(np.array(of + of))
        _, (values,) = Pricing().prove([view], [view.cover], [duals], 1e-2, ENDLESS)
        pieces.add_cuts(view.of, duals, values)
        pieces.drop(np.zeros(len(pieces), dtype=bool))
    return pieces


def graph(pieces, rng, N=3000):
    """Points of each member's network, shape (3, N, 3), at the same inputs."""
    f = pieces.family
    X = rng.uniform(-2, 3, (N, 2))
    X[:, f.integer[0]] = np.round(X[:, f.integer[0]])
    return np.stack([f.networks.graph(np.full(N, k), X) for k in range(3)])


@pytest.mark.parametrize("seed", range(6))
def test_cuts_hold_at_all_points_of_their_pieces(seed):
    pieces = split_family(seed, whole=seed % 2 == 1)
    every = graph(pieces, np.random.default_rng(seed))
    assert len(pieces) > 3 and pieces.of.size
    covered = np.zeros(every.shape[:2], dtype=bool)
    for b, k in enumerate(pieces.member):
        V = every[k]
        inside = (V[:, :2] >= pieces.lower[b, :2]) & (V[:, :2] <= pieces.upper[b, :2])
        mine = inside.all(axis=1)
        covered[k] |= mine
        assert (V[mine] >= pieces.lower[b]).all() and (V[mine] <= pieces.upper[b]).all()
        for c in np.flatnonzero(pieces.of == b):
            least = (V[mine] @ pieces.duals[c]).min(initial=np.inf)
            assert pieces.least[c] <= least + 1e-9
    assert covered.all()


def test_covers_of_chosen_pieces_come_back():
    pieces = split_family(0)
    boxes, some = len(pieces.cover), np.array([0, 1, len(pieces) - 1])
    some = some[np.unique(pieces.member[some], return_index=True)[1]]
    part = pieces.of_pieces(some)
    assert set(part.owner) == set(pieces.member[some]) and len(part) < boxes
    low, high = pieces.cover.hull(len(pieces))
    pieces.take_back(some, part)
    assert len(pieces.cover) == boxes
    assert np.array_equal(pieces.cover.hull(len(pieces)), (low, high))


def test_cuts_that_never_bind_are_forgotten():
    pieces = split_family(1)
    x, w = np.zeros(pieces.family.columns.max() + 1), np.zeros(3)
    z, chosen = np.zeros(len(pieces)), []
    for k in range(3):
        chosen.append(int(np.flatnonzero(pieces.member == k)[0]))
    z[chosen] = 1.0
    others = np.count_nonzero(~np.isin(pieces.of, chosen))
    before = pieces.of.size
    for _ in range(10):
        pieces.age(x, w, z)
    # what is left is violated at x: zero outputs at zero inputs are on no graph
    assert others <= pieces.of.size < before
    mine = np.isin(pieces.of, chosen)
    assert mine.sum() == pieces.of.size - others and mine.sum() < before - others
    assert (pieces.least[mine] >= -1e-5).all()


def refined(model, rounds):
    """Rounds on a model's root; the run and the Refinement, None if it has no point."""
    run = Decomposition(model.in_unit_range(), BranchOptions(), Deadline(None))
    run.prepare()
    if not run._heap:
        return run, None
    _, _, node = run._heap[0]
    done = run.evaluator.evaluate(node, np.inf, 1e-4)
    if done.node is None or done.node.duals is None:
        return run, None
    own, accuracy = Refinement(run.evaluator, done.node), run.accuracy
    own.begin(run.cutoff, accuracy)
    for _ in range(rounds):
        if own.stuck or own.bound >= run.cutoff:
            break
        node, mixture = own.round(run.cutoff, run.accuracy, 60.0)
        if mixture is not None:
            run.points.look(node, mixture, run.accuracy, new=True)
    return run, own


@pytest.mark.parametrize("make", [coupled, units])
def test_bounds_stay_below_the_optimum_and_come_near_it(make):
    """With integers, equations, shared columns and networks that read each other."""
    before = after = 0.0
    for seed in range(5):
        model = make(seed)
        best = branch(build_problem(model), BranchOptions(time_limit=60))
        run, own = refined(model, 6)
        if own is None:
            continue
        bound = own.bound * model.units.objective
        assert bound <= best.value + 1e-7 * (1 + abs(best.value))
        if run.incumbent.full is not None:
            assert run.model.violation(run.incumbent.full) <= FEASIBILITY
        if best.status == OPTIMAL:
            root = own.node.bound * model.units.objective
            size = 1 + abs(best.value)
            before += (best.value - root) / size
            after += max(0.0, best.value - bound) / size
    assert after < 0.3 * before


def test_many_networks_reach_the_optimum_of_big_m():
    """More networks than the tree alone splits, with a store and whole lots."""
    model = many(2, 14, periods=5, widths=(4,))
    problem = build_problem(model)
    bounder = LineBounder(problem.network)
    args = problem.lower, problem.upper, np.inf, 1e-6, 300.0, 10**6
    expected = solve_leaf(problem, bounder, *args)
    assert expected.finished
    seen = []
    found = decompose(
        model, BranchOptions(mip_gap=1e-4), lambda run: seen.append(run.bound)
    )
    assert found.status == OPTIMAL
    assert found.bound <= expected.bound + 1e-5
    assert found.value == pytest.approx(expected.bound, abs=2e-4 * abs(found.value))
    assert all(bound <= expected.bound + 1e-5 for bound in seen)


def test_the_tree_comes_first_and_has_its_share():
    run, own = refined(many(2, 14, periods=5, widths=(4,)), 1)
    assert own.n_pieces > 14
    refining = Refining(run.evaluator, own.node)
    assert not refining.due(0.0)
    assert refining.due(1e9)


def test_a_member_without_pieces_leaves_no_point():
    pieces = split_family(2)
    linear = many(2, 3, identical=True).linear
    free = linear.replace(matrix=linear.matrix[:0], row_lower=[], row_upper=[])
    costs = np.zeros(linear.n_columns)
    args = [pieces], np.inf, 1e-6, 60.0
    assert choose(free, costs, 0.0, *args).x is not None
    pieces.drop(pieces.member == 1)
    assert choose(free, costs, 0.0, *args).bound == np.inf


class Told(BaseException):
    """Raised by a progress callback."""


def test_a_milp_is_followed_and_ended_by_the_clock_or_by_a_callback():
    run, own = refined(many(2, 8, periods=2, widths=(4,)), 0)
    args = run.cutoff, run.accuracy, None
    before = own.bound
    own.round(*args, Follower(run, own, -1.0))  # its time is over before it begins
    assert before <= own.bound <= run.incumbent.value
    threads = []

    def tell(_):
        threads.append(threading.current_thread())
        raise Told

    run.progress = tell
    with pytest.raises(Told):
        own.round(*args, Follower(run, own, np.inf))
    assert threads and threads[0] is not threading.main_thread()


def test_a_bound_by_pieces_is_no_better_than_proven():
    model = many(2, 14, periods=5, widths=(4,)).in_unit_range()
    run = Decomposition(model, BranchOptions(mip_gap=0.05), Deadline(None))
    run.prepare()
    done = run.evaluator.evaluate(run._heap[0][2], np.inf, 1e-4)
    run.points.look(done.node, done.mixture, 1e-4)
    run._refining = Refining(run.evaluator, done.node)
    run._refining.refinement.raise_bound(run.cutoff + 1e-3 * run.tolerance, np.inf)
    assert run._until_done() == OPTIMAL
    assert run.bound == run._by_pieces
    assert run.cutoff <= run.bound < run.incumbent.value
