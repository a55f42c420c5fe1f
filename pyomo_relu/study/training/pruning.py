"""Removes weights from trained networks and finds the knee of accuracy against size.

Sources: magnitude pruning is standard; the sweep over weighted sums with a knee follows
Reiners, Klamroth, Heldmann, Stiglmayr (2021), "Efficient and sparse neural networks by
pruning weights in a multiobjective learning approach".
"""

from dataclasses import dataclass, replace

import numpy as np

from pyomo_relu.study.training.training import TrainedNetwork, finish, make_data, train


def magnitude_masks(weights, share, scope="network"):
    """Which weights stay when the given share of smallest ones is removed.

    Parameters
    ----------
    weights : sequence of array_like
    share : float
        In [0, 1): share of the weights that is removed.
    scope : {"network", "layer"}
        Whether the smallest are sought among all layers' weights or in each layer.

    Returns
    -------
    list of numpy.ndarray of bool
    """
    if not 0 <= share < 1:
        raise ValueError(f"pruning: the share must be in [0, 1), not {share}.")
    if scope == "layer":
        return [_largest([w], share)[0] for w in weights]
    if scope == "network":
        return _largest(weights, share)
    raise ValueError(f"pruning: scope must be 'network' or 'layer', not '{scope}'.")


def _largest(weights, share):
    sizes = np.concatenate([np.abs(np.asarray(w)).ravel() for w in weights])
    keep = np.ones(sizes.size, dtype=bool)
    keep[np.argsort(sizes, kind="stable")[: round(share * sizes.size)]] = False
    parts = np.split(keep, np.cumsum([np.size(w) for w in weights])[:-1])
    return [part.reshape(np.shape(w)) for part, w in zip(parts, weights, strict=True)]


def prune(problem, network, share, fine_tune_epochs=0, scope="network", data=None):
    """Set the smallest weights to zero and, if asked, train the others on.

    Parameters
    ----------
    problem : Problem
    network : TrainedNetwork
    share : float
        Share of the weights that is removed.
    fine_tune_epochs : int
        Epochs of training afterwards, in which removed weights stay zero.
    scope : {"network", "layer"}
    data : Data, optional
        As ``make_data(problem, network.options)`` gives.

    Returns
    -------
    TrainedNetwork
    """
    data = make_data(problem, network.options) if data is None else data
    masks = magnitude_masks(network.weights, share, scope)
    options = replace(network.options, epochs=fine_tune_epochs)
    return train(problem, options, data, start=network, masks=masks)


@dataclass(frozen=True)
class SweepPoint:
    """One weighted sum: its weight lambda, and the network that minimises it.

    ``nonzeros`` counts the weights that are left after those below the threshold are
    set to zero; ``network`` is that thresholded network.
    """

    weight: float
    nrmse: float
    l1: float
    nonzeros: int
    network: TrainedNetwork

    def to_dict(self):
        """The figures without the network."""
        return {
            "weight": self.weight,
            "nrmse": self.nrmse,
            "l1": self.l1,
            "nonzeros": self.nonzeros,
        }


def weighted_sum_sweep(problem, options, l1_weights, threshold=1e-2, data=None):
    """Train on ``error + lambda ||W||_1`` for each lambda, then drop small weights.

    Parameters
    ----------
    problem : Problem
    options : TrainingOptions
        Its ``l1`` is replaced by each lambda.
    l1_weights : sequence of float
    threshold : float
        Weights below this size (in normalised units) are set to zero.
    data : Data, optional

    Returns
    -------
    list of SweepPoint
        In the order of ``l1_weights``.
    """
    data = make_data(problem, options) if data is None else data
    points = []
    for weight in l1_weights:
        trained = train(problem, replace(options, l1=float(weight)), data)
        kept = [np.where(np.abs(w) >= threshold, w, 0) for w in trained.weights]
        thinned = finish(problem.name, trained.options, kept, trained.biases, data)
        size = float(sum(np.abs(w).sum() for w in kept))
        points.append(
            SweepPoint(float(weight), thinned.nrmse, size, thinned.n_weights, thinned)
        )
    return points


def non_dominated(points):
    """The sweep points that no other beats in error and number of weights.

    Sorted by number of weights; of points with equal figures the first one stays.
    """
    front = []
    for p in points:
        if any((q.nrmse, q.nonzeros) == (p.nrmse, p.nonzeros) for q in front):
            continue
        worse = any(
            (q.nrmse <= p.nrmse and q.nonzeros <= p.nonzeros)
            and (q.nrmse < p.nrmse or q.nonzeros < p.nonzeros)
            for q in points
        )
        if not worse:
            front.append(p)
    return sorted(front, key=lambda p: (p.nonzeros, p.nrmse))


def knee(points):
    """The point of the front that bends most towards the ideal point.

    Both objectives (error, number of weights) are scaled to [0, 1] over the front; the
    knee is the point farthest below the straight line between the front's two ends.
    With fewer than three points on the front it is the most accurate one.
    """
    front = non_dominated(points)
    if not front:
        raise ValueError("knee: there are no points.")
    if len(front) < 3:
        return min(front, key=lambda p: p.nrmse)
    error = np.array([p.nrmse for p in front])
    size = np.array([p.nonzeros for p in front], dtype=float)
    # Along a front the error falls as the size grows, so neither range is zero.
    error = (error - error.min()) / np.ptp(error)
    size = (size - size.min()) / np.ptp(size)
    return front[int(np.argmin(error + size))]
