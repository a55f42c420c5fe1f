"""The documentation's pages: none is lost, their code parses, what they name exists."""

import ast
import importlib
import re

import pyomo.environ as pyo
import pytest

from pyomo_relu import Network  # registers what is called relu
from pyomo_relu.block import ReLUNetworkBlockData
from pyomo_relu.search.starts import HOW_TO_START
from pyomo_relu.transform import NetworkFormulation
from pyomo_relu.transform.table import MEASURED
from tests.docs.site import (
    DOCS,
    PAGES,
    children,
    code_blocks,
    files_named,
    imported,
    reachable,
)
from tests.test_public_names import PUBLIC

NOTEBOOKS = [page for page in PAGES if any(run for run, _ in code_blocks(page))]


def test_every_page_is_in_a_toctree_and_every_entry_is_a_page():
    assert reachable() == set(PAGES)
    entries = [child for page in PAGES for child in children(page)]
    assert len(entries) == len(set(entries)), "a page is in two toctrees"


def test_the_sections_of_the_site():
    begin = [child.split("/")[0] for child in children("index")]
    assert begin == [
        *("start", "learn", "howto", "explain", "reference"),
        *("troubleshooting", "measured", "study", "changelog"),
    ]
    assert sum(page.startswith("learn/") for page in NOTEBOOKS) >= 10


@pytest.mark.parametrize("page", PAGES)
def test_code_blocks_parse(page):
    for _, source in code_blocks(page):
        ast.parse(source)


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_notebooks_say_their_format_and_print_something(page):
    text = PAGES[page].read_text(encoding="utf-8")
    assert text.startswith("---\njupytext:\n") and "format_name: myst" in text
    assert "display_name: Python 3" in text


@pytest.mark.parametrize("page", PAGES)
def test_code_uses_the_public_api_only(page):
    for _, source in code_blocks(page):
        for module, name in imported(source):
            assert module in PUBLIC, f"{module} is not public"
            exported = importlib.import_module(module).__all__
            assert name in exported or f"{module}.{name}" in PUBLIC, (module, name)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    for name in files_named(page):
        path = DOCS / name[1:] if name.startswith("/") else PAGES[page].parent / name
        if name.endswith(".html"):  # slides, made of a notebook with the site
            path = DOCS / "learn" / path.with_suffix(".md").name
        assert path.exists(), f"{page} names {name}"


def test_code_shown_and_not_run_needs_what_is_not_installed_or_other_machines():
    """Every other block is run when the site is built."""
    shown = {page for page in PAGES if any(not run for run, _ in code_blocks(page))}
    assert shown <= {
        "learn/networks",  # Keras
        "distributed",
        "howto/minlp_solvers",
        "infeasible",
    }


def test_every_formulation_has_a_page():
    pages = {
        page.rpartition("/")[2]
        for page in PAGES
        if page.startswith("explain/formulations/") and not page.endswith("/index")
    }
    assert pages == {name.removeprefix("relu.") for name in MEASURED}
    for name in pages:
        text = PAGES[f"explain/formulations/{name}"].read_text(encoding="utf-8")
        assert f"{{options}} relu.{name}" in text
        if name != "auto":
            assert f"{{formulation-rows}} relu.{name}" in text
            assert f"{{formulation-picture}} relu.{name}" in text
            assert "{cite:p}" in text


def test_every_transformation_and_solver_has_its_options_listed():
    registered = {n for n in pyo.TransformationFactory if n.startswith("relu.")}
    registered |= {n for n in pyo.SolverFactory if n == "relu" or n[:5] == "relu."}
    listed = set()
    for path in PAGES.values():
        text = path.read_text(encoding="utf-8")
        listed.update(re.findall(r"(?:\{options\}|options::) ([\w.]+)", text))
    assert {n for n in registered if _ours(n)} <= listed


def _ours(name):
    factory = (
        pyo.TransformationFactory
        if name in pyo.TransformationFactory
        else pyo.SolverFactory
    )
    return factory.get_class(name).__module__.startswith("pyomo_relu.")


def test_every_public_module_is_in_the_reference():
    shown = set()
    for page, path in PAGES.items():
        if page.startswith("reference/"):
            text = path.read_text(encoding="utf-8")
            shown.update(re.findall(r"(?:public-names|autoclass)+:: ([\w.]+)", text))
    for module in PUBLIC:
        assert any(name == module or name.startswith(f"{module}.") for name in shown)


def test_every_solver_that_takes_starts_is_on_the_page_of_starts():
    """With what it says of how, as ``relu.warmstart`` logs it."""
    lines = PAGES["howto/mip_starts"].read_text(encoding="utf-8").splitlines()
    for solver, how in HOW_TO_START.items():
        (line,) = (line for line in lines if line[:2] == "| " and f"`{solver}`" in line)
        if how is None:
            assert "cannot" in line or solver.startswith("relu")
        else:
            assert how.partition(" (")[0].split(":")[0] in line


def glossary():
    """The glossary's text, and its terms."""
    text = PAGES["explain/glossary"].read_text(encoding="utf-8")
    bodies = re.findall(r"^`{3}\{glossary\}\n(.*?)^`{3}$", text, re.M | re.S)
    return text, re.findall(r"^(?! )(\S.*)$", "".join(bodies), re.M)


def test_terms_are_explained_once():
    _, terms = glossary()
    terms = [name for line in terms for name in line.split(", ")]
    assert len(terms) > 30 and len(terms) == len(set(terms))


def test_what_the_glossary_names_exists():
    """Members of a block, look-ups, transformations and solvers, public names."""
    text, _ = glossary()
    for name in re.findall(r"`m\.nn\.(\w+)", text):
        assert hasattr(ReLUNetworkBlockData, name) or name in ("pre", "post")
    for name in re.findall(r"`(get_\w+)`", text):
        assert hasattr(NetworkFormulation, name)
    for name in re.findall(r"`(relu\.\w+)`", text):
        assert name in pyo.TransformationFactory or name in pyo.SolverFactory
    for name in re.findall(r"`pyomo_relu\.([\w.]+)`", text):
        module, _, thing = f"pyomo_relu.{name}".rpartition(".")
        assert hasattr(importlib.import_module(module), thing)
    for name in re.findall(r"`network\.(\w+)", text):
        assert hasattr(Network, name)
