"""Plain-text tables for records."""


def format_table(header, rows, left=1):
    """Rows as text with aligned columns: the first ``left`` to the left, others right.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        Floats are shown with four significant digits, None as "-".
    left : int

    Returns
    -------
    str
    """
    cells = [list(header)] + [[cell_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        parts = [t.ljust(w) for t, w in zip(row[:left], widths[:left], strict=True)]
        parts += [t.rjust(w) for t, w in zip(row[left:], widths[left:], strict=True)]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def cell_text(value):
    """What a cell shows: floats with four significant digits, None as "-"."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
