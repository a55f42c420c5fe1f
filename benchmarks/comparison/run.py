"""One run of a route on a model, and the check of what it answered."""

import time
from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo
from pyomo.common.collections import ComponentSet
from pyomo.repn import generate_standard_repn

from benchmarks.comparison.model_set import GAP
from pyomo_relu.model.blocks import network_blocks

#: Largest error of a network's output or a row, relative to the size of its terms.
TOLERANCE = 1e-4


@dataclass
class Run:
    """What a route made of a model.

    ``seconds`` (wall clock) is the limit where nothing was proven; ``cpu`` is this
    process's own seconds in any case, which a busy machine changes less.  ``error`` and
    ``violation`` are the largest errors of networks and of the model's own rows, bounds
    and integers at the point that was found, relative to the sizes there; None without a
    point.  ``known`` is the optimal value, if there is one on record.
    """

    model: str
    kind: str
    route: str
    seconds: float
    cpu: float
    proven: bool
    status: str
    maximise: bool
    bound: float | None = None
    value: float | None = None
    error: float | None = None
    violation: float | None = None
    known: float | None = None
    gap: float = GAP

    def complaints(self):
        """What is wrong with the answer by itself, as sentences."""
        where = f"{self.model}, {self.route}"
        if self.status in ("infeasible", "unbounded", "infeasibleOrUnbounded"):
            return [f"{where}: says {self.status}, but the model has an optimum"]
        if self.proven and None in (self.value, self.bound):
            return [f"{where}: says {self.status}, but hands over no point or bound"]
        found = []
        for what, size in (("networks", self.error), ("rows", self.violation)):
            if size is not None and not size <= TOLERANCE:
                found.append(f"{where}: {what} are violated by {size:.3g} at its point")
        if self.proven and not abs(self.value - self.bound) <= _room(
            self.gap, self.value, self.bound
        ):
            found.append(
                f"{where}: says {self.status}, but bound {self.bound:.8g} and value "
                f"{self.value:.8g} are further apart than the gap"
            )
        if self.known is not None:
            sign = -1 if self.maximise else 1
            room = TOLERANCE * max(1.0, abs(self.known))
            if self.bound is not None and sign * (self.bound - self.known) > room:
                found.append(f"{where}: proves {self.bound:.8g}, {self._on_record}")
            if self.value is not None and sign * (self.known - self.value) > room:
                found.append(
                    f"{where}: has a point of value {self.value:.8g}, {self._on_record}"
                )
        return found

    @property
    def _on_record(self):
        return f"but {self.known:.8g} is known to be the optimum"


def disagreements(runs):
    """Bounds that another route's point contradicts, as sentences.

    As every proven value is within the gap of its bound, values of proven routes that
    differ by more than the gap are among them; so are wrong bounds of unproven ones.
    """
    found = []
    for one in runs:
        for other in runs:
            if one.model != other.model or one.bound is None or other.value is None:
                continue
            excess = one.bound - other.value
            if one.maximise:
                excess = -excess
            if excess > _room(GAP, one.bound, other.value):
                found.append(
                    f"{one.model}: {one.route} proves {one.bound:.8g}, "
                    f"but {other.route} has a point of value {other.value:.8g}"
                )
    return found


def _room(gap, *values):
    """The gap, and what solvers' tolerances of 1e-6 make of a nonlinear objective."""
    size = max(abs(v) for v in values)
    return gap * size + 1e-6 * max(1.0, size)


def run(models, name, route, limit):
    """Run a route on a model and check its point on an untouched copy of the model.

    Parameters
    ----------
    models : ModelSet
    name, route : str
        Of the set's models and routes.
    limit : float
        Seconds for preparation and solving.

    Returns
    -------
    Run
    """
    model = models.models[name]()
    sense = _objective(model).sense
    began, cpu = time.perf_counter(), time.process_time()
    status, bound, loaded = models.routes[route].run(model, limit)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    proven = status == "optimal"
    outcome = Run(
        name,
        models.kind(name),
        route,
        seconds if proven else limit,
        cpu,
        proven,
        status,
        sense == pyo.maximize,
        bound,
        known=models.known.get(name, (None,))[0],
        gap=models.gap,
    )
    if loaded:
        point = models.models[name]()
        for var in _own(point, pyo.Var):
            value = model.find_component(var.name).value
            if value is not None:
                var.set_value(value, skip_validation=True)
        for block in _networks(point):
            for var in (*block.input_vars(), *block.output_vars()):
                value = model.find_component(var.name).value
                var.set_value(value, skip_validation=True)
        outcome.value = float(pyo.value(_objective(point)))
        outcome.error = network_error(point)
        outcome.violation = row_violation(point)
    return outcome


def network_error(model):
    """The largest ``forward_error()``, each relative to its network's outputs."""
    errors = []
    for block in _networks(model):
        size = max(abs(var.value) for var in block.output_vars())
        errors.append(block.forward_error() / max(1.0, size))
    return max(errors)


def row_violation(model):
    """The largest violation of the modeller's rows, bounds and domains.

    Rows relative to their largest term, bounds to their own size, integers absolute.
    """
    worst = [0.0]
    for row in _own(model, pyo.Constraint):
        body, size = pyo.value(row.body), _size(row)
        worst += [
            (row.lb - body) / size if row.lb is not None else 0.0,
            (body - row.ub) / size if row.ub is not None else 0.0,
        ]
    ends = [v for block in _networks(model) for v in block.input_vars()]
    for var in ComponentSet([*_own(model, pyo.Var), *ends]):
        for end, sign in ((var.lb, 1), (var.ub, -1)):
            if end is not None:
                worst.append(sign * (end - var.value) / max(1.0, abs(end)))
        if not var.is_continuous():
            worst.append(abs(var.value - round(var.value)))
    return float(np.max(worst))


def _size(row):
    terms = generate_standard_repn(row.body)
    linear = zip(terms.linear_coefs, terms.linear_vars, strict=True)
    products = zip(terms.quadratic_coefs, terms.quadratic_vars, strict=True)
    sizes = [abs(c * v.value) for c, v in linear]
    sizes += [abs(c * v.value * w.value) for c, (v, w) in products]
    if terms.nonlinear_expr is not None:
        sizes.append(abs(pyo.value(terms.nonlinear_expr)))
    return max([1.0, *sizes])


def _objective(model):
    return next(model.component_data_objects(pyo.Objective, active=True))


def _networks(model):
    return network_blocks(model, None, "benchmarks")


def _own(model, kind_of_component):
    """Components of the model that are in no network block."""
    return model.component_data_objects(
        kind_of_component, active=True, descend_into=False
    )
