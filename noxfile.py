"""Sessions for other Pythons and versions: ``nox``, or one of them by ``nox -s NAME``.

Continuous integration runs the pinned and the newest versions on one Python
(``.ci/run``); these are for releases and on demand.
"""

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

#: What meets other packages: solvers, readers, starts, installing.
SHORT = (
    "tests/test_packaging.py",
    "tests/test_solver_paths.py",
    "tests/test_examples.py",
    "tests/linear/test_highs.py",
    "tests/linear/test_sessions.py",
    "tests/search/test_warmstart.py",
    "tests/transform/formulations/test_native.py",
    "tests/branch/interface/test_interface.py",
    "tests/network/onnx",
    "tests/cli",
)


@nox.session(python=PYTHONS)
def tests(session):
    """The whole suite with the committed versions."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "logical", *session.posargs)


@nox.session(python=["3.10", "3.11"])
def lowest(session):
    """What meets other packages, with the lowest versions that setup.cfg allows."""
    session.install("-c", "constraints-lowest.txt", "-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or SHORT))


@nox.session(python=PYTHONS)
def newest(session):
    """The same with the newest versions that the registry serves."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or SHORT))


@nox.session
def docs(session):
    """The site, with warnings as errors."""
    session.install("-c", "constraints.txt", "-e", ".[docs]")
    session.run("sphinx-build", "-W", "-b", "html", "docs", "docs/_build/html")


@nox.session
def wheel(session):
    """Wheel and sdist, built, installed and run."""
    session.run("bash", ".ci/wheel", external=True)
