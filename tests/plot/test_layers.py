"""Bounds of a network: what is drawn is what the records say."""

import numpy as np
import pytest

from pyomo_relu import plot
from pyomo_relu.bounds import crown_bounds, interval_bounds
from pyomo_relu.errors import BoundsError
from tests.networks import chain
from tests.plot.pictures import curve, legend, rendered

NETWORK = chain([2, 4, 3, 2], seed=3)
BOX = [-1.0, -1.0], [1.0, 1.0]
RECORDS = {
    "interval": interval_bounds(NETWORK, *BOX),
    "CROWN": crown_bounds(NETWORK, *BOX),
}


def test_widths_per_layer():
    ax = rendered(plot.bound_widths(RECORDS))
    for method, record in RECORDS.items():
        _, widths = curve(ax, method)
        assert widths.tolist() == [record.mean_width(k) for k in range(3)]
    assert ax.get_yscale() == "log" and legend(ax) == list(RECORDS)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "outputs"]


@pytest.mark.parametrize("layer, label", [(0, "neuron of layer 0"), (2, "output")])
def test_intervals_per_neuron(layer, label):
    ax = rendered(plot.bound_intervals(RECORDS, layer))
    assert ax.get_xlabel() == label and legend(ax) == list(RECORDS)
    for bars, record in zip(ax.containers, RECORDS.values(), strict=True):
        low = np.array([bar.get_y() for bar in bars])
        high = low + [bar.get_height() for bar in bars]
        assert np.allclose(low, record.lower[layer])
        assert np.allclose(high, record.upper[layer])
        centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        assert np.round(centres).tolist() == list(range(len(bars)))
    bottom, top = ax.get_ylim()
    assert bottom < RECORDS["interval"].lower[layer].min()
    assert top > RECORDS["interval"].upper[layer].max()


def test_one_record_needs_no_name():
    assert legend(rendered(plot.bound_widths(RECORDS["CROWN"]))) == ["in force"]


def test_refusals():
    with pytest.raises(BoundsError, match="no layer 3; layers are counted from 0 to 2"):
        plot.bound_intervals(RECORDS, 3)
    with pytest.raises(BoundsError, match="no bounds given"):
        plot.bound_widths({})
    other = interval_bounds(NETWORK, [0, 0], [1, 1])
    with pytest.raises(BoundsError, match="different input boxes"):
        plot.bound_widths({"a": other, **RECORDS})
