"""What installing and importing the package promises; and the house's structure."""

import ast
import functools
import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "pyomo_relu"
OPTIONAL = [
    "onnx",
    "onnxruntime",
    "numpy",
    "scipy",
    "gurobipy",
    "highspy",
    "tqdm",
    "matplotlib",
    "torch",
    "sklearn",
]


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout.strip()


def test_importing_loads_nothing_heavy():
    loaded = run(
        "import sys, pyomo.environ\n"
        "before = set(sys.modules)\n"
        "import pyomo_relu\n"
        f"print([m for m in {OPTIONAL} if m in set(sys.modules) - before])"
    )
    assert loaded == "[]"


def test_importing_registers_everything():
    names = run(
        "import pyomo.environ as pyo, pyomo_relu\n"
        "print(all(pyo.TransformationFactory(n) is not None for n in "
        "('relu.bigm', 'relu.bounds', 'relu.obbt', 'relu.clipped', 'relu.scaled')))"
    )
    assert names == "True"


def test_the_pyomo_command_lists_the_transformations():
    points = importlib.metadata.entry_points(group="pyomo.command")
    if "pyomo_relu" not in points.names:
        pytest.skip("the package is not installed")
    command = shutil.which("pyomo", path=sysconfig.get_path("scripts"))
    out = subprocess.run(
        [command, "help", "--transformations"], capture_output=True, text=True
    ).stdout
    assert "relu.bigm" in out and "relu.obbt" in out


def test_type_checkers_are_told_that_the_package_is_typed():
    package_data = ConfigParser()
    package_data.read(ROOT / "setup.cfg")
    assert "py.typed" in package_data["options.package_data"]["pyomo_relu"].split()
    assert (PACKAGE / "py.typed").is_file()


class AtRunTime(ast.NodeTransformer):
    """Leaves out what only type checkers import."""

    def visit_If(self, node):
        checking = ast.unparse(node.test) == "TYPE_CHECKING"
        return node.orelse if checking else self.generic_visit(node)


@functools.cache
def imports(path):
    return list(_imports(path))


def _imports(path):
    for node in ast.walk(AtRunTime().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ["network", "bounds"])
def test_the_numerical_rooms_know_no_pyomo(room):
    for path in (PACKAGE / room).rglob("*.py"):
        used = {name.split(".")[0] for name in imports(path)}
        assert "pyomo" not in used, path


@pytest.mark.parametrize(
    "room, may_not_use",
    [
        ("network", ["bounds", "block", "transform", "search", "analysis"]),
        ("bounds", ["block", "transform", "search", "analysis"]),
    ],
)
def test_dependencies_point_one_way(room, may_not_use):
    for path in (PACKAGE / room).rglob("*.py"):
        used = set(imports(path))
        for other in may_not_use:
            assert not any(u.startswith(f"pyomo_relu.{other}") for u in used), path


def solver_libraries(path):
    """Names of solver libraries in imports, and in strings that could import them."""
    text = path.read_text()
    if "highspy" not in text and "gurobipy" not in text:
        return set()
    names = set(imports(path))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return {name for name in names if name.split(".")[0] in ("highspy", "gurobipy")}


def test_sessions_are_the_only_door_to_solver_libraries():
    door = PACKAGE / "linear" / "sessions"
    behind = {path for path in PACKAGE.rglob("*.py") if solver_libraries(path)}
    assert behind and all(path.parent == door for path in behind), behind


def test_modules_are_short_and_say_what_lives_there():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        assert ast.get_docstring(ast.parse(text)), path


@pytest.mark.parametrize("guide", ["docs/where_is_what.md", "CONTRIBUTING.md"])
def test_guides_name_paths_that_exist(guide):
    """Folders end in a slash; a path stands in the package or in the repository."""
    named = re.findall(r"[\w/]*\w(?:/(?![\w.])|\.py\b)", (ROOT / guide).read_text())
    paths = [path for path in named if not path.endswith("NAME.py")]
    for path in paths:
        exists = Path.is_dir if path.endswith("/") else Path.is_file
        assert exists(PACKAGE / path) or exists(ROOT / path), path
    assert len(paths) > 5


def test_the_map_shows_every_package():
    text = (ROOT / "docs" / "where_is_what.md").read_text()
    for package in PACKAGE.glob("*/__init__.py"):
        assert f"`{package.parent.name}/" in text, package


def test_readme_commands_are_one_line_each():
    text = (ROOT / "README.md").read_text()
    for marker in ("main", "tests"):
        lines = text.split(f"<!-- command: {marker} -->\n")[1].splitlines()
        assert lines[0] == "```" and lines[2] == "```"
        assert "python3 -m venv" in lines[1]
    for name in text.split("(docs/")[1:]:
        assert (Path(ROOT) / "docs" / name.split(")")[0]).is_file()
