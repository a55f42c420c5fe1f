"""What claims and their checks share: findings, evidence, verdicts, paired effects."""

from dataclasses import dataclass

from pyomo_relu.study.statistics.aggregate import LEAST_PAIRS, group, select
from pyomo_relu.study.statistics.report_tables import (
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

#: Groups of networks, and points in each, below which nothing is concluded.
LEAST_GROUPS, LEAST_POINTS = 3, 2 * LEAST_PAIRS

AGREES, DISAGREES, UNCLEAR = "agrees", "disagrees", "no clear effect"
PARTLY, OPEN, MISSING = "agrees in part", "nothing claimed", "not measured"
TOO_LITTLE = "too little to tell"


@dataclass(frozen=True)
class Evidence:
    """Where a finding's numbers come from.

    Parameters
    ----------
    table : {"networks", "layers", "solves"}
        The CSV file.
    where : dict
        Column to value, or to a tuple of values, of the rows that count; of those only
        the paper's problems, more than one hidden layer, networks that learned and
        solves with a point.
    section : str
        Heading of the report's table that shows them.
    picture : str, optional
        Name of the figure that does.
    """

    table: str
    where: dict
    section: str
    picture: str | None = None

    def rows(self, tables):
        """The rows that count, of Tables."""
        rows = getattr(tables.that_learned(), self.table)
        rows = [r for r in rows if r.get("objective", 0.0) is not None]
        return paper(select(rows, **self.where))

    def __str__(self):
        filters = [
            f"{column} = {value}"
            if isinstance(value, str)
            else f"{column} in ({', '.join(value)})"
            for column, value in self.where.items()
        ]
        anchor = "".join(c for c in self.section.lower() if c.isalnum() or c == " ")
        text = f"`{self.table}.csv` where `{' and '.join(filters)}`"
        text += f"; table [{self.section}](report.md#{anchor.replace(' ', '-')})"
        if self.picture:
            text += f"; figure [{self.picture}](figures/{self.picture}.png)"
        return text


@dataclass(frozen=True)
class Finding:
    """A claim, where it comes from, what was measured, the verdict, and its evidence."""

    claim: str
    source: str
    measured: str
    verdict: str
    evidence: tuple = ()


TRAINING, ENCODING = "Levers in training", "Levers on the trained network"


def effort_evidence(*families):
    """Solves of big-M rows with lp bounds, of plain networks and some families."""
    return Evidence(
        "solves",
        {
            "bounds": "lp",
            "formulation": "relu.bigm",
            "units": "raw",
            "family": ("plain", *families),
        },
        TRAINING,
        "trade_off",
    )


def encoding_evidence(bounds, formulations=("relu.bigm",)):
    """Solves of plain networks with some bounds and formulations."""
    return Evidence(
        "solves",
        {"bounds": tuple(bounds), "formulation": formulations, "family": "plain"},
        ENCODING,
        "profiles",
    )


def width_evidence(bounds, *families):
    """Layers of plain networks and some families with some bounds."""
    where = {"bounds": tuple(bounds), "family": ("plain", *families)}
    section = TRAINING if families else ENCODING
    return Evidence("layers", where, section, "stable" if families else "growth")


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
    """From a paired ratio and its interval: expected -1 means a fall is claimed."""
    if ratio.value is None:
        return TOO_LITTLE if ratio.short or ratio.open else MISSING
    if ratio.direction is None:
        return TOO_LITTLE
    if ratio.direction == 0:
        return UNCLEAR
    return AGREES if ratio.direction == expected else DISAGREES


def verdict_of_many(above, below):
    """From intervals of one figure on several groups of networks.

    Parameters
    ----------
    above, below : list of bool
        Whether a group's interval lies clearly on the claimed side, and on the other.

    Returns
    -------
    str
        Two thirds of the groups decide; three groups are the least.
    """
    if not above:
        return MISSING
    if len(above) < LEAST_GROUPS:
        return TOO_LITTLE
    for side, verdict in ((above, AGREES), (below, DISAGREES)):
        if 3 * sum(side) >= 2 * len(side):
            return verdict
    clear = sum(a or b for a, b in zip(above, below, strict=True))
    return (
        UNCLEAR if any(above) and any(below) and 2 * clear >= len(above) else TOO_LITTLE
    )


def plain_effort(tables, bounds="lp"):
    """Solves that compare trainings, and the function that relates some to plain's."""
    rows = paper(compared_solves(tables, bounds))
    base = select(rows, family="plain")
    return rows, lambda wanted: effort_ratio(wanted, base, *PAIR)


def one_sided(effects, expected):
    """Verdict on several settings: clear ones must all point the same way."""
    measured = [e for e in effects if e.value is not None]
    if not measured:
        return TOO_LITTLE if any(e.short or e.open for e in effects) else MISSING
    directions = {e.direction for e in measured}
    signs = directions - {0, None}
    if signs == {expected}:
        return AGREES
    if signs == {-expected}:
        return DISAGREES
    return UNCLEAR if signs or None not in directions else TOO_LITTLE


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


def encodings(tables, bounds, formulation="relu.bigm", units="raw"):
    """Solves of the paper's problems on plain networks, one encoding."""
    rows = [r for r in tables.solves if r["objective"] is not None]
    rows = select(rows, family="plain", solver=main_solver(tables.solves))
    rows = select(rows, bounds=bounds, formulation=formulation, units=units)
    return paper(rows)


def tightening_ratio(tables):
    """Effort with lp bounds relative to interval bounds, plain networks."""
    lp, interval = encodings(tables, "lp"), encodings(tables, "interval")
    return effort_ratio(lp, interval, *SOLVE_PAIR)
