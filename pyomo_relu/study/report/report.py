"""Writes a run's report and findings from its CSV files; measures nothing itself."""

import json
from pathlib import Path

from pyomo_relu.common.wording import counted
from pyomo_relu.study.findings.common import PAPER_PROBLEMS
from pyomo_relu.study.findings.findings import all_findings
from pyomo_relu.study.report import figures
from pyomo_relu.study.report.document import Document
from pyomo_relu.study.run.tables import LEARNED_NOTHING, Tables
from pyomo_relu.study.statistics.aggregate import (
    LEAST_PAIRS,
    LEAST_SECONDS,
    NO_EFFECT,
    group,
    select,
)
from pyomo_relu.study.statistics.report_tables import (
    compared_solves,
    deep,
    encoding_table,
    growth_table,
    lever_table,
    trade_off_table,
    training_table,
)
from pyomo_relu.study.statistics.route_tables import (
    branching_table,
    ceilings_table,
    other_table,
    scaling_table,
)

#: Trainings whose regions are drawn, as far as a run has them.
DRAWN = (
    "plain",
    "l1 1e-4",
    "l1 1e-3",
    "l2 1e-3",
    "dropout 0.05",
    "dropout 0.1",
    "ceiling 1",
    "bound width 1e-2",
    "stability 1e-2",
    "stability 1e-1",
)


SCALING = (
    "Plain networks, the same function in other units: raw (normalisation folded in), as "
    "trained (normalisation outside), and rescaled neuron by neuron. The relaxation gap "
    "cannot differ but for rounding; coefficients are those that the solver gets."
)
CEILINGS = (
    "Ceilings at a quantile of each neuron's positive activations change the function: "
    "by at most so much on the box (proven), by so much at the optimum found."
)
BRANCHING = "Boxes are nodes that relu.branch bounds; there are no binaries."
OTHERS = "Means over seeds; regions are exact or lie between proven bounds."


def write_report(folder, networks=None):
    """Write ``report.md``, ``report.html``, ``FINDINGS.md`` and ``figures/``.

    Parameters
    ----------
    folder : path
        With the CSV files (and ``environment.json``).
    networks : path, optional
        Folder of ONNX files for the picture of the regions; default
        ``folder/networks``.  Without them an earlier report's picture is kept, or left
        out if there is none.

    Returns
    -------
    Document
    """
    folder = Path(folder)
    tables = Tables.read(folder)
    networks = folder / "networks" if networks is None else Path(networks)
    report = Document("Optimisation problems with ReLU networks: the study")
    _what_was_run(report, tables, folder)
    _checks(report, tables)
    _findings(report, tables)
    paper = tables.of_problems(PAPER_PROBLEMS).that_learned()
    _training(report, paper, networks, folder / "figures" / "regions.png")
    _encodings(report, paper)
    _others(report, tables)
    report.write(folder)
    (folder / "FINDINGS.md").write_text(findings_text(tables), encoding="utf-8")
    return report


def findings_text(tables):
    """FINDINGS.md: each claim beside the measurement, computed from the tables."""
    found = all_findings(tables)
    lines = [
        "# Findings",
        "",
        "What the literature claims beside what this run measured. All figures are",
        "computed from the CSV files in this folder by `pyomo_relu/study/findings/findings.py`;",
        "a ratio comes with its 95 % bootstrap interval in brackets, drawn over networks",
        "(problem, layer sizes, seed). A verdict needs an interval on one side of one, a",
        f"mean off by a tenth and {LEAST_PAIRS} independent pairs; *no clear effect* needs an",
        f"interval within a factor of {NO_EFFECT:g} of one; what is neither is *too little",
        "to tell*. Pairs share problem, layer sizes and seed, the networks those of the",
        "paper's three problems with more than one hidden layer. Effort is Gurobi's work",
        "units where every solve has them, else processor seconds, of pairs in which a",
        f"solve took {LEAST_SECONDS:g} processor seconds or met a limit. A solve at its",
        "limit (work units or nodes) counts with what it took up to there: the true ratio",
        "is farther from one; a pair both of which met a limit is left out.",
        "",
        f"{how_trained(tables).capitalize()}.",
        "The literature mostly trains longer on more samples,",
        "which makes its problems harder: compare ratios, not seconds.",
        "",
        "| claim | source | verdict |",
        "| --- | --- | --- |",
        *(f"| {f.claim} | {f.source} | **{f.verdict}** |" for f in found),
        "",
    ]
    for finding in found:
        lines += [
            f"## {finding.claim}",
            "",
            f"Source: {finding.source}. Verdict: **{finding.verdict}**.",
            "",
            finding.measured,
            "",
            *(f"- {evidence}" for evidence in finding.evidence),
            "",
        ]
    return "\n".join(lines)


def _what_was_run(report, tables, folder):
    report.heading("What was run")
    problems = {
        name: sorted({r["hidden"] for r in rows})
        for (name,), rows in group(tables.networks, "problem").items()
    }
    failed = [r for r in tables.solves if r["error"] is not None]
    trainings = len({r["network"] for r in tables.networks})
    lines = [
        "; ".join(
            [
                f"{trainings} trainings",
                f"{counted(len(tables.solves), 'solve')}, {len(failed)} of which failed",
                f"seeds {_listed(tables.networks, 'seed')}",
            ]
        )
    ]
    lines += [f"{name}: layers {', '.join(sizes)}" for name, sizes in problems.items()]
    lines.append(f"trainings: {_listed(tables.networks, 'training')}")
    lines.append(how_trained(tables))
    learned = {r["network"] for r in tables.that_learned().networks}
    void = [r for r in tables.networks if r["network"] not in learned]
    names = ", ".join(
        f"{r['problem']} {r['hidden']} {r['training']} seed {r['seed']:g}" for r in void
    )
    lines.append(
        "networks that learned nothing (held-out error above "
        f"{LEARNED_NOTHING:g}) and take no part in comparisons: {names or 'none'}"
    )
    for column in ("bounds", "formulation", "solver"):
        lines.append(f"{column}: {_listed(tables.solves, column)}")
    report.items(lines)
    path = folder / "environment.json"
    if path.exists():
        environment = json.loads(path.read_text(encoding="utf-8"))
        report.items(f"{key}: {value}" for key, value in environment.items())
    if failed:
        report.items(sorted({r["error"] for r in failed}))


def how_trained(tables):
    """One line on the amount of training."""
    amounts = [
        f"{_listed(tables.networks, column)} {column}"
        for column in ("samples", "epochs", "batch")
        if any(row[column] is not None for row in tables.networks)
    ]
    return f"amount of training: {', '.join(amounts) or 'the defaults'}"


def _listed(rows, column):
    values = (value for (value,) in group(rows, column) if value is not None)
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def _checks(report, tables):
    report.heading("Checks")
    optimal = select(tables.solves, status="optimal")
    lowest = {r["network"]: r["search_minimum"] for r in tables.networks}
    kept = [r for r in optimal if not r["output_movement"]]  # ceilings change others
    functions = [r for r in kept if r["true_minimum"] is not None]
    texts = []
    if functions:
        off = [
            (r["objective"] - lowest[r["network"]])
            / max(1.0, abs(lowest[r["network"]]))
            for r in functions
        ]
        texts.append(
            f"Proven optimum minus the best point of an independent search on the ONNX "
            f"file, relative: from {min(off):.1e} to {max(off):.1e} over "
            f"{counted(len(off), 'solve')}."
        )
    errors = [
        r["forward_error"] / max(1.0, abs(r["objective"]))
        for r in kept
        if r["forward_error"] is not None
    ]
    if errors:
        texts.append(
            "Largest difference between a solution's outputs and the network evaluated "
            f"at its inputs, relative to the optimum: {max(errors):.1e}."
        )
    spread = []
    for rows in group(kept, "network").values():
        values = [r["objective"] for r in rows]
        spread.append((max(values) - min(values)) / max(1.0, abs(values[0])))
    if spread:
        texts.append(
            "Largest relative difference of the optimum of one network between bounds, "
            f"formulations, solvers and solver seeds: {max(spread):.1e}."
        )
    report.items(texts)


def _findings(report, tables):
    report.heading("Claims and measurements")
    found = all_findings(tables)
    report.table(
        ["claim", "source", "verdict"], [[f.claim, f.source, f.verdict] for f in found]
    )
    report.items(f"{f.claim} {f.verdict.capitalize()}. {f.measured}" for f in found)


def _training(report, tables, networks, earlier):
    report.heading("Levers in training")
    report.text(
        "Geometric means of the ratio to plain training of the same problem, layer "
        "sizes and seed, over the paper's three problems, networks that learned and have "
        "more than one hidden layer; effort, nodes and seconds over the given number of "
        "pairs, of which so many have a solve at its limit."
    )
    report.table(*lever_table(tables))
    drawn = _partition_picture(tables, networks, earlier)
    if drawn is not None:
        report.picture("regions", *drawn)
    png = figures.regions_against_penalty(deep(tables.networks))
    if png is not None:
        report.picture("regions_penalty", png, "Linear regions against penalty")
    report.picture(
        "stable",
        figures.stable_share(deep(tables.layers)),
        "Stable neurons per bound method",
    )
    solves = deep(compared_solves(tables, "lp"))
    if solves:
        report.picture(
            "trade_off",
            figures.accuracy_against_effort(solves),
            "Accuracy against effort (lp bounds), one point per training and size",
        )
    report.text(
        "What accuracy buys: differences to plain training, lp bounds. A dash in the "
        "last column means that the training lost no accuracy."
    )
    report.table(*trade_off_table(tables))
    for hidden, problem in group(tables.networks, "hidden", "problem"):
        report.heading(f"{problem}, {hidden}", 3)
        report.table(*training_table(tables, hidden, problem))


def _partition_picture(tables, networks, earlier):
    from pyomo_relu import load_onnx
    from pyomo_relu.analysis import count_regions
    from pyomo_relu.study.problems.problems import problem

    rows = select(deep(tables.networks), training=DRAWN)
    if not rows:
        return None
    first = rows[0]
    rows = select(rows, **{c: first[c] for c in ("problem", "hidden", "seed")})
    rows.sort(key=lambda r: DRAWN.index(r["training"]))
    caption = (
        f"Linear regions of {first['problem']} networks, {first['hidden']}, seed "
        f"{first['seed']:g}; colour: direction of the slope, saturation: its size"
    )
    target, panels = problem(first["problem"]), []
    for row in rows:
        path = networks / row["file"]
        if not path.exists():
            return (earlier.read_bytes(), caption) if earlier.exists() else None
        count = count_regions(load_onnx(path), target.lower, target.upper)
        panels.append((row["training"], count, target.lower, target.upper))
    return figures.region_partitions(panels), caption


def _encodings(report, tables):
    report.heading("Levers on the trained network")
    report.text(
        "Plain networks. The relaxation gap is that of the linear relaxation as encoded, "
        "relative to the optimum; the bounds of the output count in it."
    )
    for (hidden,) in group(deep(tables.solves), "hidden"):
        header, rows = encoding_table(tables, hidden)
        if rows:
            report.heading(hidden, 3)
            report.table(header, rows)
    png = figures.profiles(tables.solves)
    if png is not None:
        caption = (
            "Performance profiles of the solve (preprocessing apart), plain networks"
        )
        report.picture("profiles", png, caption)
    layers = deep(select(tables.layers, family="plain"))
    if layers:
        report.picture(
            "growth",
            figures.growth_with_depth(layers),
            "Width of pre-activation bounds with depth",
        )
        report.table(*growth_table(tables))


def _others(report, tables):
    for title, table, text in (
        ("Scaling", scaling_table, SCALING),
        ("Ceilings put on afterwards", ceilings_table, CEILINGS),
        ("Branching on the inputs", branching_table, BRANCHING),
        ("Control, oil wells and more inputs", other_table, OTHERS),
    ):
        header, rows = table(tables)
        if rows:
            report.heading(title)
            report.text(text)
            report.table(header, rows)
