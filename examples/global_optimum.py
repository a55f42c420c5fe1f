"""Proves the global minimum of a trained surrogate in front of the reader.

    python examples/global_optimum.py [network] [--plot boxes.png]

A network with 5 hidden layers of 25 neurons was trained on MATLAB's peaks function.
``relu.branch`` splits boxes of its two inputs until no box can hold anything better than
the best point found.  With ``--plot`` the boxes are drawn over the network's
contours: they are small where the network comes close to its minimum and nowhere else.
"""

import argparse

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_networks
from pyomo_relu.branch.branch import branch
from pyomo_relu.branch.read import read_model


def build(name):
    """Minimise the network's output over the box it was trained on."""
    path, lower, upper, _ = example_networks()[name]
    m = pyo.ConcreteModel(name=name)
    m.x = pyo.Var(range(len(lower)), bounds=lambda m, j: (lower[j], upper[j]))
    m.surrogate = ReLUNetworkBlock(network=path, inputs=m.x)
    m.minimum = pyo.Objective(expr=m.surrogate.outputs[0])
    return m


def visited_boxes(m):
    """All boxes that branching looked at: lower and upper ends, shapes (N, 2)."""
    boxes = []
    branch(read_model(m).problem, visited=lambda *ends: boxes.append(ends))
    return [np.concatenate(ends) for ends in zip(*boxes, strict=True)]


def draw(m, path):
    """Contours of the network, the boxes, and the minimiser."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    lower, upper = visited_boxes(m)
    (x_low, y_low), (x_high, y_high) = m.surrogate.input_box()
    X, Y = np.meshgrid(np.linspace(x_low, x_high, 301), np.linspace(y_low, y_high, 301))
    points = np.column_stack([X.ravel(), Y.ravel()])
    Z = m.surrogate.network.forward(points).reshape(X.shape)
    figure, axes = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
    levels = axes.contourf(X, Y, Z, 24, cmap="viridis")
    figure.colorbar(levels, label="network output")
    rectangles = [
        Rectangle(corner, *(end - corner))
        for corner, end in zip(lower, upper, strict=True)
    ]
    axes.add_collection(
        PatchCollection(rectangles, facecolor="none", edgecolor="white", linewidth=0.6)
    )
    axes.plot(m.x[0].value, m.x[1].value, "r*", markersize=12, label="minimum, proven")
    axes.set(
        xlabel="x[0]",
        ylabel="x[1]",
        title=f"{m.name}: {len(lower)} boxes had to be split",
    )
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=150)
    print(f"picture: {path}")


def main():
    """Solve, check, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "network", nargs="?", default="peaks_5x25", choices=list(example_networks())
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the boxes of a network of two inputs"
    )
    arguments = parser.parse_args()
    m = build(arguments.network)
    if arguments.plot and len(m.x) != 2:
        parser.error(f"--plot needs a network of two inputs, not {len(m.x)}")
    results = pyo.SolverFactory("relu.branch").solve(m, tee=True, mip_gap=1e-4)
    pyo.assert_optimal_termination(results)
    point = [v.value for v in m.surrogate.input_vars()]
    print(f"minimum {pyo.value(m.minimum):.6f} at {np.round(point, 5).tolist()}")
    print(f"proven: nothing below {results.problem.lower_bound:.6f}")
    print(f"network at that point differs by {m.surrogate.forward_error():.1e}")
    if arguments.plot:
        draw(m, arguments.plot)


if __name__ == "__main__":
    main()
