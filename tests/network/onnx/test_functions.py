"""Functions of the file: attributes, arguments, opsets, nesting, names of operators."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pyomo_relu.network import Budget, load_onnx
from tests.network.onnx.graphs import build, check_agreement, node, refusal, single

POINT = np.array([1.0, -2.0, 0.5])


def function(name, nodes, inputs=("a",), outputs=("b",), domain="my", **options):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    return helper.make_function(
        domain, name, list(inputs), list(outputs), nodes, opsets, **options
    )


def call(name, inputs, outputs, **attributes):
    return node(name, inputs, outputs, domain="my", **attributes)


def with_functions(nodes, functions, outputs=("y",), constants=None, inputs=None):
    model = build(nodes, inputs or {"x": ["N", 3]}, outputs, constants)
    model.opset_import.append(helper.make_opsetid("my", 1))
    model.functions.extend(functions)
    return model


def leaky_with_reference(default):
    inside = node("LeakyRelu", ["a"], ["b"])
    inside.attribute.add(
        name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT
    )
    f = function("Act", [inside], attributes=[] if default else ["slope"])
    if default:
        f.attribute_proto.append(helper.make_attribute("slope", 0.5))
    return f


@pytest.mark.parametrize("given", [{}, {"slope": 0.25}])
@pytest.mark.parametrize("default", [True, False])
def test_attributes_of_functions(default, given):
    model = with_functions(
        [call("Act", ["x"], ["y"], **given)], [leaky_with_reference(default)]
    )
    network = check_agreement(model)
    slope = given.get("slope", 0.5 if default else 0.01)
    assert network.forward(POINT)[1] == pytest.approx(-2.0 * slope)


def test_an_attribute_handed_down_through_functions_and_branches():
    inside = node("LeakyRelu", ["a"], ["b"])
    inside.attribute.add(name="alpha", ref_attr_name="slope", type=1)
    value = onnx.ValueInfoProto(name="b")
    graphs = {
        "then_branch": helper.make_graph([inside], "t", [], [value]),
        "else_branch": helper.make_graph(
            [node("Neg", ["a"], ["b"])], "e", [], [onnx.ValueInfoProto(name="b")]
        ),
    }
    branch = function(
        "Branch", [node("If", ["c"], ["r"], **graphs)], "ac", "r", attributes=["slope"]
    )
    outer_call = call("Branch", ["a", "c"], ["b"])
    outer_call.attribute.add(name="slope", ref_attr_name="alpha", type=1)
    outer = function("Outer", [outer_call], "ac", "b", attributes=["alpha"])
    model = with_functions(
        [call("Outer", ["x", "yes"], ["y"], alpha=0.125)],
        [branch, outer],
        constants={"yes": np.array(True)},
    )
    assert check_agreement(model).forward(POINT)[1] == pytest.approx(-0.25)


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
@pytest.mark.parametrize("name", ["Relu", "HardSigmoid", "LeakyRelu"])
def test_a_function_with_the_name_of_an_operator_is_not_called(domain, name):
    decoy = function(name, [node("Neg", ["a"], ["b"])], domain=domain)
    network = check_agreement(with_functions([node(name, ["x"], ["y"])], [decoy]))
    assert network == check_agreement(single(name, ["N", 3]))


@pytest.mark.parametrize("name", ["Relu", "Add", "Mul", "Gather", "Softmax"])
def test_a_function_of_another_domain_may_have_any_name(name):
    """onnxruntime 1.32 aborts on some of them; it is shown other names then."""
    borrowed = function(name, [node("Neg", ["a"], ["c"]), node("Relu", ["c"], ["b"])])
    network = load_onnx(with_functions([call(name, ["x"], ["y"])], [borrowed]))
    np.testing.assert_array_equal(network.forward(POINT), np.maximum(0, -POINT))


@pytest.mark.parametrize("name", ["LeakyRelu", "Identity", "Mul"])
def test_a_function_without_inputs_may_have_any_name(name):
    """onnxruntime 1.23 aborts on the first one, too."""
    three = numpy_helper.from_array(np.full(3, 3.0, np.float32))
    borrowed = function(name, [node("Constant", [], ["b"], value=three)], inputs=[])
    nodes = [call(name, [], ["t"]), node("Add", ["x", "t"], ["y"])]
    network = load_onnx(with_functions(nodes, [borrowed]))
    np.testing.assert_array_equal(network.forward(POINT), POINT + 3)


def test_overloads():
    functions = [function("F", [node(op, ["a"], ["b"])]) for op in ("Relu", "Abs")]
    functions[1].overload = "second"
    nodes = [call("F", ["x"], ["t"]), call("F", ["t"], ["y"])]
    nodes[0].overload = "second"
    model = with_functions(nodes, functions)
    model.ir_version = 10
    np.testing.assert_array_equal(check_agreement(model).forward(POINT), np.abs(POINT))
    functions[1].overload = ""
    refusal(with_functions(nodes, functions), "two functions 'F'")


def test_arguments_left_out_and_results_not_used():
    f = function(
        "Box",
        [node("Clip", ["a", "low", "high"], ["b"]), node("Sigmoid", ["a"], ["s"])],
        ["a", "low", "high"],
        ["s", "b"],
    )
    model = with_functions(
        [call("Box", ["x", "", "one"], ["unused", "y"]), call("Box", "x", ["u", "z"])],
        [f],
        ["y", "z"],
        {"one": np.array(1.0)},
    )
    assert check_agreement(model).n_neurons == 3


def test_the_opset_of_the_model_is_in_force_in_functions():
    """As in onnxruntime; opset 13 knows no Trilu."""
    f = function("Lower", [node("Trilu", ["a"], ["b"], upper=0)])
    f.opset_import[0].version = 13
    model = with_functions([call("Lower", "x", "y")], [f], inputs={"x": [1, 2, 2]})
    y = check_agreement(model).forward([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(y, [1, 0, 3, 4])


@pytest.mark.parametrize("depth, text", [(30, "written out"), (90, "nested more than")])
def test_functions_that_double(depth, text):
    functions = [function("f0", [node("Relu", ["a"], ["b"])])]
    for k in range(1, depth):
        twice = [call(f"f{k - 1}", ["a"], ["c"]), call(f"f{k - 1}", ["c"], ["b"])]
        functions.append(function(f"f{k}", twice))
    model = with_functions([call(f"f{depth - 1}", ["x"], ["y"])], functions)
    message = refusal(model, text)
    assert depth > 60 or "Budget(nodes=" in message


def test_the_budget_of_nodes_can_be_raised():
    twice = [call("f", ["a"], ["c"]), call("f", ["c"], ["b"])]
    functions = [function("f", [node("Relu", ["a"], ["b"])]), function("g", twice)]
    nodes = [call("g", ["x"], ["t"]), call("g", ["t"], ["y"])]
    model = with_functions(nodes, functions)
    refusal(model, "have 4 nodes, which exceeds .* 3", budget=Budget(nodes=3))
    assert load_onnx(model, budget=Budget(nodes=4)).n_neurons == 12


def test_functions_that_call_themselves():
    f = function("F", [call("F", ["a"], ["b"])])
    refusal(with_functions([call("F", ["x"], ["y"])], [f]), "'F' calls itself")


def test_a_function_that_nobody_calls_is_not_counted():
    """It bears an operator's name (and onnxruntime 1.32 refuses it all the same)."""
    inside = [node("Relu", ["a"], ["c"]), node("Neg", ["c"], ["b"])]
    decoy = function("Relu", inside, domain="")
    model = with_functions([node("Relu", ["x"], ["y"])], [decoy])
    network = load_onnx(model, check=False, budget=Budget(nodes=1))
    assert network == load_onnx(single("Relu", ["N", 3]), check=False)


def test_branches_and_functions_nested_deeper_than_is_read():
    """Thirty functions deep, in each of them two branches."""
    functions, body = [], node("Relu", ["a"], ["b"])
    for k in range(30):
        for _ in range(2):
            other = graph_of(node("Neg", ["a"], ["b"]))
            body = node(
                "If", ["c"], ["b"], then_branch=graph_of(body), else_branch=other
            )
        functions.append(function(f"f{k}", [body], ["a", "c"]))
        body = call(f"f{k}", ["a", "c"], ["b"])
    nodes = [call("f29", ["x", "yes"], ["y"])]
    model = with_functions(nodes, functions, constants={"yes": np.array(True)})
    refusal(model, "nested more than 60 deep")


def test_a_long_row_of_branches_is_not_nested():
    """Each reads what the one before it gave, by name from within."""
    nodes, before = [], "x"
    for k in range(300):
        taken, other = (node(kind, [before], ["b"]) for kind in ("Neg", "Abs"))
        branches = {"then_branch": graph_of(taken), "else_branch": graph_of(other)}
        before = "y" if k == 299 else f"t{k}"
        nodes.append(node("If", ["yes"], [before], **branches))
    model = with_functions(nodes, [], constants={"yes": np.array(True)})
    assert load_onnx(model, check=False).forward([-1.0, 0, 2]).tolist() == [-1, 0, 2]


def graph_of(n):
    return helper.make_graph([n], "g", [], [onnx.ValueInfoProto(name=n.output[0])])


def test_a_reference_to_an_attribute_outside_of_functions():
    model = single("LeakyRelu", ["N", 3])
    model.graph.node[0].attribute.add(name="alpha", ref_attr_name="slope", type=1)
    refusal(model, "refers to an attribute of a function but stands in none")
