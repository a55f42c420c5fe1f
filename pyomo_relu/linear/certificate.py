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

import numpy as np
from scipy import sparse

from pyomo_relu.linear.rounding import gamma
from pyomo_relu.network.layer import INPUT

#: Error bounds are themselves computed in float64; this covers their rounding.
_MARGIN = 1.0 + 1e-6
_TINY = 1e-300


class Certifier:
    """Evaluates safe bounds over one linear model.

    Parameters
    ----------
    model : LinearModel
        Columns with infinite bounds are allowed; they must get a multiplier residual of
        the right sign (or zero) for a finite bound.
    """

    def __init__(self, model):
        self.model = model
        self._transposed = sparse.csr_array(model.matrix.T)
        self._absolute = abs(self._transposed)
        longest = np.diff(self._transposed.indptr).max(initial=0)
        self._gamma_column = gamma(int(longest) + 3)
        self._unboxed = ~(np.isfinite(model.lower) & np.isfinite(model.upper))
        self._gamma_sum = gamma(model.n_rows + model.n_columns + 3)

    def project(self, duals):
        """Multipliers with the wrong sign for a one-sided row set to zero.

        Parameters
        ----------
        duals : array_like, shape (K, m)
        """
        y = np.array(duals, dtype=float, ndmin=2)
        y[~np.isfinite(y)] = 0.0
        wrong = (y > 0) & ~np.isfinite(self.model.row_lower)
        wrong |= (y < 0) & ~np.isfinite(self.model.row_upper)
        y[wrong] = 0.0
        return y

    def residuals(self, costs, duals):
        """``c - A'y`` and a bound on its rounding error, both (K, n).

        Parameters
        ----------
        costs : numpy.ndarray, shape (K, n)
        duals : numpy.ndarray, shape (K, m), projected
        """
        y = duals.T
        d = costs - (self._transposed @ y).T
        size = np.abs(costs) + (self._absolute @ np.abs(y)).T
        error = _MARGIN * self._gamma_column * size
        for j in np.flatnonzero(self._unboxed):
            for i in np.flatnonzero(np.abs(d[:, j]) <= error[:, j]):
                # Without a box only an exact zero proves anything.
                exact = self._exact_residual(costs[i, j], duals[i], j)
                if exact == 0:
                    d[i, j] = error[i, j] = 0.0
        return d, error

    def _exact_residual(self, cost, duals, j):
        at = slice(self._transposed.indptr[j], self._transposed.indptr[j + 1])
        rows, a = self._transposed.indices[at], self._transposed.data[at]
        used = duals[rows] != 0
        terms = zip(a[used].tolist(), duals[rows[used]].tolist(), strict=True)
        return Fraction(float(cost)) - sum(Fraction(p) * Fraction(q) for p, q in terms)

    def row_terms(self, duals):
        """``min(y_i rl_i, y_i ru_i)`` per row, (K, m)."""
        side = np.where(duals > 0, self.model.row_lower, self.model.row_upper)
        return duals * np.where(duals == 0, 0.0, side)

    def lower_bounds(self, costs, duals):
        """Proven lower bounds of ``min c'x``, one per row of ``costs``.

        Parameters
        ----------
        costs : numpy.ndarray, shape (K, n)
        duals : array_like, shape (K, m)
            Any numbers; the closer to the optimal row duals of the minimisation
            (HiGHS' sign convention), the tighter the bound.

        Returns
        -------
        numpy.ndarray, shape (K,)
            ``-inf`` where nothing is proven.
        """
        y = self.project(duals)
        with np.errstate(over="ignore", invalid="ignore"):
            d, error = self.residuals(costs, y)
            rows = self.row_terms(y)
            # The true residual lies in [d - error, d + error]: the smallest product
            # over that interval and the box is attained at one of four corners.
            low, high = d - error, d + error
            lower, upper = self.model.lower, self.model.upper
            columns = np.minimum(
                np.minimum(_product(low, lower), _product(high, lower)),
                np.minimum(_product(low, upper), _product(high, upper)),
            )
            # One more rounding in d -+ error and in each product.
            size = np.abs(rows).sum(axis=1) + np.abs(columns).sum(axis=1)
            slack = _MARGIN * ((self._gamma_sum + gamma(4)) * size + _TINY)
            bound = rows.sum(axis=1) + columns.sum(axis=1) - slack
        return np.where(np.isfinite(bound), bound, -np.inf)

    def proves_infeasible(self, ray):
        """True if the multipliers ``ray`` prove that the model has no point.

        With zero costs every feasible point has objective 0; a proven lower bound
        above 0 leaves none (Farkas).  Both signs are tried: solvers disagree on them.
        """
        if ray is None:
            return False
        ray = np.asarray(ray, dtype=float)
        if ray.shape != (self.model.n_rows,) or not np.any(np.isfinite(ray)):
            return False
        largest = np.abs(ray[np.isfinite(ray)]).max()
        if not largest > 0:
            return False
        both = np.array([ray, -ray]) / largest
        zero = np.zeros((2, self.model.n_columns))
        return bool(np.any(self.lower_bounds(zero, both) > 0))


def _product(d, bound):
    """``d * bound`` with 0 * inf = 0."""
    finite = np.isfinite(bound)
    if np.all(finite):
        return d * bound
    product = d * np.where(finite, bound, 0.0)
    part = d[:, ~finite]
    product[:, ~finite] = np.where(part == 0, 0.0, np.sign(part) * bound[~finite])
    return product


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
        errors.append(_MARGIN * (carried + gamma(length) * size) + _TINY)
    return errors
