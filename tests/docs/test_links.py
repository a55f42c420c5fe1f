"""Links: those of included files are rewritten, wrong ones on the built site are found."""

import importlib.util

import pytest

from tests.docs.site import DOCS
from tests.paths import ROOT


def loaded(path):
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_links = loaded(DOCS / "check_links.py")
repository_links = loaded(DOCS / "_ext" / "repository_links.py")

GOOD = '<h1 id="top">One</h1><a href="two.html#there">two</a><a href="#top">up</a>'
TWO = '<p id="there"></p><a href="https://example.org/">elsewhere</a>'


def site(folder, one=GOOD, two=TWO):
    (folder / "one.html").write_text(one)
    (folder / "two.html").write_text(two)
    return folder


def test_a_site_without_faults(tmp_path):
    assert list(check_links.faults(site(tmp_path))) == []


@pytest.mark.parametrize(
    "text, fault",
    [
        ('<a href="three.html">3</a>', "one.html: three.html leads to no file"),
        (
            '<a href="two.html#here">2</a>',
            "one.html: two.html#here leads to no anchor",
        ),
        ('<a href="#nowhere">x</a>', "one.html: #nowhere leads to no anchor"),
        ('<img src="picture.png">', "one.html: picture.png leads to no file"),
        (
            '<script src="https://example.org/a.js"></script>',
            "one.html: loads https://example.org/a.js from elsewhere",
        ),
        (
            f"<pre>{ROOT}/pyomo_relu/example_networks/</pre>",
            f"one.html: names the folder {ROOT}/",
        ),
        (
            "<pre>/lib/python3/site-packages/numpy/fromnumeric.py:1: RuntimeWarning</pre>",
            "one.html: shows a warning of an installed package",
        ),
    ],
)
def test_faults_of_a_site(tmp_path, text, fault):
    assert list(check_links.faults(site(tmp_path, one=text))) == [fault]


@pytest.mark.parametrize(
    "text, shown",
    [
        ("[rules](docs/choosing.md)", "[rules](../choosing.md)"),
        ("[rules](docs/choosing.md#by-hand)", "[rules](../choosing.md#by-hand)"),
        ("![p](docs/quickstart.png)", "![p](../quickstart.png)"),
        ("[licence](LICENSE)", "licence (`LICENSE`)"),
        ("[log](CHANGELOG.md)", "[log](../changelog.md)"),
        ("[there](https://example.org/a.md)", "[there](https://example.org/a.md)"),
        ("[below](#here)", "[below](#here)"),
    ],
)
def test_links_of_the_readme_lead_to_pages(text, shown):
    page = DOCS / "start" / "readme.md"
    assert repository_links.rewrite(text, ROOT / "README.md", page) == shown


def test_a_link_of_the_readme_to_nowhere_is_an_error():
    page = DOCS / "start" / "readme.md"
    with pytest.raises(FileNotFoundError, match=r"the link to docs/nothing\.md"):
        repository_links.rewrite("[x](docs/nothing.md)", ROOT / "README.md", page)


def test_pages_keep_links_within_the_documentation():
    page = DOCS / "performance.md"
    text = "[a](choosing.md) [b](../benchmarks/regret/README.md) [c](../LICENSE)"
    assert repository_links.rewrite(text, page, page, leaving=True) == (
        "[a](choosing.md) [b](measured/routes.md) c (`LICENSE`)"
    )


def test_links_to_pictures_lead_to_them():
    source = ROOT / "examples" / "study" / "results" / "FINDINGS.md"
    text = "[trade_off](figures/trade_off.png) [table](report.md#what-was-run)"
    assert repository_links.rewrite(text, source, DOCS / "study.md") == (
        "[trade_off](../examples/study/results/figures/trade_off.png) "
        "[table](study_report.md#what-was-run)"
    )
