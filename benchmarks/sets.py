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

#: Sets of questions to our own routes, each with tables and options of its own; their
#: commands take ``--limit`` and ``--json`` as well.
QUESTIONS = ("coupled", "verification", "scenarios")


def model_set(name):
    """The ModelSet of a name."""
    module = importlib.import_module(f"benchmarks.{name}.command")
    return getattr(module, SETS[name])


def question(name):
    """The ``main`` of one of ``QUESTIONS``."""
    return importlib.import_module(f"benchmarks.{name}.command").main
