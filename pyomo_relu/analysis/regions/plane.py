"""Linear regions by geometric subdivision, for one or two free inputs.

The box is cut layer by layer: on each cell the next layer's pre-activations are affine,
and every neuron whose sign changes between the cell's corners cuts it along a line.
The cells that are left after the last layer are the activation regions.  No linear
programme is needed, and with rational arithmetic nothing is rounded.
"""

from typing import Any

import numpy as np

from pyomo_relu.analysis.regions.cells import Maps
from pyomo_relu.errors import NetworkError


def subdivide(maps: Maps, max_regions, deadline, tick=lambda: None):
    """Cut the input box of ``maps`` into activation regions.

    Parameters
    ----------
    maps : Maps
        With at most two free inputs.
    max_regions : int
        Stop when it is certain that there are at least so many.
    deadline : Deadline
    tick : callable
        Called for each region.

    Returns
    -------
    regions : list of Region
    n_pending : int
        Cells that were not cut to the end: each holds at least one more region.  Zero
        if ``regions`` is complete.
    """
    dimension = maps.box.dimension
    if dimension > 2:
        raise NetworkError(
            f"{maps.network.name}: geometric subdivision needs at most two inputs that "
            f"are not fixed, here are {dimension}. Use method='lp' or 'sampling'."
        )
    regions = []
    stack: list[tuple[Any, ...]] = [(_corners(maps), (), (), ())]
    while stack:
        if len(regions) + len(stack) >= max_regions or deadline.passed():
            return regions, len(stack)
        vertices, pattern, pre, post = stack.pop()
        k = len(pattern)
        pre_map = maps.pre(k, pre, post)
        if k == len(maps.cuts):
            centre = vertices.sum(axis=0) / len(vertices)
            regions.append(maps.region(pattern, centre, pre_map, vertices))
            tick()
            continue
        index, _, base = maps.cuts[k]
        for cell, above in _cut_by_layer(maps, k, vertices, pre_map):
            state = base.copy()
            np.add.at(state, index, above)
            post_map = maps.post(k, pre_map, state)
            stack.append((cell, (*pattern, state), (*pre, pre_map), (*post, post_map)))
    return regions, 0


def neighbours(regions):
    """Pairs of regions that share an edge (a point, for one input).

    Cells of a subdivision by continuous piecewise affine functions meet edge to edge,
    so two cells are neighbours if two of their edges have the same midpoint.

    Returns
    -------
    numpy.ndarray of int, shape (m, 2)
    """
    from scipy.spatial import KDTree

    midpoints, owner = [], []
    for i, region in enumerate(regions):
        ends = region.vertices
        if len(ends) > 2:
            ends = (ends + np.roll(ends, -1, axis=0)) / 2
        midpoints.append(ends)
        owner += [i] * len(ends)
    points, owner = np.concatenate(midpoints), np.array(owner)
    size = np.ptp(points, axis=0)
    points = points / np.where(size > 0, size, 1)
    pairs = owner[KDTree(points).query_pairs(1e-9, output_type="ndarray")]
    pairs = pairs.reshape(-1, 2)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _corners(maps):
    box = maps.box
    lower, upper = box.lower[box.free], box.upper[box.free]
    if box.dimension == 2:
        corners = [[0, 0], [1, 0], [1, 1], [0, 1]]
    else:
        corners = [[0] * box.dimension, [1] * box.dimension][: box.dimension + 1]
    return maps.array(np.where(np.array(corners, dtype=bool), upper, lower))


def _cut_by_layer(maps, k, vertices, pre_map):
    """Cells into which layer k's neurons cut a cell, with the levels they are above.

    Yields
    ------
    vertices : numpy.ndarray, shape (m, dimension)
    above : numpy.ndarray of int8, shape (number of the layer's levels,)
    """
    index, level, _ = maps.cuts[k]
    C, d = pre_map[0][index], pre_map[1][index] - level
    tolerance = maps.tolerances[k]

    def side(points):
        values = points @ C.T + d
        return values, (values > tolerance).astype(int) - (values < -tolerance)

    stack = [(vertices, *side(vertices))]
    while stack:
        cell, values, sides = stack.pop()
        crossing = np.flatnonzero((sides.max(axis=0) > 0) & (sides.min(axis=0) < 0))
        if crossing.size == 0:
            yield cell, _above(values, sides)
            continue
        i = crossing[0]
        for half in _halves(cell, values[:, i], sides[:, i]):
            values_half, sides_half = side(half)
            # A new corner lies on the line by construction, whatever rounding says.
            of_i = sides_half[:, i]
            wrong = np.sign(np.sum(values_half[:, i])) * of_i < 0
            sides_half[wrong, i] = 0
            stack.append((half, values_half, sides_half))


def _above(values, sides):
    """1 where a cell lies above a level; slivers within tolerance: by their mean."""
    above = (sides.max(axis=0, initial=-1) > 0).astype(np.int8)
    undecided = np.flatnonzero((sides == 0).all(axis=0))
    for i in undecided:
        above[i] = values[:, i].sum() > 0
    return above


def _halves(cell, values, sides):
    """The two parts of a segment or convex polygon on either side of ``values = 0``."""
    positive, negative = [], []
    n = len(cell)
    for a in range(n):
        b = (a + 1) % n
        if sides[a] >= 0:
            positive.append(cell[a])
        if sides[a] <= 0:
            negative.append(cell[a])
        if sides[a] * sides[b] < 0 and (n > 2 or a == 0):
            share = values[a] / (values[a] - values[b])
            point = cell[a] + share * (cell[b] - cell[a])
            positive.append(point)
            negative.append(point)
    return np.array(positive), np.array(negative)
