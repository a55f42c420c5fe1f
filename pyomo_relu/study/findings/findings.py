"""What the literature claims beside what a run measured; every figure from its tables.

A claim's verdict follows from numbers by the rule in ``Ratio.direction``; nobody's
judgement is typed in.  The claims are from abstracts and accounts of the papers, whose
settings are only partly known (see the study's README).
"""

from pyomo_relu.study.findings.encoding import depth, obbt
from pyomo_relu.study.findings.routes import (
    branching_on_inputs,
    clipping_afterwards,
)
from pyomo_relu.study.findings.scaling import scaling_big_m, scaling_effort
from pyomo_relu.study.findings.training import (
    clipping_big_m,
    clipping_effort,
    dropout,
    interval_penalties,
    l1_or_l2,
    pruning,
    redundancy,
    regions_and_effort,
    regularisation,
    shrinkage,
)


def all_findings(tables):
    """Every claim that the tables can speak to, in order.

    Networks that learned nothing take no part.
    """
    tables = tables.that_learned()
    return [
        regularisation(tables),
        regions_and_effort(tables),
        shrinkage(tables),
        l1_or_l2(tables),
        dropout(tables),
        clipping_big_m(tables),
        clipping_effort(tables),
        clipping_afterwards(tables),
        obbt(tables),
        scaling_big_m(tables),
        scaling_effort(tables),
        depth(tables),
        redundancy(tables),
        interval_penalties(tables),
        pruning(tables),
        branching_on_inputs(tables),
    ]
