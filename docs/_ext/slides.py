"""Slides of notebooks, made of the run that the site shows; no script but keys and fitting.

The executed notebook lies in the build folder when all pages are written.  Each heading
begins a slide; exercises and what follows them are left out.  When the deck is opened,
slides that are taller than the window go on on further ones, cell by cell.
"""

import base64
import html
import re
from pathlib import Path

import nbformat
from docutils.utils.math import latex2mathml
from markdown_it import MarkdownIt
from outputs import FOLDER

#: Notebook -> file beside the site's pages.
DECKS = {
    "learn/one_neuron": "slides/one_neuron.html",
    "learn/bounds": "slides/bounds.html",
}

STYLE = """
html { scroll-snap-type: y mandatory; font: 22px/1.45 system-ui, sans-serif; }
body { margin: 0; color: #1b1b1b; background: #fff; }
section { min-height: 100vh; scroll-snap-align: start; box-sizing: border-box;
  padding: 5vh 8vw; display: flex; flex-direction: column; justify-content: center; }
section:nth-child(odd) { background: #f4f7fb; }
h1 { font-size: 2.2em; } h2 { font-size: 1.6em; color: #00527f; margin: 0 0 0.4em; }
p { margin: 0.5em 0; }
table { border-collapse: collapse; font-size: 0.8em; } td, th { padding: 0.1em 0.8em; }
th { text-align: left; } .cell p { font-size: 0.8em; }
pre { font-size: 0.68em; line-height: 1.3; overflow-x: auto; padding: 0.6em 0.9em;
  background: #fff; border: 1px solid #c8d3df; border-radius: 4px; margin: 0.4em 0; }
pre.out { background: #fbfbf7; } pre.err { background: #fdf2f0; }
pre.out, pre.err { white-space: pre-wrap; }
img { max-width: 80vw; max-height: 55vh; }
"""
KEYS = """
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1,
    ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = Math.round(scrollY / innerHeight);
  const all = [...document.querySelectorAll("section")];
  const shown = all.findLastIndex((one) => one.offsetTop <= scrollY + 2);
  all[Math.max(0, Math.min(all.length - 1, shown + step))].scrollIntoView();
});
const tall = (slide) => slide.offsetHeight > innerHeight + 1;
const shrink = (slide, least) => {
  for (let size = 95; tall(slide) && size >= least; size -= 5)
    slide.style.fontSize = `${size}%`;
  return !tall(slide);
};
for (let slide of [...document.querySelectorAll("section")]) {
  while (tall(slide) && slide.children.length > 2) {
    const introduced = slide.children.length === 3 && slide.children[1].tagName === "P";
    if (introduced && shrink(slide, 70)) break;
    slide.style.fontSize = "";
    const next = document.createElement("section");
    slide.after(next);
    do next.prepend(slide.lastElementChild); while (tall(slide) && slide.children.length > 2);
    // what introduces a cell goes with it
    const last = slide.lastElementChild;
    if (next.firstElementChild.className === "cell" && last.tagName === "P"
        && slide.children.length > 2) next.prepend(last);
    next.prepend(slide.firstElementChild.cloneNode(true));
    shrink(slide, 45);
    slide = next;
  }
  shrink(slide, 45);
}
"""


def _markdown(text):
    """HTML of a Markdown cell, its formulas as MathML."""
    kept = []

    def keep(match):
        block = match[1] is not None
        code = match[1] if block else match[2]
        kept.append(str(latex2mathml.tex2mathml(code.strip(), as_block=block)))
        return f"\uf000{len(kept) - 1}\uf001"

    text = re.sub(r"\$\$(.+?)\$\$|\$([^$\n]+(?:\n[^$\n]+)*?)\$", keep, text, flags=re.S)
    text = re.sub(r"\{cite:p\}`[^`]*`", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    shown = MarkdownIt().enable("table").render(text)
    return re.sub(r"\uf000(\d+)\uf001", lambda m: kept[int(m[1])], shown)


def _outputs(cell):
    """HTML of what a code cell printed, showed or raised."""
    merged = set()  # the first stream of a name has the text of all (nb_merge_streams)
    for output in cell.outputs:
        if output.output_type == "stream":
            if output.name not in merged:
                yield f'<pre class="out">{html.escape(output.text.rstrip())}</pre>'
            merged.add(output.name)
        elif output.output_type == "error":
            last = f"{output.ename}: {output.evalue}"
            yield f'<pre class="err">{html.escape(last)}</pre>'
        elif "image/png" in output.data:
            data = output.data["image/png"].replace("\n", "")
            base64.b64decode(data, validate=True)
            yield f'<img alt="figure" src="data:image/png;base64,{data}">'
        elif "text/html" in output.data:
            yield output.data["text/html"]
        elif "text/plain" in output.data:
            yield f'<pre class="out">{html.escape(output.data["text/plain"])}</pre>'


def deck(notebook):
    """The slides of an executed notebook as one HTML page."""
    slides = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"^(?=#{1,2} )", cell.source, flags=re.MULTILINE):
                if not part.strip():
                    continue
                if part.startswith("#") or not slides:
                    slides.append([])
                slides[-1].append((part, _markdown(part)))
        elif cell.cell_type == "code":
            if "hide-cell" in cell.metadata.get("tags", []):
                continue
            code = f"<pre>{html.escape(cell.source.rstrip())}</pre>"
            shown = "\n".join([code, *_outputs(cell)]).replace(FOLDER, "")
            slides[-1].append(("", f'<div class="cell">{shown}</div>'))
    heads = [slide[0][0].splitlines()[0] for slide in slides]
    if "## Exercises" in heads:
        slides = slides[: heads.index("## Exercises")]
    title = html.escape(heads[0].lstrip("# "))
    body = "\n".join(
        f"<section>{''.join(shown for _, shown in slide)}</section>" for slide in slides
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body>{body}<script>{KEYS}</script></body></html>"
    )


def write(app, failed):
    """Write the decks beside the pages."""
    if failed is not None or app.builder.format != "html":
        return
    for notebook, target in DECKS.items():
        executed = Path(app.outdir).parent / "jupyter_execute" / f"{notebook}.ipynb"
        path = Path(app.outdir) / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = deck(nbformat.read(executed, as_version=4))
        path.write_text(shown, encoding="utf-8")


def setup(app):
    """Wait for the end of the build."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
