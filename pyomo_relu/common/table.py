"""Plain-text tables for the records of the analysis."""


def format_table(header, rows):
    """Rows as text with aligned columns: the first one left, the others right.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        Floats are shown with four significant digits, None as "-".

    Returns
    -------
    str
    """
    cells = [list(header)] + [[_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        parts = [first[0].ljust(first[1])]
        parts += [text.rjust(width) for text, width in others]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _text(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
