"""What cells show, without the folder in which the site happened to be built."""

from pathlib import Path

from docutils import nodes

FOLDER = f"{Path(__file__).resolve().parents[2]}/"


def shorten(app, doctree):
    """Take the repository's folder off paths in text and HTML outputs."""
    for text in list(doctree.findall(nodes.Text)):
        if FOLDER in text:
            parent = text.parent
            parent.replace(text, nodes.Text(text.replace(FOLDER, "")))
            if isinstance(parent, nodes.literal_block):
                parent.rawsource = parent.astext()  # else it is not highlighted


def setup(app):
    """Listen to pages that were read, their notebooks executed."""
    app.connect("doctree-read", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
