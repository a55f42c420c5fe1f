"""Routing of oil wells, on networks that are trained from tables.

Each well and each flowline is a network (see ``pyomo_relu/study/problems/oil_well_model.py`` for
the model).  Without arguments a small synthetic field is used whose tables come with the
study; ``--folder`` takes any folder of the same format, in particular the public data of
Grimstad and Andersson (2019), and ``--nets`` a folder of networks that are trained
already.

    python examples/oil_wells.py
    python examples/oil_wells.py --folder path/to/field --nets shallow --wells 7 8 \
        --lines flowline_b
    python examples/oil_wells.py --folder path/to/field --nets shallow \
        --solver relu.branch
"""

import argparse
import tempfile
from pathlib import Path

import pyomo.environ as pyo

from pyomo_relu.study.problems.oil_field import FOLDER, build, train_tables


def solve(model, solver="appsi_highs", tee=False):
    """Tighten with the whole model in view, encode and solve; total oil rate.

    ``relu.branch`` takes the networks as they are, and is the one to prove large fields.
    """
    if solver != "relu.branch":
        pyo.TransformationFactory("relu.obbt").apply_to(model, scope="model")
        pyo.TransformationFactory("relu.bigm").apply_to(model)
    results = pyo.SolverFactory(solver).solve(model, tee=tee)
    pyo.assert_optimal_termination(results)
    return pyo.value(model.total)


def main(arguments=None):
    """Train if need be, solve, and print who feeds which flowline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--nets", help="folder of trained networks below --folder")
    parser.add_argument("--wells", type=int, nargs="+", help="numbers, from 1")
    parser.add_argument("--lines", nargs="+", help="names of flowlines")
    parser.add_argument("--solver", default="appsi_highs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        nets = made
        if options.nets is not None:
            nets = options.folder / options.nets
        else:
            for net in train_tables(options.folder):
                (Path(made) / f"{net.name}.onnx").write_bytes(net.onnx)
                print(f"{net.name}: held-out error {net.nrmse:.3f} (normalised)")
        model = build(options.folder, nets, options.wells, options.lines)
    total = solve(model, options.solver)
    for i in model.wells:
        feeds = [j for j in model.lines if model.open[i, j].value > 0.5]
        print(
            f"well {i}: pressure {model.pressure[i].value:.4f}, oil "
            f"{model.rate[i].value:.4f} -> {', '.join(feeds) or 'nowhere'}"
        )
    for j in model.lines:
        print(
            f"{j}: oil {model.flow[j, 'oil'].value:.4f}, upstream pressure "
            f"{model.upstream[j].value:.4f}"
        )
    print(f"total oil {total:.6f}")


if __name__ == "__main__":
    main()
