"""What tests of pictures share: a check of any Axes, and the artists' data."""

import io

import numpy as np
import pytest

pytest.importorskip("matplotlib")


def rendered(ax):
    """The Axes, once it is known that its figure draws and that it says what it shows."""
    import matplotlib.pyplot as plt

    labels = [ax.get_xlabel(), ax.get_ylabel()]
    if ax.name == "3d":
        labels.append(ax.get_zlabel())
    assert all(labels), labels
    assert ax.get_title() == ""
    # readable from the last row: at least 12 points on a figure of this size
    assert ax.xaxis.label.get_size() >= 12
    assert all(tick.get_size() >= 12 for tick in ax.get_xticklabels())
    out = io.BytesIO()
    ax.figure.savefig(out, format="png", dpi=50)
    assert out.getvalue().startswith(b"\x89PNG") and len(out.getvalue()) > 2000
    plt.close(ax.figure)
    return ax


def curve(ax, label):
    """x and y of the line with this label."""
    (line,) = [entry for entry in ax.get_lines() if entry.get_label() == label]
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def legend(ax):
    """Texts of the legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]
