"""Networks of the study in other units and under ceilings: same functions, same optima."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")

from pyomo_relu import load_onnx
from pyomo_relu.network import clip_network
from pyomo_relu.study.problems.benchmarks import benchmark
from pyomo_relu.study.run.bound_methods import record_bounds
from pyomo_relu.study.run.cases import activation_quantiles, run_case, run_solve
from pyomo_relu.study.run.config import parse_config
from pyomo_relu.study.training.training import (
    TrainingOptions,
    layer_quantiles,
    make_data,
    train,
)
from pyomo_relu.study.training.units import UNITS, in_units

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
