"""Wrong input ends in one line on stderr that names it and the remedy, with exit code 2."""

import gzip
import os

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from pyomo_relu import example_network
from tests.cli.runs import SMALL, command, process


def refused(capsys, *words):
    code, out, err = command(capsys, *words)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("pyomo-relu")
    return line


@pytest.fixture
def files(tmp_path):
    """Wrong files by name."""
    good = example_network("peaks_2x20").read_bytes()
    (tmp_path / "truncated.onnx").write_bytes(good[:500])
    (tmp_path / "packed.onnx.gz").write_bytes(gzip.compress(good))
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "folder.onnx").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "name, words",
    [
        ("truncated.onnx", "truncated or damaged"),
        ("packed.onnx.gz", "compressed by gzip. Unpack it first"),
        ("empty.onnx", "the file is empty"),
        ("text.onnx", "not an ONNX file"),
        ("folder.onnx", "cannot be read"),
        ("missing.onnx", "there is no such file. Check the path"),
    ],
)
@pytest.mark.parametrize(
    "command_words",
    [
        ["info"],
        ["bounds", "--box", 0, 1],
        ["minimise", "--box", 0, 1],
        ["regions", "--box", 0, 1],
        ["compare", "--box", 0, 1],
        ["export", "--box", 0, 1, "--to", "lp"],
    ],
    ids=lambda words: words[0],
)
def test_wrong_files(capsys, files, name, words, command_words):
    first, *rest = command_words
    line = refused(capsys, first, files / name, *rest)
    assert words in line and name in line


@pytest.mark.parametrize(
    "words, text",
    [
        (["info", "peaks_2x20"], "write example:peaks_2x20"),
        (
            ["info", "example:peak_2x20"],
            "Did you mean 'peaks_2x20'? Known: ackley2_2x25",
        ),
        (["minimise", SMALL, "--box", 0, "nan"], "nan is not a number that bounds"),
        (["minimise", SMALL, "--box", 1, 0], "the lower bound exceeds the upper"),
        (["minimise", SMALL, "--box", 0, "inf"], "Give the input finite"),
        (["regions", SMALL, "--box", 0, 1e308], "Give the input finite"),
        (["info", SMALL, "--box", 0, 1e20], "bounds, below 1e+20"),
        (["minimise", SMALL, "--box", 0], "expected 2 arguments"),
        (["minimise", SMALL, "--box", 0, "one"], "'one' is not a number"),
        (["minimise", SMALL, *["--box", 0, 1] * 3], "--box was given 3 times"),
        (["minimise", SMALL, "--output", 3], "there is no output 3"),
        (["minimise", SMALL, "--output", -1], "'-1' is not a whole number"),
        (["minimise", SMALL, "--fix", 7, 0], "there is no input 7"),
        (["minimise", SMALL, "--fix", 0, 9], "outside of the input's box [-2, 2]"),
        (["minimise", SMALL, "--fix", "a", 0], "'a' is not a whole number"),
        (["minimise", SMALL, "--fix", 0, "nan"], "nan is not a number"),
        (["minimise", SMALL, "--within", 0, 1, 0], "Give the smaller end first"),
        (["minimise", SMALL, "--within", 4, 0, 1], "there is no output 4"),
        (["minimise", SMALL, "--gap", -1], "not a finite number of at least 0"),
        (["minimise", SMALL, "--time-limit", 0], "0 is not above zero"),
        (["minimise", SMALL, "--time-limit", "inf"], "not a finite number"),
        (["minimise", SMALL, "--threads", 0], "0 is less than 1"),
        (["minimise", SMALL, "--tensor", "nope"], "there is no tensor 'nope'"),
        (
            ["compare", SMALL, "--formulations", "relu.bigmm"],
            "Did you mean 'relu.bigm'",
        ),
        (["compare", SMALL, "--formulations", "relu.bigm:2"], "is not OPTION=VALUE"),
        (["export", SMALL], "--to"),
        (["export", SMALL, "--to", "lp", "--formulation", "none"], "Choose --to nl"),
        (["regions", "example:pendulum_2x8", "--plot", "x.png"], "Leave --plot out"),
        (["regions", SMALL, "--plot", ""], "Give --plot a file's name"),
        (["export", SMALL, "--to", "lp", "--write", ""], "Give --write a file's name"),
        (
            ["compare", "--formulations", "relu.bigm", SMALL],
            "FILE, which stands before",
        ),
        (["bounds", SMALL, "--methods", "guess"], "invalid choice: 'guess'"),
        (["inform", SMALL], "invalid choice: 'inform'"),
        ([], "COMMAND"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_wrong_arguments(capsys, words, text):
    assert text in refused(capsys, *words)


def test_a_file_needs_a_box_and_several_outputs_a_choice(capsys, tmp_path):
    line = refused(capsys, "minimise", example_network("peaks_2x20"))
    assert "--box LO HI is missing" in line
    path = tmp_path / "two.onnx"
    write(path, [("Gemm", ["x", "W"], "y")], 2)
    line = refused(capsys, "minimise", path, "--box", 0, 1)
    assert "choose one by --output 0 to --output 1" in line


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_are_shown_in_any_encoding(tmp_path, encoding):
    path = tmp_path / "named.onnx"
    write(path, [("Gemm", ["x", "W"], "tempér"), ("Relu", ["tempér"], "y")], 1)
    run = process(tmp_path, "info", path, PYTHONIOENCODING=encoding)
    assert (run.returncode, run.stderr) == (0, "")
    name = "tempér".encode(encoding, "backslashreplace").decode(encoding)
    assert f"0      {name} " in run.stdout
    run = process(tmp_path, "bounds", path, "--tensor", "é", PYTHONIOENCODING=encoding)
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1


def write(path, nodes, n_outputs, batch="batch"):
    """A file with the nodes given, and a constant W of shape (2, n_outputs)."""
    W = numpy_helper.from_array(np.ones((2, n_outputs), np.float32), "W")
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [out]) for op, inputs, out in nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, n_outputs])],
        [W],
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_info_says_what_is_refused_and_why(capsys, tmp_path):
    path = tmp_path / "curved.onnx"
    write(path, [("Gemm", ["x", "W"], "t"), ("Sigmoid", ["t"], "y")], 1)
    code, out, err = command(capsys, "info", path)
    assert code == 2 and err == ""
    assert "refused:" in out and "Sigmoid" in out.split("refused:")[1]
    assert "operators: 1 Gemm, 1 Sigmoid" in out
    line = refused(capsys, "minimise", path, "--box", 0, 1)
    assert "Sigmoid" in line
    # what lies before it can be looked at
    assert command(capsys, "info", path, "--tensor", "t")[0] == 0


def test_a_fixed_batch_is_one_line_though_pyomo_logs_it_too(tmp_path):
    path = tmp_path / "batch.onnx"
    write(path, [("Gemm", ["x", "W"], "t"), ("Relu", ["t"], "y")], 2, batch=3)
    run = process(tmp_path, "minimise", path, "--box", 0, 1, "--output", 0)
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert "fixed batch of 3 samples" in line


@pytest.mark.parametrize(
    "words",
    [["export", SMALL, "--to", "lp", "--write"], ["regions", SMALL, "--plot"]],
    ids=lambda words: words[0],
)
def test_files_are_replaced_only_if_told(capsys, tmp_path, words):
    path = tmp_path / "picture.png"
    path.write_text("mine")
    assert "--force replaces it" in refused(capsys, *words, path)
    assert path.read_text() == "mine"
    assert "this is a folder" in refused(capsys, *words, tmp_path)
    missing = tmp_path / "no" / "picture.png"
    assert "there is no folder" in refused(capsys, *words, missing)
    assert command(capsys, *words, path, "--force")[0] == 0
    assert path.read_bytes() != b"mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_a_full_disk_names_the_file(capsys):
    words = ["export", SMALL, "--to", "lp", "--write", "/dev/full", "--force"]
    line = refused(capsys, *words)
    assert "/dev/full: the file cannot be written (No space left" in line


@pytest.mark.parametrize("name", ["picture", "picture.txt", "png", "a.b/c"])
def test_a_picture_is_written_under_the_name_that_was_given(capsys, tmp_path, name):
    (tmp_path / "a.b").mkdir()
    line = refused(capsys, "regions", SMALL, "--plot", tmp_path / name)
    assert "End it in .png, .pdf or .svg" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.b"]


def test_a_process_ends_with_the_code_and_one_line(tmp_path):
    run = process(tmp_path, "bounds", "missing.onnx", "--box", "0", "1")
    assert (run.returncode, run.stdout) == (2, "")
    assert len(run.stderr.splitlines()) == 1
