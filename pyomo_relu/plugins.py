"""Registration with Pyomo; imports nothing optional, so ``pyomo help`` cannot fail."""


def load():
    """Register ReLUNetworkBlock, the ``relu.*`` transformations and solver."""
    import pyomo_relu.block.block
    import pyomo_relu.branch.interface.solver
    import pyomo_relu.decompose.solver
    import pyomo_relu.portfolio.solver
    import pyomo_relu.search.warmstart
    import pyomo_relu.transform  # noqa: F401


# Pyomo's entry point only imports this module and does not call load()
load()
