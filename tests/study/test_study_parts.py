"""Parts of the study: configuration, tables, statistics, search, models from practice."""

import json
import math

import numpy as np
import pyomo.environ as pyo
import pytest

pytest.importorskip("torch")

from examples import ensemble, oil_wells, optimal_control
from pyomo_relu import example_network, load_onnx
from pyomo_relu.study.findings.common import (
    AGREES,
    DISAGREES,
    MISSING,
    TOO_LITTLE,
    UNCLEAR,
    verdict_of_many,
)
from pyomo_relu.study.problems import oil_data
from pyomo_relu.study.problems.benchmarks import benchmark
from pyomo_relu.study.problems.problems import STEP, pendulum
from pyomo_relu.study.report.document import Document
from pyomo_relu.study.run.config import ConfigError, load_config, parse_config
from pyomo_relu.study.run.global_search import global_search, onnx_function
from pyomo_relu.study.run.tables import family_and_strength
from pyomo_relu.study.statistics.aggregate import (
    Ratio,
    dominated_shares,
    geometric_mean,
    group,
    mean_interval,
    paired_ratio,
    performance_profile,
    pooled,
    power_law,
    select,
)
from pyomo_relu.study.training.csv_data import read_table, table_data
from tests.networks import chain
from tests.paths import SHARED_MODELS, needs_shared_models

# -- configuration ---------------------------------------------------------------------

GRID = {"problem": "peaks", "hidden": [[4, 4]]}


def test_grids_are_products_and_share_their_cases():
    config = parse_config(
        {
            "trainings": {"a": {"l1": 1e-3}},
            "formulations": {"unit": ["relu.scaled", {"criterion": "unit"}]},
            "grids": [
                {**GRID, "training": ["plain", "a"], "bounds": ["interval", "lp"]},
                {**GRID, "bounds": ["lp", "crown"], "formulation": ["unit"]},
                {**GRID, "bounds": ["lp"], "formulation": ["relu.bigm"]},
            ],
        }
    )
    (plain, solves), (other, others) = config.cases
    assert plain.options == {} and other.options == {"l1": 1e-3}
    assert [(s.bounds, s.formulation) for s in solves] == [
        ("interval", "relu.bigm"),
        ("lp", "relu.bigm"),
        ("lp", "unit"),
        ("crown", "unit"),
    ]
    assert solves[2].transformation == ("relu.scaled", {"criterion": "unit"})
    assert len(others) == 2 and config.n_cases == 8
    assert all(s.network == plain.id for s in solves)


def test_ids_depend_on_every_setting_and_on_nothing_else():
    def ids(**changes):
        config = parse_config({"grids": [{**GRID, **changes}]})
        ((task, (solve,)),) = config.cases
        return task.id, solve.id

    first = ids()
    assert ids() == first
    assert ids(comment="other") == first
    assert ids(seed=[1])[0] != first[0]
    assert ids(solver_seed=[1])[0] == first[0] and ids(solver_seed=[1])[1] != first[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "there are no grids"),
        ({"grid": []}, "unknown key 'grid'"),
        ({"grids": [{"problem": "peaks"}]}, "the axis 'hidden' is missing"),
        ({"grids": [{**GRID, "bound": ["lp"]}]}, "unknown key 'bound'"),
        ({"grids": [{**GRID, "bounds": ["best"]}]}, "unknown bounds 'best'"),
        ({"grids": [{**GRID, "training": ["l1"]}]}, "unknown training 'l1'"),
        ({"trainings": {"a": {"l3": 1}}, "grids": [GRID]}, "unknown key 'l3'"),
        ({"limits": {"seconds": 1}, "grids": [GRID]}, "unknown key 'seconds'"),
        ({"indicators": {"bounds": ["x"]}, "grids": [GRID]}, "unknown bounds 'x'"),
        (
            {"grids": [{**GRID, "problem": ["peaks", "peeks"]}]},
            "grid 0: unknown problem 'peeks'. Choose peaks.*control or oil",
        ),
        ({"grids": [{**GRID, "problem": 3}]}, "unknown problem '3'"),
        (
            {"grids": [{**GRID, "formulation": ["relu.bigM"]}]},
            "unknown formulation 'relu.bigM'. Did you mean 'relu.bigm'.*relu.scaled",
        ),
        (
            {"formulations": {"a": ["relu.none", {}]}, "grids": [GRID]},
            "formulation 'a': unknown formulation 'relu.none'",
        ),
        ({"formulations": {"a": "relu.bigm"}, "grids": [GRID]}, "give it as"),
        (
            {"formulations": {"a": ["relu.scaled", {"criterium": 1}]}, "grids": [GRID]},
            "formulation 'a'.*criterium",
        ),
        ({"grids": [{**GRID, "solver": ["hihgs"]}]}, "no solver 'hihgs'. Did you mean"),
        ({"grids": [{**GRID, "solver": [1]}]}, "by its name, not 1"),
        ({"grids": [{**GRID, "hidden": [25, 25]}]}, "25 is none: ..25, 25.. is one"),
        ({"grids": [{**GRID, "seed": [0.5]}]}, "seed takes whole numbers, not 0.5"),
        (
            {"training_defaults": {"epoch": 2}, "grids": [GRID]},
            "'training_defaults': unknown key 'epoch'. Did you mean 'epochs'",
        ),
        ({"training_defaults": ["epochs"], "grids": [GRID]}, "this is a JSON object"),
        (
            {"training_defaults": {"epochs": -2}, "grids": [GRID]},
            "grid 0, training 'plain': training option epochs = -2 is out of range",
        ),
        ({"training_defaults": {"epochs": "2"}, "grids": [GRID]}, "not supported"),
        (
            {"problem_defaults": {"peeks": {"epochs": 2}}, "grids": [GRID]},
            "problem_defaults: unknown problem 'peeks'",
        ),
    ],
)
def test_mistakes_in_a_configuration_are_named(data, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(data)


def test_configuration_files_are_found_and_checked(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"grids": [GRID]}))
    assert load_config(path).name == "mine" and load_config("tiny").n_cases > 10
    path.write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        load_config(path)
    with pytest.raises(ConfigError, match="there is no configuration"):
        load_config(tmp_path / "none.json")


def test_families():
    assert family_and_strength({}) == ("plain", 0.0)
    assert family_and_strength({"l1": 1e-4, "epochs": 5}) == ("l1", 1e-4)
    assert family_and_strength({"ceiling": 2.0}) == ("ceiling", 2.0)
    pruned = {"prune": 0.5, "fine_tune_epochs": 9}
    assert family_and_strength(pruned) == ("prune", 0.5)
    assert family_and_strength({"l1": 1e-4, "stability": 1}) == ("l1+stability", 1e-4)


# -- statistics ------------------------------------------------------------------------


def test_means_groups_and_ratios():
    rows = [
        {"seed": s, "kind": k, "value": v, "status": "optimal"}
        for s, k, v in [(0, "a", 1), (0, "b", 2), (1, "a", 4), (1, "b", 8), (2, "a", 1)]
    ]
    assert select(rows, kind="a", seed=(0, 1)) == [rows[0], rows[2]]
    assert list(group(rows, "seed")) == [(0,), (1,), (2,)]
    assert geometric_mean([1, 100]) == pytest.approx(10)
    assert geometric_mean([0, 3], shift=1) == pytest.approx(1)
    assert geometric_mean([None]) is None
    a, b = select(rows, kind="a"), select(rows, kind="b")
    ratio = paired_ratio(a, b, "value", "seed")
    assert (ratio.value, ratio.smaller, ratio.pairs) == (pytest.approx(0.5), 2, 2)
    assert ratio.direction is None  # two pairs say nothing
    assert str(ratio) == "x0.5 [0.5, 0.5] (2 pairs)"
    assert paired_ratio(a, [], "value", "seed").value is None
    rows[0]["status"] = "time limit"
    assert paired_ratio(a, b, "value", "seed").censored == 1


def ratio_of(*values, clusters=None, **more):
    logs = tuple(math.log(v) for v in values)
    return Ratio(logs, tuple(clusters or range(len(logs))), **more)


def test_a_direction_needs_size_pairs_and_an_interval_on_one_side():
    assert ratio_of(*[0.5] * 10).direction == -1
    assert ratio_of(*[2.0] * 10).direction == 1
    assert ratio_of(*[0.95] * 10).direction == 0
    assert ratio_of(*[0.5] * 7).direction is None  # too few
    assert ratio_of(*[0.5] * 20, clusters=[0, 1] * 10).direction is None  # dependent
    assert ratio_of(*[0.1, 10.0] * 5).direction is None  # too wide
    assert Ratio().direction is None and Ratio().value is None
    assert str(Ratio(short=3)) == "not measured (3 pairs of short solves)"


def test_pooled_ratios_keep_their_clusters():
    whole = pooled([ratio_of(0.5, 0.5), ratio_of(2.0, clusters=[0], short=1)])
    assert (whole.pairs, whole.independent, whole.short) == (3, 2, 1)


def test_bootstrap_interval_covers_the_mean_at_its_level():
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        effects = random.normal(0.3, 1.0, 25)
        values = np.repeat(effects, 2) + random.normal(0.0, 0.1, 50)
        low, high = mean_interval(values, np.repeat(np.arange(25), 2).tolist())
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_verdicts_on_groups():
    yes, no = [True] * 3, [False] * 3
    assert verdict_of_many(yes, no) == AGREES
    assert verdict_of_many(no, yes) == DISAGREES
    assert verdict_of_many(no, no) == TOO_LITTLE
    assert verdict_of_many([True, False], [False, True]) == TOO_LITTLE
    assert verdict_of_many([True, False, False], [False, True, False]) == UNCLEAR
    assert verdict_of_many([], []) == MISSING


def test_profiles_count_unsolved_as_never():
    rows = [
        {"v": v, "i": i, "t": t, "status": s}
        for v, i, t, s in [
            ("x", 0, 1.0, "optimal"),
            ("y", 0, 2.0, "optimal"),
            ("x", 1, 9.0, "time limit"),
            ("y", 1, 3.0, "optimal"),
            ("x", 2, 1.0, "optimal"),  # y was not run on instance 2
        ]
    ]
    curves = performance_profile(rows, ["v"], ["i"], "t")
    assert curves[("x",)][0].tolist() == [1.0]
    assert curves[("x",)][1].tolist() == [0.5]
    assert curves[("y",)][0].tolist() == [1.0, 2.0]
    assert curves[("y",)][1].tolist() == [0.5, 1.0]


def test_power_laws_and_dominance():
    law = power_law([1, 2, 4], [8, 2, 0.5])
    assert law.slope == pytest.approx(-2) and law.correlation == pytest.approx(-1)
    assert power_law([1, 2], [1, 2]) is None and power_law([1, 1, 1], [1, 2, 3]) is None
    ours = [
        {"k": 0, "e": 2, "t": 2},
        {"k": 1, "e": 1, "t": 1},
        {"k": 2, "e": 1, "t": 1},
    ]
    theirs = [{"k": 0, "e": 1, "t": 2}, {"k": 1, "e": 0, "t": 5}]
    found = dominated_shares(ours, theirs, ["k"], ["e", "t"])
    assert found == [((0,), 1, 1), ((1,), 0, 1)]
    assert dominated_shares(ours, [], ["k"], ["e", "t"]) == []


# -- search and report parts -----------------------------------------------------------


def test_search_finds_minima_of_known_functions():
    def bowl(X):
        return ((X - [0.3, -0.7]) ** 2).sum(axis=1) + 2

    value, point = global_search(bowl, [-1, -1], [1, 1], samples=500)
    assert value == pytest.approx(2, abs=1e-8)
    assert point == pytest.approx([0.3, -0.7], abs=1e-4)
    value, point = global_search(lambda X: X.sum(axis=1), [-1] * 3, [2] * 3, 500)
    assert value == pytest.approx(-3, abs=1e-9)


def test_search_runs_the_onnx_file():
    path = ensemble.FILES[0]
    X = np.random.default_rng(0).uniform(-2, 2, (50, 2))
    expected = load_onnx(path).forward(X)[:, 0]
    assert onnx_function(path)(X) == pytest.approx(expected, abs=1e-4)
    assert onnx_function(path.read_bytes())(X) == pytest.approx(expected, abs=1e-4)


def test_documents_escape_and_format():
    report = Document("A <title>")
    report.table(["a", "b"], [["x<y", 0.123456], [None, True]])
    report.items(["1 < 2"])
    assert "| x<y | 0.123 |" in report.markdown() and "| - | yes |" in report.markdown()
    page = report.html()
    assert (
        "x&lt;y" in page and "<li>1 &lt; 2</li>" in page and "A &lt;title&gt;" in page
    )


# -- problems from practice ------------------------------------------------------------


def test_oil_tables_are_what_the_script_makes(tmp_path):
    oil_data.write(tmp_path)
    files = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 5
    for file in files:
        assert (tmp_path / file).read_bytes() == (oil_data.FOLDER / file).read_bytes()


def test_tables_are_read_and_split(tmp_path):
    table = read_table(oil_data.FOLDER / "data" / "flowline_1.csv")
    assert table.dimension == 4 and len(table.y) > 1000
    expected = oil_data.flowline_pressure(*table.X.T)
    assert table.y == pytest.approx(expected, abs=1e-4)
    data = table_data(table, held_out=0.25)
    assert len(data.x_held_out) == round(0.25 * len(table.y))
    assert len(data.x) + len(data.x_held_out) == len(table.y)
    path = tmp_path / "bad.csv"
    path.write_text(",X,Y\n0,1.0,none\n")
    with pytest.raises(ValueError, match="Every entry must be a number"):
        read_table(path)
    path.write_text(",Y\n0,1.0\n")
    with pytest.raises(ValueError, match="the last one being the value"):
        read_table(path)


@pytest.fixture(scope="module")
def oil():
    target = benchmark("oil")
    trained = target.train((6,), {"epochs": 5}, 0)
    return target, {net.name: net.onnx for net in trained}, trained


def test_oil_networks_fit_their_tables(oil):
    _, _, trained = oil
    assert [net.name for net in trained] == ["well_1", "well_2", "well_3", "flowline_1"]
    assert all(net.nrmse < 0.35 for net in trained)


def test_oil_routing_is_solved_and_feasible(oil):
    target, networks, _ = oil
    m = target.model(networks)
    total = oil_wells.solve(m)
    assert 0 < total <= sum(m.rate[i].ub for i in m.wells)
    for i in m.wells:
        feeds = [j for j in m.lines if m.open[i, j].value > 0.5]
        assert len(feeds) <= 1
        for j in feeds:
            assert m.pressure[i].value >= m.upstream[j].value - 1e-6
    for j in m.lines:
        assert m.flowline[j].forward_error() <= 1e-6
    routed = sum(m.routed[i, j].value for i in m.wells for j in m.lines)
    assert routed == pytest.approx(total, abs=1e-6)


@needs_shared_models
def test_oil_wells_of_the_public_data_give_the_known_optimum():
    m = oil_wells.build(
        SHARED_MODELS / "oilwell",
        SHARED_MODELS / "oilwell" / "shallow",
        [8],
        ["flowline_b"],
    )
    assert oil_wells.solve(m) == pytest.approx(0.2804555556, abs=1e-6)


def test_control_follows_the_network_and_beats_doing_nothing():
    m = optimal_control.build(horizon=3)
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    pyo.assert_optimal_termination(pyo.SolverFactory("appsi_highs").solve(m))
    network = load_onnx(example_network("pendulum_2x8"))
    torques = [m.torque[t].value for t in m.steps]

    def learned(X):
        return network.forward(X)[:, 0]

    states = optimal_control.simulate(torques, change=learned)
    solved = [(m.angle[t].value, m.speed[t].value) for t in m.states]
    assert states == pytest.approx(np.array(solved), abs=1e-5)
    idle = 2 * np.abs(optimal_control.simulate([0, 0, 0], change=learned)[-1]).sum()
    assert pyo.value(m.cost) <= idle + 1e-6
    # a search over torques on the learned law finds nothing better
    rng = np.random.default_rng(0)
    best = math.inf
    for u in [*rng.uniform(-3, 3, (300, 3)), torques]:
        final = optimal_control.simulate(u, change=learned)[-1]
        best = min(best, STEP * np.abs(u).sum() + 2 * np.abs(final).sum())
    assert best == pytest.approx(pyo.value(m.cost), abs=1e-5)
    assert optimal_control.true_cost(m) == pytest.approx(pyo.value(m.cost), abs=0.3)


def test_pendulum_law():
    target = pendulum()
    assert target([0.0, 0.0, 1.0]) == pytest.approx(STEP)
    assert target([0.5, 0.0, 0.0]) < 0 < target([-0.5, 0.0, 0.0])
    X = target.latin_hypercube(5000, seed=1)
    assert target(X).min() >= target.minimum


# -- ensembles -------------------------------------------------------------------------


def test_ensemble_optimum_lies_between_bound_and_point():
    networks = [chain((2, 6, 6, 1), seed=s) for s in range(3)]
    bounds = ensemble.tighten_members(networks, solver="highs")
    assert all(any((s == "milp").any() for s in b.source) for b in bounds)
    m = ensemble.build(networks)
    for e in m.members:
        m.member[e].use_bounds(bounds[e])
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    pyo.assert_optimal_termination(pyo.SolverFactory("appsi_highs").solve(m))
    grid = np.stack(np.meshgrid(*[np.linspace(-2, 2, 301)] * 2), -1).reshape(-1, 2)
    least = np.mean([n.forward(grid)[:, 0] for n in networks], axis=0).min()
    optimum = pyo.value(m.mean)
    assert least - 0.05 <= optimum <= least + 1e-4 * max(1, abs(least))


def test_examples_run_and_print(capsys):
    ensemble.main(["--iterations", "3"])
    optimal_control.main(["--horizon", "2"])
    text = capsys.readouterr().out
    values = {
        line.split(":")[0]: float(line.split(":")[1])
        for line in text.splitlines()
        if line.startswith(("each network on", "Lagrangian", "best point", "optimum"))
    }
    assert values["each network on its own"] <= values["Lagrangian bound"]
    assert values["Lagrangian bound"] <= values["optimum (optimal)"] + 1e-3
    assert values["optimum (optimal)"] <= values["best point of its subproblems"] + 1e-3
    assert "under the true law" in text
