"""The onnx package's own backend tests, for every operator that the table knows.

Every case whose model is a single known node is either reproduced or refused for a
reason that is listed here; nothing is skipped but
what the lowest versions take too long for.
"""

import functools
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from pyomo_relu.errors import NetworkError
from pyomo_relu.network import load_onnx
from pyomo_relu.network.onnx.registry import known_operators
from tests.versions import (
    DROPS_WINDOWS_IN_PADDING,
    HAS_LISTED_CASES,
    HAS_POOLING_22,
)

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
KNOWN = {name for domain, name in known_operators() if domain == ""}

#: Operators that may be without a case of one node, so that none is forgotten.
WITHOUT_CASES = {"GlobalMaxPool", "GlobalLpPool", "Col2Im", "ConvTranspose"}

#: Inputs that are data (the others become constants); the first one where not listed.
DATA = {"Where": (1, 2), "ScatterND": (0, 2), "ScatterElements": (0, 2)}
ALL_DATA = {"Add", "Sub", "Sum", "Mean", "Max", "Min", "Concat"}

#: Operators that move entries without looking at them: their integer cases are
#: reproduced with the same numbers as floats.
MOVING = {
    "CenterCropPad",
    "Compress",
    "Concat",
    "DepthToSpace",
    "Expand",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "Pad",
    "Reshape",
    "ReverseSequence",
    "ScatterElements",
    "ScatterND",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Where",
}

#: Cases that are refused, by the reason that the message gives.
REFUSED = {
    "is not a tensor": ["test_identity_sequence", "test_identity_opt"],
    "sequence of positive integers": [
        "test_reduce_l1_empty_set",
        "test_reduce_max_empty_set",
        "test_reduce_max_empty_set_bool",
        "test_reduce_min_empty_set",
        "test_reduce_sum_empty_set",
        "test_reduce_sum_empty_set_non_reduced_axis_zero",
        "test_reshape_allowzero_reordered",
        "test_split_zero_size_splits_opset13",
        "test_split_zero_size_splits_opset18",
        "test_tril_zero",
        "test_triu_zero",
    ],
    "is empty": ["test_slice_start_out_of_bounds"],
    "in training mode": [
        "test_training_dropout",
        "test_training_dropout_default",
        "test_training_dropout_default_mask",
        "test_training_dropout_mask",
        "test_training_dropout_zero_ratio",
        "test_training_dropout_zero_ratio_mask",
    ],
    "only its inference form": [
        "test_batchnorm_epsilon_training_mode",
        "test_batchnorm_example_training_mode",
    ],
    "is used, which is not piecewise linear": [
        "test_dropout_default_mask",
        "test_dropout_default_mask_ratio",
        "test_maxpool_with_argmax_2d_precomputed_pads",
        "test_maxpool_with_argmax_2d_precomputed_strides",
        "test_top_k",
        "test_top_k_negative_axis",
        "test_top_k_smallest",
    ],
    "not piecewise linear in": [
        "test_elu",
        "test_elu_default",
        "test_elu_example",
        "test_selu",
        "test_selu_default",
        "test_selu_example",
    ],
    "takes powers and roots": [
        "test_lppool_1d_default",
        "test_lppool_2d_default",
        "test_lppool_2d_dilations",
        "test_lppool_2d_pads",
        "test_lppool_2d_same_lower",
        "test_lppool_2d_same_upper",
        "test_lppool_2d_strides",
        "test_lppool_3d_default",
    ],
    "layout=1": ["test_simple_rnn_batchwise"],
    "activation Tanh": [
        "test_rnn_seq_length",
        "test_simple_rnn_bidirectional",
        "test_simple_rnn_defaults",
        "test_simple_rnn_reverse",
        "test_simple_rnn_with_initial_bias",
    ],
    "powers other than 1": [
        "test_pow",
        "test_pow_bcast_array",
        "test_pow_bcast_scalar",
        "test_pow_example",
        "test_pow_types_float32_int32",
        "test_pow_types_float32_int64",
        "test_pow_types_float32_uint32",
        "test_pow_types_float32_uint64",
    ],
    "jumps": [
        "test_shrink_hard",
        "test_thresholdedrelu",
        "test_thresholdedrelu_default",
        "test_thresholdedrelu_example",
        "test_sign",
        "test_greater",
        "test_greater_bcast",
        "test_greater_equal",
        "test_greater_equal_bcast",
        "test_less",
        "test_less_bcast",
        "test_less_equal",
        "test_less_equal_bcast",
    ],
    "constant of type bool": [
        "test_isinf",
        "test_isinf_float16",
        "test_isinf_negative",
        "test_isinf_positive",
        "test_isnan",
        "test_isnan_float16",
    ],
    "tf_crop_and_resize": [
        "test_resize_tf_crop_and_resize",
        "test_resize_tf_crop_and_resize_axes_2_3",
        "test_resize_tf_crop_and_resize_axes_3_2",
        "test_resize_tf_crop_and_resize_extrapolation_value",
    ],
    "keep_aspect_ratio_policy": [
        "test_resize_downsample_sizes_nearest_not_larger",
        "test_resize_downsample_sizes_nearest_not_smaller",
        "test_resize_upsample_sizes_nearest_not_larger",
        "test_resize_upsample_sizes_nearest_not_smaller",
    ],
    # onnxruntime and onnx's definition differ in these two
    "onnxruntime": [
        "test_resize_downsample_scales_cubic_align_corners",
        "test_resize_downsample_scales_linear_align_corners",
    ],
    "only reduction 'none'": [
        "test_scatter_elements_with_duplicate_indices",
        "test_scatter_elements_with_reduction_max",
        "test_scatter_elements_with_reduction_min",
        "test_scatter_elements_with_reduction_mul",
        "test_scatternd_add",
        "test_scatternd_max",
        "test_scatternd_max_with_element_indices",
        "test_scatternd_min",
        "test_scatternd_min_with_element_indices",
        "test_scatternd_multiply",
    ],
    "constant of type int64": ["test_shape", "test_size"],
}

#: An onnxruntime without opset 22 leaves these to loops of onnx's reference evaluator,
#: which take longer than the budget of loading.
LONG_IN_PYTHON = {"test_averagepool_3d_default", "test_maxpool_3d_default"}

#: Where onnxruntime counts other windows, it averages otherwise, and we refuse.
OTHER_WINDOWS = {
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True"
}
REASON = {case: reason for reason, cases in REFUSED.items() for case in cases}


def _array(value):
    return (
        numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
    )


@functools.cache  # making them takes ten seconds, which only these tests shall take
def cases():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    return {
        c.name: c
        for c in cases
        if len(c.model.graph.node) == 1 and c.model.graph.node[0].op_type in KNOWN
    }


def _op_type(case):
    return case.model.graph.node[0].op_type


def _prepare(case):
    """The case's model with parameters as constants, its data and the answer."""
    inputs, outputs = case.data_sets[0]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    op_type = model.graph.node[0].op_type
    values = list(model.graph.input)
    data = range(len(values)) if op_type in ALL_DATA else DATA.get(op_type, (0,))
    del model.graph.input[:]
    point = {}
    for k, (value, array) in enumerate(zip(values, map(_array, inputs), strict=True)):
        if k not in data:
            constant = numpy_helper.from_array(np.asarray(array), value.name)
            model.graph.initializer.append(constant)
            continue
        model.graph.input.append(value)
        point[value.name] = array
    if op_type in MOVING and all(_integral(v) for v in model.graph.input):
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = TensorProto.FLOAT
        for tensor in model.graph.initializer:
            if op_type == "Pad" and tensor.name == "value":
                array = numpy_helper.to_array(tensor).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model, point, [_array(y) for y in outputs]


def _integral(value):
    kind = value.type.tensor_type.elem_type
    return kind in (TensorProto.INT32, TensorProto.INT64)


def _reason(name, model):
    """Why the case must be refused, or None."""
    if name in REASON:
        return REASON[name]
    tensor_types = [v.type.tensor_type for v in model.graph.input]
    if any(t.elem_type not in FLOATS for t in tensor_types):
        return "must be float32, float64 or float16"
    op_type = model.graph.node[0].op_type
    if op_type in ("Cast", "CastLike"):
        target = model.graph.output[0].type.tensor_type.elem_type
        if target == TensorProto.STRING:  # a case of onnx 1.17 alone
            return "cast to a float type"
        if target not in FLOATS:
            return "rounding cannot be neglected|which rounds"
    if op_type in ("Shape", "Size"):
        return "constant of type int64"
    return None


@pytest.mark.parametrize("op_type", sorted(KNOWN))
def test_backend_cases(op_type):
    found = {n: c for n, c in cases().items() if _op_type(c) == op_type}
    assert found or op_type in WITHOUT_CASES
    for name, case in found.items():
        if name in LONG_IN_PYTHON and not HAS_POOLING_22:
            continue
        if name in OTHER_WINDOWS and not DROPS_WINDOWS_IN_PADDING:
            continue
        print(name)  # the last one is that which fails
        _check(name, case)


def _check(name, case):
    model, point, expected = _prepare(case)
    shapes = {n: np.shape(a) for n, a in point.items() if isinstance(a, np.ndarray)}
    reason = _reason(name, model)
    if reason is not None:
        with pytest.raises(NetworkError, match=reason):
            load_onnx(model, input_shapes=shapes)
        return
    network = load_onnx(model, input_shapes=shapes)
    flat = [np.ravel(a) for a in point.values()]
    finite = [np.nan_to_num(a.astype(float), posinf=3e4, neginf=-3e4) for a in flat]
    x = np.concatenate(finite)
    y = np.concatenate([np.ravel(a).astype(float) for a in expected])
    y = np.nan_to_num(y, posinf=3e4, neginf=-3e4)
    np.testing.assert_allclose(network.forward(x), y, rtol=1e-3, atol=1e-6)


@pytest.mark.skipif(not HAS_LISTED_CASES, reason="an onnx with fewer cases")
def test_every_listed_refusal_is_a_case():
    assert set(REASON) <= set(cases())


def test_there_are_hundreds_of_cases_that_load():
    loaded = [n for n, c in cases().items() if _reason(n, _prepare(c)[0]) is None]
    assert len(loaded) > 330
