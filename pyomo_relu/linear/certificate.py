"""Bounds proven from dual multipliers in floating point.

For ``min c'x`` over ``rl <= A x <= ru, l <= x <= u`` any multipliers y give

    c'x  =  y'(A x) + (c - A'y)'x
         >=  sum_i min(y_i rl_i, y_i ru_i) + sum_j min(d_j l_j, d_j u_j),   d = c - A'y,

whatever their origin, so a solver's rounding, tolerances and mistakes can make the
bound weak but never wrong (Neumaier and Shcherbina, Safe bounds in linear and
mixed-integer linear programming, Math. Program. 99, 2004).  The floating-point error of
evaluating the right-hand side is bounded a priori and subtracted.
"""

from fractions import Fraction
from functools import partial

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense
from pyomo_relu.linear.rounding import NEGLIGIBLE, gamma
from pyomo_relu.network.layer import INPUT

#: Error bounds are themselves computed in float64; this covers their rounding.
_MARGIN = 1.0 + 1e-6

#: Matrices of at most so many entries, zeros among them, are dense: a product of sparse
#: ones takes longer to begin.
_DENSE = 100_000

#: Smaller multipliers are left out: their products underflow, and prove nothing.
LEAST_DUAL = 1e-100


def usable_duals(duals, row_lower, row_upper):
    """Multipliers without those of sides that do not exist, and without NaN.

    Parameters
    ----------
    duals : array_like, shape (K, m)
    row_lower, row_upper : numpy.ndarray, shape (m,) or (K, m)
    """
    y = np.array(duals, dtype=float, ndmin=2)
    y[~(np.isfinite(y) & (np.abs(y) >= LEAST_DUAL))] = 0.0
    y[(y > 0) & ~np.isfinite(row_lower)] = 0.0
    y[(y < 0) & ~np.isfinite(row_upper)] = 0.0
    return y


def residual_error(size, longest):
    """Bound on the rounding error of ``c - A'y`` with up to ``longest`` products.

    ``size`` is ``|c| + |A'| |y|``.
    """
    return _MARGIN * gamma(longest + 3) * size


def residual_ends(d, error, endless, exact):
    """Least and largest value that each residual ``c - A'y`` may truly have.

    Parameters
    ----------
    d, error : numpy.ndarray, shape (K, n)
        Computed residuals and bounds on their rounding errors.
    endless : numpy.ndarray of bool, shape (n,) or (K, n)
        Columns without a box: on them only the sign proves anything.
    exact : callable
        ``exact(k, j)`` gives a residual as a Fraction.
    """
    low, high = d - error, d + error
    for k, j in np.argwhere(endless & (np.abs(d) <= error) & (error > 0)):
        residual = exact(k, j)
        if residual >= 0:
            low[k, j] = 0.0
        if residual <= 0:
            high[k, j] = 0.0
    return low, high


def exact_residual(cost, coefficients, duals):
    """``cost - coefficients . duals`` as a Fraction."""
    used = duals != 0
    terms = zip(coefficients[used].tolist(), duals[used].tolist(), strict=True)
    return Fraction(float(cost)) - sum(Fraction(a) * Fraction(y) for a, y in terms)


def dual_bounds(residuals, duals, rows, box, constants=0.0):
    """Proven lower bounds of ``min c'x + constant``, shape (K,); -inf for nothing.

    Parameters
    ----------
    residuals : pair of numpy.ndarray, shape (K, n)
        See ``residual_ends``.
    duals : numpy.ndarray, shape (K, m)
        Usable ones.
    rows, box : pairs of numpy.ndarray, shapes (m,) or (K, m), (n,) or (K, n)
        Lower and upper sides of the rows, and bounds of the columns.
    constants : numpy.ndarray, shape (K,), or float
    """
    terms = duals * np.where(duals == 0, 0.0, np.where(duals > 0, *rows))
    # Over the interval of the residual and the box the smallest product is attained
    # at one of four corners.
    columns = None
    for end in box:
        for d in residuals:
            product = _product(d, end)
            columns = product if columns is None else np.minimum(columns, product)
    size = np.abs(terms).sum(axis=1) + np.abs(columns).sum(axis=1) + np.abs(constants)
    # Beside the sums, one rounding in each end of a residual and in each product.
    n = terms.shape[1] + columns.shape[1]
    error = _MARGIN * ((gamma(n + 4) + gamma(4)) * size + NEGLIGIBLE)
    bound = terms.sum(axis=1) + columns.sum(axis=1) + constants - error
    return np.where(np.isfinite(bound), bound, -np.inf)


def proven_empty(rays, bounds_at):
    """Which multipliers prove that there is no point, shape (K,).

    With zero costs every feasible point has objective 0; a proven lower bound above 0
    leaves none (Farkas).  Both signs are tried: solvers disagree on them.

    Parameters
    ----------
    rays : numpy.ndarray, shape (K, m)
    bounds_at : callable
        Dual bounds at zero costs and given multipliers.
    """
    rays = np.where(np.isfinite(rays), rays, 0.0)
    largest = np.abs(rays).max(axis=1, initial=0.0)[:, None]
    rays = rays / np.where(largest > 0, largest, 1.0)
    return (bounds_at(rays) > 0) | (bounds_at(-rays) > 0)


class Certifier:
    """Evaluates safe bounds over one linear model, for many costs at once.

    ``BoxRows`` does over many boxes, each with its own coefficients; one matrix is
    shared here, so that products are those of sparse matrices.

    Parameters
    ----------
    model : LinearModel
        Columns with infinite bounds are allowed; they must get a multiplier residual of
        the right sign (or zero) for a finite bound.
    """

    def __init__(self, model):
        matrix = model.matrix
        small = matrix.shape[0] * matrix.shape[1] <= _DENSE
        self.transposed = matrix.toarray().T if small else sparse.csr_array(matrix.T)
        self._absolute = abs(self.transposed)
        self._counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self._longest = int(self._counts.max(initial=0))
        self.rows = model.row_lower, model.row_upper
        self.box = model.lower, model.upper
        self._endless = ~(np.isfinite(model.lower) & np.isfinite(model.upper))

    def add(self, matrix, lower, upper):
        """Count further rows, behind the others; matrix is a csr_array."""
        more = matrix.T
        if sparse.issparse(self.transposed):
            join = partial(sparse.hstack, format="csr")
        else:
            join, more = np.hstack, more.toarray()
        self.transposed = join([self.transposed, more])
        self._absolute = join([self._absolute, abs(more)])
        self._counts += np.bincount(matrix.indices, minlength=self._counts.size)
        self._longest = int(self._counts.max(initial=0))
        sides = zip(self.rows, (lower, upper), strict=True)
        self.rows = tuple(np.concatenate(side) for side in sides)

    def project(self, duals):
        """Multipliers of sides that exist, (K, m); see ``usable_duals``."""
        return usable_duals(duals, *self.rows)

    def residuals(self, costs, duals):
        """Ends of ``c - A'y``, both (K, n); see ``residual_ends``.

        Parameters
        ----------
        costs : numpy.ndarray, shape (K, n)
        duals : numpy.ndarray, shape (K, m), projected
        """
        y = duals.T
        d = costs - (self.transposed @ y).T
        size = np.abs(costs) + (self._absolute @ np.abs(y)).T

        def exact(k, j):
            column = dense(self.transposed[[j]])[0]
            rows = np.flatnonzero(column)
            return exact_residual(costs[k, j], column[rows], duals[k, rows])

        error = residual_error(size, self._longest)
        return residual_ends(d, error, self._endless, exact)

    def lower_bounds(self, costs, duals, box=None):
        """Proven lower bounds of ``min c'x``, one per row of ``costs``.

        Parameters
        ----------
        costs : numpy.ndarray, shape (K, n)
        duals : array_like, shape (K, m)
            Any numbers; the closer to the optimal row duals of the minimisation
            (HiGHS' sign convention), the tighter the bound.
        box : pair of numpy.ndarray, shapes (n,), optional
            Other bounds of the columns, finite where the model's are.

        Returns
        -------
        numpy.ndarray, shape (K,)
            ``-inf`` where nothing is proven.
        """
        y = self.project(duals)
        with np.errstate(over="ignore", invalid="ignore"):
            residuals = self.residuals(costs, y)
            box = self.box if box is None else box
            return dual_bounds(residuals, y, self.rows, box)

    def proves_infeasible(self, ray, box=None):
        """True if the multipliers ``ray`` prove that the model, or a box, has no point."""
        if np.shape(ray) != self.rows[0].shape:
            return False
        zero = np.zeros((1, self._counts.size))
        ray = np.asarray(ray, dtype=float)[None]
        return bool(proven_empty(ray, lambda y: self.lower_bounds(zero, y, box))[0])


def _product(d, bound):
    """``d * bound`` with 0 * inf = 0."""
    endless = np.isinf(bound)
    if not endless.any():
        return d * bound
    product = d * np.where(endless, 0.0, bound)
    return np.where(endless & (d != 0), np.sign(d) * bound, product)


def evaluation_errors(network, bounds):
    """Bounds on the float64 rounding error of evaluating each pre-activation.

    ``e^k = |W| e^(k-1) + gamma (|W| |t|max + |b|)`` with the sources' largest values.
    A bound widened by it holds for the network as computed, not only as defined.

    Returns
    -------
    list of numpy.ndarray, shapes (layer size,)
    """
    errors = []
    for _k, layer in enumerate(network.layers):
        length = 2 + sum(w.shape[1] for w in layer.weights) + len(layer.weights)
        size = np.abs(layer.bias)
        carried = np.zeros(layer.size)
        for (source, post), w in zip(layer.sources, layer.weights, strict=True):
            if source == INPUT:
                ends = bounds.input_lower, bounds.input_upper
                error = np.zeros(network.n_inputs)
            else:
                ends = bounds.lower[source], bounds.upper[source]
                if post:
                    ends = bounds.post_bounds(source)
                error = errors[source]
            largest = np.maximum(np.abs(ends[0]), np.abs(ends[1])) + error
            absolute = abs(w)
            size = size + absolute @ largest
            carried = carried + absolute @ error
        errors.append(_MARGIN * (carried + gamma(length) * size) + NEGLIGIBLE)
    return errors
