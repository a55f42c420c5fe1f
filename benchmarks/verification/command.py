"""Runs the instances of a folder with an ``instances.csv``, and the table of the runs."""

import argparse
import csv
import math
import time
from pathlib import Path

from benchmarks.comparison.report import write_json
from pyomo_relu import verify

#: Where the sets lie, beside the checkout.
SHARED = Path(__file__).resolve().parents[3] / "shared" / "benchmarks"

#: Names of sets, each a folder there.
_SETS = ("acasxu", "tll")

#: Published columns of ``instances.csv`` that the table shows.
PUBLISHED = ("nnenum_s", "alpha_beta_crown_s")

FIELDS = (
    "onnx",
    "vnnlib",
    "published",
    "verdict",
    "seconds",
    "cpu",
    "nodes",
    "message",
)


def main(arguments=None):
    """Run, print the table; 0 if no verdict is wrong, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verification", description=__doc__
    )
    parser.add_argument(
        "--set", nargs="+", default=_SETS, choices=_SETS, dest="sets", metavar="SET"
    )
    parser.add_argument("--limit", type=float, help="seconds in place of the published")
    parser.add_argument("--every", type=int, default=1, help="every n-th instance only")
    parser.add_argument("--first", type=int, default=0, help="position to begin at")
    parser.add_argument("--csv", type=Path, help="file that gets a line per instance")
    parser.add_argument("--json", help="all runs, with machine, versions and command")
    given = parser.parse_args(arguments)
    runs = []
    for name in given.sets:
        runs += _of_set(SHARED / name, given)
    if given.json:
        write_json(given.json, "verification", runs, given.limit)
    return int(any(wrong(r) for r in runs))


def _of_set(folder, given):
    """Runs of a folder's instances, each printed, and their table."""
    if not (folder / "instances.csv").exists():
        print(f"skipped: there is no {folder / 'instances.csv'}")
        return []
    with open(folder / "instances.csv", newline="") as file:
        instances = list(csv.DictReader(file))[given.first :: given.every]
    runs = []
    for instance in instances:
        runs.append(run(folder, instance, given.limit))
        _print(runs[-1])
        if given.csv is not None:
            _append(given.csv, runs[-1])
    print(table(instances, runs))
    return runs


def run(folder, instance, limit=None):
    """One instance as a dict of ``FIELDS``; seconds include loading."""
    onnx = folder / f"{instance['onnx']}.gz"
    limit = float(instance["timeout_s"]) if limit is None else limit
    wall, cpu = time.perf_counter(), time.process_time()
    result = verify(onnx, folder / instance["vnnlib"], time_limit=limit)
    return {
        "onnx": instance["onnx"],
        "vnnlib": instance["vnnlib"],
        "published": instance["verdict"],
        "verdict": result.verdict,
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu": round(time.process_time() - cpu, 3),
        "nodes": result.nodes,
        "message": result.message,
    }


def wrong(run):
    """Whether a verdict contradicts the published one."""
    return run["verdict"] != "unknown" and run["verdict"] != run["published"]


def table(instances, runs):
    """Totals by property or size, as a Markdown table."""
    groups = {}
    for instance, r in zip(instances, runs, strict=True):
        groups.setdefault(_group(instance), []).append((instance, r))
    lines = [
        "| instances | number | same verdict | wrong | unknown | our CPU s | our wall s | "
        + " | ".join(PUBLISHED)
        + " |",
        "|---" * (7 + len(PUBLISHED)) + "|",
    ]
    every = [pair for pairs in groups.values() for pair in pairs]
    for name, pairs in [*groups.items(), ("all", every)]:
        some = [r for _, r in pairs]
        same = sum(r["verdict"] == r["published"] for r in some)
        cells = [name, len(some), same, sum(map(wrong, some))]
        cells.append(sum(r["verdict"] == "unknown" for r in some))
        cells += [f"{sum(r[key] for r in some):.1f}" for key in ("cpu", "seconds")]
        cells += [_published(column, pairs) for column in PUBLISHED]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _published(column, pairs):
    """Their total; instances without an answer of theirs are counted behind it."""
    seconds = [float(i[column]) if i[column] else math.nan for i, _ in pairs]
    known = [s for s in seconds if not math.isnan(s)]
    left = len(seconds) - len(known)
    return f"{sum(known):.0f}" + (f" ({left} unsolved)" if left else "")


def _group(instance):
    """The property of an ACAS Xu instance, the size of a lattice."""
    stem = Path(instance["vnnlib"]).stem
    return stem.replace("property_", "").rsplit("_", 1)[0] if "=" in stem else stem


def _print(r):
    mark = "" if r["verdict"] == r["published"] else f"  published: {r['published']}"
    print(
        f"{r['onnx']:45} {r['vnnlib']:22} {r['verdict']:8} {r['cpu']:8.2f} s CPU "
        f"{r['nodes']:7} boxes{mark}",
        flush=True,
    )


def _append(path, r):
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(r)
