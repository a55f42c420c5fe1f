"""Random histories of a modeller who changes a model while encodings are in force.

What the modeller does is remembered, so that a fresh model tells what is right.  No test
logic but the comparison.
"""

import pickle
import random

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.bounds import crown_bounds
from pyomo_relu.errors import InfeasibleError, ReLUError
from tests.networks import chain

T = pyo.TransformationFactory

FORMULATIONS = [
    ("relu.bigm", {}),
    ("relu.bigm", {"assume_fixed_vars_permanent": False}),
    ("relu.clipped", {"ceiling": 50.0}),
    ("relu.scaled", {}),
    ("relu.partition", {}),
    ("relu.gdp", {}),
    ("relu.cuts", {}),
    ("relu.cells", {"max_cells": 12}),
    ("relu.cells", {"max_cells": 6, "scope": "model"}),
    ("relu.reduce", {}),
    ("relu.auto", {}),
]
METHODS = [
    ("relu.bounds", {}),
    ("relu.bounds", {"tighten_var_bounds": False}),
    ("relu.bounds", {"assume_fixed_vars_permanent": False}),
    ("relu.obbt", {}),
    ("relu.obbt", {"scope": "model"}),
    ("relu.obbt", {"scope": "model", "tighten_var_bounds": False}),
    ("relu.obbt", {"scope": "model", "assume_fixed_vars_permanent": False}),
]

REFUSED, INFEASIBLE = "refused", "infeasible"


def build(seed):
    """Two networks in a row, rows, Params; the second network's outputs are given."""
    m = pyo.ConcreteModel()
    m.p = pyo.Param(initialize=1.0, mutable=True)
    m.q = pyo.Param(initialize=0.5, mutable=True)
    m.r = pyo.Param(initialize=0.6, mutable=True)
    m.x = pyo.Var([0, 1], bounds=(-1.4, 1.4))
    m.x[1].setub(m.p)
    m.w = pyo.Var(bounds=(-1.7, 1.7))
    m.y = pyo.Var()
    m.first = ReLUNetworkBlock(network=chain([2, 3, 1], seed), inputs=m.x)
    m.second = ReLUNetworkBlock(
        network=chain([2, 3, 1], seed + 1),
        inputs=[m.first.outputs[0], m.x[1]],
        outputs=m.y,
    )
    m.c = pyo.Constraint(expr=m.x[0] + m.r * m.x[1] <= m.q)
    m.d = pyo.Constraint(expr=m.first.outputs[0] + m.w <= 1.5)
    m.d.deactivate()
    m.best = pyo.Objective(expr=m.y - 0.3 * m.x[0] + 0.1 * m.w, sense=pyo.maximize)
    return m


class History:
    """A model, what its modeller did to it, and tokens of what is in force."""

    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.model = build(seed)
        self.changes = []
        self.tokens = []
        self.log = []

    # -- what the modeller may do ------------------------------------------------------

    def step(self):
        """Do something at random; refusals with an error of ours are fine."""
        name = self.random.choice(
            [*["change"] * 6, *["bound"] * 4, "encode", "reverse", "reverse"]
            + ["refresh", "copy", "given"]
        )
        try:
            getattr(self, name)()
        except ReLUError as error:
            self.log.append(f"   refused: {str(error)[:150]}")

    def change(self):
        """Change the model itself."""
        draw = self.random
        number = round(draw.uniform(-1.5, 1.5), 2)
        j, side = draw.randrange(2), draw.choice(["setlb", "setub"])
        positive = abs(number) + 0.1
        what, action = draw.choice(
            [
                (f"x[{j}].setlb({-positive})", lambda m: m.x[j].setlb(-positive)),
                (f"x[0].setub({positive})", lambda m: m.x[0].setub(positive)),
                (f"p = {positive}", lambda m: setattr(m.p, "value", positive)),
                (f"q = {number}", lambda m: setattr(m.q, "value", number)),
                (f"r = {number}", lambda m: setattr(m.r, "value", number)),
                (f"fix x[{j}] {number / 4}", lambda m: m.x[j].fix(number / 4)),
                ("unfix x", lambda m: m.x.unfix()),
                ("unfix x", lambda m: m.x.unfix()),
                (f"fix y {number / 4}", lambda m: m.y.fix(number / 4)),
                ("unfix y", lambda m: m.y.unfix()),
                ("unfix y", lambda m: m.y.unfix()),
                (f"y.setub({number})", lambda m: m.y.setub(number)),
                ("y.setub(None)", lambda m: m.y.setub(None)),
                (f"x[0].{side}(None)", lambda m: getattr(m.x[0], side)(None)),
                ("x[0] integer", lambda m: setattr(m.x[0], "domain", pyo.Integers)),
                ("x[0] real", lambda m: setattr(m.x[0], "domain", pyo.Reals)),
                (
                    "x[1] nonnegative",
                    lambda m: setattr(m.x[1], "domain", pyo.NonNegativeReals),
                ),
                ("x[1] real", lambda m: setattr(m.x[1], "domain", pyo.Reals)),
                ("w integer", lambda m: setattr(m.w, "domain", pyo.Integers)),
                ("w real", lambda m: setattr(m.w, "domain", pyo.Reals)),
                ("c off", lambda m: m.c.deactivate()),
                ("c on", lambda m: m.c.activate()),
                ("d off", lambda m: m.d.deactivate()),
                ("d on", lambda m: m.d.activate()),
                (
                    f"post ub {positive}",
                    lambda m: m.second.post[0, 1].setub(positive),
                ),
                ("post ub None", lambda m: m.second.post[0, 1].setub(None)),
                ("minimise", lambda m: setattr(m.best, "sense", pyo.minimize)),
                ("maximise", lambda m: setattr(m.best, "sense", pyo.maximize)),
                (
                    f"objective {number}",
                    lambda m: m.best.set_value(number * m.x[1] + m.y + 1e3),
                ),
            ]
        )
        self.log.append(what)
        action(self.model)
        self.changes.append(action)

    def bound(self):
        """Apply a method that tightens bounds, now and then with a cutoff."""
        name, options = self.random.choice(METHODS)
        if options.get("scope") and self.random.random() < 0.3:
            right = self.right()
            if isinstance(right, float):
                # at the optimum itself bounds are as narrow as solvers' tolerances
                worse = 0.01 if self.model.best.sense == pyo.minimize else -0.01
                options = {**options, "objective_cutoff": right + worse}
        self.apply(name, self.targets(), options)

    def encode(self):
        """Apply a formulation."""
        self.apply(*self.draw_formulation())

    def draw_formulation(self):
        name, options = self.random.choice(FORMULATIONS)
        return name, self.targets(), options

    def targets(self):
        return self.random.choice(["", "", "", "first", "second"])

    def apply(self, name, target, options):
        self.log.append(f"{name} {target} {options}")
        targets = [self.model.component(target)] if target else None
        token = T(name).apply_to(self.model, targets=targets, **options)
        self.tokens.append((name, token))

    def given(self):
        """Bring bounds, proven on a box that is somewhat too large."""
        block = self.random.choice([self.model.first, self.model.second])
        lower, upper = block.input_box()
        self.log.append(f"use_bounds {block.name}")
        if (upper - lower < 100).all():
            block.use_bounds(crown_bounds(block.network, lower - 0.3, upper + 0.3))

    def reverse(self):
        """Undo the last call."""
        if self.tokens:
            name, token = self.tokens.pop()
            self.log.append(f"reverse {name}")
            T(name).apply_to(self.model, reverse=token)

    def refresh(self):
        """Bring a block or all up to date."""
        part = self.random.choice([self.model, self.model.first, self.model.second])
        self.log.append(f"refresh {part.name}")
        T("relu.refresh").apply_to(self.model, targets=part)

    def copy(self):
        """Go on with a clone or a pickle; tokens belong to the original."""
        self.log.append("copy")
        if self.random.random() < 0.5:
            self.model = self.model.clone()
        else:
            self.model = pickle.loads(pickle.dumps(self.model))
        self.tokens = []

    # -- what is right -----------------------------------------------------------------

    def fresh(self):
        """The model as if it had been made like this."""
        model = build(self.seed)
        for action in self.changes:
            action(model)
        return model

    def right(self):
        """The optimum of a fresh model, ``INFEASIBLE`` or ``REFUSED``."""
        return self.answers()[-1]

    def answers(self):
        """What may be found: the last one is right, others are honest."""
        model = self.fresh()
        try:
            T("relu.bigm").apply_to(model)
            answer = optimum(model)
            return [REFUSED, INFEASIBLE] if answer == INFEASIBLE else [answer]
        except ReLUError:
            pass
        try:  # rows may bound inputs that have no bounds
            T("relu.obbt").apply_to(model, scope="model")
            T("relu.bigm").apply_to(model)
        except InfeasibleError:
            return [REFUSED, INFEASIBLE]
        except ReLUError:
            return [REFUSED]
        return [REFUSED, optimum(model)]

    def found(self):
        """What a modeller finds who checks the answer: the same, or ``REFUSED``."""
        try:
            if any(b.record.encoding is None for b in networks(self.model)):
                T("relu.bigm").apply_to(self.model)
            answer = optimum(self.model)
            for block in networks(self.model):
                if answer == INFEASIBLE:
                    block.initialize([0.0, 0.0])  # the check of the rows comes first
                block.forward_error()
        except ReLUError:
            return REFUSED
        return answer


def networks(model):
    """The model's network blocks."""
    return [model.first, model.second]


def optimum(model):
    """The optimum by HiGHS, or ``INFEASIBLE``."""
    solver = pyo.SolverFactory("appsi_highs")
    solver.options["parallel"] = "off"  # leaves HiGHS' pool of threads alone
    results = solver.solve(model, load_solutions=False)
    condition = results.solver.termination_condition
    if condition == pyo.TerminationCondition.optimal:
        solver.load_vars()
        return float(pyo.value(model.best))
    assert condition in (
        pyo.TerminationCondition.infeasible,
        pyo.TerminationCondition.infeasibleOrUnbounded,
    ), condition
    return INFEASIBLE
