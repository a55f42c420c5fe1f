"""How pictures look: colours that all can tell apart, sizes that a hall can read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pyomo_relu.errors import MissingPackageError, ModelError

#: The palette of Okabe and Ito (Color Universal Design, 2008), and a grey.
BLACK, BLUE, VERMILLION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY, YELLOW = "#E69F00", "#CC79A7", "#56B4E9", "#F0E442"
GREY = "#999999"

#: Colours of curves, bars and groups in this order; what differs in colour also differs
#: in its line or marker.
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY, YELLOW)
LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "p")

#: Even in lightness and the same for the colour-blind.
COLOUR_MAP = "cividis"

_STYLE = {
    "font.size": 14,
    "axes.labelsize": 15,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1.2,
    "legend.fontsize": 12,
    "legend.framealpha": 0.9,
    "lines.linewidth": 2.5,
    "lines.markersize": 8,
    "savefig.dpi": 150,
}


def colour(i: int) -> str:
    """Colour number i; they begin again after the last one."""
    return COLOURS[i % len(COLOURS)]


def line(i: int) -> Any:
    """Line style number i."""
    return LINES[i % len(LINES)]


def marker(i: int) -> str:
    """Marker number i."""
    return MARKERS[i % len(MARKERS)]


def context() -> Any:
    """A context manager: figures and Axes made within it have these sizes.

    Axes that were made outside keep theirs: what is drawn on them takes our lines, and
    text in the sizes of the caller, which their labels have, too.
    """
    plt = pyplot()
    if not plt.get_fignums():
        # loads the backend, which in a notebook switches to interactive for good; done
        # within the context that would end with it, and later figures not be shown
        plt.draw_if_interactive()
    return plt.rc_context(_STYLE)


def _lines() -> Any:
    """The same without what a figure of the caller's decides: sizes of text, frames."""
    ours = ("lines.", "legend.framealpha")
    return pyplot().rc_context({k: v for k, v in _STYLE.items() if k.startswith(ours)})


@contextlib.contextmanager
def styled(
    ax: Any = None,
    projection: str | None = None,
    size: tuple[float, float] = (6.8, 4.8),
) -> Iterator[Any]:
    """The Axes to draw on, in this style.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Default: the only one of a new figure.
    projection : str, optional
        "3d" for surfaces.
    size : (float, float)
        Of a new figure, in inches.

    Raises
    ------
    MissingPackageError
        Without matplotlib.
    ModelError
        If ``ax`` is no Axes, or not of this projection.
    """
    plt = pyplot()
    with context() if ax is None else _lines():
        if ax is None:
            _, ax = plt.subplots(
                figsize=size,
                layout="constrained",
                subplot_kw={"projection": projection},
            )
        elif not hasattr(ax, "plot") or not hasattr(ax, "figure"):
            raise ModelError(
                f"ax must be a matplotlib Axes, not {ax!r:.80}. Leave it out for a new "
                "figure, or take one of plt.subplots()."
            )
        elif projection == "3d" and ax.name != "3d":
            raise ModelError(
                "this picture has three dimensions: give no ax, or one of "
                'plt.subplots(subplot_kw={"projection": "3d"}).'
            )
        yield ax
        roomy_ticks(ax)


def roomy_ticks(ax: Any, most: int | None = None) -> None:
    """Linear axes get ticks whose labels have room, also of 1e5 to 3e5.

    Few of them, and a common power of ten written once at the axis' end.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    most : int, optional
        Intervals between ticks; default: 5, and 4 in three dimensions.
    """
    from matplotlib.ticker import AutoLocator, ScalarFormatter

    three = hasattr(ax, "zaxis")
    for axis in (ax.xaxis, ax.yaxis, *([ax.zaxis] if three else ())):
        locator = axis.get_major_locator()
        if isinstance(locator, AutoLocator):
            locator.set_params(nbins=most or (4 if three else 5))
        if type(axis.get_major_formatter()) is ScalarFormatter:
            formatter = ScalarFormatter(useMathText=True)
            formatter.set_powerlimits((-4, 5))
            axis.set_major_formatter(formatter)


def logarithmic(ax: Any, *sides: str) -> None:
    """Logarithmic scales with few, plain tick labels.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    *sides : {"x", "y"}
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for side in sides:
        low, high = getattr(ax.dataLim, f"interval{side}")
        if low == high > 0:  # a single value has no range
            getattr(ax, f"set_{side}lim")(low / 10, high * 10)
        getattr(ax, f"set_{side}scale")("log")
        ticks = getattr(ax, f"{side}axis")
        ticks.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ticks.set_minor_formatter(NullFormatter())


def legend_above(ax: Any, columns: int = 2, title: str | None = None) -> None:
    """A legend that covers nothing of what is drawn."""
    ax.legend(
        loc="lower center",
        # beside a power of ten, which stands above the left end
        bbox_to_anchor=(0.55, 1.0),
        ncols=columns,
        frameon=False,
        title=title,
    )


def pyplot() -> Any:
    """matplotlib.pyplot, loaded on first use."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingPackageError(
            "pyomo_relu.plot needs matplotlib, which is not installed "
            f'({error}). Run: pip install "pyomo_relu[plot]"'
        ) from None
    return plt
