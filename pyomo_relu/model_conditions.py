"""What bounds that used the modeller's constraints rest on, and whether it still holds.

A bound proven with a constraint is void once the modeller relaxes that constraint.
"""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.dependencies import numpy as np

from pyomo_relu.model_reading import answer_once
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
        self.rows = self._rows(surrounding)
        self.columns = self._columns(surrounding)
        self.objective = None
        if objective_cutoff is not None:
            self.objective = self._objective(surrounding)

    def violated(self, assume_fixed_vars_permanent=True):
        """What no longer holds, as text for a message; None if all still does.

        Added rows and tighter Var bounds only make the feasible set smaller, so they
        leave the bounds valid.  Within ``model_read_once`` the model is read once.
        """
        return answer_once(self, self._violated, bool(assume_fixed_vars_permanent))

    def _violated(self, assume_fixed_vars_permanent):
        for block in self.blocks:
            if not _in_force(block):
                return f"network block '{block.name}' was deactivated"
        now = read_surrounding(self.model, self.blocks, assume_fixed_vars_permanent)
        gone = set(self.rows) - set(self._rows(now))
        if gone:
            return f"constraint '{self.rows[min(gone)]}' was changed or removed"
        if self.objective is not None and self._objective(now) != self.objective:
            return "the objective was changed, to which the objective cutoff belongs"
        present = self._columns(now)
        for name, (lower, upper) in self.columns.items():
            low, high = present.get(name, (-np.inf, np.inf))
            if low < lower or high > upper:
                return f"the bounds of '{name}' were widened"
        return None

    def _name(self, name):
        """Names as the model itself has them, so that its clones match."""
        prefix = f"{self.model.name}."
        return name[len(prefix) :] if name.startswith(prefix) else name

    def _rows(self, surrounding):
        """{(terms, lower, upper): a column name for messages} of all rows."""
        linear, rows = surrounding.linear, {}
        matrix = linear.matrix
        for i in range(matrix.shape[0]):
            at = slice(matrix.indptr[i], matrix.indptr[i + 1])
            names = [self._name(linear.names[j]) for j in matrix.indices[at]]
            terms = tuple(sorted(zip(names, matrix.data[at].tolist())))
            key = (terms, float(linear.row_lower[i]), float(linear.row_upper[i]))
            rows[key] = surrounding.row_names[i]
        return rows

    def _objective(self, surrounding):
        """Sense, constant and terms of the linear objective; None if there is none."""
        if surrounding.costs is None:
            return None
        costs = surrounding.costs
        names = [self._name(name) for name in surrounding.linear.names]
        terms = sorted(
            (names[j], float(costs[j])) for j in np.flatnonzero(costs).tolist()
        )
        return surrounding.maximise, float(surrounding.cost_constant), tuple(terms)

    def _columns(self, surrounding):
        linear = surrounding.linear
        finite = np.isfinite(linear.lower) | np.isfinite(linear.upper)
        return {
            self._name(linear.names[j]): (
                float(linear.lower[j]),
                float(linear.upper[j]),
            )
            for j in np.flatnonzero(finite).tolist()
        }


def _in_force(block):
    while block is not None:
        if not block.active:
            return False
        block = block.parent_block()
    return True
