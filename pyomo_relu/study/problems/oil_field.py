"""A field of oil wells: networks trained from its tables, and the routing problem.

A field is a folder with ``problem.json`` and a table per network in ``data``; a small
synthetic one comes with the study (``oil_data.py`` makes it).
"""

import json
import math
from pathlib import Path

from pyomo_relu.study.problems.oil_data import FOLDER
from pyomo_relu.study.problems.oil_well_model import oil_well_model

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
    from pyomo_relu.study.training.csv_data import read_table, table_data
    from pyomo_relu.study.training.trained_files import train_function, trained_file

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
