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


def plot(found, path):
    """Bounds of every neuron as bars, one row of bars per layer, and the times."""
    import matplotlib.pyplot as plt

    n_layers = len(next(iter(found.values()))["bounds"].lower)
    fig, axes = plt.subplots(
        1, n_layers + 1, figsize=(4 * n_layers + 3, 3.4), layout="constrained"
    )
    colors = plt.cm.viridis([i / max(1, len(found) - 1) for i in range(len(found))])
    for k, ax in enumerate(axes[:-1]):
        for (name, r), color, size in zip(
            found.items(), colors, range(len(found), 0, -1), strict=True
        ):
            lower, upper = r["bounds"].lower[k], r["bounds"].upper[k]
            ax.vlines(
                range(lower.size),
                lower,
                upper,
                colors=[color],
                lw=1.5 * size,
                label=name,
            )
        last = k == n_layers - 1
        ax.axhline(0, color="black", lw=0.6)
        ax.set_title("output" if last else f"pre-activations, layer {k}")
        ax.set_xlabel("" if last else "neuron")
        ax.set_xlim(-1, lower.size)
    fig.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(found),
        fontsize=8,
    )
    names = list(found)
    axes[-1].barh(names, [r["tighten"] for r in found.values()], label="tightening")
    axes[-1].barh(
        names,
        [r["solve"] for r in found.values()],
        left=[r["tighten"] for r in found.values()],
        label="HiGHS",
    )
    axes[-1].invert_yaxis()
    axes[-1].set_title("seconds")
    axes[-1].legend(fontsize=7)
    fig.savefig(path, dpi=110)


def main():
    """Measure all methods, print the table, draw if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE", help="write a picture to FILE")
    arguments = parser.parse_args()
    measure(["interval"])  # so that no method pays for loading libraries
    found = {name: measure(methods) for name, methods in METHODS.items()}
    print(table(found))
    if arguments.plot:
        plot(found, arguments.plot)


if __name__ == "__main__":
    main()
