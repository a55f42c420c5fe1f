"""Reads a study's configuration and lists its cases; runs nothing.

A configuration is a JSON file (no package is needed to read it on any Python)::

    {
      "comment": "free text",
      "trainings": {"plain": {}, "l1 1e-4": {"l1": 1e-4}},
      "training_defaults": {"samples": 20000, "epochs": 60, "batch": 256},
      "problem_defaults": {"ackley2": {"epochs": 150}},
      "formulations": {"scaled": ["relu.scaled", {"criterion": "l1"}]},
      "limits": {"time_limit": 60},
      "indicators": {"bounds": ["interval", "crown", "lp"], "max_regions": 100000},
      "grids": [
        {"problem": ["peaks"], "hidden": [[25, 25]], "training": ["plain", "l1 1e-4"],
         "seed": [0, 1], "units": ["raw"], "bounds": ["lp"], "formulation": ["relu.bigm"],
         "solver": ["highs"], "solver_seed": [0]}
      ]
    }

``problem_defaults`` go before ``training_defaults``, a training's own options before
both.  Each grid is the product of its axes; a case that occurs in two grids is run once.
Grids are worked off in the order given.
"""

import hashlib
import itertools
import json
from dataclasses import dataclass, fields
from pathlib import Path

from pyomo_relu.study.run.bound_methods import BOUND_METHODS, INDICATOR_METHODS
from pyomo_relu.study.training.units import UNITS

GRIDS = Path(__file__).parent / "grids"
AXES = {
    "problem": None,
    "hidden": None,
    "training": ["plain"],
    "seed": [0],
    "units": ["raw"],
    "bounds": ["lp"],
    "formulation": ["relu.bigm"],
    "solver": ["highs"],
    "solver_seed": [0],
}
LIMITS = {
    "time_limit": 60.0,
    "work_limit": None,
    "node_limit": None,
    "mip_gap": 1e-4,
    "bounds_time_limit": None,
}
INDICATORS = {
    "bounds": ["interval", "crown", "lp", "scaled interval"],
    "max_regions": 100_000,
    "regions_time_limit": 30.0,
}
#: Keys of a training beside the fields of TrainingOptions.
EXTRA_TRAINING = {"prune", "fine_tune_epochs", "sparsify", "ceiling_quantile"}


class ConfigError(ValueError):
    """A configuration cannot be used; the message says where and why."""


@dataclass(frozen=True)
class NetworkTask:
    """One training and what is learned about its networks."""

    problem: str
    hidden: tuple
    training: str
    seed: int
    options: dict
    indicators: dict

    @property
    def id(self):
        """Hash of everything that decides the result."""
        return _hash("network", vars(self))

    def to_dict(self):
        """Plain data for a worker, with its kind and id."""
        return {"kind": "network", "id": self.id, **vars(self)}


@dataclass(frozen=True)
class SolveTask:
    """One solve over networks that a NetworkTask made."""

    network: str
    problem: str
    units: str
    bounds: str
    formulation: str
    transformation: tuple
    solver: str
    solver_seed: int
    limits: dict

    @property
    def id(self):
        """Hash of everything that decides the result."""
        return _hash("solve", vars(self))

    def to_dict(self):
        """Plain data for a worker, with its kind and id."""
        return {"kind": "solve", "id": self.id, **vars(self)}


def _hash(kind, settings):
    text = json.dumps([kind, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Config:
    """A configuration that was read; ``cases`` are (NetworkTask, its SolveTasks)."""

    name: str
    comment: str
    cases: tuple

    @property
    def n_cases(self):
        """Trainings and solves."""
        return len(self.ids)

    @property
    def ids(self):
        """Ids of all cases."""
        solves = (solve.id for _, solves in self.cases for solve in solves)
        return {task.id for task, _ in self.cases}.union(solves)


def load_config(path):
    """Read a configuration file, or one of the grids that come with the study.

    Parameters
    ----------
    path : path or str
        A file, or the name of a grid in ``pyomo_relu/study/run/grids`` ("quick").

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
    """
    path = Path(path)
    if not path.suffix and not path.exists():
        path = GRIDS / f"{path}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.json")))
        raise ConfigError(f"there is no configuration '{path}'. Grids here: {known}.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}.") from error
    return parse_config(data, path.stem)


def parse_config(data, name="study"):
    """A Config from the dict that a configuration file holds; see ``load_config``."""
    known = {
        "comment",
        "trainings",
        "training_defaults",
        "problem_defaults",
        "formulations",
        "limits",
        "indicators",
        "grids",
    }
    _check_keys(name, data, known)
    trainings = {"plain": {}, **data.get("trainings", {})}
    defaults = data.get("training_defaults", {})
    special = data.get("problem_defaults", {})
    for label, options in {**trainings, "training_defaults": defaults}.items():
        _check_keys(f"{name}: training '{label}'", options, _training_keys())
    for label, options in special.items():
        _check_keys(f"{name}: defaults of '{label}'", options, _training_keys())
    limits = _merged(f"{name}: limits", LIMITS, data.get("limits", {}))
    indicators = _merged(f"{name}: indicators", INDICATORS, data.get("indicators", {}))
    _check_names(name, "bounds", indicators["bounds"], INDICATOR_METHODS)
    defaults = defaults, special
    settings = (trainings, defaults, data.get("formulations", {}), limits, indicators)
    cases = {}
    for number, grid in enumerate(data.get("grids", [])):
        _add_grid(f"{name}: grid {number}", grid, settings, cases)
    if not cases:
        raise ConfigError(f"{name}: there are no grids, so there is nothing to do.")
    unique = tuple((task, tuple(solves.values())) for task, solves in cases.values())
    return Config(name, data.get("comment", ""), unique)


def _add_grid(where, grid, settings, cases):
    _check_keys(where, grid, set(AXES) | {"comment"})
    trainings, (defaults, special), formulations, limits, indicators = settings
    axes = {}
    for axis, default in AXES.items():
        values = grid.get(axis, default)
        if values is None:
            raise ConfigError(f"{where}: the axis '{axis}' is missing.")
        axes[axis] = values if isinstance(values, list) else [values]
    _check_names(where, "training", axes["training"], trainings)
    _check_names(where, "bounds", axes["bounds"], BOUND_METHODS)
    _check_names(where, "units", axes["units"], UNITS)
    for point in itertools.product(*axes.values()):
        at = dict(zip(axes, point, strict=True))
        task = NetworkTask(
            at["problem"],
            tuple(at["hidden"]),
            at["training"],
            int(at["seed"]),
            {
                **defaults,
                **special.get(at["problem"], {}),
                **trainings[at["training"]],
            },
            indicators,
        )
        transformation = formulations.get(at["formulation"], [at["formulation"], {}])
        solve = SolveTask(
            task.id,
            at["problem"],
            at["units"],
            at["bounds"],
            at["formulation"],
            tuple(transformation),
            at["solver"],
            int(at["solver_seed"]),
            limits,
        )
        cases.setdefault(task.id, (task, {}))[1][solve.id] = solve


def _training_keys():
    from pyomo_relu.study.training.training import TrainingOptions

    own = {f.name for f in fields(TrainingOptions)} - {"hidden", "seed"}
    return own | EXTRA_TRAINING


def _merged(where, defaults, given):
    _check_keys(where, given, set(defaults))
    return {**defaults, **given}


def _check_keys(where, given, known):
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(
            f"{where}: unknown key '{unknown[0]}'. Known are {', '.join(sorted(known))}."
        )


def _check_names(where, axis, values, known):
    unknown = [v for v in values if v not in known]
    if unknown:
        raise ConfigError(
            f"{where}: unknown {axis} '{unknown[0]}'. Known are "
            f"{', '.join(map(str, known))}."
        )
