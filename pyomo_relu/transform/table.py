"""``python -m pyomo_relu.transform.table``: README's table of formulations.

It is made of what the formulations declare (``ADDS``, ``TAKES``, ``EXACT``, ``USE``,
``SOURCE``) and of what ``python -m examples.formulations`` measured.
"""

from pyomo.core.base import TransformationFactory

from pyomo_relu.transform.declaration import PROBLEM_CLASSES, UNSTABLE, added

#: Root gap in per cent and seconds, tightening and encoding included.
MEASURED = {
    "relu.auto": "0.37, 2.6",
    "relu.bigm": "4.6, 8.8 (interval bounds: 55, 12.3)",
    "relu.clipped": "4.6, 8.9",
    "relu.scaled": "4.6, 6.8",
    "relu.partition": "4.6, 9.1",
    "relu.cuts": "4.6, 6.5",
    "relu.cells": "0.37, 2.6",
    "relu.reduce": "4.6, 5.9",
    "relu.gdp": "4.6, 6.4 (`gdp.hull`)",
    "relu.sos1": "Gurobi: 0.6 (big-M 1.1, cells 0.6)",
    "relu.complementarity": "peaks_2x25 alone, Gurobi: 3.4 (big-M 0.5)",
}

_HEAD = (
    "formulation",
    f"adds per {UNSTABLE}",
    "takes a solver for",
    "exact",
    "when to use it",
    "source",
    "two linked surrogates, HiGHS: root gap, seconds",
)


def table():
    """The table in Markdown, one line per formulation."""
    lines = [_HEAD, ["---"] * len(_HEAD)]
    for name, measured in MEASURED.items():
        formulation = TransformationFactory.get_class(name)
        lines.append(
            (
                f"`{name}`",
                added(formulation) or "as what it picks",
                PROBLEM_CLASSES[formulation.TAKES],
                formulation.EXACT,
                formulation.USE,
                formulation.SOURCE,
                measured,
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table())
