"""Networks of the study in other units and under ceilings: same functions, same optima."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")

from pyomo_relu import load_onnx
from pyomo_relu.network import clip_network
from pyomo_relu.study.aggregate import (
    dominated_shares,
    of_hard_instances,
    paired_ratio,
)
from pyomo_relu.study.benchmarks import benchmark
from pyomo_relu.study.bound_methods import record_bounds
from pyomo_relu.study.cases import activation_quantiles, run_case, run_solve
from pyomo_relu.study.config import parse_config
from pyomo_relu.study.findings_common import AGREES, MISSING, TOO_LITTLE
from pyomo_relu.study.findings_routes import branching_on_inputs, clipping_afterwards
from pyomo_relu.study.findings_scaling import scaling_big_m, scaling_effort
from pyomo_relu.study.tables import COLUMNS, Tables
from pyomo_relu.study.training import TrainingOptions, layer_quantiles, make_data, train
from pyomo_relu.study.units import UNITS, in_units

OPTIONS = {"samples": 800, "epochs": 12, "batch": 32, "learning_rate": 1e-2}
QUANTILE = 0.8


@pytest.fixture(scope="module")
def trained():
    """Himmelblau: its raw outputs reach into the hundreds."""
    return benchmark("himmelblau").train((6, 5), OPTIONS, 1)[0]


@pytest.fixture(scope="module")
def solves(trained):
    config = parse_config(
        {
            "training_defaults": OPTIONS,
            "formulations": {"clipped": ["relu.clipped", {"ceiling_quantile": 0.8}]},
            "grids": [
                {"problem": "himmelblau", "hidden": [[6, 5]], "units": list(UNITS)},
                {
                    "problem": "himmelblau",
                    "hidden": [[6, 5]],
                    "formulation": ["clipped"],
                },
            ],
        }
    )
    ((_, tasks),) = config.cases
    networks = {"surrogate": trained.onnx}
    return [run_solve(task.to_dict(), networks) | task.to_dict() for task in tasks]


def points(trained, n=400):
    ends = np.array([trained.lower, trained.upper])
    return np.random.default_rng(2).uniform(*ends, (n, 2))


@pytest.mark.parametrize("units", UNITS)
def test_units_keep_the_function(trained, units):
    X, found = points(trained), in_units(trained.onnx, units)
    raw = load_onnx(trained.onnx).forward(X)
    inner = found.network.forward((X - found.x_offset) / found.x_factor)
    assert found.y_offset + found.y_factor * inner == pytest.approx(raw, rel=1e-9)
    if units != "raw":
        normalised = in_units(trained.onnx, "normalised").network
        U = (X - found.x_offset) / found.x_factor
        assert np.array_equal(inner, normalised.forward(U))  # powers of two: bit by bit
        assert np.abs(U).max() <= 1 and np.abs(inner).max() < 20


def test_units_shrink_what_they_are_for(trained):
    def figures(method):
        return record_bounds(trained.onnx, trained.lower, trained.upper, method)

    plain, unit = figures("interval"), figures("unit interval")
    assert (
        max(u.max() for u in unit.upper[:-1]) <= 1 < max(u.max() for u in plain.upper)
    )
    for method in ("l1 interval", "max interval", "unit interval", "scaled interval"):
        assert figures(method).n_unstable == plain.n_unstable
    assert figures("l1 lp").n_unstable == figures("lp").n_unstable


def test_optimum_and_relaxation_do_not_depend_on_units(solves):
    rows = [r for r in solves if r["formulation"] == "relu.bigm"]
    assert [r["units"] for r in rows] == list(UNITS)
    for name in ("objective", "relaxation_bound"):
        values = [r[name] for r in rows]
        assert values == pytest.approx([values[0]] * len(UNITS), rel=1e-4)
    ranges = {r["largest_coefficient"] / r["smallest_coefficient"] for r in rows}
    assert len(ranges) > 2
    assert all(r["output_movement"] is None for r in rows)


def test_ceilings_are_quantiles_and_move_the_optimum_no_more_than_proven(
    trained, solves
):
    network = load_onnx(trained.onnx)
    model = benchmark("himmelblau").model({"surrogate": trained.onnx})
    ceilings = activation_quantiles(model, QUANTILE)
    pre = network.pre_activations(points(trained, 20_000))
    for ceiling, values in zip(ceilings, pre, strict=True):
        for c, v in zip(ceiling, values.T, strict=True):
            share = np.mean(v[v > 0] <= c) if np.any(v > 0) else QUANTILE
            assert share == pytest.approx(QUANTILE, abs=0.03)
    clipped = clip_network(network, ceilings)
    axes = [
        np.linspace(a, b, 301)
        for a, b in zip(trained.lower, trained.upper, strict=True)
    ]
    X = np.array(list(itertools.product(*axes)))
    moved = clipped.forward(X) - network.forward(X)
    (row,) = (r for r in solves if r["formulation"] == "clipped")
    lowest = float(clipped.forward(X).min())
    scale = max(1.0, abs(lowest))
    assert lowest - 0.02 * scale <= row["objective"] <= lowest + 1e-4 * scale
    assert 0 < np.abs(moved).max() <= row["output_movement"]
    assert row["forward_error"] <= row["output_movement"]


def test_networks_are_fine_tuned_under_ceilings_per_layer():
    target = benchmark("peaks")
    options = {**OPTIONS, "ceiling_quantile": QUANTILE, "fine_tune_epochs": 2}
    (found,) = target.train((6, 5), options, 0)
    settings = TrainingOptions(hidden=(6, 5), seed=0, **OPTIONS)
    data = make_data(target.target, settings)
    expected = layer_quantiles(train(target.target, settings, data), data, QUANTILE)
    layers = load_onnx(found.onnx).activation_layers
    ceilings = [float(np.ravel(layer.ceiling)[0]) for layer in layers]
    assert ceilings == pytest.approx(expected, rel=1e-6) and len(set(ceilings)) == 2
    with pytest.raises(ValueError, match="ceiling = "):
        TrainingOptions(hidden=(6, 5), ceiling=(1.0,))


def test_units_that_cannot_be_had_are_refused(trained):
    with pytest.raises(ValueError, match="unknown units 'metric'. Known are raw"):
        in_units(trained.onnx, "metric")
    model = benchmark("himmelblau").train((3,), {**OPTIONS, "epochs": 0}, 0)[0].onnx
    stripped = model.replace(b"normalisation", b"normalizzzion")
    with pytest.raises(ValueError, match="does not say how its network was normalised"):
        in_units(stripped, "l1")
    with pytest.raises(ValueError, match="control: its networks .* raw units only"):
        benchmark("control").model({}, "l1")
    task = {"kind": "solve", "problem": "oil", "units": "unit", "limits": {}}
    assert "oil: its networks" in run_case(task, {})[0]["error"]


# -- claims ----------------------------------------------------------------------------


def solve_rows(**figures):
    """Plain solves of the three problems and four seeds, with what differs."""
    blank = dict.fromkeys(COLUMNS["solves"])
    return [
        {
            **blank,
            "network": f"{p}{s}{figures.get('family')}",
            "problem": p,
            "hidden": "9x9",
            "seed": s,
            "training": figures.get("family"),
            "units": "raw",
            "bounds": "lp",
            "formulation": "relu.bigm",
            "solver": "gurobi",
            "solver_seed": 0,
            "status": "optimal",
            "objective": 1.0,
            "nrmse": 0.1,
            "solve_cpu_seconds": 2.0,
            **figures,
        }
        for p in ("peaks", "himmelblau", "ackley2")
        for s in range(4)
    ]


def tables(*rows):
    return Tables([], [], [row for group in rows for row in group])


def test_branching_claim_needs_trees_and_counts_boxes():
    common = {"solver": "relu.branch", "formulation": "none", "bounds": "none"}
    plain = solve_rows(family="plain", nodes=100, **common)
    fewer = solve_rows(family="l1", nodes=40, **common)
    finding = branching_on_inputs(tables(plain, fewer))
    assert finding.verdict == AGREES
    assert "boxes x0.406 [0.406, 0.406] (12 pairs)" in finding.measured
    small = [{**r, "nodes": 5} for r in plain + fewer]
    assert branching_on_inputs(tables(small)).verdict == TOO_LITTLE
    assert branching_on_inputs(tables([])).verdict == MISSING


def test_scaling_claims_say_what_theory_says_and_compare_with_the_trained_network():
    trained = solve_rows(
        family="plain",
        units="normalised",
        work=4.0,
        nodes=100,
        relaxation_bound=-2.0,
        smallest_coefficient=1e-3,
        largest_coefficient=10.0,
        forward_error=1e-7,
    )
    rescaled = [{**r, "units": "l1", "work": 2.0} for r in trained]
    finding = scaling_effort(tables(trained, rescaled))
    assert finding.verdict == AGREES and "in exact arithmetic" in finding.measured
    assert "l1: coefficients span a factor of up to 1.0e+04" in finding.measured
    assert "relaxation's bound: 0." in finding.measured
    off = [{**r, "relaxation_bound": -3.0} for r in rescaled]
    assert "relaxation's bound: 0.5." in scaling_effort(tables(trained, off)).measured
    raw = [{**r, "units": "raw"} for r in trained]
    assert scaling_effort(tables(raw, rescaled)).verdict == MISSING
    assert scaling_big_m(tables(raw)).verdict == MISSING


def test_ceilings_put_on_afterwards_are_compared_with_the_same_network():
    plain = solve_rows(family="plain", work=4.0, n_binaries=10)
    more = [
        {**r, "formulation": "clipped", "work": 8.0, "n_binaries": 20}
        | {"output_movement": 0.5, "forward_error": 0.25}
        for r in plain
    ]
    finding = clipping_afterwards(tables(plain, more))
    assert finding.verdict == "disagrees"
    assert "binaries x2 [2, 2]" in finding.measured
    assert "by at most 0.5 on the box (proven, mean), at the optimum by 0.25" in (
        finding.measured
    )


def test_a_lever_that_makes_solves_short_does_not_take_them_out():
    hard = solve_rows(family="plain")
    eased = [{**r, "family": "l1", "solve_cpu_seconds": 0.01} for r in hard]
    assert of_hard_instances(eased, hard + eased) == eased
    assert of_hard_instances(eased, eased) == []
    stopped = [{**r, "status": "work limit", "work": 9.0} for r in eased]
    same = paired_ratio(stopped, stopped, "work", "network")
    assert same.value is None and same.open == 12  # equal figures, unknown truth
    assert str(same) == "not measured (12 pairs at their limits)"
    easy = [{**r, "work": 3.0, "status": "optimal"} for r in stopped]
    assert paired_ratio(easy, stopped, "work", "network").censored == 12
    keys = ["problem", "seed"]
    beaten = [n for _, n, _ in dominated_shares(stopped, easy, keys, ["nrmse", "work"])]
    assert beaten == [1] * 12
    worse = [{**r, "nrmse": 0.2} for r in stopped]
    beaten = [
        n for _, n, _ in dominated_shares(worse, stopped, keys, ["nrmse", "work"])
    ]
    assert beaten == [0] * 12
    assert of_hard_instances(eased, stopped) == eased
