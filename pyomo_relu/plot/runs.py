"""Runs and studies: bound and incumbent over time, accuracy against effort."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from pyomo_relu.common.arguments import checked, each, optional, shown, text
from pyomo_relu.common.arguments import instance as instance_of
from pyomo_relu.common.wording import meant
from pyomo_relu.errors import ModelError
from pyomo_relu.plot.style import BLUE, VERMILLION, colour, logarithmic, marker, styled

#: What a figure below this counts as on a logarithmic axis.
_LEAST = 1e-3


def _mapping(what, value, error):
    return instance_of(what, value, Mapping, error)


def history(results: Any, ax: Any = None) -> Any:
    """Proven bound and best value over the time of a run; the gap lies between them.

    Parameters
    ----------
    results : EmbeddedResults, SearchResult, or sequence of (seconds, bound, incumbent)
        What ``SolverFactory("relu").solve`` or ``find_point`` returned (which proves no
        bound), or entries of a ``history``.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ModelError
        If there is no history in it.
    """
    entries = _entries(results)
    seconds, bound, value = (np.array(part) for part in zip(*entries, strict=True))
    bound, value = (np.where(np.isfinite(a), a, np.nan) for a in (bound, value))
    with styled(ax) as ax:
        mark = "o" if len(entries) <= 30 else None
        if np.isfinite(value).any():
            ax.step(
                seconds,
                value,
                where="post",
                color=VERMILLION,
                label="best value",
                marker=mark,
                markersize=5,
            )
        if np.isfinite(bound).any():
            ax.step(
                seconds,
                bound,
                where="post",
                color=BLUE,
                linestyle="--",
                label="proven bound",
                marker=mark,
                markersize=5,
            )
        both = np.isfinite(bound) & np.isfinite(value)
        ax.fill_between(
            seconds,
            bound,
            value,
            where=both,
            step="post",
            color="0.5",
            alpha=0.15,
            linewidth=0,
        )
        ax.set(xlabel="wall time in seconds", ylabel="objective")
        ax.set_xlim(left=0)
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
        else:
            ax.set_yticks([])
            ax.text(0.5, 0.5, _nothing(entries), transform=ax.transAxes, ha="center")
        return ax


def _nothing(entries):
    """Why there is neither a point nor a bound to draw."""
    *_, (_, bound, value) = entries
    if bound == value:  # of a minimum both are inf, of a maximum both -inf
        return "infeasible: proven that there is no point"
    return "no point and no bound yet"


def _entries(results):
    if hasattr(results, "trajectory"):  # of a search
        found = [(seconds, np.nan, value) for seconds, value, _ in results.trajectory]
        if found:
            found.append((results.seconds, np.nan, found[-1][2]))
    else:
        found = getattr(results, "history", results)
    try:
        found = [tuple(map(float, entry)) for entry in found]
    except (TypeError, ValueError):
        found = []
    if not found or any(len(entry) != 3 for entry in found):
        raise ModelError(
            f"history: {shown(results)} holds no history of a run. Give what "
            'SolverFactory("relu").solve(...) or find_point(...) returned, or pairs '
            "(seconds, bound, incumbent)."
        )
    return found


@checked(
    ModelError,
    effort=text,
    accuracy=text,
    group=text,
    instance=each(text),
    where=optional(_mapping),
    order=each(text),
)
def accuracy_against_effort(
    rows: str | PathLike[str] | Sequence[Mapping[str, Any]],
    effort: str = "work",
    accuracy: str = "nrmse",
    group: str = "family",
    instance: Sequence[str] = ("training", "hidden"),
    where: Mapping[str, Any] | None = None,
    order: Sequence[str] = (),
    ax: Any = None,
) -> Any:
    """Held-out error of trained networks against the effort to optimise over them.

    One point per group and instance: the mean error and the geometric mean of the effort
    over all rows, such as seeds, that share them.

    Parameters
    ----------
    rows : path of a CSV file, or sequence of dict
        With the columns named below; the study's ``solves.csv`` has them.
    effort, accuracy : str
        Columns of numbers.  Efforts below 1e-3 count as 1e-3.
    group : str
        Column by which points are coloured and marked.
    instance : sequence of str
        Columns that tell points of one group apart.
    where : dict, optional
        Only rows with these values, compared as text: ``{"problem": "peaks"}``.
    order : sequence of str, optional
        Groups in the order of their colours, so that several pictures share them; the
        others come after them as they are met.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ModelError
        If a column is not there or holds no numbers, or no row is left.
    """
    table = _table(rows)
    where = dict(where or {})
    _check_columns(table, (effort, accuracy, group, *instance, *where))
    chosen = [r for r in table if all(str(r[k]) == str(v) for k, v in where.items())]
    points: dict[Any, dict[Any, list[tuple[float, float]]]] = {}
    for row in chosen:
        x, y = _number(row, accuracy), _number(row, effort)
        if x is None or y is None:  # such as a run that failed
            continue
        of_group = points.setdefault(row[group], {})
        key = tuple(row[name] for name in instance)
        of_group.setdefault(key, []).append((x, max(y, _LEAST)))
    if not points:
        raise ModelError(f"accuracy_against_effort: no row is left of {where or 'it'}.")
    with styled(ax, size=(8.5, 4.8)) as ax:
        names = [*order, *(name for name in points if name not in order)]
        for name in (name for name in names if name in points):
            n, members = names.index(name), points[name]
            x = [np.mean([p[0] for p in runs]) for runs in members.values()]
            y = [
                np.exp(np.mean(np.log([p[1] for p in runs])))
                for runs in members.values()
            ]
            ax.plot(
                x,
                y,
                marker(n),
                color=colour(n),
                label=str(name).replace("_", " "),
                linestyle="none",
                markeredgecolor="black",
                markeredgewidth=0.6,
            )
        logarithmic(ax, "x", "y")
        ax.set(
            xlabel=_AXES.get(accuracy, accuracy),
            ylabel=_AXES.get(effort, effort),
        )
        ax.legend(title=group, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return ax


_AXES = {
    "nrmse": "held-out error, relative to the range",
    "work": "Gurobi work units",
    "solve_cpu_seconds": "processor seconds",
    "solve_seconds": "wall seconds",
}


def _table(rows):
    if not isinstance(rows, (str, PathLike)):
        return each(_mapping)("accuracy_against_effort: rows", rows, ModelError)
    try:
        with open(rows, newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"accuracy_against_effort: cannot read '{rows}' ({error})."
        ) from None


def _check_columns(table, names):
    known = list(table[0]) if table else []
    for name in names:
        if name not in known:
            raise ModelError(
                f"accuracy_against_effort: there is no column '{name}'."
                f"{meant(name, known)} There are {', '.join(map(str, known)) or 'none'}."
            )


def _number(row, name):
    given = row[name]
    if given is None or given == "":
        return None
    try:
        return float(given)
    except (TypeError, ValueError):
        raise ModelError(
            f"accuracy_against_effort: column '{name}' holds {given!r:.40}, which is no "
            "number."
        ) from None
