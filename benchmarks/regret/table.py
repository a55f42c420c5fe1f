"""The regret table: every run, then what each route costs over all models."""

import csv
from dataclasses import asdict

import numpy as np

from pyomo_relu.common.table import format_table


def regrets(runs):
    """Seconds of each run divided by the least of its model's.

    Returns
    -------
    list of float
    """
    best = {}
    for one in runs:
        best[one.model] = min(one.seconds, best.get(one.model, np.inf))
    return [one.seconds / best[one.model] for one in runs]


def runs_table(runs):
    """A line per model and route."""
    header = [
        *("model", "route", "seconds", "regret", "CPU"),
        *("status", "bound", "value", "error"),
    ]
    rows = [
        (
            one.model,
            one.route,
            f"{one.seconds:.2f}",
            f"{regret:.2f}",
            f"{one.cpu:.2f}",
            one.status,
            _number(one.bound),
            _number(one.value),
            "-" if one.error is None else f"{one.error:.0e}",
        )
        for one, regret in zip(runs, regrets(runs), strict=True)
    ]
    return format_table(header, rows, left=2)


def routes_table(runs):
    """A line per route: geometric mean of seconds, regret, and what was not proven."""
    header = "route", "geometric mean", "regret mean", "regret worst", "not proven"
    rows = []
    with_regret = list(zip(runs, regrets(runs), strict=True))
    for route in dict.fromkeys(one.route for one in runs):
        mine = [(one, regret) for one, regret in with_regret if one.route == route]
        seconds = np.array([one.seconds for one, _ in mine])
        regret = np.array([each for _, each in mine])
        rows.append(
            (
                route,
                f"{np.exp(np.log(seconds).mean()):.2f}",
                f"{regret.mean():.2f}",
                f"{regret.max():.1f}",
                f"{sum(not one.proven for one, _ in mine)} of {len(mine)}",
            )
        )
    return format_table(header, rows)


def write_csv(path, runs):
    """All fields of all runs, and their regrets."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [
            {**asdict(one), "regret": regret}
            for one, regret in zip(runs, regrets(runs), strict=True)
        ]
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _number(value):
    return "-" if value is None else f"{value:.6g}"
