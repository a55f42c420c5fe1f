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

from pyomo_relu import ReLUNetworkBlock, example_networks, plot


def build(name):
    """Minimise the network's output over the box it was trained on."""
    path, lower, upper, _ = example_networks()[name]
    m = pyo.ConcreteModel(name=name)
    m.x = pyo.Var(range(len(lower)), bounds=lambda m, j: (lower[j], upper[j]))
    m.surrogate = ReLUNetworkBlock(network=path, inputs=m.x)
    m.minimum = pyo.Objective(expr=m.surrogate.outputs[0])
    return m


def draw(m, path):
    """Contours of the network, the boxes, and the minimiser."""
    import matplotlib

    matplotlib.use("Agg")
    ax = plot.boxes(m.surrogate, *plot.visited_boxes(m.surrogate))
    ax.plot(
        m.x[0].value,
        m.x[1].value,
        "*",
        ms=18,
        color="#D55E00",
        mec="white",
        label="minimum, proven",
    )
    ax.legend(loc="upper left")
    ax.figure.savefig(path, dpi=150)
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
