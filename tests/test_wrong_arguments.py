"""Every public function with wrong arguments: a ReLUError that names the argument."""

import importlib
import inspect

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock, analysis, plot
from pyomo_relu.analysis import (
    big_m_statistics,
    count_regions,
    critical_neurons,
    lagrangian_bound,
    measure_effort,
    stability,
)
from pyomo_relu.errors import BoundsError, NetworkError, ReLUError
from tests.networks import chain
from tests.wrong_arguments import NETWORK, RIGHT, WRONG, block_model, public

FUNCTIONS = [(module, name) for module, names in RIGHT.items() for name in names]
ARGUMENTS = [
    (module, name, argument)
    for module, name in FUNCTIONS
    for argument in RIGHT[module][name]()
]
#: What functions return or take as plain records, and tests elsewhere cover.
RECORDS = {
    *("Source", "Tensor", "Reduction", "Region", "RegionCount", "SearchResult"),
    *("BigMReport", "Effort", "LagrangianBound", "LayerBigM", "LayerStability"),
    *("StabilityReport", "ReLUNetworkBlock", "NetworkFormulation", "SplitResult"),
    *("TighteningStatistics", "VerificationResult"),
}


def test_no_public_function_is_left_out():
    covered = {name for _, name in FUNCTIONS}
    for module in RIGHT:
        for name in getattr(importlib.import_module(module), "__all__", ()):
            thing = getattr(importlib.import_module(module), name)
            transformation = inspect.isclass(thing) and hasattr(thing, "CONFIG")
            if callable(thing) and name not in RECORDS and not transformation:
                assert name in covered, f"{module}.{name}"


@pytest.mark.parametrize("module, name", FUNCTIONS)
def test_right_arguments_are_right(module, name):
    refused = ("load_onnx", "polish", "use_native_constraints")
    if name in refused:  # they need a file, a model read, a solver: tests elsewhere
        with pytest.raises(ReLUError):
            public(module, name)(**RIGHT[module][name]())
        return
    public(module, name)(**RIGHT[module][name]())


@pytest.mark.parametrize("module, name, argument", ARGUMENTS)
def test_wrong_arguments(module, name, argument):
    for wrong in WRONG:
        arguments = RIGHT[module][name]()
        arguments[argument] = wrong
        try:
            public(module, name)(**arguments)
        except ReLUError as error:
            assert str(error)


def _readers():
    """Functions of analysis and plot by name, and what the first argument is for."""
    for module in (analysis, plot):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):
                yield pytest.param(function, id=name)


@pytest.mark.parametrize("function", list(_readers()))
def test_what_analysis_and_pictures_take_is_named(function):
    m = pyo.ConcreteModel("plant")
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=NETWORK, inputs=m.x)
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    more = [0 for p in positional[1:] if p.default is p.empty]
    for given in (m, m.x, m.x[0], object()):
        if given is m and function is analysis.measure_effort:
            continue  # which takes models
        with pytest.raises(ReLUError) as caught:
            function(given, *more)
        text = str(caught.value)
        assert type(given).__name__ in text and "several networks" not in text
        assert " object at 0x" not in text or type(given) is object
        if given is m and "a network block" in text:
            assert "Give a network block of it, such as 'nn'" in text


@pytest.mark.parametrize("given", [None, 3, "net", [1], chain([2, 3, 1]).layers[0]])
def test_what_is_no_network_is_named(given):
    from pyomo_relu.bounds import crown_bounds

    with pytest.raises(NetworkError, match="network must be a Network, not "):
        crown_bounds(given, -1, 1)


def test_a_block_in_place_of_a_network_is_explained():
    from pyomo_relu.bounds import interval_bounds

    with pytest.raises(NetworkError, match=r"take block\.network"):
        interval_bounds(block_model().nn, -1, 1)


# -- analysis of blocks ------------------------------------------------------------


def test_analysis_takes_blocks():
    m = block_model()
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    bounds = m.nn.neuron_bounds()
    assert str(stability(m.nn)) == str(stability({"in force": bounds}))
    assert str(stability(bounds)) == str(stability(m.nn))
    assert str(big_m_statistics({"a": m.nn})) == str(big_m_statistics({"a": bounds}))
    for block, record in zip(
        critical_neurons(m.nn), critical_neurons(bounds), strict=True
    ):
        assert (block == record).all()
    counted = count_regions(m.nn)
    assert counted.lower_bound == count_regions(NETWORK, -1, 1).lower_bound
    half = count_regions(m.nn, lower=[0.0, 0.0], bounds=m.nn)
    assert half.lower_bound == count_regions(NETWORK, [0.0, 0.0], 1).lower_bound
    assert measure_effort(m, ["relu.bigm"]).optimal


def test_analysis_of_a_block_with_scaled_and_fixed_inputs():
    from pyomo_relu import ReLUNetworkBlock

    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(0, 2))
    m.nn = ReLUNetworkBlock(network=NETWORK, inputs=m.x, input_scaling=(1.0, 1.0))
    assert count_regions(m.nn).lower_bound == count_regions(NETWORK, -1, 1).lower_bound
    m.x[0].fix(1.5)
    line = count_regions(NETWORK, [0.5, -1.0], [0.5, 1.0])
    assert count_regions(m.nn).lower_bound == line.lower_bound


def test_ensembles_of_blocks():
    from pyomo_relu import ReLUNetworkBlock

    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    nets = [chain([2, 3, 1], seed=s) for s in (1, 2)]
    m.nn = ReLUNetworkBlock([0, 1], network=lambda m, i: nets[i], inputs=lambda i: m.x)
    expected = lagrangian_bound(nets, -1, 1, iterations=2)
    for given in (m.nn, list(m.nn.values()), [m.nn[0], nets[1]]):
        box = {"lower": -1, "upper": 1} if nets[1] in given else {}
        found = lagrangian_bound(given, iterations=2, **box)
        assert found.bound == pytest.approx(expected.bound, abs=1e-6)
    m.other = ReLUNetworkBlock(network=nets[0])
    for var in m.other.input_vars():
        var.setlb(-2)
        var.setub(2)
    with pytest.raises(BoundsError, match="'other' have other bounds"):
        lagrangian_bound([m.nn[0], m.other])


def test_blocks_that_do_not_fit():
    from pyomo_relu import ReLUNetworkBlock

    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock([0, 1], network=NETWORK)
    with pytest.raises(BoundsError, match=r"nn\[0\]"):
        stability(m.nn[0])  # inputs without bounds
    for function in (stability, big_m_statistics, critical_neurons, count_regions):
        with pytest.raises(ReLUError):
            function(m.nn)  # not a member
    with pytest.raises(BoundsError, match="needs the input box"):
        count_regions(NETWORK)
    with pytest.raises(BoundsError, match="needs the input box"):
        lagrangian_bound([NETWORK], lower=np.zeros(2))
