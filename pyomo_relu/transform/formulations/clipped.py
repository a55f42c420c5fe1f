r"""relu.clipped: neurons with a ceiling, ``x = min(max(0, v), c)``.

For v in [L, U], L < 0 and c < U, with z = [v >= 0] and q = [v >= c]::

    x <= c z      x >= c q      q <= z
    x >= v - (U - c) q          x <= v - L (1 - z)          0 <= x <= c

With z and q between 0 and 1 eliminated, the rows leave the convex hull of the neuron's
graph: 0 <= x <= c, below the line through (L, 0) and (c, c), above the one through
(0, 0) and (U, c).  Where bounds decide a side the rows shrink: U <= 0 gives x = 0;
L >= c gives x = c; 0 <= L and U <= c give x = v; U <= c gives the rows of ``relu.bigm``
(no q); L >= 0 drops z and gives ``x <= v`` and ``x >= L + (c - L) q``.

Every formulation encodes clipped neurons like this; choose
``relu.clipped`` by name to give ceilings to a network that has none (``ceiling=``): a
ceiling at or above the proven upper bound is left out, one below it changes the
function and must be allowed.  Ceilings keep big-M coefficients from growing with depth:
``M <= c ||w||_1 + |b|``.

Source: clipped activations as in Plate et al., "An analysis of optimization problems
involving ReLU neural networks" (2025).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyomo.common.config import Bool, ConfigValue, document_class_CONFIG
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory

from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.declared_bounds import pieces_in_force
from pyomo_relu.model.options import declare
from pyomo_relu.transform.base import NetworkFormulation, check_encoded
from pyomo_relu.transform.declaration import BIG_M, CLIPPED
from pyomo_relu.transform.formulations.bigm import encode_big_m
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.per_neuron import per_neuron_values

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict

    from pyomo_relu.block.block import ReLUNetworkBlockData
    from pyomo_relu.block.records.encoding import Encoding
    from pyomo_relu.common.types import FloatArray


logger = logging.getLogger("pyomo.relu")


def _declare_ceiling(config):
    config.declare(
        "ceiling",
        ConfigValue(
            default=None,
            description="ceilings for all neurons, in addition to the network's own",
            doc="""
            A positive number for all neurons; a sequence with one entry per activation
            layer, each a number, an array with one ceiling per neuron, or None; or a
            dict from layer or from (layer, neuron) to a number.  The lower of this and
            the network's own ceiling holds.  Networks of different shapes: one call
            each, with targets.""",
        ),
    )
    config.declare(
        "allow_function_change",
        ConfigValue(
            default=False,
            domain=Bool,
            description="whether ceilings below a proven upper bound are accepted",
            doc="""
            Such a ceiling may change the network's function.  With True the changed
            network is encoded, a warning states a proven bound on how far the outputs
            move on the input box, ``get_output_movement(block)`` returns it, and
            ``block.encoded_network`` is the changed network.""",
        ),
    )
    return config


class MovedEncoding(Encoding):
    """Of a network whose function the ceilings changed.

    Parameters
    ----------
    output_movement : tuple of numpy.ndarray, shapes (n_outputs,)
        Proven bounds on how far the outputs may be from the block's network's.
    """

    __slots__ = ("output_movement",)

    def __init__(self, formulation, rows, output_movement):
        super().__init__(formulation, rows)
        self.output_movement = output_movement

    def remark(self):
        """Says that the encoded network is not the block's."""
        low, high = self.output_movement
        return (
            "; ceilings CHANGE THE FUNCTION, outputs move by at most "
            f"{np.max(np.maximum(-low, high)):.6g}"
        )


@TransformationFactory.register(
    "relu.clipped", doc="Encode ReLU network blocks with ceilings on the neurons"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Clipped(NetworkFormulation):
    """Encode ReLU network blocks with ceilings; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.clipped", ceiling=3, allow_function_change=True)
    at_ceiling: 0  <=  post - 3*ceiling_indicator
    below_ceiling: 0  <=  post - pre + 1*ceiling_indicator
    active: post - pre + 2*indicator  <=  2
    inactive: post - 3*indicator  <=  0
    order: ceiling_indicator - indicator  <=  0
    """

    NAME = "relu.clipped"
    ADDS = (BIG_M, CLIPPED)
    EXACT = "yes; no with `allow_function_change=True`"
    SOURCE = "Plate et al."
    USE = "clipped networks (ReLU6, Clip), or `ceiling=` for plain ones"
    CONFIG: ConfigDict = _declare_ceiling(declare(NetworkFormulation.CONFIG(), "bigM"))
    HANDLES_CEILINGS = True

    def _bounds(self, block, plan):
        bounds, _ = super()._bounds(block, plan)
        if plan.config.ceiling is not None:
            bounds = self._with_ceilings(block, bounds, plan.config)
        return tightened_by_given_m(block, bounds, plan.config.bigM)

    def _with_ceilings(self, block, bounds, config):
        """The bounds of the network with effective ceilings, if there are any."""
        from pyomo_relu.bounds.clipping import clipped_bounds

        ceilings = per_neuron_values(
            config.ceiling, bounds.network, f"{self.NAME}: ceiling", np.inf
        )
        effective = [
            np.where(c < bounds.post_bounds(k)[1], c, np.inf)
            for k, c in enumerate(ceilings)
        ]
        below = [
            (k, int(i))
            for k, c in enumerate(effective)
            for i in np.flatnonzero(c < np.inf)
        ]
        if not below:
            return bounds
        if not config.allow_function_change:
            k, i = below[0]
            more = counted(len(below) - 1, "more neuron")
            more = f" (and of {more})" if below[1:] else ""
            raise TransformationError(
                f"{self.NAME}: the ceiling {effective[k][i]:.6g} of "
                f"'{block.activation[k, i].name}'{more} lies below the proven upper "
                f"bound {bounds.upper[k][i]:.6g}, so it may change the function. Raise "
                "it, apply relu.bounds or relu.obbt first to prove a lower upper "
                "bound, or accept the change with allow_function_change=True."
            )
        self._check_nothing_rests_on_the_function(block)
        return clipped_bounds(bounds, ceilings)

    def _check_nothing_rests_on_the_function(self, block):
        """Points that the model has with the changed function may have been cut off."""
        for piece in pieces_in_force(block.model()):
            conditions = getattr(piece.source, "conditions", None)
            runs = conditions if isinstance(conditions, tuple) else (conditions,)
            if any(c is not None and any(b is block for b in c.blocks) for c in runs):
                raise TransformationError(
                    f"{self.NAME}: the ceilings change the function of "
                    f"'{block.name}', with which relu.obbt(scope='model') proved "
                    "bounds. Reverse that first, or apply it without scope='model'."
                )

    def _encode_neuron(self, rows, k, i, config):
        encode_big_m(rows, k, i)

    def _encode(self, rows, plan):
        from pyomo_relu.bounds.clipping import output_movement

        super()._encode(rows, plan)
        block, bounds = rows.block, rows.root.bounds
        if bounds.network == block.network:
            return None
        original, _ = NetworkFormulation._bounds(self, block, plan)
        low, high = output_movement(original, bounds)
        at = int(np.argmax(np.maximum(-low, high)))
        logger.warning(
            f"{self.NAME}: the ceilings change the function of "
            f"'{block.name}'. On the input box its outputs move by at most "
            f"{np.max(np.maximum(-low, high)):.6g} (proven; output "
            f"'{block.output_vars()[at].name}' by {low[at]:.6g} to "
            f"{high[at]:.6g})."
        )
        return MovedEncoding(type(self), rows, (low, high))

    def get_output_movement(
        self, block: ReLUNetworkBlockData
    ) -> tuple[FloatArray, FloatArray]:
        """How far the outputs of the encoded network may be from the block's network.

        Parameters
        ----------
        block : ReLUNetworkBlockData
            Encoded by ``relu.clipped``.

        Returns
        -------
        lower, upper : numpy.ndarray, shape (n_outputs,)
            ``lower <= encoded_network(x) - network(x) <= upper`` for all x of the
            input box that the block was encoded for; zeros if the function is kept.
        """
        encoding = check_encoded(block)
        if isinstance(encoding, MovedEncoding):
            return encoding.output_movement
        zero = np.zeros(encoding.network.n_outputs)
        return zero, zero
