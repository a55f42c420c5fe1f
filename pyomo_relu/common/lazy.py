"""Names that load their module on first use; keeps ``import pyomo_relu`` cheap.

numpy and scipy alone take several times as long to import as Pyomo's own registration
needs, and a modeller who only lists transformations needs neither.
"""

import importlib
import sys


def lazy_exports(package, modules, internal=None):
    """``__getattr__`` and ``__dir__`` (PEP 562) for a package.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    modules : dict
        {module: names to take from it}; the module is below the package, or named in
        full.
    internal : dict, optional
        Likewise, names that other packages of ours use and users do not.

    Returns
    -------
    tuple of callables
    """
    places = [*modules.items(), *(internal or {}).items()]
    origin = {name: module for module, names in places for name in names}

    def __getattr__(name):
        if name not in origin:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module = origin[name]
        if not module.startswith("pyomo_relu."):
            module = f"{package}.{module}"
        return getattr(importlib.import_module(module), name)

    def __dir__():
        return sorted({*vars(sys.modules[package]), *origin})

    return __getattr__, __dir__
