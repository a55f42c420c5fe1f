"""What bounds that used the modeller's constraints rest on, and whether it still holds.

A bound proven with a constraint is void once the modeller relaxes that constraint.
"""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.dependencies import numpy as np

from pyomo_relu.surrounding import read_surrounding


class ModelConditions(AutoSlots.Mixin):
    """The linear rows and Var bounds on which whole-model bounds were proven.

    Parameters
    ----------
    model : Block
        The model that was read.
    surrounding : Surrounding
        As it was before anything was tightened.
    objective_cutoff : float, optional
        Objective value beyond which points did not count.
    """

    __slots__ = ("blocks", "columns", "model", "objective", "rows")

    def __init__(self, model, surrounding, objective_cutoff=None):
        self.model = model
        self.blocks = list(surrounding.blocks)
        self.rows = _rows(surrounding)
        self.columns = _columns(surrounding)
        self.objective = None if objective_cutoff is None else _objective(surrounding)

    def violated(self, assume_fixed_vars_permanent=True):
        """What no longer holds, as text for a message; None if all still does.

        Added rows and tighter Var bounds only make the feasible set smaller, so they
        leave the bounds valid.
        """
        for block in self.blocks:
            if not _in_force(block):
                return f"network block '{block.name}' was deactivated"
        now = read_surrounding(self.model, self.blocks, assume_fixed_vars_permanent)
        gone = set(self.rows) - set(_rows(now))
        if gone:
            return f"constraint '{self.rows[min(gone)]}' was changed or removed"
        if self.objective is not None and _objective(now) != self.objective:
            return "the objective was changed, to which the objective cutoff belongs"
        present = _columns(now)
        for name, (lower, upper) in self.columns.items():
            low, high = present.get(name, (lower, upper))
            if low < lower or high > upper:
                return f"the bounds of '{name}' were widened"
        return None


def _in_force(block):
    while block is not None:
        if not block.active:
            return False
        block = block.parent_block()
    return True


def _rows(surrounding):
    """{(terms, lower, upper): a column name for messages} of all rows."""
    linear, rows = surrounding.linear, {}
    matrix = linear.matrix
    for i in range(matrix.shape[0]):
        at = slice(matrix.indptr[i], matrix.indptr[i + 1])
        names = [linear.names[j] for j in matrix.indices[at]]
        terms = tuple(sorted(zip(names, matrix.data[at].tolist())))
        key = (terms, float(linear.row_lower[i]), float(linear.row_upper[i]))
        rows[key] = surrounding.row_names[i]
    return rows


def _objective(surrounding):
    """Sense, constant and terms of the linear objective; None if there is none."""
    if surrounding.costs is None:
        return None
    names, costs = surrounding.linear.names, surrounding.costs
    terms = sorted((names[j], float(costs[j])) for j in np.flatnonzero(costs).tolist())
    return surrounding.maximise, float(surrounding.cost_constant), tuple(terms)


def _columns(surrounding):
    linear = surrounding.linear
    finite = np.isfinite(linear.lower) | np.isfinite(linear.upper)
    return {
        linear.names[j]: (float(linear.lower[j]), float(linear.upper[j]))
        for j in np.flatnonzero(finite).tolist()
    }
