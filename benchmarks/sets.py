"""Which sets there are; each is a package with a ``command``."""

import importlib

#: name -> (module, its ModelSet); imported when asked for, as a set may train networks.
SETS = {
    "surrogates": "SURROGATES",
    "surrogatelib": "SURROGATELIB",
    "regret": "REGRET",
    "flowsheets": "FLOWSHEETS",
    "nonlinear": "NONLINEAR",
    "oil_wells": "OIL_WELLS",
}


def model_set(name):
    """The ModelSet of a name."""
    module = importlib.import_module(f"benchmarks.{name}.command")
    return getattr(module, SETS[name])
