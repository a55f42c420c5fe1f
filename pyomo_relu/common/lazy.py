"""Names that load their module on first use; keeps ``import pyomo_relu`` cheap.

numpy and scipy alone take several times as long to import as Pyomo's own registration
needs, and a modeller who only lists transformations needs neither.  For the same reason
modules that registration loads import numerical internals where they use them.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence


def lazy_exports(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` (PEP 562) for a package.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    modules : dict
        {module below the package: names to take from it}.

    Returns
    -------
    tuple of callables
    """
    origin = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in origin:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{origin[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *origin})

    return __getattr__, __dir__
