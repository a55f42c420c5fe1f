r"""relu.complementarity: each activation is a product that must not be positive.

With ``h = x - v >= 0`` and ``x >= 0`` the neuron is ``x h <= 0``; a ceiling c in reach
adds ``(c - x) a <= 0`` (see ``native_pairs``).  Exact, but a solver's feasibility
tolerance t lets both factors be sqrt(t): 1e-3 at the usual 1e-6.

Its use is as a carrier: Pyomo has no indicator and no general constraints, and a model
without its activations would be solved silently and wrongly by any solver.  With these
products the Pyomo model is exact for every path that takes it, paths for linear models
refuse it, and ``native_gurobi.use_native_constraints`` replaces them inside a Gurobi
model by Gurobi's own max, indicator or SOS constraints.

Adds per unstable neuron: 1 variable, 3 rows, one of them bilinear (clipped: 3
variables, 6 rows, two of them bilinear).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import document_class_CONFIG
from pyomo.core.base import Constraint, TransformationFactory
from pyomo.core.base.set_types import Any

from pyomo_relu.transform.parts.complementary_pairs import PairFormulation, pair_of

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


@TransformationFactory.register(
    "relu.complementarity", doc="Encode ReLU network blocks with products (bilinear)"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Complementarity(PairFormulation):
    """Encode ReLU network blocks with products; see the module's docstring."""

    NAME = "relu.complementarity"
    NEEDS = "products of variables"
    ACTIVATION_ROWS = ("rows", "products")
    CONFIG: ConfigDict = PairFormulation.CONFIG()

    def _enforce(self, encoding, keys):
        new = encoding.reformulation
        new.products = Constraint(Any)
        for key in keys:
            first, second = pair_of(new, *key)
            new.products[key] = first * second <= 0.0
