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

from pyomo_relu.common.options import read_options
from pyomo_relu.common.wording import meant
from pyomo_relu.errors import ReLUError
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


class ConfigError(ReLUError, ValueError):
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
        _check_problem(f"{name}: problem_defaults", label)
        _check_keys(f"{name}: defaults of '{label}'", options, _training_keys())
    formulations = {
        label: _transformation(f"{name}: formulation '{label}'", given)
        for label, given in data.get("formulations", {}).items()
    }
    limits = _merged(f"{name}: limits", LIMITS, data.get("limits", {}))
    indicators = _merged(f"{name}: indicators", INDICATORS, data.get("indicators", {}))
    _check_names(name, "bounds", indicators["bounds"], INDICATOR_METHODS)
    defaults = defaults, special
    settings = trainings, defaults, formulations, limits, indicators
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
    for label in axes["problem"]:
        _check_problem(where, label)
    for hidden in axes["hidden"]:
        _check_hidden(where, hidden)
    encodings = {"none": ("none", {}), **{n: (n, {}) for n in known_formulations()}}
    formulations = {**encodings, **formulations}
    _check_names(where, "formulation", axes["formulation"], formulations)
    for solver in axes["solver"]:
        _check_solver(where, solver)
    for axis in ("seed", "solver_seed"):
        _check_whole(where, axis, axes[axis])
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
        if task.id not in cases:
            _check_training(f"{where}, training '{at['training']}'", task)
        solve = SolveTask(
            task.id,
            at["problem"],
            at["units"],
            at["bounds"],
            at["formulation"],
            formulations[at["formulation"]],
            at["solver"],
            int(at["solver_seed"]),
            limits,
        )
        cases.setdefault(task.id, (task, {}))[1][solve.id] = solve


def known_formulations():
    """Names of the transformations that encode networks."""
    import pyomo_relu  # noqa: F401  (registers)
    from pyomo_relu.transform.table import MEASURED

    return tuple(MEASURED)


def _check_problem(where, name):
    from pyomo_relu.study.problems.benchmarks import benchmark

    try:
        benchmark(name)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_hidden(where, hidden):
    if not (isinstance(hidden, list) and hidden and all(map(_is_size, hidden))):
        raise ConfigError(
            f"{where}: hidden is a list of architectures, each of them a list of sizes "
            f"such as [25, 25], and {hidden!r} is none: [[25, 25]] is one architecture."
        )


def _is_size(entry):
    return isinstance(entry, int) and not isinstance(entry, bool) and entry > 0


def _check_whole(where, axis, values):
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{where}: {axis} takes whole numbers, not {value!r}.")


def _check_solver(where, name):
    from pyomo_relu.analysis.effort.solvers import RAW_SOLVERS
    from pyomo_relu.common.pyomo_solver import check_name

    if not isinstance(name, str):
        raise ConfigError(f"{where}: a solver is given by its name, not {name!r}.")
    if name not in RAW_SOLVERS:
        check_name(name, where, ConfigError)


def _check_training(where, task):
    """Refuse values that the training would refuse."""
    from pyomo_relu.study.training.training import TrainingOptions

    own = {k: v for k, v in task.options.items() if k not in EXTRA_TRAINING}
    try:
        TrainingOptions(hidden=task.hidden, seed=task.seed, **own)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _transformation(where, given):
    """(name, options) that a label stands for."""
    from pyomo.core.base import TransformationFactory

    if not (isinstance(given, list) and [*map(type, given)] == [str, dict]):
        raise ConfigError(
            f'{where}: give it as [transformation, options], such as ["relu.bigm", {{}}], '
            f"not {given!r}."
        )
    name, options = given
    _check_names(where, "formulation", [name], known_formulations())
    own = {k: v for k, v in options.items() if k != "ceiling_quantile"}
    transformation = TransformationFactory.get_class(name)
    read_options(where, transformation.CONFIG, own, error=ConfigError)
    return name, options


def _training_keys():
    from pyomo_relu.study.training.training import TrainingOptions

    own = {f.name for f in fields(TrainingOptions)} - {"hidden", "seed"}
    return own | EXTRA_TRAINING


def _merged(where, defaults, given):
    _check_keys(where, given, set(defaults))
    return {**defaults, **given}


def _check_keys(where, given, known):
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: this is a JSON object, not {given!r}.")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(
            f"{where}: unknown key '{unknown[0]}'.{meant(unknown[0], known)} Known are "
            f"{', '.join(sorted(known))}."
        )


def _check_names(where, axis, values, known):
    known = list(known)  # of values that JSON knows and no hash does, too
    unknown = [v for v in values if v not in known]
    if unknown:
        raise ConfigError(
            f"{where}: unknown {axis} '{unknown[0]}'.{meant(unknown[0], known)} Known "
            f"are {', '.join(map(str, known))}."
        )
