r"""relu.bigm: one activation indicator and three rows per unstable neuron.

For a neuron with pre-activation v in [L, U], L < 0 < U, and z = 1 if it is active::

    x >= v          x <= v - L (1 - z)          x <= U z          0 <= x <= U

If bounds decide the state, x = v or x = 0 and there is no indicator.  A clipped neuron
with ceiling c < U needs a second indicator q = 1 at the ceiling; its rows are those of
``relu.clipped``.

Choose it as the default for networks whose bounds are tight.

Sources: Plate et al., arXiv 2502.03016, eq. (5); Fischetti and Jo, Constraints 23
(2018); the clipped rows are the convex hull of the two breakpoints (see clipped.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import document_class_CONFIG
from pyomo.core.base import TransformationFactory

from pyomo_relu.model.options import declare
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.declaration import BIG_M, CLIPPED
from pyomo_relu.transform.parts.given_m import tightened_by_given_m

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


def encode_big_m(rows, k, i):
    """Add the big-M rows of unstable neuron (k, i), clipped or not.

    Parameters
    ----------
    rows : RowBuilder
    k, i : int
        Activation layer and neuron; the bounds leave its state open.
    """
    lower = float(rows.bounds.lower[k][i])
    upper = float(rows.bounds.upper[k][i])
    v, x = rows.columns.pre[k][i], rows.columns.post[k][i]
    ceiling = rows.network.layers[k].ceiling
    if ceiling is not None and ceiling[i] < upper:
        encode_clipped(rows, k, i, v, x, lower, upper, float(ceiling[i]))
        return
    z = rows.new_indicator(k, i)
    rows.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
    rows.add_row((k, i, "active"), [1.0, -1.0, -lower], [x, v, z], upper=-lower)
    rows.add_row((k, i, "inactive"), [1.0, -upper], [x, z], upper=0.0)


def encode_clipped(rows, k, i, v, x, lower, upper, ceiling):
    """Add the rows of ``x = min(max(0, v), ceiling)`` with ceiling < upper.

    Indicators z = [v >= 0] and q = [v >= ceiling]; with lower >= 0 only q is needed.
    """
    q = rows.new_ceiling_indicator(k, i)
    least = max(lower, 0.0)  # x is never less; c q alone would lose the hull
    rows.add_row((k, i, "at_ceiling"), [1.0, least - ceiling], [x, q], lower=least)
    rows.add_row(
        (k, i, "below_ceiling"), [1.0, -1.0, upper - ceiling], [x, v, q], lower=0.0
    )
    if lower >= 0:
        rows.add_row((k, i, "linear"), [1.0, -1.0], [x, v], upper=0.0)
        return
    z = rows.new_indicator(k, i)
    rows.add_row((k, i, "active"), [1.0, -1.0, -lower], [x, v, z], upper=-lower)
    rows.add_row((k, i, "inactive"), [1.0, -ceiling], [x, z], upper=0.0)
    rows.add_row((k, i, "order"), [1.0, -1.0], [q, z], upper=0.0)


@TransformationFactory.register(
    "relu.bigm", doc="Encode ReLU network blocks with big-M rows (Plate et al., eq. 5)"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class BigM(NetworkFormulation):
    """Encode ReLU network blocks with big-M rows; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.bigm")
    above: 0  <=  post - pre
    active: post - pre + 2*indicator  <=  2
    inactive: post - 4*indicator  <=  0
    """

    NAME = "relu.bigm"
    ADDS = (BIG_M, CLIPPED)
    SOURCE = "Plate et al. eq. 5; Fischetti and Jo 2018"
    USE = (
        "tight bounds, many inputs; `bigM=` or a `BigM` Suffix as in "
        "`gdp.bigm`, used only where provable"
    )
    CONFIG: ConfigDict = declare(NetworkFormulation.CONFIG(), "bigM")
    HANDLES_CEILINGS = True

    def _bounds(self, block, plan):
        bounds, _ = super()._bounds(block, plan)
        return tightened_by_given_m(block, bounds, plan.config.bigM)

    def _encode_neuron(self, rows, k, i, config):
        encode_big_m(rows, k, i)
