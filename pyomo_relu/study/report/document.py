"""A report as a list of parts, written as Markdown and as one HTML file."""

import base64
import html
from dataclasses import dataclass, field
from pathlib import Path

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; font-size: 85%; margin: 1em 0; }
th, td { border: 1px solid #bbb; padding: 0.2em 0.5em; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
figcaption { font-size: 90%; }
"""


@dataclass
class Document:
    """Headings, paragraphs, tables and pictures in order.

    Parameters
    ----------
    title : str
    """

    title: str
    parts: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)

    def heading(self, text, level=2):
        """A heading."""
        self.parts.append(("heading", text, level))

    def text(self, text):
        """A paragraph of plain text."""
        self.parts.append(("text", text))

    def items(self, texts):
        """A bullet list."""
        self.parts.append(("items", list(texts)))

    def table(self, header, rows):
        """A table; floats get three significant digits, None a dash."""
        cells = [[cell(value) for value in row] for row in rows]
        self.parts.append(("table", list(header), cells))

    def picture(self, name, png, caption):
        """A picture from PNG bytes."""
        self.pictures[name] = png
        self.parts.append(("picture", name, caption))

    def markdown(self):
        """The text; pictures are in ``figures/NAME.png`` beside it."""
        out = [f"# {self.title}"]
        for kind, *content in self.parts:
            out.append(getattr(self, f"_{kind}_markdown")(*content))
        return "\n\n".join(out) + "\n"

    def html(self):
        """One file with everything in it."""
        body = [f"<h1>{html.escape(self.title)}</h1>"]
        for kind, *content in self.parts:
            body.append(getattr(self, f"_{kind}_html")(*content))
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style>\n"
            "</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
        )

    def write(self, folder):
        """``report.md``, ``report.html`` and ``figures/`` in a folder."""
        folder = Path(folder)
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name, png in self.pictures.items():
            (folder / "figures" / f"{name}.png").write_bytes(png)
        (folder / "report.md").write_text(self.markdown(), encoding="utf-8")
        (folder / "report.html").write_text(self.html(), encoding="utf-8")

    # -- parts ---------------------------------------------------------------------

    @staticmethod
    def _heading_markdown(text, level):
        return f"{'#' * level} {text}"

    @staticmethod
    def _heading_html(text, level):
        return f"<h{level}>{html.escape(text)}</h{level}>"

    @staticmethod
    def _text_markdown(text):
        return text

    @staticmethod
    def _text_html(text):
        return f"<p>{html.escape(text)}</p>"

    @staticmethod
    def _items_markdown(texts):
        return "\n".join(f"- {text}" for text in texts)

    @staticmethod
    def _items_html(texts):
        items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
        return f"<ul>{items}</ul>"

    @staticmethod
    def _table_markdown(header, rows):
        lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    @staticmethod
    def _table_html(header, rows):
        def line(tag, cells):
            inner = "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells)
            return f"<tr>{inner}</tr>"

        body = "\n".join(line("td", row) for row in rows)
        return f"<table>\n{line('th', header)}\n{body}\n</table>"

    @staticmethod
    def _picture_markdown(name, caption):
        return f"![{caption}](figures/{name}.png)\n\n*{caption}*"

    def _picture_html(self, name, caption):
        data = base64.b64encode(self.pictures[name]).decode()
        text = html.escape(caption)
        return (
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
            f"<figcaption>{text}</figcaption></figure>"
        )


def cell(value):
    """A table's entry as text."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
