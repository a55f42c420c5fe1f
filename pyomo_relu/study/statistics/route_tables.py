"""Tables on scaling, ceilings put on afterwards, branching on inputs, and practice."""

from pyomo_relu.study.statistics.aggregate import (
    SHIFT,
    UNSOLVED,
    geometric_mean,
    group,
    select,
)
from pyomo_relu.study.statistics.report_tables import deep

#: Problems that are no surrogate of a function of two inputs.
OTHERS = ("control", "oil", "ackley5")

_EFFORT = ("nodes", "work", "cpu seconds")


def scaling_table(tables):
    """Header and rows: the plain networks in each units, by problem and bounds."""
    rows = select(_solved(tables), family="plain", formulation="relu.bigm")
    rows = [r for r in deep(rows) if r["smallest_coefficient"]]
    measured = {r["network"] for r in rows if r["units"] != "raw"}
    rows = [r for r in rows if r["network"] in measured]
    header = [
        "problem",
        "bounds",
        "units",
        "solver",
        "solves",
        *_EFFORT,
        "relaxation gap",
        "largest coefficient range",
        "largest forward error",
        "unsolved",
    ]
    found = group(rows, "problem", "bounds", "units", "solver")
    return header, [
        [
            *key,
            len(members),
            *_effort(members),
            geometric_mean([r["relaxation_gap"] for r in members], 1e-3),
            max(r["largest_coefficient"] / r["smallest_coefficient"] for r in members),
            max((r["forward_error"] or 0.0) for r in members),
            _unsolved(members),
        ]
        for key, members in sorted(found.items())
    ]


def ceilings_table(tables):
    """Header and rows: ceilings put on trained networks, and those without."""
    rows = select(_solved(tables), family="plain", bounds="lp", units="raw")
    changed = [r for r in rows if r["output_movement"] is not None]
    names = {r["formulation"] for r in changed} | {"relu.bigm"}
    networks = {r["network"] for r in changed}
    rows = [r for r in rows if r["formulation"] in names and r["network"] in networks]
    header = [
        "problem",
        "formulation",
        "solver",
        "solves",
        "binaries",
        *_EFFORT,
        "outputs move by at most",
        "at the optimum",
        "unsolved",
    ]
    found = group(rows, "problem", "formulation", "solver")
    return header, [
        [
            *key,
            len(members),
            geometric_mean([r["n_binaries"] for r in members]),
            *_effort(members),
            max((r["output_movement"] or 0.0) for r in members),
            max((r["forward_error"] or 0.0) for r in members),
            _unsolved(members),
        ]
        for key, members in sorted(found.items())
    ]


def branching_table(tables):
    """Header and rows: solvers that branch on inputs, by problem and training."""
    rows = select(_solved(tables), formulation="none")
    header = [
        "problem",
        "hidden",
        "solver",
        "training",
        "solves",
        "error",
        "boxes",
        "cpu seconds",
        "unsolved",
    ]
    found = group(rows, "problem", "hidden", "solver", "training")
    return header, [
        [
            *key,
            len(members),
            geometric_mean([r["nrmse"] for r in members]),
            _whole(geometric_mean([r["nodes"] for r in members], 1.0)),
            geometric_mean([r["solve_cpu_seconds"] for r in members], 0.01),
            _unsolved(members),
        ]
        for key, members in found.items()
    ]


def other_table(tables):
    """Header and rows: problems from practice and with more inputs, over the seeds."""
    regions = {key: rows for (key,), rows in group(tables.networks, "network").items()}
    rows = select(tables.solves, problem=OTHERS)
    header = [
        "problem",
        "training",
        "bounds",
        "solver",
        "solves",
        "error",
        "regions",
        "binaries",
        *_EFFORT,
        "unsolved",
    ]
    found = group(rows, "problem", "training", "bounds", "solver")
    return header, [
        [
            *key,
            len(members),
            geometric_mean([r["nrmse"] for r in members]),
            _regions([n for r in members for n in regions[r["network"]]]),
            geometric_mean([r["n_binaries"] for r in members], 1.0),
            *_effort(members),
            _unsolved(members),
        ]
        for key, members in found.items()
    ]


def _regions(networks):
    """ "exact: 119 to 830", or "at least 9e3, at most 1e12" where only bounds are known."""
    low = [r["regions_lower_bound"] for r in networks]
    high = [r["regions_upper_bound"] for r in networks]
    if all(r["regions_exact"] for r in networks):
        return f"exact: {min(low):.0f} to {max(high):.0f}"
    top = "unknown" if None in high else f"{max(high):.3g}"
    return f"at least {min(low):.3g}, at most {top}"


def _solved(tables):
    return [r for r in tables.solves if r["objective"] is not None]


def _effort(rows):
    """Geometric means of what ``_EFFORT`` names."""
    return (
        _whole(geometric_mean([r["nodes"] for r in rows], 1.0)),
        geometric_mean([r["work"] for r in rows], SHIFT["work"]),
        geometric_mean([r["solve_cpu_seconds"] for r in rows], 0.01),
    )


def _unsolved(rows):
    return sum(r["status"] in UNSOLVED for r in rows)


def _whole(value):
    return None if value is None else round(value)
