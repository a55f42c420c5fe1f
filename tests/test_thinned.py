"""What is left of crossed parameters without ``--dense``."""

import itertools
from collections import Counter

import pytest

from tests.thinned import covering, examples

CROSSED = list(itertools.product(range(7), range(3), range(5)))


@pytest.mark.parametrize("times", [1, 2, 5])
def test_every_value_occurs_often_enough_and_the_longest_says_how_many(times):
    kept = [CROSSED[i] for i in covering(CROSSED, times)]
    for axis, values in enumerate((7, 3, 5)):
        count = Counter(case[axis] for case in kept)
        assert len(count) == values and min(count.values()) >= times
    assert len(kept) <= 7 * times + 2


def test_pairs_meet_early():
    kept = [CROSSED[i] for i in covering(CROSSED, 5)]
    assert len({(first, last) for first, _, last in kept}) >= 30


def test_dense_runs_try_more_examples(request):
    dense = request.config.getoption("--dense")
    assert examples(3, 10) == (10 if dense else 3)


def test_values_with_few_cases_keep_them_all():
    assert covering([(0, 0), (0, 1), (1, 0)], 3) == {0, 1, 2}
    assert covering([], 3) == set()


@pytest.mark.covering(1)
@pytest.mark.parametrize("one", range(6))
@pytest.mark.parametrize("other, same", [(i, i) for i in range(4)])
def test_the_marker_leaves_few(one, other, same, request):
    assert other == same
    if request.config.getoption("--dense"):
        return
    of_this = [
        i for i in request.session.items if i.originalname == request.node.originalname
    ]
    assert len(of_this) <= 6
