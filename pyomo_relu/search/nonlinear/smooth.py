"""Sequential quadratic programmes from a feasible point of a model with functions.

SciPy's SLSQP over the columns that move; networks count by the gradients of the regions
at the points it comes to.
"""

import numpy as np

#: Most sequential quadratic programmes, and how far they may move a column, in widths.
_QUADRATIC, _FURTHEST = 40, 10.0

#: More columns than this take longer than they are worth: its matrices are dense.
_MOST = 300

#: Coefficients along all columns under which a row says nothing about them.
_NOTHING = 1e-12


class _TimeOver(Exception):
    """The deadline has passed within a call of SLSQP."""


class Smooth:
    """The model around a point as SLSQP wants it, columns relative to their widths.

    Parameters
    ----------
    around : SuccessiveLPs
    x : numpy.ndarray, shape (n_columns,)
    deadline : Deadline
    """

    def __init__(self, around, x, deadline):
        self.around, self.x, self.deadline = around, x, deadline
        self._at = self._slopes = None
        low, high = around.low, around.high
        rows = np.abs(self._tangents(np.zeros(around.free.size))[1])
        # names of sums say nothing once they are computed
        says = rows.max(axis=1, initial=0.0) > _NOTHING
        low, high = np.where(says, low, -np.inf), np.where(says, high, np.inf)
        equal = low == high
        sides = (equal, 1.0, low), (np.isfinite(low) & ~equal, 1.0, low)
        self._sides = (*sides, (np.isfinite(high) & ~equal, -1.0, high))

    def _point(self, step):
        """All columns after a step, and the values of all rows."""
        key = step.tobytes()
        if self._at is None or self._at[0] != key:
            if self._at is not None and self.deadline.passed():
                raise _TimeOver
            a = self.around
            x = self.x.copy()
            x[a.free] = np.clip(
                x[a.free] + a.width * step, a.lower[a.free], a.upper[a.free]
            )
            x = a.model.complete(x, keep=a.free)
            self._at = key, x, a.values(np.nan_to_num(x))
        return self._at[1:]

    def _tangents(self, step):
        """Costs and rows along the columns that move, after a step."""
        key = step.tobytes()
        if self._slopes is None or self._slopes[0] != key:
            a = self.around
            x, _ = self._point(step)
            costs, rows, _ = a.linearised(np.nan_to_num(x))
            self._slopes = key, costs * a.width, rows * a.width
        return self._slopes[1:]

    def solved(self):
        """The point that SLSQP ends at, or None."""
        from scipy.optimize import minimize

        a, x = self.around, self.x
        equations = int(self._sides[0][0].sum())
        if a.free.size > _MOST or equations >= a.free.size:
            return None
        width = np.maximum(a.width, 1e-300)
        lower = (a.lower[a.free] - x[a.free]) / width
        upper = (a.upper[a.free] - x[a.free]) / width
        # a column without ends must not run away: points far out are no use as cutoffs
        lower, upper = np.maximum(lower, -_FURTHEST), np.minimum(upper, _FURTHEST)
        lower[a._integer] = upper[a._integer] = 0.0
        constraints = [
            {
                "type": "ineq" if k else "eq",
                "fun": lambda t, w=which, s=sign, e=side: (
                    s * (self._point(t)[1] - e)[w]
                ),
                "jac": lambda t, w=which, s=sign: s * self._tangents(t)[1][w],
            }
            for k, (which, sign, side) in enumerate(self._sides)
            if which.any()
        ]
        try:
            found = minimize(
                lambda t: float(a.model.objective(self._point(t)[0])),
                np.zeros(a.free.size),
                jac=lambda t: self._tangents(t)[0],
                method="SLSQP",
                bounds=list(
                    zip(np.minimum(lower, 0.0), np.maximum(upper, 0.0), strict=True)
                ),
                constraints=constraints,
                options={"maxiter": _QUADRATIC, "ftol": 1e-10},
            )
            new = self._point(np.asarray(found.x))[0]
        except _TimeOver:
            return None
        return new if np.isfinite(new).all() else None
