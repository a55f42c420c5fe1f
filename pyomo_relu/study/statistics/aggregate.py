"""Means, paired ratios, profiles and fits over rows of the study's tables."""

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: Shifts of geometric means: what is far below does not count.
SHIFT = {"work": 0.01, "solve_cpu_seconds": 0.01, "nodes": 1.0}
UNSOLVED = ("time limit", "work limit", "node limit")

#: Networks that share these were trained from the same start on the same samples.
CLUSTER = ("problem", "hidden", "seed")
#: Independent pairs below which nothing is concluded.
LEAST_PAIRS = 8
#: Processor seconds: solves below it are all start-up and presolve.
LEAST_SECONDS = 0.5
#: Boxes that a branch and bound on inputs must have bounded: below, there is no tree.
LEAST_BOXES = 20
#: An interval within this factor of one says that there is no effect that matters.
NO_EFFECT = 1.25
#: Bootstrap samples, and percentiles of the interval.
DRAWS, LEVEL = 4000, (2.5, 97.5)


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
    """Geometric mean of paired ratios with a 95 % bootstrap interval.

    Parameters
    ----------
    logs : tuple of float
        Natural logarithms of the ratios, one per pair.
    clusters : tuple
        What each pair's networks were trained on and from: pairs of one cluster are not
        independent and are drawn together.
    censored : int
        Pairs in which a limit stopped a solve: there the figure at the limit was taken,
        so the ratio is nearer to one than the truth.
    short : int
        Pairs left out because both solves were too short to compare.
    open : int
        Pairs left out because a limit stopped both solves: which is larger is not known.
    """

    logs: tuple = ()
    clusters: tuple = ()
    censored: int = 0
    short: int = 0
    open: int = 0

    @property
    def value(self):
        """The geometric mean; None without pairs."""
        return math.exp(float(np.mean(self.logs))) if self.logs else None

    @property
    def pairs(self):
        """Number of pairs."""
        return len(self.logs)

    @property
    def independent(self):
        """Number of clusters."""
        return len(set(self.clusters))

    @property
    def smaller(self):
        """Number of pairs in which the figure was smaller."""
        return sum(value < -1e-9 for value in self.logs)

    @cached_property
    def interval(self):
        """Ends of the interval; (None, None) without pairs."""
        if not self.logs:
            return None, None
        low, high = mean_interval(self.logs, self.clusters)
        return math.exp(low), math.exp(high)

    def __str__(self):
        if self.value is None:
            short = f" ({self.short} pairs of short solves)" if self.short else ""
            both = f" ({self.open} pairs at their limits)" if self.open else ""
            return f"not measured{short}{both}"
        low, high = self.interval
        text = f"x{self.value:.3g} [{low:.3g}, {high:.3g}] ({self.pairs} pairs"
        if self.censored:
            text += f", {self.censored} with a solve at its limit"
        if self.short:
            text += f", {self.short} left out as too short"
        if self.open:
            text += f", {self.open} left out as both at their limits"
        return text + ")"

    @property
    def direction(self):
        """-1 if clearly smaller, 1 if clearly larger, 0 if neither, None: cannot be told.

        Clear: the interval is on one side of one and the mean off by a tenth.  Neither:
        the interval is within a quarter of one.  Otherwise, or with too few pairs, the
        data say too little.
        """
        if self.independent < LEAST_PAIRS:
            return None
        low, high = self.interval
        if high < 1 and self.value < 0.9:
            return -1
        if low > 1 and self.value > 1 / 0.9:
            return 1
        return 0 if low > 1 / NO_EFFECT and high < NO_EFFECT else None


def pooled(ratios):
    """One Ratio of the pairs of several."""
    ratios = list(ratios)
    return Ratio(
        sum((r.logs for r in ratios), ()),
        sum((r.clusters for r in ratios), ()),
        sum(r.censored for r in ratios),
        sum(r.short for r in ratios),
        sum(r.open for r in ratios),
    )


def mean_interval(values, clusters):
    """Percentile bootstrap interval of a mean, whole clusters drawn.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, Chapman and Hall 1993.

    Parameters
    ----------
    values : sequence of float
    clusters : sequence
        Hashable, one per value.

    Returns
    -------
    low, high : float
    """
    numbers = {c: i for i, c in enumerate(dict.fromkeys(clusters))}
    at = np.array([numbers[c] for c in clusters])
    sums, counts = np.bincount(at, values), np.bincount(at)
    drawn = np.random.default_rng(0).integers(0, len(sums), (DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, LEVEL)
    return float(low), float(high)


def of_hard_instances(rows, among):
    """Rows whose cluster has a solve in ``among`` that takes long enough to compare.

    Whether a cluster counts does not depend on which of its solves a lever shortened.
    """
    hard = {
        key for key, members in group(among, *CLUSTER).items() if not _short(members)
    }
    return [row for row in rows if tuple(row[c] for c in CLUSTER) in hard]


def paired_ratio(rows, base, column, *keys, shift=0.0, least=None):
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
    least : (str, float), optional
        A column and a figure: a pair both solves of which have less in it is left out,
        unless a limit stopped one.

    Returns
    -------
    Ratio
    """
    ours, theirs = group(rows, *keys), group(base, *keys)
    logs, clusters, censored, short, unknown = [], [], 0, 0, 0
    for key in ours:
        a = geometric_mean([r[column] for r in ours[key]], shift)
        b = geometric_mean([r[column] for r in theirs.get(key, [])], shift)
        if a is None or b is None or a + shift <= 0 or b + shift <= 0:
            continue
        both = ours[key] + theirs[key]
        stopped = _stopped(ours[key]) or _stopped(theirs[key])
        if column in SHIFT and _stopped(ours[key]) and _stopped(theirs[key]):
            unknown += 1
            continue
        if least is not None and not stopped and _most(both, least[0]) < least[1]:
            short += 1
            continue
        logs.append(math.log((a + shift) / (b + shift)))
        clusters.append(tuple(ours[key][0].get(c) for c in CLUSTER))
        censored += stopped
    return Ratio(tuple(logs), tuple(clusters), censored, short, unknown)


def _stopped(rows):
    return any(r.get("status") in UNSOLVED for r in rows)


def _most(rows, column):
    return max(r[column] or 0.0 for r in rows)


def _short(rows):
    return not _stopped(rows) and _most(rows, "solve_cpu_seconds") < LEAST_SECONDS


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
    """``y = a x^slope`` fitted to logarithms, and Spearman's rank correlation.

    Intervals are 95 % bootstrap ones over the points.
    """

    slope: float
    correlation: float
    points: int
    slope_interval: tuple
    correlation_interval: tuple


def power_law(x, y):
    """Fit of positive numbers; None with fewer than three points or no spread."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a and b and a > 0 and b > 0]
    if len(pairs) < 3 or len({a for a, _ in pairs}) < 2:
        return None
    a, b = np.log(np.array(pairs)).T
    drawn = np.random.default_rng(0).integers(0, a.size, (DRAWS // 4, a.size))
    drawn = drawn[np.ptp(a[drawn], axis=1) > 0]
    slopes = _slopes(a[drawn], b[drawn])
    ranks = _rank_correlations(a[drawn], b[drawn])
    return PowerLaw(
        float(_slopes(a[None], b[None])[0]),
        float(_rank_correlations(a[None], b[None])[0]),
        len(pairs),
        tuple(np.percentile(slopes, LEVEL).tolist()),
        tuple(np.percentile(ranks, LEVEL).tolist()),
    )


def _slopes(a, b):
    """Least-squares slopes of b on a, row by row."""
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    return (a * b).sum(axis=1) / (a * a).sum(axis=1)


def _rank_correlations(a, b):
    """Spearman's correlation row by row; 0 where one side is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(a, axis=1), rankdata(b, axis=1)
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), size, out=np.zeros(len(a)), where=size > 0)


def dominated_shares(rows, by, keys, columns):
    """How many rows some row of ``by`` with equal keys beats in all columns.

    Returns
    -------
    list of (key, beaten, rows)
        Of the keys that both have.
    """
    others, found = group(by, *keys), []
    for key, members in group(rows, *keys).items():
        rivals = others.get(key, [])
        if rivals:
            beaten = sum(_beaten(row, rivals, columns) for row in members)
            found.append((key, beaten, len(members)))
    return found


def _beaten(row, rivals, columns):
    # what a limit stopped took more than its figure: it beats nothing
    return any(
        all(r[c] <= row[c] for c in columns) and any(r[c] < row[c] for c in columns)
        for r in rivals
        if not _stopped([r])
    )
