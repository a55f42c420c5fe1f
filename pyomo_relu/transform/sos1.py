r"""relu.sos1: each activation is a special ordered set of type 1.

With ``h = x - v >= 0`` the neuron is ``SOS1{x, h}``: at most one of the two is nonzero.
A ceiling c in reach adds ``SOS1{c - x, a}`` with ``a = v - c`` where that is positive
(see ``native_pairs``).  No big-M coefficient and no indicator; the solver branches on
the sets.

Adds per unstable neuron: 1 variable, 1 set, 2 rows (clipped: 3 variables, 2 sets, 4
rows).  Choose it with Gurobi or SCIP where bounds are so loose that big-M rows leak.
HiGHS and the linear standard form take no sets; they raise (see ``native_paths``), and
with ``solver=`` the transformation does.

Source: Turner et al., "PySCIPOpt-ML: embedding trained machine learning models into
mixed-integer programs" (2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import document_class_CONFIG
from pyomo.core.base import SOSConstraint, TransformationFactory

from pyomo_relu.common.wording import counted
from pyomo_relu.transform.parts.complementary_pairs import PairFormulation, pair_of

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict

    from pyomo_relu.block.encoding import Encoding


@TransformationFactory.register(
    "relu.sos1", doc="Encode ReLU network blocks with SOS1 constraints"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Sos1(PairFormulation):
    """Encode ReLU network blocks with SOS1 sets; see the module's docstring."""

    NAME = "relu.sos1"
    NEEDS = "SOS1 constraints"
    ACTIVATION_ROWS = ("rows", "sets")
    CONFIG: ConfigDict = PairFormulation.CONFIG()

    def _enforce(self, encoding, keys):
        if keys:
            encoding.reformulation.sets = SOSConstraint(keys, rule=_members, sos=1)

    @staticmethod
    def remark(encoding: Encoding) -> str:
        """Names what the count of binaries and rows leaves out."""
        sets = encoding.reformulation.component("sets")
        return f", {counted(0 if sets is None else len(sets), 'SOS1 set')}"


def _members(reformulation, k, i, label):
    return list(pair_of(reformulation, k, i, label))
