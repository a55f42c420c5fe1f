"""One transformation object for several models, one after the other and one inside."""

from dataclasses import dataclass

import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct

from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.errors import ModelError
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.formulations.bigm import encode_big_m
from pyomo_relu.transform.formulations.cells.cells import Cells
from pyomo_relu.transform.formulations.cuts import Cuts
from pyomo_relu.transform.formulations.reduce import Reduce
from pyomo_relu.transform.parts.plan import Plan
from pyomo_relu.transform.tightening.obbt import OBBT
from tests.networks import chain
from tests.transform.battery import BY_NAME, box_model, linked_model, snapshot
from tests.truth import solve

NAMED = [pytest.param(f, id=str(f)) for f in BY_NAME]


def models():
    """Two models that share nothing."""
    return box_model(chain([2, 6, 6, 1], seed=4)), linked_model()


def text(model):
    """All rows, sets and Var bounds of a model."""
    parts = (pyo.Block, Disjunct)
    rows = [
        (c.name, str(c.expr))
        for c in model.component_data_objects(
            pyo.Constraint, active=True, descend_into=parts
        )
    ]
    sets = [
        (s.name, [v.name for v in s.get_variables()])
        for s in model.component_data_objects(pyo.SOSConstraint, descend_into=parts)
    ]
    variables = [
        (v.name, v.bounds, str(v.domain))
        for v in model.component_data_objects(pyo.Var, descend_into=parts)
    ]
    return rows, sets, variables


@pytest.mark.parametrize("formulation", NAMED)
def test_one_object_for_two_models_in_turn(formulation):
    """What it does to one model does not depend on what it did to another."""
    alone = models()
    for m in alone:
        formulation.apply(m)
    used, both = formulation.transformation, models()
    before, kept = [snapshot(m) for m in both], dict(vars(used))
    for _ in range(2):
        tokens = [used.apply_to(m, **formulation.options) for m in both]
        assert [text(m) for m in both] == [text(m) for m in alone]
        assert vars(used) == kept
        for m, token in zip(both, tokens, strict=True):
            used.apply_to(m, reverse=token)
        assert [snapshot(m) for m in both] == before


@pytest.mark.parametrize("base", [Cells, Cuts, Reduce, OBBT])
def test_one_object_within_itself(base):
    """Between deciding and writing for one model it is applied to another."""
    options = {"drop_minimised": True} if base is Reduce else {}
    inner, plain = box_model(chain([2, 6, 6, 1], seed=7)), models()[1]

    class Nested(base):
        NAME = base.NAME

        def _bounds(self, block, plan):
            self._other()
            return super()._bounds(block, plan)

        def _tighten(self, *arguments):
            self._other()
            return super()._tighten(*arguments)

        def _other(self):
            if not started:
                started.append(self)
                self.apply_to(inner, **options)

    started, outer = [], models()[1]
    nested = Nested()
    nested.apply_to(outer, **options)
    assert started == [nested]
    base().apply_to(plain, **options)
    assert text(outer) == text(plain)
    alone = box_model(chain([2, 6, 6, 1], seed=7))
    base().apply_to(alone, **options)
    assert text(inner) == text(alone)


# -- records and plans of users' own ---------------------------------------------------


@dataclass(frozen=True)
class CountPlan(Plan):
    """How many blocks are encoded together."""

    n_blocks: int


class CountEncoding(Encoding):
    """Remembers that number."""

    __slots__ = ("n_blocks",)

    def __init__(self, formulation, rows, n_blocks):
        super().__init__(formulation, rows)
        self.n_blocks = n_blocks

    def remark(self):
        return f", one of {self.n_blocks}"

    def outdated(self, reading=None):
        if self.block.model().component("forbidden") is not None:
            return "a component named 'forbidden' was added"
        return super().outdated(reading)


class Counting(NetworkFormulation):
    NAME = "relu.counting"
    HANDLES_CEILINGS = True

    def _prepare(self, model, blocks, plan):
        return CountPlan(plan.config, plan.call, len(blocks))

    def _encode(self, rows, plan):
        super()._encode(rows, plan)
        return CountEncoding(type(self), rows, plan.n_blocks)

    def _encode_neuron(self, rows, k, i, config):
        encode_big_m(rows, k, i)


def test_a_plan_and_a_record_of_a_users_own():
    m, plain = models()[1], models()[1]
    token = Counting().apply_to(m)
    pyo.TransformationFactory("relu.bigm").apply_to(plain)
    assert solve(m) == pytest.approx(solve(plain), abs=1e-6)
    assert "relu.counting" in m.last.summary() and ", one of 3" in m.last.summary()
    assert m.clone().last.record.encoding.n_blocks == 3
    m.forbidden = pyo.Var()
    with pytest.raises(ModelError, match="'forbidden' was added after relu.counting"):
        m.last.forward_error()
    del m.forbidden
    Counting().apply_to(m, reverse=token)
    assert m.last.record.encoding is None
