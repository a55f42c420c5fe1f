"""Claims on levers in training, checked against a run's tables."""

import itertools

from pyomo_relu.common.wording import counted
from pyomo_relu.study.findings.common import (
    AGREES,
    AICHE,
    DISAGREES,
    LASTRUCCI,
    LEAST_POINTS,
    MISSING,
    OPEN,
    PARTLY,
    PLATE,
    TOO_LITTLE,
    TSAY,
    UNCLEAR,
    Finding,
    by_problem,
    effort_evidence,
    encoding_evidence,
    families,
    one_sided,
    paper,
    plain_effort,
    tightening_ratio,
    training_effects,
    verdict_of,
    verdict_of_many,
    width_evidence,
)
from pyomo_relu.study.statistics.aggregate import (
    LEAST_PAIRS,
    dominated_shares,
    effort_column,
    group,
    mean_interval,
    of_hard_instances,
    paired_ratio,
    power_law,
    select,
)
from pyomo_relu.study.statistics.report_tables import (
    PAIR,
    compared_solves,
    effort_ratio,
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
    penalties = [effects[f][1] for f in ("l1", "l2") if f in effects]
    return Finding(
        "Regularisation in training gives the strongest gain of all levers.",
        PLATE,
        "Effort relative to plain training (lp bounds), setting of least effort of each: "
        f"{'; '.join(texts) or 'not measured'}. For comparison, lp bounds instead of "
        f"interval bounds on plain networks: {tightening}.",
        _stronger(penalties, tightening),
        (
            effort_evidence(*effects),
            encoding_evidence(["interval", "lp"]),
        ),
    )


def _stronger(penalties, other):
    """Whether the best of some levers is beyond doubt stronger than another lever."""
    measured = [p for p in penalties if p.value is not None]
    if not measured or other.value is None:
        return TOO_LITTLE if other.short or penalties else MISSING
    best = min(measured, key=lambda p: p.value)
    if None in (best.direction, other.direction):
        return TOO_LITTLE
    if best.interval[1] < min(1.0, other.interval[0]):
        return AGREES
    return DISAGREES if best.interval[0] > min(1.0, other.interval[1]) else UNCLEAR


def regions_and_effort(tables):
    """Do fewer regions and fewer unstable neurons go with less effort?"""
    rows = paper(compared_solves(tables, "lp"))
    regions = {r["network"]: r["regions_lower_bound"] for r in tables.networks}
    unstable = {
        r["network"]: r["unstable"] for r in network_stability(tables.layers, "lp")
    }
    column = effort_column(rows)
    texts, laws = [], []
    for (name, hidden), members in group(rows, "problem", "hidden").items():
        members = of_hard_instances(members, members)
        effort = [r[column] for r in members]
        for what, figure in (("regions", regions), ("unstable neurons", unstable)):
            law = power_law([figure.get(r["network"]) for r in members], effort)
            if law is not None and law.points >= LEAST_POINTS:
                laws.append(law)
                low, high = law.correlation_interval
                texts.append(
                    f"{name} {hidden}, {what} {law.correlation:.2f} [{low:.2f}, "
                    f"{high:.2f}] ({law.points} solves)"
                )
    verdict = verdict_of_many(
        [law.correlation_interval[0] > 0 for law in laws],
        [law.correlation_interval[1] < 0 for law in laws],
    )
    if not laws and rows:
        verdict = TOO_LITTLE
    return Finding(
        "Fewer linear regions and more stable neurons go with less effort.",
        PLATE,
        f"Spearman's rank correlation with effort over trainings and seeds: "
        f"{'; '.join(texts) or 'not measured'}.",
        verdict,
        (effort_evidence(*sorted({r["family"] for r in rows} - {"plain"})),),
    )


def shrinkage(tables):
    """Stronger penalty, fewer regions, less effort?"""
    rows, _ = plain_effort(tables)
    networks = paper(tables.networks)
    texts, steps = [], {"regions": [], "effort": []}
    for family in ("l1", "l2"):
        nets = _with_all_strengths(select(networks, family=(family, "plain")))
        runs = _with_all_strengths(select(rows, family=(family, "plain")))
        strengths = sorted(s for (s,) in group(nets, "strength"))
        for weaker, stronger in itertools.pairwise(strengths):
            a, b = (select(nets, strength=s) for s in (stronger, weaker))
            regions = paired_ratio(a, b, "regions_lower_bound", *PAIR)
            a, b = (select(runs, strength=s) for s in (stronger, weaker))
            effort = effort_ratio(a, b, *PAIR)
            steps["regions"].append(regions)
            steps["effort"].append(effort)
            texts.append(
                f"{family} {weaker:g} to {stronger:g}: regions {regions}, effort {effort}"
            )
    verdicts = [_falls(found) for found in steps.values()]
    if len(set(verdicts)) == 1:
        verdict = verdicts[0]
    else:
        verdict = PARTLY if AGREES in verdicts else UNCLEAR
        if TOO_LITTLE in verdicts:
            verdict = TOO_LITTLE
    return Finding(
        "The stronger the shrinkage, the fewer linear regions and the less effort.",
        f"{TSAY}, on {PLATE}",
        "From each strength (0: none) to the next, over problems, layer sizes and seeds "
        f"that have all strengths: {'; '.join(texts) or 'not measured'}.",
        verdict,
        (effort_evidence("l1", "l2"),),
    )


def _falls(steps):
    """Verdict on a figure that is claimed to fall at every step."""
    measured = [s for s in steps if s.value is not None]
    if not measured:
        return TOO_LITTLE if any(s.short or s.open for s in steps) else MISSING
    directions = [s.direction for s in measured]
    if 2 * directions.count(None) > len(directions):
        return TOO_LITTLE
    if 1 in directions:
        return DISAGREES if -1 not in directions else UNCLEAR
    return AGREES if 2 * directions.count(-1) >= len(directions) else UNCLEAR


def _with_all_strengths(rows):
    """Rows of those problems, sizes and seeds that have every strength, 0 included."""
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
        rows,
    )
    return Finding(
        "l1 regularisation dominates l2.",
        f"{TSAY}, on {PLATE}",
        measured,
        verdict,
        (effort_evidence("l1", "l2"),),
    )


def _dominance(ours, theirs, our_name, their_name, every):
    """Text and verdict on who beats whom in error and effort together.

    Only where some solve of ``every`` of the same problem, size and seed is long enough.
    """
    column = effort_column(every)
    ours, theirs = (of_hard_instances(rows, every) for rows in (ours, theirs))
    pairs = (theirs, ours), (ours, theirs)
    beaten = [dominated_shares(a, b, PAIR, ("nrmse", column)) for a, b in pairs]
    (they_lose, n_theirs), (we_lose, n_ours) = (
        (sum(share for _, share, _ in found), sum(n for *_, n in found))
        for found in beaten
    )
    if not n_theirs or not n_ours:
        return "Not measured on solves that are long enough.", TOO_LITTLE
    shares = dict.fromkeys([key for found in beaten for key, *_ in found], 0.0)
    for sign, found in zip((1.0, -1.0), beaten, strict=True):
        for key, share, n in found:
            shares[key] += sign * share / n
    low, high = mean_interval(list(shares.values()), list(shares))
    verdict = TOO_LITTLE
    if len(shares) >= LEAST_PAIRS:
        verdict = AGREES if low > 0 else DISAGREES if high < 0 else UNCLEAR
    return (
        f"{they_lose} of {n_theirs} {their_name} solves are beaten in error and effort "
        f"by a {our_name} network of the same problem, size and seed; {we_lose} of "
        f"{n_ours} {our_name} solves by one with {their_name}. Difference of the shares, "
        f"mean over {len(shares)} problems, sizes and seeds: "
        f"{sum(shares.values()) / len(shares):.2f} [{low:.2f}, {high:.2f}]."
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
        (effort_evidence("dropout"),),
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
        (width_evidence(["interval"], "ceiling"),),
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
        (effort_evidence("ceiling"),),
    )


def interval_penalties(tables):
    """Tsay's penalties on bound width and stability, against l1 and l2."""
    rows = paper(compared_solves(tables, "lp"))
    texts = []
    for family in ("bound_width", "stability"):
        texts += training_effects(tables, family)[0]
    ours = families(rows, "bound_width", "stability")
    measured, verdict = _dominance(
        ours, families(rows, "l1", "l2"), "bound-based", "l1 or l2", rows
    )
    return Finding(
        "Penalties on bound width and on distance to stability give more tractability "
        "per accuracy lost than l1 and l2.",
        TSAY,
        f"{measured} Relative to plain: {'; '.join(texts) or 'not measured'}.",
        verdict,
        (effort_evidence("bound_width", "stability", "l1", "l2"),),
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
        (effort_evidence("prune"), width_evidence(["interval"], "prune")),
    )


def redundancy(tables):
    """The trade-off between accuracy and effort, in numbers."""
    rows = paper(compared_solves(tables, "lp"))
    column = effort_column(rows)
    texts, laws = [], []
    penalties = "l1", "l2", "bound_width", "stability"
    for (name, hidden), members in group(rows, "problem", "hidden").items():
        wanted = select(members, family=("plain", *penalties))
        members = of_hard_instances(wanted, members)
        errors = [r["nrmse"] for r in members]
        if len(members) < LEAST_POINTS:
            texts.append(
                f"{name} {hidden}: {counted(len(members), 'solve')} of enough effort"
            )
            continue
        if max(errors) < SPREAD * min(errors):
            texts.append(f"{name} {hidden}: errors hardly differ")
            continue
        law = power_law(errors, [r[column] for r in members])
        if law is not None:
            laws.append(law)
            factors = [2**-s for s in (law.slope, *reversed(law.slope_interval))]
            texts.append(
                f"{name} {hidden}: halving the error multiplies the effort by "
                "{:.2f} [{:.2f}, {:.2f}] (".format(*factors)
                + f"rank correlation {law.correlation:.2f}, {law.points} networks)"
            )
    verdict = verdict_of_many(
        [law.slope_interval[1] < 0 for law in laws],
        [law.slope_interval[0] > 0 for law in laws],
    )
    if not laws and rows:
        verdict = TOO_LITTLE
    return Finding(
        "There is a trade-off: accuracy (redundancy in the network) costs effort.",
        PLATE,
        f"Least squares of log effort on log error over penalised and plain networks: "
        f"{'; '.join(texts) or 'not measured'}.",
        verdict,
        (effort_evidence(*penalties),),
    )
