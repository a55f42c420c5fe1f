"""Draws the pictures of the documentation with ``pyomo_relu.plot``.

    python docs/make_pictures.py [--folder docs/pictures] [--only NAME ...]

The same versions of matplotlib and of the package draw the same pictures: nothing in
them is a measured time.
"""

import argparse
import sys
from pathlib import Path

import pyomo.environ as pyo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pyomo_relu import Network, ReLUNetworkBlock, load_onnx, plot  # noqa: E402
from pyomo_relu.bounds import crown_bounds, interval_bounds, tighten  # noqa: E402
from pyomo_relu.branch.branch import BranchOptions, branch  # noqa: E402
from pyomo_relu.branch.interface.read import read_model  # noqa: E402

PEAKS = ROOT / "examples" / "networks" / "peaks_2x20.onnx"
STUDY = ROOT / "examples" / "study" / "results" / "solves.csv"

#: So that neither the machine's speed nor a MILP solver decides which boxes there are.
STEADY = {"batch": 8, "milp_neurons": 0}


def hat():
    """A network of one input and two hidden layers, with six linear pieces in [-2, 2]."""
    return Network.sequential(
        [[[1.0], [-1.0], [1.0]], [[1.0, 0.6, -1.5], [0.4, 1.0, 0.5]], [[1.0, -0.8]]],
        [[0.5, 0.8, -0.7], [-0.4, -0.9], [0.3]],
        name="hat",
    )


def peaks(formulation=None, **options):
    """A model that minimises a surrogate of the peaks function."""
    m = pyo.ConcreteModel("peaks")
    m.x = pyo.Var([1, 2], bounds=(-2, 2))
    m.nn = ReLUNetworkBlock(network=PEAKS, inputs=m.x)
    m.least = pyo.Objective(expr=m.nn.outputs[0])
    if formulation is not None:
        pyo.TransformationFactory(formulation).apply_to(m, **options)
    return m


def by_method(names=("interval", "CROWN", "CROWN and LPs")):
    """Bounds of the surrogate over its box by several methods."""
    network = load_onnx(PEAKS)
    box = [-2.0, -2.0], [2.0, 2.0]
    found = {
        "interval": interval_bounds(network, *box),
        "CROWN": crown_bounds(network, *box),
        "splitting": tighten(network, *box, methods=["interval", "crown", "split"])[0],
        "CROWN and LPs": tighten(network, *box, methods=["interval", "crown", "lp"])[0],
    }
    return {name: found[name] for name in names}


def neuron_big_m():
    """Big-M triangle of one neuron."""
    return plot.relaxation(-2, 3, label="big-M relaxation")


def neuron_clipped():
    """Hull of a clipped neuron."""
    return plot.relaxation(-2, 5, ceiling=3, label="relaxation")


def neuron_by_method():
    """Triangles that bounds of several methods leave of one neuron."""
    return plot.neuron(by_method(), 1, 2)


def crown_one_input():
    """Lines over an interval."""
    return plot.crown_lines(hat(), -2, 2)


def crown_two_inputs():
    """Planes over a box."""
    return plot.crown_lines(load_onnx(PEAKS), [-0.5, -0.5], [0.5, 0.5])


def relaxation_slice_bounds():
    """What better bounds buy: big-M relaxations over a slice."""
    return plot.relaxation_slice(by_method(("interval", "CROWN and LPs")))


def relaxation_slice_formulations():
    """What a formulation buys under equal bounds."""
    given = {
        "big-M, interval bounds": peaks("relu.bigm"),
        "partition, interval bounds": peaks("relu.partition"),
        "cells (64)": peaks("relu.cells", max_cells=64),
    }
    return plot.relaxation_slice({name: m.nn for name, m in given.items()})


def bound_widths():
    """Widths per layer by method."""
    return plot.bound_widths(
        by_method(("interval", "CROWN", "splitting", "CROWN and LPs"))
    )


def bound_intervals():
    """Intervals of the neurons of a layer by method."""
    return plot.bound_intervals(by_method(), 1)


def regions():
    """Linear regions of the surrogate."""
    return plot.regions(peaks().nn)


def regions_one_input():
    """Linear pieces of a network of one input."""
    return plot.regions(hat(), -2, 2)


def cells():
    """Cells of relu.cells."""
    return plot.cells(peaks("relu.cells", max_cells=64).nn)


def boxes():
    """Boxes of a branch and bound."""
    m = peaks()
    return plot.boxes(m.nn, *plot.visited_boxes(m.nn, **STEADY))


def history():
    """Bound and incumbent of a branch and bound, by the number of boxes."""
    entries = []

    def note(tree):
        entries.append((tree.nodes, tree.bound, tree.incumbent.value))

    branch(read_model(peaks()).problem, BranchOptions(**STEADY), note)
    ax = plot.history(entries)
    ax.set_xlabel("boxes bounded")
    return ax


def accuracy_against_effort():
    """Accuracy against effort of the study's networks."""
    where = {"problem": "peaks", "formulation": "relu.bigm", "bounds": "lp"}
    return plot.accuracy_against_effort(STUDY, where={**where, "solver": "gurobi"})


PICTURES = [
    neuron_big_m,
    neuron_clipped,
    neuron_by_method,
    crown_one_input,
    crown_two_inputs,
    relaxation_slice_bounds,
    relaxation_slice_formulations,
    bound_widths,
    bound_intervals,
    regions,
    regions_one_input,
    cells,
    boxes,
    history,
    accuracy_against_effort,
]


def main():
    """Draw all pictures, or those named."""
    names = [picture.__name__ for picture in PICTURES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME")
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    arguments.folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        if arguments.only and picture.__name__ not in arguments.only:
            continue
        path = arguments.folder / f"{picture.__name__}.png"
        figure = picture().figure
        figure.savefig(path, dpi=100, metadata={"Software": None})
        plt.close(figure)
        print(path)


if __name__ == "__main__":
    main()
