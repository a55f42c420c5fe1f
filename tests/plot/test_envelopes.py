"""Lines, relaxations and envelopes lie on their side of the network."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock, plot
from pyomo_relu.bounds import crown_bounds, interval_bounds, lp_obbt
from pyomo_relu.bounds.relaxation.curve_rows import lower_hull
from pyomo_relu.errors import BoundsError, ModelError
from tests.networks import chain, residual
from tests.plot.pictures import curve, legend, rendered

BOX = np.array([-1.0, -1.0]), np.array([1.0, 1.0])


def block(network, formulation=None, lower=-1, upper=1, **options):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(network.n_inputs), bounds=(lower, upper))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    if formulation is not None:
        pyo.TransformationFactory(formulation).apply_to(m, **options)
    return m.nn


# -- CROWN ---------------------------------------------------------------------------


def test_crown_lines_of_one_input():
    network = chain([1, 6, 6, 2], seed=1)
    ax = rendered(plot.crown_lines(network, -1, 2, output=1))
    x, y = curve(ax, "network")
    assert np.allclose(y, network.forward(x[:, None])[:, 1])
    for label, sign in (("line below", 1), ("line above", -1)):
        at, line = curve(ax, label)
        assert np.array_equal(at, x) and (sign * (y - line) >= -1e-9).all()
        assert np.ptp(np.diff(line)) < 1e-9  # a line
    assert ax.get_xlabel() == "input 0" and ax.get_ylabel() == "output 1"


def test_crown_planes_of_two_inputs():
    network = residual()
    ax = rendered(plot.crown_lines(block(network)))
    assert ax.name == "3d" and ax.get_xlabel() == "x[0]"
    assert legend(ax) == ["plane above", "plane below"]
    heights = [np.asarray(line.get_data_3d()) for line in ax.get_lines()]
    for (x, y, z), sign in zip(heights, (-1, 1), strict=True):
        f = network.forward(np.column_stack([x, y]))[:, 0]
        assert (sign * (f - z) >= -1e-9).all()


def test_crown_lines_with_fixed_inputs():
    network = chain([3, 5, 1], seed=2)
    ax = plot.crown_lines(network, [0.5, -1, 0.2], [0.5, 1, 0.2])
    x, y = curve(rendered(ax), "network")
    X = np.column_stack([np.full(x.size, 0.5), x, np.full(x.size, 0.2)])
    assert np.allclose(y, network.forward(X)[:, 0]) and ax.get_xlabel() == "input 1"


def test_crown_refusals():
    import matplotlib.pyplot as plt

    network = chain([3, 4, 1])
    with pytest.raises(BoundsError, match="3 inputs .* vary .* shows 1 to 2"):
        plot.crown_lines(network, -1, 1)
    with pytest.raises(BoundsError, match="needs the input box"):
        plot.crown_lines(network)
    with pytest.raises(BoundsError, match="output must be from 0 to 0"):
        plot.crown_lines(network, [-1, 0, 0], [1, 0, 0], output=1)
    figure, ax = plt.subplots()
    with pytest.raises(ModelError, match="projection"):
        plot.crown_lines(chain([2, 4, 1]), -1, 1, ax=ax)
    plt.close(figure)


# -- relaxations along an input ------------------------------------------------------


def sides(ax, n):
    """Lower and upper curve of relaxation n (or the envelope, the last one)."""
    lines = [np.asarray(line.get_ydata(), float) for line in ax.get_lines()]
    return lines[2 * n : 2 * n + 2]


@pytest.mark.parametrize("network", [chain([2, 6, 5, 1], seed=4), residual(3)])
def test_relaxations_contain_the_envelope_and_it_the_network(network):
    records = {
        "interval": interval_bounds(network, *BOX),
        "CROWN": crown_bounds(network, *BOX),
    }
    at = [0.3, -0.2]
    ax = rendered(plot.relaxation_slice(records, 1, 0, at, points=15))
    y = np.linspace(-1, 1, 15)
    f = network.forward(np.column_stack([np.full(15, 0.3), y]))[:, 0]
    (wide, tight), envelope = (sides(ax, 0), sides(ax, 1)), sides(ax, 2)
    for outer, inner in ((wide, tight), (tight, envelope), (envelope, (f, f))):
        assert (outer[0] <= inner[0] + 1e-6).all()
        assert (outer[1] >= inner[1] - 1e-6).all()
    for low, high in (wide, tight, envelope):
        assert (np.diff(low, 2) >= -1e-6).all() and (np.diff(high, 2) <= 1e-6).all()
    assert legend(ax) == [*records, "convex and concave envelope", "network"]


def test_envelope_of_one_input_is_the_hull_of_its_graph():
    network = chain([1, 7, 5, 1], seed=6)
    bounds = interval_bounds(network, [-1], [2])
    ax = plot.relaxation_slice(bounds, points=31)
    x = np.linspace(-1, 2, 20_001)
    f = network.forward(x[:, None])[:, 0]
    for drawn, sign in zip(sides(rendered(ax), 1), (1, -1), strict=True):
        corners = lower_hull(x, sign * f)
        hull = sign * np.interp(np.linspace(-1, 2, 31), x[corners], sign * f[corners])
        assert np.allclose(drawn, hull, atol=1e-3)


def test_relaxation_of_an_encoded_block_is_that_of_its_bounds():
    network = chain([2, 5, 4, 1], seed=8)
    encoded, bounds = block(network, "relu.bigm"), interval_bounds(network, *BOX)
    ax = rendered(plot.relaxation_slice({"rows": encoded, "bounds": bounds}, points=9))
    for ours, theirs in zip(sides(ax, 0), sides(ax, 1), strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    assert ax.get_xlabel() == "x[0]" and ax.get_ylabel() == "nn.outputs[0]"


@pytest.mark.parametrize(
    "formulation, options",
    [("relu.partition", {"n_parts": 2}), ("relu.cells", {"max_cells": 8})],
)
def test_other_formulations_are_valid_and_no_looser(formulation, options):
    network = chain([2, 5, 4, 1], seed=9)
    given = {
        "big-M": block(network, "relu.bigm"),
        formulation: block(network, formulation, **options),
    }
    ax = rendered(plot.relaxation_slice(given, points=9))
    (bigm, other), envelope = (sides(ax, 0), sides(ax, 1)), sides(ax, 2)
    assert (bigm[0] <= other[0] + 1e-6).all() and (bigm[1] >= other[1] - 1e-6).all()
    assert (other[0] <= envelope[0] + 1e-6).all()
    assert (other[1] >= envelope[1] - 1e-6).all()


@pytest.mark.parametrize("formulation", ["relu.bigm", "relu.partition", "relu.cells"])
def test_relaxations_over_inputs_in_far_units_are_those_of_the_model(formulation):
    far = Network.sequential(
        [[[1e-5, -2e-5], [2e-5, 1e-5], [-1e-5, 1e-5]], [[100.0, 80.0, -50.0]]],
        [[1.5, -5.0, 0.3], [1000.0]],
    )
    nn = block(far, formulation, 1e5, 3e5)
    ax = rendered(plot.relaxation_slice(nn, at=[2e5, 1.5e5], points=3))
    m = nn.model()
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(m)
    m.x[1].fix(1.5e5)
    for sense, drawn in zip((1, -1), sides(ax, 0), strict=True):
        m.del_component("goal")
        m.goal = pyo.Objective(expr=sense * nn.output_vars()[0])
        for at, end in zip((1e5, 2e5, 3e5), drawn, strict=True):
            m.x[0].fix(at)
            pyo.SolverFactory("appsi_highs").solve(m)
            assert nn.output_vars()[0].value == pytest.approx(end, rel=1e-6)


def test_rows_that_are_not_linear_have_no_linear_relaxation():
    nn = block(chain([2, 3, 1]), "relu.complementarity")
    with pytest.raises(ModelError, match="not linear .relu.complementarity.*relu.bigm"):
        plot.relaxation_slice(nn)


def test_many_inputs_have_no_envelope_and_fixed_ones_do_not_vary():
    network = chain([4, 5, 1], seed=1)
    bounds, _ = lp_obbt(network, interval_bounds(network, [-1] * 4, [1] * 4))
    ax = rendered(plot.relaxation_slice(bounds, 2, points=5))
    assert legend(ax) == ["relaxation", "network"]
    fixed = interval_bounds(network, [-1, 0, 0, 0], [1, 0, 0, 0])
    assert "convex" in " ".join(legend(plot.relaxation_slice(fixed, 0, points=5)))
    with pytest.raises(BoundsError, match="input 2 has one value only"):
        plot.relaxation_slice(fixed, 2)


def test_slice_refusals():
    bounds = interval_bounds(chain([2, 3, 1]), *BOX)
    with pytest.raises(BoundsError, match="outside the box"):
        plot.relaxation_slice(bounds, at=[0, 3])
    with pytest.raises(BoundsError, match="input must be from 0 to 1"):
        plot.relaxation_slice(bounds, 2)
    with pytest.raises(BoundsError, match="points must be a whole number"):
        plot.relaxation_slice(bounds, points=1)
    with pytest.raises(BoundsError, match="no bounds given"):
        plot.relaxation_slice({})
    other = interval_bounds(Network.sequential([[[1, 1]]], [[0]]), *BOX)
    with pytest.raises(BoundsError, match="compare one network only"):
        plot.relaxation_slice({"a": bounds, "b": other})
