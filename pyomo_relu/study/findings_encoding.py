"""Claims on levers on the trained network, checked against a run's tables."""

import math

from pyomo_relu.study.aggregate import Ratio, group, paired_ratio, pooled, select
from pyomo_relu.study.findings_common import (
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
from pyomo_relu.study.report_tables import (
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


def scaling_big_m(tables):
    """l1 scaling against big-M size."""
    widths = {
        m: paper(select(network_stability(tables.layers, m), family="plain"))
        for m in ("interval", "scaled interval", "lp", "scaled lp")
    }
    effects = {
        (m, figure): by_problem(
            lambda rows, m=m, figure=figure: paired_ratio(
                rows, widths[m], figure, *PAIR
            ),
            widths[f"scaled {m}"],
        )
        for m in ("interval", "lp")
        for figure in ("width", "last_width")
    }
    texts = {key: text for key, (_, text) in effects.items()}
    same = paired_ratio(
        widths["scaled lp"], widths["lp"], "unstable", *PAIR, shift=1e-9
    )
    return Finding(
        "A posteriori scaling shrinks big-Ms.",
        PLATE,
        "Mean width of all hidden neurons' bounds, scaled against unscaled: interval "
        f"{texts['interval', 'width']}; lp {texts['lp', 'width']}; of the last hidden "
        f"layer: interval {texts['interval', 'last_width']}; lp "
        f"{texts['lp', 'last_width']}. Unstable neurons (lp): {same}. The networks map "
        "raw inputs to raw outputs: where outputs are large, the least l1 norm moves "
        "their size into the hidden layers.",
        verdict_of(effects["interval", "width"][0], -1),
        (width_evidence(["interval", "scaled interval", "lp", "scaled lp"]),),
    )


def scaling_effort(tables):
    """l1 scaling against effort; equal relaxations are a check of the mathematics."""
    texts, effects, methods = [], [], ("interval", "crown", "lp", "all")
    for bounds in methods:
        scaled = encodings(tables, bounds, "relu.scaled")
        effect = effort_ratio(scaled, encodings(tables, bounds), *SOLVE_PAIR)
        effects.append(effect)
        if effect.value is not None:
            texts.append(f"{bounds} {effect}")
    relaxation = _relaxation_difference(tables)
    whole = pooled(effects)
    return Finding(
        "Scaling, combined with bound tightening, lowers the effort.",
        PLATE,
        f"Effort, scaled against unscaled: {whole}; {'; '.join(texts) or '-'}. "
        f"Largest relative difference of the linear relaxation's bound: {relaxation}.",
        verdict_of(whole, -1),
        (encoding_evidence(methods, ("relu.bigm", "relu.scaled")),),
    )


def _relaxation_difference(tables):
    largest = None
    for bounds in ("interval", "crown", "lp", "all"):
        plain = group(encodings(tables, bounds), "network")
        for key, rows in group(
            encodings(tables, bounds, "relu.scaled"), "network"
        ).items():
            if key not in plain:
                continue
            a, b = rows[0]["relaxation_bound"], plain[key][0]["relaxation_bound"]
            if a is not None and b is not None:
                off = abs(a - b) / max(1.0, abs(b))
                largest = off if largest is None else max(largest, off)
    if largest == 0:
        return "none in the nine digits of the tables"
    return "not measured" if largest is None else f"{largest:.1g}"


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
