"""When a tree dives: always without a point, later where its share has to come first."""

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.helpers import ALONE
from pyomo_relu.branch.points.searches import FOR_A_DIVE_IN_A_TASK, Searches
from pyomo_relu.branch.subtrees.coordinator import Coordinator
from pyomo_relu.branch.tree import Tree
from pyomo_relu.common.deadline import Deadline
from tests.branch.subtrees.problems import OPTIONS, problem


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
