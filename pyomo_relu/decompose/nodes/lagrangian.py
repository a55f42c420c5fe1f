r"""Bounds proven from any multipliers of rows and links.

With multipliers y of the rows and pi_k of what links part k's copies to the columns,

    min c x  >=  sum_i min(y_i l_i, y_i u_i) + sum_j min over the box of d_j x_j
                 + sum_k min { pi_k . (x, f_k(x)) : x in part k's boxes },
    d = c - A'y - sum_k pi_k,

as in ``linear.certificate``, whose rounding is used: the links are rows ``x_j = copy``,
and the subproblems' proven values are a constant.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.box_rows import BoxRows
from pyomo_relu.linear.rounding import rounding


class Lagrangian:
    """Dual bounds of a linear model with linked parts.

    Parameters
    ----------
    linear : LinearModel
    link_columns : numpy.ndarray of int, shape (n_links,)
    """

    def __init__(self, linear, link_columns):
        m = link_columns.size
        pick = sparse.csr_array(
            (np.ones(m), (np.arange(m), link_columns)), shape=(m, linear.n_columns)
        )
        none = np.zeros(m)
        extended = linear.replace(
            matrix=sparse.vstack([linear.matrix, pick], format="csr"),
            row_lower=np.concatenate([linear.row_lower, none]),
            row_upper=np.concatenate([linear.row_upper, none]),
        )
        self._rows = BoxRows.of_model(extended)
        self.integer = linear.integer

    def bound(self, costs, constant, duals, values, lower, upper):
        """Proven lower bound of ``costs x + constant``.

        Parameters
        ----------
        costs : numpy.ndarray, shape (n,)
        constant : float
        duals : numpy.ndarray, shape (n_rows + n_links,)
        values : numpy.ndarray, shape (n_parts,)
            Proven least values of the subproblems.
        lower, upper : numpy.ndarray, shape (n,)
        """
        if not np.isfinite(values).all():
            return np.inf if np.any(values == np.inf) else -np.inf
        total = values.sum() + constant
        size = np.abs(values).sum() + abs(constant)
        total -= rounding(size, operations=values.size + 1)
        args = costs[None], np.array([total]), duals[None], lower[None], upper[None]
        return float(self._rows.dual_bounds(*args)[0])

    def shrink(self, costs, duals, bound, cutoff, lower, upper):
        """Shrink a box of columns to where the bound is below ``cutoff``, in place."""
        self._rows.tighten_by_duals(
            costs[None],
            duals[None],
            np.array([bound]),
            cutoff,
            lower[None],
            upper[None],
            self.integer,
        )


def improvable(bounds, values, bound, cutoff):
    """Which boxes may hold a point of less than ``cutoff``.

    ``bound + (bounds - values)`` is the Lagrangian bound with the part kept in one box.

    Parameters
    ----------
    bounds : numpy.ndarray, shape (B,)
        Proven least values of a subproblem on each box.
    values : numpy.ndarray, shape (B,)
        Its proven least value that ``bound`` was made with.
    bound, cutoff : float
    """
    with np.errstate(invalid="ignore"):
        apart = bound + (bounds - values)
        apart -= rounding(bound, bounds, values, operations=4)
    return ~(apart >= cutoff)
