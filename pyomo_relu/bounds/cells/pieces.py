"""Networks of one input that varies: the intervals on which they are affine, as cells."""

from functools import partial

import numpy as np

from pyomo_relu.bounds.cells.partition import CellPartition
from pyomo_relu.common.arguments import bounds_record, checked, whole
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.rounding import NEGLIGIBLE, OF_MANY_TERMS
from pyomo_relu.network.pieces import breakpoints


@checked(BoundsError, bounds=bounds_record, max_cells=partial(whole, least=1))
def affine_pieces(bounds, max_cells, rows=None):
    """The cells on which the outputs are affine, if only one input varies.

    Neighbouring pieces on one straight line are one cell.

    Parameters
    ----------
    bounds : NeuronBounds
        On a box in which all inputs but one have equal ends.
    max_cells : int
    rows : (a, b, rhs), optional
        Rows ``a x + b y <= rhs`` that cells may assume; see ``CellPartition``.

    Returns
    -------
    CellPartition or None
        With ``exact`` True; None if there are more than ``max_cells`` pieces.

    Raises
    ------
    BoundsError
        If several inputs vary.
    """
    network = bounds.network
    lower, upper = bounds.input_lower, bounds.input_upper
    free = np.flatnonzero(lower < upper)
    if free.size > 1:
        raise BoundsError(
            f"{network.name}: affine pieces are listed for networks of one input that "
            f"varies, and here {free.size} do. Use CellPartition.refine."
        )
    column = int(free[0]) if free.size else 0
    points = breakpoints(network, lower, upper, column)
    x = np.tile(lower, (points.size, 1))
    x[:, column] = points
    values = network.forward(x)
    at = _corners_of(points, values)
    if len(at) - 1 > max_cells:
        return None
    partition = CellPartition(bounds, rows)
    partition.set_pieces(points[at], values[at], column)
    return partition


def _corners_of(points, values):
    """Indices of the ends and of the points where some output bends visibly."""
    span = np.maximum(np.ptp(values, axis=0), NEGLIGIBLE)
    size = np.abs(values).max(axis=0)
    allowed = OF_MANY_TERMS * np.maximum(span, size)
    kept = [0]
    last = len(points) - 1
    for j in range(1, last):
        a, b = kept[-1], j + 1
        inner = np.arange(a + 1, b)
        share = ((points[inner] - points[a]) / (points[b] - points[a]))[:, None]
        straight = values[a] + share * (values[b] - values[a])
        if np.any(np.abs(straight - values[inner]) > allowed):
            kept.append(j)
    return [*kept, last]
