"""A page in Markdown of a folder of results: what each route proves, and where we lose."""

import json
from pathlib import Path

from benchmarks.comparison.run import Run
from benchmarks.comparison.table import route_figures

#: The route whose losses are listed: what the README recommends.
OURS = "relu"

#: Times the seconds of another route beyond which a model counts as lost.
LOST = 1.2


def write_summary(folder, names):
    """Write ``README.md`` beside the results.

    Parameters
    ----------
    folder : str or Path
        With ``NAME.json`` of some of the names, from ``report.write_json``.
    names : list of str
        Sets that compare routes, in their order on the page.
    """
    folder = Path(folder)
    found = [folder / f"{name}.json" for name in names]
    documents = [json.loads(file.read_text("utf-8")) for file in found if file.exists()]
    parts = [_HEAD, *(summary(document) for document in documents)]
    (folder / "README.md").write_text("\n".join(parts), encoding="utf-8")


_HEAD = """# Results of all sets

Written by `python -m benchmarks --results FOLDER`; all runs are in the JSON files beside
this page. Seconds are wall clock of one run, one thread, with preparation; a run without
proof counts as the limit. Regret: seconds divided by those of the best route on the same
model. A loss is a model that another route proves at least 1.2 times as quickly as `relu`.
"""


def summary(document):
    """Markdown of one set's results.

    Parameters
    ----------
    document : dict
        From ``report.write_json``.

    Returns
    -------
    str
    """
    runs = [Run(**one) for one in document["runs"]]
    compared = [one for one in runs if not one.route.endswith(" again")]
    n_models = len({one.model for one in compared})
    return "\n".join(
        [
            f"## {document['set']}\n",
            f"`{document['command']}`, {document['date'][:10]}, limit "
            f"{document['limit']:g} s, models: {n_models}, {_machine(document)}.\n",
            _routes(compared),
            "",
            _losses(compared),
            "",
        ]
    )


def _machine(document):
    machine, versions = document["machine"], dict(document["versions"])
    for there in document["environments"].values():
        versions = {**there, **versions}
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    return f"{where}, Python {machine['python']}, {packages}"


def _routes(runs):
    lines = [
        "| route | proven | geometric mean, s | regret, mean | worst |",
        "|---|---|---|---|---|",
    ]
    for route, proven, models, mean, regret, worst in route_figures(runs):
        lines.append(
            f"| `{route}` | {proven} of {models} | {mean:.2f} | {regret:.2f} | "
            f"{worst:.1f} |"
        )
    return "\n".join(lines)


def _losses(runs):
    """Where another package's or another of our routes was quicker than ours."""
    mine = {one.model: one for one in runs if one.route == OURS}
    best = {}
    for one in runs:
        known = best.get(one.model)
        if (
            one.route != OURS
            and one.proven
            and (known is None or one.seconds < known.seconds)
        ):
            best[one.model] = one
    lost = [
        (mine[model].seconds / one.seconds, model, one)
        for model, one in best.items()
        if model in mine and mine[model].seconds > LOST * one.seconds
    ]
    unproven = [m for m, one in mine.items() if not one.proven and m not in best]
    lines = [f"Where we lose: {len(lost)} of {len(mine)} models."]
    if lost:
        lines += [
            "",
            f"| model | `{OURS}`, s | best other route | s | times |",
            "|---|---|---|---|---|",
        ]
    for ratio, model, one in sorted(lost, key=lambda entry: -entry[0]):
        ours = mine[model]
        seconds = f"{ours.seconds:.2f}" if ours.proven else "not proven"
        lines.append(
            f"| {model} | {seconds} | `{one.route}` | {one.seconds:.2f} | {ratio:.1f} |"
        )
    if unproven:
        lines += ["", f"Proven by no route: {', '.join(unproven)}."]
    return "\n".join(lines)
