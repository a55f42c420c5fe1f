r"""relu.cuts: big-M rows, and rows of the ideal formulation where they cut something off.

For an unstable neuron ``x = max(0, w t + b)`` over the box ``l <= t <= u`` of what it
reads (l', u': the ends that minimise and maximise each ``w_j t_j``), each subset I of
the inputs gives a valid row::

    x <= sum_{j in I} w_j (t_j - l'_j (1 - z)) + (b + sum_{j not in I} w_j u'_j) z

All of them together with ``x >= v`` and ``x >= 0`` are the convex hull of the neuron
over the box; they are exponentially many, but the most violated one is found in one
pass.  The relaxation of the whole model (its linear rows and all networks that are
transformed together) is solved, violated rows are added, and so on until the bound stops
moving; rows that do not bind at the end are dropped.  What is left are ordinary rows, so
every solver profits, but only as far as the root.

The rows are chosen for the objective at hand and valid for any.  Without a linear
objective this is ``relu.bigm``.  The rows found (``get_cuts``) have up to as many
nonzeros as the neuron has weights.  Choose it for wide layers with many inputs, where a
box of the sources says much; with few inputs ``relu.cells`` is far stronger.

Source: Anderson, Huchette, Ma, Tjandraatmadja and Vielma, "Strong mixed-integer
programming formulations for trained neural networks", Mathematical Programming 183
(2020).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyomo.common.collections import ComponentMap
from pyomo.common.config import (
    ConfigValue,
    document_class_CONFIG,
)
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory

from pyomo_relu.common.options import non_negative
from pyomo_relu.common.wording import counted
from pyomo_relu.model.options import declare
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.transform.base import NetworkFormulation, check_encoded
from pyomo_relu.transform.declaration import BIG_M, CLIPPED, Adds
from pyomo_relu.transform.formulations.bigm import encode_big_m
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.plan import Plan, outputs_bounded

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict
    from pyomo.core.base.constraint import ConstraintData

    from pyomo_relu.block.block import ReLUNetworkBlockData


logger = logging.getLogger("pyomo.relu")


def _declare_cuts(config):
    declare(
        config,
        "max_rounds",
        default=20,
        doc="""
        A round solves the relaxation and adds rows.""",
    )
    config.declare(
        "min_improvement",
        ConfigValue(
            default=1e-2,
            domain=non_negative,
            description="movement of the bound in two rounds, relative to all movement "
            "so far, below which no further round starts",
        ),
    )
    return declare(config, "time_limit", "relaxation_solver")


@dataclass(frozen=True)
class CutPlan(Plan):
    """For each block its bounds, with the given M among them, and its cuts."""

    bounds: ComponentMap
    cuts: ComponentMap


@TransformationFactory.register(
    "relu.cuts", doc="Encode ReLU network blocks with big-M rows and ideal cuts"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Cuts(NetworkFormulation):
    """Encode ReLU network blocks with cuts; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.cuts")
    above: 0  <=  post - pre
    active: post - pre + 2*indicator  <=  2
    inactive: post - 4*indicator  <=  0
    """

    NAME = "relu.cuts"
    ADDS = (BIG_M, CLIPPED, Adds("violated ideal inequality", rows=1))
    SOURCE = "Anderson et al. 2020"
    USE = "wide layers with many inputs"
    CONFIG: ConfigDict = _declare_cuts(declare(NetworkFormulation.CONFIG(), "bigM"))
    RENAMED = (("solver", "relaxation_solver"), ("tolerance", "min_improvement"))
    HANDLES_CEILINGS = True

    def _prepare(self, model, blocks, plan):
        from pyomo_relu.common.deadline import Deadline

        found, bigM = ComponentMap(), plan.config.bigM
        deadline = Deadline(plan.config.time_limit)
        with outputs_bounded(plan.call.reading) as note:
            for block in blocks:
                bounds = plan.neuron_bounds(block)
                found[block] = tightened_by_given_m(block, bounds, bigM)
                note(block, found[block][0])
        cuts = self._find_cuts(blocks, found, plan, deadline)
        return CutPlan(plan.config, plan.call, found, cuts)

    def _find_cuts(self, blocks, found, plan, deadline):
        """ComponentMap from block to the list of its cuts."""
        from pyomo_relu.bounds.relaxation.cuts import CutRounds

        config, model = plan.config, blocks[0].model()
        surrounding = read_surrounding(model, blocks, plan.fixed_permanent)
        if surrounding.costs is None:
            logger.warning(
                f"{self.NAME}: '{model.name}' has no single linear "
                "objective, so no rows are added to those of relu.bigm."
            )
            return ComponentMap()
        rounds = CutRounds(
            surrounding.linear,
            surrounding.costs,
            [
                (found[block][0], f.inputs, f.outputs)
                for block, f in zip(blocks, surrounding.embedded.functions, strict=True)
            ],
            config.relaxation_solver,
        )
        reason = rounds.run(
            config.max_rounds, config.min_improvement, time_limit=deadline.left()
        )
        ends = [f"{v:.6g}" for v in (rounds.values or [float("nan")])]
        logger.info(
            f"{self.NAME}: {counted(sum(map(len, rounds.cuts)), 'row')} after "
            f"{counted(len(rounds.values), 'solve')} ({reason}), relaxation {ends[0]} "
            f"to {ends[-1]}"
        )
        return ComponentMap(zip(blocks, rounds.cuts, strict=True))

    def _bounds(self, block, plan):
        return plan.bounds[block]

    def _encode(self, rows, plan):
        super()._encode(rows, plan)
        columns, numbers = rows.columns, {}
        for cut in plan.cuts.get(rows.block, []):
            k, i = cut.layer, cut.neuron
            layer = rows.network.layers[k]
            terms = [var for source in layer.sources for var in columns.of(source)]
            z = rows.reformulation.indicator[k, i]
            number = numbers[k, i] = numbers.get((k, i), -1) + 1
            on, weights, constant = _in_units(rows.units, layer, cut)
            rows.add_row(
                (k, i, "cut", number),
                [1.0, -on, *(-weights).tolist()],
                [columns.post[k][i], z, *(terms[j] for j in cut.terms.tolist())],
                upper=constant,
            )

    def _encode_neuron(self, rows, k, i, config):
        encode_big_m(rows, k, i)

    def get_cuts(self, block: ReLUNetworkBlockData) -> list[ConstraintData]:
        """The rows that an encoded block has in addition to big-M rows."""
        rows = check_encoded(block).reformulation.rows
        return [row for key, row in rows.items() if key[2] == "cut"]


def _in_units(units, layer, cut):
    """What a cut has at the indicator, weights and constant among the rows' columns."""
    parts = [units.of_terms(s, w.shape[1]) for s, w in layer.terms]
    offset, factor = (
        np.concatenate(each)[cut.terms] for each in zip(*parts, strict=True)
    )
    constant = cut.constant + cut.weights @ offset
    s = units.of_neurons(cut.layer, np.ones(layer.size))[cut.neuron]
    return float(s * cut.on), s * cut.weights * factor, float(s * constant)
