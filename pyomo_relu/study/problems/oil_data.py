"""Makes the small synthetic oil field in ``oil_data/``; no training in here.

    python -m pyomo_relu.study.problems.oil_data FOLDER

Three wells on two flowlines, in the format of the field of Grimstad and Andersson (2019):
``problem.json`` with ranges, gas-oil and water-oil ratios and separator pressures, and
one table per network (``data/well_1.csv``: PWH, QOIL; ``data/flowline_1.csv``: QOIL,
QGAS, QWAT, PUS, PDS).  The numbers are made up from textbook laws, in scaled units:

- wells: Vogel's inflow curve ``q = q_max (1 - 0.2 r - 0.8 r^2)``, r = p / p_max;
- flowline: ``p_down^2 = p_up^2 - k (q_oil + q_wat + 0.4 q_gas)^2``.
"""

import argparse
import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "oil_data"

#: name -> (q_max, p_max, gas-oil ratio, water-oil ratio).
WELLS = {
    "well_1": (0.30, 2.0, 1.05, 0.15),
    "well_2": (0.26, 1.8, 0.80, 0.45),
    "well_3": (0.20, 1.6, 0.65, 1.10),
}
LOWEST_PRESSURE = 0.3
SEPARATORS = {"flowline_a": 0.30, "flowline_b": 0.20}
RESISTANCE = 1.6
FLOW_BOX = {
    "qoil_bounds": [0.02, 0.7],
    "qgas_bounds": [0.012, 0.7],
    "qwat_bounds": [0.0, 0.5],
    "pus_bounds": [0.3, 1.6],
}


def well_rate(name, pressure):
    """Oil rate of a well at given well head pressures."""
    q_max, p_max, _, _ = WELLS[name]
    ratio = np.asarray(pressure) / p_max
    return q_max * (1 - 0.2 * ratio - 0.8 * ratio**2)


def flowline_pressure(oil, gas, water, upstream):
    """Pressure at the end of the flowline; NaN where the flow is too large."""
    load = oil + water + 0.4 * gas
    with np.errstate(invalid="ignore"):
        return np.sqrt(upstream**2 - RESISTANCE * load**2)


def problem_data():
    """What ``problem.json`` holds."""
    wells = []
    for name, (_, p_max, gas, water) in WELLS.items():
        ends = [LOWEST_PRESSURE, round(0.95 * p_max, 6)]
        top = float(well_rate(name, LOWEST_PRESSURE))
        wells.append(
            {
                "name": name,
                "net": f"{name}.onnx",
                "pwh_bounds": ends,
                "qoil_bounds": [0.0, round(top, 6)],
                "gor": gas,
                "wor": water,
            }
        )
    flowlines = [
        {"name": name, "net": "flowline_1.onnx", "separator_pressure": p, **FLOW_BOX}
        for name, p in SEPARATORS.items()
    ]
    return {
        "source": "synthetic, made by pyomo_relu/study/problems/oil_data.py",
        "wells": wells,
        "flowlines": flowlines,
        "gas_capacity": 0.5,
    }


def write_table(path, names, columns):
    """A CSV file with row numbers in the first column, six decimals."""
    lines = ["," + ",".join(names)]
    for number, row in enumerate(zip(*columns, strict=True)):
        lines.append(f"{number}," + ",".join(f"{value:.6f}" for value in row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write(folder):
    """Write ``problem.json`` and the tables."""
    data = problem_data()
    tables = Path(folder) / "data"
    tables.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, indent=1) + "\n"
    (Path(folder) / "problem.json").write_text(text, encoding="utf-8")
    for well in data["wells"]:
        pressure = np.linspace(*well["pwh_bounds"], 24)
        rate = np.maximum(well_rate(well["name"], pressure), 0.0)
        write_table(tables / f"{well['name']}.csv", ["PWH", "QOIL"], [pressure, rate])
    ends = [FLOW_BOX[key] for key in FLOW_BOX]
    axes = [
        np.linspace(lo, hi, n) for (lo, hi), n in zip(ends, (7, 6, 6, 9), strict=True)
    ]
    oil, gas, water, up = (a.ravel() for a in np.meshgrid(*axes, indexing="ij"))
    down = flowline_pressure(oil, gas, water, up)
    known = np.isfinite(down)
    columns = [a[known] for a in (oil, gas, water, up, down)]
    names = ["QOIL", "QGAS", "QWAT", "PUS", "PDS"]
    write_table(tables / "flowline_1.csv", names, columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where problem.json and data/ go")
    write(parser.parse_args().folder)
