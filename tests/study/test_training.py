"""Training: reproducible, well exported, and each penalty does what it is for."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.network import Network, load_onnx
from pyomo_relu.network.examples import FOLDER
from pyomo_relu.study import train_networks
from pyomo_relu.study.problems.problems import ackley, himmelblau, peaks, problem
from pyomo_relu.study.training import regularisers
from pyomo_relu.study.training.export import (
    onnx_model,
    write_atomically,
    write_onnx,
)
from pyomo_relu.study.training.training import (
    TrainingOptions,
    finish,
    make_data,
    train,
)
from tests.thinned import thinned

TINY = TrainingOptions((8, 8), samples=1500, epochs=25, batch=64, learning_rate=1e-2)


def run_onnx(data, X):
    import onnxruntime

    data = data if isinstance(data, bytes) else data.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.asarray(X, dtype=np.float32)})[0]


def points(target, n=500):
    return target.latin_hypercube(n, seed=99)


# -- problems --------------------------------------------------------------------------


@pytest.mark.parametrize("target", [peaks(), himmelblau(), ackley(2), ackley(5)])
def test_problems_reach_their_published_minima(target):
    values = target(np.array(target.minimisers))
    assert values == pytest.approx(target.minimum, abs=1e-6)
    X = points(target, 20_000)
    assert np.all(target(X) >= target.minimum - 1e-9)
    assert np.all((target.lower <= X) & (target.upper >= X))
    assert target(X[0]) == target(X)[0]


def test_problems_are_found_by_name_and_refuse_wrong_points():
    assert problem("ackley3").dimension == 3 and problem("peaks").name == "peaks"
    with pytest.raises(ValueError, match="unknown problem 'rosenbrock'"):
        problem("rosenbrock")
    with pytest.raises(ValueError, match=r"expected points of shape \(N, 2\)"):
        peaks()(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="dimension must be positive"):
        ackley(0)


# -- training and export ---------------------------------------------------------------


def test_training_learns_and_measures_its_error_on_held_out_points():
    target = himmelblau()
    trained = train(target, replace(TINY, hidden=(20, 20), samples=4000))
    X = points(target, 4000)
    y = target(X)
    nrmse = np.sqrt(np.mean((trained.forward(X) - y) ** 2)) / y.std()
    assert trained.nrmse < 0.25
    assert trained.nrmse == pytest.approx(nrmse, rel=0.3)
    assert trained.max_error > trained.nrmse * y.std()


@pytest.mark.parametrize("ceiling", [None, 0.7])
def test_onnx_equals_torch_and_maps_raw_to_raw(ceiling):
    trained = train(peaks(), replace(TINY, ceiling=ceiling))
    X = points(peaks())
    y = trained.forward(X)
    assert run_onnx(trained.onnx_model(), X)[:, 0] == pytest.approx(y, abs=1e-4)
    weights, biases = trained.folded()
    network = Network.sequential(weights, biases, trained.ceilings)
    assert network.forward(X)[:, 0] == pytest.approx(y, abs=1e-4)


def test_exported_file_is_read_by_the_package(tmp_path):
    trained = train(peaks(), replace(TINY, ceiling=1.5, epochs=2))
    path = tmp_path / "peaks.onnx"
    trained.write_onnx(path)
    network = load_onnx(path)
    X = points(peaks())
    assert network.forward(X)[:, 0] == pytest.approx(trained.forward(X), abs=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == ["peaks.onnx"]


def test_same_seed_same_bytes_other_seed_other_bytes():
    options = replace(TINY, dropout=0.1, l1=1e-5, bound_width=1e-4, epochs=3)
    threads = torch.get_num_threads()

    def data(seed):
        trained = train(peaks(), replace(options, seed=seed))
        return trained.onnx_model().SerializeToString(deterministic=True)

    first = data(1)
    torch.manual_seed(12345)
    assert data(1) == first
    assert data(2) != first
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_atomic_writing_leaves_no_half_file(tmp_path):
    path = tmp_path / "data"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "text is not bytes")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_export_checks_the_number_of_layers():
    with pytest.raises(ValueError, match="2 weight matrices need 2 biases"):
        onnx_model([np.eye(2), np.ones((1, 2))], [np.zeros(2)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": (0,)},
        {"samples": 3},
        {"held_out": 1.0},
        {"epochs": -1},
        {"dropout": 1.0},
        {"ceiling": 0.0},
        {"l1": -1.0},
        {"bound_width": -1.0},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"training option {name} = "):
        TrainingOptions(**wrong)


def test_diverged_training_is_an_error():
    data = make_data(peaks(), TINY)
    weights = [np.full((1, 2), np.inf), np.ones((1, 1))]
    with pytest.raises(ArithmeticError, match="training diverged"):
        finish(
            "peaks",
            replace(TINY, hidden=(1,)),
            weights,
            [np.zeros(1), np.zeros(1)],
            data,
        )


# -- penalties -------------------------------------------------------------------------


def normalised_bounds(trained):
    weights, biases = trained.weights, trained.biases
    network = Network.sequential(weights, biases, trained.ceilings)
    n = network.n_inputs
    return interval_bounds(network, -np.ones(n), np.ones(n))


def widths(trained):
    bounds = normalised_bounds(trained)
    hidden = range(len(bounds.lower) - 1)
    return np.mean(np.concatenate([bounds.upper[k] - bounds.lower[k] for k in hidden]))


@pytest.mark.parametrize("ceiling", [None, 0.5])
def test_torch_intervals_are_the_packages(ceiling):
    trained = train(peaks(), replace(TINY, ceiling=ceiling, epochs=2))
    ours = normalised_bounds(trained)
    tensors = [torch.tensor(w) for w in (*trained.weights, *trained.biases)]
    bounds = regularisers.interval_bounds(
        tensors[:3], tensors[3:], trained.ceilings, torch.zeros(2), torch.ones(2)
    )
    for k, (lower, upper) in enumerate(bounds):
        assert lower.numpy() == pytest.approx(ours.lower[k], abs=1e-4)
        assert upper.numpy() == pytest.approx(ours.upper[k], abs=1e-4)


def test_stability_penalty_is_the_distance_to_a_stable_state():
    lower = torch.tensor([-1.0, -3.0, 1.0, -4.0, 0.5])
    upper = torch.tensor([3.0, 2.0, 2.0, -1.0, 5.0])
    plain = regularisers.stability([(lower, upper)], [None])
    assert float(plain) == pytest.approx((1 + 2 + 0 + 0 + 0) / 5)
    # With ceiling 2: to become active neuron 0 must rise by 1 and fall by 1, ...
    clipped = regularisers.stability([(lower, upper)], [2.0])
    assert float(clipped) == pytest.approx((1 + 2 + 0 + 0 + 1.5) / 5)


INDICATORS = {
    "l1": (1e-3, lambda t: sum(np.abs(w).sum() for w in t.weights)),
    "l2": (1e-3, lambda t: sum((w**2).sum() for w in t.weights)),
    "bound_width": (3e-2, widths),
    "stability": (1e-1, lambda t: normalised_bounds(t).n_unstable),
}


@functools.cache
def without_penalty(seed):
    options = replace(TINY, seed=seed)
    data = make_data(peaks(), options)
    return options, data, train(peaks(), options, data)


@pytest.mark.parametrize("seed", thinned(range(3), 1))
@pytest.mark.parametrize("name", INDICATORS)
def test_each_penalty_moves_its_own_indicator(name, seed):
    weight, indicator = INDICATORS[name]
    options, data, plain = without_penalty(seed)
    penalised = train(peaks(), replace(options, **{name: weight}), data)
    assert indicator(penalised) < indicator(plain)
    assert penalised.nrmse < 1  # still better than the constant mean


def test_dropout_and_ceilings_act_while_training():
    *_, plain = without_penalty(0)
    dropped = train(peaks(), replace(TINY, dropout=0.3))
    assert dropped.nrmse > plain.nrmse
    clipped = train(peaks(), replace(TINY, ceiling=0.2))
    bounds = normalised_bounds(clipped)
    assert bounds.post_bounds(0)[1].max() <= 0.2


# -- the committed networks ------------------------------------------------------------


def test_training_script_writes_networks_and_manifest(tmp_path):
    small = {"small": ("peaks", replace(TINY, epochs=2))}
    folder = ["--folder", str(tmp_path)]
    train_networks.main(folder, small)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert sorted(manifest) == ["random_10_3x50", "small"]
    assert manifest["small"]["seed"] == 0 and manifest["small"]["held_out_nrmse"] > 0
    before = (tmp_path / "small.onnx").stat().st_mtime_ns
    train_networks.main(folder, small)
    assert (tmp_path / "small.onnx").stat().st_mtime_ns == before
    train_networks.main(["small", "--force", *folder], small)
    assert (tmp_path / "small.onnx").stat().st_mtime_ns > before
    with pytest.raises(SystemExit):
        train_networks.main(["large", *folder], small)


def committed():
    path = FOLDER / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.mark.parametrize("name", sorted(committed()))
def test_committed_networks_are_what_the_manifest_says(name):
    entry = committed()[name]
    network = load_onnx(FOLDER / f"{name}.onnx")
    hidden = [layer.size for layer in network.activation_layers]
    assert hidden == entry["hidden"] and network.n_inputs == len(entry["lower"])
    if entry["problem"] is not None:
        target = problem(entry["problem"])
        X = points(target, 20_000)
        y = target(X)
        error = network.forward(X)[:, 0] - y
        nrmse = np.sqrt(np.mean(error**2)) / y.std()
        assert nrmse == pytest.approx(entry["held_out_nrmse"], rel=0.1)


def test_random_network_file_is_reproduced_from_its_seed(tmp_path):
    n_inputs, hidden = train_networks.RANDOM["random_10_3x50"]
    weights, biases = train_networks.random_network(n_inputs, hidden)
    write_onnx(tmp_path / "again.onnx", weights, biases, name="random_10_3x50")
    committed_file = FOLDER / "random_10_3x50.onnx"
    assert (tmp_path / "again.onnx").read_bytes() == committed_file.read_bytes()


def test_quickstart_network_is_a_peaks_surrogate():
    network = load_onnx(FOLDER / "peaks_2x20.onnx")
    X = points(peaks(), 20_000)
    y = peaks()(X)
    error = network.forward(X)[:, 0] - y
    assert [layer.size for layer in network.activation_layers] == [20, 20]
    assert np.sqrt(np.mean(error**2)) < 0.06 * y.std()
