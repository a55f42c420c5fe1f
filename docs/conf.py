"""The documentation site's configuration; `.ci/docs` builds it with warnings as errors."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from pyomo_relu.version import __version__  # noqa: E402

project = "pyomo_relu"
author = "the developers of pyomo_relu"
version = release = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    # of docs/_ext
    "docstrings",
    "formulations",
    "mathml",
    "options",
    "outputs",
    "public_names",
    "repository_links",
    "slides",
    "versions",
]
exclude_patterns = ["_build", "_ext"]
# napoleon makes references of attributes' names, of which several classes have the same
suppress_warnings = ["ref.python"]
root_doc = "index"

# -- pages --------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"

# -- notebooks: every page with code cells runs once, here, in the folder it lies in -----
nb_execution_mode = "force"
nb_execution_timeout = 1200  # for one cell, on a busy machine too
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_kernel_rgx_aliases = {".*": "python3"}
# errors that a page shows are their last line, not a walk through installed packages
profile = HERE / "_build" / "ipython" / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_kernel_config.py").write_text(
    "c.InteractiveShell.xmode = 'Minimal'\nc.IPKernelApp.log_level = 'ERROR'\n"
    # what a cell prints comes whole: pieces would be joined by line breaks
    "c.IPKernelApp.exec_lines = ['import sys; sys.stdout.flush_interval = 3600']\n"
)
os.environ["IPYTHONDIR"] = str(profile.parent)

# -- the API from its docstrings -----------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, with shapes and units
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# -- HTML: nothing is fetched when a page is read ---------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "pyomo_relu"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_sidebars = {
    page: [] for page in ("troubleshooting", "study", "study_report", "changelog")
}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    # wide tables get the width
    "secondary_sidebar_items": {"**": ["page-toc"], "explain/formulations/index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_nav_level": 1,
    "navigation_with_keys": False,
}
copyright = "the developers of pyomo_relu; BSD 3-Clause"
copybutton_prompt_text = r">>> |\$ |\.\.\. "
copybutton_prompt_is_regexp = True
