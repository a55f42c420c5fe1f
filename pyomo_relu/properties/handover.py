"""One disjunct as a model for the branch and bound: where inputs are many."""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.problem.joint_parts import only_outputs
from pyomo_relu.branch.statuses import INFEASIBLE
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import ModelBuilder

#: MILP solvers' bounds are believed beyond this share of the rows' size.
_TOLERANCE = 1e-6


@dataclass
class TreeAnswer:
    """What the branch and bound says of one disjunct.

    Attributes
    ----------
    bound : float
        Lower bound of its largest row, less what solvers and rounding may miss.
    point : numpy.ndarray or None, shape (n_inputs,)
        The best point found.
    nodes : int
    """

    bound: float
    point: np.ndarray
    nodes: int


def by_tree(rows, case, allowance, deadline, seed):
    """Minimise a case's largest row: ``min t, t >= row_i(x)``, until its sign is known.

    Parameters
    ----------
    rows : Network
        Whose outputs are the property's rows.
    case : Case
    allowance : numpy.ndarray, shape (n_rows,)
    deadline : Deadline
    seed : int

    Returns
    -------
    TreeAnswer
    """
    n, m = rows.n_inputs, case.rows.size
    network = only_outputs(rows, case.rows)
    bounds = crown_bounds(network, case.lower, case.upper)
    low, high = bounds.lower[-1], bounds.upper[-1]
    centre = network.forward(0.5 * (case.lower + case.upper)[None])[0]
    margin = float(allowance[case.rows].max() + _TOLERANCE * (1 + np.abs(centre).max()))
    if low.max() > margin:
        return TreeAnswer(float(low.max() - margin), None, 1)
    builder = ModelBuilder(n_columns=0)
    inputs = builder.add_columns(case.lower, case.upper)
    outputs = builder.add_columns(low, high)
    largest = builder.add_columns([low.max()], [high.max()])
    every = np.repeat(largest, m)
    builder.add_rows([(outputs, 1.0), (every, -1.0)], np.full(m, -np.inf), np.zeros(m))
    costs = np.zeros(n + m + 1)
    costs[largest] = 1.0
    model = EmbeddedModel(
        builder.build(), (EmbeddedNetwork(network, inputs, outputs),), costs
    )
    options = BranchOptions(
        time_limit=deadline.left(),
        seed=seed,
        stop_at=-margin,
        prove_above=2 * margin,
        mip_gap=0.0,
        abs_gap=0.1 * margin,
    )
    result = branch(build_problem(model), options)
    point = None if result.full is None else result.full[:n]
    bound = np.inf if result.status == INFEASIBLE else result.bound
    return TreeAnswer(float(bound - margin), point, result.nodes)
