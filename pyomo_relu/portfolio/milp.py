"""A whole model as one MILP: networks by big-M rows, functions of one input exactly."""

import numpy as np

from pyomo_relu.bounds.relaxation.convex_neurons import convex_neurons
from pyomo_relu.bounds.relaxation.curve_rows import (
    add_curve,
    bends,
    increments,
    without_straight_points,
)
from pyomo_relu.bounds.relaxation.network import add_big_m_network
from pyomo_relu.bounds.relaxation.switching_cuts import switching_cuts
from pyomo_relu.bounds.solver_free import part_of_split_budget
from pyomo_relu.bounds.tightening import tighten
from pyomo_relu.branch.bounding.lines.bounder import Curves
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.column_bounds import bound_free_columns
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.rounding import wide_enough
from pyomo_relu.network.layer import ACTIVE, AT_CEILING
from pyomo_relu.portfolio.envelopes import FunctionEnvelopes
from pyomo_relu.portfolio.one_sided import OneSided

#: A curve's points this close to the line through their neighbours, relative to the
#: curve's reach, are none.
_STRAIGHT = 1e-10


class Encoded:
    """An EmbeddedModel as a LinearModel with integer columns.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    turn : Turn, optional
        Pauses between networks.
    cuts : bool
        Whether cuts around binary columns are added.
    known : sequence of NeuronBounds, optional
        By function, of the model without fixed inputs.
    one_sided : OneSided, optional
        Of the model that this one is a relaxation of; its own if None.
    deadline : Deadline, optional
        Of the whole run: no more than half of what is left goes into bounds.

    Attributes
    ----------
    linear : LinearModel or None
        The model's columns first; None if it is proven to be infeasible.
    costs : numpy.ndarray, shape (n,)
    bounds : dict
        NeuronBounds by function, of those that are not curves.
    """

    def __init__(
        self,
        model,
        turn=None,
        cuts=True,
        known=None,
        one_sided=None,
        deadline=ENDLESS,
    ):
        self._known, self._deadline = known, deadline.part(2)
        self.model = model = model.without_fixed_inputs()
        self.linear = None
        self.bounds, self._big_m, self._pieces = {}, {}, {}
        curves = {}
        try:
            start = self._bounded(curves, turn)
            if cuts:
                lines = FunctionEnvelopes(model.functions, curves)
                pause = None if turn is None else turn.pause
                start = switching_cuts(
                    start, model.functions, lines, model.costs, pause
                )
        except InfeasibleError:
            return
        self._one_sided = one_sided or OneSided(model, *self._reach)
        builder = ModelBuilder(start)
        for i, found in curves.items():
            f, self._pieces[i] = model.functions[i], []
            ends = zip(found.inputs, found.outputs, found.curves, strict=True)
            for j, k, curve in ends:
                points, values = _points(curve)
                x, y = f.inputs[j], f.outputs[k]
                sign = self._one_sided.of_curve(y, values)
                exact = bends(points, values, sign) if sign else None
                columns = add_curve(builder, x, y, points, values, exact)
                self._pieces[i].append((j, points, columns))
        for i, bounds in self.bounds.items():
            f = model.functions[i]
            needed = self._convex(f, bounds)
            self._big_m[i] = add_big_m_network(
                builder, bounds, f.inputs, f.outputs, needed
            )
        linear = builder.build()
        integer = linear.integer.copy()
        for columns in self._big_m.values():
            for indicators in (*columns.z.values(), *columns.q.values()):
                integer[indicators[indicators >= 0]] = True
        self.linear = linear.replace(integer=integer)
        self.costs = np.zeros(linear.n_columns)
        self.costs[: model.n_columns] = model.costs

    def _bounded(self, curves, turn):
        """The linear model with finite boxes of all functions, which are bounded."""
        model = self.model
        lower, upper = propagate(model.linear)
        linear = model.linear.replace(lower=lower, upper=upper)
        open_ends = _endless(linear, model.input_columns())
        if open_ends.size:
            lower, upper, _ = bound_free_columns(linear, open_ends)
        known, reach = {}, (lower.copy(), upper.copy())
        for i in model.order():
            f = model.functions[i]
            box = lower[f.inputs], upper[f.inputs]
            own = None if self._known is None else self._known[i]
            key = f.network, box[0].tobytes(), box[1].tobytes(), id(own)
            if key not in known:
                known[key] = self._network(f.network, *box, own)
            if turn is not None:
                turn.pause()
            (curves if known[key][0] else self.bounds)[i], low, high = known[key][1:]
            reach[0][f.outputs], reach[1][f.outputs] = low, high
            lower[f.outputs] = np.maximum(lower[f.outputs], low)
            upper[f.outputs] = np.minimum(upper[f.outputs], high)
            if np.any(lower > upper):
                raise InfeasibleError("an output's bounds are out of reach.")
        self._reach = reach
        # no narrower than solvers resolve, unless the model says so
        ends = wide_enough(lower, upper)
        lower = np.where(
            model.linear.integer, lower, np.maximum(model.linear.lower, ends[0])
        )
        upper = np.where(
            model.linear.integer, upper, np.minimum(model.linear.upper, ends[1])
        )
        return linear.replace(lower=lower, upper=upper)

    def _convex(self, f, bounds):
        """Neurons that need no indicator; see ``convex_neurons``."""
        ends = bounds.lower[-1], bounds.upper[-1]
        return convex_neurons(bounds, self._one_sided.of_outputs(f.outputs, *ends))

    def settled(self, full):
        """The model's columns at a point of the MILP, with outputs as computed.

        What is only defined by outputs follows them.
        """
        return self._one_sided.settled(full[: self.model.n_columns])

    def _network(self, network, lower, upper, bounds):
        """Whether it is curves; Curves or NeuronBounds; its outputs' ranges."""
        curves = Curves(network, lower, upper)
        if len(curves) == network.n_outputs:
            low, high = curves.ranges(lower[None], upper[None])
            return True, curves, low[0], high[0]
        if bounds is None:
            cells = part_of_split_budget(network, lower, upper)
            left = self._deadline.left()
            bounds, _ = tighten(network, lower, upper, max_cells=cells, time_limit=left)
        return False, bounds, bounds.lower[-1], bounds.upper[-1]

    def complete(self, point):
        """All columns at a feasible point of the model, shape (n,)."""
        full = np.zeros(self.linear.n_columns)
        full[: self.model.n_columns] = point
        for i, pieces in self._pieces.items():
            for j, points, (d, z) in pieces:
                x = point[self.model.functions[i].inputs[j]]
                full[d], on = increments(x, points)
                full[z[z >= 0]] = on[z >= 0]
        for i, columns in self._big_m.items():
            f = self.model.functions[i]
            _set_big_m(full, f.network, columns, point[f.inputs])
        return np.clip(full, self.linear.lower, self.linear.upper)


def _endless(linear, columns):
    ended = np.isfinite(linear.lower[columns]) & np.isfinite(linear.upper[columns])
    return columns[~ended]


def _points(curve):
    """Points and values of a Curve, few of them."""
    values = 0.5 * (curve.low + curve.high)
    reach = values.max() - values.min()
    return without_straight_points(curve.points, values, _STRAIGHT * reach)


def _set_big_m(full, network, columns, x):
    """Values of a network's columns at one input."""
    pre = network.pre_activations(x[None])
    for k, layer in enumerate(network.layers):
        if k not in columns.pre:
            continue
        v = pre[k][0]
        full[columns.pre[k]] = v
        full[columns.post[k]] = layer.activate(v)
        state = layer.pattern(v)
        for indicator, value in (
            (columns.z[k], state >= ACTIVE),
            (columns.q[k], state == AT_CEILING),
        ):
            there = indicator >= 0
            full[indicator[there]] = value[there]
