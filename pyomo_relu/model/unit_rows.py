r"""Rows and objectives of the modeller in units far from 1, as multiples for solvers.

A solver accepts rows violated by 1e-6 and gaps of 1e-6, whatever the units: where all
that a row or an objective can amount to is 1e-7, every point is feasible and every point
is optimal; where a row amounts to 1e8, hardly any point is feasible in floating point.
While a formulation is in force such rows are multiplied by a power of two, and written
over the copies that Vars have (the Constraint itself changes its expression); a tiny
objective is replaced by a multiple of it, whose value is still that of the modeller's.
"""

import logging

from pyomo.common.autoslots import AutoSlots
from pyomo.common.dependencies import numpy as np
from pyomo.common.modeling import unique_component_name
from pyomo.core.base import Objective, value
from pyomo.core.base.objective import ScalarObjective
from pyomo.core.expr.numeric_expr import LinearExpression
from pyomo.core.expr.visitor import identify_variables, replace_expressions
from pyomo.gdp import Disjunct

from pyomo_relu.common.powers import power_of_two
from pyomo_relu.common.transaction import on_rollback
from pyomo_relu.model.linear_repn import linear_repn
from pyomo_relu.model.unit_copies import copy_of

logger = logging.getLogger("pyomo.relu")

#: What can amount to less than the first, or rows to more than the second, are
#: multiplied to amount to about ``_TARGET``.
_TINY, _HUGE = 2.0**-5, 2.0**14
_TARGET = 2.0**4

#: How far sizes are handed from row to row, where the rows come in no good order.
_PASSES = 20

#: A multiple is at most this power of two.
_LARGEST_EXPONENT = 60


class ObjectiveMultiple(ScalarObjective):
    """``factor`` times another objective as it is at any time, for the solver.

    Its value, ``value(objective)``, is that of the other objective: results read from
    it are in the modeller's units.  Only what a solver reports itself (bounds, gaps,
    its log) is ``factor`` times as large.
    """

    def __init__(self, source, factor):
        self._source, self._factor = source, factor
        super().__init__(expr=0.0, sense=source.sense)

    @property
    def source(self):
        """The modeller's objective."""
        return self._source

    @property
    def factor(self):
        """How many times the source's value a solver sees; a power of two."""
        return self._factor

    # expression walkers read ``_args_``: never a copy of the source as it was once
    @property
    def _args_(self):
        expr = _over_copies(self._source.expr, self._factor)
        return (self._factor * self._source.expr if expr is None else expr,)

    @_args_.setter
    def _args_(self, args):
        pass

    @property
    def sense(self):
        """The source's sense."""
        return self._source.sense

    @sense.setter
    def sense(self, sense):
        self._source.sense = sense

    def __call__(self, exception=True):
        """The value of the source."""
        return value(self._source.expr, exception=exception)


def modellers_objective(objective):
    """The objective that the modeller wrote, where a multiple stands in for it."""
    return objective.source if isinstance(objective, ObjectiveMultiple) else objective


class RewrittenRows(AutoSlots.Mixin):
    """What was rewritten, so that it can be undone."""

    __slots__ = ("_multiples", "_rows")

    def __init__(self):
        self._rows, self._multiples = [], []
        on_rollback(self.restore)

    def multiply_objective(self, model, sizes):
        """Replace the model's one active objective where it is tiny.

        Parameters
        ----------
        model : Block
        sizes : ComponentMap
            The largest absolute value of Vars, where it is known better than from
            their bounds.
        """
        active = list(
            model.component_data_objects(Objective, active=True, descend_into=True)
        )
        if len(active) != 1 or isinstance(active[0], ObjectiveMultiple):
            return
        (objective,) = active
        repn = linear_repn(objective.expr)
        factor = None if repn is None else _multiple(repn, sizes, np.inf)
        if factor is None:
            return
        multiple = ObjectiveMultiple(objective, factor)
        self._multiples.append(multiple)
        objective.deactivate()
        _add_beside(multiple)
        logger.warning(
            f"'{objective.name}' amounts to less than {_TARGET / factor:.1g} in "
            "absolute value, and solvers take gaps of 1e-6 for none. While the "
            f"formulation is in force '{multiple.name}', {factor:.6g} times it, is "
            "active in its place: its value is that of your objective, but bounds that "
            "a solver reports are so many times larger."
        )

    def rewrite(self, rows, sizes):
        """Write linear rows over the copies of Vars, as multiples in unit range.

        Parameters
        ----------
        rows : list of (ConstraintData, StandardRepn)
            See ``linear_rows``.
        sizes : ComponentMap
        """
        for row, repn in rows:
            factor = _multiple(repn, sizes, _HUGE) or 1.0
            if factor == 1.0 and all(
                _lasting_copy(v) is None for v in repn.linear_vars
            ):
                continue
            before, ends = row.expr, (row.lower, row.body, row.upper)
            lower, body, upper = _ends_over_copies(*ends, factor)
            equality = row.equality
            self._rows.append((row, before, None, ends))
            row.set_value((body, lower) if equality else (lower, body, upper))
            self._rows[-1] = (row, before, row.expr, ends)
            logger.info(
                f"'{row.name}' is written in units that solvers resolve, and "
                f"multiplied by {factor:.6g}, while the formulation is in force."
            )

    def modellers_ends(self):
        """{id of row: (lower, body, upper)} as the modeller wrote what is rewritten."""
        return {id(row): ends for row, _, now, ends in self._rows if row.expr is now}

    def restore(self):
        """Undo everything; what the modeller has changed since stays as it is."""
        # None and no block: the change was interrupted
        rows = [r for r in self._rows if r[2] is None or r[0].expr is r[2]]
        multiples = [m for m in self._multiples if m.parent_block() is not None]
        active = [m for m in self._multiples if m.active or m.parent_block() is None]
        on_rollback(self._again, rows, multiples, active, self._rows, self._multiples)
        for row, before, _, _ in rows:
            row.set_value(before)
        for multiple in multiples:
            multiple.parent_block().del_component(multiple)
        for multiple in active:
            multiple.source.activate()
        self._rows, self._multiples = [], []

    def _again(self, rows, multiples, active, all_rows, all_multiples):
        """Undo ``restore``."""
        for row, _, after, _ in rows:
            row.set_value(after)
        for multiple in multiples:
            if multiple.parent_block() is None:
                _add_beside(multiple)
        for multiple in active:
            multiple.source.deactivate()
        self._rows, self._multiples = all_rows, all_multiples


def linear_rows(rows):
    """Those of some rows whose body is linear, each with its ``StandardRepn``."""
    read = ((row, linear_repn(row.body)) for row in rows)
    return [(row, repn) for row, repn in read if repn is not None]


def add_sizes(rows, sizes):
    """Sizes of Vars without ends that rows with two ends tie to Vars of known size.

    An objective is often a Var of its own, ``cost == ...``, which has no bounds.

    Parameters
    ----------
    rows : list of (ConstraintData, StandardRepn)
        See ``linear_rows``.
    sizes : ComponentMap
        As for ``RewrittenRows``; is added to.
    """
    ties = []
    for row, repn in rows:
        lower, upper = value(row.lower), value(row.upper)
        if lower is not None and upper is not None:
            end = max(abs(lower - repn.constant), abs(upper - repn.constant))
            ties.append(
                (end, list(zip(repn.linear_coefs, repn.linear_vars, strict=True)))
            )
    for _ in range(_PASSES):
        found = False
        for end, terms in ties:
            known = [(c, v, _size(v, sizes)) for c, v in terms]
            endless = [(c, v) for c, v, size in known if not np.isfinite(size)]
            if len(endless) == 1 and endless[0][0]:
                ((coef, var),) = endless
                total = end + sum(abs(c) * s for c, v, s in known if v is not var)
                sizes[var], found = total / abs(coef), True
        if not found:
            return


def _add_beside(multiple):
    block = multiple.source.parent_block()
    name = unique_component_name(block, f"{multiple.source.local_name}_multiple")
    block.add_component(name, multiple)


def _lasting_copy(var):
    """``copy_of``, but None on a Disjunct: without it the link to the Var is gone."""
    found, block = copy_of(var), var.parent_block()
    while found is not None and block is not None:
        if block.ctype is Disjunct:
            return None
        block = block.parent_block()
    return found


def _ends_over_copies(lower, body, upper, factor):
    """``factor`` times a linear row, over the copies of Vars that have one."""
    variables = list(identify_variables(body, include_fixed=True))
    if any(var.fixed for var in variables):
        # they may be unfixed later, and are then no constants
        places = {}
        for var in variables:
            found = _lasting_copy(var)
            if found is not None:
                places[id(var)] = found[2] * found[0] + found[1]
        body, constant = factor * replace_expressions(body, places), 0.0
    else:
        linear = _over_copies(body, factor)
        body, constant = linear, linear.constant
        body = LinearExpression(
            linear_coefs=linear.linear_coefs, linear_vars=linear.linear_vars
        )
    lower, upper = (
        None if end is None else factor * end - constant for end in (lower, upper)
    )
    return lower, body, upper


def _over_copies(expr, factor):
    """``factor`` times a linear expression, over the copies of Vars that have one.

    Mutable Params stay in it.  None if the expression is not linear.
    """
    repn = linear_repn(expr, compute_values=False)
    if repn is None:
        return None
    constant, coefs, variables = factor * repn.constant, [], []
    for coef, var in zip(repn.linear_coefs, repn.linear_vars, strict=True):
        found = _lasting_copy(var)
        if found is None:
            coefs.append(factor * coef)
        else:
            var, offset, unit = found
            coefs.append((factor * unit) * coef)
            constant += (factor * offset) * coef
        variables.append(var)
    return LinearExpression(
        constant=constant, linear_coefs=coefs, linear_vars=variables
    )


def _multiple(repn, sizes, huge):
    """The power of two that brings a linear expression to ``_TARGET``, or None.

    None where the expression amounts to something between ``_TINY`` and ``huge``, or
    to nobody knows what.
    """
    size = 0.0
    for coef, var in zip(repn.linear_coefs, repn.linear_vars, strict=True):
        size += abs(value(coef)) * _size(var, sizes)
    if size == 0.0 or not np.isfinite(size) or _TINY <= size <= huge:
        return None
    return float(power_of_two(_TARGET / size, exponent=_LARGEST_EXPONENT))


def _size(var, sizes):
    lower, upper = var.bounds
    own = np.inf if lower is None or upper is None else max(abs(lower), abs(upper))
    return min(own, sizes.get(var, np.inf))
