"""Drops neurons from networks with one hidden layer by a linear programme.

Source: Liu and Zuazua (2025), "Representation and regression problems in neural
networks": the smallest l1 norm of output weights that fits the data, at a basic (sparse)
solution.  The number of data points bounds the number of neurons kept.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import linprog

from pyomo_relu.common.wording import counted
from pyomo_relu.study.training.training import finish, make_data


def sparse_output_weights(features, targets, tolerance):
    """Solve ``min ||w||_1  s.t.  |features w + c - targets| <= tolerance``.

    The offset c is free and not penalised.  With w = p - q, p, q >= 0 this is a linear
    programme; the dual simplex returns a vertex, where at most as many entries of
    (w, c) are nonzero as rows are active.

    Parameters
    ----------
    features : array_like, shape (N, n_neurons)
        Post-activations of the hidden neurons at the data.
    targets : array_like, shape (N,)
    tolerance : float

    Returns
    -------
    w : numpy.ndarray, shape (n_neurons,)
    c : float

    Raises
    ------
    ValueError
        If no weights fit the data within ``tolerance``.
    """
    features, targets = np.asarray(features, float), np.asarray(targets, float)
    n_points, n = features.shape
    if tolerance < 0:
        raise ValueError(f"sparsify: the tolerance must not be negative: {tolerance}.")
    rows = np.hstack([features, -features, np.ones((n_points, 1))])
    for method in ("highs-ds", "highs-ipm"):  # the second one if the first gets stuck
        result = linprog(
            np.concatenate([np.ones(2 * n), [0.0]]),
            A_ub=np.vstack([rows, -rows]),
            b_ub=np.concatenate([targets + tolerance, tolerance - targets]),
            bounds=[(0, None)] * (2 * n) + [(None, None)],
            method=method,
        )
        if result.status in (0, 2):
            break
    if result.status == 2:
        raise ValueError(
            f"sparsify: no output weights fit all {counted(n_points, 'point')} within "
            f"{tolerance:g}. Raise the tolerance or start from a wider network."
        )
    if result.status != 0:
        raise ArithmeticError(
            f"sparsify: the linear programme failed: {result.message}"
        )
    return result.x[:n] - result.x[n : 2 * n], float(result.x[-1])


def fitted_error(network, data, n_points):
    """Largest normalised error of ``network`` on the first ``n_points`` of ``data``.

    A tolerance of this size (or more) makes ``sparsify`` feasible.
    """
    features, targets = _hidden(network, data, n_points)
    w, c = network.weights[1].astype(float)[0], float(network.biases[1][0])
    return float(np.abs(features @ w + c - targets).max())


def sparsify(problem, network, tolerance, n_points=400, data=None):
    """The same hidden neurons with sparse output weights; idle neurons removed.

    Parameters
    ----------
    problem : Problem
    network : TrainedNetwork
        With one hidden layer.
    tolerance : float
        Largest error allowed at the data points, in standard deviations of the values.
    n_points : int
        Number of training samples that must be fitted.
    data : Data, optional

    Returns
    -------
    TrainedNetwork
        Never empty: if no neuron is needed, one with output weight zero stays.
    """
    if len(network.weights) != 2:
        raise ValueError(
            f"sparsify: the network has {counted(len(network.weights) - 1, 'hidden layer')}; "
            "the linear programme is for exactly one."
        )
    data = make_data(problem, network.options) if data is None else data
    features, targets = _hidden(network, data, n_points)
    w, c = sparse_output_weights(features, targets, tolerance)
    keep = np.flatnonzero(np.abs(w) > 1e-9)
    keep = keep if keep.size else np.array([0])
    options = replace(network.options, hidden=(keep.size,))
    weights = [network.weights[0][keep], w[None, keep]]
    biases = [network.biases[0][keep], np.array([c])]
    return finish(problem.name, options, weights, biases, data)


def _hidden(network, data, n_points):
    if not 0 < n_points <= len(data.x):
        raise ValueError(
            f"sparsify: {counted(n_points, 'point')} asked for, of "
            f"{counted(len(data.x), 'training sample')}."
        )
    x = data.x[:n_points].double().numpy()
    v = x @ network.weights[0].astype(float).T + network.biases[0]
    return np.clip(v, 0, network.ceilings[0]), data.y[:n_points].double().numpy()
