"""When a tree dives: always without a point, later where its share has to come first."""

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.points.searches import Searches
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


def test_who_coordinates_leaves_dives_to_workers():
    assert Coordinator(None, 2).for_a_dive == float("inf")
    alone = Coordinator(None, 2)
    alone.workers.usable = False
    assert alone.for_a_dive == 0.0
