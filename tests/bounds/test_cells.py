"""Cells: they cover the box, their lines hold, pieces of one input are the network."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu import Network
from pyomo_relu.bounds import interval_bounds
from pyomo_relu.bounds.cells.partition import CellPartition
from pyomo_relu.bounds.cells.pieces import affine_pieces
from pyomo_relu.bounds.cells.refinement import CellRefinement
from pyomo_relu.bounds.cells.relaxation import CellRelaxation
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network.pieces import breakpoints
from tests.networks import chain, residual


def check_cells(partition, lower, upper, n=2000):
    """Every point lies in a cell, where all bounds and lines hold."""
    network = partition.network
    X = np.random.default_rng(0).uniform(lower, upper, (n, network.n_inputs))
    pre = network.propagate(X)[0]
    A_low, c_low, A_high, c_high = partition.lines
    slack = 1e-9
    for point, *values in zip(X, *pre, strict=True):
        inside = (partition.lower <= point) & (point <= partition.upper)
        cells = np.flatnonzero(inside.all(axis=1))
        assert cells.size
        for c in cells:
            for lo, hi, v in zip(
                partition.lowers, partition.uppers, values, strict=True
            ):
                assert np.all(lo[c] - slack <= v) and np.all(v <= hi[c] + slack)
            y = values[-1]
            assert np.all(A_low[c] @ point + c_low[c] <= y + slack)
            assert np.all(A_high[c] @ point + c_high[c] >= y - slack)


@pytest.mark.parametrize("network", [chain([2, 8, 7, 2], seed=1), residual(3)])
def test_cells_cover_the_box_and_bounds_hold(network):
    partition = CellPartition(interval_bounds(network, -1.0, 2.0))
    first = partition.gaps().max()
    partition.refine(40)
    assert len(partition) == 40
    area = np.prod(partition.upper - partition.lower, axis=1).sum()
    assert area == pytest.approx(9.0)
    assert partition.gaps().max() < 0.5 * first
    check_cells(partition, -1.0, 2.0)


def test_breakpoints_are_where_the_network_bends():
    network = Network.sequential(
        [[[1.0], [1.0]], [[1.0, -2.0]], [[1.0]]], [[0.0, -0.5], [-0.25], [0.0]]
    )
    # v1 = max(0, x) - 2 max(0, x - 0.5) - 0.25 crosses zero at 0.25 and 0.75
    np.testing.assert_allclose(breakpoints(network, -1, 2), [-1, 0, 0.25, 0.5, 0.75, 2])
    pieces = affine_pieces(interval_bounds(network, -1.0, 2.0), 10)
    # the output is flat from -1 to 0.25, so there is no corner at 0
    np.testing.assert_allclose(pieces.lower[:, 0], [-1, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("ceilings", [None, [0.4, [0.3, np.inf] * 5]])
def test_pieces_of_one_input_are_the_network(ceilings):
    network = chain([1, 12, 10, 2], seed=3, ceilings=ceilings)
    pieces = affine_pieces(interval_bounds(network, -3.0, 3.0), 200)
    assert pieces.exact and len(pieces) > 5
    check_cells(pieces, -3.0, 3.0)
    for c in range(len(pieces)):
        x = np.linspace(pieces.lower[c], pieces.upper[c], 7)
        line = x @ pieces.lines[0][c].T + pieces.lines[1][c]
        np.testing.assert_allclose(line, network.forward(x), atol=1e-10)


def test_too_many_pieces_give_none():
    network = chain([1, 12, 10, 2], seed=3)
    assert affine_pieces(interval_bounds(network, -3.0, 3.0), 3) is None


def test_pieces_need_one_input():
    with pytest.raises(BoundsError, match="2 do. Use CellPartition.refine"):
        affine_pieces(interval_bounds(chain([2, 3, 1]), -1.0, 1.0), 5)


def test_a_point_is_one_cell():
    network = chain([2, 5, 1])
    partition = CellPartition(interval_bounds(network, 0.3, 0.3))
    partition.refine(10)
    assert len(partition) == 1
    assert len(affine_pieces(interval_bounds(chain([1, 4, 1]), 0.3, 0.3), 5)) == 1


# -- with a model ----------------------------------------------------------------------


def box_and_output(lower, upper, output=(-np.inf, np.inf)):
    """Columns x0, x1, y and no rows."""
    return LinearModel(
        sparse.csr_array((0, 3)),
        [],
        [],
        [lower, lower, output[0]],
        [upper, upper, output[1]],
    )


def test_guided_refinement_finds_the_minimum():
    network = chain([2, 10, 10, 1], seed=5)
    bounds = interval_bounds(network, -1.0, 1.0)
    columns = np.array([0, 1]), np.array([2])
    partition = CellPartition(bounds)
    refinement = CellRefinement(
        box_and_output(-1.0, 1.0), [0.0, 0.0, 1.0], [(partition, *columns, 400)]
    )
    assert refinement.run(tolerance=1e-4) == "tolerance"
    assert np.all(np.diff(refinement.values) >= -1e-6)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 201)] * 2), -1).reshape(-1, 2)
    best = network.forward(grid).min()
    width = (bounds.upper[-1] - bounds.lower[-1])[0]
    assert best - 2e-3 * width <= refinement.values[-1] <= best
    check_cells(partition, -1.0, 1.0, n=500)
    few = CellPartition(bounds)
    refinement.partitions, refinement.limits = [few], [5]
    assert refinement.run(tolerance=1e-9) == "cells"
    assert len(few) == 5
    assert refinement.run(tolerance=1e-9, time_limit=0.0) == "time"


def test_outputs_without_a_price_are_refined_too():
    network = chain([2, 10, 10, 1], seed=5)
    bounds = interval_bounds(network, -1.0, 1.0)
    partition = CellPartition(bounds)
    columns = np.array([0, 1]), np.array([2])
    refinement = CellRefinement(
        box_and_output(-1.0, 1.0), np.zeros(3), [(partition, *columns, 50)]
    )
    assert refinement.run(tolerance=1e-3) in ("tolerance", "cells")
    assert len(partition) > 1
    check_cells(partition, -1.0, 1.0, n=300)


def relaxed(partition, costs=(0.0, 0.0, 1.0)):
    columns = np.array([0, 1]), np.array([2])
    model = box_and_output(-1.0, 1.0)
    network = EmbeddedNetwork(partition.network, *columns)
    embedded = EmbeddedModel(model, [network], costs)
    return CellRelaxation(embedded, [partition]).solve()


@pytest.mark.parametrize("costs", [(0.0, 0.0, 1.0), (0.7, -0.4, 1.0), (0.1, 0.0, -1.0)])
def test_merging_cells_of_no_use_keeps_the_relaxation(costs):
    partition = CellPartition(interval_bounds(chain([2, 10, 10, 1], seed=5), -1.0, 1.0))
    partition.refine(120)
    value, (use,) = relaxed(partition, costs)
    reduced = use.prices.reduced_costs(partition.cells)
    assert reduced.min() >= -1e-7
    assert np.all(np.abs(reduced[use.weight > 1e-6]) <= 1e-7)
    partition.merge(10**6, use.prices.reduced_costs)
    assert len(partition) == 120
    partition.merge(10**6, use.prices.reduced_costs, 0.0)
    assert len(partition) < 120
    assert relaxed(partition, costs)[0] == pytest.approx(value, abs=1e-6)
    check_cells(partition, -1.0, 1.0, n=300)
    area = np.prod(partition.upper - partition.lower, axis=1).sum()
    assert area == pytest.approx(4.0)
    partition.merge(1, use.prices.reduced_costs)
    assert len(partition) == 1
    partition.merge(1, use.prices.reduced_costs)


def test_merging_where_a_half_was_empty():
    network = chain([2, 8, 8, 1], seed=7)
    bounds = interval_bounds(network, -1.0, 1.0)
    rows = np.array([[-1.0, -1.0]]), np.zeros((1, 1)), np.array([-0.5])
    partition = CellPartition(bounds, rows)
    partition.refine(60)
    allowed = np.random.default_rng(1).uniform(-1, 1, (3000, 2))
    allowed = allowed[allowed.sum(axis=1) >= 0.5]
    for n in (40, 7, 2, 1):
        partition.merge(n, lambda boxes: -boxes.lower[:, 0])
        assert len(partition) <= n
        inside = (partition.lower <= allowed[:, None]) & (
            allowed[:, None] <= partition.upper
        )
        assert inside.all(axis=2).any(axis=1).all()


def test_the_relaxation_is_the_least_of_the_cells_lines():
    partition = CellPartition(interval_bounds(chain([2, 10, 10, 1], seed=5), -1.0, 1.0))
    partition.refine(6)
    value, (use,) = relaxed(partition)
    A, c, *_ = partition.lines
    ends = A[:, 0] * partition.lower, A[:, 0] * partition.upper
    least = c[:, 0] + np.minimum(*ends).sum(axis=1)
    assert value == pytest.approx(least.min())
    assert use.weight[least.argmin()] == pytest.approx(1.0)


def test_no_optimum_stops_the_refinement():
    partition = CellPartition(interval_bounds(chain([2, 4, 1]), -1.0, 1.0))
    columns = np.array([0, 1]), np.array([2])
    model = box_and_output(2.0, 3.0)
    refinement = CellRefinement(model, [0, 0, 1.0], [(partition, *columns, 9)])
    assert refinement.run() == "no optimum"
    assert len(partition) == 1


def test_rows_of_the_model_empty_cells():
    """Only cells that reach y <= its median and x0 + x1 >= 0.5 are kept."""
    network = chain([2, 8, 8, 1], seed=7)
    bounds = interval_bounds(network, -1.0, 1.0)
    X = np.random.default_rng(1).uniform(-1, 1, (3000, 2))
    y = network.forward(X)[:, 0]
    level = np.median(y)
    rows = (
        np.array([[0.0, 0.0], [-1.0, -1.0]]),
        np.array([[1.0], [0.0]]),
        np.array([level, -0.5]),
    )
    partition = CellPartition(bounds, rows)
    partition.refine(60)
    area = np.prod(partition.upper - partition.lower, axis=1).sum()
    assert area < 0.8 * 4.0
    allowed = X[(y <= level) & (X.sum(axis=1) >= 0.5)]
    base, step = partition.cell_rows()
    for point in allowed:
        inside = (partition.lower <= point) & (point <= partition.upper)
        cells = np.flatnonzero(inside.all(axis=1))
        assert cells.size
        for c in cells:
            edge = partition.upper[c] - partition.lower[c]
            d = (point - partition.lower[c]) / edge
            assert np.all(base[c] + step[c] @ d <= 1e-9)


def test_rows_that_no_point_satisfies():
    bounds = interval_bounds(chain([2, 4, 1]), -1.0, 1.0)
    rows = np.array([[1.0, 1.0]]), np.array([[0.0]]), np.array([-3.0])
    with pytest.raises(InfeasibleError, match="no point of the input box"):
        CellPartition(bounds, rows)
