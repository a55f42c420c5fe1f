"""Networks of one input: the intervals on which they are affine, as cells."""

from functools import partial

import numpy as np

from pyomo_relu.bounds.cells.partition import CellPartition
from pyomo_relu.common.arguments import bounds_record, checked, whole
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.rounding import NEGLIGIBLE, OF_MANY_TERMS
from pyomo_relu.network.pieces import breakpoints


@checked(BoundsError, bounds=bounds_record, max_cells=partial(whole, least=1))
def affine_pieces(bounds, max_cells, rows=None):
    """The cells of a network of one input on which its outputs are affine.

    Neighbouring pieces on one straight line are one cell.

    Parameters
    ----------
    bounds : NeuronBounds
        Of a network with one input.
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
        If the network has several inputs.
    """
    network = bounds.network
    if network.n_inputs != 1:
        raise BoundsError(
            f"{network.name}: affine pieces are listed for networks of one input, and "
            f"this one has {network.n_inputs}. Use CellPartition.refine."
        )
    points = breakpoints(network, bounds.input_lower, bounds.input_upper)
    values = network.forward(points[:, None])
    at = _corners_of(points, values)
    if len(at) - 1 > max_cells:
        return None
    partition = CellPartition(bounds, rows)
    partition.set_pieces(points[at], values[at])
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
