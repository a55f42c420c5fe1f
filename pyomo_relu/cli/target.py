"""Files that commands write: only where they are told to, and over others only if told."""

import contextlib
import os

from pyomo_relu.errors import ModelError


def add_target(parser, option, text):
    """An option that takes the path of a file to write, and ``--force``."""
    parser.add_argument(option, metavar="PATH", help=text)
    parser.add_argument(
        "--force", action="store_true", help="replace that file if it exists"
    )


def check_target(option, path, force):
    """Raise ModelError if ``path`` cannot be written; before the work, not after it."""
    if not path or os.path.isdir(path):
        what = "this is a folder" if path else "the path is empty"
        raise ModelError(f"{path or option}: {what}. Give {option} a file's name.")
    if os.path.exists(path) and not force:
        raise ModelError(f"{path}: it exists already. --force replaces it.")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ModelError(f"{path}: there is no folder {folder}. Make it first.")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ModelError(_unwritable(path, "no permission"))


@contextlib.contextmanager
def writing(path):
    """What fails on the way to the disk says which file it was, and what to do."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ModelError(_unwritable(path, error.strerror or error)) from None


def _unwritable(path, reason):
    return f"{path}: the file cannot be written ({reason}). Choose another place."
