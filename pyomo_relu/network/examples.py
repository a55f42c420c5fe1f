"""The example networks that come with the package: their files, boxes and names."""

from __future__ import annotations

import functools
import json
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from pyomo_relu.common.wording import meant
from pyomo_relu.errors import NetworkFileError

__all__ = ["ExampleNetwork", "example_network", "example_networks"]

#: Beside the package's modules, so that a wheel and a clone have it in one place.
FOLDER = Path(str(resources.files("pyomo_relu"))) / "example_networks"


class ExampleNetwork(NamedTuple):
    """A network file and the box of its inputs.

    Attributes
    ----------
    path : pathlib.Path
        The ONNX file.
    lower, upper : tuple of float, length n_inputs
        Ends of the box that the network was trained on, in the units of its inputs.
    function : str or None
        What was learned ("peaks", "himmelblau", "ackley2", "pendulum"); None for random
        weights.
    """

    path: Path
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    function: str | None


def example_networks() -> dict[str, ExampleNetwork]:
    """The example networks by name.

    Names tell the function and the hidden layers: ``peaks_2x20`` has two layers of 20
    neurons.  ``manifest.json`` beside the files records how each was trained and how
    well it fits.

    Returns
    -------
    dict of str to ExampleNetwork
        A new dict, in the order of names.

    Examples
    --------
    >>> import pyomo_relu
    >>> peaks = pyomo_relu.example_networks()["peaks_2x20"]
    >>> peaks.path.name, peaks.lower, peaks.upper
    ('peaks_2x20.onnx', (-2.0, -2.0), (2.0, 2.0))
    """
    return dict(_read())


@functools.cache
def _read():
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    return {
        name: ExampleNetwork(
            FOLDER / f"{name}.onnx",
            tuple(entry["lower"]),
            tuple(entry["upper"]),
            entry["problem"],
        )
        for name, entry in sorted(manifest.items())
    }


def example_network(name: str) -> Path:
    """Path of an example network's ONNX file, from anywhere.

    Parameters
    ----------
    name : str
        One of :func:`example_networks`, for example "peaks_2x20".

    Returns
    -------
    pathlib.Path

    Raises
    ------
    NetworkFileError
        There is no example of that name; the message lists those that there are.
    """
    known = _read()
    if not isinstance(name, str) or name not in known:
        raise NetworkFileError(
            f"There is no example network {name!r}.{meant(name, known)} "
            f"Known: {', '.join(known)}."
        )
    return known[name].path
