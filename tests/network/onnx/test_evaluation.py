"""One node at a time: what is refused before onnx derives shapes from it."""

import onnx
import pytest
from onnx import TensorProto, helper

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.onnx.nodes.evaluation import NodeEvaluator

FLOAT, BYTE = TensorProto.FLOAT, TensorProto.UINT8

#: Types of the inputs, those of data and weights left open: None.
CONVOLUTIONS = {
    "Conv": (FLOAT, [None, None]),
    "ConvInteger": (BYTE, [None, None]),
    "ConvTranspose": (FLOAT, [None, None]),
    "DeformConv": (FLOAT, [None, None, (FLOAT, [1, 8, 3, 3])]),
    "QLinearConv": (
        BYTE,
        [None, (FLOAT, []), (BYTE, []), None, *2 * [(FLOAT, []), (BYTE, [])]],
    ),
}


@pytest.mark.parametrize("shapes", [([1, 4, 4], [1, 1, 2, 2]), ([1, 1, 4, 4], [])])
@pytest.mark.parametrize("op_type", CONVOLUTIONS)
def test_weights_with_other_dimensions_than_the_input_are_refused(op_type, shapes):
    # on most of them onnx 1.17 reads beyond the shorter shape and ends the process
    kind, inputs = CONVOLUTIONS[op_type]
    left = iter(shapes)
    inputs = [(kind, next(left)) if i is None else i for i in inputs]
    names = [f"i{k}" for k in range(len(inputs))]
    types = {
        n: helper.make_tensor_type_proto(*i) for n, i in zip(names, inputs, strict=True)
    }
    evaluator = NodeEvaluator([helper.make_opsetid("", 19)], 9)
    node = helper.make_node(op_type, names, ["y"])
    counts = [f"{len(s)} dimensions" for s in shapes]
    with pytest.raises(NetworkError, match="weights .* do not fit") as caught:
        evaluator.infer(node, onnx.defs.get_schema(op_type, 19), types, {})
    assert all(count in str(caught.value) for count in counts)
