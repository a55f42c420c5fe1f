"""``python -m pyomo_relu.transform.table``: README's table of formulations.

It is made of what the formulations declare (``ADDS``, ``TAKES``, ``EXACT``, ``USE``,
``SOURCE``) and of what ``python -m examples.formulations`` measured, the relaxations with
``--relaxations``.
"""

from pyomo.core.base import TransformationFactory

from pyomo_relu.transform.declaration import PROBLEM_CLASSES, UNSTABLE, added

#: Bounds of the relaxation of peaks_2x20, minimised over its box; under interval bounds
#: on all neurons, and under those that LPs prove.  Equal bounds for all formulations:
#: ``relu.cells`` splits the box, which no bounds of neurons replace.
RELAXATIONS = {
    "relu.auto": (-6.973, -6.972),
    "relu.bigm": (-45.86, -26.11),
    "relu.clipped": (-45.86, -26.11),
    "relu.scaled": (-45.86, -26.11),
    "relu.partition": (-34.22, -24.90),
    "relu.cuts": (-31.81, -23.66),
    "relu.cells": (-6.973, -6.972),
    "relu.reduce": (-45.86, -26.11),
    "relu.gdp": (-45.86, -26.11),
}

#: Seconds, tightening and encoding included.
MEASURED = {
    "relu.auto": "2.6",
    "relu.bigm": "8.8 (interval bounds: 12.3)",
    "relu.clipped": "8.9",
    "relu.scaled": "6.8",
    "relu.partition": "9.1",
    "relu.cuts": "6.5",
    "relu.cells": "2.6",
    "relu.reduce": "5.9",
    "relu.gdp": "6.4 (`gdp.hull`)",
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
    "LP relaxation of peaks_2x20 (optimum -6.972): interval bounds, bounds by LPs",
    "two linked surrogates, HiGHS: seconds",
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
                ", ".join(map(str, RELAXATIONS.get(name, ("none",)))),
                measured,
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table())
