"""The record of what a formulation added to one network block."""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.dependencies import numpy as np
from pyomo.core.base.block import Block
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.set_types import Any, Binary
from pyomo.core.base.var import Var
from pyomo.core.expr.numeric_expr import LinearExpression
from pyomo.gdp import Disjunct

from pyomo_relu.block.applications import next_stamp
from pyomo_relu.block.rows import NetworkColumns
from pyomo_relu.block.var_bounds import TightenedVars
from pyomo_relu.common.transaction import on_rollback
from pyomo_relu.common.wording import counted


class Encoding(AutoSlots.Mixin):
    """Rows, indicators and bounds with which a formulation replaced activation rows.

    Everything new lives on ``reformulation``, a block that is attached to the network
    block only when it is complete: ``rows[layer, neuron, label]``,
    ``indicator[layer, neuron]`` and, for clipped neurons,
    ``ceiling_indicator[layer, neuron]``.

    Parameters
    ----------
    formulation : type
        The transformation class; knows how to set a MIP start.
    block : ReLUNetworkBlockData
    bounds : NeuronBounds
        The bounds that the big-M coefficients were taken from.
    """

    __slots__ = (
        "application",
        "block",
        "bounds",
        "columns",
        "conditions",
        "copied",
        "details",
        "formulation",
        "given",
        "reformulation",
        "replaced",
        "rewritten",
        "saved",
        "stamp",
        "units",
    )

    def __init__(self, formulation, block, bounds):
        self.formulation = formulation
        self.block = block
        self.bounds = bounds
        self.columns = NetworkColumns(block)
        self.conditions = block.record.conditions()
        self.application = self.stamp = None  # until it is attached
        self.given = {}
        self.saved = TightenedVars()
        self.replaced = list(block.activation.values())
        self.details = {}
        self.units = None  # of its ends, where they are copies in unit range
        self.copied = None
        self.rewritten = None
        self.reformulation = Block(concrete=True)
        self.reformulation.indicator = Var(Any, domain=Binary, dense=False)
        self.reformulation.ceiling_indicator = Var(Any, domain=Binary, dense=False)
        self.reformulation.rows = Constraint(Any)

    # -- what formulations call ----------------------------------------------------

    @property
    def network(self):
        """The network that is encoded: the block's, unless its function was changed."""
        return self.bounds.network

    def new_indicator(self, k, i):
        """Binary z of neuron (k, i): 1 if it is active."""
        return self.reformulation.indicator[k, i]

    def new_ceiling_indicator(self, k, i):
        """Binary q of neuron (k, i): 1 if it is at its ceiling."""
        return self.reformulation.ceiling_indicator[k, i]

    def add_row(self, key, coefs, variables, lower=None, upper=None):
        """Add ``lower <= sum coefs * variables <= upper`` as ``rows[key]``.

        ``key`` is (layer, neuron, label); coefficients must be Python floats.
        """
        expr = LinearExpression(linear_coefs=coefs, linear_vars=variables)
        if lower == upper:
            self.reformulation.rows[key] = (expr, lower)
        else:
            self.reformulation.rows[key] = (lower, expr, upper)

    def encode_stable(self, k):
        """Rows for layer k's stable neurons; returns the unstable neurons' numbers."""
        bounds, ceiling = self.bounds, self.network.layers[k].ceiling
        active, at_ceiling = bounds.active(k), bounds.at_ceiling(k)
        pre, post = self.columns.pre[k], self.columns.post[k]
        for i in np.flatnonzero(bounds.stable(k)).tolist():
            if active[i]:
                self.add_row((k, i, "active"), [1.0, -1.0], [post[i], pre[i]], 0.0, 0.0)
            else:
                level = float(ceiling[i]) if at_ceiling[i] else 0.0
                label = "at_ceiling" if at_ceiling[i] else "inactive"
                self.add_row((k, i, label), [1.0], [post[i]], level, level)
        return np.flatnonzero(bounds.unstable(k)).tolist()

    # -- attaching and removing ----------------------------------------------------

    def attach(self, name, protected, application):
        """Put everything in force: the block's model changes here and only here.

        ``protected`` holds ids of Vars whose bounds stay as they are; ``application``
        is the Application that it belongs to.
        """
        self.replaced = [row for row in self.replaced if row.active]
        on_rollback(self._take_off)
        self.block.add_component(name, self.reformulation)
        for row in self.replaced:
            row.deactivate()
        bounds = self.bounds
        for k, _layer in enumerate(self.network.layers[:-1]):
            ends = bounds.lower[k], bounds.upper[k]
            self._tighten(self.columns.pre[k], *ends, protected)
            self._tighten(self.columns.post[k], *bounds.post_bounds(k), protected)
        if self.block.owns("outputs"):
            ends = bounds.lower[-1], bounds.upper[-1]
            self._tighten(self.columns.pre[-1], *ends, protected)
        self.application, self.stamp = application, next_stamp()
        self.columns = None  # only needed while encoding; clones need not carry it
        self.block.record.encoding = self

    def _tighten(self, variables, lower, upper, protected):
        tighten = self.saved.tighten
        for var, lo, hi in zip(variables, lower.tolist(), upper.tolist(), strict=True):
            if not protected or id(var) not in protected:
                tighten(var, lo, hi)

    def detach(self):
        """Undo ``attach``: the block is as it was before."""
        if self.rewritten is not None:
            self.rewritten.restore()
        self.saved.restore()
        self.block.record.encoding = None
        inactive = [row for row in self.replaced if not row.active]
        on_rollback(self._put_on, self.reformulation.local_name, inactive)
        self._take_off()
        if self.copied is not None:
            self.copied.release()

    def _take_off(self):
        for row in self.replaced:
            row.activate()
        name = self.reformulation.local_name
        if self.block.component(name) is self.reformulation:
            self.block.del_component(name)

    def _put_on(self, name, inactive):
        if self.block.component(name) is not self.reformulation:
            self.block.add_component(name, self.reformulation)
        for row in inactive:
            row.deactivate()

    # -- what the block calls ------------------------------------------------------

    def outdated(self, reading=None):
        """What the coefficients rest on and the model no longer has, or None."""
        for conditions in self.conditions:
            void = conditions.violated(reading=reading)
            if void is not None:
                return void
        if self.copied is not None:
            void = self.copied.outdated(self.copied.units.bounds(self.bounds))
            if void is not None:
                return void
        lower, upper = self.block.input_box()
        if self.bounds.covers(lower, upper):
            return None
        wider = (lower < self.bounds.input_lower) | (upper > self.bounds.input_upper)
        names = [
            v.name for v, w in zip(self.block.input_vars(), wider, strict=True) if w
        ]
        return f"the bounds of {', '.join(names[:5])} were widened (or it was unfixed)"

    def set_start(self, x, pre, post):
        """Set this encoding's own variables for a forward pass (a MIP start).

        Parameters
        ----------
        x : numpy.ndarray, shape (n_inputs,)
        pre, post : list of numpy.ndarray, shapes (layer size,)
        """
        for (k, i), z in self.reformulation.indicator.items():
            z.set_value(int(pre[k][i] > 0), skip_validation=True)
        for (k, i), q in self.reformulation.ceiling_indicator.items():
            at_ceiling = pre[k][i] >= self.network.layers[k].ceiling[i]
            q.set_value(int(at_ceiling), skip_validation=True)
        if self.copied is not None:
            self.copied.set_start(x, post[-1])
        self.formulation.set_start(self, x, pre, post)

    def description(self):
        """One line: which formulation, and what it added."""
        new = self.reformulation
        n_binaries = sum(
            var.is_binary()
            for var in new.component_data_objects(Var, descend_into=(Block, Disjunct))
        )
        n_rows = sum(1 for _ in new.component_data_objects(Constraint, active=True))
        size = f"{counted(n_binaries, 'binary')}, {counted(n_rows, 'row')}"
        return f"{self.formulation.NAME} ({size}){self.formulation.remark(self)}"
