"""Bound tightening with a whole linear model around one or several networks.

The modeller's rows, links between networks and bounds on outputs enter the LPs
(Grimstad and Andersson 2019, "RR"); integer columns are relaxed.  What comes out holds
at every feasible point of the model, not on the whole input box.
"""

import logging
import time
from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.bounds.obbt.layerwise import (
    finish,
    finish_row,
    layer_row,
    layer_targets,
    replace_layer,
)
from pyomo_relu.bounds.obbt.run import Targets
from pyomo_relu.bounds.relaxation.model import relax_model, unit_costs
from pyomo_relu.bounds.relaxation.network import affine_costs
from pyomo_relu.bounds.statistics import LayerStatistics, TighteningStatistics
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.column_bounds import bound_free_columns
from pyomo_relu.linear.embedded import EmbeddedModel

logger = logging.getLogger("pyomo.relu.bounds")

#: The method name in NeuronBounds.source and in statistics.
MODEL = "model"


@dataclass
class ModelBounds:
    """What ``tighten_model`` found; holds at every feasible point of the model.

    Parameters
    ----------
    lower, upper : numpy.ndarray, shape (n,)
        Bounds of the model's columns.
    networks : list of (NeuronBounds or None)
        Per network; None where an input has no finite bounds.
    unbounded : list of int
        Input columns that neither bounds nor constraints confine.
    statistics : TighteningStatistics
    """

    lower: np.ndarray
    upper: np.ndarray
    networks: list
    unbounded: list
    statistics: TighteningStatistics


class ModelTightening:
    """The state of one run over a linear model with networks in it.

    Parameters
    ----------
    model : EmbeddedModel
        Its functions are networks.
    run : OBBTRun
    box_bounds : callable
        ``box_bounds(network, lower, upper) -> NeuronBounds`` on an input box.
    """

    def __init__(self, model, run, box_bounds):
        self.model, self.embedded = model.linear, model.functions
        self._given, self._ends, self._parts = model.linear, None, {}
        self.run, self.box_bounds = run, box_bounds
        self.bounds = [None] * len(self.embedded)
        self.order = []
        self.statistics = TighteningStatistics()

    # -- steps ---------------------------------------------------------------------

    def find_boxes(self):
        """Give every network an input box and bounds on it, following the links."""
        self.propagate()
        progress = True
        while progress and len(self.order) < len(self.embedded):
            progress = False
            waiting = [i for i, b in enumerate(self.bounds) if b is None]
            missing = np.unique(
                np.concatenate([self.embedded[i].inputs for i in waiting])
            )
            self._bound_free(missing)
            for i in waiting:
                net = self.embedded[i]
                lower, upper = self.model.lower, self.model.upper
                ends = np.concatenate([lower[net.inputs], upper[net.inputs]])
                if np.all(np.isfinite(ends)):
                    self.bound_network(i)
                    self.order.append(i)
                    progress = True
            self.propagate()
        for i, b in enumerate(self.bounds):
            if b is None:
                names = [self.model.name(j) for j in self._unbounded(i)]
                self.statistics.note(
                    f"{self.embedded[i].name}: no bounds, because nothing confines "
                    f"{', '.join(names)}; its rows were left out of the relaxation"
                )

    def bound_network(self, i):
        """Bounds of network i on its present input box; narrows its outputs."""
        net = self.embedded[i]
        new = self.box_bounds(
            net.network, self.model.lower[net.inputs], self.model.upper[net.inputs]
        )
        if self.bounds[i] is not None:
            new = self._meet(i, new)
        self.bounds[i] = new
        self._narrow(net.outputs, new.lower[-1], new.upper[-1])

    def tighten_inputs(self):
        """LPs for the networks' input columns over the joint relaxation."""
        columns = np.unique(np.concatenate([net.inputs for net in self.embedded]))
        finite = np.isfinite(self.model.lower) & np.isfinite(self.model.upper)
        columns = columns[finite[columns]]
        if not columns.size:
            return
        start = time.perf_counter()
        lower, upper = self.model.lower[columns], self.model.upper[columns]
        row = LayerStatistics(MODEL, "inputs", -1, columns.size)
        row.width_before = row.width_after = float(np.mean(upper - lower))
        relaxation, _ = self.relaxation(self.that_matter())
        wanted = (upper > lower)[:, None] & np.ones((1, 2), dtype=bool)
        size = columns.size
        targets = Targets(
            unit_costs(columns, relaxation.n_columns),
            np.zeros(size),
            np.zeros(size),
            lower,
            upper,
            wanted,
            np.full(size, np.inf),
            upper - lower,
        )
        lower, upper = self._solve(relaxation, targets, row)
        self._narrow(columns, lower, upper)
        row.width_after = float(np.mean(upper - lower))
        row.seconds = time.perf_counter() - start
        self.statistics.layers.append(row)
        for i in self.order:
            self._shrink_box(i)

    def tighten_layer(self, i, k):
        """LPs for the unstable neurons of layer k of network i."""
        net, bounds = self.embedded[i], self.bounds[i]
        start = time.perf_counter()
        row = layer_row(MODEL, net.network, bounds, k)
        row.network = net.name
        targets = layer_targets(net.network, bounds, k, None, row)
        if targets.wanted.any():
            relaxation, columns = self.relaxation(self.that_matter(i))
            layer = net.network.layers[k]
            targets.costs = affine_costs(
                layer, columns[i], np.arange(layer.size), relaxation.n_columns
            )
            lower, upper = self._solve(relaxation, targets, row)
            self.bounds[i] = bounds = replace_layer(bounds, k, lower, upper, MODEL)
            if k == len(net.network.layers) - 1:
                self._narrow(net.outputs, bounds.lower[k], bounds.upper[k])
        finish_row(row, net.network, bounds, k, start)
        self.statistics.layers.append(row)

    def result(self):
        """The bounds in force."""
        unbounded = [j for i in range(len(self.bounds)) for j in self._unbounded(i)]
        return ModelBounds(
            self.model.lower,
            self.model.upper,
            self.bounds,
            sorted(set(unbounded)),
            self.statistics,
        )

    def relaxation(self, bounds=None):
        """The joint relaxation with the bounds in force, or these; see ``relax_model``."""
        model = EmbeddedModel(self.model, self.embedded)
        bounds = self.bounds if bounds is None else bounds
        return relax_model(model, bounds, self._parts)

    def that_matter(self, i=None):
        """The bounds of those networks that restrict inputs, or network i; None else.

        Any point of its box is an input of a network; if nothing depends on its outputs
        and their bounds are no more than what it reaches from the box, it restricts
        nothing but itself.
        """
        return [
            None if at in self.ends and at != i else b
            for at, b in enumerate(self.bounds)
        ]

    @property
    def ends(self):
        """The networks whose outputs neither rows nor networks nor bounds restrict."""
        if self._ends is None:
            given = self._given
            used = np.zeros(given.n_columns, dtype=bool)
            used[given.matrix.indices[given.matrix.data != 0]] = True
            ends = np.concatenate([net.inputs for net in self.embedded])
            used[ends] = True
            written = np.concatenate([net.outputs for net in self.embedded])
            used |= np.bincount(written, minlength=used.size) > 1
            self._ends = {
                i
                for i, (net, b) in enumerate(
                    zip(self.embedded, self.bounds, strict=True)
                )
                if b is not None
                and not used[net.outputs].any()
                and np.all(given.lower[net.outputs] <= b.lower[-1])
                and np.all(given.upper[net.outputs] >= b.upper[-1])
            }
        return self._ends

    # -- helpers -------------------------------------------------------------------

    def propagate(self):
        """Bounds that single rows imply."""
        lower, upper = propagate(self.model)
        self.model = self.model.replace(lower=lower, upper=upper)

    def _bound_free(self, columns):
        solver = self.run.solver
        lower, upper, solves = bound_free_columns(
            self.model, columns, solver, self.run.deadline
        )
        if solves:
            before = self.model.upper - self.model.lower
            found = np.isinf(before) & np.isfinite(upper - lower)
            row = LayerStatistics(MODEL, "inputs", -1, len(columns), solves)
            row.width_before = float(np.mean(before[columns]))
            row.width_after = float(np.mean((upper - lower)[columns]))
            row.tightened = int(found.sum())
            self.statistics.layers.append(row)
        self.model = self.model.replace(lower=lower, upper=upper)
        self.propagate()

    def _solve(self, relaxation, targets, row):
        lower, upper, infeasible = self.run.tighten(relaxation, targets, row)
        if infeasible or np.any(lower > upper):
            raise InfeasibleError(
                f"{row.network}: the model's bounds and constraints leave no feasible "
                "point together with its networks (proven by a relaxation)."
            )
        return lower, upper

    def _narrow(self, columns, lower, upper):
        new_lower, new_upper = self.model.lower.copy(), self.model.upper.copy()
        np.maximum.at(new_lower, columns, lower)
        np.minimum.at(new_upper, columns, upper)
        self.model = self.model.replace(lower=new_lower, upper=new_upper)
        self.propagate()

    def _shrink_box(self, i):
        """Recompute cheap bounds where a network's input box became smaller."""
        net, bounds = self.embedded[i], self.bounds[i]
        lower, upper = self.model.lower[net.inputs], self.model.upper[net.inputs]
        width = bounds.input_upper - bounds.input_lower
        if np.any(upper - lower < 0.999 * width):
            self.bound_network(i)

    def _meet(self, i, new):
        """``new`` intersected with network i's bounds, on the smaller box."""
        old = self.bounds[i]
        box = new.input_lower, new.input_upper
        lower = [np.maximum(a, b) for a, b in zip(old.lower, new.lower, strict=True)]
        upper = [np.minimum(a, b) for a, b in zip(old.upper, new.upper, strict=True)]
        if any(np.any(lo > hi) for lo, hi in zip(lower, upper, strict=True)):
            raise InfeasibleError(
                f"{self.embedded[i].name}: the model's bounds and constraints leave no "
                "feasible point together with this network."
            )
        source = [
            np.where((lo > a) | (hi < b), n, o)
            for lo, hi, a, b, n, o in zip(
                lower, upper, old.lower, old.upper, new.source, old.source, strict=True
            )
        ]
        return NeuronBounds(old.network, lower, upper, source, *box)

    def _unbounded(self, i):
        columns = self.embedded[i].inputs
        lower, upper = self.model.lower[columns], self.model.upper[columns]
        return [int(j) for j in columns[~(np.isfinite(lower) & np.isfinite(upper))]]


def run_model_obbt(tightening, neurons_only=False):
    """Inputs, then every network's layers in order, then the inputs once more.

    With ``neurons_only`` neither output layers nor the inputs once more: rows of a MILP
    get little from them.
    """
    start = time.perf_counter()
    run = tightening.run
    steps = [tightening.tighten_inputs]
    for i in tightening.order:
        for k in range(len(tightening.embedded[i].network.layers) - neurons_only):
            steps.append(lambda i=i, k=k: tightening.tighten_layer(i, k))
    if not neurons_only:
        steps.append(tightening.tighten_inputs)
    for step in steps:
        if run.interrupted:
            break
        if run.deadline.passed():
            tightening.statistics.time_limit_reached = True
            tightening.statistics.note(
                "LPs of some layers were not started: time limit"
            )
            break
        step()
    finish(tightening.statistics, run, start)
