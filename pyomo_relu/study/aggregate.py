"""Means, paired ratios, profiles and fits over rows of the study's tables."""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

#: Shifts of geometric means: what is far below does not count.
SHIFT = {"work": 0.01, "solve_cpu_seconds": 0.01, "nodes": 1.0}
UNSOLVED = ("time limit", "work limit")


def select(rows, **wanted):
    """Rows whose columns have the wanted values; a set or tuple means any of them."""

    def fits(row):
        return all(
            row[k] in v if isinstance(v, (set, tuple, list)) else row[k] == v
            for k, v in wanted.items()
        )

    return [row for row in rows if fits(row)]


def group(rows, *columns):
    """{values of the columns: rows}, in order of first appearance."""
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[c] for c in columns)].append(row)
    return dict(groups)


def geometric_mean(values, shift=0.0):
    """``exp(mean(log(v + shift))) - shift``; None without values."""
    values = [v for v in values if v is not None]
    if not values:
        return None
    return float(np.exp(np.mean(np.log(np.asarray(values, float) + shift))) - shift)


def mean(values):
    """Arithmetic mean; None without values."""
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def effort_column(rows):
    """Gurobi's work units where all rows have them, else processor seconds."""
    if rows and all(row["work"] is not None for row in rows):
        return "work"
    return "solve_cpu_seconds"


@dataclass(frozen=True)
class Ratio:
    """Geometric mean of paired ratios, and in how many pairs the figure was smaller.

    ``censored`` pairs are those in which a limit stopped a solve: there the figure at
    the limit was taken, so the ratio is nearer to one than the truth.
    """

    value: float | None
    smaller: int
    pairs: int
    censored: int = 0

    def __str__(self):
        if self.value is None:
            return "not measured"
        text = f"x{self.value:.3g} (smaller in {self.smaller} of {self.pairs} pairs"
        if self.censored:
            text += f", {self.censored} of them with a solve at its limit"
        return text + ")"

    @property
    def direction(self):
        """-1 if clearly smaller, 1 if clearly larger, 0 if neither.

        Clear: the mean is off by a tenth and two thirds of the pairs agree.
        """
        if self.value is None:
            return 0
        if self.value < 0.9 and 3 * self.smaller >= 2 * self.pairs:
            return -1
        if self.value > 1 / 0.9 and 3 * self.smaller <= self.pairs:
            return 1
        return 0


def paired_ratio(rows, base, column, *keys, shift=0.0):
    """Ratio of a figure between two sets of rows, pair by pair.

    Parameters
    ----------
    rows, base : list of dict
        Compared where the values of ``keys`` agree; several rows with the same keys
        are averaged (geometrically) first.
    column : str
    keys : str
    shift : float
        Added to both figures of a pair.

    Returns
    -------
    Ratio
    """
    ours, theirs = group(rows, *keys), group(base, *keys)
    logs, censored = [], 0
    for key in ours:
        a = geometric_mean([r[column] for r in ours[key]], shift)
        b = geometric_mean([r[column] for r in theirs.get(key, [])], shift)
        if a is None or b is None or a + shift <= 0 or b + shift <= 0:
            continue
        logs.append(math.log((a + shift) / (b + shift)))
        both = ours[key] + theirs[key]
        censored += any(r.get("status") in UNSOLVED for r in both)
    if not logs:
        return Ratio(None, 0, 0)
    smaller = sum(value < -1e-9 for value in logs)
    return Ratio(math.exp(float(np.mean(logs))), smaller, len(logs), censored)


def performance_profile(rows, variant, instance, column):
    """Share of instances that each variant solves within a factor of the best one.

    Parameters
    ----------
    rows : list of dict
    variant, instance : sequences of column names
    column : str
        The figure; a solve that a limit stopped counts as infinite.

    Returns
    -------
    dict of tuple to (factors, shares)
        Of instances that every variant ran on.
    """
    best, figures = {}, defaultdict(dict)
    for (v, i), members in group_pairs(rows, variant, instance).items():
        solved = [r for r in members if r["status"] == "optimal"]
        value = geometric_mean([r[column] for r in solved]) if solved else None
        if value is None or len(solved) < len(members):
            value = math.inf
        figures[v][i] = max(value, 1e-3)
    if not figures:
        return {}
    common = set.intersection(*(set(f) for f in figures.values()))
    for i in common:
        best[i] = min(f[i] for f in figures.values())
    common = {i for i in common if math.isfinite(best[i])}
    result = {}
    for v, f in figures.items():
        ratios = np.sort([f[i] / best[i] for i in common])
        ratios = ratios[np.isfinite(ratios)]
        shares = np.arange(1, ratios.size + 1) / max(len(common), 1)
        result[v] = ratios, shares
    return result


def group_pairs(rows, variant, instance):
    """{(values of variant, values of instance): rows}."""
    groups = defaultdict(list)
    for row in rows:
        key = tuple(row[c] for c in variant), tuple(row[c] for c in instance)
        groups[key].append(row)
    return groups


@dataclass(frozen=True)
class PowerLaw:
    """``y = a x^slope`` fitted to logarithms, and Spearman's rank correlation."""

    slope: float
    correlation: float
    points: int


def power_law(x, y):
    """Fit of positive numbers; None with fewer than three points or no spread."""
    from scipy.stats import spearmanr

    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a and b and a > 0 and b > 0]
    if len(pairs) < 3 or len({a for a, _ in pairs}) < 2:
        return None
    a, b = np.log(np.array(pairs)).T
    slope = float(np.polyfit(a, b, 1)[0])
    rank = spearmanr(a, b).statistic if np.ptp(b) > 0 else 0.0
    return PowerLaw(slope, float(rank), len(pairs))


def dominated_share(rows, by, keys, columns):
    """Share of ``rows`` that some row of ``by`` with equal keys beats in all columns."""
    others = group(by, *keys)
    beaten = total = 0
    for row in rows:
        rivals = others.get(tuple(row[k] for k in keys), [])
        if not rivals:
            continue
        total += 1
        beaten += any(
            all(r[c] <= row[c] for c in columns) and any(r[c] < row[c] for c in columns)
            for r in rivals
        )
    return (beaten / total if total else None), total
