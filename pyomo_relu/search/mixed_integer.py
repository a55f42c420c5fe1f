r"""The networks of a search problem as big-M rows: relaxations and small MILPs.

Heuristics fix indicators in here, for restarts (``restart_points``) and for
Sample-and-MIP (``improve_by_mip``); what they find is verified elsewhere.

Every neuron with bounds L <= v <= U and ceiling c (inf without one) has an indicator z,
1 if it is active or at its ceiling, and an indicator q, 1 at the ceiling::

    v - (U - c)+ q <= x <= v - L (1 - z),   c q <= x <= min(c, U) z,   q <= z

Bounds that decide a state fix z and q.
"""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.network.layer import ACTIVE, AT_CEILING, INPUT

#: Sample-and-MIP frees this many neurons at most.
_FREED = 20

#: Seconds and gap of one small mixed-integer programme.
_MIP_SECONDS, _MIP_GAP = 5.0, 1e-4

#: Chance of flipping a neuron that the relaxation already has in its state, relative
#: to one that it has on the wrong side (the published value).
_FLIP_BIAS = 0.05


@dataclass(frozen=True)
class LayerColumns:
    """Columns and bounds of one layer of one network in a big-M model."""

    pre: np.ndarray
    post: np.ndarray
    z: np.ndarray
    q: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class BigMModel:
    """Big-M rows of all networks of a problem around the modeller's rows.

    Parameters
    ----------
    problem : EmbeddedModel
    relaxed : LinearModel
        The modeller's rows with finite bounds on all networks' inputs.

    Attributes
    ----------
    model : LinearModel
        Columns of the problem first; indicators are continuous.
    layers : list of list of LayerColumns
        Per network and activation layer.
    """

    def __init__(self, problem, relaxed):
        self.problem = problem
        builder = ModelBuilder(relaxed)
        self.layers = [self._add(builder, relaxed, f) for f in problem.functions]
        self.model = builder.build()

    def _add(self, builder, relaxed, function):
        network, inputs = function.network, function.inputs
        bounds = crown_bounds(network, relaxed.lower[inputs], relaxed.upper[inputs])
        layers = []
        for k, layer in enumerate(network.layers):
            blocks = []
            for (source, is_post), w in zip(layer.sources, layer.weights, strict=True):
                if source == INPUT:
                    blocks.append((inputs, -w))
                else:
                    part = layers[source]
                    blocks.append((part.post if is_post else part.pre, -w))
            if layer.activation == "identity":
                outputs = [(function.outputs, 1.0), *blocks]
                builder.add_rows(outputs, layer.bias, layer.bias)
                break
            columns = _add_neurons(builder, layer, bounds.lower[k], bounds.upper[k])
            builder.add_rows([(columns.pre, 1.0), *blocks], layer.bias, layer.bias)
            layers.append(columns)
        return layers

    def costs(self):
        """The problem's costs over all columns."""
        costs = np.zeros(self.model.n_columns)
        costs[: self.problem.n_columns] = self.problem.costs
        return costs

    def patterns(self, columns):
        """Activation patterns of all networks at column values of the problem."""
        return [
            [s[0] for s in f.network.activation_pattern(columns[f.inputs])]
            for f in self.problem.functions
        ]


def _add_neurons(builder, layer, lower, upper):
    size = layer.size
    ceiling = np.full(size, np.inf) if layer.ceiling is None else layer.ceiling
    down, up = np.minimum(lower, 0.0), np.maximum(upper, 0.0)
    level = np.minimum(ceiling, up)
    clipped = ceiling < upper
    v = builder.add_columns(lower, upper)
    x = builder.add_columns(np.zeros(size), level)
    z = builder.add_columns((lower >= 0).astype(float), (upper > 0).astype(float))
    q = builder.add_columns((lower >= ceiling).astype(float), clipped.astype(float))
    none, zero = np.full(size, -np.inf), np.zeros(size)
    over = np.where(clipped, up - level, 0.0)
    builder.add_rows([(v, 1.0), (x, -1.0), (q, -over)], none, zero)
    builder.add_rows([(x, 1.0), (v, -1.0), (z, -down)], none, -down)
    builder.add_rows([(x, 1.0), (z, -level)], none, zero)
    builder.add_rows([(q, level), (x, -1.0)], none, zero)
    builder.add_rows([(q, 1.0), (z, -1.0)], none, zero)
    return LayerColumns(v, x, z, q, lower, upper)


def restart_points(big_m, rng, clock):
    """Points of perturbed relaxations: one neuron per layer flipped after the other.

    Solves the relaxation, then in each layer fixes the indicator of one neuron to the
    opposite of its state at the last point; neurons that the relaxation has on the
    wrong side of their breakpoint are likelier to be picked.  A fixing that leaves no
    point is dropped.

    Source: Tong, Cai and Serra, arXiv 2401.03451, section 4 (restarts).

    Yields
    ------
    numpy.ndarray, shape (problem.n_columns,)
    """
    n, costs = big_m.problem.n_columns, big_m.costs()
    model = big_m.model
    answer = solve_linear(model, costs, clock.limit(_MIP_SECONDS), integer=False)
    if answer.primal is None:
        return
    yield answer.primal[:n]
    for b, layers in enumerate(big_m.layers):
        for k, layer in enumerate(layers):
            if clock.passed():
                return
            state = big_m.patterns(answer.primal[:n])[b][k] > 0
            free = model.lower[layer.z] < model.upper[layer.z]
            if not free.any():
                continue
            weight = np.abs(state - answer.primal[layer.z]) + _FLIP_BIAS
            weight = np.where(free, weight, 0.0)
            i = rng.choice(weight.size, p=weight / weight.sum())
            lower, upper = model.lower.copy(), model.upper.copy()
            lower[layer.z[i]] = upper[layer.z[i]] = float(not state[i])
            flipped = model.replace(lower=lower, upper=upper)
            trial = solve_linear(
                flipped, costs, clock.limit(_MIP_SECONDS), integer=False
            )
            if trial.primal is not None:
                model, answer = flipped, trial
                yield answer.primal[:n]


def improve_by_mip(big_m, columns, clock, freed=_FREED):
    """Better points in the linear regions around a feasible point, by one small MILP.

    The ``freed`` neurons nearest to a breakpoint, relative to their ranges, become
    binary; all others keep their state.

    Source: Perakis and Tsiourvas, arXiv 2205.14189 (Sample-and-MIP), who free the
    neurons with pre-activation 0 at the optimum of a region.

    Returns
    -------
    numpy.ndarray, shape (problem.n_columns,), or None
        Not verified; None if the MILP gives nothing.
    """
    model = big_m.model
    lower, upper = model.lower.copy(), model.upper.copy()
    integer = model.integer.copy()
    margins, at = [], []
    for f, layers in zip(big_m.problem.functions, big_m.layers, strict=True):
        network = f.network
        pre = network.pre_activations(columns[f.inputs])
        for k, layer in enumerate(layers):
            state = network.layers[k].pattern(pre[k][0])
            for own, value in (
                (layer.z, state >= ACTIVE),
                (layer.q, state == AT_CEILING),
            ):
                open_ = np.flatnonzero(lower[own] < upper[own])
                level = np.zeros(own.size)
                if own is layer.q:
                    ceiling = network.layers[k].ceiling
                    level = level if ceiling is None else ceiling
                width = layer.upper - layer.lower
                margins.append((np.abs(pre[k][0] - level) / width)[open_])
                at.append(own[open_])
                lower[own[open_]] = upper[own[open_]] = value[open_].astype(float)
    if at:  # networks without activation layers have no indicators
        at, margins = np.concatenate(at), np.concatenate(margins)
        free = at[np.argsort(margins, kind="stable")[:freed]]
        lower[free], upper[free], integer[free] = 0.0, 1.0, True
    small = model.replace(lower=lower, upper=upper, integer=integer)
    answer = solve_linear(
        small, big_m.costs(), clock.limit(_MIP_SECONDS), mip_gap=_MIP_GAP
    )
    return None if answer.primal is None else answer.primal[: big_m.problem.n_columns]
