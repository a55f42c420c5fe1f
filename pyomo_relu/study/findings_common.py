"""What claims and their checks share: findings, verdicts, paired effects."""

from dataclasses import dataclass

from pyomo_relu.study.aggregate import group, select
from pyomo_relu.study.report_tables import (
    PAIR,
    SOLVE_PAIR,
    compared_solves,
    deep,
    effort_ratio,
    main_solver,
    network_stability,
    ratio_to_plain,
)

PLATE = "Plate et al. 2025 (arXiv 2502.03016)"
AICHE = f"{PLATE} and the group's AIChE 2025 abstract"
TSAY = "Tsay 2026 (arXiv 2604.22746)"
LASTRUCCI = "Lastrucci et al. 2026 (arXiv 2603.23299)"
PAPER_PROBLEMS = ("peaks", "himmelblau", "ackley2")

AGREES, DISAGREES, UNCLEAR = "agrees", "disagrees", "no clear effect"
PARTLY, OPEN, MISSING = "agrees in part", "nothing claimed", "not measured"


@dataclass(frozen=True)
class Finding:
    """A claim, where it comes from, what was measured, and the verdict."""

    claim: str
    source: str
    measured: str
    verdict: str


def paper(rows):
    """Rows of the paper's three problems, more than one hidden layer."""
    return deep(select(rows, problem=PAPER_PROBLEMS))


def by_problem(ratio, rows):
    """ "x0.5 (...) overall; peaks x0.4, ..." for a function of rows."""
    whole = ratio(rows)
    parts = []
    for name in PAPER_PROBLEMS:
        part = ratio(select(rows, problem=name))
        if part.value is not None:
            parts.append(f"{name} x{part.value:.3g}")
    return whole, f"{whole}" + (f": {', '.join(parts)}" if parts else "")


def verdict_of(ratio, expected):
    """From the sign of a paired ratio: expected -1 means a fall is claimed."""
    if ratio.value is None:
        return MISSING
    if ratio.direction == 0:
        return UNCLEAR
    return AGREES if ratio.direction == expected else DISAGREES


def plain_effort(tables, bounds="lp"):
    """Solves that compare trainings, and the function that relates some to plain's."""
    rows = paper(compared_solves(tables, bounds))
    base = select(rows, family="plain")
    return rows, lambda wanted: effort_ratio(wanted, base, *PAIR)


def one_sided(effects, expected):
    """Verdict on several settings: clear ones must all point the same way."""
    if not effects:
        return MISSING
    signs = {e.direction for e in effects if e.value is not None} - {0}
    if signs == {expected}:
        return AGREES
    return DISAGREES if signs == {-expected} else UNCLEAR


def families(rows, *families):
    """Rows of some families of trainings."""
    return select(rows, family=families)


def training_effects(tables, family):
    """Texts of a family's effect on error, regions, unstable neurons and effort."""
    rows, ratio = plain_effort(tables)
    networks = paper(tables.networks)
    stable = paper(network_stability(tables.layers, "lp"))
    texts, effects = [], []
    for (training,), nets in group(select(networks, family=family), "training").items():
        effect, effort_text = by_problem(ratio, select(rows, training=training))
        error = ratio_to_plain(nets, networks, "nrmse")
        regions = ratio_to_plain(nets, networks, "regions_lower_bound")
        unstable = ratio_to_plain(
            select(stable, training=training), stable, "unstable", shift=1.0
        )
        effects.append(effect)
        texts.append(
            f"{training}: error {error}, regions {regions}, unstable neurons "
            f"{unstable}, effort {effort_text}"
        )
    return texts, effects


def encodings(tables, bounds, formulation="relu.bigm"):
    """Solves of the paper's problems on plain networks, one encoding."""
    rows = [r for r in tables.solves if r["objective"] is not None]
    rows = select(rows, family="plain", solver=main_solver(tables.solves))
    return paper(select(rows, bounds=bounds, formulation=formulation))


def tightening_ratio(tables):
    """Effort with lp bounds relative to interval bounds, plain networks."""
    lp, interval = encodings(tables, "lp"), encodings(tables, "interval")
    return effort_ratio(lp, interval, *SOLVE_PAIR)
