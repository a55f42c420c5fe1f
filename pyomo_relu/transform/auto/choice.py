"""What relu.auto picks for a network, and about how large that will be."""

import logging
from typing import NamedTuple

from pyomo.common.collections import ComponentMap
from pyomo.common.dependencies import numpy as np

from pyomo_relu.common.wording import counted
from pyomo_relu.transform.formulations.cells.partitions import default_cells
from pyomo_relu.transform.parts.solver_paths import PATHS

logger = logging.getLogger("pyomo.relu")

#: Up to so many varying inputs cells pay for Gurobi; measured on networks of 2x20 to
#: 5x25.
_CELL_INPUTS = 3

#: With up to so many unstable neurons Gurobi proves big-M in less time than cells take to
#: prepare; measured on networks of 2x25 and 3x25.
_FEW_FOR_GUROBI = 50

#: Cells of three inputs for Gurobi: its free licence takes 2,000 columns.
_GUROBI_CELLS = 320

#: Up to so many varying inputs SOS1 sets were measured to pay for SCIP; with 10 neither
#: they nor big-M rows came to an end.
_SET_INPUTS = 8

#: Up to so many unstable neurons a solver needs no help.
_FEW_UNSTABLE = 12


class Step(NamedTuple):
    """A transformation by name, and the number of cells if that is not its default."""

    name: str
    max_cells: int | None = None


_BIG_M = Step("relu.bounds"), Step("relu.bigm")
_TIGHT_BIG_M = Step("relu.obbt"), Step("relu.bigm")
_SETS = Step("relu.obbt"), Step("relu.sos1")
_REDUCED = Step("relu.bounds"), Step("relu.reduce")


def choose(bounds, config, alone=True, linear=True):
    """What to apply to a block, in order, and the reason.

    Parameters
    ----------
    bounds : NeuronBounds
        By CROWN, of the block's network over its input box.
    config : ConfigDict
        Of ``relu.auto``.
    alone : bool
        Whether the model has no other network.
    linear : bool
        Whether the rows and the objective around the networks are.

    Returns
    -------
    steps : tuple of Step
    reason : str
    """
    free = int(np.count_nonzero(bounds.input_lower < bounds.input_upper))
    unstable, network = bounds.n_unstable, bounds.network
    size = (
        f"{unstable} of {counted(network.n_neurons, 'neuron')} in "
        f"{counted(len(network.layers) - 1, 'layer')} unstable, "
        f"{counted(free, 'input')} not fixed"
    )
    if unstable == 0:
        return _BIG_M, "all neurons are stable: no binaries"
    if free <= 1:
        return (Step("relu.cells"),), f"{size}: exact pieces"
    sets = is_scip(config) and alone and free <= _SET_INPUTS
    if sets and unstable > _FEW_UNSTABLE:
        return _SETS, f"{size}: SCIP branches best on SOS1 sets, one network"
    if not linear and unstable > _FEW_UNSTABLE:
        return _TIGHT_BIG_M, f"{size}: big-M on tightened bounds, nonlinear model"
    gurobi = is_gurobi(config)
    if gurobi and unstable > _FEW_FOR_GUROBI and free <= _CELL_INPUTS:
        cells = Step("relu.cells", _GUROBI_CELLS if free > 2 else None)
        return (cells,), f"{size}: cells of few inputs give the strongest root"
    if free == 2 and alone and linear:
        return (Step("relu.cells"),), f"{size}: cells of few inputs, one network"
    if unstable <= _FEW_UNSTABLE:
        return _BIG_M, f"{size}: too few to tighten further"
    if gurobi and free <= _CELL_INPUTS:
        return _BIG_M, f"{size}: Gurobi needs no help with so few"
    return _TIGHT_BIG_M, f"{size}: big-M on tightened bounds"


def is_gurobi(config):
    """Whether relu.auto was told a name of Gurobi's."""
    return "gurobi" in config.solver.lower()


def is_scip(config):
    """Whether relu.auto was told a path to SCIP that takes SOS1 sets."""
    return (
        "scip" in config.solver.lower() and config.solver in PATHS["SOS1 constraints"]
    )


#: Pyomo's interfaces that hand over Vars which stand in no row, too.
_HANDS_OVER_EVERY_VAR = ("gurobi_direct", "gurobi_persistent")


class Size(NamedTuple):
    """Columns, binaries among them, and rows."""

    columns: int
    binaries: int
    rows: int

    def plus(self, other):
        """The sum of both."""
        return Size(*(a + b for a, b in zip(self, other, strict=True)))


def expected_size(plans, found):
    """About how large the networks' part of the model will be.

    Parameters
    ----------
    plans : ComponentMap
        From block to (steps, reason).
    found : ComponentMap
        From block to NeuronBounds.

    Returns
    -------
    Size
    """
    size = Size(0, 0, 0)
    for block, (steps, _) in plans.items():
        size = size.plus(_SIZES[steps[-1].name](found[block], steps[-1].max_cells))
    return size


def _size_of_big_m(bounds, _):
    network, z = bounds.network, bounds.n_unstable
    ends = network.n_inputs + network.n_outputs
    columns = ends + 2 * network.n_neurons + z
    rows = network.n_neurons + network.n_outputs + bounds.n_stable + 4 * z
    copies = _n_copies(bounds, [True] * len(network.layers))
    return Size(columns + copies, z, rows + copies)


def _size_of_sets(bounds, _):
    size = _size_of_big_m(bounds, None)
    return Size(size.columns, 0, size.rows - bounds.n_unstable)


def _size_of_reduced(bounds, _):
    network, z = bounds.network, bounds.n_unstable
    ends = network.n_inputs + network.n_outputs
    copies = _n_copies(bounds, [bounds.unstable(k) for k in range(len(bounds.lower))])
    return Size(ends + 3 * z + copies, z, network.n_outputs + 4 * z + copies)


def _n_copies(bounds, masks):
    """How many copies neurons in far units get, of those in the masks."""
    from pyomo_relu.bounds.neuron_units import neuron_factors

    factors = neuron_factors(bounds) or ()
    pairs = zip(factors, masks, strict=False)
    return sum(2 * int(np.count_nonzero((s != 1.0) & mask)) for s, mask in pairs)


def _size_of_cells(bounds, max_cells):
    network = bounds.network
    free = int(np.count_nonzero(bounds.input_lower < bounds.input_upper))
    ends = network.n_inputs + network.n_outputs
    if free <= 1:
        pieces = min(default_cells(free), bounds.n_unstable + 1)
        return Size(ends + 2 * pieces - 1, pieces - 1, 2 * pieces - 2 + ends)
    cells = max_cells or default_cells(free)
    rows = 1 + ends + network.n_outputs + cells * free
    own = _size_of_big_m(bounds, None)
    return own.plus(Size(cells * (1 + free), cells, rows))


_SIZES = {
    "relu.bigm": _size_of_big_m,
    "relu.cells": _size_of_cells,
    "relu.reduce": _size_of_reduced,
    "relu.sos1": _size_of_sets,
}


def licensed(plans, found, config):
    """The plans, or smaller ones where Gurobi's licence does not take those.

    Parameters
    ----------
    plans, found : ComponentMap
        See ``expected_size``.
    config : ConfigDict
    """
    if not is_gurobi(config) or not plans:
        return plans
    from pyomo_relu.linear.sessions.gurobi import licence_takes

    def size_of(some):
        size = expected_size(some, found)
        if config.solver in _HANDS_OVER_EVERY_VAR:
            unused = sum(2 * b.network.n_neurons for b in found.values())
            size = size._replace(columns=size.columns + unused)
        return size

    size = size_of(plans)
    if licence_takes(size.columns, size.rows):
        return plans
    reason = "smaller, because Gurobi's licence does not take more"
    smaller = ComponentMap(
        (b, plan if _is_curve(found[b]) else (_REDUCED, reason))
        for b, plan in plans.items()
    )
    size = size_of(smaller)
    if not licence_takes(size.columns, size.rows):
        logger.warning(
            f"relu.auto: about {counted(size.columns, 'column')} and "
            f"{counted(size.rows, 'row')} are more than this Gurobi licence takes "
            "(the one that comes with the pip package: 2000 of each). Use HiGHS, "
            "SolverFactory('relu') or a full licence."
        )
    return smaller


def _is_curve(bounds):
    return np.count_nonzero(bounds.input_lower < bounds.input_upper) <= 1
