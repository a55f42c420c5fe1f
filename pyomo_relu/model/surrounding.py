"""The modeller's own linear model around the network blocks, read as matrices.

Reads a Pyomo model; changes nothing and solves nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyomo.common.collections import ComponentSet
from pyomo.common.dependencies import numpy as np
from pyomo.common.dependencies import scipy
from pyomo.core.base import Constraint, Objective, minimize, value
from pyomo.core.base.block import Block
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct

from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.block.records.var_bounds import ends
from pyomo_relu.errors import ModelError
from pyomo_relu.model.linear_repn import linear_repn
from pyomo_relu.model.unit_copies import UnitCopies
from pyomo_relu.model.unit_rows import modellers_objective
from pyomo_relu.model.unread import unread

if TYPE_CHECKING:
    from pyomo_relu.linear.embedded import EmbeddedModel

logger = logging.getLogger("pyomo.relu")

#: So many components are named in a warning.
_MOST_NAMES = 10


@dataclass
class Surrounding:
    """A model around its networks as arrays, and what is behind them and was left out.

    Attributes
    ----------
    embedded : EmbeddedModel
        The modeller's active linear rows over ``variables``, with Var bounds and
        integrality; a fixed Var is a column with equal bounds.  One function per
        block, then the atoms.  The objective as a minimisation, zero if there is none
        or it was left out.
    variables : list of VarData
        One per column; the columns after them are those of atoms.
    blocks : list of ReLUNetworkBlockData
    row_names : list of str
        Name of the constraint behind each row.
    has_costs : bool
        True if there is a linear objective.
    maximise : bool
        True if the modeller's objective is that of ``embedded`` times -1.
    objective : ObjectiveData or None
        The active objective, if there is exactly one.
    left_out : list of components
        Active rows and objectives that are not linear, and what is ``unread``.
    fixed_permanent : bool
        Whether fixed Vars count with their values.
    """

    embedded: EmbeddedModel
    variables: list
    blocks: list
    row_names: list = field(default_factory=list)
    has_costs: bool = False
    maximise: bool = False
    objective: object = None
    left_out: list = field(default_factory=list)
    fixed_permanent: bool = True

    @property
    def linear(self):
        """The LinearModel of ``embedded``."""
        return self.embedded.linear

    @property
    def costs(self):
        """The linear objective as a minimisation, shape (n_columns,), or None."""
        return self.embedded.costs if self.has_costs else None

    def column(self, var):
        """Column of a Var, or None if the linear model does not contain it."""
        return self._columns.get(id(var))

    def __post_init__(self):
        self._columns = {id(v): j for j, v in enumerate(self.variables)}


def read_surrounding(model, blocks, assume_fixed_vars_permanent=True, atoms_for=None):
    """Read everything of ``model`` but its networks' own rows.

    Parameters
    ----------
    model : Block
        The model (or block) whose active constraints count.
    blocks : list of ReLUNetworkBlockData
        Networks whose inputs and outputs become columns.  The rows of all network
        blocks in ``model``, encoded or not, are left to the networks themselves.
    assume_fixed_vars_permanent : bool
        If False a fixed Var counts with its bounds instead of its value.
    atoms_for : str, optional
        Who takes rows and objectives that are not linear, by name: they are taken apart
        into atoms for it, instead of being left out.

    Returns
    -------
    Surrounding

    Raises
    ------
    ModelError
        If a row contains what is no atom.
    """
    from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
    from pyomo_relu.model.quotients import multiplied_out

    reader = _Reader(assume_fixed_vars_permanent, _as_written(model), atoms_for)
    inputs = [reader.columns_of(b.input_vars()) for b in blocks]
    outputs = [reader.columns_of(b.output_vars()) for b in blocks]
    own = _network_components(model)
    left_out = [row for row in _rows(model, own) if not reader.add_row(row)]
    left_out += (c for c in unread(model) if c.parent_block() not in own)
    objectives = [
        modellers_objective(objective)
        for objective in model.component_data_objects(
            Objective, active=True, descend_into=True
        )
    ]
    objective = objectives[0] if len(objectives) == 1 else None
    maximise = objective is not None and objective.sense != minimize
    terms, constant = (
        (None, 0.0)
        if objective is None
        else reader.terms(objective.expr, f"objective '{objective.name}'")
    )
    if objectives and terms is None:
        left_out += objectives
    linear, sign = reader.linear_model(), -1.0 if maximise else 1.0
    costs, n = np.zeros(linear.n_columns), len(reader.variables)
    for j, c in terms or ():
        costs[j if j >= 0 else n - 1 - j] += sign * c
    networks = [
        EmbeddedNetwork(block.network, *ends, block.name)
        for block, *ends in zip(blocks, inputs, outputs, strict=True)
    ]
    embedded = EmbeddedModel(
        linear,
        networks + reader.atoms(),
        costs,
        0.0 if terms is None else sign * constant,
    )
    embedded, more_rows = multiplied_out(embedded, atoms_for)
    return Surrounding(
        embedded,
        reader.variables,
        list(blocks),
        reader.row_names + more_rows,
        terms is not None,
        maximise,
        objective,
        left_out,
        assume_fixed_vars_permanent,
    )


def warn_of_left_out(surrounding, name):
    """Name what a method that reads linear rows only does not see."""
    left_out = surrounding.left_out
    if not left_out:
        return
    names = ", ".join(f"'{c.name}'" for c in left_out[:_MOST_NAMES])
    more = len(left_out) - _MOST_NAMES
    what = " is not a linear constraint or objective and is"
    if len(left_out) > 1:
        names += f" and {more} more" if more > 0 else ""
        what = " are not linear constraints or objectives and are"
    logger.warning(
        f"{name}: {names}{what} left out of the relaxation: bounds hold, but could be "
        "tighter."
    )


def in_force(block):
    """True if neither a block nor one that contains it is deactivated."""
    while block is not None:
        if not block.active:
            return False
        block = block.parent_block()
    return True


def check_domains(surrounding, name):
    """Refuse Vars that are neither continuous nor integer.

    Raises
    ------
    ModelError
        Names ``name``, which cannot take them, the Var and its domain.
    """
    for var in surrounding.variables:
        if not (var.is_continuous() or var.is_integer() or var.is_binary()):
            raise ModelError(
                f"{name}: '{var.name}' has the domain {var.domain}; it knows "
                "continuous, integer and binary Vars. Encode other domains with "
                "binaries."
            )


def modellers_rows(model):
    """The active rows of a model that belong to no network, linear or not."""
    return list(_rows(model, _network_components(model)))


def _rows(model, own):
    for block in model.block_data_objects(active=True, descend_into=True):
        if block in own or isinstance(block, UnitCopies):
            continue
        for component in block.component_objects(
            Constraint, active=True, descend_into=False
        ):
            # a network's rows are many: they are passed over as a whole
            if component not in own:
                yield from (row for row in component.values() if row.active)


def _as_written(model):
    """{id of row: (lower, body, upper)} of rows that are rewritten for solvers."""
    found = {}
    for block in _all_blocks(model.model()):
        if isinstance(block, ReLUNetworkBlockData):
            encoding = block.record.encoding
            if encoding is not None and encoding.rewritten is not None:
                found.update(encoding.rewritten.modellers_ends())
    return found


def _network_components(model):
    """Affine rows, activation rows and reformulations of all network blocks."""
    own = ComponentSet()
    for block in _all_blocks(model):
        if isinstance(block, ReLUNetworkBlockData):
            own.add(block.affine)
            own.add(block.activation)
            encoding = block.record.encoding
            if encoding is not None:
                new = encoding.reformulation
                own.add(new)
                own.update(new.block_data_objects())
    return own


def _all_blocks(model):
    return model.block_data_objects(active=None, descend_into=(Block, Disjunct))


class _Reader:
    """Collects columns and rows."""

    def __init__(self, fixed_permanent, as_written, atoms_for):
        self.fixed_permanent = fixed_permanent
        self._taker = None
        if atoms_for is not None:
            from pyomo_relu.model.atoms import Taker

            self._taker = Taker(self._column, atoms_for)
        self._as_written = as_written
        self.variables = []
        self._columns = {}
        self._rows = []
        self.row_names = []

    def columns_of(self, variables):
        return np.array([self._column(v) for v in variables], dtype=int)

    def _column(self, var):
        at = self._columns.get(id(var))
        if at is None:
            at = self._columns[id(var)] = len(self.variables)
            self.variables.append(var)
        return at

    def linear(self, expr):
        """[(column, coefficient)] and constant of ``expr``; None if not linear."""
        if not self.fixed_permanent and any(v.fixed for v in identify_variables(expr)):
            return None, None
        for var in identify_variables(expr):
            if var.fixed and var.value is None:
                raise _without_value(var)
        # fixed Vars become part of the constant
        repn = linear_repn(expr)
        if repn is None:
            return None, None
        terms = [
            (self._column(v), float(value(c)))
            for v, c in zip(repn.linear_vars, repn.linear_coefs, strict=True)
        ]
        return terms, float(value(repn.constant))

    def terms(self, expr, where, sides=(float("-inf"), float("inf"))):
        """As ``linear``, over the columns of atoms as well if these are asked for.

        ``sides`` are those of the row that it is the body of.
        """
        terms, constant = self.linear(expr)
        if terms is None and self._taker is not None:
            form = self._taker.form(expr, where)
            found = self._taker.convex_rows(form, where, self._reach, sides)
            for convex, side in found:
                self._rows.append((list(convex.terms.items()), side, np.inf))
                self.row_names.append(f"convex form in {where}")
            return list(form.terms.items()), form.constant
        return terms, constant

    def atoms(self):
        """The functions whose columns follow those of the Vars."""
        return [] if self._taker is None else self._taker.placed(len(self.variables))

    def _add_sums(self):
        """The rows of the sums among the atoms."""
        from pyomo_relu.linear.atoms.atom import Sum

        for atom in self._taker.atoms if self._taker is not None else ():
            if isinstance(atom, Sum):
                terms = list(zip(atom.inputs, atom.coefficients, strict=True))
                terms.append((int(atom.outputs[0]), -1.0))
                self._rows.append((terms, -atom.constant, -atom.constant))
                self.row_names.append(atom.name)

    def add_row(self, row):
        lower, body, upper = self._as_written.get(
            id(row), (row.lower, row.body, row.upper)
        )
        lower = -np.inf if lower is None else float(value(lower))
        upper = np.inf if upper is None else float(value(upper))
        where = f"constraint '{row.name}'"
        terms, constant = self.terms(body, where, (lower, upper))
        if terms is None:
            return False
        self._rows.append((terms, lower - constant, upper - constant))
        self.row_names.append(row.name)
        return True

    def linear_model(self):
        """The LinearModel of all that was added."""
        from pyomo_relu.linear.model import LinearModel

        self._add_sums()
        new = self.atoms()
        n, more = len(self.variables), len(new)
        counts = [len(terms) for terms, _, _ in self._rows]
        # an atom's column -1 - k comes after all Vars'
        at = [j if j >= 0 else n - 1 - j for ts, _, _ in self._rows for j, _ in ts]
        data = [c for terms, _, _ in self._rows for _, c in terms]
        matrix = scipy.sparse.csr_array(
            (data, at, np.concatenate([[0], np.cumsum(counts, dtype=int)])),
            shape=(len(self._rows), n + more),
        )
        bounds = [self._bounds(v) for v in self.variables]
        bounds += [(-np.inf, np.inf)] * more
        integer = [v.is_integer() or v.is_binary() for v in self.variables]
        return LinearModel(
            matrix,
            np.array([lo for _, lo, _ in self._rows], dtype=float),
            np.array([hi for _, _, hi in self._rows], dtype=float),
            np.array([lo for lo, _ in bounds], dtype=float),
            np.array([hi for _, hi in bounds], dtype=float),
            # rounding bounds to integers is wrong for other domains with gaps
            np.array(integer + [False] * more, dtype=bool),
            tuple([v.name for v in self.variables] + [a.name for a in new]),
        )

    def _reach(self, column):
        """Largest magnitude of a Var's column; infinite for others."""
        if column < 0:
            return np.inf
        return max(map(abs, self._bounds(self.variables[column])))

    def _bounds(self, var):
        if var.fixed and self.fixed_permanent:
            if var.value is None:
                raise _without_value(var)
            return float(var.value), float(var.value)
        return ends(var, fixed_values=self.fixed_permanent)


def _without_value(var):
    return ModelError(
        f"'{var.name}' is fixed but has no value. Give it a value or unfix it."
    )
