"""A subtree as a task: what it returns covers what it was given, anywhere."""

import pickle
import threading
from functools import cache

import numpy as np
import pytest

from pyomo_relu.branch.bounding.root import tightened_root
from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.subtrees.task import (
    Budget,
    NeedsProblem,
    Subtree,
    pack,
    work_on,
)
from pyomo_relu.branch.tree.handover import Handover
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from tests.branch.subtrees.problems import (
    ALL_BELOW,
    assert_covered,
    optimum,
    problem,
    values,
)


@cache
def begun():
    """A tree after a few batches, and its problem as it travels."""
    root = tightened_root(problem())
    tree = Tree(root, BranchOptions(**ALL_BELOW, node_limit=20), Deadline())
    assert tree.run() == "node limit"
    return tree, pack(root, BranchOptions(**ALL_BELOW), Handover(0))


def subtree(nodes_limit, key="a", with_problem=True, seconds=1e9, **more):
    """A task with the boxes that are open after a few batches."""
    tree, packed = begun()
    given = {
        "nodes": tree.open.nodes,
        "value": tree.incumbent.value,
        "full": tree.incumbent.full,
        **more,
    }
    return Subtree(
        key=key,
        number=1,
        problem=packed if with_problem else None,
        deadline=Deadline(),
        budget=Budget(seconds, nodes_limit),
        **given,
    )


@pytest.mark.parametrize("limit", [1, 40, 200])
def test_what_comes_back_covers_what_was_given(limit):
    task = subtree(limit, f"covers {limit}")
    result = work_on(pickle.loads(pickle.dumps(task)))
    result = pickle.loads(pickle.dumps(result))
    assert result.evaluated >= 2
    assert_covered(task.nodes, result.limits, result.nodes)
    assert not result.interrupted and result.worker and result.cpu >= 0.0


def test_without_a_known_point_it_finds_its_own():
    task = subtree(100, "no point", value=np.inf, full=None)
    result = work_on(task)
    assert optimum() - 1e-6 <= result.value < np.inf
    original = problem().original
    assert original.violation(result.full[None])[0] <= 1e-6
    assert_covered(task.nodes, result.limits, result.nodes)


def test_a_budget_of_no_seconds_still_gets_on():
    """So a slow worker does not take the same boxes for ever."""
    task = subtree(np.inf, "no seconds", seconds=0.0)
    result = work_on(task)
    assert result.evaluated >= 2
    assert_covered(task.nodes, result.limits, result.nodes)


def test_an_own_point_is_returned_only_if_it_is_better():
    points, objective = values()
    best = points[objective.argmin()]
    full = problem().complete(best[None])[0]
    known = float(objective.min())
    result = work_on(subtree(30, "better", value=known, full=full))
    assert (result.full is None) == (result.value == np.inf)
    assert result.full is None or result.value < known


def test_the_problem_travels_once():
    answers = []

    def worker():
        for with_problem in (False, True, False):
            answers.append(work_on(subtree(4, "once", with_problem)))

    thread = threading.Thread(target=worker)  # a worker that has nothing yet
    thread.start()
    thread.join()
    assert isinstance(answers[0], NeedsProblem)
    assert len(answers[1].nodes) and len(answers[2].nodes)
    full = len(pickle.dumps(subtree(4)))
    assert len(pickle.dumps(subtree(4, with_problem=False))) < 0.5 * full


def test_a_task_without_boxes_prepares_its_worker():
    answers = []

    def worker():
        nothing = begun()[0].open.best(0)
        answers.append(work_on(subtree(4, "prepared", nodes=nothing)))
        answers.append(work_on(subtree(4, "prepared", False)))

    thread = threading.Thread(target=worker)
    thread.start()
    thread.join()
    assert answers[0].evaluated == len(answers[0].nodes) == 0
    assert np.isinf(answers[0].limits.least)
    assert len(answers[1].nodes) and answers[1].evaluated


@pytest.mark.parametrize("searches", [True, False])
def test_with_and_without_searches(searches):
    state = begun()[0].searches.state if searches else None
    task = subtree(40, f"searches {searches}", searched=state)
    assert_covered(task.nodes, (result := work_on(task)).limits, result.nodes)
    assert (result.searched is not None) == searches


def test_a_task_of_one_batch_searches_too():
    """Else short tasks would find no points, and all boxes be bounded without them."""
    tree = begun()[0]
    state, work = tree.searches.state, 1e6
    task = subtree(1, "one batch", searched=state, worked=work, seconds=1.0)
    result = work_on(task)
    assert result.searched.diving.seconds(work) < state.diving.seconds(work)
    assert_covered(task.nodes, result.limits, result.nodes)


def test_a_worker_forgets_old_runs():
    def worker():
        for key in "abcd":
            work_on(subtree(4, key))
        answers.extend(work_on(subtree(4, key, with_problem=False)) for key in "abcd")

    answers = []
    thread = threading.Thread(target=worker)
    thread.start()
    thread.join()
    kept = [not isinstance(answer, NeedsProblem) for answer in answers]
    assert kept == [False, False, True, True]


def test_boxes_that_were_bounded_are_returned_on_request():
    result = work_on(subtree(20, "visited", visited=True))
    assert result.visited
    for lower, upper in result.visited:
        assert (lower <= upper).all()
    assert not work_on(subtree(20, "visited")).visited


def test_the_given_boxes_stay_as_they_are():
    task = subtree(40, "pure")
    before = pickle.loads(pickle.dumps(task.nodes))
    work_on(task)
    for name in ("lower", "upper", "column", "duals"):
        assert np.array_equal(getattr(task.nodes, name), getattr(before, name))
    assert isinstance(task.nodes, Nodes)
