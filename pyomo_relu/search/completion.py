"""From one point per network to a feasible point of the whole model: completion."""

from dataclasses import replace

import numpy as np
from pyomo.core.base import Objective
from pyomo.network import Arc

from pyomo_relu.common.arguments import checked, kind, optional, seconds
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.model.declared_bounds import declared_bounds
from pyomo_relu.model.surrounding import check_domains
from pyomo_relu.model.unread import remedy
from pyomo_relu.search.regions.walk import solve_region


@checked(
    ModelError,
    surrounding=kind("model.surrounding", "Surrounding"),
    time_limit=optional(seconds),
)
def polish(surrounding, points, time_limit=None):
    """The best feasible point with every network in the linear region of its point.

    Within the regions the networks are affine, so the modeller's rows, the region rows
    and ``outputs = C inputs + d`` form one linear (or, with integer columns,
    mixed-integer) programme in the modeller's columns.  Its solution is finished by
    the networks' forward pass and checked against every row, bound and integrality
    within 1e-6 in unit range (``linear.embedded``).

    Parameters
    ----------
    surrounding : Surrounding
    points : sequence of array_like, shapes (n_inputs,)
        One per network, in the order of ``surrounding.blocks``; need not be feasible.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    (float, numpy.ndarray of shape (n_columns,)) or None
        ``costs . columns + cost_constant`` (a minimisation, whatever the modeller's
        sense) and the column values; None if these regions hold no feasible point or
        none was found in time.

    Raises
    ------
    ModelError
        If the model has a row or objective that is not linear.
    """
    check_linear(surrounding)
    problem = problem_of(surrounding)
    columns = problem.units.columns
    start = with_points(problem, points) / columns
    found = solve_region(problem.in_unit_range(), start, time_limit)
    if found is None:
        return None
    found = found * columns
    return float(surrounding.embedded.objective(found)), found


def with_points(problem, points):
    """Column values that hold one point per network; all else is zero.

    Raises
    ------
    ModelError
        If the number of points or of their entries does not fit.
    """
    columns = np.zeros(problem.n_columns)
    networks = [f for f in problem.functions if isinstance(f, EmbeddedNetwork)]
    if len(points) != len(networks):
        raise ModelError(
            f"got {counted(len(points), 'point')} for "
            f"{counted(len(networks), 'network')}; "
            "give one per network block, in the model's order."
        )
    for function, point in zip(networks, points, strict=True):
        point = np.ravel(np.asarray(point, dtype=float))
        if point.size != function.inputs.size:
            raise ModelError(
                f"the point for '{function.network.name}' has {counted(point.size, 'entry')}, "
                "the network "
                f"{counted(function.inputs.size, 'input')}."
            )
        columns[function.inputs] = point
    return columns


def check_linear(surrounding):
    """Refuse a model that is not linear around its networks.

    Raises
    ------
    ModelError
        With the names of the rows, disjunctions, objectives or Vars at fault.
    """
    check_domains(surrounding, "a search")
    if not surrounding.left_out:
        return
    names = ", ".join(f"'{c.name}'" for c in surrounding.left_out[:5])
    more = len(surrounding.left_out) - 5
    raise ModelError(
        "a search needs a model that is linear (or mixed-integer linear) apart from "
        "its network blocks and has at most one objective. At fault: "
        f"{names}{f' and {more} more' if more > 0 else ''}. Reformulate what is not "
        "linear (disjunctions by TransformationFactory('gdp.bigm')), or deactivate it "
        "and all objectives but one."
    )


def check_class(surrounding, name):
    """Refuse what is no row between continuous and integer Vars.

    Parameters
    ----------
    surrounding : Surrounding
        Read with atoms.
    name : str
        Who cannot take it, for messages.

    Raises
    ------
    ModelError
        With the names of the objectives, or of the first component at fault.
    """
    objectives = [c for c in surrounding.left_out if c.ctype is Objective]
    if len(objectives) > 1:
        raise ModelError(
            f"{name}: the model has several active objectives: "
            f"{', '.join(c.name for c in objectives)}. Deactivate all but one."
        )
    for component in surrounding.left_out:
        article = "an" if component.ctype is Arc else "a"
        raise ModelError(
            f"{name}: '{component.name}' is {article} {component.ctype.__name__}; it takes "
            "models of rows between continuous and integer Vars apart from their "
            f"ReLUNetworkBlocks. {remedy(component)}"
        )
    check_domains(surrounding, name)


def problem_of(surrounding):
    """The EmbeddedModel of a Surrounding that a search works on, without constant.

    Bounds that a formulation or a bound method put on outputs are taken off again: the
    networks imply them, so they restrict nothing.
    """
    linear = surrounding.linear
    lower, upper = linear.lower.copy(), linear.upper.copy()
    declared = declared_bounds(surrounding)
    for block in surrounding.blocks:
        columns = [surrounding.column(v) for v in block.output_vars()]
        lower[columns], upper[columns] = (ends[columns] for ends in declared)
    linear = linear.replace(lower=lower, upper=upper)
    return replace(surrounding.embedded, linear=linear, constant=0.0)
