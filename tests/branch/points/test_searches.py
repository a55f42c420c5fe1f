"""When a tree dives and when it begins anew."""

import pickle

import numpy as np
import pyomo.environ as pyo

from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.points.searches import Searches
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.subtrees.coordinator import Coordinator
from pyomo_relu.branch.tree.helpers import ALONE
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from tests.branch.subtrees.problems import OPTIONS, model, problem
from tests.branch.test_atoms import flowsheet


def test_who_coordinates_leaves_searches_to_workers():
    with_workers = Coordinator(None, 2)
    assert with_workers.search_instead
    tree = Tree(problem(), BranchOptions(**OPTIONS), Deadline(), helpers=with_workers)
    for known in (False, True):
        if known:
            tree._begin()
        assert np.isfinite(tree.incumbent.value) == known
        share = tree.searches.state.diving.seconds(1.0)
        tree.searches.run()
        assert tree.searches.state.diving.seconds(1.0) == share
    # too long ago for first tasks to follow soon, unless there have been some
    with_workers._began -= 1e3
    assert not with_workers.search_instead
    with_workers._number = 1
    assert with_workers.search_instead
    with_workers.workers.usable = False
    tree.searches.run()
    assert tree.searches.state.diving.seconds(1.0) < share
    assert not with_workers.search_instead
    assert not ALONE.search_instead


def test_time_in_which_helpers_were_waited_for_is_nobodys_share():
    tree = Tree(problem(), BranchOptions(**OPTIONS), Deadline())
    tree._begin()
    searches = Searches(tree)
    share = searches._diving.seconds(1.0)
    for helped, dives in ((tree.seconds + 1e9, False), (0.0, True)):
        tree.helped = helped
        searches.run()
        assert (searches._diving.seconds(1.0) < share) == dives


def with_an_integer():
    """A tree with an integer column, a point known and the whole box bounded."""
    m = model()
    m.x[0].domain = pyo.Integers
    tree = Tree(read_model(m).problem, BranchOptions(**OPTIONS), Deadline())
    tree._begin()
    assert np.isfinite(tree.incumbent.value) and len(tree.open)
    return tree


def test_another_tree_goes_on_with_what_was_tried_and_spent():
    one, other = with_an_integer(), with_an_integer()
    one.paused = -1e3
    one.searches.run()
    state = pickle.loads(pickle.dumps(one.searches.state))
    assert len(state.tried.keys) > 1 and state.assigning.seconds(0.0) < 0.0
    other.searches.go_on(state)
    # all were tried, and all that was spent counts
    other.paused = -1e3
    other.searches.run()
    after = other.searches.state
    assert after.tried.keys == state.tried.keys
    assert after.assigning.seconds(0.0) < state.assigning.seconds(0.0)
    assert one.searches.state.assigning.seconds(0.0) == state.assigning.seconds(0.0)


def test_searches_take_their_share_of_the_work_of_all():
    tree = with_an_integer()
    tree.helped = tree.seconds + 1e9
    tree.searches.run()
    assert not tree.searches.state.tried.keys
    tree.of_helpers = 2e9
    tree.searches.run()
    assert tree.searches.state.tried.keys


def test_a_search_in_a_task_is_no_longer_than_it_says():
    tree = with_an_integer()
    tree.paused = -1e9
    tree.searches.run(0.0)
    assert not tree.searches.state.tried.keys


def test_a_tree_begins_anew_with_a_much_better_point():
    given = read_model(flowsheet((1.0, 1.0, 1.0))).problem
    inner = build_problem(given.original.in_unit_range())
    best = branch(inner)
    tree = Tree(inner, BranchOptions(), Deadline())
    tree._begin()
    tree.batch()
    assert tree._search() is None and tree.n_open > 1  # nothing new: it goes on
    # as if only a poor point were known, and the best one were among the starts left
    tree.incumbent._best = float(best.value) + 10.0, best.full
    tree.incumbent._left = best.full[None, inner.columns]
    bound = tree.bound
    tree.nodes = 100
    assert tree._search() is None
    assert tree.incumbent.value <= best.value + 1e-6
    assert tree.n_open <= 1 and tree.bound >= bound
    assert tree._run() == "optimal"
    assert tree.bound <= best.value + 1e-9 <= tree.incumbent.value + 1e-3


def test_an_old_tree_goes_on_whatever_is_found():
    given = read_model(flowsheet((1.0, 1.0, 1.0))).problem
    inner = build_problem(given.original.in_unit_range())
    tree = Tree(inner, BranchOptions(), Deadline())
    tree._begin()
    full, value = tree.incumbent.full, tree.incumbent.value
    tree.batch()
    tree.incumbent._best = value + 10.0, full
    tree.incumbent._left = full[None, inner.columns]
    tree.nodes = 10_000
    assert not tree.searches.run()
    assert tree.incumbent.value <= value + 1e-6
