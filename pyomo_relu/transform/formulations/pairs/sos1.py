r"""relu.sos1: each activation is a special ordered set of type 1.

With ``h = x - v >= 0`` the neuron is ``SOS1{x, h}``: at most one of the two is nonzero.
A ceiling c in reach adds ``SOS1{c - x, a}`` with ``a = v - c`` where that is positive
(see ``pairs.pairs``).  No big-M coefficient and no indicator; the solver
branches on the sets.

Choose it with Gurobi or SCIP where bounds are so loose that big-M rows leak.
HiGHS and the linear standard form take no sets; they raise (see
``parts.solver_paths``), and with ``solver=`` the transformation does.

Source: Turner et al., "PySCIPOpt-ML: embedding trained machine learning models into
mixed-integer programs" (2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import document_class_CONFIG
from pyomo.core.base import SOSConstraint, TransformationFactory

from pyomo_relu.common.wording import counted
from pyomo_relu.transform.declaration import AT_CEILING, Adds
from pyomo_relu.transform.formulations.pairs.pairs import PairEncoding, PairFormulation


class SetEncoding(PairEncoding):
    """Of a network whose activations are SOS1 sets."""

    __slots__ = ()

    def remark(self):
        """Names what the count of binaries and rows leaves out."""
        sets = self.reformulation.component("sets")
        return f", {counted(0 if sets is None else len(sets), 'SOS1 set')}"


if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


@TransformationFactory.register(
    "relu.sos1", doc="Encode ReLU network blocks with SOS1 constraints"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Sos1(PairFormulation):
    """Encode ReLU network blocks with SOS1 sets; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.sos1")
    hull: 6*post - 4*pre  <=  8
    split: post - pre - below_zero  ==  0
    sets[0,0,zero]: SOS1{post, below_zero}
    """

    NAME = "relu.sos1"
    ADDS = (
        Adds(variables=1, rows=2, sets=1),
        Adds(AT_CEILING, variables=3, rows=4, sets=2),
    )
    TAKES = "SOS1 constraints"
    SOURCE = "Turner et al. 2023"
    USE = "Gurobi, SCIP with loose bounds; HiGHS has no sets and is refused"
    ACTIVATION_ROWS = ("rows", "sets")
    RECORD = SetEncoding
    CONFIG: ConfigDict = PairFormulation.CONFIG()

    def _enforce(self, rows, pairs):
        if not pairs:
            return
        # given by number, because a rule would stay on the model
        members = [var for pair in pairs.values() for var in pair]
        numbers = {key: [2 * n, 2 * n + 1] for n, key in enumerate(pairs)}
        sets = SOSConstraint(list(pairs), var=members, index=numbers, sos=1)
        rows.add("sets", sets)
