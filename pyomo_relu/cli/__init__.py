"""The command line: ``pyomo-relu`` and ``python -m pyomo_relu``."""
