"""The routes: decomposition, all routes together, and MILPs by HiGHS for reference."""

from benchmarks.comparison.route import Route

#: The relative gap that is asked for.
GAP = 1e-3

#: name -> Route
ROUTES = {
    "relu.decompose": Route("relu.decompose", gap=GAP),
    "relu": Route("relu", solver="highs", gap=GAP),
    "relu.bigm": Route("appsi_highs", ("relu.bigm", {}), gap=GAP),
    "relu.cells": Route("appsi_highs", ("relu.cells", {}), gap=GAP),
}
