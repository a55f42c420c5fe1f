"""The record of what a formulation added to one network block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.autoslots import AutoSlots
from pyomo.core.base.block import Block
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.var import Var
from pyomo.gdp import Disjunct

from pyomo_relu.block.records.var_bounds import TightenedVars
from pyomo_relu.common.transaction import on_rollback
from pyomo_relu.common.wording import counted

if TYPE_CHECKING:
    from pyomo_relu.block.records.applications import Application


class Encoding(AutoSlots.Mixin):
    """Rows, indicators and bounds with which a formulation replaced activation rows.

    Formulations that have to remember more, or whose variables need values for a MIP
    start, derive from it: a class with ``__slots__`` of its own.

    Parameters
    ----------
    formulation : type
        The transformation class.
    rows : RowBuilder
        What it wrote.

    Attributes
    ----------
    block : ReLUNetworkBlockData
    bounds : NeuronBounds
        The bounds that the big-M coefficients were taken from.
    given : dict
        {(layer, neuron, side): (source, key)} of those that the modeller gave.
    reformulation : Block
        On which everything new lives.
    replaced : list of ConstraintData
        Rows of the block that went out of force.
    saved : TightenedVars
    copied : CopiedVars or None
        Ends of the network with copies in unit range.
    neurons : NeuronCopies or None
        Neurons with copies in other units.
    rewritten : RewrittenRows or None
        The modeller's rows in other units, with the last encoding of a call.
    conditions : tuple of ModelConditions
        What the bounds rest on.
    application : Application or None
        The call that it was part of.
    stamp : int or None
        Later ones have larger ones.
    choice : str or None
        A line on why the formulation was chosen.
    leak : str or None
        What rows may do at a solver's tolerances, if that can be seen.
    """

    __slots__ = (
        "application",
        "block",
        "bounds",
        "choice",
        "conditions",
        "copied",
        "formulation",
        "given",
        "leak",
        "neurons",
        "reformulation",
        "replaced",
        "rewritten",
        "saved",
        "stamp",
    )

    def __init__(self, formulation, rows):
        root = rows.root
        self.formulation = formulation
        self.block, self.bounds, self.given = root.block, root.bounds, root.given
        self.reformulation, self.replaced = root.reformulation, root.replaced
        self.copied, self.neurons = root.copied, root.neurons
        self.conditions = self.block.record.conditions()
        self.saved = TightenedVars()
        self.application: Application | None = None  # until it is in force
        self.stamp: int | None = None
        self.rewritten = None
        self.choice: str | None = None
        self.leak: str | None = None

    @property
    def network(self):
        """The network that is encoded: the block's, unless its function was changed."""
        return self.bounds.network

    # -- what formulations extend --------------------------------------------------

    def outdated(self, reading=None):
        """What the coefficients rest on and the model no longer has, or None.

        ``reading`` is a ModelReading; without one, conditions are checked anew.
        """
        for conditions in self.conditions:
            void = conditions.violated(reading=reading)
            if void is not None:
                return void
        if self.copied is not None:
            bounds = self.copied.units.bounds(self.bounds)
            void = self.copied.outdated(bounds)
            if void is None and self.neurons is not None:
                void = self.neurons.outdated(bounds)
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
        if self.neurons is not None:
            self.neurons.set_start(pre, post)

    def column(self, var):
        """What rows are written with for a neuron's Var: itself, or its copy."""
        found = None if self.neurons is None else self.neurons.find(var)
        return var if found is None else found[0]

    def in_own_units(self, k, i, value):
        """A value of a neuron in the units of its column."""
        return value if self.neurons is None else value * self.neurons.factors[k][i]

    def remark(self):
        """What ``description()`` must not leave out, such as a changed function."""
        return ""

    def inputs_read(self):
        """Which inputs the rows in force read, shape (n_inputs,)."""
        return self.block.network.inputs_read()

    # -- what the block and transformations call -----------------------------------

    def description(self):
        """One line: which formulation, and what it added."""
        new = self.reformulation
        n_binaries = sum(
            var.is_binary()
            for var in new.component_data_objects(Var, descend_into=(Block, Disjunct))
        )
        n_rows = sum(1 for _ in new.component_data_objects(Constraint, active=True))
        size = f"{counted(n_binaries, 'binary')}, {counted(n_rows, 'row')}"
        return f"{self.formulation.NAME} ({size}){self.remark()}"

    def reverse(self):
        """Take everything off: the block is as it was before."""
        if self.rewritten is not None:
            self.rewritten.restore()
        self.saved.restore()
        self.block.record.encoding = None
        inactive = [row for row in self.replaced if not row.active]
        on_rollback(self._put_on, self.reformulation.local_name, inactive)
        self.take_off()
        if self.copied is not None:
            self.copied.release()

    def take_off(self):
        """Put the replaced rows back for the new ones."""
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
