"""Which routes a model gets, in which order and with which share of the time.

Measured on the set in ``benchmarks/regret``: a tree's work grows with the inputs that
have to be split, a MILP's with the neurons that are unstable, a decomposition's with the
inputs of the widest function.  Functions of one input are exact in a MILP and cost it
little.
"""

from typing import NamedTuple

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_batch
from pyomo_relu.common.wording import counted
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.linear.freedom import free_inputs
from pyomo_relu.linear.sessions.choice import is_installed
from pyomo_relu.portfolio.convex.outer import OuterApproximation
from pyomo_relu.portfolio.convex.route import OuterRoute
from pyomo_relu.portfolio.routes import DecompositionRoute, MILPRoute, TreeRoute

#: Up to so many inputs the tree is as quick as any MILP by HiGHS.
_QUICK_INPUTS = 6

#: So many unstable neurons cost a MILP by HiGHS what one more input costs the tree.
_NEURONS_PER_INPUT = 8

#: The same of Gurobi: measured on two networks of six and seven inputs and 3x16 neurons,
#: 95 of them unstable, it takes 0.9 to 1.1 seconds of processor time and the tree 1.8 to
#: 2.5; of 4x16, 122 unstable, 1.9 and 4.1.
_QUICK_FOR_GUROBI, _GUROBI_NEURONS_PER_INPUT = 5, 18

#: Up to so many inputs of each function decomposition is the quickest: a cover of boxes
#: that is fine enough has few of them.
_COVERED_INPUTS = 3

#: With more inputs than these in all a tree over all of them has no chance against it.
_TREE_INPUTS = 20

#: Of more unstable neurons than these no MILP is begun: writing it takes longer than the
#: other routes do (measured with scenarios of a problem of two inputs).
_MILP_NEURONS = 4_000

#: Up to so many functions decomposition goes beside a tree over few inputs.
_BESIDE = 1_000

#: Most boxes of one network on which its unstable neurons are counted; the others count
#: like these.
_COUNTED = 64

#: With more neurons in networks of few inputs the tree is alone with convex models:
#: measured on 20 networks of three inputs, tightening took longer than its best point.
_MANY_NEURONS = 100

#: Seconds for which the first route is alone, and its share of the time afterwards.
_ALONE, _FIRST = 0.8, 3.0


class Planned(NamedTuple):
    """A route with its share of the time, and the seconds after which it may begin."""

    route: object
    weight: float = 1.0
    delay: float = 0.0


class Sizes(NamedTuple):
    """What decides.

    Attributes
    ----------
    functions : int
    inputs : int
        Columns that functions read and that neither functions nor equations compute.
    integers : int
        Integer columns that vary.
    wide : int
        Functions of more than one varying input.
    widest : int
        Most varying inputs of a function.
    unstable : int
        Neurons of wide functions; where one has too many inputs to be covered by boxes,
        those that CROWN leaves unstable.
    """

    functions: int
    inputs: int
    integers: int
    wide: int
    widest: int
    unstable: int

    def __str__(self):
        inputs = counted(self.inputs, "input")
        if not self.wide:
            return f"{inputs}, curves"
        number, noun = counted(self.unstable, "neuron").split(" ")
        kind = "unstable " if self.widest > _COVERED_INPUTS else ""
        return f"{inputs}, {number} {kind}{noun}"


def plan(model, options, solver):
    """Routes for a model.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    solver : str
        "highs", "gurobi" or "auto".

    Returns
    -------
    routes : list of Planned
        In the order of their beginning.
    reason : str
    """
    if not all(isinstance(f, EmbeddedNetwork) for f in model.functions):
        return _nonlinear(model, options, solver)
    found = sizes(model)
    order = [by_name(model, options, solver)[name] for name in _order(found, solver)]
    planned = [Planned(order[0], _FIRST)]
    planned += [
        Planned(route, 1.0, at * _ALONE) for at, route in enumerate(order[1:], 1)
    ]
    return planned, str(found)


def _nonlinear(model, options, solver):
    """Routes for a model with atoms: tangents where they say all, of few binaries."""
    tree, outer = TreeRoute(model, options), OuterApproximation(model)
    if not outer.convex:
        return [Planned(tree)], "nonlinear"
    found = sizes(outer.relaxed.without_fixed_inputs())
    if found.widest <= _COVERED_INPUTS and found.unstable > _MANY_NEURONS:
        return [Planned(tree)], f"convex, {found}"
    tangents = OuterRoute(model, options, solver, outer)
    # of composed functions neither is the quicker one as a rule
    share = 1.0 if outer.composed else _FIRST
    return [Planned(tangents, share), Planned(tree, 1.0, _ALONE)], f"convex, {found}"


def _order(found, solver):
    """Names of routes, the most promising one first."""
    if found.unstable > _MILP_NEURONS:
        return _of_many_neurons(found)
    quick, per_input = _QUICK_INPUTS, _NEURONS_PER_INPUT
    if solver == "gurobi" or (solver == "auto" and is_installed("gurobi")):
        quick, per_input = _QUICK_FOR_GUROBI, _GUROBI_NEURONS_PER_INPUT
    few = found.unstable < per_input * found.inputs and found.inputs > quick
    others = ("milp", "branch") if few or not found.wide else ("branch", "milp")
    if found.widest > _COVERED_INPUTS or not found.functions:
        return others
    if not found.wide:
        return "milp", "decompose"
    if found.inputs > _TREE_INPUTS:
        others = ("milp",)
    if found.functions == 1 or found.inputs <= _COVERED_INPUTS:
        return "branch", "decompose", "milp"
    return "decompose", *others


def _of_many_neurons(found):
    """As ``_order``, without a MILP: scenarios on shared inputs, or many units."""
    if found.inputs <= _QUICK_INPUTS:
        beside = 1 < found.functions <= _BESIDE and found.widest <= _COVERED_INPUTS
        return ("branch", "decompose") if beside else ("branch",)
    if found.widest > _COVERED_INPUTS:
        return ("branch",)
    if found.inputs > _TREE_INPUTS:
        return ("decompose",)
    return "decompose", "branch"


def by_name(model, options, solver):
    """All routes there are: {name: route}."""
    return {
        "branch": TreeRoute(model, options),
        "milp": MILPRoute(model, options, solver),
        "decompose": DecompositionRoute(model, options),
    }


def sizes(model):
    """The Sizes of a model.

    Parameters
    ----------
    model : EmbeddedModel
    """
    linear = model.linear
    varies = linear.lower < linear.upper
    free = [int(np.count_nonzero(varies[f.inputs])) for f in model.functions]
    wide, widest = sum(n > 1 for n in free), max(free, default=0)
    networks = {}
    for f, n in zip(model.functions, free, strict=True):
        if n > 1:
            networks.setdefault(f.network, []).append(f.inputs)
    unstable = 0
    for network, inputs in networks.items():
        boxes = linear.lower[inputs], linear.upper[inputs]
        if widest <= _COVERED_INPUTS or not np.isfinite(boxes).all():
            unstable += len(inputs) * network.n_neurons
        else:
            unstable += _unstable(network, *boxes)
    return Sizes(
        len(model.functions),
        free_inputs(model),
        int(np.count_nonzero(varies & linear.integer)),
        wide,
        widest,
        unstable,
    )


def _unstable(network, lower, upper):
    """Neurons that CROWN leaves unstable, summed over boxes."""
    boxes, count = np.unique(np.stack([lower, upper], 1), axis=0, return_counts=True)
    some = boxes[:_COUNTED]
    bounds = crown_batch(network, some[:, 0], some[:, 1], unstable_only=True)
    each = np.zeros(len(some))
    for layer, lo, hi in zip(network.activation_layers, *bounds, strict=False):
        crosses = (lo < 0) | (hi > layer.ceilings)
        each += (crosses & (hi > 0) & (lo < layer.ceilings)).sum(axis=1)
    counted = count[: len(some)]
    return int(np.rint((each @ counted) * count.sum() / counted.sum()))
