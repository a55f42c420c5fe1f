"""Which operators are evaluated on arrays while a model is read, and what that costs.

Operators on strings, images, sequences or sparse maps are not among them: no network
needs them, and some take time without end on inputs of a few bytes.  Nor are recurrent
ones, whose lengths of sequences onnx's evaluator ignores.
"""

import math

from pyomo_relu.errors import BudgetExceededError, UnsupportedOperatorError
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.nodes.evaluation import is_float

_STANDARD = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool
BatchNormalization BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat Constant
ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumProd CumSum
DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal
Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm
GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization
IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean
MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad
Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization Range Reciprocal
ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence Round
Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size
Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish
Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample
Where Xor
"""

_MACHINE_LEARNING = """
ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LinearRegressor
Normalizer Scaler
"""

#: Deterministic operators on numbers, by domain.
_NUMERICAL = {
    "": frozenset(_STANDARD.split()),
    "ai.onnx.ml": frozenset(_MACHINE_LEARNING.split()),
}

_LARGER = """
AveragePool CenterCropPad Col2Im ConstantOfShape ConvTranspose Einsum Expand EyeLike
LpPool MaxPool OneHot Pad QLinearConv Range Resize Tile Upsample
"""

#: Operators whose value is not a function of their inputs alone.
_RANDOM = {
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike"),
}

#: Operators whose result may be larger than their inputs: it must be known how large.
_ENLARGING = frozenset(_LARGER.split())

#: Entries per second of most operators, and of those that onnx evaluates in Python.
_FAST = 2e7
_RATES = {
    **dict.fromkeys(["Erf", "Gelu", "Mish", "GroupNormalization", "Unique"], 1e6),
    **dict.fromkeys(["GatherND", "ScatterElements", "ScatterND", "TopK"], 5e5),
    **dict.fromkeys(["AveragePool", "Col2Im", "LpPool", "MaxPool"], 5e4),
    **dict.fromkeys(["Conv", "ConvInteger", "ConvTranspose", "QLinearConv"], 2e4),
}


def check_deterministic(node):
    """Raise if the operator draws random numbers."""
    if node.op_type in _RANDOM:
        raise UnsupportedOperatorError(
            "it draws random numbers. Export the network in inference mode."
        )


def check_numerical(node):
    """Raise unless the operator may be evaluated on constants."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if node.op_type not in _NUMERICAL.get(domain, ()):
        raise UnsupportedOperatorError(
            "it computes a constant, but is not one of the deterministic operators on "
            "numbers that are evaluated while a network is read. Fold the constants "
            "when exporting, or remove the node."
        )


def check_evaluation(node, shapes, arrays, attributes):
    """Raise if evaluating the node once takes more than is left of the budget.

    Parameters
    ----------
    node : onnx.NodeProto
    shapes : dict of str to tuple
        Inferred shapes of its outputs, where they are known.
    arrays : sequence of (object with ``shape`` | None)
        Its inputs.
    attributes : dict
    """
    if node.domain not in ("", "ai.onnx"):
        return
    kind = node.op_type
    inputs = [tuple(a.shape) if a is not None else () for a in arrays]
    outputs = [shapes[n] for n in node.output if n in shapes]
    if kind in _ENLARGING and not outputs:
        raise UnsupportedOperatorError(
            "the shape of its output cannot be determined in advance. Export the "
            "network with fixed shapes and folded constants."
        )
    made, read = (sum(map(math.prod, shapes)) for shapes in (outputs, inputs))
    made = made or read
    budget.require(made, "its output, a tensor")
    budget.check_time(made * _terms(kind, inputs, attributes))
    budget.check_time(made + read, _RATES.get(kind, _FAST))


def _terms(kind, inputs, attributes):
    """About how many products make an entry of the output."""
    if kind in ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm"):
        return max((s[-1] for s in inputs[:1] if s), default=1)
    if kind in ("Conv", "ConvInteger", "QLinearConv", "ConvTranspose"):
        weights = inputs[3] if kind == "QLinearConv" else inputs[1]
        return max(1, math.prod(weights[1:]))
    if kind == "Einsum":
        return _einsum_terms(attributes.get("equation", ""), inputs)
    return max(1, math.prod(attributes.get("kernel_shape") or [1]))


def _einsum_terms(equation, inputs):
    """Product of the extents of all letters, an upper bound."""
    extents = {}
    for term, shape in zip(
        equation.replace(" ", "").split("->")[0].split(","), inputs, strict=False
    ):
        letters = term.replace("...", "")
        for letter, n in zip(letters, shape[len(shape) - len(letters) :], strict=False):
            extents[letter] = max(n, extents.get(letter, 1))
    return math.prod(extents.values())


def folded(evaluator, node, native, exact):
    """Values of a node on constants, in the file's precision and from float64.

    Parameters
    ----------
    evaluator : NodeEvaluator
    node : onnx.NodeProto
    native, exact : list of (numpy.ndarray | None)
        Its inputs in the file's types, and with floats widened to float64.

    Returns
    -------
    native, exact : list of numpy.ndarray
        The same where the node does not compute in floats.
    """
    values = evaluator.run(node, native)
    if not (_any_float(native) and _any_float(values)):
        return values, values
    if node.op_type in ("Cast", "CastLike"):
        return values, [exact[0]]
    try:
        precise = evaluator.run(node, exact)
    except BudgetExceededError:
        raise
    except Exception:  # noqa: BLE001  (some operators insist on their own type)
        return values, values
    same = all(
        p.shape == v.shape
        for p, v in zip(precise, values, strict=False)
        if v is not None
    )
    return values, precise if same else values


def _any_float(arrays):
    return any(a is not None and is_float(a.dtype) for a in arrays)
