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
objective this is ``relu.bigm``.  Adds per unstable neuron: as ``relu.bigm``, and the
rows found (``get_cuts``), each with up to as many nonzeros as the neuron has weights.
Choose it for wide layers with many inputs, where a box of the sources says much; with
few inputs ``relu.cells`` is far stronger.

Source: Anderson, Huchette, Ma, Tjandraatmadja and Vielma, "Strong mixed-integer
programming formulations for trained neural networks", Mathematical Programming 183
(2020).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyomo.common.config import (
    ConfigValue,
    NonNegativeInt,
    document_class_CONFIG,
)
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory

from pyomo_relu import network as network_
from pyomo_relu.common.options import non_negative, relaxation_solver
from pyomo_relu.common.wording import counted
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.transform.base import NetworkFormulation, check_encoded
from pyomo_relu.transform.bigm import encode_big_m
from pyomo_relu.transform.parts.chained import outputs_bounded
from pyomo_relu.transform.parts.given_m import declare_given_m, tightened_by_given_m

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict
    from pyomo.core.base.constraint import ConstraintData

    from pyomo_relu.block.block import ReLUNetworkBlockData


logger = logging.getLogger("pyomo.relu")


def _declare_cuts(config):
    config.declare(
        "max_rounds",
        ConfigValue(
            default=20,
            domain=NonNegativeInt,
            description="the most rounds of solving the relaxation and adding rows",
        ),
    )
    config.declare(
        "tolerance",
        ConfigValue(
            default=1e-2,
            domain=non_negative,
            description="movement of the bound in two rounds, relative to all movement "
            "so far, below which no further round starts",
        ),
    )
    config.declare(
        "time_limit",
        ConfigValue(
            default=None,
            domain=non_negative,
            description="seconds after which no further round starts",
        ),
    )
    config.declare(
        "solver",
        ConfigValue(
            default="highs",
            domain=relaxation_solver,
            description="solver of the relaxations: highs, gurobi or auto",
        ),
    )
    return config


@TransformationFactory.register(
    "relu.cuts", doc="Encode ReLU network blocks with big-M rows and ideal cuts"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Cuts(NetworkFormulation):
    """Encode ReLU network blocks with cuts; see the module's docstring."""

    NAME = "relu.cuts"
    CONFIG: ConfigDict = _declare_cuts(declare_given_m(NetworkFormulation.CONFIG()))
    HANDLES_CEILINGS = True

    def _prepare(self, model, blocks, config):
        from pyomo_relu.bounds.relaxation.cuts import CutRounds

        self._found, self._cuts = {}, {}
        with outputs_bounded() as note:
            for block in blocks:
                bounds, _ = super()._bounds(block, config)
                found = tightened_by_given_m(block, bounds, config.bigM)
                self._found[id(block)] = found
                note(block, found[0])
        if not blocks:
            return
        surrounding = read_surrounding(
            blocks[0].model(), blocks, config.assume_fixed_vars_permanent
        )
        if surrounding.costs is None:
            logger.warning(
                f"{self.NAME}: '{blocks[0].model().name}' has no single linear "
                "objective, so no rows are added to those of relu.bigm."
            )
            return
        rounds = CutRounds(
            surrounding.linear,
            surrounding.costs,
            [
                (self._found[id(block)][0], inputs, outputs)
                for block, inputs, outputs in zip(
                    blocks,
                    surrounding.input_columns,
                    surrounding.output_columns,
                    strict=True,
                )
            ],
            config.solver,
        )
        reason = rounds.run(
            config.max_rounds, config.tolerance, time_limit=config.time_limit
        )
        self._cuts = {id(b): cuts for b, cuts in zip(blocks, rounds.cuts, strict=True)}
        ends = [f"{v:.6g}" for v in (rounds.values or [float("nan")])]
        logger.info(
            f"{self.NAME}: {counted(sum(map(len, rounds.cuts)), 'row')} after "
            f"{counted(len(rounds.values), 'solve')} ({reason}), relaxation {ends[0]} "
            f"to {ends[-1]}"
        )

    def _bounds(self, block, config):
        return self._found[id(block)]

    def _encode(self, encoding, config):
        super()._encode(encoding, config)
        columns, units, numbers = encoding.columns, encoding.units, {}
        for cut in self._cuts.get(id(encoding.block), []):
            k, i = cut.layer, cut.neuron
            layer = encoding.network.layers[k]
            terms = [var for source in layer.sources for var in columns.of(source)]
            z = encoding.reformulation.indicator[k, i]
            number = numbers[k, i] = numbers.get((k, i), -1) + 1
            weights, constant = cut.weights, cut.constant
            if units is not None:
                weights, constant = _of_copies(units, layer, cut)
            encoding.add_row(
                (k, i, "cut", number),
                [1.0, -cut.on, *(-weights).tolist()],
                [columns.post[k][i], z, *(terms[j] for j in cut.terms.tolist())],
                upper=constant,
            )

    def _encode_neuron(self, encoding, k, i, config):
        encode_big_m(encoding, k, i)

    def get_cuts(self, block: ReLUNetworkBlockData) -> list[ConstraintData]:
        """The rows that an encoded block has in addition to big-M rows."""
        rows = check_encoded(block).reformulation.rows
        return [row for key, row in rows.items() if key[2] == "cut"]


def _of_copies(units, layer, cut):
    """Weights and constant of a cut whose inputs are copies in unit range."""
    offset, factor = (
        np.concatenate(
            [
                part if s.layer == network_.INPUT else np.full(w.shape[1], other)
                for s, w in zip(layer.sources, layer.weights, strict=True)
            ]
        )[cut.terms]
        for part, other in ((units.input_offset, 0.0), (units.input_factor, 1.0))
    )
    return cut.weights * factor, float(cut.constant + cut.weights @ offset)
