r"""relu.cells: the input box is split into cells, with linear bounds on each.

The input box is covered by boxes [l_c, u_c], one binary cell_c each, and the inputs are
disaggregated in scaled form (inner_cj in [0, 1] is the position within the cell)::

    sum_c cell_c = 1        x_j = sum_c (l_cj cell_c + (u_cj - l_cj) inner_cj)
    0 <= inner_cj <= cell_c

On each cell CROWN gives linear functions below and above every output,
``A_c x + a_c <= y <= B_c x + b_c`` on cell c, which hold together as::

    sum_c (A_c x^c + a_c cell_c) <= y <= sum_c (B_c x^c + b_c cell_c)

with ``x^c = l_c cell_c + (u_c - l_c) inner_c``: the convex hull of the cells' bounds, so
the root relaxation comes close to the convex envelope of the network.  A neuron that is
unstable in some cell keeps its big-M rows, with the bounds of all cells joined, and its
indicator z is fixed by the cells in which the neuron is stable::

    z >= sum_{c: active in c} cell_c        z <= 1 - sum_{c: inactive in c} cell_c

A neuron that is stable in every cell has no indicator of its own.  A network of one
varying input is affine between finitely many points: the cells are then its pieces, their
lines are the network itself, and no neuron rows are needed (``drop_neurons``; pre- and
post-activations are then no part of the model and get values from ``initialize()``).
Such pieces are filled one after the other, by increments (``transform.parts.piece_rows``).

Cells are refined where the lines are furthest apart and, with a linear objective, where
the relaxation of the whole model uses a cell, or soon would by its reduced cost, whose
lines are still apart; halves that turn out to be of no use become one cell again.
With ``scope="model"`` the model's rows and bounds among one network's inputs and outputs
are imposed on each cell, ``g x^c <= h cell_c``, and cells that they empty are left out.

Choose it for one input, and for up to three where the solver's own tree is weak (with
four, ``relu.bigm`` on tightened bounds was quicker).

Sources: Croxton, Gendron and Magnanti, Management Science 49 (2003), the multiple choice
model; Markowitz and Manne, Econometrica 25 (1957), increments; Zhang et al., NeurIPS
2018 (CROWN); input-space branching as in verification.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyomo.common.collections import ComponentMap, ComponentSet
from pyomo.common.config import (
    Bool,
    ConfigValue,
    document_class_CONFIG,
)
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory

from pyomo_relu import bounds as bounds_
from pyomo_relu.common.options import non_negative
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.conditions import ModelConditions
from pyomo_relu.model.options import declare
from pyomo_relu.model.reads import (
    neurons_read,
    variables_read,
)
from pyomo_relu.model.surrounding import read_surrounding, warn_of_left_out
from pyomo_relu.transform.base import (
    NetworkFormulation,
    check_encoded,
)
from pyomo_relu.transform.declaration import Adds
from pyomo_relu.transform.formulations.cells.partitions import (
    default_cells,
    first_cells,
)
from pyomo_relu.transform.formulations.cells.rows import CellEncoding, encode_cells
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.plan import Plan, outputs_bounded

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict

    from pyomo_relu.block.block import ReLUNetworkBlockData
    from pyomo_relu.common.types import FloatArray


logger = logging.getLogger("pyomo.relu")


def _declare_cells(config):
    declare(
        config,
        "max_cells",
        doc="""
        Default: 256 for one input (exact pieces, if there are no more), 192 for two
        inputs, 448 for three, 256 for more.""",
    )
    config.declare(
        "guided",
        ConfigValue(
            default=True,
            domain=Bool,
            description="refine where the relaxation of the whole model needs it",
            doc="""
            Needs a linear objective; without one, or with False, cells are refined by
            the distance of their lines only.  Any choice of cells is exact: the
            encoding stays valid when the objective or other rows change.""",
        ),
    )
    declare(
        config,
        "scope",
        doc="""
        With "model" the rows and bounds that the model has among the inputs and outputs
        of one network are imposed on each cell.  The encoding is then valid for models
        at least as tight: apply it again after relaxing such a row, or unfixing an
        output; ``forward_error()`` refuses if that was forgotten.""",
    )
    config.declare(
        "drop_neurons",
        ConfigValue(
            default=True,
            domain=Bool,
            description="leave neurons out where the cells' lines are the network",
            doc="""
            Only where one input varies, and only if nothing else in the model reads
            their pre- or post-activations.""",
        ),
    )
    config.declare(
        "tolerance",
        ConfigValue(
            default=1e-5,
            domain=non_negative,
            description="distance of the lines, relative to the output's range, that "
            "is not refined any further",
        ),
    )
    return declare(config, "time_limit", "relaxation_solver")


@dataclass(frozen=True)
class CellPlan(Plan):
    """The cells of each block.

    Attributes
    ----------
    partitions : ComponentMap
        From block to (NeuronBounds, given M, CellPartition).
    dropped : ComponentSet
        Blocks whose neurons are left out.
    conditions : ModelConditions or None
        What the cells rest on, with ``scope="model"``.
    """

    partitions: ComponentMap
    dropped: ComponentSet
    conditions: ModelConditions | None


@TransformationFactory.register(
    "relu.cells", doc="Encode ReLU network blocks with cells of the input box"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Cells(NetworkFormulation):
    """Encode ReLU network blocks with cells; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.cells", n_inputs=1)
    within[1,begins]: begun[1] - inner[0]  <=  0
    within[1,goes_on]: inner[1] - begun[1]  <=  0
    input_rows[0]: inputs[0] - 0.5*inner[0] - 1.5*inner[1]  ==  -1
    output_rows[0,lower]: outputs[0] - 6*inner[1]  ==  0
    """

    NAME = "relu.cells"
    ADDS = (
        Adds(
            "network of n inputs, m outputs and C cells",
            binaries="C",
            variables="C*n",
            rows="1 + n + C*n + 2*m",
        ),
        Adds(
            "network of one varying input, m outputs and C pieces",
            binaries="(C - 1)",
            variables="C",
            rows="2*(C - 1) + m",
        ),
        Adds("neuron that is unstable in a cell", binaries=1, rows=3),
        Adds("such a neuron that is active in another", rows=1),
        Adds("such a neuron that is inactive in another", rows=1),
    )
    SOURCE = "Croxton et al. 2003; CROWN"
    USE = (
        "up to 3 inputs, above all several coupled networks; one input: exact "
        "pieces, m rows for the outputs and no neurons"
    )
    CONFIG: ConfigDict = _declare_cells(declare(NetworkFormulation.CONFIG(), "bigM"))
    RENAMED = (("solver", "relaxation_solver"),)
    HANDLES_CEILINGS = True

    # -- choosing the cells --------------------------------------------------------

    def _prepare(self, model, blocks, plan):
        from pyomo_relu.common.deadline import Deadline

        config, reading = plan.config, plan.call.reading
        partitions, dropped, conditions = ComponentMap(), ComponentSet(), None
        deadline = Deadline(config.time_limit)
        surrounding = read_surrounding(model.model(), blocks, plan.fixed_permanent)
        if config.scope == "model":
            warn_of_left_out(surrounding, self.NAME)
            conditions = ModelConditions(model.model(), surrounding)
        read = variables_read(surrounding)
        networks, wanted = [], []
        with outputs_bounded(reading) as note:
            functions = surrounding.embedded.functions
            for block, function in zip(blocks, functions, strict=True):
                columns = function.inputs, function.outputs
                rows = (
                    _own_rows(surrounding.linear, *columns)
                    if config.scope == "model"
                    else None
                )
                bounds, given = tightened_by_given_m(
                    block, plan.crown_bounds(block), config.bigM
                )
                note(block, bounds)
                wanted.append((bounds, given, rows, self._limit(block, bounds, config)))
            first = first_cells([(b, *more) for b, _, *more in wanted], config)
            for block, function, partition, (bounds, given, _, limit) in zip(
                blocks, functions, first, wanted, strict=True
            ):
                partitions[block] = bounds, given, partition
                networks.append((partition, function.inputs, function.outputs, limit))
                if (
                    config.drop_neurons
                    and partition.exact
                    and neurons_read(block, read, reading) is None
                ):
                    dropped.add(block)
        self._refine(surrounding, networks, config, deadline)
        return CellPlan(config, plan.call, partitions, dropped, conditions)

    def _limit(self, block, bounds, config):
        """How many cells a block may have."""
        free = bounds.n_varying
        limit = config.max_cells or default_cells(free)
        if 2**free > limit:
            raise TransformationError(
                f"{self.NAME}: '{block.name}' has {free} inputs that vary; halving "
                f"each of them once takes 2^{free} = {2**free} cells, and max_cells is "
                f"{limit}. Use relu.obbt and relu.bigm for so many inputs, fix or "
                "bound some of them, or give max_cells."
            )
        return limit

    def _refine(self, surrounding, networks, config, deadline):
        from pyomo_relu.bounds.cells.boxes import refine_together
        from pyomo_relu.bounds.cells.refinement import CellRefinement

        reason = "not guided"
        if config.guided and surrounding.costs is not None:
            refinement = CellRefinement(
                surrounding.linear,
                surrounding.costs,
                networks,
                config.relaxation_solver,
            )
            reason = refinement.run(config.tolerance, deadline.left())
            if refinement.values:
                reason += (
                    f", relaxation {refinement.values[0]:.6g} to "
                    f"{refinement.values[-1]:.6g} in "
                    f"{counted(len(refinement.values), 'round')}"
                )
        elif config.guided:
            limits = [(partition, limit) for partition, _, _, limit in networks]
            refine_together(limits, config.tolerance)
        logger.info(
            f"{self.NAME}: {[len(partition) for partition, *_ in networks]} cells "
            f"({reason})"
        )

    # -- encoding ------------------------------------------------------------------

    def _bounds(self, block, plan):
        bounds, given, partition = plan.partitions[block]
        union = bounds_.NeuronBounds(
            bounds.network,
            [a.min(axis=0) for a in partition.lowers],
            [a.max(axis=0) for a in partition.uppers],
            "split",
            bounds.input_lower,
            bounds.input_upper,
        )
        both = bounds.intersect(union)
        ends = both.lower, both.upper
        before = bounds.lower, bounds.upper
        return both, {
            (k, i, side): source
            for (k, i, side), source in given.items()
            if ends[side][k][i] == before[side][k][i]  # the cells' may be tighter
        }

    def _encode(self, rows, plan):
        *_, partition = plan.partitions[rows.block]
        with_neurons = rows.block not in plan.dropped
        states = encode_cells(rows, partition, with_neurons)
        return CellEncoding(
            type(self), rows, partition, states, with_neurons, plan.conditions
        )

    def get_cells(self, block: ReLUNetworkBlockData) -> tuple[FloatArray, FloatArray]:
        """The cells of an encoded block.

        Returns
        -------
        lower, upper : numpy.ndarray, shape (C, n_inputs)
        """
        encoding = check_encoded(block)
        if not isinstance(encoding, CellEncoding):
            raise TransformationError(
                f"'{block.name}' is encoded by {encoding.formulation.NAME}, which has "
                "no cells; apply relu.cells."
            )
        return encoding.lower, encoding.upper


def _own_rows(linear, inputs, outputs):
    """Rows ``a x + b y <= rhs`` of a model among one network's inputs and outputs.

    Returns
    -------
    a, b, rhs : numpy.ndarray, shapes (R, n_inputs), (R, n_outputs), (R,)
    """
    if len({*inputs.tolist(), *outputs.tolist()}) < len(inputs) + len(outputs):
        return None  # one Var in two roles: its rows cannot be told apart
    foreign = np.ones(linear.n_columns)
    foreign[inputs] = foreign[outputs] = 0.0
    matrix = abs(linear.matrix)
    own = (matrix @ foreign == 0) & (matrix @ (1.0 - foreign) > 0)
    rows = linear.matrix[np.flatnonzero(own)]
    a, b = rows[:, inputs].toarray(), rows[:, outputs].toarray()
    n, m = len(inputs), len(outputs)
    a = np.concatenate([a, -a, np.zeros((2 * m, n))])
    b = np.concatenate([b, -b, np.eye(m), -np.eye(m)])
    rhs = np.concatenate(
        [
            linear.row_upper[own],
            -linear.row_lower[own],
            linear.upper[outputs],
            -linear.lower[outputs],
        ]
    )
    finite = np.isfinite(rhs)
    return a[finite], b[finite], rhs[finite]
