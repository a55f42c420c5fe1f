"""The command line's entry: which commands there are, how errors end, exit codes.

A command is a module of this package with ``add(commands)``, which declares its
arguments, and a function of these that returns an ``Outcome``.  Modules load numerical
libraries where they run, so that ``--help`` is quick.
"""

import contextlib
import importlib
import json
import logging
import os
import sys

from pyomo_relu.cli.arguments import OneLineParser, as_words
from pyomo_relu.cli.outcome import (
    COUNTEREXAMPLE,
    DONE,
    INFEASIBLE,
    INTERRUPTED,
    NOT_PROVEN,
    WRONG_INPUT,
    plain,
)
from pyomo_relu.errors import ReLUError
from pyomo_relu.version import __version__

COMMANDS = (
    "info",
    "bounds",
    "optimise",
    "regions",
    "compare",
    "export",
    "verify",
    "examples",
    "study",
)

_EPILOG = f"""\
FILE is an ONNX file, or example:NAME for a network that comes with the package
(pyomo-relu examples lists them). Every command has --help and --json.

exit codes:
  {DONE}    done, and proven where there is something to prove
  {NOT_PROVEN}    not proven: a limit or an interruption ended it, or the answer is "unknown"
  {WRONG_INPUT}    wrong input: one line on stderr says what and what to do
  {INFEASIBLE}    proven: no point satisfies what was asked
  {COUNTEREXAMPLE}    verify: the property does not hold, a counterexample is shown
  {INTERRUPTED}  stopped by the keyboard before there was anything to show
"""


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit code, see ``pyomo-relu --help``.
    """
    _print_anything()
    words = as_words(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    try:
        options = parser.parse_args(words)
    except SystemExit as end:  # after --help or a line on stderr
        return end.code or 0
    try:
        with _messages_on_stderr():
            outcome = options.run(options)
        if outcome.data is not None:
            _show(outcome, options)
        if sys.stdout is not None:  # as where a shell closed it
            sys.stdout.flush()
        return outcome.code
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return _complain(options, "interrupted", INTERRUPTED)
    except (ReLUError, OSError) as error:
        return _complain(options, error, WRONG_INPUT)
    except ImportError as error:
        return _complain(options, _missing(error, options), WRONG_INPUT)
    except MemoryError:
        return _complain(options, "out of memory; take a smaller network", WRONG_INPUT)


def _parser():
    parser = OneLineParser(
        prog="pyomo-relu",
        description="Look into trained ReLU networks, and optimise over them.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser
    )
    for name in COMMANDS:
        importlib.import_module(f"pyomo_relu.cli.{name}").add(commands)
    return parser


def _print_anything():
    """Names with letters that a terminal's encoding lacks are shown as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not None, nor what a notebook puts there
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _messages_on_stderr():
    """Pyomo logs to stdout, which here belongs to the results.

    What it logs as an error just before it raises one (which component was being made)
    would be said twice: errors are kept back, and shown only if none is raised.
    """
    logger = logging.getLogger("pyomo")
    before, propagate = logger.handlers, logger.propagate
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    errors = []

    def keep_back(record):
        if record.levelno < logging.ERROR:
            return True
        errors.append(record)
        return False

    handler.addFilter(keep_back)
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
        for record in errors:
            handler.emit(record)
    finally:
        logger.handlers, logger.propagate = before, propagate


def _show(outcome, options):
    if options.json:
        data = {"command": options.name, "version": __version__, **outcome.data}
        print(json.dumps(plain(data), indent=1, allow_nan=False))
    else:
        print(outcome.text)


def _complain(options, error, code):
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"pyomo-relu {options.name}: {message}", file=sys.stderr)
    return code


def _missing(error, options):
    package = (error.name or str(error)).split(".")[0]
    extra = options.extra
    remedy = f"pip install 'pyomo_relu[{extra}]'" if extra else f"pip install {package}"
    return f"the Python package '{package}' is missing or broken ({error}). {remedy}"
