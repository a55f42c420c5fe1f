"""What bounds that used the modeller's constraints rest on, and whether it still holds.

A bound proven with a constraint is void once the modeller relaxes that constraint.
"""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.collections import ComponentSet
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Constraint, Objective
from pyomo.core.expr.visitor import identify_mutable_parameters, identify_variables

from pyomo_relu.block.records.var_bounds import ends
from pyomo_relu.common.model_reading import ModelReading
from pyomo_relu.model.declared_bounds import declared_bounds, declared_sides
from pyomo_relu.model.surrounding import in_force, read_surrounding


class ModelConditions(AutoSlots.Mixin):
    """What whole-model bounds were proven with: rows, Vars and networks of a model.

    Rows are kept with the values that Params and fixed Vars had in them; Vars with the
    bounds that they had, their domains' included, and integrality.

    Parameters
    ----------
    model : Block
        The model that was read.
    surrounding : Surrounding
        As it was before anything was tightened.
    objective_cutoff : float, optional
        Objective value beyond which points did not count.
    """

    __slots__ = (
        "blocks",
        "columns",
        "integer",
        "model",
        "networks",
        "objective",
        "others",
        "rows",
    )

    def __init__(self, model, surrounding, objective_cutoff=None):
        self.model = model
        self.blocks = list(surrounding.blocks)
        self.networks = [block.encoded_network for block in self.blocks]
        self.integer = self._integer(surrounding)
        self.rows = self._rows(surrounding)
        self.columns = self._columns(surrounding)
        self.objective = self.others = None
        if objective_cutoff is not None:
            self.objective = self._objective(surrounding)
            self.others = self._others(surrounding)

    def violated(self, assume_fixed_vars_permanent=True, reading=None):
        """What no longer holds, as text for a message; None if all still does.

        Added rows, tighter Var bounds and domains only make the feasible set smaller,
        so they leave the bounds valid; but with an objective cutoff they may cut off
        the known solution, and nothing that was proven with it holds then.  The model
        is read once per ``reading``, a ModelReading.
        """
        reading = reading or ModelReading()
        return reading.answer(self, self._violated, bool(assume_fixed_vars_permanent))

    def changed(self, assume_fixed_vars_permanent=True, reading=None):
        """What is not as it was, restrictions included, as text; None if all is."""
        reading = reading or ModelReading()
        return reading.answer(
            self, self._violated, bool(assume_fixed_vars_permanent), True
        )

    def _violated(self, assume_fixed_vars_permanent, restrictions_too=False):
        for block, network in zip(self.blocks, self.networks, strict=True):
            if not in_force(block):
                return f"network block '{block.name}' was deactivated"
            if block.encoded_network != network:
                return f"the function of network block '{block.name}' was changed"
        now = read_surrounding(self.model, self.blocks, assume_fixed_vars_permanent)
        rows = self._rows(now)
        gone = self.rows.keys() - rows.keys()
        if gone:
            return f"constraint '{self.rows[min(gone)]}' was changed or removed"
        present, integer = self._columns(now), self._integer(now)
        for name, (lower, upper) in self.columns.items():
            low, high = present.get(name, (-np.inf, np.inf))
            if low < lower or high > upper:
                return f"the bounds of '{name}' were widened"
        relaxed = self.integer - integer
        if relaxed:
            return f"the domain of '{min(relaxed)}' was changed"
        if self.objective is None:
            return self._restricted(now, rows, integer) if restrictions_too else None
        if self._objective(now) != self.objective:
            return "the objective was changed, to which the objective cutoff belongs"
        restricted = self._restricted(now, rows, integer)
        others = self._others(now) if restricted is None else {}
        for name in others:
            if others[name] != self.others.get(name):
                restricted = f"'{name}' was changed or added"
        if restricted is None:
            return None
        return f"{restricted} (the solution behind the objective cutoff may violate it)"

    def _restricted(self, now, rows, integer):
        """What makes the feasible set smaller than it was, or None."""
        added = rows.keys() - self.rows.keys()
        if added:
            return f"constraint '{rows[min(added)]}' was added"
        declared = declared_bounds(now)
        tighter = [
            self._name(name)
            for name, low, high in zip(now.linear.names, *declared, strict=True)
            if self._narrower(self._name(name), low, high)
        ]
        tighter += integer - self.integer
        if tighter:
            return f"the bounds or domain of '{min(tighter)}' became tighter"
        return None

    def _narrower(self, name, low, high):
        lower, upper = self.columns.get(name, (-np.inf, np.inf))
        return low > lower or high < upper

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
            terms = tuple(sorted(zip(names, matrix.data[at].tolist(), strict=True)))
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
        return surrounding.maximise, float(surrounding.embedded.constant), tuple(terms)

    def _integer(self, surrounding):
        """Names of the columns that take integer values."""
        linear = surrounding.linear
        return {
            self._name(linear.names[j]) for j in np.flatnonzero(linear.integer).tolist()
        }

    def _others(self, surrounding):
        """{name: what it demands} of all that linear rows and columns do not say.

        Neurons as the modeller restricted them, and nonlinear or logical components.
        """
        sides = declared_sides(self.blocks[0].model())
        variables, found = ComponentSet(), {}
        for block in self.blocks:
            variables.update(block.pre.values())
            variables.update(block.post.values())
        for component in surrounding.left_out:
            text = values = ""
            if component.ctype in (Constraint, Objective):
                text = str(component.expr)
                parameters = identify_mutable_parameters(component.expr)
                values = [p.value for p in parameters]
                variables.update(identify_variables(component.expr))
            found[self._name(component.name)] = text, values
        for var in variables:
            end = (var.value, var.value) if var.fixed else ends(var, sides)
            found[self._name(var.name)] = end, str(var.domain)
        return found

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
