"""HTML of records in notebooks: escaped tables that any theme and screen reader takes."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pyomo_relu.common.table import cell_text, format_table

#: Rows that a table shows; of more, the first ones and how many are left out.
MOST_ROWS = 25

# no colours of its own: lines and text take the theme's, whether light or dark
_TABLE = "border-collapse:collapse;font-size:inherit;margin:0.4em 0"
_CAPTION = "caption-side:top;text-align:left;font-weight:bold;padding:0.2em 0"
_CELL = "padding:0.15em 0.7em;border-bottom:1px solid;border-color:currentColor"


def table_html(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    caption: str,
    left: int = 1,
    notes: Iterable[str] = (),
) -> str:
    """A table as HTML; text is escaped.

    The caption is part of the table and every cell of the head and of the first column
    is a header, so that a screen reader can say what a number is.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        Shown as by ``format_table``; at most ``MOST_ROWS`` of them.
    caption : str
        What the table shows.
    left : int
        How many of the first columns hold text; the others are aligned to the right.
    notes : sequence of str
        Lines below the table.

    Returns
    -------
    str
    """
    rows = list(rows)
    more = len(rows) - MOST_ROWS
    if more > 0:
        rows, notes = rows[:MOST_ROWS], [f"... and {more} more", *notes]
    lines = [f'<table style="{_TABLE}">']
    lines.append(f'<caption style="{_CAPTION}">{escaped(caption)}</caption>')
    if header:
        cells = [
            _cell("th", name, j < left, ' scope="col"') for j, name in enumerate(header)
        ]
        lines.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
    lines.append("<tbody>")
    for row in rows:
        cells = [
            _cell("td" if j else "th", value, j < left, "" if j else ' scope="row"')
            for j, value in enumerate(row)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</tbody></table>")
    lines += [f"<p>{escaped(note)}</p>" for note in notes]
    return f"<div>{''.join(lines)}</div>"


def escaped(value: Any) -> str:
    """A value as text that HTML takes for nothing else."""
    return html.escape(cell_text(value))


def _cell(tag, value, to_the_left, scope):
    side = "left" if to_the_left else "right"
    weight = ";font-weight:normal" if scope == ' scope="row"' else ""
    style = f"{_CELL};text-align:{side}{weight}"
    return f'<{tag}{scope} style="{style}">{escaped(value)}</{tag}>'


class Table(NamedTuple):
    """What a record shows as a table.

    Parameters
    ----------
    caption : str
        Of the HTML; text goes without.
    header, rows, left, notes : as for ``table_html``
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left: int = 1
    notes: Sequence[str] = ()


class Tabular:
    """A record that is one table: ``str()`` gives text, a notebook shows HTML.

    A subclass has ``_table()``, which returns the ``Table``.
    """

    __slots__ = ()

    def _table(self) -> Table:
        raise NotImplementedError

    def __str__(self) -> str:
        shown = self._table()
        text = format_table(shown.header, shown.rows, shown.left)
        return "\n".join([text, *shown.notes])

    def _repr_html_(self) -> str:
        shown = self._table()
        return table_html(
            shown.header, shown.rows, shown.caption, shown.left, shown.notes
        )
