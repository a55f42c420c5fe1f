r"""Copies of neurons in other units, ``v' = s v`` and ``x' = s x``, with which rows are written.

They live on the reformulation and go with it.  Rows ``links`` give the neurons' own Vars
their values, in the network's units; a solver's presolve removes them.
"""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.dependencies import numpy as np

from pyomo_relu.block.records.var_bounds import ends, wide_enough
from pyomo_relu.transform.parts.row_builder import bounded, linear_row

_ROLES = "pre", "post"

#: Of Vars with copies so many times smaller or larger only the copies get bounds.
#: Presolve has to eliminate such Vars: bounds of 1e12 keep Gurobi from that, which then
#: ends at false optima, and by bounds of 1e-12 it takes them for fixed.
_FAR = 2.0**20


class NeuronCopies(AutoSlots.Mixin):
    """The neurons of an encoded network that have copies, with their factors.

    Parameters
    ----------
    rows : RowBuilder
    factors : list of numpy.ndarray, shapes (layer size,)
    """

    __slots__ = ("block", "factors", "reformulation")

    def __init__(self, rows, factors):
        self.block, self.factors = rows.block, factors
        self.reformulation = rows.reformulation

    def make(self, view, protected):
        """The copies, as the columns of a view; bounds as the Vars' and as proven.

        Parameters
        ----------
        view : RowView
            Of the network between the copies.
        protected : set of int
            ids of Vars to which the proven bounds do not apply.
        """
        copies = {role: view.new_columns(f"scaled_{role}") for role in _ROLES}
        view.new_rows("links")
        for (k, i, role), (least, most) in self._limits(view.bounds, protected):
            columns = getattr(view.columns, role)[k]
            if None not in (least, most):
                (low,), (most,) = wide_enough([least], [most])
                # that of a post-activation is one of its rows
                least = least if role == "post" else low
            columns[i] = bounded(copies[role][k, i], least, most)

    def link(self):
        """Rows between copies and Vars; copies that the encoding does without go."""
        new = self.reformulation
        written = new.component("affine") or ()
        for k, i, role in self._keys():
            copies, own = self._containers(role)
            if (k, i) not in written:
                del copies[k, i]
                continue
            s = float(self.factors[k][i])
            # solvers drop coefficients below 1e-9
            coefs = [max(1.0, 1.0 / s), -max(1.0, s)]
            variables = [copies[k, i], own[k, i]]
            new.links[k, i, role] = linear_row(coefs, variables, 0.0, 0.0)

    def far_vars(self):
        """The Vars whose bounds only their copies get."""
        for k, s in enumerate(self.factors):
            for i in np.flatnonzero((s < 1.0 / _FAR) | (s > _FAR)).tolist():
                yield self.block.pre[k, i]
                yield self.block.post[k, i]

    def find(self, var):
        """(copy, offset, factor) of a neuron's Var, or None; see ``unit_copies``."""
        for role in _ROLES:
            copies, own = self._containers(role)
            if var.parent_component() is own and var.index() in copies:
                k, i = var.index()
                return copies[k, i], 0.0, 1.0 / float(self.factors[k][i])
        return None

    def outdated(self, bounds):
        """Why the copies no longer stand for the Vars, or None.

        ``bounds`` are those of the network between the copies.
        """
        for (k, i, role), (lower, upper) in self._limits(bounds):
            copies, own = self._containers(role)
            if (k, i) in copies:
                low, high = ends(copies[k, i])
                if low > lower or high < upper:
                    return f"the bounds of '{own[k, i].name}' were widened"
        return None

    def set_start(self, pre, post):
        """Set the copies to the values that belong to a point."""
        values = {"pre": pre, "post": post}
        for k, i, role in self._keys():
            copies, _ = self._containers(role)
            if (k, i) in copies:
                at = float(self.factors[k][i] * values[role][k][i])
                copies[k, i].set_value(at, skip_validation=True)

    def _containers(self, role):
        """The copies, and the Vars that they are copies of."""
        of = self.block.pre if role == "pre" else self.block.post
        return self.reformulation.component(f"scaled_{role}"), of

    def _keys(self):
        for k, s in enumerate(self.factors):
            at = np.flatnonzero(s != 1.0).tolist()
            for role in _ROLES:
                yield from ((k, i, role) for i in at)

    def _limits(self, bounds, protected=()):
        """((layer, neuron, role), (lower, upper)): the Vars' bounds, and proven ones."""
        inf = float("inf")
        for k, i, role in self._keys():
            var = self._containers(role)[1][k, i]
            s = float(self.factors[k][i])
            lower, upper = (s * limit for limit in ends(var))
            if id(var) not in protected:
                proven = bounds.lower[k], bounds.upper[k]
                proven = bounds.post_bounds(k) if role == "post" else proven
                lower = max(lower, float(proven[0][i]))
                upper = min(upper, float(proven[1][i]))
            yield (
                (k, i, role),
                (None if lower == -inf else lower, None if upper == inf else upper),
            )
