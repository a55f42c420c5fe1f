"""The networks of a search problem as big-M rows: relaxations and small MILPs.

Heuristics fix indicators in here, for restarts (``restart_points``) and for
Sample-and-MIP (``improve_by_mip``); what they find is verified elsewhere.
"""

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.bounds.relaxation.network import add_big_m_network
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.network.layer import ACTIVE, AT_CEILING

#: Sample-and-MIP frees this many neurons at most.
_FREED = 20

#: Seconds and gap of one small mixed-integer programme.
_MIP_SECONDS, _MIP_GAP = 5.0, 1e-4

#: Chance of flipping a neuron that the relaxation already has in its state, relative
#: to one that it has on the wrong side (the published value).
_FLIP_BIAS = 0.05


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
    bounds : list of NeuronBounds
    columns : list of NetworkColumns
    """

    def __init__(self, problem, relaxed):
        self.problem = problem
        builder = ModelBuilder(relaxed)
        self.bounds, self.columns = [], []
        for f in problem.functions:
            box = relaxed.lower[f.inputs], relaxed.upper[f.inputs]
            self.bounds.append(crown_bounds(f.network, *box))
            self.columns.append(
                add_big_m_network(builder, self.bounds[-1], f.inputs, f.outputs)
            )
        self.model = builder.build()

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
    answer = solve_linear(model, costs, clock.left(_MIP_SECONDS), integer=False)
    if answer.primal is None:
        return
    yield answer.primal[:n]
    for b, columns in enumerate(big_m.columns):
        for k, z in columns.z.items():
            if clock.passed():
                return
            state = big_m.patterns(answer.primal[:n])[b][k] > 0
            free = z >= 0
            if not free.any():
                continue
            weight = np.abs(state - answer.primal[z]) + _FLIP_BIAS
            weight = np.where(free, weight, 0.0)
            i = rng.choice(weight.size, p=weight / weight.sum())
            lower, upper = model.lower.copy(), model.upper.copy()
            lower[z[i]] = upper[z[i]] = float(not state[i])
            flipped = model.replace(lower=lower, upper=upper)
            trial = solve_linear(
                flipped, costs, clock.left(_MIP_SECONDS), integer=False
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
    functions = big_m.problem.functions
    for f, bounds, own in zip(functions, big_m.bounds, big_m.columns, strict=True):
        pre = f.network.pre_activations(columns[f.inputs])
        for k, layer in enumerate(f.network.activation_layers):
            v, width = pre[k][0], bounds.upper[k] - bounds.lower[k]
            state = layer.pattern(v)
            for indicator, value, level in (
                (own.z[k], state >= ACTIVE, np.zeros(v.size)),
                (own.q[k], state == AT_CEILING, layer.ceilings),
            ):
                i = np.flatnonzero(indicator >= 0)
                margins.append(np.abs(v - level)[i] / width[i])
                at.append(indicator[i])
                lower[indicator[i]] = upper[indicator[i]] = value[i].astype(float)
    if at:  # networks without activation layers have no indicators
        at, margins = np.concatenate(at), np.concatenate(margins)
        free = at[np.argsort(margins, kind="stable")[:freed]]
        lower[free], upper[free], integer[free] = 0.0, 1.0, True
    small = model.replace(lower=lower, upper=upper, integer=integer)
    answer = solve_linear(
        small, big_m.costs(), clock.left(_MIP_SECONDS), mip_gap=_MIP_GAP
    )
    return None if answer.primal is None else answer.primal[: big_m.problem.n_columns]
