"""Tables: every run, what each route costs over all models, the best of families."""

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
        *("status", "bound", "value", "gap %", "error"),
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
            _gap(one),
            "-" if one.error is None else f"{one.error:.0e}",
        )
        for one, regret in zip(runs, regrets(runs), strict=True)
    ]
    return format_table(header, rows, left=2)


def route_figures(runs):
    """What each route costs over all models.

    Yields
    ------
    route : str
    proven, models : int
        Numbers of models.
    mean, regret, worst : float
        Geometric mean of seconds; mean and largest regret.
    """
    with_regret = list(zip(runs, regrets(runs), strict=True))
    for route in dict.fromkeys(one.route for one in runs):
        mine = [(one, regret) for one, regret in with_regret if one.route == route]
        mean = np.exp(np.mean([np.log(one.seconds) for one, _ in mine]))
        regret = [regret for _, regret in mine]
        proven = sum(one.proven for one, _ in mine)
        yield route, proven, len(mine), mean, np.mean(regret), max(regret)


def routes_table(runs):
    """A line per route: geometric mean of seconds, regret, and what was not proven."""
    header = "route", "geometric mean", "regret mean", "regret worst", "not proven"
    rows = [
        (
            route,
            f"{mean:.2f}",
            f"{regret:.2f}",
            f"{worst:.1f}",
            f"{models - proven} of {models}",
        )
        for route, proven, models, mean, regret, worst in route_figures(runs)
    ]
    return format_table(header, rows)


def control(runs):
    """What the first route's second run says of the noise, as a sentence.

    Parameters
    ----------
    runs : list of Run
        The second runs' routes end in " again".
    """
    first = {one.model: one for one in runs if one.route == runs[0].route}
    again = [one for one in runs if one.route == f"{runs[0].route} again"]
    ratios = np.array([one.seconds / first[one.model].seconds for one in again])
    spread = np.exp(np.abs(np.log(ratios)))
    return (
        f"Noise: {runs[0].route} against itself, geometric mean of the ratios "
        f"{np.exp(np.log(ratios).mean()):.2f}; a ratio is off by {np.median(spread):.2f} "
        f"times (median), {spread.max():.2f} at most."
    )


def families_table(runs, families):
    """The best route of each family by model, in CPU seconds, and geometric means.

    Means are over the models that all families prove.  Processor seconds, as a busy
    machine changes them less than the clock's.

    Parameters
    ----------
    runs : list of Run
    families : dict of str -> list of str
        Names of routes.
    """
    best = {}
    for one in runs:
        for family, routes in families.items():
            if one.route in routes and one.proven:
                found = best.get((one.model, family))
                if found is None or one.cpu < found.cpu:
                    best[one.model, family] = one
    ran = {one.route for one in runs}
    present = [name for name, routes in families.items() if ran & set(routes)]
    models = dict.fromkeys(one.model for one in runs)
    common = [m for m in models if all((m, name) in best for name in present)]
    rows = []
    for model in models:
        cells = [best.get((model, name)) for name in present]
        rows.append(
            (
                model,
                *(
                    "-" if one is None else f"{one.cpu:.2f} {one.route}"
                    for one in cells
                ),
            )
        )
    means = [
        f"{np.exp(np.mean([np.log(best[m, name].cpu) for m in common])):.2f}"
        if common
        else "-"
        for name in present
    ]
    proven = [sum((m, name) in best for m in models) for name in present]
    rows.append(("proven", *(f"{n} of {len(models)}" for n in proven)))
    rows.append((f"geometric mean of {len(common)}", *means))
    return format_table(
        ("CPU seconds of the best", *present), rows, left=len(present) + 1
    )


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


def _gap(one):
    """Between bound and value, in per cent of the value."""
    if one.bound is None or one.value is None:
        return "-"
    return f"{100 * abs(one.value - one.bound) / max(1e-9, abs(one.value)):.3f}"
