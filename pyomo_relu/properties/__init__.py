"""Properties of networks in VNN-LIB: read, decided, and put on Pyomo models."""

from typing import TYPE_CHECKING

from pyomo_relu.common.lazy import lazy_exports

if TYPE_CHECKING:
    from pyomo_relu.properties.block import read_vnnlib
    from pyomo_relu.properties.decision import VerificationResult, verify
    from pyomo_relu.properties.property import Case, Property
    from pyomo_relu.properties.vnnlib import load_vnnlib, parse_vnnlib
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "block": ["read_vnnlib"],
            "property": ["Case", "Property"],
            "decision": ["VerificationResult", "verify"],
            "vnnlib": ["load_vnnlib", "parse_vnnlib"],
        },
    )

__all__ = [
    "Case",
    "Property",
    "VerificationResult",
    "load_vnnlib",
    "parse_vnnlib",
    "read_vnnlib",
    "verify",
]
