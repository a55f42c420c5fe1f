"""What Pyomo's solvers take in ``solve`` besides options: done here, said, or refused."""

from __future__ import annotations

import contextlib
import io
import logging
import sys

from pyomo.core.base import Suffix

from pyomo_relu.errors import ModelError

logger = logging.getLogger("pyomo.relu")

#: What ``pyomo solve`` hands to every solver, and what is so anyway: messages and results
#: have the model's own names.
_SILENT = ("available", "symbolic_solver_labels")

#: What has no effect, and why.
_NO_EFFECT = {
    "keepfiles": "no files are written for a solver; logfile= keeps the log",
    "solnfile": "no files are written for a solver; the Vars and results hold the point",
    "file_determinism": "no files are written for a solver",
    "io_options": "no files are written for a solver",
    "select": "there is one solution",
}

#: Of the solution of a continuous problem, which is not what is solved here.
_DUAL = ("dual", "rc", "slack", "lrc", "urc")


def without_effect(name, given):
    """Take Pyomo's keywords out of ``given``; warn of those that ask for something.

    Parameters
    ----------
    name : str
        The solver's.
    given : dict
        Changed.

    Raises
    ------
    ModelError
        If ``suffixes`` asks for what is not computed.
    """
    for key in _SILENT:
        given.pop(key, None)
    for key, reason in _NO_EFFECT.items():
        value = given.pop(key, None)
        if value:
            logger.warning("%s: %s=%.80r has no effect: %s.", name, key, value, reason)
    suffixes = given.pop("suffixes", None)
    if suffixes:
        raise ModelError(
            f"{name}: suffixes={suffixes!r:.80} asks for what is not computed: there are "
            "no duals, reduced costs or slacks. Leave suffixes out."
        )


def warn_of_suffixes(name, model):
    """Warn where a model's Suffix waits for what is not computed."""
    for suffix in model.component_objects(Suffix, active=True, descend_into=True):
        if suffix.import_enabled() and suffix.local_name in _DUAL:
            logger.warning(
                "%s: the Suffix '%s' stays as it is: there are no duals, reduced costs or "
                "slacks.",
                name,
                suffix.name,
            )


class _Copies(io.TextIOBase):
    """Text that goes to several streams."""

    def __init__(self, *streams):
        self.streams = streams

    def write(self, text):
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self):
        for stream in self.streams:
            stream.flush()


@contextlib.contextmanager
def log_file(name, path, tee):
    """Write what is printed to a file, too; instead of to the screen without ``tee``.

    Parameters
    ----------
    name : str
        The solver's.
    path : str or None
        An earlier file of that name is replaced, as by Pyomo's other solvers.
    tee : bool

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    if path is None:
        yield
        return
    try:
        stream = open(path, "w", encoding="utf-8")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise ModelError(
            f"{name}: logfile={path!r} cannot be written: {error.strerror}. Give the path "
            "of a file in a folder that exists."
        ) from error
    with (
        stream,
        contextlib.redirect_stdout(_Copies(stream, sys.stdout) if tee else stream),
    ):
        yield
