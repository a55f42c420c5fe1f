"""The networks that come with the package are there, read, and found by name."""

import hashlib
import json
from pathlib import Path

import pytest

from pyomo_relu import example_network, example_networks, load_onnx
from pyomo_relu.errors import NetworkFileError
from pyomo_relu.network.examples import FOLDER


def test_every_file_has_a_name_a_box_and_the_manifests_content():
    known = example_networks()
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    assert sorted(known) == sorted(path.stem for path in FOLDER.glob("*.onnx"))
    for name, example in known.items():
        assert example.path == example_network(name) and isinstance(example.path, Path)
        digest = hashlib.sha256(example.path.read_bytes()).hexdigest()
        assert digest == manifest[name]["sha256"]
        network = load_onnx(example.path, check=False)
        assert network.n_inputs == len(example.lower) == len(example.upper)
        assert all(lo < hi for lo, hi in zip(example.lower, example.upper, strict=True))


def test_they_are_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 500_000


def test_the_dict_is_the_callers_own():
    example_networks().clear()
    assert "peaks_2x20" in example_networks()


@pytest.mark.parametrize("name", ["peaks_2x21", "", None, 3])
def test_unknown_names_list_the_known_ones(name):
    with pytest.raises(NetworkFileError, match="Known: ackley2_2x25, .*random_10_3x50"):
        example_network(name)


def test_a_close_name_is_suggested():
    with pytest.raises(NetworkFileError, match="Did you mean 'peaks_2x20'"):
        example_network("Peaks-2x20")
