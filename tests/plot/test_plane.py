"""Regions, cells and boxes: they cover the box, and the network is as drawn."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock, plot
from pyomo_relu.analysis import count_regions
from pyomo_relu.errors import BoundsError, ModelError, TransformationError
from tests.networks import chain
from tests.plot.pictures import rendered

NETWORK = chain([2, 6, 5, 2], seed=5)


def model(network=NETWORK, formulation=None, scale=1.0, **options):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(network.n_inputs), bounds=(-scale, 2 * scale))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    if formulation is not None:
        pyo.TransformationFactory(formulation).apply_to(m, **options)
    return m


def outlines(ax):
    """Corners of all shapes that were drawn over the contours."""
    (shapes,) = [c for c in ax.collections if type(c).__name__ == "PolyCollection"]
    return [path.vertices[:-1] for path in shapes.get_paths()]


def area(corners):
    x, y = corners.T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def test_regions_tile_the_box_and_the_network_is_affine_on_each():
    ax = rendered(plot.regions(NETWORK, [-1, -1], [2, 2], output=1))
    shapes = outlines(ax)
    assert len(shapes) == count_regions(NETWORK, [-1, -1], [2, 2]).lower_bound
    assert sum(map(area, shapes)) == pytest.approx(9)
    for corners in shapes[:20]:
        # affine: the mean of the values is the value at the mean
        values = NETWORK.forward(corners).mean(axis=0)
        assert np.allclose(values, NETWORK.forward(corners.mean(axis=0)), atol=1e-9)
    assert ax.get_xlim() == (-1, 2) and ax.get_ylim() == (-1, 2)
    (bar,) = [a for a in ax.figure.axes if a is not ax]
    assert bar.get_ylabel() == "output 1"


def test_pieces_of_one_input():
    network = chain([1, 6, 5, 1], seed=5)
    ax = rendered(plot.regions(network, -1, 2))
    curve, marks = ax.get_lines()
    x, y = marks.get_data()
    assert np.allclose(y, network.forward(np.asarray(x)[:, None])[:, 0])
    assert len(x) == count_regions(network, -1, 2).lower_bound + 1
    fine = np.linspace(-1, 2, 1001)
    drawn = np.interp(fine, x, y)  # the marks are all the kinks there are
    assert np.allclose(drawn, network.forward(fine[:, None])[:, 0], atol=1e-9)
    assert np.allclose(curve.get_ydata(), np.interp(curve.get_xdata(), x, y))


def test_cells_tile_the_box():
    m = model(formulation="relu.cells", max_cells=12)
    ax = rendered(plot.cells(m.nn))
    lower, _ = pyo.TransformationFactory("relu.cells").get_cells(m.nn)
    assert len(outlines(ax)) == len(lower)
    assert sum(map(area, outlines(ax))) == pytest.approx(9)
    assert ax.get_xlabel() == "x[0]"
    drawn = sorted(tuple(c.min(axis=0)) for c in outlines(ax))
    assert np.allclose(drawn, sorted(map(tuple, lower)))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_visited_boxes_hold_the_optimum(scale):
    m = model(scale=scale)
    lower, upper = plot.visited_boxes(m.nn, milp_neurons=0)
    assert all(x.value is None for x in m.nn.input_vars())
    assert lower.shape == upper.shape == (len(lower), 2) and (lower <= upper).all()
    assert lower.min() >= -scale * (1 + 1e-9) and upper.max() <= 2 * scale * (1 + 1e-9)
    pyo.SolverFactory("relu.branch").solve(m)
    best = np.array([x.value for x in m.nn.input_vars()])
    inside = (lower <= best + 1e-3 * scale) & (best - 1e-3 * scale <= upper)
    assert inside.all(axis=1).any()
    ax = rendered(plot.boxes(m.nn, lower, upper))
    assert sorted(map(area, outlines(ax))) == pytest.approx(
        sorted(np.prod(upper - lower, axis=1)), rel=1e-6, abs=1e-9 * scale**2
    )


def test_visited_boxes_of_one_network_among_others_with_fixed_inputs():
    m = model()
    m.other = ReLUNetworkBlock(network=chain([2, 3, 1]), inputs=[m.x[0], m.x[1]])
    m.x[1].fix(0.5)
    lower, upper = plot.visited_boxes(m.other)
    assert (lower[:, 1] == 0.5).all() and (upper[:, 1] == 0.5).all()
    rendered(plot.boxes(m.nn, lower, upper))  # one input varies: marks on a curve


def test_refusals():
    with pytest.raises(BoundsError, match="more than 3 linear regions"):
        plot.regions(NETWORK, -1, 2, max_regions=3)
    with pytest.raises(BoundsError, match="3 inputs .* vary"):
        plot.regions(chain([3, 4, 1]), -1, 1)
    with pytest.raises(TransformationError):
        plot.cells(model().nn)
    with pytest.raises(TransformationError, match="has no cells"):
        plot.cells(model(formulation="relu.bigm").nn)
    with pytest.raises(ModelError, match="cells: block must be a network block"):
        plot.cells(NETWORK)
    with pytest.raises(
        ModelError, match="visited_boxes: block must be a network block"
    ):
        plot.visited_boxes(NETWORK)
    with pytest.raises(ModelError, match="Did you mean 'mip_gap'"):
        plot.visited_boxes(model().nn, mipgap=1)
    with pytest.raises(BoundsError, match=r"must have shape \(B, 2\)"):
        plot.boxes(NETWORK, [[0.0]], [[1.0]], -1, 1)
    with pytest.raises(BoundsError, match="boxes: ends must be numbers"):
        plot.boxes(NETWORK, "all", [[1.0, 1.0]], -1, 1)


def test_an_indexed_block_asks_for_one_of_its_members():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], range(2), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        [1, 2],
        network=chain([2, 3, 1]),
        inputs=lambda m, t: [m.x[t, 0], m.x[t, 1]],
    )
    for picture in (plot.regions, plot.crown_lines, plot.bound_widths):
        with pytest.raises(BoundsError, match=r"several networks.*such as nn\[1\]"):
            picture(m.nn)
