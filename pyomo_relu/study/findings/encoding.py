"""Claims on levers on the trained network, checked against a run's tables."""

import math

from pyomo_relu.study.findings.common import (
    AICHE,
    PLATE,
    Finding,
    by_problem,
    encoding_evidence,
    encodings,
    paper,
    verdict_of,
    width_evidence,
)
from pyomo_relu.study.statistics.aggregate import (
    Ratio,
    group,
    paired_ratio,
    pooled,
    select,
)
from pyomo_relu.study.statistics.report_tables import (
    PAIR,
    SOLVE_PAIR,
    effort_ratio,
    growth,
    network_stability,
)


def obbt(tables):
    """LP-based bound tightening against interval arithmetic."""
    widths = {
        m: paper(select(network_stability(tables.layers, m), family="plain"))
        for m in ("interval", "lp", "all")
    }
    width = paired_ratio(widths["lp"], widths["interval"], "last_width", *PAIR)
    effort, text = by_problem(
        lambda rows: effort_ratio(rows, encodings(tables, "interval"), *SOLVE_PAIR),
        encodings(tables, "lp"),
    )
    more = effort_ratio(
        encodings(tables, "all"), encodings(tables, "interval"), *SOLVE_PAIR
    )
    lp = encodings(tables, "lp")
    cpu = sum(r["preprocessing_cpu_seconds"] for r in lp)
    solve = sum(r["solve_cpu_seconds"] for r in lp)
    return Finding(
        "LP-based bound tightening shrinks big-Ms and solution effort.",
        PLATE,
        f"Last hidden layer's width, lp against interval: {width}. Effort: {text}. "
        f"With input splitting too: {more}. Tightening took {cpu:.3g} s of processor "
        f"time where the solves took {solve:.3g} s.",
        verdict_of(effort, -1),
        (
            encoding_evidence(["interval", "lp", "all"]),
            width_evidence(["interval", "lp"]),
        ),
    )


def depth(tables):
    """Growth of big-M constants with depth."""
    layers = paper(select(tables.layers, family="plain"))
    texts, whole = [], {}
    for (hidden, bounds), rows in group(layers, "hidden", "bounds").items():
        grows = _growth(rows)
        if grows.value is not None:
            texts.append(f"{hidden} {bounds} {grows.value:.2f}")
            whole[bounds] = pooled([whole.get(bounds, Ratio()), grows])
    interval = whole.get("interval", Ratio())
    return Finding(
        "Under interval arithmetic big-Ms grow exponentially with depth.",
        AICHE,
        f"Growth of the mean width per layer, interval bounds: {interval}; by layers "
        f"and bounds: {'; '.join(texts) or 'not measured'}.",
        verdict_of(interval, 1),
        (width_evidence(["interval"]),),
    )


def _growth(rows):
    """Factor per layer of each network of rows, as a Ratio."""
    logs, clusters = [], []
    for members in group(rows, "network").values():
        factor = growth({r["layer"]: r["mean_width"] for r in members})
        if factor:
            logs.append(math.log(factor))
            clusters.append(tuple(members[0][c] for c in PAIR))
    return Ratio(tuple(logs), tuple(clusters))
