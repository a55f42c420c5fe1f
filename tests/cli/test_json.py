"""The keys that ``--json`` prints: programs rely on them, so a change is a decision."""

import json

import pytest

from pyomo_relu.cli.outcome import plain
from tests.cli.runs import SMALL, as_data, command
from tests.paths import ROOT

NETWORK = "name inputs outputs n_inputs n_outputs n_neurons layers"
KEYS = {
    "info": "operators refused network box stability big_m",
    "bounds": "network box methods stable unstable layers outputs statistics",
    "minimise": """
        network box output sense status value bound gap x y forward_error seconds message
    """,
    "regions": "network box regions plot",
    "compare": "network box output sense bounds solver formulations",
    "export": """
        network box output sense to formulation file model rows columns binaries
    """,
    "examples": "examples",
}
MORE = {
    "compare": ["--formulations", "relu.bigm"],
    "export": ["--to", "lp"],
    "bounds": ["--methods", "interval"],
}
INNER = {
    ("info", "operators"): "domain operator nodes reader",
    ("bounds", "layers"): "layer lower upper source",
    ("compare", "formulations"): """
        formulation refused relaxation rows columns binaries status optimum nodes
        encode_seconds seconds
    """,
    ("examples", "examples"): "name function lower upper path",
}


@pytest.mark.parametrize("name", KEYS)
def test_keys(capsys, name):
    file = [] if name == "examples" else [SMALL]
    code, data = as_data(capsys, name, *file, *MORE.get(name, []))
    assert code == 0
    assert list(data) == ["command", "version", *KEYS[name].split()]
    assert data["command"] == name
    if "network" in data:
        assert list(data["network"]) == NETWORK.split()
        assert list(data["network"]["layers"][0]) == (
            ["layer", "name", "activation", "size", "weights", "reads"]
        )
        assert list(data["box"]) == ["lower", "upper"]
    for (command_name, key), keys in INNER.items():
        if command_name == name:
            assert list(data[key][0]) == keys.split()


def test_the_page_names_every_key():
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    for name, keys in KEYS.items():
        if name == "examples":
            continue
        section = page.split("\n### " + name)[1].split("\n### ")[0]
        listed = section.split("\nJSON: ")[1]
        assert [k for k in keys.split() if f"`{k}`" not in listed] == [], name


def test_infinite_numbers_are_null_and_json_is_strict(capsys):
    assert plain({"a": (float("inf"), float("nan"), 1.5)}) == {"a": [None, None, 1.5]}
    slow = ["minimise", "example:random_10_3x50", "--time-limit", 1e-3, "--json"]
    _, out, _ = command(capsys, *slow)
    json.loads(out, parse_constant=pytest.fail)


def test_errors_leave_stdout_empty(capsys):
    code, out, err = command(capsys, "info", "missing.onnx", "--json")
    assert code == 2 and out == "" and len(err.splitlines()) == 1
