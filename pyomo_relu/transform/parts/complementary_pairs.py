"""Activations as pairs of nonnegative variables of which one is zero.

What ``relu.sos1`` and ``relu.complementarity`` share; how a pair is enforced lives in
their files.

A neuron with bounds [L, U] and ceiling c (infinite for a plain ReLU)::

    x - v = h - a        h: how far v lies below zero        (0 if L >= 0)
    g = c - x            a: how far v lies above the ceiling (0 if U <= c)
    one of x, h is zero                one of g, a is zero

plus, if L < 0, the upper hull row ``x (c' - L) <= c' (v - L)``, c' = min(c, U), and, if
c < U, the lower one ``(x - L') (U - L') >= (c - L') (v - L')``, L' = max(L, 0): with them
the LP relaxation is that of ``relu.bigm``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyomo.core.base import Var
from pyomo.core.base.set_types import Any

from pyomo_relu.transform.base import NetworkFormulation, check_encoded
from pyomo_relu.transform.parts.given_m import declare_given_m, tightened_by_given_m
from pyomo_relu.transform.parts.solver_paths import check_path, declare_solver

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict
    from pyomo.core.base.var import VarData

    from pyomo_relu.block.block import ReLUNetworkBlockData
    from pyomo_relu.block.encoding import Encoding
    from pyomo_relu.common.types import FloatArray


ZERO, CEILING = "zero", "ceiling"


class PairFormulation(NetworkFormulation):
    """Base of formulations that enforce pairs; they define ``_enforce``."""

    #: key into ``native_paths.PATHS``: what a solver path must be able to take.
    NEEDS = None
    CONFIG: ConfigDict = declare_solver(declare_given_m(NetworkFormulation.CONFIG()))
    HANDLES_CEILINGS = True

    def _enforce(self, encoding, keys):
        """Make one of each pair (layer, neuron, label) zero."""
        raise NotImplementedError(f"{type(self).__name__} enforces nothing.")

    def _bounds(self, block, config):
        check_path(self.NAME, config.solver, self.NEEDS)
        bounds, _ = super()._bounds(block, config)
        return tightened_by_given_m(block, bounds, config.bigM)

    def _encode(self, encoding, config):
        new = encoding.reformulation
        for name in ("below_zero", "above_ceiling", "gap"):
            setattr(new, name, Var(Any, dense=False))
        super()._encode(encoding, config)

    def _encode_neuron(self, encoding, k, i, config):
        lower = float(encoding.bounds.lower[k][i])
        upper = float(encoding.bounds.upper[k][i])
        ceilings = encoding.network.layers[k].ceiling
        ceiling = upper if ceilings is None else min(upper, float(ceilings[i]))
        new = encoding.reformulation
        v, x = encoding.columns.pre[k][i], encoding.columns.post[k][i]
        coefs, variables = [1.0, -1.0], [x, v]
        if lower < 0:
            _append(coefs, variables, -1.0, _new(new.below_zero, k, i, -lower))
            encoding.add_row(
                (k, i, "hull"),
                [ceiling - lower, -ceiling],
                [x, v],
                None,
                -ceiling * lower,
            )
        if ceiling < upper:
            _append(
                coefs, variables, 1.0, _new(new.above_ceiling, k, i, upper - ceiling)
            )
            gap = _new(new.gap, k, i, ceiling)
            encoding.add_row((k, i, "gap"), [1.0, 1.0], [gap, x], ceiling, ceiling)
            least = max(lower, 0.0)
            encoding.add_row(
                (k, i, "lower_hull"),
                [upper - least, least - ceiling],
                [x, v],
                lower=least * (upper - ceiling),
            )
        encoding.add_row((k, i, "split"), coefs, variables, 0.0, 0.0)

    def _finish(self, encoding, config):
        self._enforce(encoding, _pair_keys(encoding.reformulation))

    @staticmethod
    def set_start(
        encoding: Encoding,
        x: FloatArray,
        pre: Sequence[FloatArray],
        post: Sequence[FloatArray],
    ) -> None:
        """Set the differences."""
        new, layers = encoding.reformulation, encoding.network.layers
        for (k, i), var in new.below_zero.items():
            var.set_value(max(0.0, -float(pre[k][i])), skip_validation=True)
        for (k, i), var in new.above_ceiling.items():
            ceiling = float(layers[k].ceiling[i])
            above = max(0.0, float(pre[k][i]) - ceiling)
            var.set_value(above, skip_validation=True)
            gap = ceiling - float(post[k][i])
            new.gap[k, i].set_value(gap, skip_validation=True)

    def get_pairs(
        self, block: ReLUNetworkBlockData
    ) -> dict[tuple[int, int, str], tuple[VarData, VarData]]:
        """{(layer, neuron, label): (Var, Var)}: the pairs of which one is zero.

        The label is "zero" for the pair (post, below zero), "ceiling" for (gap to the
        ceiling, above it).
        """
        new = check_encoded(block).reformulation
        return {key: pair_of(new, *key) for key in _pair_keys(new)}


def _pair_keys(reformulation):
    zero, ceiling = reformulation.below_zero, reformulation.above_ceiling
    return [
        *((*key, ZERO) for key, _ in zero.items()),
        *((*key, CEILING) for key, _ in ceiling.items()),
    ]


def pair_of(reformulation, k, i, label):
    """The two variables of a pair, of an attached reformulation block."""
    if label == ZERO:
        return reformulation.parent_block().post[k, i], reformulation.below_zero[k, i]
    return reformulation.gap[k, i], reformulation.above_ceiling[k, i]


def _append(coefs, variables, coef, variable):
    coefs.append(coef)
    variables.append(variable)


def _new(container, k, i, upper):
    var = container[k, i]
    var.setlb(0.0)
    var.setub(upper)
    return var
