"""The 20 models, a file per kind."""

from benchmarks.regret.models import (
    chains,
    commitment,
    coupled,
    integers,
    scenarios,
    series,
    shared_inputs,
    single,
    units,
)

#: name -> function that builds the model
MODELS = {
    build.__name__: build
    for build in (
        single.single_2,
        single.single_2_deep,
        single.single_3,
        single.single_5,
        single.single_10,
        shared_inputs.shared_3,
        shared_inputs.shared_5,
        shared_inputs.shared_7,
        coupled.coupled_2,
        coupled.coupled_3,
        coupled.coupled_6,
        commitment.commitment_12,
        commitment.commitment_24,
        chains.chain_4,
        chains.chain_8,
        scenarios.scenarios_20,
        series.series_24,
        series.measured_24,
        units.units_2,
        integers.integers_3,
    )
}


def kind(name):
    """The kind of a model: the name of its file, in words."""
    return MODELS[name].__module__.rpartition(".")[2].replace("_", " ")
