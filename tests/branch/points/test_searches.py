"""When a tree dives and when it begins anew."""

from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.points.searches import FOR_A_DIVE_IN_A_TASK, Searches
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.subtrees.coordinator import Coordinator
from pyomo_relu.branch.tree.helpers import ALONE
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from tests.branch.subtrees.problems import OPTIONS, problem
from tests.branch.test_atoms import flowsheet


def test_dives_wait_for_their_share_once_a_point_is_known():
    tree = Tree(problem(), BranchOptions(**OPTIONS), Deadline())
    tree._begin()
    assert tree.incumbent.value < float("inf")
    for least, dives in ((float("inf"), False), (0.0, True)):
        searches = Searches(tree)
        share = searches._diving.seconds(1.0)
        searches.run(least)
        assert (searches._diving.seconds(1.0) < share) == dives


def test_who_coordinates_leaves_searches_to_workers_that_are_about_to_begin():
    with_workers = Coordinator(None, 2)
    assert with_workers.about_to_search
    assert with_workers.for_a_dive == FOR_A_DIVE_IN_A_TASK
    with_workers.workers.usable = False
    assert not with_workers.about_to_search
    assert with_workers.for_a_dive == 0.0 == ALONE.for_a_dive
    assert not ALONE.about_to_search


def test_time_in_which_helpers_were_waited_for_is_nobodys_share():
    tree = Tree(problem(), BranchOptions(**OPTIONS), Deadline())
    tree._begin()
    tree.helped = tree.seconds + 1e9
    searches = Searches(tree)
    share = searches._diving.seconds(1.0)
    searches.run()
    assert searches._diving.seconds(1.0) == share


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
    assert not tree._searches.run()
    assert tree.incumbent.value <= value + 1e-6
