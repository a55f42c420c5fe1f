"""The optimisation problems of the study: how their networks are trained, what is solved.

A benchmark has ``train`` (networks as ONNX bytes), ``model`` (a Pyomo model with
untransformed network blocks), ``true_value`` (the objective that the functions behind
the networks give at the solution) and ``minimum`` (the true optimum, or None).
"""

import tempfile
from pathlib import Path

import pyomo.environ as pyo

from pyomo_relu.study.problems.oil_data import FOLDER
from pyomo_relu.study.problems.problems import problem
from pyomo_relu.study.training.trained_files import (
    train_function,
    trained_file,
)
from pyomo_relu.study.training.units import in_units


def benchmark(name):
    """The benchmark of a name: "peaks", "himmelblau", "ackley<d>", "control", "oil"."""
    if name == "control":
        return ControlBenchmark()
    if name == "oil":
        return OilBenchmark()
    return FunctionBenchmark(problem(name))


class FunctionBenchmark:
    """Minimise the surrogate of a function over the function's box."""

    def __init__(self, target):
        self.target = target
        self.minimum = target.minimum

    def train(self, hidden, options, seed):
        """One network, "surrogate"."""
        trained = train_function(self.target, hidden, options, seed)
        return [trained_file("surrogate", self.target, trained)]

    def model(self, networks, units="raw"):
        """min f_NN(x) over the box; ``units`` are those of ``units.UNITS``."""
        from pyomo_relu import ReLUNetworkBlock

        target, found = self.target, in_units(networks["surrogate"], units)
        m = pyo.ConcreteModel(target.name)
        ends = list(zip(target.lower, target.upper, strict=True))
        m.x = pyo.Var(range(target.dimension), bounds=lambda m, j: ends[j])
        inputs = [m.x[j] for j in m.x]
        if units != "raw":
            m.unit = pyo.Var(m.x.index_set(), bounds=(-1, 1))
            m.normalise = pyo.Constraint(
                m.x.index_set(),
                rule=lambda m, j: (
                    m.x[j] == found.x_offset[j] + found.x_factor[j] * m.unit[j]
                ),
            )
            inputs = [m.unit[j] for j in m.x]
        m.surrogate = ReLUNetworkBlock(network=found.network, inputs=inputs)
        m.objective = pyo.Objective(
            expr=found.y_offset + found.y_factor * m.surrogate.outputs[0]
        )
        return m

    def true_value(self, model):
        """The function at the surrogate's minimiser."""
        return float(self.target([model.x[j].value for j in model.x]))


def _only_raw(name, units):
    if units != "raw":
        raise ValueError(
            f"{name}: its networks are encoded in raw units only, not '{units}'. Other "
            "units are for the functions' surrogates."
        )


class ControlBenchmark:
    """Bring a pendulum to rest with a learned law, unrolled over the horizon."""

    horizon = 5
    minimum = None

    def __init__(self):
        self.target = problem("pendulum")

    def train(self, hidden, options, seed):
        """One network, "dynamics"."""
        trained = train_function(self.target, hidden, options, seed)
        return [trained_file("dynamics", self.target, trained)]

    def model(self, networks, units="raw"):
        """The control problem over the horizon."""
        from pyomo_relu.study.problems.pendulum import build

        _only_raw("control", units)

        return build(networks["dynamics"], self.horizon)

    def true_value(self, model):
        """Cost of the torques under the true law."""
        from pyomo_relu.study.problems.pendulum import true_cost

        return float(true_cost(model))


class OilBenchmark:
    """Route and choke wells; networks are trained from tables in CSV files."""

    minimum = None

    def __init__(self, folder=FOLDER):
        self.folder = Path(folder)

    def train(self, hidden, options, seed):
        """One network per well and one for the flowline; wells get half the width."""
        from pyomo_relu.study.problems.oil_field import train_tables

        return train_tables(self.folder, hidden, options, seed)

    def model(self, networks, units="raw"):
        """The routing problem (a maximisation)."""
        from pyomo_relu.study.problems.oil_field import build

        _only_raw("oil", units)

        with tempfile.TemporaryDirectory() as folder:
            for name, data in networks.items():
                (Path(folder) / f"{name}.onnx").write_bytes(data)
            return build(self.folder, folder)

    def true_value(self, model):
        """None: behind these networks there are only tables."""
