"""Looking for a point that has a property: samples, corners, gradient steps, neighbours."""

import itertools

import numpy as np

from pyomo_relu.network.gradients import gradient
from pyomo_relu.search.methods.ascent import latin_hypercube

#: Sampled points, those that are descended from, and steps of these.
_SAMPLES, _STARTS, _STEPS = 1000, 32, 40

#: Rounds of sampling around the best points, and neighbours of each in a round; the
#: radius shrinks by this factor.
_ROUNDS, _NEIGHBOURS, _SHRINK = 16, 8, 0.75

#: All corners are tried up to this many varying inputs.
_CORNERS = 8

#: First and last step, in widths of the box.
_FIRST, _LAST = 0.1, 1e-3

#: Most cases that are descended on; all are sampled.
_CASES = 50


def attack(rows, prop, offer, deadline, seed=0, budget=1.0):
    """Offer promising points until one is accepted or all steps are done.

    A case's largest row is descended along its gradient, from the best of the samples;
    then points around the best are sampled ever closer, which gradients of the largest
    row alone do not replace where several rows meet.

    Parameters
    ----------
    rows : Network
        Whose outputs are the property's rows.
    prop : Property
    offer : callable
        Called with points and the rows' values there; True ends the search.
    deadline : Deadline
    seed : int
    budget : float
        Share of the usual number of samples and starts.

    Returns
    -------
    bool
    """
    rng = np.random.default_rng(seed)
    for case in prop.cases[:_CASES]:
        if deadline.passed():
            break
        lower, upper = case.lower, case.upper
        count = max(1, int(_SAMPLES * budget))
        X = np.concatenate([0.5 * (lower + upper)[None], _corners(lower, upper)])
        X = np.concatenate([X, latin_hypercube(count, lower, upper, rng)])
        values = rows.forward(X)
        if offer(X, values):
            return True
        if not case.rows.size:
            continue
        worst = values[:, case.rows].max(axis=1)
        best = np.argsort(worst)[: max(1, int(_STARTS * budget))]
        if _descend(rows, case, X[best], offer, deadline):
            return True
        if _close_in(rows, case, X[best], worst[best], offer, deadline, rng):
            return True
    return False


def _close_in(rows, case, X, worst, offer, deadline, rng):
    """Sample around the best points, ever closer."""
    width, count = case.upper - case.lower, len(X)
    for k in range(_ROUNDS):
        if deadline.passed():
            break
        near = np.repeat(X, _NEIGHBOURS, axis=0)
        near += rng.standard_normal(near.shape) * width * (_FIRST * _SHRINK**k)
        near = np.clip(near, case.lower, case.upper)
        values = rows.forward(near)
        if offer(near, values):
            return True
        X = np.concatenate([X, near])
        worst = np.concatenate([worst, values[:, case.rows].max(axis=1)])
        best = np.argsort(worst)[:count]
        X, worst = X[best], worst[best]
    return False


def _descend(rows, case, X, offer, deadline):
    width = case.upper - case.lower
    decay = (_LAST / _FIRST) ** (1.0 / _STEPS)
    pre, post = rows.propagate(X)
    for step in range(_STEPS):
        at = case.rows[post[-1][:, case.rows].argmax(axis=1)]
        seed = np.zeros_like(post[-1])
        seed[np.arange(len(X)), at] = 1.0
        move = np.sign(gradient(rows, pre, seed)) * width * (_FIRST * decay**step)
        X = np.clip(X - move, case.lower, case.upper)
        pre, post = rows.propagate(X)
        if offer(X, post[-1]):
            return True
        if deadline.passed():
            break
    return False


def _corners(lower, upper):
    free = np.flatnonzero(lower < upper)
    if free.size > _CORNERS:
        return np.stack([lower, upper])
    corners = np.repeat(lower[None], 2**free.size, axis=0)
    for k, pick in enumerate(itertools.product((False, True), repeat=free.size)):
        some = free[list(pick)]
        corners[k, some] = upper[some]
    return corners
