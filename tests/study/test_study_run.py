"""The study end to end on a tiny grid: run, kill, resume, tables, report, command line."""

import concurrent.futures
import contextlib
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from pyomo_relu.study.__main__ import main
from pyomo_relu.study.findings.common import (
    MISSING,
    OPEN,
    PAPER_PROBLEMS,
    TOO_LITTLE,
)
from pyomo_relu.study.findings.findings import all_findings
from pyomo_relu.study.problems.problems import problem
from pyomo_relu.study.report.report import write_report
from pyomo_relu.study.run.config import load_config, parse_config
from pyomo_relu.study.run.records import RunFolder
from pyomo_relu.study.run.runner import make_executor, run_study
from pyomo_relu.study.run.tables import COLUMNS, Tables
from pyomo_relu.study.statistics.aggregate import LEAST_PAIRS, group, paired_ratio
from tests import thinned
from tests.paths import ROOT

TIMES = ("seconds", "preprocessing_steps", "files", "work")


GRID = {"problem": "peaks", "hidden": [[4, 4]], "seed": [0, 1]}


def data(**changes):
    return {
        "training_defaults": {"samples": 400, "epochs": 2, "batch": 64},
        "indicators": {"bounds": ["interval", "lp"]},
        "grids": [GRID],
        **changes,
    }


def small(**changes):
    return parse_config(data(**changes), "small")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of a finished tiny run with its report, made by the command line."""
    folder = tmp_path_factory.mktemp("tiny")
    assert main(["tiny", "--folder", str(folder), "--silent"]) == 0
    return folder


def test_every_case_of_the_grid_has_one_record_without_error(tiny):
    config = load_config("tiny")
    records = RunFolder(tiny).load()
    ids = [task.id for task, _ in config.cases]
    ids += [solve.id for _, solves in config.cases for solve in solves]
    assert sorted(r["id"] for r in records) == sorted(ids)
    assert len(ids) == config.n_cases
    assert all(r["error"] is None for r in records)


def test_every_optimum_is_the_best_of_an_independent_search(tiny):
    tables = Tables.read(tiny)
    found = {r["network"]: r["search_minimum"] for r in tables.networks}
    assert len(tables.solves) >= 12
    for row in tables.solves:
        assert row["status"] == "optimal"
        scale = max(1.0, abs(row["objective"]))
        assert row["objective"] == pytest.approx(
            found[row["network"]], abs=2e-3 * scale
        )
        assert row["forward_error"] <= 1e-5 * scale
        assert row["true_value"] >= row["true_minimum"]


def test_tables_are_tidy_and_complete(tiny):
    tables = Tables.read(tiny)
    again = Tables.from_records(RunFolder(tiny).load())
    for name, columns in COLUMNS.items():
        rows = getattr(tables, name)
        assert rows and len(rows) == len(getattr(again, name))
        assert all(tuple(row) == columns for row in rows)
    methods = {r["bounds"] for r in tables.layers}
    assert methods == {"interval", "crown", "lp", "l1 interval"}
    families = {(r["family"], r["strength"]) for r in tables.networks}
    assert families == {("plain", 0), ("l1", 1e-3), ("ceiling", 1)}
    for row in tables.layers:
        assert row["stable"] + row["unstable"] == row["size"]
    assert all(r["regions_exact"] for r in tables.networks)


def test_report_is_computed_from_the_tables_alone(tiny, tmp_path):
    for name in (*(f"{n}.csv" for n in COLUMNS), "environment.json"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    write_report(tmp_path, tiny / "networks")
    for name in ("report.md", "report.html", "FINDINGS.md"):
        assert (tmp_path / name).read_bytes() == (tiny / name).read_bytes(), name
    picture = tmp_path / "figures" / "regions.png"
    # without networks: the earlier picture of the regions
    assert main(["tiny", "--folder", str(tmp_path), "--report-only"]) == 0
    assert not (tmp_path / "networks").exists()
    assert (tmp_path / "FINDINGS.md").read_bytes() == (
        tiny / "FINDINGS.md"
    ).read_bytes()
    assert "figures/regions.png" in (tmp_path / "report.md").read_text()
    picture.unlink()
    write_report(tmp_path)
    assert "figures/regions.png" not in (tmp_path / "report.md").read_text()


def test_report_has_its_pictures_and_is_one_html_file(tiny):
    text, page = (tiny / "report.md").read_text(), (tiny / "report.html").read_text()
    for name in ("regions", "regions_penalty", "stable", "trade_off", "growth"):
        png = (tiny / "figures" / f"{name}.png").read_bytes()
        assert png[:4] == b"\x89PNG" and f"figures/{name}.png" in text
    assert page.count("data:image/png;base64,") == text.count("](figures/")
    assert 'src="figures' not in page and page.endswith("</html>\n")


def test_findings_have_a_verdict_and_numbers(tiny):
    findings = all_findings(Tables.read(tiny))
    assert len(findings) == len({f.claim for f in findings}) > 10
    for finding in findings:
        # a handful of pairs and solves of milliseconds carry no verdict
        assert finding.verdict in (TOO_LITTLE, OPEN, MISSING)
        assert finding.source and finding.measured and finding.evidence
    by_claim = {f.claim: f for f in findings}
    scaling = by_claim["A posteriori scaling shrinks big-Ms."]
    assert (
        "Unstable neurons (lp), l1 against as trained: not measured" in scaling.measured
    )
    clipped = by_claim["Clipped ReLUs lower the big-M constants."]
    assert "pairs" in clipped.measured and clipped.verdict != MISSING
    text = (tiny / "FINDINGS.md").read_text()
    assert all(f.claim in text and f.measured in text for f in findings)


def test_finished_cases_are_not_run_again(tiny):
    before = (tiny / "records.jsonl").read_bytes()
    summary = run_study(load_config("tiny"), RunFolder(tiny))
    assert summary.done == 0 and summary.skipped == load_config("tiny").n_cases
    assert (tiny / "records.jsonl").read_bytes() == before


def figures(records):
    return {
        r["id"]: {k: v for k, v in r.items() if not any(t in k for t in TIMES)}
        for r in records
    }


def test_the_same_seed_gives_the_same_figures(tmp_path):
    config, runs = small(), []
    for name in ("first", "second"):
        folder = RunFolder(tmp_path / name)
        assert run_study(config, folder).failed == 0
        runs.append(figures(folder.load()))
        for record in runs[-1].values():
            for network in record.get("networks", ()):
                network.pop("regions_seconds")
            for layer in record.get("layers", ()):
                layer.pop("bounds_cpu_seconds")
    assert runs[0] == runs[1]


def test_a_killed_run_loses_at_most_the_case_in_hand(tmp_path):
    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps(data(grids=[{**GRID, "seed": list(range(6))}])))
    config, folder = load_config(grid), RunFolder(tmp_path / "run")
    command = [sys.executable, "-m", "pyomo_relu", "study", str(grid), "--silent"]
    process = subprocess.Popen(
        [*command, "--folder", str(folder.path)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 300  # a busy machine imports torch for a minute
        while not folder.file.exists() or folder.file.read_bytes().count(b"\n") < 3:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    kept = folder.load()
    assert 3 <= len(kept) < config.n_cases
    with folder.file.open(
        "ab"
    ) as stream:  # what a kill in the middle of writing leaves
        stream.write(b'{"id": "torn", "kind": "sol')
    assert folder.load() == kept
    summary = run_study(config, folder)
    assert summary.skipped == len(kept) and summary.left == 0
    records = folder.load()
    assert records[: len(kept)] == kept
    assert len({r["id"] for r in records}) == len(records)
    assert len(records) == config.n_cases


def test_a_run_of_some_cases_goes_on_where_it_ended(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps(data()))
    config = load_config(grid)
    assert config.n_cases == 4
    command = [str(grid), "--silent", "--folder"]
    assert main([*command, str(whole)]) == 0
    for done in (1, 2, 3, 4):
        before = RunFolder(parts).load()
        code = main([*command, str(parts), "--cases", "1"])
        records = RunFolder(parts).load()
        assert len(records) == done and records[: done - 1] == before
        assert code == (1 if done < 4 else 0)
    assert main([*command, str(parts)]) == 0
    assert RunFolder(parts).load() == records
    for name in COLUMNS:
        ours, full = (getattr(Tables.read(path), name) for path in (parts, whole))
        assert len(ours) == len(full)
    first, second = (figures(RunFolder(path).load()) for path in (parts, whole))
    for key, record in first.items():
        assert record["kind"] == "network" or record == second[key]
    assert first.keys() == second.keys() == config.ids


def test_what_a_limit_leaves_is_told_apart_from_what_is_there(tmp_path):
    config, folder = small(), RunFolder(tmp_path)
    assert str(run_study(config, folder, cases=3)) == (
        "3 cases done (0 failed), 0 were there already, 1 left: no more cases were asked "
        "for; run again to go on"
    )
    for limit in ({"minutes": 0}, {"cases": 0}):
        summary = run_study(config, folder, **limit)
        assert (summary.done, summary.skipped, summary.left) == (0, 3, 1)


class Interrupt:
    """A SIGINT at the n-th line that a module of the run executes."""

    def __init__(self, at):
        self.at, self.seen = at, 0

    def __enter__(self):
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _call(self, frame, event, argument):
        of_run = frame.f_code.co_filename.endswith(("run/runner.py", "run/records.py"))
        return self._line if of_run else None

    def _line(self, frame, event, argument):
        if event == "line":
            self.seen += 1
            if self.seen == self.at:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return self._line


def test_an_interrupt_anywhere_leaves_whole_records(tmp_path):
    config = small(
        training_defaults={"samples": 20, "epochs": 0},
        indicators={"bounds": ["interval"]},
        grids=[{**GRID, "seed": [0]}],
    )
    run_study(config, RunFolder(tmp_path / "warm"))
    with Interrupt(0) as whole:
        run_study(config, RunFolder(tmp_path / "whole"))
    assert whole.seen > 50
    stopped = set()
    for at in range(1, whole.seen + 1, 1 if thinned.DENSE else 9):
        folder = RunFolder(tmp_path / str(at))
        with contextlib.suppress(KeyboardInterrupt), Interrupt(at):
            stopped.add(run_study(config, folder).stopped)
        kept = folder.load()
        assert all(r["error"] is None for r in kept)
        summary = run_study(config, folder)
        records = folder.load()
        assert records[: len(kept)] == kept and summary.left == 0
        assert sorted(r["id"] for r in records) == sorted(config.ids)
    # some of the lines between two are within the part that says so
    assert not thinned.DENSE or "interrupted; run again to go on" in stopped


def test_a_line_that_an_interrupt_tore_does_not_damage_the_next(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append({"id": 1})
    with folder.file.open("ab") as stream:
        stream.write(b'{"id": "torn", "ki')
    folder.append({"id": 2})
    assert [r["id"] for r in folder.load()] == [1, 2]
    folder.file.write_bytes(b'{"id"')
    folder.append({"id": 3})
    assert [r["id"] for r in folder.load()] == [3]


class Interrupted(concurrent.futures.Executor):
    """One whose workers are interrupted after some cases, as by Ctrl-C in a terminal."""

    def __init__(self, cases):
        self.cases = cases

    def submit(self, fn, /, *args, **kwargs):
        future = concurrent.futures.Future()
        self.cases -= 1
        if self.cases < 0:
            future.set_exception(KeyboardInterrupt())
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_interrupted_workers_lose_only_their_own_cases(tmp_path):
    config, folder = small(grids=[{**GRID, "seed": [0, 1, 2]}]), RunFolder(tmp_path)
    summary = run_study(config, folder, Interrupted(2), in_flight=3)
    assert (summary.done, summary.left) == (2, 4)
    assert "a worker died (KeyboardInterrupt: ); run again" in str(summary)
    assert run_study(config, folder).left == 0


def test_a_damaged_line_in_the_middle_is_not_passed_over(tmp_path):
    folder = RunFolder(tmp_path)
    folder.file.write_bytes(b'{"id": 1}\nbroken\n{"id": 2}\n')
    with pytest.raises(ValueError, match="line 2 is damaged.*Remove the line"):
        folder.load()


def test_lost_networks_are_trained_again(tmp_path):
    config, folder = small(), RunFolder(tmp_path)
    run_study(config, folder)
    (file,) = list(folder.networks.iterdir())[:1]
    file.unlink()
    summary = run_study(config, folder)
    assert summary.done == 1 and summary.left == 0
    assert file.exists()


def test_processes_give_the_same_records(tmp_path):
    config = small()
    here, there = RunFolder(tmp_path / "here"), RunFolder(tmp_path / "there")
    run_study(config, here)
    factory = "concurrent.futures:ProcessPoolExecutor"
    with make_executor(factory=factory) as executor:
        summary = run_study(config, there, executor, in_flight=4)
    assert summary.failed == 0 and summary.left == 0
    ours, theirs = figures(here.load()), figures(there.load())
    assert ours.keys() == theirs.keys()
    for key, record in ours.items():
        if record["kind"] == "solve":
            assert record == theirs[key]


def test_executors_by_name_need_a_callable():
    wrong = make_executor(factory="concurrent.futures")
    with (
        pytest.raises(ValueError, match="write it as 'package.module:callable'"),
        wrong,
    ):
        pass


def test_failures_are_recorded_and_can_be_retried(tmp_path):
    # no MILP solver takes a network that is not encoded
    config = small(
        grids=[{"problem": "peaks", "hidden": [[4, 4]], "formulation": ["none"]}]
    )
    folder = RunFolder(tmp_path)
    summary = run_study(config, folder)
    assert summary.done == 2 and summary.failed == 1
    (record,) = [r for r in folder.load() if r["kind"] == "solve"]
    assert "is not linear" in record["error"]
    assert "form. Apply a formulation such as relu.bigm first" in record["error"]
    assert run_study(config, folder).done == 0
    assert run_study(config, folder, retry=True).failed == 1
    tables = Tables.from_records(folder.load())
    assert len(tables.solves) == 1 and tables.solves[0]["error"] == record["error"]


def failing():
    """A training that cannot be done, and its solve."""
    return {
        "trainings": {"sparse": {"sparsify": 1.0}},  # for one hidden layer only
        "grids": [{"problem": "peaks", "hidden": [[4, 4]], "training": ["sparse"]}],
    }


def test_failed_trainings_leave_their_solves(tmp_path):
    config = small(**failing())
    summary = run_study(config, RunFolder(tmp_path))
    assert (summary.done, summary.failed, summary.left) == (1, 1, 1)
    assert str(summary) == "1 cases done (1 failed), 0 were there already, 1 left"


def test_a_run_stops_in_time_and_goes_on(tmp_path):
    config, folder = small(), RunFolder(tmp_path)
    summary = run_study(config, folder, minutes=0)
    assert summary.done == 0 and summary.left == config.n_cases
    assert "time is over" in str(summary)
    assert run_study(config, folder).left == 0


def test_command_line_refuses_unknown_grids_and_reports_failures(tmp_path, capsys):
    assert main(["no_such_grid"]) == 2
    assert "Grids here: full, middle, quick, tiny" in capsys.readouterr().err
    path = tmp_path / "failing.json"
    folder = ["--folder", str(tmp_path / "run"), "--silent"]
    path.write_text(json.dumps({"grids": [{"problem": "none", "hidden": [[4]]}]}))
    assert main([str(path), *folder]) == 2
    assert "grid 0: unknown problem 'none'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()  # nothing has begun
    path.write_text(json.dumps(data(**failing())))
    assert main([str(path), *folder]) == 1
    assert "no training has finished" in capsys.readouterr().err


def test_quick_and_middle_grids_are_sound():
    for name, most in (("quick", 200), ("middle", 800), ("full", 20_000)):
        config = load_config(name)
        assert 50 < config.n_cases < most
        problems = {task.problem for task, _ in config.cases}
        assert {"peaks", "himmelblau", "ackley2", "control", "oil"} <= problems
        families = set().union(*(task.options for task, _ in config.cases))
        levers = {"l1", "l2", "dropout", "ceiling", "bound_width", "stability"}
        assert levers <= families
        solves = [solve for _, solves in config.cases for solve in solves]
        assert {"interval", "lp", "none"} <= {s.bounds for s in solves}
        assert {"raw", "normalised", "l1"} <= {s.units for s in solves}
        independent = {
            (task.problem, task.hidden, task.seed)
            for task, _ in config.cases
            if task.problem in PAPER_PROBLEMS and len(task.hidden) > 1
        }
        # the quick grid cannot carry a verdict; the others can
        assert (len(independent) >= LEAST_PAIRS) is (name != "quick")
        clipped = [s for s in solves if "ceiling_quantile" in s.transformation[1]]
        assert clipped and {"relu.branch"} <= {s.solver for s in solves}


def spread(name):
    """Largest minus least value of a problem's function at random points of its box."""
    target = problem(name)
    shape = 4000, target.dimension
    X = np.random.default_rng(0).uniform(target.lower, target.upper, shape)
    return np.ptp(target(X))


def test_committed_results_are_those_of_their_tables():
    folder = ROOT / "examples" / "study" / "results"
    tables = Tables.read(folder)
    seeds = {r["seed"] for r in tables.networks if r["problem"] == "peaks"}
    assert len(seeds) >= 2
    text = (folder / "FINDINGS.md").read_text()
    for finding in all_findings(tables):
        assert f"## {finding.claim}" in text
        assert f"Verdict: **{finding.verdict}**" in text
        assert finding.measured in text
    errors = [r["error"] for r in tables.solves if r["error"] is not None]
    assert errors == []
    for row in (r for r in tables.solves if r["status"] == "optimal"):
        if row["units"] == "raw" and row["solver"] != "relu.branch":
            assert row["gap"] <= 1.01e-4
        else:  # gaps of normalised outputs, or of the outputs' size
            missing = abs(row["objective"] - row["dual_bound"])
            assert missing <= 1.01e-4 * spread(row["problem"])
    found = {r["network"]: r["search_minimum"] for r in tables.networks}
    for row in tables.solves:
        if row["output_movement"]:  # ceilings changed the function
            continue
        if row["status"] == "optimal" and row["true_minimum"] is not None:
            scale = max(1.0, abs(row["objective"]))
            ahead = found[row["network"]] - row["objective"]
            assert -2e-4 * scale <= ahead <= 5e-3 * scale


def test_evidence_names_the_rows_that_give_the_numbers():
    folder = ROOT / "examples" / "study" / "results"
    tables, text = Tables.read(folder), (folder / "report.md").read_text()
    by_claim = {f.claim: f for f in all_findings(tables)}
    for finding in by_claim.values():
        for evidence in finding.evidence:
            assert evidence.rows(tables) or finding.verdict == MISSING, finding.claim
            if finding.verdict != MISSING:
                assert f"## {evidence.section}" in text
            if evidence.picture is not None:
                assert f"figures/{evidence.picture}.png" in text
            assert str(evidence) in (folder / "FINDINGS.md").read_text()
    clipped = by_claim["Clipped ReLUs lower the big-M constants."]
    (layers,) = (evidence.rows(tables) for evidence in clipped.evidence)
    last = [max(rows, key=lambda r: r["layer"]) for rows in by_network(layers)]
    plain = [r for r in last if r["family"] == "plain"]
    ceilings = [r for r in last if r["family"] == "ceiling"]
    ratio = paired_ratio(ceilings, plain, "mean_width", "problem", "hidden", "seed")
    assert str(ratio) in clipped.measured


def by_network(rows):
    return group(rows, "network").values()


def test_a_folder_with_cases_of_another_grid_reports_only_its_own(tiny, tmp_path):
    config = load_config("tiny")
    stranger = {"kind": "solve", "id": "other", "network": config.cases[0][0].id}
    for name in ("records.jsonl", "environment.json"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    RunFolder(tmp_path).append(stranger)
    assert main(["tiny", "--folder", str(tmp_path), "--report-only"]) == 0
    assert (tmp_path / "solves.csv").read_bytes() == (tiny / "solves.csv").read_bytes()
