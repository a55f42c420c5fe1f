"""Pruning, the sweep with its knee, and the linear programme for shallow networks."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from pyomo_relu.study.problems.problems import himmelblau, peaks
from pyomo_relu.study.training.pruning import (
    SweepPoint,
    knee,
    magnitude_masks,
    non_dominated,
    prune,
    weighted_sum_sweep,
)
from pyomo_relu.study.training.sparsify import (
    fitted_error,
    sparse_output_weights,
    sparsify,
)
from pyomo_relu.study.training.training import TrainingOptions, make_data, train

TINY = TrainingOptions((10, 10), samples=1500, epochs=25, batch=64, learning_rate=1e-2)


@pytest.fixture(scope="module")
def trained():
    data = make_data(himmelblau(), TINY)
    return train(himmelblau(), TINY, data), data


def test_masks_keep_the_largest():
    weights = [np.array([[1.0, -5.0], [3.0, 0.1]]), np.array([[0.2, -0.3]])]
    whole = magnitude_masks(weights, 0.5)
    assert [m.tolist() for m in whole] == [
        [[True, True], [True, False]],
        [[False, False]],
    ]
    each = magnitude_masks(weights, 0.5, scope="layer")
    assert [m.tolist() for m in each] == [
        [[False, True], [True, False]],
        [[False, True]],
    ]
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\)"):
        magnitude_masks(weights, 1.0)
    with pytest.raises(ValueError, match="scope must be"):
        magnitude_masks(weights, 0.5, scope="neuron")


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_pruned_weights_stay_zero_and_fine_tuning_repairs(trained, scope):
    network, data = trained
    raw = prune(himmelblau(), network, 0.5, scope=scope, data=data)
    tuned = prune(himmelblau(), network, 0.5, 15, scope=scope, data=data)
    assert raw.n_weights == tuned.n_weights == network.n_weights // 2
    for before, after in zip(raw.weights, tuned.weights, strict=True):
        assert np.all(after[before == 0] == 0)
    assert network.nrmse < raw.nrmse
    assert tuned.nrmse < raw.nrmse


def test_pruning_nothing_changes_nothing(trained):
    network, data = trained
    same = prune(himmelblau(), network, 0.0, data=data)
    assert all(
        np.array_equal(a, b) for a, b in zip(same.weights, network.weights, strict=True)
    )
    assert same.nrmse == network.nrmse


def test_sweep_trades_weights_for_error():
    points = weighted_sum_sweep(peaks(), TINY, [0.0, 1e-4, 1e-2])
    sizes = [p.nonzeros for p in points]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0] / 2
    assert points[-1].l1 < points[0].l1
    assert points[-1].nrmse > points[0].nrmse
    assert knee(points) in points
    assert points[1].to_dict()["weight"] == 1e-4
    kept = np.concatenate([w.ravel() for w in points[1].network.weights])
    assert np.all((kept == 0) | (np.abs(kept) >= 1e-2 * 0.999))


def sweep_points(*pairs):
    return [SweepPoint(i, e, 0.0, n, None) for i, (e, n) in enumerate(pairs)]


def test_knee_is_the_corner_of_the_front():
    points = sweep_points((0.1, 100), (0.12, 30), (0.5, 20), (0.9, 10), (0.9, 50))
    assert [p.weight for p in non_dominated(points)] == [3, 2, 1, 0]
    assert knee(points).weight == 1
    assert knee(sweep_points((0.1, 5), (0.2, 5))).weight == 0
    assert len(non_dominated(sweep_points((0.1, 5), (0.1, 5)))) == 1
    with pytest.raises(ValueError, match="no points"):
        knee([])


def test_linear_programme_returns_the_smallest_sparse_weights():
    rng = np.random.default_rng(0)
    features = rng.uniform(size=(30, 60))
    truth = np.zeros(60)
    truth[[3, 17, 40]] = [1.0, -2.0, 0.5]
    targets = features @ truth + 0.25
    w, c = sparse_output_weights(features, targets, 1e-6)
    assert np.abs(features @ w + c - targets).max() <= 1e-5
    assert np.abs(w).sum() <= np.abs(truth).sum() + 1e-5
    assert np.count_nonzero(np.abs(w) > 1e-9) <= 30
    loose, _ = sparse_output_weights(features, targets, 0.1)
    assert np.abs(loose).sum() < np.abs(w).sum()


def test_shallow_network_loses_neurons_within_the_tolerance():
    options = replace(TINY, hidden=(60,), epochs=40)
    data = make_data(himmelblau(), options)
    network = train(himmelblau(), options, data)
    tolerance = 0.3 * fitted_error(network, data, 300)
    sparse = sparsify(himmelblau(), network, tolerance, 300, data)
    assert sparse.options.hidden[0] < 30
    assert sparse.options.hidden[0] == len(sparse.weights[0])
    assert fitted_error(sparse, data, 300) <= tolerance * 1.001
    assert sparse.nrmse < 1.5 * network.nrmse
    loose = sparsify(himmelblau(), network, 3 * tolerance, 300, data)
    assert np.abs(loose.weights[1]).sum() < np.abs(sparse.weights[1]).sum()


def test_sparsify_refuses_what_it_cannot_do(trained):
    deep, data = trained
    with pytest.raises(ValueError, match="2 hidden layers"):
        sparsify(himmelblau(), deep, 0.1, data=data)
    shallow = train(himmelblau(), replace(TINY, hidden=(3,), epochs=1), data)
    with pytest.raises(ValueError, match="no output weights fit all 200 points"):
        sparsify(himmelblau(), shallow, 1e-6, 200, data)
    with pytest.raises(ValueError, match="99999 points asked for"):
        sparsify(himmelblau(), shallow, 0.1, 99_999, data)
    with pytest.raises(ValueError, match="must not be negative"):
        sparse_output_weights(np.ones((2, 1)), np.ones(2), -1.0)
