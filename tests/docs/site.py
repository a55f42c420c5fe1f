"""The pages of the documentation site as files: toctrees, code blocks, links; no Sphinx."""

import ast
import re

from tests.paths import ROOT

DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path
    for path in sorted([*DOCS.rglob("*.md"), *DOCS.rglob("*.rst")])
    if not path.relative_to(DOCS).parts[0].startswith("_")
}

_MD_TOCTREE = re.compile(r"^`{3}\{toctree\}\n(.*?)^`{3}$", re.MULTILINE | re.DOTALL)
_RST_TOCTREE = re.compile(r"^\.\. toctree::\n((?:[ ]{3}.*\n|\n)*)", re.MULTILINE)
_CODE = re.compile(
    r"^(`{3,})(?:\{code-cell\}|python)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL
)
_INCLUDE = re.compile(r"^`{3}\{(?:include|image)\} (\S+)", re.MULTILINE)
_PATH = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)|<(\.\./[^>\s]+)>|\"(\.\./[^\"{}]+)\"")


def children(page):
    """The pages that a page's toctrees name, in order."""
    text = PAGES[page].read_text(encoding="utf-8")
    for body in [*_MD_TOCTREE.findall(text), *_RST_TOCTREE.findall(text)]:
        for line in map(str.strip, body.splitlines()):
            if line and not line.startswith(":"):
                folder = page.rpartition("/")[0]
                at_top = line.startswith("/") or not folder
                yield line.lstrip("/") if at_top else f"{folder}/{line}"


def reachable(page="index", found=None):
    """The page and all that its toctrees lead to."""
    found = set() if found is None else found
    if page not in found:
        found.add(page)
        for child in children(page):
            reachable(child, found)
    return found


def code_blocks(page):
    """(executed or not, source) of a page's Python blocks, options of cells taken off."""
    text = PAGES[page].read_text(encoding="utf-8")
    for match in _CODE.finditer(text):
        body = re.sub(r"\A---\n.*?\n---\n", "", match[2], flags=re.DOTALL)
        lines = [line for line in body.splitlines() if not re.match(r":\w+: ", line)]
        yield match[0].startswith(f"{match[1]}{{code-cell}}"), "\n".join(lines)


def imported(source):
    """{(module, name)} that a block imports from the package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "pyomo_relu"
        ):
            yield from ((node.module, alias.name) for alias in node.names)


def files_named(page):
    """Files that a page includes, shows or links to, relative to its folder."""
    text = PAGES[page].read_text(encoding="utf-8")
    yield from _INCLUDE.findall(text)
    for groups in _PATH.findall(text):
        yield next(filter(None, groups))
