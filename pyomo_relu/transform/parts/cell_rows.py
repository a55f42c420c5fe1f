"""The variables and rows of relu.cells."""

from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Constraint, Var
from pyomo.core.base.set_types import Binary
from pyomo.core.expr.numeric_expr import LinearExpression

from pyomo_relu.transform.bigm import encode_big_m

#: States of a neuron on a cell.
_OPEN, _INACTIVE, _ACTIVE, _AT_CEILING = -1, 0, 1, 2


def encode_cells(encoding, partition, with_neurons):
    """Add cells, disaggregated inputs, output lines and the neurons to an encoding.

    Parameters
    ----------
    encoding : Encoding
    partition : CellPartition
    with_neurons : bool
        If False the partition is exact and the network's own rows are taken out of
        force.
    """
    states = [_states(*found) for found in partition.states()]
    encoding.details.update(
        lower=partition.lower,
        upper=partition.upper,
        states=states,
        with_neurons=with_neurons,
    )
    _CellRows(encoding, partition).add()
    if not with_neurons:
        encoding.replaced += list(encoding.block.affine.values())
        return
    cells = list(encoding.reformulation.cell.values())
    for k, state in enumerate(states):
        for i in encoding.encode_stable(k):
            _encode_neuron(encoding, partition, k, i, state[:, i], cells)


def _states(inactive, active, at_ceiling):
    return np.select(
        [inactive, active, at_ceiling], [_INACTIVE, _ACTIVE, _AT_CEILING], _OPEN
    )


class _CellRows:
    """Adds what does not concern single neurons."""

    def __init__(self, encoding, partition):
        self.new = new = encoding.reformulation
        self.columns, self.partition = encoding.columns, partition
        self.units = encoding.units
        self.size = C, n = partition.lower.shape
        new.cell = Var(range(C), domain=Binary)
        new.inner = Var(range(C), range(n), bounds=(0.0, 1.0))
        self.cells = list(new.cell.values())
        self.inner = [[new.inner[c, j] for j in range(n)] for c in range(C)]

    def add(self):
        self._inputs()
        self._outputs()
        if self.partition.rows is not None:
            self._model_rows()

    def _inputs(self):
        new, (C, n), p = self.new, self.size, self.partition
        new.one_cell = Constraint(expr=(_linear([1.0] * C, self.cells), 1.0))
        new.input_rows = Constraint(range(n))
        new.within = Constraint(range(C), range(n))
        lower, width = p.lower, p.upper - p.lower
        if self.units is not None:
            lower = self.units.of_inputs(lower)
            width = width / self.units.input_factor
        for j, x in enumerate(self.columns.inputs):
            coefs = [-1.0, *lower[:, j].tolist(), *width[:, j].tolist()]
            variables = [x, *self.cells, *(row[j] for row in self.inner)]
            new.input_rows[j] = (_linear(coefs, variables), 0.0)
            for c in range(C):
                pair = [self.inner[c][j], self.cells[c]]
                new.within[c, j] = (None, _linear([1.0, -1.0], pair), 0.0)

    def _outputs(self):
        from pyomo_relu.bounds.cells.relaxation import output_terms

        new, outputs = self.new, self.columns.pre[-1]
        new.output_rows = Constraint(range(len(outputs)), ["lower", "upper"])
        inner = [var for row in self.inner for var in row]
        lines = output_terms(self.partition)
        for o, y in enumerate(outputs):
            variables = [y, *self.cells, *inner]
            for side, (base, step) in zip(("lower", "upper"), lines, strict=True):
                if self.units is not None:
                    base = self.units.of_outputs(base)
                    step = step / self.units.output_factor[:, None]
                coefs = [1.0, *(-base[:, o]).tolist(), *(-step[:, o]).ravel().tolist()]
                expr = _linear(coefs, variables)
                if self.partition.exact:
                    new.output_rows[o, side] = (expr, 0.0)
                    break
                limits = (0.0, None) if side == "lower" else (None, 0.0)
                new.output_rows[o, side] = (limits[0], expr, limits[1])

    def _model_rows(self):
        base, step = self.partition.cell_rows()
        size = np.maximum(np.abs(base), np.abs(step).max(axis=2, initial=0.0))
        factor = np.exp2(-np.frexp(size)[1].astype(float))
        base, step = factor * base, factor[:, :, None] * step
        binding = base + np.maximum(step, 0.0).sum(axis=2) > 0
        keys = np.argwhere(binding).tolist()
        self.new.model_rows = Constraint([tuple(key) for key in keys])
        for c, r in keys:
            coefs = [float(base[c, r]), *step[c, r].tolist()]
            expr = _linear(coefs, [self.cells[c], *self.inner[c]])
            self.new.model_rows[c, r] = (None, expr, 0.0)


def _encode_neuron(encoding, partition, k, i, state, cells):
    """Rows of a neuron that is not stable on the whole box."""
    if (state == _OPEN).any():
        encode_big_m(encoding, k, i)
        _link(encoding, k, i, state, cells)
    else:
        _encode_decided(encoding, partition, k, i, state, cells)


def _link(encoding, k, i, state, cells):
    """Indicators follow the cells in which the neuron is stable."""
    new = encoding.reformulation
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
                encoding.add_row(
                    (k, i, f"cells_{word}{label}"),
                    [1.0, *[sign] * len(at)],
                    [z, *(cells[c] for c in at)],
                    **limits,
                )


def _encode_decided(encoding, partition, k, i, state, cells):
    """Rows of a neuron whose state each cell decides: no indicator of its own.

    With off, on and at the sets of cells in which it is inactive, active, at its
    ceiling c: ``v - sum_at (U - c) cell <= x <= v - sum_off L cell`` and
    ``sum_at c cell <= x <= sum_on U cell + sum_at c cell``.
    """
    lower, upper = partition.lowers[k][:, i], partition.uppers[k][:, i]
    off, on, at = (
        np.flatnonzero(state == s).tolist() for s in (_INACTIVE, _ACTIVE, _AT_CEILING)
    )
    v, x = encoding.columns.pre[k][i], encoding.columns.post[k][i]
    ceiling = float(encoding.network.layers[k].ceiling[i]) if at else 0.0
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
        encoding.add_row((k, i, label), coefs, variables, **limits)


def set_cell_start(encoding, x):
    """Set the cells, the positions within them, and indicators that they decide.

    A point on the border of two cells belongs to the first; a pre-activation of zero
    then has the state that this cell gives it.
    """
    new, details = encoding.reformulation, encoding.details
    lower, upper = details["lower"], details["upper"]
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
            state = details["states"][k][chosen, i]
            if state != _OPEN:
                var.set_value(int(state >= least), skip_validation=True)


def _linear(coefs, variables):
    return LinearExpression(linear_coefs=coefs, linear_vars=variables)
