"""What formulations write an encoding with: columns, indicators and rows."""

import math
import typing

from pyomo.common.dependencies import numpy as np
from pyomo.core.base.block import Block
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.set_types import Any, Binary, Reals
from pyomo.core.base.var import Var
from pyomo.core.expr.numeric_expr import LinearExpression

from pyomo_relu.block.records.applications import next_stamp
from pyomo_relu.block.rows import NetworkColumns
from pyomo_relu.common.transaction import on_rollback
from pyomo_relu.errors import TransformationError


class RowBuilder:
    """Collects what a formulation adds to a network block, and puts it in force.

    Everything new lives on ``reformulation``, a block that is attached to the network
    block only when it is complete: ``rows[layer, neuron, label]``,
    ``indicator[layer, neuron]``, for clipped neurons
    ``ceiling_indicator[layer, neuron]``, and what a formulation adds by name.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    bounds : NeuronBounds
        The bounds that the big-M coefficients are taken from.
    given : dict, optional
        {(layer, neuron, side): (source, key)} of those that the modeller gave.

    Attributes
    ----------
    columns : NetworkColumns
        The VarData to write rows with.
    reformulation : Block
    replaced : list of ConstraintData
        Rows of the block that go out of force.
    units : UnitRange or None
        Those of the columns at the network's ends, once they are chosen.
    copied : CopiedVars or None
        Those copies.
    neurons : NeuronCopies or None
        Copies of neurons.
    root : RowBuilder
        Itself; of a view, what it is a view of.
    """

    def __init__(self, block, bounds, given=None):
        self.block, self.bounds, self.given = block, bounds, dict(given or {})
        self.root = self
        self.columns = NetworkColumns(block)
        self.replaced = list(block.activation.values())
        self.units = self.copied = self.neurons = None
        self.reformulation: typing.Any = Block(concrete=True)
        self.new_columns("indicator", Binary)
        self.new_columns("ceiling_indicator", Binary)
        self.new_rows("rows")

    @property
    def network(self):
        """The network that rows are written for."""
        return self.bounds.network

    # -- components by name --------------------------------------------------------

    def add(self, name, component):
        """Add any component to the reformulation; returns it."""
        self.reformulation.add_component(name, component)
        return component

    def new_columns(self, name, domain=Reals, bounds=(None, None)):
        """A Var whose members are made when they are first asked for."""
        return self.add(name, Var(Any, domain=domain, bounds=bounds, dense=False))

    def new_rows(self, name):
        """An empty Constraint; ``linear_row`` makes what to assign to its entries."""
        return self.add(name, Constraint(Any))

    # -- neurons -------------------------------------------------------------------

    def new_indicator(self, k, i):
        """Binary z of neuron (k, i): 1 if it is active."""
        return self.reformulation.indicator[k, i]

    def new_ceiling_indicator(self, k, i):
        """Binary q of neuron (k, i): 1 if it is at its ceiling."""
        return self.reformulation.ceiling_indicator[k, i]

    def add_row(self, key, coefs, variables, lower=None, upper=None):
        """Add ``lower <= sum coefs * variables <= upper`` as ``rows[key]``.

        ``key`` is (layer, neuron, label); coefficients must be Python floats.

        Raises
        ------
        TransformationError
            If there is a row of that key, a coefficient is not finite, or there is no
            side: what a formulation of the user's may get wrong without an error.
        """
        rows, wrong = self.reformulation.rows, None
        if key in rows:
            wrong = (
                "was added before; give each a key of its own, (layer, neuron, label)"
            )
        elif lower is None and upper is None:
            wrong = "has no side; give lower=, upper= or both"
        elif not all(map(math.isfinite, coefs)):
            wrong = f"has coefficients that are not finite, {coefs}; check the bounds"
        if wrong:
            raise TransformationError(f"'{self.block.name}': row {key!r} {wrong}.")
        rows[key] = linear_row(coefs, variables, lower, upper)

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

    # -- putting in force ----------------------------------------------------------

    def put_in_force(self, encoding, name, protected, application):
        """Attach what was added: the block's model changes here and only here.

        Parameters
        ----------
        encoding : Encoding
            The record of it, which the block gets.
        name : str
            Of the reformulation on the block.
        protected : set of int
            ids of Vars whose bounds stay as they are.
        application : Application
            To which it belongs.
        """
        encoding.replaced = [row for row in self.replaced if row.active]
        on_rollback(encoding.take_off)
        self.block.add_component(name, self.reformulation)
        for row in encoding.replaced:
            row.deactivate()
        bounds, columns, tighten = self.bounds, self.columns, encoding.saved.tighten
        left = protected
        if self.neurons is not None:
            left = protected.union(map(id, self.neurons.far_vars()))
        ends = [
            *zip(columns.pre[:-1], bounds.lower, bounds.upper, strict=False),
            *((x, *bounds.post_bounds(k)) for k, x in enumerate(columns.post)),
        ]
        if self.block.owns("outputs"):
            ends.append((columns.pre[-1], bounds.lower[-1], bounds.upper[-1]))
        for variables, lower, upper in ends:
            for var, lo, hi in zip(
                variables, lower.tolist(), upper.tolist(), strict=True
            ):
                if not left or id(var) not in left:
                    tighten(var, lo, hi)
        encoding.application, encoding.stamp = application, next_stamp()
        self.block.record.encoding = encoding


class RowView(RowBuilder):
    """The same rows, written as if for another network with columns of its own.

    Parameters
    ----------
    rows : RowBuilder
    bounds : NeuronBounds
        Of the other network.
    columns : NetworkColumns
        By the other network's layers.
    """

    def __init__(self, rows, bounds, columns):
        for name in ("root", "block", "given", "reformulation", "replaced", "units"):
            setattr(self, name, getattr(rows, name))
        self.bounds, self.columns = bounds, columns


def bounded(var, lower, upper):
    """The VarData, with these bounds."""
    var.setlb(lower)
    var.setub(upper)
    return var


def linear_row(coefs, variables, lower=None, upper=None):
    """``lower <= sum coefs * variables <= upper`` as Pyomo reads it fastest.

    Coefficients must be Python floats; at least one side must be given.
    """
    expr = LinearExpression(linear_coefs=coefs, linear_vars=variables)
    return (expr, lower) if lower == upper else (lower, expr, upper)
