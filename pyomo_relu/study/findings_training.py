"""Claims on levers in training, checked against a run's tables."""

import itertools

from pyomo_relu.study.aggregate import (
    dominated_share,
    effort_column,
    group,
    power_law,
    select,
)
from pyomo_relu.study.findings_common import (
    AGREES,
    AICHE,
    DISAGREES,
    LASTRUCCI,
    MISSING,
    OPEN,
    PARTLY,
    PLATE,
    TSAY,
    UNCLEAR,
    Finding,
    by_problem,
    families,
    one_sided,
    paper,
    plain_effort,
    tightening_ratio,
    training_effects,
    verdict_of,
)
from pyomo_relu.study.report_tables import (
    PAIR,
    compared_solves,
    network_stability,
    ratio_to_plain,
)

#: A slope over errors needs them to differ by this factor.
SPREAD = 1.5


def regularisation(tables):
    """Training-time levers against post-processing."""
    rows, ratio = plain_effort(tables)
    effects = {}
    for (training,), runs in group(rows, "training").items():
        family = runs[0]["family"]
        effect = ratio(runs)
        best = effects.get(family)
        if family == "plain" or effect.value is None:
            continue
        if best is None or effect.value < best[1].value:
            effects[family] = training, effect
    tightening = tightening_ratio(tables)
    networks = paper(tables.networks)
    texts = []
    for name, effect in effects.values():
        error = ratio_to_plain(select(networks, training=name), networks, "nrmse")
        texts.append(f"{name} {effect} at an error of x{error.value:.3g}")
    verdict = MISSING
    penalties = [effects[f][1] for f in ("l1", "l2") if f in effects]
    if penalties and tightening.value is not None:
        best, other = min(r.value for r in penalties), min(1.0, tightening.value)
        verdict = UNCLEAR
        if best < 0.9 * other:
            verdict = AGREES
        elif best > other / 0.9:
            verdict = DISAGREES
    return Finding(
        "Regularisation in training gives the strongest gain of all levers.",
        PLATE,
        "Effort relative to plain training (lp bounds), setting of least effort of each: "
        f"{'; '.join(texts) or 'not measured'}. For comparison, lp bounds instead of "
        f"interval bounds on plain networks: {tightening}.",
        verdict,
    )


def regions_and_effort(tables):
    """Do fewer regions and fewer unstable neurons go with less effort?"""
    rows = paper(compared_solves(tables, "lp"))
    regions = {r["network"]: r["regions_lower_bound"] for r in tables.networks}
    unstable = {
        r["network"]: r["unstable"] for r in network_stability(tables.layers, "lp")
    }
    column = effort_column(rows)
    texts, correlations = [], []
    for (name, hidden), members in group(rows, "problem", "hidden").items():
        effort = [r[column] for r in members]
        for what, figure in (("regions", regions), ("unstable neurons", unstable)):
            law = power_law([figure.get(r["network"]) for r in members], effort)
            if law is not None and law.points >= 5:
                correlations.append(law.correlation)
                texts.append(f"{name} {hidden}, {what} {law.correlation:.2f}")
    verdict = MISSING
    if correlations:
        positive = sum(c > 0.3 for c in correlations)
        verdict = AGREES if 3 * positive >= 2 * len(correlations) else UNCLEAR
        if 3 * sum(c < -0.3 for c in correlations) >= 2 * len(correlations):
            verdict = DISAGREES
    return Finding(
        "Fewer linear regions and more stable neurons go with less effort.",
        PLATE,
        f"Spearman's rank correlation with effort over trainings and seeds: "
        f"{'; '.join(texts) or 'not measured'}.",
        verdict,
    )


def shrinkage(tables):
    """Stronger penalty, fewer regions, less effort?"""
    rows, ratio = plain_effort(tables)
    networks = paper(tables.networks)
    texts, fell, total = [], {"regions": 0, "effort": 0}, 0
    for family in ("l1", "l2"):
        nets = _with_all_strengths(select(networks, family=family))
        runs = _with_all_strengths(select(rows, family=family))
        steps = [{"regions": 1.0, "effort": 1.0}]  # plain
        for (strength,), members in sorted(group(nets, "strength").items()):
            regions = ratio_to_plain(members, networks, "regions_lower_bound").value
            effort = ratio(select(runs, strength=strength)).value
            if regions is None or effort is None:
                continue
            steps.append({"regions": regions, "effort": effort})
            texts.append(
                f"{family} {strength:g}: regions x{regions:.3g}, effort x{effort:.3g}"
            )
        for a, b in itertools.pairwise(steps):
            total += 1
            for what in fell:
                fell[what] += b[what] < a[what]
    verdict = MISSING
    if total:
        always = [count == total for count in fell.values()]
        verdict = AGREES if all(always) else PARTLY if any(always) else UNCLEAR
        if max(fell.values()) == 0:
            verdict = DISAGREES
    return Finding(
        "The stronger the shrinkage, the fewer linear regions and the less effort.",
        f"{TSAY}, on {PLATE}",
        f"Relative to plain: {'; '.join(texts) or 'not measured'}. Of {total} steps to "
        f"a stronger penalty, beginning at none, regions fall in {fell['regions']} and "
        f"effort in {fell['effort']}.",
        verdict,
    )


def _with_all_strengths(rows):
    """Rows of those problems, sizes and seeds that have every strength."""
    strengths = {r["strength"] for r in rows}
    complete = {
        key
        for key, members in group(rows, *PAIR).items()
        if {r["strength"] for r in members} == strengths
    }
    return [r for r in rows if tuple(r[c] for c in PAIR) in complete]


def l1_or_l2(tables):
    """Which of the two penalties dominates?"""
    rows = paper(compared_solves(tables, "lp"))
    measured, verdict = _dominance(
        select(rows, family="l1"),
        select(rows, family="l2"),
        "l1",
        "l2",
        effort_column(rows),
    )
    return Finding(
        "l1 regularisation dominates l2.", f"{TSAY}, on {PLATE}", measured, verdict
    )


def _dominance(ours, theirs, our_name, their_name, column):
    """Text and verdict on who beats whom in error and effort together."""
    pairs = (theirs, ours), (ours, theirs)
    shares = [dominated_share(a, b, PAIR, ("nrmse", column)) for a, b in pairs]
    (they_lose, n_theirs), (we_lose, n_ours) = shares
    if they_lose is None or we_lose is None:
        return "Not measured.", MISSING
    verdict = UNCLEAR
    if abs(they_lose - we_lose) > 0.1:
        verdict = AGREES if they_lose > we_lose else DISAGREES
    return (
        f"{they_lose:.0%} of {n_theirs} {their_name} solves are beaten in error and "
        f"effort by a {our_name} network of the same problem, size and seed; "
        f"{we_lose:.0%} of {n_ours} {our_name} solves by one with {their_name}."
    ), verdict


def dropout(tables):
    """The direction of dropout's effect is not known from the sources."""
    texts, _ = training_effects(tables, "dropout")
    return Finding(
        "Dropout is studied as a contrast to regularisation; the direction of its "
        "effect is not known to us.",
        PLATE,
        f"Relative to plain: {'; '.join(texts) or 'not measured'}.",
        OPEN if texts else MISSING,
    )


def clipping_big_m(tables):
    """Do ceilings lower big-M constants?"""
    widths = paper(network_stability(tables.layers, "interval"))
    effect, text = by_problem(
        lambda rows: ratio_to_plain(rows, widths, "last_width"),
        families(widths, "ceiling"),
    )
    return Finding(
        "Clipped ReLUs lower the big-M constants.",
        AICHE,
        f"Width of the last hidden layer's interval bounds relative to plain: {text}.",
        verdict_of(effect, -1),
    )


def clipping_effort(tables):
    """Do ceilings lower the effort?"""
    texts, effects = training_effects(tables, "ceiling")
    return Finding(
        "Clipped ReLUs, by lower big-Ms, make the problem easier.",
        f"{AICHE} (a hypothesis there)",
        "Each clipped neuron takes up to two binaries. Relative to plain: "
        f"{'; '.join(texts) or 'not measured'}.",
        one_sided(effects, -1),
    )


def interval_penalties(tables):
    """Tsay's penalties on bound width and stability, against l1 and l2."""
    rows = paper(compared_solves(tables, "lp"))
    texts = []
    for family in ("bound_width", "stability"):
        texts += training_effects(tables, family)[0]
    ours = families(rows, "bound_width", "stability")
    measured, verdict = _dominance(
        ours, families(rows, "l1", "l2"), "bound-based", "l1 or l2", effort_column(rows)
    )
    return Finding(
        "Penalties on bound width and on distance to stability give more tractability "
        "per accuracy lost than l1 and l2.",
        TSAY,
        f"{measured} Relative to plain: {'; '.join(texts) or 'not measured'}.",
        verdict,
    )


def pruning(tables):
    """Does pruning with fine-tuning tighten bounds and lower the effort?"""
    rows, ratio = plain_effort(tables)
    widths = paper(network_stability(tables.layers, "interval"))
    texts, _ = training_effects(tables, "prune")
    width = ratio_to_plain(select(widths, family="prune"), widths, "last_width")
    effect = ratio(select(rows, family="prune"))
    return Finding(
        "Pruned weights tighten pre-activation bounds and make the problem easier.",
        LASTRUCCI,
        f"Width of the last layer's interval bounds relative to plain: {width}. "
        f"{'; '.join(texts) or 'Effort not measured'}.",
        verdict_of(effect, -1),
    )


def redundancy(tables):
    """The trade-off between accuracy and effort, in numbers."""
    rows = paper(compared_solves(tables, "lp"))
    column = effort_column(rows)
    texts, slopes = [], []
    for (name, hidden), members in group(rows, "problem", "hidden").items():
        families = ("plain", "l1", "l2", "bound_width", "stability")
        members = select(members, family=families)
        errors = [r["nrmse"] for r in members]
        if max(errors) < SPREAD * min(errors):
            texts.append(f"{name} {hidden}: errors hardly differ")
            continue
        law = power_law(errors, [r[column] for r in members])
        if law is not None and law.points >= 5:
            slopes.append(law.slope)
            texts.append(
                f"{name} {hidden}: halving the error multiplies the effort by "
                f"{2**-law.slope:.2f} (rank correlation {law.correlation:.2f}, "
                f"{law.points} networks)"
            )
    verdict = MISSING
    if slopes:
        falling = sum(s < -0.1 for s in slopes)
        verdict = AGREES if 3 * falling >= 2 * len(slopes) else UNCLEAR
        if 3 * sum(s > 0.1 for s in slopes) >= 2 * len(slopes):
            verdict = DISAGREES
    return Finding(
        "There is a trade-off: accuracy (redundancy in the network) costs effort.",
        PLATE,
        f"Least squares of log effort on log error over penalised and plain networks: "
        f"{'; '.join(texts) or 'not measured'}.",
        verdict,
    )
