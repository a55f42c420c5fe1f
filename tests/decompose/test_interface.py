"""Progress, offered points, stopping."""

import numpy as np
import pytest

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.statuses import INTERRUPTED, OPTIMAL
from pyomo_relu.decompose.decompose import decompose
from tests.decompose.models import coupled

#: Without MILPs, which tell nothing on the way.
TREE = BranchOptions(milp_neurons=0)


class Enough(Exception):
    pass


def scaled(model):
    """The model with one column in far units."""
    from dataclasses import replace

    from scipy import sparse

    size = np.ones(model.n_columns)
    size[~model.linear.integer] = 2.0**20
    linear = model.linear.replace(
        matrix=sparse.csr_array(model.linear.matrix @ sparse.diags_array(1 / size)),
        lower=model.linear.lower * size,
        upper=model.linear.upper * size,
    )
    functions = tuple(f.in_units(1 / size) for f in model.functions)
    return replace(model, linear=linear, functions=functions, costs=model.costs / size)


@pytest.mark.parametrize("far", [False, True])
def test_progress_tells_and_takes_points(far):
    model = scaled(coupled(2)) if far else coupled(2)
    best = decompose(model, TREE)
    assert best.status == OPTIMAL
    seen = []

    def progress(run):
        if not seen:
            run.offer(best.full)
            run.offer(np.full(3, np.nan))  # no point at all
        seen.append((run.bound, run.incumbent.value, run.nodes, run.seconds, run.open))
        if run.incumbent.full is not None:
            assert model.objective(run.incumbent.full) == pytest.approx(
                run.incumbent.value
            )

    found = decompose(model, TREE, progress)
    assert found.status == OPTIMAL
    assert len(seen) == found.nodes + 1
    if len(seen) > 1:
        assert seen[1][1] <= best.value + 1e-9 * abs(best.value)
    assert all(bound <= best.value + 1e-9 * abs(best.value) for bound, *_ in seen)


def test_a_start_is_tried():
    model = coupled(2)
    best = decompose(model, TREE)
    values = []
    decompose(
        model,
        BranchOptions(start=best.full, milp_neurons=0),
        lambda run: values.append(run.incumbent.value),
    )
    assert values[0] <= best.value + 1e-9


def test_what_progress_raises_ends_the_run():
    def stop(run):
        raise Enough

    with pytest.raises(Enough):
        decompose(coupled(2), TREE, stop)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupt_keeps_what_is_proven(after):
    model = coupled(2)
    best = decompose(model, TREE)

    def stop(run):
        if run.nodes >= min(after, best.nodes):
            raise KeyboardInterrupt

    found = decompose(model, TREE, stop)
    assert found.status == INTERRUPTED
    assert found.bound <= best.value + 1e-9
    assert found.value >= best.bound - 1e-9
