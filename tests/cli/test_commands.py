"""What each command says is the network's truth; exit codes; nothing is written unasked."""

import re
import subprocess
import sys

import highspy
import numpy as np
import onnxruntime
import pytest

from pyomo_relu import example_networks, load_onnx
from pyomo_relu.cli.main import COMMANDS
from tests.cli.runs import SMALL, as_data, command, process
from tests.paths import ROOT

PEAKS = example_networks()["peaks_2x10_seed0"]


def by_onnxruntime(path, X):
    session = onnxruntime.InferenceSession(path)
    (tensor,) = session.get_inputs()
    return session.run(None, {tensor.name: X.astype(np.float32)})[0][:, 0]


@pytest.fixture(scope="module")
def grid():
    """Points of a dense grid over the box of Peaks, and what onnxruntime gives there."""
    axis = np.linspace(-2, 2, 401)
    X = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    return X, by_onnxruntime(PEAKS.path, X)


@pytest.mark.parametrize("name, sign", [("minimise", 1), ("maximise", -1)])
def test_an_optimum_is_proven_and_taken(capsys, grid, name, sign):
    code, data = as_data(capsys, name, SMALL, "--no-progress")
    best = (sign * grid[1]).min()
    assert code == 0 and data["status"] == "optimal" and data["sense"] == name
    assert sign * data["value"] <= best + 1e-5
    assert sign * data["bound"] <= sign * data["value"] + 1e-9
    assert data["gap"] <= 1e-4 * (1 + 1e-6)
    (there,) = by_onnxruntime(PEAKS.path, np.array([data["x"]]))
    assert there == pytest.approx(data["value"], abs=1e-4)
    assert data["y"] == [data["value"]]


def test_american_spelling_runs_the_same_command(capsys):
    _, data = as_data(capsys, "maximize", SMALL, "--fix", 0, 1, "--fix", 1, -1)
    network = load_onnx(PEAKS.path)
    assert data["command"] == "maximise" and data["x"] == [1.0, -1.0]
    assert data["value"] == pytest.approx(network.forward([1.0, -1.0])[0])


def test_boxes_once_or_per_input_and_fixed_inputs(capsys):
    boxes = ["--box", "-1e-1", 0.5, "--box", "-.5", "-2.5e-1"]
    _, data = as_data(capsys, "minimise", SMALL, *boxes)
    assert data["box"] == {"lower": [-0.1, -0.5], "upper": [0.5, -0.25]}
    _, data = as_data(capsys, "minimise", SMALL, "--box", "-1", 1, "--fix", 1, "-1e-3")
    assert data["box"] == {"lower": [-1, -1e-3], "upper": [1, -1e-3]}
    assert data["x"][1] == -1e-3


def test_ranges_of_outputs_are_kept_or_proven_impossible(capsys):
    pendulum = ["maximise", "example:pendulum_2x8", "--no-progress", "--within", 0]
    code, data = as_data(capsys, *pendulum, "-inf", 1)
    assert code == 0 and data["value"] == pytest.approx(1, abs=1e-6)
    code, data = as_data(capsys, *pendulum, -9, -8)
    assert code == 3 and data["status"] == "infeasible" and data["value"] is None
    code, text, _ = command(capsys, *pendulum, -9, -8)
    assert code == 3 and text.startswith("infeasible: no point of the box")
    assert text.count("infeasible") == 1 and "contradict" in text


@pytest.mark.parametrize(
    ("limit", "by"),
    [
        (("--max-regions", 20), "--max-regions 20"),
        (("--time-limit", 1e-9), "--time-limit 1e-09"),
    ],
)
@pytest.mark.parametrize("network", ["example:pendulum_2x8", SMALL])
def test_a_count_that_a_limit_ends_says_what_was_counted(capsys, network, limit, by):
    code, text, errors = command(capsys, "regions", network, "--progress", *limit)
    assert code == 1
    found = re.search(r"at least (\d+) regions?: stopped by (.*)\. Raise", text)
    assert found and found[2].endswith(by)
    assert "region" in errors or "example" in errors  # the bar
    code, data = as_data(capsys, "regions", network, "--no-progress", *limit)
    assert data["regions"]["lower_bound"] == int(found[1]) >= 1
    if "--max-regions" in by:
        assert int(found[1]) >= 20


def test_regions_are_drawn(capsys, tmp_path):
    file = tmp_path / "regions.png"
    code, text, _ = command(capsys, "regions", SMALL, "--plot", file)
    assert code == 0 and text.rstrip().endswith(f"picture: {file}")
    assert file.read_bytes()[:4] == b"\x89PNG"
    code, _, err = command(capsys, "regions", SMALL, "--plot", tmp_path / "r.xyz")
    assert code == 2 and "xyz" in err


@pytest.mark.parametrize("level, code, verdict", [(-100, 0, "unsat"), (100, 4, "sat")])
def test_properties_are_decided(capsys, tmp_path, level, code, verdict):
    lines = [f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0")]
    lines += [f"(assert (>= X_{j} -2))\n(assert (<= X_{j} 2))" for j in (0, 1)]
    file = tmp_path / "low.vnnlib"
    file.write_text("\n".join([*lines, f"(assert (<= Y_0 {level}))"]))
    found, data = as_data(capsys, "verify", SMALL, file)
    assert (found, data["verdict"]) == (code, verdict)
    if verdict == "sat":
        assert by_onnxruntime(PEAKS.path, np.array([data["witness"]]))[0] <= level


def test_a_limit_ends_with_another_exit_code(capsys):
    slow = ["minimise", "example:random_10_3x50", "--time-limit", 1e-3]
    code, data = as_data(capsys, *slow, "--no-progress")
    assert code == 1 and data["status"] != "optimal"
    assert data["value"] is None or data["bound"] <= data["value"]


def test_the_log_goes_to_stderr(capsys):
    code, out, err = command(capsys, "minimise", SMALL, "--progress", "--json")
    assert code == 0 and out.startswith("{") and "route" in err


def test_bounds_hold_at_samples(capsys):
    code, data = as_data(capsys, "bounds", SMALL, "--methods", "interval", "lp")
    network = load_onnx(PEAKS.path)
    X = np.random.default_rng(0).uniform(-2, 2, (2000, 2))
    pre = network.pre_activations(X)
    assert code == 0 and data["methods"] == ["interval", "lp"]
    for layer, v in zip(data["layers"], pre, strict=True):
        assert (v >= np.array(layer["lower"]) - 1e-9).all()
        assert (v <= np.array(layer["upper"]) + 1e-9).all()
        assert set(layer["source"]) <= {"interval", "lp"}
    y = network.forward(X)[:, 0]
    (low,), (high,) = data["outputs"]["lower"], data["outputs"]["upper"]
    assert low <= y.min() and y.max() <= high
    assert data["stable"] + data["unstable"] == network.n_neurons


def test_bounds_of_neurons_as_a_table(capsys):
    _, text, _ = command(capsys, "bounds", SMALL, "--neurons", "--methods", "crown")
    assert text.count("unstable") + text.count("active") >= 20
    assert "output  index" in text


def test_info_counts_what_bounds_count(capsys):
    code, data = as_data(capsys, "info", SMALL)
    _, bounds = as_data(capsys, "bounds", SMALL, "--methods", "interval")
    assert code == 0 and data["refused"] == []
    assert data["stability"]["interval"]["stable"] == bounds["stable"]
    stable = [data["stability"][m]["stable"] for m in ("interval", "crown", "split")]
    assert stable == sorted(stable)
    assert [o["operator"] for o in data["operators"]] == ["Gemm", "Relu"]
    sizes = [layer["size"] for layer in data["network"]["layers"]]
    assert sizes == [10, 10, 1]
    first = (
        np.array(bounds["layers"][0]["lower"]),
        np.array(bounds["layers"][0]["upper"]),
    )
    unstable = (first[0] < 0) & (first[1] > 0)
    largest = np.maximum(-first[0], first[1])[unstable].max()
    assert data["big_m"]["interval"][0]["max"] == pytest.approx(largest)


def test_info_without_a_box_says_how_to_get_more(capsys):
    code, text, _ = command(capsys, "info", PEAKS.path)
    assert code == 0 and "give --box LO HI" in text and "2 Relu" in text


def test_regions_are_counted_and_limits_are_no_counts(capsys):
    from pyomo_relu.analysis import count_regions

    code, data = as_data(capsys, "regions", SMALL)
    expected = count_regions(load_onnx(PEAKS.path), [-2, -2], [2, 2])
    assert code == 0 and data["regions"]["exact"]
    assert data["regions"]["lower_bound"] == expected.lower_bound
    code, data = as_data(capsys, "regions", SMALL, "--max-regions", 5)
    assert code == 1 and not data["regions"]["exact"]
    assert data["regions"]["lower_bound"] <= expected.lower_bound


def test_formulations_agree_and_are_ordered_under_equal_bounds(capsys):
    names = [
        "relu.bigm",
        "relu.partition:n_parts=hull",
        "relu.cells",
        "relu.gdp+gdp.hull",
    ]
    code, data = as_data(
        capsys, "compare", SMALL, "--no-progress", "--formulations", *names, "relu.sos1"
    )
    *solved, refused = data["formulations"]
    _, alone = as_data(capsys, "minimise", SMALL)
    assert code == 0 and [line["formulation"] for line in solved] == names
    for line in solved:
        assert line["status"] == "optimal" and line["refused"] is None
        assert line["optimum"] == pytest.approx(alone["value"], abs=2e-3)
        assert line["relaxation"] <= line["optimum"] + 1e-6
    big_m, hull, *_ = (line["relaxation"] for line in solved)
    assert big_m < hull - 1  # interval bounds: they differ where bounds are wide
    assert "SOS1" in refused["refused"] and refused["optimum"] is None
    unstable = data["bounds"]["unstable"]
    assert solved[0]["binaries"] == unstable == 18


@pytest.mark.parametrize("to", ["lp", "mps"])
@pytest.mark.parametrize("sense", ["minimise", "maximise"])
def test_exported_models_have_the_same_optimum(capsys, tmp_path, to, sense):
    path = tmp_path / f"model.{to}"
    words = ["export", SMALL, "--to", to, "--write", path]
    code, data = as_data(capsys, *words, *(["--maximise"] * (sense == "maximise")))
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(str(path))
    highs.run()
    _, proven = as_data(capsys, sense, SMALL, "--gap", 1e-6)
    value = highs.getInfo().objective_function_value
    assert code == 0 and value == pytest.approx(proven["value"], abs=2e-3)
    assert data["rows"] == highs.getNumRow() and data["model"] is None
    assert data["columns"] == highs.getNumCol()


def test_export_to_stdout_and_as_exact_rows(capsys):
    code, text, _ = command(capsys, "export", SMALL, "--to", "lp", "--labels")
    assert (
        code == 0 and "min" in text and "nn" in text and text.rstrip().endswith("end")
    )
    code, text, _ = command(
        capsys, "export", SMALL, "--to", "nl", "--formulation", "none"
    )
    assert code == 0 and text.startswith("g3")


def test_examples_are_listed(capsys):
    code, data = as_data(capsys, "examples")
    assert code == 0
    assert [e["name"] for e in data["examples"]] == list(example_networks())
    assert "example:peaks_2x20" in command(capsys, "examples")[1]


RUNS = [
    (["info", SMALL], "refused: nothing"),
    (["bounds", SMALL], "mean width"),
    (["minimise", SMALL], "proven bound"),
    (["maximise", SMALL, "--box", "0", "1"], "optimal"),
    (["regions", SMALL], "linear regions"),
    (["compare", SMALL, "--formulations", "relu.cells"], "LP relaxation"),
    (["export", SMALL, "--to", "mps"], "ENDATA"),
    (["examples"], "example:pendulum_2x8"),
]
#: The others say little more than that the module is found.
FIRST = ("info", "minimise", "export")


@pytest.mark.parametrize(
    "words, text",
    [
        pytest.param(*run, marks=[] if run[0][0] in FIRST else [pytest.mark.dense])
        for run in RUNS
    ],
    ids=[run[0][0] for run in RUNS],
)
def test_commands_as_processes(tmp_path, words, text):
    run = process(tmp_path, *words)
    assert (run.returncode, run.stderr) == (0, "")
    assert text in run.stdout
    assert list(tmp_path.iterdir()) == []


HELP = """
import sys
from pyomo_relu.cli.main import COMMANDS, main

names = {*COMMANDS, "minimise", "maximise"} - {"optimise", "study"}
assert main(["--help"]) == 0
assert all(main([name, "--help"]) == 0 for name in names)
loaded = {"numpy", "scipy", "onnx", "torch", "matplotlib"} & set(sys.modules)
assert not loaded, loaded
assert main(["study", "--help"]) == 0
"""


def test_help_loads_no_numerical_library_and_writes_nothing(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", HELP],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("usage:") == len(COMMANDS) + 2
    assert list(tmp_path.iterdir()) == []
