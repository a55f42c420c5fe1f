"""An independent search for the minimum of an ONNX file; nothing of the package in here.

Random points, then shrinking boxes around the best ones.  It proves nothing: it is what
a proven optimum is compared with.
"""

import numpy as np


def onnx_function(model):
    """The first output of an ONNX model (bytes or path) as (N, n) to (N,)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )
    name = session.get_inputs()[0].name

    def function(X):
        (y,) = session.run(None, {name: np.asarray(X, dtype=np.float32)})
        return y[:, 0].astype(float)

    return function


def global_search(function, lower, upper, samples=50_000, starts=40, rounds=50, seed=0):
    """The least value found of ``function`` in a box.

    Parameters
    ----------
    function : callable
        (N, n) to (N,).
    lower, upper : array_like, shape (n,)
    samples : int
        Latin-hypercube points.
    starts : int
        Best points around which the search goes on.
    rounds : int
        Each tries 64 points around every one of them, in a box 0.75 times as wide as
        in the round before.
    seed : int

    Returns
    -------
    value : float
    point : numpy.ndarray, shape (n,)
    """
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    X = qmc.scale(qmc.LatinHypercube(lower.size, rng=rng).random(samples), lower, upper)
    values = function(X)
    order = np.argsort(values)[:starts]
    X, values = X[order], values[order]
    radius = (upper - lower) * samples ** (-1 / lower.size) * 2
    for _ in range(rounds):
        moves = rng.uniform(-1, 1, (64, *X.shape)) * radius
        moves *= rng.random(moves.shape) < 0.7  # some coordinates stay
        tried = np.clip(X + moves, lower, upper)
        found = function(tried.reshape(-1, lower.size)).reshape(64, -1)
        best = np.argmin(found, axis=0)
        rows = np.arange(len(X))
        better = found[best, rows] < values
        X = np.where(better[:, None], tried[best, rows], X)
        values = np.where(better, found[best, rows], values)
        radius = 0.75 * radius
    i = int(np.argmin(values))
    return float(values[i]), X[i]
