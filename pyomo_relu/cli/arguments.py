"""What commands share: arguments, reading files and boxes; wrong ones end in one line."""

import argparse
import math
import os
import re
import sys

from pyomo_relu.errors import BoundsError, ModelError, NetworkFileError

#: ``example:NAME`` in place of a file.
EXAMPLE = "example:"


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line that says where to look."""

    def __init__(self, **settings):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message):
        """Print the line and exit with 2."""
        if message.endswith("required: FILE"):
            message += ", which stands before options that take several words"
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def as_words(arguments):
    """Arguments in which negative numbers cannot be taken for options.

    argparse knows "-2" for a number but not "-1e-3" or "-inf"; what begins with a space
    it takes for an argument.
    """
    return [f" {a}" if a.startswith("-") and _is_number(a) else a for a in arguments]


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def add_command(commands, name, run, text, extra=None, also=()):
    """A subparser with ``--json``, which ``run(options)`` answers.

    Parameters
    ----------
    also : sequence of str
        Other spellings of the name.
    extra : str, optional
        The extra of the package that the command needs.
    """
    first = text.strip().split("\n\n")[0].replace("\n", " ")
    parser = commands.add_parser(
        name, aliases=list(also), help=first, description=text.strip()
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, extra=extra, name=name)
    return parser


def add_file(parser):
    """FILE and ``--tensor``."""
    parser.add_argument("file", metavar="FILE", help="ONNX file, or example:NAME")
    parser.add_argument(
        "--tensor",
        metavar="NAME",
        help="take this tensor of the file as output, such as the logits before a "
        "Softmax",
    )


def add_box(parser):
    """``--box`` of the inputs."""
    parser.add_argument(
        "--box",
        nargs=2,
        type=_real,
        action="append",
        metavar=("LO", "HI"),
        help="range of every input; or once per input, in their order. Examples have a "
        "box of their own",
    )


def add_output(parser):
    """``--output`` of the network."""
    parser.add_argument(
        "--output",
        type=_whole,
        metavar="K",
        help="number of the output, from 0; needed where there are several",
    )


def add_limits(parser):
    """``--time-limit``."""
    parser.add_argument(
        "--time-limit",
        type=positive,
        metavar="SECONDS",
        help="stop then, with what is proven until then",
    )


def add_progress(parser, what):
    """``--progress`` and ``--no-progress``; by default where stderr is a terminal."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=sys.stderr.isatty(),
        help=f"{what} on stderr (default: if that is a terminal)",
    )


def _real(text):
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is not a number") from None
    if math.isnan(value):
        raise argparse.ArgumentTypeError("nan is not a number that bounds anything")
    return value


def non_negative(text):
    """A finite number of at least zero."""
    value = _real(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text.strip()} is not a finite number of at least 0"
        )
    return value


def positive(text):
    """A finite number above zero."""
    value = non_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text.strip()} is not above zero")
    return value


def _whole(text):
    if not re.fullmatch(r"\s*\d+\s*", text):
        raise argparse.ArgumentTypeError(
            f"{text.strip()!r} is not a whole number of at least 0"
        )
    return int(text)


def whole(least):
    """The type of whole numbers of at least ``least``."""

    def convert(text):
        value = _whole(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return convert


class Positioned(argparse.Action):
    """An option ``K VALUE ...`` that may be repeated: a list of (int, *floats)."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Convert and append; argparse calls this."""
        try:
            entry = (_whole(values[0]), *map(_real, values[1:]))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        before = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*before, entry])


def example_of(file):
    """The ExampleNetwork that ``example:NAME`` stands for, or None for a path.

    Raises
    ------
    NetworkFileError
        There is no example of that name.
    """
    from pyomo_relu.network.examples import example_network, example_networks

    if not file.startswith(EXAMPLE):
        return None
    name = file.removeprefix(EXAMPLE).removesuffix(".onnx")
    example_network(name)  # an error lists those that there are
    return example_networks()[name]


def path_of(file):
    """The path that FILE stands for.

    Raises
    ------
    NetworkFileError
        There is no such example, or FILE is the bare name of one.
    """
    from pyomo_relu.network.examples import example_networks

    example = example_of(file)
    if example is not None:
        return str(example.path)
    if file in example_networks() and not os.path.exists(file):
        raise NetworkFileError(
            f"{file}: there is no such file. For the example of that name write "
            f"{EXAMPLE}{file}."
        )
    return file


def read_network(options):
    """The network of FILE.

    Raises
    ------
    NetworkError
        See ``load_onnx`` and ``path_of``.
    """
    from pyomo_relu.network import load_onnx

    return load_onnx(path_of(options.file), output=options.tensor)


def read_box(options, network):
    """The box of the inputs: two float64 arrays of shape (n_inputs,).

    Raises
    ------
    BoundsError
        If none is given and FILE is no example, if their number does not fit, or an
        end is infinite or above the other.
    """
    import numpy as np

    from pyomo_relu.bounds.neuron_bounds import check_box

    n = network.n_inputs
    pairs = options.box
    if not pairs:
        example = example_of(options.file)
        if example is None:
            raise BoundsError(
                f"{network.name}: --box LO HI is missing: the range of its inputs, once "
                f"for all or once for each of the {n}."
            )
        pairs = list(zip(example.lower, example.upper, strict=True))
    if len(pairs) not in (1, n):
        raise BoundsError(
            f"{network.name}: --box was given {len(pairs)} times, but the network has "
            f"{n} inputs. Give it once for all inputs, or {n} times."
        )
    ends = np.array(pairs if len(pairs) == n else pairs * n, dtype=float).T
    lower, upper = check_box(network, *ends)
    return lower[0], upper[0]


def has_box(options):
    """Whether there is a box: given, or an example's own."""
    return bool(options.box) or options.file.startswith(EXAMPLE)


def read_output(options, network):
    """The number of the output that ``--output`` chose.

    Raises
    ------
    ModelError
        If there is no such output, or there are several and none was chosen.
    """
    n = network.n_outputs
    k = options.output
    if k is None and n > 1:
        raise ModelError(
            f"{network.name}: there are {n} outputs; choose one by --output 0 to "
            f"--output {n - 1}."
        )
    return check_position("output", 0 if k is None else k, n, network)


def check_position(noun, k, n, network):
    """``k``, which must be one of ``n`` inputs or outputs."""
    if not 0 <= k < n:
        raise ModelError(
            f"{network.name}: there is no {noun} {k}; its {noun}s are 0 to {n - 1}."
        )
    return k
