"""Flowsheets of the folder ``shared/flowsheets`` where it lies beside the checkout."""

import importlib.util
from functools import cache, partial
from pathlib import Path

#: Linear models of the folder, and nonlinear ones, which are in the set ``nonlinear``.
LINEAR = (
    *("reformer_linear", "commitment_24", "commitment_48"),
    *("scenarios_20", "chain"),
)
NONLINEAR = (
    *("reformer_bilinear", "reformer_exp", "cstr"),
    *("mixing_2x25", "mixing_3x25", "mixing_5x25"),
)


def shared_folder(*names):
    """The first folder of these names in a ``shared`` beside the checkout, or None."""
    places = [p.joinpath("shared", *names) for p in Path(__file__).resolve().parents]
    return next((p for p in places if p.is_dir()), None)


@cache
def _module(path):
    spec = importlib.util.spec_from_file_location("flowsheets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(path, name):
    return _module(path).MODELS[name]()[0]


def flowsheets(names):
    """{name: function that builds it}; none where the folder is not there."""
    folder = shared_folder("flowsheets")
    if folder is None:
        return {}
    return {name: partial(_build, folder / "models.py", name) for name in names}
