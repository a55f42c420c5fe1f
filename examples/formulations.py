"""Formulations compared on one problem, as a table and a picture.

Two surrogates of two inputs each are linked by one constraint and the sum of their
outputs is minimised.  Each formulation is applied to a copy of the model; the table
shows what it adds, how far its linear relaxation is from the optimum, and how long
encoding and solving take together.  All find the same optimum, if they finish.

    python examples/formulations.py [--solver gurobi] [--time-limit 60] [--plot FILE.png]

With ``--relaxations`` the linear relaxations of one surrogate are compared under equal
bounds: those of interval arithmetic on all neurons, and those that LPs prove.
"""

import argparse
import math
import sys
import time
from typing import NamedTuple

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network
from pyomo_relu.study.problems.surrogates import (
    Outcome,
    root_bound,
    surrogate_model,
    timed_solve,
)
from pyomo_relu.transform.table import RELAXATIONS

#: Label and the transformations that are applied one after the other.
RECIPES = {
    "interval + bigm": [("relu.bigm", {})],
    "bounds + bigm": [("relu.bounds", {}), ("relu.bigm", {})],
    "obbt + bigm": [("relu.obbt", {}), ("relu.bigm", {})],
    "bounds + clipped": [("relu.bounds", {}), ("relu.clipped", {})],
    "bounds + scaled": [("relu.bounds", {}), ("relu.scaled", {})],
    "bounds + partition": [("relu.bounds", {}), ("relu.partition", {})],
    "bounds + cuts": [("relu.bounds", {}), ("relu.cuts", {})],
    "bounds + reduce": [("relu.bounds", {}), ("relu.reduce", {})],
    "bounds + gdp": [("relu.bounds", {}), ("relu.gdp", {}), ("gdp.hull", {})],
    "bounds + sos1": [("relu.bounds", {}), ("relu.sos1", {})],
    "bounds + complementarity": [("relu.bounds", {}), ("relu.complementarity", {})],
    "cells": [("relu.cells", {})],
    "auto": [("relu.auto", {})],
}

#: What HiGHS does not take: special ordered sets, and products of variables.
NOT_FOR_HIGHS = ("bounds + sos1", "bounds + complementarity")

#: Bound methods under which linear relaxations are compared.
EQUAL_BOUNDS = (["interval"], ["interval", "crown", "lp"])


class Row(NamedTuple):
    """One formulation's line of the table."""

    label: str
    binaries: int
    rows: int
    root: float
    encoding: float
    outcome: Outcome

    @property
    def seconds(self):
        """Encoding and solving."""
        return self.encoding + self.outcome.seconds


def run(label, names, solver, time_limit):
    """Apply a recipe to the problem, measure and solve it, on one thread."""
    m = surrogate_model(names)
    start = time.perf_counter()
    for name, options in RECIPES[label]:
        told = {"solver": solver} if name == "relu.auto" else {}
        pyo.TransformationFactory(name).apply_to(m, **options, **told)
    encoding = time.perf_counter() - start
    root = float("nan") if label in NOT_FOR_HIGHS else root_bound(m)
    binaries = sum(v.is_binary() for v in m.component_data_objects(pyo.Var))
    rows = sum(1 for _ in m.component_data_objects(pyo.Constraint, active=True))
    try:
        outcome = timed_solve(m, solver, time_limit)
    except Exception as error:
        if "size-limited" not in str(error):
            raise
        print(f"{label}: {error}", file=sys.stderr)
        outcome = Outcome(time_limit, False, None, -math.inf, 0)
    return Row(label, binaries, rows, root, encoding, outcome)


def relaxation(formulation, methods):
    """The bound of a formulation's linear relaxation of the quickstart's network.

    Parameters
    ----------
    formulation : str
        Name of a transformation.
    methods : list of str
        Methods that bound the neurons.
    """
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(-2, 2))
    m.nn = ReLUNetworkBlock(network=example_network("peaks_2x20"), inputs=m.x)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    pyo.TransformationFactory("relu.obbt").apply_to(m, methods=methods)
    pyo.TransformationFactory(formulation).apply_to(m)
    if formulation == "relu.gdp":
        pyo.TransformationFactory("gdp.hull").apply_to(m)
    return root_bound(m)


def relaxations():
    """The table of ``relaxation`` for all formulations with a linear one, as text."""
    lines = [
        f"{'formulation':<24}" + "".join(f"{'+'.join(b):>20}" for b in EQUAL_BOUNDS)
    ]
    for formulation in RELAXATIONS:
        values = [relaxation(formulation, methods) for methods in EQUAL_BOUNDS]
        lines.append(f"{formulation:<24}" + "".join(f"{v:>20.4f}" for v in values))
    return "\n".join(lines)


def table(rows):
    """The rows as text."""
    header = (
        f"{'formulation':<24} {'binaries':>8} {'rows':>6} {'root bound':>11} "
        f"{'encode s':>9} {'total s':>8} {'nodes':>7} {'optimum':>10}"
    )
    lines = [header]
    for row in rows:
        best = row.outcome.best
        found = "-" if best is None else f"{best:.5f}"
        lines.append(
            f"{row.label:<24} {row.binaries:>8} {row.rows:>6} {row.root:>11.4f} "
            f"{row.encoding:>9.2f} {row.seconds:>8.1f} {row.outcome.nodes:>7} "
            f"{found if row.outcome.proven else found + ' ?':>10}"
        )
    return "\n".join(lines)


def plot(rows, names, path):
    """Root gap and time per formulation; hatched bars hit the time limit."""
    import matplotlib.pyplot as plt

    from pyomo_relu.plot.style import BLUE, context, logarithmic

    labels = [row.label for row in rows]
    optimum = min(row.outcome.best for row in rows if row.outcome.best is not None)
    panels = (
        (
            "distance of the root bound from the optimum",
            [0.0 if math.isnan(r.root) else optimum - r.root for r in rows],
        ),
        ("encoding and solving, seconds", [row.seconds for row in rows]),
    )
    with context():
        fig, axes = plt.subplots(
            1, 2, sharey=True, figsize=(12, 5), layout="constrained"
        )
        for ax, (label, values) in zip(axes, panels, strict=True):
            bars = ax.barh(labels, [max(v, 1e-3) for v in values], color=BLUE)
            for bar, row in zip(bars, rows, strict=True):
                if not row.outcome.proven:
                    bar.set(hatch="//", facecolor="lightgrey", edgecolor="grey")
            ax.bar_label(bars, [f"{v:.3g}" for v in values], padding=3)
            logarithmic(ax, "x")
            ax.set_xlabel(label)
            ax.margins(x=0.15)
        axes[0].invert_yaxis()
        fig.suptitle(
            f"{' + '.join(names)}   (grey: not proven within the time limit or the "
            "licence)",
            fontsize=14,
        )
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["peaks_2x25", "ackley2_2x25"])
    parser.add_argument("--formulations", nargs="+", choices=list(RECIPES))
    parser.add_argument("--solver", default="highs", choices=["highs", "gurobi"])
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--plot", metavar="FILE.png")
    parser.add_argument("--relaxations", action="store_true")
    args = parser.parse_args()
    if args.relaxations:
        print(relaxations())
        return
    labels = args.formulations or [
        label
        for label in RECIPES
        if args.solver != "highs" or label not in NOT_FOR_HIGHS
    ]
    rows = [run(n, args.networks, args.solver, args.time_limit) for n in labels]
    print(table(rows))
    if args.plot:
        plot(rows, args.networks, args.plot)


if __name__ == "__main__":
    main()
