"""Pictures of networks, bounds and runs; the extra ``plot`` installs what they need.

Every function draws on the Axes it is given, or on a new figure, and returns the Axes.
"""

from pyomo_relu.plot.envelopes import crown_lines, relaxation_slice
from pyomo_relu.plot.layers import bound_intervals, bound_widths
from pyomo_relu.plot.neurons import neuron, relaxation
from pyomo_relu.plot.plane import boxes, cells, regions, visited_boxes
from pyomo_relu.plot.runs import accuracy_against_effort, history

__all__ = [
    "accuracy_against_effort",
    "bound_intervals",
    "bound_widths",
    "boxes",
    "cells",
    "crown_lines",
    "history",
    "neuron",
    "regions",
    "relaxation",
    "relaxation_slice",
    "visited_boxes",
]
