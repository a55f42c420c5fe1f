"""Operators that bend: each is written with ReLU or clipped ReLU neurons."""

import numpy as np

from pyomo_relu.common.powers import power_of_two
from pyomo_relu.network.onnx.operation import NEAR
from pyomo_relu.network.onnx.operators.affine import reduce_sum, reduction_groups
from pyomo_relu.network.onnx.registry import operator
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor, stack


@operator("Relu")
def relu(operation, x):
    """max(0, x)."""
    return operation.relu(x)


@operator("LeakyRelu")
def leaky_relu(operation, x):
    """alpha v + (1 - alpha) max(0, v)."""
    return _leaky(operation, x, operation.attribute("alpha", 0.01))


@operator("PRelu")
def parametric_relu(operation, x, slope):
    """As LeakyRelu with a constant slope per entry, broadcast to the input."""
    return _leaky(operation, x, operation.constant(1, (x, slope)))


def _leaky(operation, x, alpha):
    """Slope alpha below zero and 1 above."""
    alpha = np.broadcast_to(np.asarray(alpha, dtype=float), x.shape)
    size = np.abs(alpha)
    if not np.any(size > NEAR):
        post, pre = operation.relu_and_pre(x)
        return pre * alpha + post * (1.0 - alpha)
    # alpha v + (1 - alpha) v loses v: max(0, v) - alpha max(0, -v), with the slope
    # divided between the neuron and its readers
    root = power_of_two(np.sqrt(np.maximum(1.0, size)), up=None)
    return operation.relu(x) - operation.relu(-x * root) * (alpha / root)


@operator("Abs")
def absolute(operation, x):
    """|v| = 2 max(0, v) - v."""
    post, pre = operation.relu_and_pre(x)
    return post * 2.0 - pre


@operator("Elu", "Selu")
def exponential_unit(operation, x):
    """gamma x above 0 and gamma alpha (e^x - 1) below: straight only for alpha = 0."""
    alpha, gamma = operation.attribute("alpha", 1.0), operation.attribute("gamma", 1.0)
    if alpha != 0 and gamma != 0:
        operation.refuse_unread()
    return operation.relu(x) * gamma


@operator("ThresholdedRelu")
def thresholded_relu(operation, x):
    """x where x > alpha, else 0: continuous only for alpha = 0."""
    alpha = operation.attribute("alpha", 1.0)
    if alpha != 0:
        operation.refuse(
            f"it jumps at its threshold alpha = {alpha:.6g}, from 0 to {alpha:.6g}, so "
            "that no exact continuous model exists. Use Relu, or alpha = 0."
        )
    return operation.relu(x)


@operator("Shrink")
def shrink(operation, x):
    """Soft threshold max(0, x - l) - max(0, -x - l), continuous for bias = lambd."""
    threshold = operation.attribute("lambd", 0.5)
    bias = operation.attribute("bias", 0.0)
    if bias != threshold or threshold < 0:
        operation.refuse(
            f"it jumps unless its bias equals lambd (soft threshold): by "
            f"{threshold - bias:.6g} at x = {threshold:.6g} and x = {-threshold:.6g}. "
            "Use a soft threshold, Relu or Clip."
        )
    if np.any(threshold > NEAR * operation.size(x)):  # x - threshold would lose x
        return x - operation.clip(x, -threshold, threshold)
    return operation.relu(x - threshold) - operation.relu(-x - threshold)


@operator("HardSigmoid")
def hard_sigmoid(operation, x):
    """max(0, min(1, alpha x + beta))."""
    alpha = operation.attribute("alpha", 0.2)
    beta = operation.attribute("beta", 0.5)
    return operation.clip(x * alpha + beta, 0.0, 1.0)


@operator("Clip")
def clip(operation, x, lower=None, upper=None):
    """min(max(x, lower), upper), the limits as attributes (opset < 11) or inputs."""
    if operation.opset < 11:
        lower, upper = operation.attribute("min"), operation.attribute("max")
    if isinstance(lower, AffineTensor) or isinstance(upper, AffineTensor):
        if lower is not None:
            x = maximum(operation, x, lower)
        return x if upper is None else minimum(operation, x, upper)
    if not isinstance(x, AffineTensor):
        x = AffineTensor.constant(x)
    lower, upper = _limit(operation, lower), _limit(operation, upper)
    return operation.clip(x, lower, upper)


def _limit(operation, value):
    if value is None:
        return None
    value = np.ravel(value)
    if value.size != 1 or np.isnan(value[0]):
        operation.refuse("its limits must be numbers, one for all entries.")
    return float(value[0])


@operator("Max")
def maximum(operation, *tensors):
    """The largest of any number of tensors, entry by entry."""
    constants = [t for t in tensors if not isinstance(t, AffineTensor)]
    affine = [t for t in tensors if isinstance(t, AffineTensor)]
    if constants:
        joint = constants[0]
        for t in constants[1:]:
            joint = np.maximum(joint, t)
        affine.append(AffineTensor.constant(joint))
    shape = np.broadcast_shapes(*(t.shape for t in affine))
    affine = [t.broadcast_to(shape) for t in affine]
    if len(affine) == 1:
        return affine[0]
    n = affine[0].size
    groups = np.arange(n * len(affine)).reshape(len(affine), n).T
    return operation.largest(stack(affine), groups).reshape(shape)


@operator("Min")
def minimum(operation, *tensors):
    """The smallest of any number of tensors, entry by entry."""
    return -maximum(operation, *(-t for t in tensors))


@operator("ReduceMax")
def reduce_max(operation, x, axes=None):
    """The largest entry over axes."""
    groups, shape = reduction_groups(operation, x, axes)
    return operation.largest(x, groups).reshape(shape)


@operator("ReduceMin")
def reduce_min(operation, x, axes=None):
    """The smallest entry over axes."""
    groups, shape = reduction_groups(operation, x, axes)
    return -operation.largest(-x, groups).reshape(shape)


@operator("ReduceL1")
def reduce_l1(operation, x, axes=None):
    """The sum of absolute values over axes."""
    return reduce_sum(operation, absolute(operation, x), axes)


@operator("GlobalMaxPool")
def global_max_pool(operation, x):
    """The largest entry over all spatial axes."""
    groups = x.index().reshape(x.shape[0] * x.shape[1], -1)
    return operation.largest(x, groups).reshape(x.shape[:2] + (1,) * (x.ndim - 2))
