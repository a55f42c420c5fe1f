r"""relu.complementarity: each activation is a product that must not be positive.

With ``h = x - v >= 0`` and ``x >= 0`` the neuron is ``x h <= 0``; a ceiling c in reach
adds ``(c - x) a <= 0`` (see ``pairs.pairs``).  Exact, but a solver's
feasibility tolerance t lets both factors be sqrt(t): 1e-3 at the usual 1e-6.

Its use is as a carrier: Pyomo has no indicator and no general constraints, and a model
without its activations would be solved silently and wrongly by any solver.  With these
products the Pyomo model is exact for every path that takes it, paths for linear models
refuse it, and ``gurobi_native.use_native_constraints`` replaces them inside a Gurobi
model by Gurobi's own max, indicator or SOS constraints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import document_class_CONFIG
from pyomo.core.base import TransformationFactory

from pyomo_relu.transform.declaration import AT_CEILING, Adds
from pyomo_relu.transform.formulations.pairs.pairs import PairFormulation

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


@TransformationFactory.register(
    "relu.complementarity", doc="Encode ReLU network blocks with products (bilinear)"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Complementarity(PairFormulation):
    """Encode ReLU network blocks with products; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.complementarity")
    hull: 6*post - 4*pre  <=  8
    split: post - pre - below_zero  ==  0
    products[0,0,zero]: post*below_zero  <=  0
    """

    NAME = "relu.complementarity"
    ADDS = (
        Adds(variables=1, rows=3, products=1),
        Adds(AT_CEILING, variables=3, rows=6, products=2),
    )
    TAKES = "products of variables"
    EXACT = "yes, to 1e-3 at the usual tolerances"
    SOURCE = "Turner et al. 2023"
    USE = "MIQCP and NLP paths"
    ACTIVATION_ROWS = ("rows", "products")
    CONFIG: ConfigDict = PairFormulation.CONFIG()

    def _enforce(self, rows, pairs):
        products = rows.new_rows("products")
        for key, (first, second) in pairs.items():
            products[key] = first * second <= 0.0
