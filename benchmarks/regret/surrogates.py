"""The surrogates by name, with the boxes that they were trained on."""

import json
from pathlib import Path
from typing import NamedTuple

import pyomo.environ as pyo

#: The set's own networks.
OWN = Path(__file__).parent / "networks"


class Surrogate(NamedTuple):
    """A network's file and the box of its inputs."""

    path: str
    lower: list
    upper: list

    def bounds(self, j):
        """Bounds of an input."""
        return self.lower[j], self.upper[j]

    def input_vars(self):
        """An indexed Var of the inputs, with the box as bounds."""
        return pyo.Var(range(len(self.lower)), bounds=lambda m, j: self.bounds(j))


def surrogate(name):
    """One of the set's own surrogates."""
    entry = json.loads((OWN / "manifest.json").read_text())[name]
    return Surrogate(str(OWN / f"{name}.onnx"), entry["lower"], entry["upper"])
