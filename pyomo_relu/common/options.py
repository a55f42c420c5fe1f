"""How the options of one call are read."""

import math
import os
from collections.abc import Collection, Mapping
from typing import Any

from pyomo.common.config import ConfigDict
from pyomo.common.deprecation import deprecation_warning

from pyomo_relu.common.arguments import a_solver
from pyomo_relu.common.wording import meant
from pyomo_relu.errors import ReLUError, TransformationError


def number(value):
    """Domain of a number; Pyomo's own float and NonNegativeFloat take nan."""
    converted = float(value)
    if math.isnan(converted):
        raise ValueError("nan is no number")
    return converted


def non_negative(value):
    """Domain of a number of at least 0, infinity included."""
    if not number(value) >= 0:
        raise ValueError("the number must not be negative")
    return float(value)


def solver_name(value):
    """Domain of a name that pyo.SolverFactory knows; any text, since users register."""
    if isinstance(value, str):
        return value
    raise ValueError("give the name of a Pyomo solver")


def nlp_solver(value):
    """Domain of a solver of Pyomo's: its name, or what pyo.SolverFactory returned."""
    return a_solver("nlp_solver", value, ValueError)


def method_names(value):
    """Domain of the option ``methods``: a list of names."""
    if isinstance(value, str):
        return (value,)
    names = tuple(value)
    if isinstance(value, Mapping) or not all(isinstance(n, str) for n in names):
        raise ValueError("give a list of method names")
    return names


def relaxation_solver(value):
    """Domain of an option that names the solver of relaxations."""
    if value in ("highs", "gurobi", "auto"):
        return value
    raise ValueError("choose 'highs', 'gurobi' or 'auto'")


def file_path(suffix):
    """Domain of an option that takes the path of a file with this suffix, "" for any."""
    ending = f" whose name ends in '{suffix}'" if suffix else ""

    def domain(value):
        if isinstance(value, (str, os.PathLike)) and str(value).endswith(suffix):
            return str(value)
        raise ValueError(f"give the path of a file{ending}")

    return domain


def executor(value):
    """Domain of an option that takes a ``concurrent.futures.Executor``."""
    if callable(getattr(value, "submit", None)):
        return value
    raise ValueError("an executor has a method submit(), as in concurrent.futures")


def read_options(
    name: str,
    declared: ConfigDict,
    given: Mapping[str, Any],
    *,
    none: Collection[str] = (),
    renamed: Collection[tuple[str, str]] = (),
    error: type[ReLUError] = TransformationError,
) -> ConfigDict:
    """The declared options with the values of one call.

    Pyomo takes None for every option, and nan for numbers: both would surface later and
    elsewhere.  Here None stands only where it is the default or has a meaning.

    Parameters
    ----------
    name : str
        Of the transformation or solver, for messages.
    declared : ConfigDict
    given : dict
        Options by name; ``options``, if there, is a dict of more of them, which those
        beside it override.
    none : collection of str
        Options for which None means something although it is not the default.
    renamed : collection of (str, str)
        (old name, present name) of options; an old one is read with a deprecation
        warning.
    error : type
        The ReLUError to raise.

    Returns
    -------
    ConfigDict
        A copy.

    Raises
    ------
    ReLUError
        If an option is unknown or its value is not what it takes; the message names it.
    """
    direct = dict(given)
    more = direct.pop("options", None)
    if not isinstance(more, (Mapping, type(None))):
        raise error(
            f"{name}: options= takes a dict of options, not {more!r:.80}; or give each "
            "as a keyword of its own."
        )
    config = declared()
    for key, value in _by_present_names(
        name, {**(more or {}), **direct}, dict(renamed), error
    ):
        if key not in config:
            raise error(
                f"{name}: unknown option '{key}'.{meant(key, config)} It takes "
                f"{', '.join(config)}."
            )
        option = config.get(key)
        default = option.value(accessValue=False)
        if value is None and default is not None and key not in none:
            raise error(
                f"{name}: {key}=None is no value; leave {key} out for its default, "
                f"{default!r}."
            )
        try:
            option.set_value(value)
        except ValueError as reason:
            # Pyomo puts the domain's own words into four lines
            words = str(reason.__cause__ or reason.__context__ or reason).split()
            raise error(
                f"{name}: {key}={value!r:.80} is refused: {' '.join(words)}"
            ) from None
    return config


def _by_present_names(name, given, renamed, error):
    """(present name, value) of each option given, with a warning for old names."""
    for key, value in given.items():
        new = renamed.get(key)
        if new is None:
            yield key, value
            continue
        if new in given:
            raise error(
                f"{name}: '{key}' is the old name of '{new}'; give '{new}' only."
            )
        deprecation_warning(
            f"{name}: the option '{key}' is now '{new}'.",
            version="0.1.0",
            logger="pyomo.relu",
        )
        yield new, value
