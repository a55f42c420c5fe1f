"""Surrogates with inputs of their own that share one resource."""

from pyomo_relu.study.problems.surrogates import surrogate_model

_PEAKS = [f"peaks_2x10_seed{seed}" for seed in range(3)]


def coupled_2():
    """Two surrogates of two layers of 25 and a resource row."""
    return surrogate_model(["peaks_2x25", "ackley2_2x25"])


def coupled_3():
    """Three surrogates of two layers of 25 and a resource row."""
    return surrogate_model(["peaks_2x25", "ackley2_2x25", "himmelblau_2x25"])


def coupled_6():
    """Six surrogates, three of them small, and a resource row."""
    larger = ["peaks_2x25", "ackley2_2x25", "himmelblau_2x25"]
    return surrogate_model([*larger, *_PEAKS])
