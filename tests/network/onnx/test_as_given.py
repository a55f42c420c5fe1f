"""The file as it was given is what is read, and what onnxruntime is asked to run."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.errors import NetworkFileError, NetworkMismatchError
from pyomo_relu.network import Budget, load_onnx, register_operator
from pyomo_relu.network.onnx.file.file import open_model
from pyomo_relu.network.onnx.graph.graph import GraphReader
from pyomo_relu.network.onnx.verification.verification import verify
from tests.network.onnx.graphs import build, check_agreement, node, refusal, single

RNG = np.random.default_rng(3)
W = RNG.standard_normal((3, 2))
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


# -- functions ----------------------------------------------------------------------------


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


def graph_of(n):
    return helper.make_graph([n], "g", [], [onnx.ValueInfoProto(name=n.output[0])])


def test_a_reference_to_an_attribute_outside_of_functions():
    model = single("LeakyRelu", ["N", 3])
    model.graph.node[0].attribute.add(name="alpha", ref_attr_name="slope", type=1)
    refusal(model, "refers to an attribute of a function but stands in none")


# -- names ----------------------------------------------------------------------------


def branch_of(op_type, inputs, constants=None, extra=(), sparse=None):
    graph = helper.make_graph(
        [*extra, node(op_type, inputs, ["r"])],
        "branch",
        [],
        [onnx.ValueInfoProto(name="r")],
        [
            numpy_helper.from_array(np.float32(a), n)
            for n, a in (constants or {}).items()
        ],
    )
    if sparse:
        name, array = sparse
        indices = np.flatnonzero(array)
        graph.sparse_initializer.append(
            helper.make_sparse_tensor(
                numpy_helper.from_array(np.float32(array)[indices], name),
                numpy_helper.from_array(indices, ""),
                [len(array)],
            )
        )
    return graph


def choice(then, otherwise, output, condition="yes"):
    return node("If", [condition], [output], then_branch=then, else_branch=otherwise)


def test_siblings_with_the_same_names_inside_and_names_of_their_own():
    """Each branch has a k and a w of its own; the w outside is another."""
    first = branch_of("Mul", ["k", "w"], {"w": [2, 3, 4]}, [node("Neg", "x", "k")])
    second = branch_of("Add", ["k", "w"], {"w": [-1, 1, 1]}, [node("Abs", "x", "k")])
    other = branch_of("Neg", ["x"])
    model = build(
        [
            node("Relu", ["x"], ["h"]),
            choice(first, other, "u"),
            choice(second, other, "v"),
            node("Sum", ["u", "v", "h", "w"], ["y"]),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"w": np.array([100.0, 200.0, 300.0]), "yes": np.array(True)},
    )
    w, r = np.array([100.0, 200.0, 300.0]), np.maximum(0, POINT)
    expected = -POINT * [2, 3, 4] + np.abs(POINT) + [-1, 1, 1] + r + w
    np.testing.assert_allclose(check_agreement(model).forward(POINT), expected)


def test_where_onnxruntime_confuses_names_nothing_is_read():
    """One branch defines w, the other reads the w outside: both get that, in 1.32."""
    own = branch_of("Add", ["x", "w"], {"w": [-1, 1, 1]})
    model = build(
        [choice(own, branch_of("Sub", ["x", "w"]), "y")],
        {"x": ["N", 3]},
        ["y"],
        {"w": np.array([100.0, 200.0, 300.0]), "yes": np.array(True)},
    )
    try:
        network = check_agreement(model)
    except NetworkMismatchError:
        return
    np.testing.assert_allclose(network.forward(POINT), POINT + [-1, 1, 1])


def test_sparse_initializers_of_branches():
    then = branch_of("Add", ["x", "s"], sparse=("s", np.array([0.0, 5.0, 0.0])))
    model = build(
        [choice(then, branch_of("Neg", ["x"]), "y")],
        {"x": ["N", 3]},
        ["y"],
        {"yes": np.array(True)},
    )
    np.testing.assert_array_equal(
        check_agreement(model).forward(POINT), POINT + [0, 5, 0]
    )


def test_what_only_the_other_branch_reads_may_be_anything():
    model = build(
        [
            node("Sigmoid", ["x"], ["smooth"]),
            choice(branch_of("Relu", ["x"]), branch_of("Neg", ["smooth"]), "y"),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"yes": np.array(True)},
    )
    assert check_agreement(model).n_neurons == 3


def test_huge_tensors_of_the_other_branch_are_never_made():
    """onnxruntime would compute the 160 GB while it optimises the graph."""
    size = node("ConstantOfShape", ["s"], ["big"])
    other = branch_of("ReduceMax", ["big"], extra=[size])
    other.initializer.append(numpy_helper.from_array(np.array([200000, 200000]), "s"))
    model = build(
        [choice(branch_of("Relu", ["x"]), other, "y")],
        {"x": ["N", 3]},
        ["y"],
        {"yes": np.array(True)},
    )
    assert load_onnx(model).n_neurons == 3


@pytest.mark.parametrize("also", ["initializer", "Constant"])
def test_of_several_constants_the_last_counts(also):
    nodes, constants = [node("Add", ["x", "w"], ["y"])], {"w": np.array([1.0])}
    if also == "Constant":
        value = numpy_helper.from_array(np.float32([100.0]))
        nodes.append(node("Constant", [], ["w"], value=value))
    model = build(nodes, {"x": ["N", 3]}, ["y"], constants)
    if also == "initializer":
        model.graph.initializer.append(
            numpy_helper.from_array(np.float32([100.0]), "w")
        )
    np.testing.assert_array_equal(check_agreement(model).forward(POINT), POINT + 100)


def test_nodes_that_wait_for_one_another():
    nodes = [node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"])]
    refusal(build(nodes, {"x": ["N", 3]}, ["b"]), "tensor 'a' read .* in a circle")


# -- what onnx's checker refuses and onnxruntime runs ---------------------------------------


def dense():
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])]
    return build(nodes, {"x": ["N", 3]}, ["y"], {"w": W})


def untyped(model):
    model.graph.output[0].ClearField("type")
    model.graph.value_info.add(name="h")


def without_name(model):
    model.graph.ClearField("name")


def old_ir(model):
    model.ir_version = 3


def two_imports(model):
    model.opset_import.insert(0, helper.make_opsetid("ai.onnx", 7))


def unread_without_data(model):
    model.graph.initializer.add(name="unread", data_type=1, dims=[4])


def unread_inputs(model):
    for name, kind in (("s", TensorProto.STRING), ("i", TensorProto.INT64)):
        model.graph.input.append(helper.make_tensor_value_info(name, kind, ["M", 2]))


def unread_input_without_shape(model):
    model.graph.input.append(helper.make_tensor_value_info("u", 1, ["N", "M"]))


def training(model):
    model.training_info.add()
    model.metadata_props.add(key="k", value="v")


@pytest.mark.parametrize(
    "change",
    [
        untyped,
        without_name,
        old_ir,
        two_imports,
        unread_without_data,
        training,
        unread_input_without_shape,
    ],
)
def test_what_does_not_matter(change):
    model, plain = dense(), load_onnx(dense())
    change(model)
    assert load_onnx(model.SerializeToString()) == plain


def test_inputs_that_nobody_reads():
    model = dense()
    unread_inputs(model)
    network = load_onnx(model)
    assert [t.name for t in network.inputs] == ["x", "i"]
    assert not np.any(network.inputs_read()[3:])


def test_the_domain_of_machine_learning_need_not_be_imported():
    scale = helper.make_node(
        "Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[1.0], scale=[2.0]
    )
    network = check_agreement(build([scale], {"x": ["N", 3]}, ["y"]))
    np.testing.assert_allclose(network.forward(POINT), 2 * (POINT - 1))


def test_external_data_that_nobody_reads_may_be_missing(tmp_path):
    model = dense()
    tensor = model.graph.initializer.add(name="unread", data_type=1, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="gone.bin")
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert load_onnx(path) == load_onnx(dense())
    tensor.external_data[0].value = "../gone.bin"
    path.write_bytes(model.SerializeToString())
    refusal(path, "outside the model's folder", NetworkFileError)


def test_no_ir_version():
    model = dense()
    model.ClearField("ir_version")
    refusal(model, "not valid ONNX: it states no IR version")


# -- integers ---------------------------------------------------------------------------

INTEGERS = [
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.BOOL,
]


def counted(kind, *before, to=TensorProto.FLOAT):
    nodes = [
        *before,
        node("Cast", [before[-1].output[0] if before else "x"], ["f"], to=to),
        node("MatMul", ["f", "w"], ["h"]),
        node("Relu", ["h"], ["y"]),
    ]
    model = build(nodes, {"x": ["N", 3]}, ["y"], {"w": W})
    model.graph.input[0].type.tensor_type.elem_type = kind
    return model


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_cast_at_once_are_numbers(kind):
    network = load_onnx(counted(kind))
    x = np.array([1, 0, 1])
    np.testing.assert_allclose(network.forward(x), np.maximum(0, x @ W), rtol=1e-6)
    # on the reals between them too
    y = np.maximum(0, 0.5 * x @ W)
    np.testing.assert_allclose(network.forward(0.5 * x), y, rtol=1e-6)


def test_integers_may_be_moved_and_widened_before():
    model = counted(
        TensorProto.INT8,
        node("Cast", ["x"], ["wide"], to=TensorProto.INT32),
        node("Concat", ["wide", "wide"], ["twice"], axis=1),
        node("Gather", ["twice", "pick"], ["picked"], axis=1),
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3, 1]), "pick"))
    x = np.array([5, -3, 2])
    expected = np.maximum(0, x[[2, 0, 1]] @ W)
    np.testing.assert_allclose(load_onnx(model).forward(x), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "step, text",
    [
        (node("Add", ["x", "x"], ["s"]), "Inputs must be float32"),
        (node("Relu", ["x"], ["s"]), "Inputs must be float32"),
        (node("Cast", ["x"], ["s"], to=TensorProto.INT8), "which rounds"),
        (node("Cast", ["x"], ["s"], to=TensorProto.BOOL), "which rounds"),
    ],
)
def test_arithmetic_on_integers_is_refused(step, text):
    message = refusal(counted(TensorProto.INT64, step), text)
    assert "'x'" in message or "int8" in message or "bool" in message


def beside_a_mask(*steps):
    """Integers x and the mask x > 0 as integers, side by side in c."""
    model = build(
        [
            node("Cast", ["x"], ["reals"], to=TensorProto.FLOAT),
            node("Greater", ["reals", "zero"], ["mask"]),
            node("Cast", ["mask"], ["ones"], to=TensorProto.INT64),
            node("Concat", ["x", "ones"], ["c"], axis=1),
            *steps,
            node("Relu", ["f"], ["y"]),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"zero": 0.0, "two": np.array([2]), "pick": np.array([2, 0])},
    )
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


@pytest.mark.parametrize("kind", ["Add", "Div", "Mul"])
def test_arithmetic_on_integers_beside_a_mask_is_refused(kind):
    """Integer division rounds; the mask must not hide that these are no reals."""
    steps = node(kind, ["c", "two"], ["d"]), node("Cast", ["d"], ["f"], to=1)
    refusal(beside_a_mask(*steps), "the tensor 'c' holds integers or truth values")


def test_integers_beside_a_mask_that_is_dropped():
    steps = node("Gather", ["c", "pick"], ["d"], axis=1), node("Cast", "d", "f", to=1)
    network = load_onnx(beside_a_mask(*steps))
    np.testing.assert_array_equal(network.forward([1, -2, 3]), [3, 1])


def test_the_comparison_is_made_at_integers():
    """A reading that is wrong at integers is found out, one between them cannot be."""
    before = register_operator("Cast", lambda operation, x: operation.relu(x))
    try:
        with pytest.raises(NetworkMismatchError):
            load_onnx(counted(TensorProto.INT64))
    finally:
        register_operator("Cast", before)


# -- the comparison ---------------------------------------------------------------------


def compare(given, read):
    """Compare the network read from one model with another model as it is given."""
    file = open_model(given)
    reader = GraphReader(open_model(read).model, file.name)
    verify(file, reader, reader.network())


def leaky_twice():
    nodes = [call("Act", ["x"], ["y"])]
    return [with_functions(nodes, [leaky_with_reference(d)]) for d in (True, False)]


def branches_twice():
    nodes = [choice(branch_of("Relu", ["x"]), branch_of("Neg", ["x"]), "y")]
    x = {"x": ["N", 3]}
    return [build(nodes, x, ["y"], {"yes": np.array(c)}) for c in (True, False)]


def decoy_twice():
    decoy = function("Relu", [node("Neg", ["a"], ["b"])], domain="")
    own = function("Relu", [node("Neg", ["a"], ["b"])])
    return [
        with_functions([node("Relu", ["x"], ["y"])], [decoy]),
        with_functions([call("Relu", ["x"], ["y"])], [own]),
    ]


@pytest.mark.parametrize("models", [leaky_twice, branches_twice, decoy_twice])
def test_what_is_confused_in_reading_is_found_out(models):
    """A forgotten default, the other branch, a function in place of the operator."""
    for given in models():
        for read in models():
            if read == given:
                compare(given, read)
            else:
                with pytest.raises(NetworkMismatchError, match="onnxruntime"):
                    compare(given, read)


def test_shapes_given_by_the_caller_replace_those_of_the_file():
    model = build([node("Relu", ["x"], ["y"])], {"x": [1, 3]}, ["y"])
    assert load_onnx(model, input_shapes={"x": (1, 5)}).n_inputs == 5
    assert load_onnx(model, input_shapes={"x": (4, 3)}).n_inputs == 12


def huge_and_unread(source):
    return [
        node("ConstantOfShape", ["s"], ["big"]),
        node("ReduceMax", ["big"], ["m"]),
        node("Relu", [source], ["b"]),
    ]


def test_huge_tensors_that_nobody_reads_are_never_made():
    size = {"s": np.array([200000, 200000])}
    model = build(huge_and_unread("x"), {"x": ["N", 3]}, ["b"], size)
    assert load_onnx(model).n_neurons == 3


def test_huge_tensors_that_nobody_reads_in_a_function_are_refused():
    f = function("F", huge_and_unread("a"), ["a", "s"])
    size = {"s": np.array([200000, 200000])}
    model = with_functions([call("F", ["x", "s"], ["y"])], [f], constants=size)
    message = refusal(model, "nodes that no output depends on")
    assert "check=False" in message
    assert load_onnx(model, check=False).n_neurons == 3


def test_nodes_of_one_name_which_onnxruntime_refuses():
    """The graph has one meaning; the comparison leaves the names out."""
    model = dense()
    for n in model.graph.node:
        n.name = "same"
    assert load_onnx(model) == load_onnx(dense())
