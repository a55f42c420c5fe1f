"""Sorting of small groups by networks of comparators, each of them one ReLU neuron."""

import numpy as np

from pyomo_relu.network.onnx.registry import operator
from pyomo_relu.network.onnx.tensors.tensors import stack

#: Larger groups are not sorted: a group of n needs about n (log2 n)^2 / 4 neurons.
MAX_GROUP = 64


@operator("TopK")
def top_k(operation, x, k=None):
    """The k largest or smallest entries along an axis, in order."""
    k = operation.constant(1, (x, k), operation.attribute("k"))
    k = int(np.ravel(k)[0])
    axis = operation.attribute("axis", -1)
    if not -x.ndim <= axis < x.ndim or not 1 <= k <= x.shape[axis]:
        operation.refuse(f"it takes {k} entries of axis {axis} of shape {x.shape}.")
    lines = np.moveaxis(x.index(), axis, -1)
    groups = lines.reshape(-1, lines.shape[-1])
    sign = 1.0 if operation.attribute("largest", 1) else -1.0
    x = x if sign > 0 else -x
    if k == 1:
        best = operation.largest(x, groups)
    else:
        if not operation.attribute("sorted", 1):
            operation.refuse(
                "with sorted=0 the order of its values is left open. Export it with "
                "sorted=True."
            )
        best = _largest_in_order(operation, x, groups, k)
    index = np.arange(best.size)
    values = best.select(np.moveaxis(index.reshape(*lines.shape[:-1], k), -1, axis))
    return values if sign > 0 else -values


def _largest_in_order(operation, x, groups, k):
    """The k largest of each group, descending; flat, group by group."""
    size = groups.shape[1]
    if size > MAX_GROUP:
        operation.refuse(
            f"it sorts groups of {size} entries, more than {MAX_GROUP}: exact sorting "
            "would need too many neurons. Sort smaller groups (GroupSort), or use "
            "Max, Min or ReduceMax."
        )
    pool = x.select(groups)
    count = len(groups)
    for stage in sorting_stages(size, range(size - k, size)):
        first, second = np.array(stage).T
        place = pool.index()
        low, high = operation.in_order(
            pool.select(place[:, first]), pool.select(place[:, second])
        )
        place[:, first] = pool.size + np.arange(low.size).reshape(count, -1)
        place[:, second] = pool.size + low.size + np.arange(low.size).reshape(count, -1)
        pool = stack([pool, low, high]).select(place)
    return pool.select(pool.index()[:, ::-1][:, :k].reshape(-1))


def sorting_stages(size, wanted):
    """Comparators that sort ascending, as far as the wanted places need them.

    Parameters
    ----------
    size : int
    wanted : iterable of int
        Places whose values will be read.

    Returns
    -------
    list of list of (int, int)
        Stages of disjoint comparators (i, j), which put the smaller value at i < j.

    Notes
    -----
    Batcher's merge exchange (Knuth, The Art of Computer Programming, vol. 3,
    Algorithm 5.2.2M), without the comparators that no wanted place depends on.
    """
    stages = []
    top = 1 << max(0, (size - 1).bit_length() - 1)
    p = top
    while size > 1 and p > 0:
        q, r, d = top, 0, p
        while True:
            stages.append([(i, i + d) for i in range(size - d) if i & p == r])
            if q == p:
                break
            q, r, d = q // 2, p, q - p
        p //= 2
    needed, kept = set(wanted), []
    for stage in reversed(stages):
        used = [(i, j) for i, j in stage if i in needed or j in needed]
        needed.update(i for pair in used for i in pair)
        if used:
            kept.append(used)
    return kept[::-1]
