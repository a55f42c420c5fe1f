"""What each bound method buys on the quickstart network, as a table and a picture.

For interval arithmetic, CROWN, input splitting, LP-OBBT and exact MILP-OBBT: the mean
width of the pre-activation bounds per layer, stable neurons, seconds, and the seconds
that HiGHS then needs on one thread for the big-M model.

Run ``python examples/bound_tightening.py [--plot FILE.png]``.
"""

import argparse
import time

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network

ONNX_FILE = example_network("peaks_2x20")
METHODS = {
    "interval arithmetic": ["interval"],
    "CROWN": ["interval", "crown"],
    "CROWN, splitting": ["interval", "crown", "split"],
    "CROWN, LP": ["interval", "crown", "lp"],
    "all (default)": ["interval", "crown", "split", "lp"],
    "exact (MILP)": ["interval", "crown", "split", "milp"],
}


def measure(methods):
    """Tighten, encode and solve once.

    Returns
    -------
    dict
        ``bounds`` (NeuronBounds), ``tighten`` and ``solve`` in seconds, ``optimum``.
    """
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-2, 2))
    m.nn = ReLUNetworkBlock(network=ONNX_FILE, inputs=m.x)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    start = time.perf_counter()
    pyo.TransformationFactory("relu.obbt").apply_to(m, methods=methods)
    tighten = time.perf_counter() - start
    bounds = m.nn.neuron_bounds()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    start = time.perf_counter()
    one_thread = {"parallel": "off"}
    results = pyo.SolverFactory("appsi_highs").solve(m, options=one_thread)
    solve = time.perf_counter() - start
    pyo.assert_optimal_termination(results)
    return {
        "bounds": bounds,
        "tighten": tighten,
        "solve": solve,
        "optimum": pyo.value(m.cost),
    }


def table(found):
    """The results as text."""
    n_layers = len(next(iter(found.values()))["bounds"].lower)
    widths = [f"width {k}" for k in range(n_layers - 1)] + ["width out"]
    lines = [
        f"{'method':<20} {'stable':>6} "
        + " ".join(f"{w:>9}" for w in widths)
        + f" {'tighten s':>9} {'HiGHS s':>8} {'optimum':>9}"
    ]
    for name, r in found.items():
        b = r["bounds"]
        lines.append(
            f"{name:<20} {b.n_stable:>6} "
            + " ".join(f"{b.mean_width(k):>9.3f}" for k in range(n_layers))
            + f" {r['tighten']:>9.3f} {r['solve']:>8.2f} {r['optimum']:>9.4f}"
        )
    return "\n".join(lines)


def draw(found, path):
    """Bounds of every neuron as bars, one row of bars per layer."""
    import matplotlib.pyplot as plt

    from pyomo_relu import plot
    from pyomo_relu.plot.style import context

    bounds = {name: r["bounds"] for name, r in found.items()}
    n_layers = len(next(iter(bounds.values())).lower)
    with context():
        fig, axes = plt.subplots(
            n_layers, figsize=(11, 3.6 * n_layers), layout="constrained"
        )
        for k, ax in enumerate(axes):
            plot.bound_intervals(bounds, k, ax)
            ax.get_legend().remove()
        handles = axes[0].get_legend_handles_labels()
        fig.legend(*handles, loc="outside upper center", ncols=3)
    fig.savefig(path, dpi=80)


def main():
    """Measure all methods, print the table, draw if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE", help="write a picture to FILE")
    arguments = parser.parse_args()
    measure(["interval"])  # so that no method pays for loading libraries
    found = {name: measure(methods) for name, methods in METHODS.items()}
    print(table(found))
    if arguments.plot:
        draw(found, arguments.plot)


if __name__ == "__main__":
    main()
