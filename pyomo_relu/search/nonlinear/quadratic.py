"""Convex quadratic costs: their second derivatives, and programmes on linear regions.

Where every network is in one linear region, a model whose costs read squares and products
of affine columns and whose rows are linear is a convex quadratic programme.  Its solution
proves nothing: whoever uses it completes it by forward passes and checks the rows.
"""

import numpy as np

from pyomo_relu.linear.atoms.atom import Atom, OneColumn, Product, Sum
from pyomo_relu.linear.atoms.shapes import Power
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.network.pieces import region_rows

#: Eigenvalues above minus this share of the largest count as not negative.
_SEMIDEFINITE = 1e-9

#: A step across a region's boundary, as shares of the way just walked, and radii of the
#: points around a solution whose regions are tried, in widths of the columns.
_ACROSS, _RADII = (0.01, 0.1), (1e-4, 1e-3, 1e-2, 1e-4, 1e-3, 1e-2)

#: Most regions, and the relative gain that is worth another one.
_REGIONS, _GAIN = 60, 1e-9


def is_quadratic(model, functions, moves, rows):
    """Whether, within every linear region, rows are linear and costs quadratic.

    Parameters
    ----------
    model : EmbeddedModel
    functions : list of Atom or EmbeddedNetwork
        In their order.
    moves : numpy.ndarray of bool, shape (n_columns,)
        Columns that are not computed: what computes them as well is a row.
    rows : numpy.ndarray, shape (m, n_columns)
        Without those that hold at all points that functions complete.

    Returns
    -------
    bool
    """
    curved, beyond = np.zeros((2, model.n_columns), dtype=bool)
    for f in functions:
        read = curved[f.inputs].any()
        if isinstance(f, Sum):
            new = read, beyond[f.inputs].any()
        elif isinstance(f, Atom):
            new = True, read or not (_is_square(f) or isinstance(f, Product))
        else:
            new = read, read
        if new[0] and moves[f.outputs].any():
            return False
        curved[f.outputs], beyond[f.outputs] = new
    if not (model.costs[curved] != 0).any() or (model.costs[beyond] != 0).any():
        return False
    return not (rows[:, curved] != 0).any()


def cost_hessian(costs, functions, gradients, along):
    r"""Second derivatives of the costs along columns that move, if they are convex.

    With ``w_i = f_i(x)`` computed one after the other and networks in their present
    regions, the costs' derivatives to w_i follow backwards by the chain rule; a square
    or product of columns with the gradients g and h then adds that derivative times
    ``2 g g'`` or ``g h' + h g'``.

    Parameters
    ----------
    costs : numpy.ndarray, shape (n_columns,)
    functions : list of Atom or EmbeddedNetwork
        Of a model that ``is_quadratic``, in their order.
    gradients : list of numpy.ndarray, shapes (n_outputs, n_inputs)
        Of the functions.
    along : numpy.ndarray, shape (n_columns, n)
        Gradients of all columns along those that move.

    Returns
    -------
    numpy.ndarray, shape (n, n), or None
        Positive semidefinite; None if it is not.
    """
    by = costs.astype(float)
    weights, vectors = [], []
    for f, gradient in zip(reversed(functions), reversed(gradients), strict=True):
        at = by[f.outputs]
        if not at.any():
            continue
        np.add.at(by, f.inputs, at @ gradient)
        weight = at[0] / f.size if isinstance(f, Atom) else 0.0
        inner = along[f.inputs]
        if _is_square(f):
            weights.append(2.0 * weight * f.scale[0] ** 2)
            vectors.append(inner[0])
        elif isinstance(f, Product):
            # g h' + h g' = ((g + h)(g + h)' - (g - h)(g - h)') / 2
            weight *= 0.5 * f.scale[0] * f.scale[1]
            weights += [weight, -weight]
            vectors += [inner[0] + inner[1], inner[0] - inner[1]]
    if not weights:
        return np.zeros((along.shape[1],) * 2)
    V = np.array(vectors)
    H = (V.T * weights) @ V
    H = 0.5 * (H + H.T)
    if not np.isfinite(H).all():
        return None
    values = np.linalg.eigvalsh(H)
    return H if values[0] >= -_SEMIDEFINITE * values[-1] else None


def _is_square(f):
    return isinstance(f, OneColumn) and f.shape.key == Power(2).key


class RegionWalk:
    """From region to region by quadratic programmes, each over all of one region.

    As ``search.walk`` does by linear ones; a step counts if the merit falls.

    Parameters
    ----------
    around : SuccessiveLPs
    x : numpy.ndarray, shape (n_columns,)
        Where it begins.
    price : float
        Of violations.
    deadline : Deadline
    """

    def __init__(self, around, x, price, deadline):
        self.around, self.x = around, x
        self.price, self.deadline = price, deadline

    def solved(self):
        """The point where it ends, or None if it is no better than the first one."""
        rng = np.random.default_rng(0)
        a, best, came_from = self.around, self.x, None
        merit, left, moved = a.merit(best, self.price), _REGIONS, True
        while moved:
            moved = False
            for start in self._starts(best, came_from, rng):
                if self.deadline.passed() or not left:
                    break
                left -= 1
                point = self._best_in_region(start)
                value = np.inf if point is None else a.merit(point, self.price)
                if value < merit - _GAIN * (1.0 + abs(merit)):
                    best, came_from, merit, moved = point, best, value, True
                    break
        return None if best is self.x else best

    def _starts(self, best, came_from, rng):
        """Points of other regions: straight across, then around."""
        free = self.around.free
        if came_from is not None:
            for share in _ACROSS:
                point = best.copy()
                point[free] += share * (best - came_from)[free]
                yield point
        for radius in _RADII:
            point = best.copy()
            point[free] += radius * self.around.width * rng.normal(size=free.size)
            yield point

    def _best_in_region(self, point):
        """The completed solution over the region of a point, or None."""
        a = self.around
        point = a.completed(point)
        tangents = a.tangents(point)
        rows, low, high = [np.zeros((0, a.free.size))], [np.zeros(0)], [np.zeros(0)]
        for f in a.model.functions:
            if isinstance(f, EmbeddedNetwork):
                region = region_rows(f.network, point[f.inputs])
                at = region.rows @ point[f.inputs]
                rows.append(region.rows @ tangents.along[f.inputs])
                low.append(region.lower - at)
                high.append(region.upper - at)
        states = tuple(np.concatenate(part) for part in (rows, low, high))
        step = a.programme.solved(
            tangents, self.price, a.room(point), self.deadline, True, states
        )
        return None if step is None else a.moved(point, step)
