"""Changing a model entirely or not at all: what fails half-way is rolled back."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

#: Undo log of the transaction that is running: (function, arguments), oldest first.
_LOG = contextvars.ContextVar("undo_log", default=None)


def transaction(function: F) -> F:
    """Decorate a function so that an exception leaves the model as it was before.

    What changes a model calls ``on_rollback`` first.  If the function raises anything,
    Ctrl-C included, the steps are taken in reverse.  A transaction within another is
    rolled back alone if its exception is caught there, and with the outer one otherwise.
    What ends in another error because of Ctrl-C (a bare ``except`` of another package)
    ends in KeyboardInterrupt.

    A decorator and not a context manager, whose ``__exit__`` an interrupt can keep from
    being run.  For the same reason the function runs in a context of its own: context
    variables that it set are forgotten, however it ends.
    """

    @functools.wraps(function)
    def run(*args, **kwds):
        log = _LOG.get()
        log = [] if log is None else log
        savepoint, context = len(log), contextvars.copy_context()
        context.run(_LOG.set, log)
        try:
            return context.run(function, *args, **kwds)
        except BaseException as error:
            context = contextvars.copy_context()
            context.run(_LOG.set, None)  # what rolls back is not logged
            context.run(_roll_back, log, savepoint)
            if _interrupted(error):
                raise KeyboardInterrupt from error
            raise

    return cast(F, run)


def on_rollback(function, *arguments):
    """Call ``function(*arguments)`` if the running transaction fails, if there is one.

    To be called before the change.  The step may be taken although the change was not
    made, or not completely, and more than once.
    """
    log = _LOG.get()
    if log is not None:
        log.append((function, arguments))


def _interrupted(error):
    """Whether another error than KeyboardInterrupt was raised because of one."""
    if isinstance(error, KeyboardInterrupt):
        return False
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _roll_back(log, savepoint):
    """Take the steps back to ``savepoint``; Ctrl-C has to wait until that is done."""
    interrupt = None
    while len(log) > savepoint:
        try:
            function, arguments = log[-1]
            function(*arguments)
            log.pop()
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
