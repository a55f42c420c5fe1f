"""What all pictures share: the palette, Axes given, matplotlib missing."""

import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from pyomo_relu import example_network, load_onnx, plot
from pyomo_relu.errors import MissingPackageError, ModelError
from pyomo_relu.plot import style
from tests.networks import chain
from tests.paths import ROOT
from tests.plot.pictures import rendered

#: Machado, Oliveira and Fernandes (2009), severity 1: what is seen, in linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def linear(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_can_be_told_apart(kind):
    seen = [np.clip(np.array(BLINDNESS[kind]) @ linear(c), 0, 1) for c in style.COLOURS]
    seen = [rgb ** (1 / 2.2) for rgb in seen]
    for a, b in itertools.combinations(range(6), 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 0.13, (a, b)


def test_neighbours_differ_in_more_than_colour():
    for n in range(4):
        assert style.line(n) != style.line(n + 1)
        assert style.marker(n) != style.marker(n + 1)
    assert style.colour(0) == style.colour(len(style.COLOURS))


def test_pictures_go_on_the_axes_given_and_settings_stay():
    import matplotlib.pyplot as plt

    before = dict(plt.rcParams)
    with style.context():
        _, (left, right) = plt.subplots(1, 2)
    assert plot.relaxation(-1, 1, ax=right) is right
    assert not left.has_data() and right.has_data()
    rendered(right)
    rendered(plot.relaxation(-1, 1))
    assert dict(plt.rcParams) == before


def test_on_axes_of_the_callers_all_text_has_their_sizes():
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 9, "axes.labelsize": 9, "legend.fontsize": 7}):
        figure, (left, right) = plt.subplots(1, 2)
        plot.relaxation(-1, 1, ax=left)
        network = load_onnx(example_network("peaks_2x10_seed0"))
        plot.regions(network, [-2, -2], [2, 2], ax=right)
    bar = next(ax for ax in figure.axes if ax not in (left, right))
    labels = [left.xaxis.label, right.xaxis.label, bar.yaxis.label]
    assert [label.get_fontsize() for label in labels] == [9, 9, 9]
    assert {text.get_fontsize() for text in left.get_legend().get_texts()} == {7}


def test_what_is_no_axes_is_refused():
    with pytest.raises(ModelError, match=r"must be a matplotlib Axes.*plt\.subplots"):
        plot.relaxation(-1, 1, ax="here")


def fresh(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )


def test_without_matplotlib_the_error_says_what_to_install():
    run = fresh(
        "import sys\n"
        "from pyomo_relu import plot\n"
        "print('matplotlib' in sys.modules)\n"
        "sys.modules['matplotlib'] = None\n"  # as if it were not installed
        "from pyomo_relu.errors import MissingPackageError\n"
        "try:\n    plot.relaxation(-1, 1)\n"
        "except MissingPackageError as error:\n"
        "    print(isinstance(error, ImportError), error)\n"
    )
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()
    assert first == "False"  # importing the package does not load it
    assert second.startswith("True pyomo_relu.plot needs matplotlib")
    assert 'pip install "pyomo_relu[plot]"' in second
    assert issubclass(MissingPackageError, ImportError)


def test_a_backend_that_becomes_interactive_stays_so(tmp_path):
    """As a notebook's does, which shows figures only while it is interactive."""
    (tmp_path / "eager_backend.py").write_text(
        "import matplotlib\n"
        "from matplotlib.backends.backend_agg import *\n"
        "matplotlib.interactive(True)\n"
    )
    script = (
        "import matplotlib\n"
        "from pyomo_relu import plot\n"
        "plot.relaxation(-1, 2)\n"
        "assert matplotlib.is_interactive()\n"
    )
    environment = {
        **os.environ,
        "MPLBACKEND": "module://eager_backend",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
    }
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


# -- labels have room, in pascal as in unit range --------------------------------------


def labels_overlap(ax):
    """Whether two tick labels of an axis lie on each other, as they are drawn."""
    ax.figure.draw_without_rendering()
    found = []
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        shown = [
            t.get_window_extent()
            for t, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
            if low <= at <= high and t.get_text()
        ]
        found += [a.overlaps(b) for a, b in itertools.pairwise(shown)]
    return any(found)


@pytest.mark.parametrize(
    "ends", [(-1, 1), (1e5, 3e5), (-1e-6, 1e-6), (99_999, 100_001)]
)
def test_tick_labels_do_not_overlap(ends):
    network = chain([2, 3, 1], seed=1)
    one = (ends[0], 0), (ends[1], 0)
    for ax in (
        plot.regions(network, *ends),
        plot.regions(network, *one),
        plot.crown_lines(network, *one),
        plot.relaxation(*ends),
    ):
        assert not labels_overlap(ax)
        rendered(ax)


def test_a_common_power_of_ten_is_written_once():
    ax = plot.relaxation(1e5, 3e5)
    ax.figure.draw_without_rendering()
    assert "10^{5}" in ax.xaxis.get_offset_text().get_text()
    labels = [re.sub(r"[^\d.]", "", t.get_text()) for t in ax.get_xticklabels()]
    assert max(map(len, labels)) <= 3
    rendered(ax)
