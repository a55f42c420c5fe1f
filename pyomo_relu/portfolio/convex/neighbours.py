"""Integer values next to a minimiser's own in which a better point lies: other regions."""

import numpy as np


def neighbours(node, root, rows, whole):
    """Values of integer columns one step from a node's, most promising first.

    Where a neuron's pre-activation is at its kink, and the reduced cost of its indicator
    says that the other side is better, the minimiser lies in the region beyond as well,
    and that has a better one.

    Parameters
    ----------
    node : Node
        All integer columns have one value; solved.
    root : Node
    rows : GrowingModel
    whole : numpy.ndarray of int, shape (k,)
        The integer columns.

    Returns
    -------
    list of numpy.ndarray, shapes (k,)
        All such steps at once, and the steepest one alone.
    """
    if node.reduced is None:  # its LP was not solved to the end
        return []
    low, high = node.reduced
    to = node.lower + (high < 0.0) - (low > 0.0)
    to = np.clip(to, root.lower, root.upper)
    at = np.flatnonzero(to != node.lower)
    at = at[rows.may_move(node.point, whole[at], (to - node.lower)[at])]
    steepest = at[np.argsort(np.minimum(high, -low)[at])][:1]
    found = []
    for some in (at, steepest)[: at.size]:
        values = node.lower.copy()
        values[some] = to[some]
        found.append(values)
    return found
