"""Which call of a transformation left what on a model, so that it can be made again."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from numbers import Number

from pyomo.common.autoslots import AutoSlots
from pyomo.common.collections import ComponentMap
from pyomo.common.dependencies import numpy as np
from pyomo.core.base.component import ComponentBase

from pyomo_relu.common.model_reading import ModelReading
from pyomo_relu.errors import TransformationError

#: Numbers that grow with time, across pickles too: what came later has the larger one.
_STAMPS = itertools.count(time.time_ns())

#: Options that say how, and not what; results do not depend on them.
_NOT_KEPT = ("executor", "reverse", "targets")


def next_stamp():
    """A number that is larger than those given before."""
    return next(_STAMPS)


class Application(AutoSlots.Mixin):
    """One call of a transformation; clones and pickles of a model have their own.

    Attributes
    ----------
    transformation : type or None
        None while it is not known.
    model : Block
        What it was applied to.
    options : dict
        Those that the caller gave.
    """

    __slots__ = ("model", "options", "transformation")

    def __init__(self):
        self.transformation = self.model = None
        self.options = {}

    @property
    def fixed_permanent(self):
        """The option ``assume_fixed_vars_permanent``."""
        return self.options.get("assume_fixed_vars_permanent", True)

    def describe(self, transformation, model, config):
        """Note what is applied, and with which of the options in ``config``.

        What is known already stays: a part of the call, or a repetition, asks too.
        """
        if self.transformation is not None:
            return
        self.transformation, self.model = transformation, model
        given = {option.name() for option in config.user_values()}
        for name in config:
            if name in given and name not in _NOT_KEPT:
                value = config[name]
                self.options[name] = value if _copies(value) else _Uncopied(value)

    def repeated_options(self):
        """The options for another call.

        Raises
        ------
        TransformationError
            If one of them was lost when the model was copied.
        """
        for name, value in self.options.items():
            if isinstance(value, _Uncopied) and value.lost:
                raise TransformationError(
                    f"relu.refresh: {self.transformation.NAME} was applied with "
                    f"{name}=, a {value.kind} that copies of a model do not carry. "
                    f"Reverse {self.transformation.NAME} and apply it again."
                )
        return {
            name: value.value if isinstance(value, _Uncopied) else value
            for name, value in self.options.items()
        }


class _Uncopied(AutoSlots.Mixin):
    """An option that may be neither copied nor pickled, such as a solver object."""

    __slots__ = ("kind", "lost", "value")
    __autoslot_mappers__ = {  # noqa: RUF012
        "value": lambda encode, value: None,
        "lost": lambda encode, value: True,
    }

    def __init__(self, value):
        self.kind, self.lost, self.value = type(value).__name__, False, value


def _copies(value):
    """True if deep copies and pickles of a model may carry ``value``."""
    if isinstance(value, (Mapping, ComponentMap)):
        return all(_copies(k) and _copies(v) for k, v in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_copies, value))
    plain = (Number, str, bytes, Enum, np.ndarray, np.generic, ComponentBase)
    return value is None or isinstance(value, plain)


@dataclass(frozen=True)
class Call:
    """What a call of a transformation hands down to all that it does.

    Attributes
    ----------
    application : Application
        To which belongs what is left on the model; ``relu.auto`` applies others within
        its own, ``relu.refresh`` those that it repeats.
    reading : ModelReading
    """

    application: Application = field(default_factory=Application)
    reading: ModelReading = field(default_factory=ModelReading)
