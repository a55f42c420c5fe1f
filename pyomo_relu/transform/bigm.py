r"""relu.bigm: one activation indicator and three rows per unstable neuron.

For a neuron with pre-activation v in [L, U], L < 0 < U, and z = 1 if it is active::

    x >= v          x <= v - L (1 - z)          x <= U z          0 <= x <= U

If bounds decide the state, x = v or x = 0 and there is no indicator.  A clipped neuron
with ceiling c < U needs a second indicator q = 1 at the ceiling; its rows are those of
``relu.clipped``.

Adds per unstable neuron: 1 binary, 3 rows (clipped: up to 2 binaries, 5 rows).
Choose it as the default for networks whose bounds are tight.

Sources: Plate et al., arXiv 2502.03016, eq. (5); Fischetti and Jo, Constraints 23
(2018); the clipped rows are the convex hull of the two breakpoints (see clipped.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import document_class_CONFIG
from pyomo.core.base import TransformationFactory

from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.parts.given_m import declare_given_m, tightened_by_given_m

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


def encode_big_m(encoding, k, i):
    """Add the big-M rows of unstable neuron (k, i), clipped or not.

    Parameters
    ----------
    encoding : Encoding
    k, i : int
        Activation layer and neuron; the bounds leave its state open.
    """
    lower = float(encoding.bounds.lower[k][i])
    upper = float(encoding.bounds.upper[k][i])
    v, x = encoding.columns.pre[k][i], encoding.columns.post[k][i]
    ceiling = encoding.network.layers[k].ceiling
    if ceiling is not None and ceiling[i] < upper:
        encode_clipped(encoding, k, i, v, x, lower, upper, float(ceiling[i]))
        return
    z = encoding.new_indicator(k, i)
    encoding.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
    encoding.add_row((k, i, "active"), [1.0, -1.0, -lower], [x, v, z], upper=-lower)
    encoding.add_row((k, i, "inactive"), [1.0, -upper], [x, z], upper=0.0)


def encode_clipped(encoding, k, i, v, x, lower, upper, ceiling):
    """Add the rows of ``x = min(max(0, v), ceiling)`` with ceiling < upper.

    Indicators z = [v >= 0] and q = [v >= ceiling]; with lower >= 0 only q is needed.
    """
    q = encoding.new_ceiling_indicator(k, i)
    least = max(lower, 0.0)  # x is never less; c q alone would lose the hull
    encoding.add_row((k, i, "at_ceiling"), [1.0, least - ceiling], [x, q], lower=least)
    encoding.add_row(
        (k, i, "below_ceiling"), [1.0, -1.0, upper - ceiling], [x, v, q], lower=0.0
    )
    if lower >= 0:
        encoding.add_row((k, i, "linear"), [1.0, -1.0], [x, v], upper=0.0)
        return
    z = encoding.new_indicator(k, i)
    encoding.add_row((k, i, "active"), [1.0, -1.0, -lower], [x, v, z], upper=-lower)
    encoding.add_row((k, i, "inactive"), [1.0, -ceiling], [x, z], upper=0.0)
    encoding.add_row((k, i, "order"), [1.0, -1.0], [q, z], upper=0.0)


@TransformationFactory.register(
    "relu.bigm", doc="Encode ReLU network blocks with big-M rows (Plate et al., eq. 5)"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class BigM(NetworkFormulation):
    """Encode ReLU network blocks with big-M rows; see the module's docstring."""

    NAME = "relu.bigm"
    CONFIG: ConfigDict = declare_given_m(NetworkFormulation.CONFIG())
    HANDLES_CEILINGS = True

    def _bounds(self, block, config):
        bounds, _given = super()._bounds(block, config)
        return tightened_by_given_m(block, bounds, config.bigM)

    def _encode_neuron(self, encoding, k, i, config):
        encode_big_m(encoding, k, i)
