"""Finite boxes of all columns of parts, before anything is taken apart."""

import numpy as np

from pyomo_relu.branch.bounding.root import unbounded_input
from pyomo_relu.decompose.subproblems.cover import Cover
from pyomo_relu.decompose.subproblems.networks import MemberNetworks
from pyomo_relu.linear.box_rows import BoxRows, propagate
from pyomo_relu.linear.column_bounds import bound_free_columns
from pyomo_relu.network.stack import stacked

#: Most seconds for finding ends of columns outside networks.
_CONFINING = 10.0


def root_box(split, deadline):
    """Bounds of all columns, those of parts finite.

    Rows first, then networks in their order: each one's outputs lie within its lines.

    Parameters
    ----------
    split : Parts
    deadline : Deadline

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n,)

    Raises
    ------
    InfeasibleError
        If rows and bounds are proven to leave no point.
    BoundsError
        If a network's input cannot be bounded.
    """
    linear = split.linear
    lower, upper = propagate(linear)
    waiting = list(split.parts)
    while waiting:
        ready = [p for p in waiting if _ended(lower, upper, p.inputs)]
        if not ready:
            lower, upper = _by_rows(linear, lower, upper, waiting)
            ready = waiting[:1]
        now = {id(p) for p in ready}
        waiting = [p for p in waiting if id(p) not in now]
        for stack, members, which in stacked([p.network for p in ready]):
            at = np.array([ready[k].inputs for k in members])
            networks = MemberNetworks(stack, which, flipped=False)
            owner = np.arange(which.size)
            least, most = Cover.of_boxes(networks, owner, lower[at], upper[at]).ranges()
            at = np.array([ready[k].outputs for k in members])
            np.maximum.at(lower, at, least)
            np.minimum.at(upper, at, most)
        if linear.n_rows and (lower <= upper).all():
            rows = BoxRows.of_model(linear)
            rows.tighten(lower[None], upper[None], linear.integer, rounds=5)
    open_ends = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper)))
    if open_ends.size and linear.n_rows and (lower <= upper).all():
        inner = linear.replace(lower=lower, upper=upper)
        lower, upper, _ = bound_free_columns(
            inner, open_ends, deadline=deadline.share(_CONFINING)
        )
    return lower, upper


def _ended(lower, upper, columns):
    return bool((np.isfinite(lower) & np.isfinite(upper))[columns].all())


def _by_rows(linear, lower, upper, waiting):
    """Ends of the first waiting part's inputs by LPs over all rows."""
    at = waiting[0].inputs
    if linear.n_rows:
        inner = linear.replace(lower=lower, upper=upper)
        lower, upper, _ = bound_free_columns(inner, at)
    for j in at:
        if not (np.isfinite(lower[j]) and np.isfinite(upper[j])):
            raise unbounded_input("relu.decompose", linear.name(j), lower[j], upper[j])
    return lower, upper
