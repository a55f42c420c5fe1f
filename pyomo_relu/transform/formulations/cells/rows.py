"""The variables and rows of relu.cells, and the record of them."""

from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Constraint
from pyomo.core.base.set_types import Binary

from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.common.powers import power_of_two
from pyomo_relu.common.wording import counted
from pyomo_relu.model.reads import absent_neuron_read
from pyomo_relu.transform.formulations.bigm import encode_big_m
from pyomo_relu.transform.formulations.cells.piece_rows import (
    encode_pieces,
    is_curve,
    set_pieces,
)
from pyomo_relu.transform.parts.row_builder import linear_row

#: States of a neuron on a cell.
_OPEN, _INACTIVE, _ACTIVE, _AT_CEILING = -1, 0, 1, 2


class CellEncoding(Encoding):
    """Of a network whose input box is split into C cells.

    Parameters
    ----------
    partition : CellPartition
    states : list of numpy.ndarray, shapes (C, layer size)
        Of the neurons on the cells.
    with_neurons : bool
        If False the cells' lines are the network, and there are no neuron rows.
    model_conditions : ModelConditions or None
        What the cells rest on, if on more than the input box.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (C, n_inputs)
        The cells.
    """

    __slots__ = ("lower", "model_conditions", "states", "upper", "with_neurons")

    def __init__(
        self, formulation, rows, partition, states, with_neurons, model_conditions
    ):
        super().__init__(formulation, rows)
        self.lower, self.upper, self.states = partition.lower, partition.upper, states
        self.with_neurons, self.model_conditions = with_neurons, model_conditions

    def outdated(self, reading=None):
        """What the cells rest on and the model no longer has, too."""
        reason = super().outdated(reading)
        if reason is None and self.model_conditions is not None:
            reason = self.model_conditions.violated(reading=reading)
        if reason is None and not self.with_neurons:
            reason = absent_neuron_read(self.block)
        return reason

    def set_start(self, x, pre, post):
        """Set the cells, the positions within them, and indicators that they decide.

        A point on the border of two cells belongs to the first; a pre-activation of
        zero then has the state that this cell gives it.
        """
        super().set_start(x, pre, post)
        new, lower, upper = self.reformulation, self.lower, self.upper
        if new.component("begun") is not None:
            set_pieces(new, x, lower, upper)
            return
        outside = np.maximum(np.maximum(lower - x, x - upper), 0.0).max(axis=1)
        chosen = int(outside.argmin())
        width = np.where(upper > lower, upper - lower, 1.0)[chosen]
        position = np.clip((x - lower[chosen]) / width, 0.0, 1.0).tolist()
        for c, var in new.cell.items():
            var.set_value(int(c == chosen), skip_validation=True)
        for (c, j), var in new.inner.items():
            value = position[j] if c == chosen else 0.0
            var.set_value(value, skip_validation=True)
        for indicators, least in (
            (new.indicator, _ACTIVE),
            (new.ceiling_indicator, _AT_CEILING),
        ):
            for (k, i), var in indicators.items():
                state = self.states[k][chosen, i]
                if state != _OPEN:
                    var.set_value(int(state >= least), skip_validation=True)

    def remark(self):
        """The number of cells."""
        dropped = "" if self.with_neurons else ", exact: no neuron rows"
        return f"; {counted(len(self.lower), 'cell')}{dropped}"


def encode_cells(rows, partition, with_neurons):
    """Add cells, disaggregated inputs, output lines and the neurons.

    Parameters
    ----------
    rows : RowBuilder
    partition : CellPartition
    with_neurons : bool
        If False the partition is exact and the network's own rows are taken out of
        force.

    Returns
    -------
    list of numpy.ndarray, shapes (C, layer size)
        The neurons' states on the cells.
    """
    states = [_states(*found) for found in partition.states()]
    if not with_neurons and is_curve(partition):
        encode_pieces(rows, partition)
        return states
    cells = _CellRows(rows, partition).add()
    if with_neurons:
        for k, state in enumerate(states):
            for i in rows.encode_stable(k):
                _encode_neuron(rows, partition, k, i, state[:, i], cells)
    else:
        rows.replaced += list(rows.block.affine.values())
    return states


def _states(inactive, active, at_ceiling):
    return np.select(
        [inactive, active, at_ceiling], [_INACTIVE, _ACTIVE, _AT_CEILING], _OPEN
    )


class _CellRows:
    """Adds what does not concern single neurons."""

    def __init__(self, rows, partition):
        self.rows, self.columns, self.units = rows, rows.columns, rows.units
        self.partition = partition
        self.size = C, _ = partition.lower.shape
        lower, upper = partition.lower, partition.upper
        self.free = np.flatnonzero((lower < upper).any(axis=0)).tolist()
        cell = rows.new_columns("cell", Binary)
        inner = rows.new_columns("inner", bounds=(0.0, 1.0))
        self.cells = [cell[c] for c in range(C)]
        self.inner = [[inner[c, j] for j in self.free] for c in range(C)]

    def add(self):
        """Returns the cells' binaries."""
        self._inputs()
        self._outputs()
        if self.partition.rows is not None:
            self._model_rows()
        return self.cells

    def _inputs(self):
        (C, _), p, rows = self.size, self.partition, self.rows
        one = linear_row([1.0] * C, self.cells, 1.0, 1.0)
        rows.add("one_cell", Constraint(expr=one))
        input_rows, within = rows.new_rows("input_rows"), rows.new_rows("within")
        lower = self.units.of_inputs(p.lower)
        width = (p.upper - p.lower) / self.units.input_factor
        for j, x in enumerate(self.columns.inputs):
            coefs, variables = [-1.0, *lower[:, j].tolist()], [x, *self.cells]
            if j in self.free:
                inner = [row[self.free.index(j)] for row in self.inner]
                coefs, variables = coefs + width[:, j].tolist(), variables + inner
                for c in range(C):
                    pair = [inner[c], self.cells[c]]
                    within[c, j] = linear_row([1.0, -1.0], pair, upper=0.0)
            input_rows[j] = linear_row(coefs, variables, 0.0, 0.0)

    def _outputs(self):
        from pyomo_relu.bounds.cells.relaxation import output_terms

        output_rows = self.rows.new_rows("output_rows")
        inner = [var for row in self.inner for var in row]
        lines = [
            (
                self.units.of_outputs(base),
                step[:, :, self.free] / self.units.output_factor[:, None],
            )
            for base, step in output_terms(self.partition)
        ]
        for o, y in enumerate(self.columns.pre[-1]):
            variables = [y, *self.cells, *inner]
            for side, (base, step) in zip(("lower", "upper"), lines, strict=True):
                coefs = [1.0, *(-base[:, o]).tolist(), *(-step[:, o]).ravel().tolist()]
                if self.partition.exact:
                    output_rows[o, side] = linear_row(coefs, variables, 0.0, 0.0)
                    break
                row = linear_row(coefs, variables, **{side: 0.0})
                output_rows[o, side] = row

    def _model_rows(self):
        base, step = self.partition.cell_rows()
        step = step[:, :, self.free]
        size = np.maximum(np.abs(base), np.abs(step).max(axis=2, initial=0.0))
        factor = 0.5 / power_of_two(size)
        base, step = factor * base, factor[:, :, None] * step
        binding = base + np.maximum(step, 0.0).sum(axis=2) > 0
        model_rows = self.rows.new_rows("model_rows")
        for c, r in np.argwhere(binding).tolist():
            coefs = [float(base[c, r]), *step[c, r].tolist()]
            variables = [self.cells[c], *self.inner[c]]
            model_rows[c, r] = linear_row(coefs, variables, upper=0.0)


def _encode_neuron(rows, partition, k, i, state, cells):
    """Rows of a neuron that is not stable on the whole box."""
    if (state == _OPEN).any():
        encode_big_m(rows, k, i)
        _link(rows, k, i, state, cells)
    else:
        _encode_decided(rows, partition, k, i, state, cells)


def _link(rows, k, i, state, cells):
    """Indicators follow the cells in which the neuron is stable."""
    new = rows.reformulation
    inactive, active, fixed = (state == s for s in (_INACTIVE, _ACTIVE, _AT_CEILING))
    for indicators, on, off, label in (
        (new.indicator, active | fixed, inactive, ""),
        (new.ceiling_indicator, fixed, inactive | active, "_at_ceiling"),
    ):
        if (k, i) not in indicators:
            continue
        z = indicators[k, i]
        for chosen, sign, word in ((on, -1.0, "on"), (off, 1.0, "off")):
            at = np.flatnonzero(chosen).tolist()
            if at:
                limits = {"lower": 0.0} if word == "on" else {"upper": 1.0}
                rows.add_row(
                    (k, i, f"cells_{word}{label}"),
                    [1.0, *[sign] * len(at)],
                    [z, *(cells[c] for c in at)],
                    **limits,
                )


def _encode_decided(rows, partition, k, i, state, cells):
    """Rows of a neuron whose state each cell decides: no indicator of its own.

    With off, on and at the sets of cells in which it is inactive, active, at its
    ceiling c: ``v - sum_at (U - c) cell <= x <= v - sum_off L cell`` and
    ``sum_at c cell <= x <= sum_on U cell + sum_at c cell``.
    """
    lower, upper = (
        rows.units.of_neurons(k, ends[k])[:, i]
        for ends in (partition.lowers, partition.uppers)
    )
    off, on, at = (
        np.flatnonzero(state == s).tolist() for s in (_INACTIVE, _ACTIVE, _AT_CEILING)
    )
    v, x = rows.columns.pre[k][i], rows.columns.post[k][i]
    ceiling = float(rows.network.layers[k].ceiling[i]) if at else 0.0
    over = (upper[at] - ceiling).tolist()
    top = [ceiling] * len(at)
    for label, variables, coefs, chosen, limits in (
        ("above", [x, v], [1.0, -1.0, *over], at, {"lower": 0.0}),
        ("active", [x, v], [1.0, -1.0, *lower[off].tolist()], off, {"upper": 0.0}),
        ("at_ceiling", [x], [1.0, *(-c for c in top)], at, {"lower": 0.0}),
        (
            "inactive",
            [x],
            [1.0, *(-upper[on]).tolist(), *(-c for c in top)],
            on + at,
            {"upper": 0.0},
        ),
    ):
        if label == "at_ceiling" and not at:
            continue
        variables = [*variables, *(cells[c] for c in chosen)]
        rows.add_row((k, i, label), coefs, variables, **limits)
