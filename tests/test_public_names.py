"""What one sees without reading code: dir(), help(), docstrings, options."""

import ast
import importlib
import inspect
import pydoc
import re
from importlib.util import find_spec
from pathlib import Path

import pyomo.environ as pyo
import pytest

import pyomo_relu
from pyomo_relu import ReLUNetworkBlock

#: What users may import: a name here stays, and a change here is in the change log.
PUBLIC = {
    "pyomo_relu": """
        Layer Network NeuronBounds ReLUNetworkBlock VerificationResult __version__
        example_network example_networks load_onnx read_vnnlib register_operator verify
    """,
    "pyomo_relu.analysis": """
        BigMReport Effort LagrangianBound LayerBigM LayerStability Region
        RegionCount StabilityReport big_m_statistics count_regions
        critical_neurons lagrangian_bound measure_effort stability
    """,
    "pyomo_relu.block": """
        ReLUNetworkBlock ReLUNetworkBlockData
    """,
    "pyomo_relu.bounds": """
        NeuronBounds SplitResult TighteningOptions TighteningStatistics
        crown_bounds
        interval_bounds lp_obbt milp_obbt split_bounds tighten
    """,
    "pyomo_relu.branch": """
        BranchOptions BranchResult ReLUBranch
    """,
    "pyomo_relu.properties": """
        Case Property VerificationResult load_vnnlib parse_vnnlib read_vnnlib verify
    """,
    "pyomo_relu.decompose": """
        ReLUDecompose
    """,
    "pyomo_relu.portfolio": """
        ReLU
    """,
    "pyomo_relu.errors": """
        BoundsError BudgetExceededError InfeasibleError MissingPackageError
        MissingPartError ModelError NetworkError NetworkFileError NetworkMismatchError
        PropertyError ReLUError
        RuleError SolverError TransformationError UnsupportedOperatorError
    """,
    "pyomo_relu.network": """
        ACTIVE AT_CEILING Budget INACTIVE INPUT Layer Network Reduction Source
        Tensor clip_network l1_factors load_onnx max_factors reduce_network
        register_operator rescale_network
    """,
    "pyomo_relu.plot": """
        accuracy_against_effort bound_intervals bound_widths boxes cells
        crown_lines history neuron regions relaxation relaxation_slice
        visited_boxes
    """,
    "pyomo_relu.search": """
        SearchResult WarmStart find_point minimise_over_box
    """,
    "pyomo_relu.transform": """
        Auto BigM Bounds Cells Clipped Complementarity Cuts Gdp
        NetworkFormulation OBBT Partition Reduce Refresh Scaled Sos1
        use_native_constraints
    """,
}
MODULES = list(PUBLIC)
NAMES = [(module, name) for module in MODULES for name in PUBLIC[module].split()]
TRANSFORMATIONS = sorted(n for n in pyo.TransformationFactory if n.startswith("relu."))


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_the_promised_ones(module):
    """Told by a literal list, the only form that type checkers read."""
    (written,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(Path(find_spec(module).origin).read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert sorted(written) == sorted(PUBLIC[module].split())
    assert written == importlib.import_module(module).__all__


@pytest.mark.parametrize("module", MODULES)
def test_type_checkers_see_the_lazy_names_where_they_come_from(module):
    """The names imported under TYPE_CHECKING are the objects that are handed out."""
    tree = ast.parse(Path(find_spec(module).origin).read_text())
    names = importlib.import_module(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for imported in (n for n in node.body if isinstance(n, ast.ImportFrom)):
                source = importlib.import_module(imported.module)
                for alias in imported.names:
                    thing = getattr(names, alias.name)
                    assert thing is getattr(source, alias.name), alias.name


@pytest.mark.parametrize("module", MODULES)
def test_dir_shows_public_names_and_what_every_module_has(module):
    module = importlib.import_module(module)
    assert set(module.__all__) <= set(dir(module))
    assert {"__doc__", "__name__", "__file__"} <= set(dir(module))
    assert dir(module) == sorted(dir(module))
    namespace = {}
    exec(f"from {module.__name__} import *", namespace)
    assert set(module.__all__) <= set(namespace)


@pytest.mark.parametrize("module, name", NAMES)
def test_public_names_have_docstrings(module, name):
    thing = getattr(importlib.import_module(module), name)
    if not callable(thing):
        assert isinstance(thing, (int, str))
        return
    doc = inspect.getdoc(thing)
    assert doc and not doc.startswith(f"{name}("), f"{name} has no docstring"
    generic = ("A dictionary", "Create and return", "tuple(iterable")
    assert not doc.startswith(generic), f"{name} has a builtin's docstring"
    if inspect.isclass(thing):
        for attribute, value in vars(thing).items():
            public = not attribute.startswith("_")
            if public and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{attribute} has no docstring"
        return
    parameters = inspect.signature(thing).parameters
    named = [n for n in parameters if not re.search(rf"\b{n}\b", doc)]
    assert not named, f"{name}: the docstring leaves out {named}"


def test_help_of_the_package_and_its_modules():
    for module in map(importlib.import_module, MODULES):
        text = pydoc.render_doc(module, renderer=pydoc.plaintext)
        named = [name for name in module.__all__ if not name.startswith("__")]
        assert all(name in text for name in named), module.__name__


def test_help_of_the_block():
    m = pyo.ConcreteModel()
    network = pyomo_relu.Network.sequential([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    m.one = ReLUNetworkBlock(network=network)
    m.many = ReLUNetworkBlock([1, 2], network=network)
    for thing in (ReLUNetworkBlock, type(m.one), type(m.many), type(m.many[1])):
        text = pydoc.render_doc(thing, renderer=pydoc.plaintext)
        for word in (
            *("network", "inputs", "outputs", "input_scaling", "output_scaling"),
            *("output", "pre", "post", "affine", "activation"),
            *("initialize", "forward_error", "summary", "A trained ReLU network"),
        ):
            assert word in text, (thing, word)
    assert "network" in inspect.signature(ReLUNetworkBlock).parameters
    for name in ("initialize", "forward_error", "summary"):
        assert name in dir(m.one) and name in dir(m.many)
        assert inspect.getdoc(getattr(m.many, name))
    for part in ("inputs", "outputs", "pre", "post", "affine", "activation"):
        assert part in dir(m.one)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_help_of_the_transformations(name):
    cls = pyo.TransformationFactory.get_class(name)
    text = pydoc.render_doc(cls, renderer=pydoc.plaintext)
    module = inspect.getmodule(cls)
    assert module.__doc__.splitlines()[0] in text, (
        'end the first line of the class docstring in "; see the module\'s docstring."'
    )
    assert "see the module" not in inspect.getdoc(cls)
    for method in (cls, cls.apply_to):
        doc = inspect.getdoc(method)
        assert all(re.search(rf"\b{option}:", doc) for option in cls.CONFIG), method
    assert all(cls.CONFIG.get(option)._description for option in cls.CONFIG)
    assert pyo.TransformationFactory.doc(name)


@pytest.mark.parametrize("name", ["relu", "relu.branch", "relu.decompose"])
def test_help_of_the_solvers(name):
    cls = type(pyo.SolverFactory(name))
    doc = inspect.getdoc(cls) + inspect.getdoc(cls.solve)
    assert all(option in doc for option in cls.CONFIG)


def test_vars_given_by_the_modeller_are_listed_too():
    m = pyo.ConcreteModel()
    m.x = pyo.Var()
    network = pyomo_relu.Network.sequential([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=pyo.Reference(m.x))
    assert "inputs" in dir(m.nn) and "outputs" in dir(m.nn)
