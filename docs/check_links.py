"""Checks the built site: ``python docs/check_links.py docs/_build/html``.

Every link within the site leads to a file that is there, every anchor to an element, no
page loads a script, style or picture from elsewhere, and none names the folder in which the
site was built or shows a warning from within an installed package.  Nothing is fetched.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: The repository's folder on this machine; whom a page is for has another one.
FOLDER = f"{Path(__file__).resolve().parents[1]}/"
#: Attributes by which a page loads something; others are only followed when clicked.
_LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "src")}
#: Links that name the site's own address or mean something else than a file.
_NO_RESOURCE = {"canonical", "search", "index"}


class Page(HTMLParser):
    """Links and anchors of one page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        """Collect what a tag links to and the names that it can be linked by."""
        given = dict(attrs)
        self.anchors.update(filter(None, (given.get("id"), given.get("name"))))
        if tag == "link" and set((given.get("rel") or "").split()) & _NO_RESOURCE:
            return
        for attribute in ("href", "src"):
            if given.get(attribute):
                self.links.append((tag, attribute, given[attribute]))


def html_files(folder):
    """The pages, without templates that the theme keeps beside its scripts."""
    return [p for p in sorted(folder.rglob("*.html")) if "_static" not in p.parts]


def faults(folder):
    """What is wrong with the site in a folder, one line each."""
    pages = {path.resolve(): Page(path) for path in html_files(folder)}
    for path, page in pages.items():
        where = path.relative_to(folder.resolve())
        if FOLDER in page.text:
            yield f"{where}: names the folder {FOLDER}"
        if "/site-packages/" in page.text:
            yield f"{where}: shows a warning of an installed package"
        for tag, attribute, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if (tag, attribute) in _LOADS and parts.scheme != "data":
                    yield f"{where}: loads {link} from elsewhere"
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            if not target.exists():
                yield f"{where}: {link} leads to no file"
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].anchors
            ):
                yield f"{where}: {link} leads to no anchor"


def main():
    """Print the faults; 1 if there are any or no pages at all."""
    folder = Path(sys.argv[1])
    found = list(faults(folder))
    count = len(html_files(folder))
    print(*found, f"{count} pages, {len(found)} faults", sep="\n")
    return 1 if found or not count else 0


if __name__ == "__main__":
    raise SystemExit(main())
