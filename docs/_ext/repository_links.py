"""Links in the repository's own pages (README, CHANGELOG, ...), which the site includes.

There they lead to files; here to the page that shows the file, if there is one, to the
picture, and to the file's name otherwise.
"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent

_INCLUDE = re.compile(r"^`{3}\{include\} (\S+)", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def shown():
    """{file of the repository: file of the page that shows it}."""
    pages = {p.resolve(): p for p in DOCS.rglob("*.md") if "_build" not in p.parts}
    for page in list(pages.values()):
        for path in _INCLUDE.findall(page.read_text(encoding="utf-8")):
            pages[(page.parent / path).resolve()] = page
    return pages


def rewrite(text, source, page, leaving=False):
    """Text of file ``source`` with its links as they must be in ``page``.

    With ``leaving`` only links to files outside of docs/ are touched: Sphinx checks the
    others.
    """
    pages = shown()

    def link(match):
        image, label, target = match.groups()
        path, _, anchor = target.partition("#")
        file = (source.parent / path).resolve()
        if leaving and (file.is_relative_to(DOCS) or not file.is_relative_to(ROOT)):
            return match[0]
        if not file.exists():
            raise FileNotFoundError(f"{source}: the link to {path} leads nowhere.")
        if image:
            return f"![{label}]({os.path.relpath(file, page.parent)})"
        if file.suffix == ".png":
            return f"[{label}]({os.path.relpath(file, page.parent)})"
        if file not in pages:
            return f"{label} (`{file.relative_to(ROOT)}`)"
        relative = os.path.relpath(pages[file], page.parent)
        return f"[{label}]({relative}{'#' + anchor if anchor else ''})"

    return _LINK.sub(link, text)


def include(app, relative_path, parent, content):
    """Rewrite a Markdown file that is included from outside of docs/."""
    source = (DOCS / relative_path).resolve()
    if source.suffix == ".md":
        page = Path(app.env.doc2path(app.env.docname))
        content[0] = rewrite(content[0], source, page)


def read(app, docname, content):
    """Rewrite the links by which a page of docs/ leaves it."""
    page = Path(app.env.doc2path(docname)).resolve()
    if page.suffix == ".md":
        content[0] = rewrite(content[0], page, page, leaving=True)


def setup(app):
    """Listen to pages and to files that they include."""
    app.connect("source-read", read)
    app.connect("include-read", include)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
