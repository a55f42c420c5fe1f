"""Routing of oil wells, on networks that are trained from tables.

Each well and each flowline is a network (see ``examples/benchmarks/oil_wells.py`` for
the model).  Without arguments a small synthetic field is used whose tables come with the
study; ``--folder`` takes any folder of the same format, in particular the public data of
Grimstad and Andersson (2019), and ``--nets`` a folder of networks that are trained
already.

    python -m examples.oil_wells
    python -m examples.oil_wells --folder path/to/field --nets shallow --wells 7 8 \
        --lines flowline_b
    python -m examples.oil_wells --folder path/to/field --nets shallow \
        --solver relu.branch
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import pyomo.environ as pyo

from examples.benchmarks.oil_wells import oil_well_model

FOLDER = Path(__file__).parent / "study" / "oil_data"
#: Training takes at least so many steps of Adam.
STEPS = 3000
_FLOW_KEYS = ("qoil_bounds", "qgas_bounds", "qwat_bounds", "pus_bounds")


def train_tables(folder=FOLDER, hidden=(16,), options=None, seed=0):
    """Train a network on every table of a field.

    Wells are curves, so they get a single hidden layer of half the first layer's width.

    Parameters
    ----------
    folder : path
        With ``problem.json`` and the tables in ``data``.
    hidden : tuple of int
        Hidden layers of the flowlines' networks.
    options : dict, optional
        Fields of TrainingOptions, and the study's extra steps.
    seed : int

    Returns
    -------
    list of TrainedFile
        Named as the network files in ``problem.json``, without ``.onnx``.
    """
    from examples.study.benchmarks import train_function, trained_file
    from examples.study.csv_data import read_table, table_data

    folder = Path(folder)
    field = json.loads((folder / "problem.json").read_text(encoding="utf-8"))
    boxes = {w["net"]: [w["pwh_bounds"]] for w in field["wells"]}
    boxes |= {f["net"]: [f[key] for key in _FLOW_KEYS] for f in field["flowlines"]}
    options = {"epochs": 100, **(options or {}), "batch": 64}
    options.pop("samples", None)  # the tables decide
    trained = []
    for net, box in boxes.items():
        name = net.removesuffix(".onnx")
        table = read_table(folder / "data" / f"{name}.csv", *zip(*box, strict=True))
        sizes = (max(2, hidden[0] // 2),) if table.dimension == 1 else hidden
        # few rows make few steps per epoch
        steps_per_epoch = math.ceil(0.8 * len(table.y) / options["batch"])
        epochs = max(options["epochs"], math.ceil(STEPS / steps_per_epoch))
        network = train_function(
            table, sizes, {**options, "epochs": epochs}, seed, table_data(table)
        )
        trained.append(trained_file(name, table, network))
    return trained


def build(folder=FOLDER, nets=None, wells=None, lines=None):
    """The routing problem on networks in the folder ``nets``; see oil_well_model."""
    return oil_well_model(Path(folder), Path(nets).resolve(), wells, lines)


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
