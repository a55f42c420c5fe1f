"""Whatever is raised wherever, the model is as before: every n-th call raises once."""

import itertools
import sys

import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct

import pyomo_relu
from pyomo_relu import ReLUNetworkBlock, read_vnnlib
from pyomo_relu.properties import parse_vnnlib
from pyomo_relu.search import find_point
from tests.networks import chain
from tests.transform.battery import (
    BY_NAME,
    disjunct_model,
    linked_model,
    network_blocks,
    snapshot,
)

_PACKAGE = pyomo_relu.__path__[0]
_GENERATOR = 0x20


class _Ours(dict):
    """Whether a file is one of the package's."""

    def __missing__(self, name):
        self[name] = name.startswith(_PACKAGE)
        return self[name]


_OURS = _Ours()


class Oops(Exception):
    """What no code expects."""


class Raiser:
    """Raises once, at the n-th beginning or end of a function of the package.

    A generator that goes on is no call, and when a function returns to code outside of
    the package there is nobody left who could answer.
    """

    def __init__(self, error=None, at=0):
        self.error, self.at, self.seen = error, at, 0

    def __enter__(self):
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    @property
    def raised(self):
        return 0 < self.at <= self.seen

    def _event(self, frame, event, _):
        # nearly all events end in one of the first two tests
        if event != "call" and event != "return":
            return
        code = frame.f_code
        if not _OURS[code.co_filename] or code.co_flags & _GENERATOR:
            return
        if event == "return" and not _OURS[frame.f_back.f_code.co_filename]:
            return
        self.seen += 1
        if self.seen == self.at:
            sys.setprofile(None)
            raise self.error


def state(model):
    """All that a call which fails must leave alone."""
    records = [
        tuple(getattr(b.record, name) for name in type(b.record).__slots__)
        for b in network_blocks(model)
    ]
    values = [
        (v.name, v.value, v.stale)
        for v in model.component_data_objects(
            (pyo.Var, pyo.BooleanVar), descend_into=(pyo.Block, Disjunct)
        )
    ]
    return snapshot(model), records, values


def moments(make, call, most):
    """When to raise: now and then, and at each of the last events, which change most."""
    call(make())  # what is kept of networks and imports is there after that
    model = make()
    state(model)
    with Raiser() as raiser:
        call(model)
    count = raiser.seen
    now_and_then = range(1, count + 1, max(1, count // most))
    return sorted({*now_and_then, *range(max(1, count - most), count + 1)})


def check(make, call, most):
    """Raise at many moments of ``call(make())``: the model must stay as it was.

    The two kinds of errors take turns.
    """
    model, raised = make(), 0
    kinds = itertools.cycle((KeyboardInterrupt, Oops))
    for at, error in zip(moments(make, call, most), kinds, strict=False):
        before = state(model)
        try:
            with Raiser(error, at) as raiser:
                call(model)
        except error:
            raised += 1
            assert state(model) == before, (at, error)
        else:
            # a solver that fails may cost a bound only; Ctrl-C is never forgotten
            assert error is Oops or not raiser.raised, at
            model = make()
    assert raised > most / 2


#: How many moments there are spread over the call, and how many at its end.
at_moments = pytest.mark.parametrize(
    "most", [3, pytest.param(13, marks=pytest.mark.dense)]
)


def linked():
    """Two networks and a row between them."""
    return linked_model(1)


def applied(name, make=linked, **options):
    """A model with a transformation applied to it, and its token."""
    m = make()
    m.token = pyo.TransformationFactory(name).apply_to(m, **options)
    return m


#: relu.auto takes as long as all others together.
SOME = [
    pytest.param(f, marks=pytest.mark.dense if f.name == "relu.auto" else ())
    for f in BY_NAME
]


@at_moments
@pytest.mark.parametrize("formulation", SOME, ids=str)
def test_formulations(formulation, most):
    check(linked, formulation.apply, most)


@at_moments
@pytest.mark.parametrize("formulation", SOME, ids=str)
def test_reversed_formulations(formulation, most):
    t = formulation.transformation
    check(
        lambda: applied(formulation.name, **formulation.options),
        lambda m: t.apply_to(m, reverse=m.token),
        most,
    )


@at_moments
@pytest.mark.parametrize(
    "options",
    [
        {"gdp_transformation": None},
        pytest.param({"gdp_transformation": "gdp.hull"}, marks=pytest.mark.dense),
        pytest.param({"targets": None}, marks=pytest.mark.dense),
    ],
    ids=str,
)
def test_disjunctions(options, most):
    t = pyo.TransformationFactory("relu.gdp")
    for make in (linked, disjunct_model):
        check(make, lambda m: t.apply_to(m, **options), most)
        check(
            lambda make=make: applied("relu.gdp", make, **options),
            lambda m: t.apply_to(m, reverse=m.token),
            most + 2,
        )


bound_methods = pytest.mark.parametrize(
    "name, options",
    [
        ("relu.bounds", {}),
        ("relu.obbt", {"methods": ["crown", "lp", "milp"]}),
        ("relu.obbt", {"scope": "model"}),
        pytest.param(
            *("relu.obbt", {"scope": "model", "relaxation_solver": "gurobi"}),
            marks=pytest.mark.dense,
        ),
    ],
    ids=str,
)


@at_moments
@bound_methods
def test_bound_methods(name, options, most):
    t = pyo.TransformationFactory(name)
    check(linked, lambda m: t.apply_to(m, **options), most)


@at_moments
@bound_methods
def test_reversed_bound_methods(name, options, most):
    t = pyo.TransformationFactory(name)
    check(
        lambda: applied(name, **options),
        lambda m: t.apply_to(m, reverse=m.token),
        most,
    )


@at_moments
def test_warm_start(most):
    def make():
        m = applied("relu.gdp")
        m.last.initialize([0.1, 0.2])
        return m

    t = pyo.TransformationFactory("relu.warmstart")
    options = {"methods": ["samples"], "start": [[0.1, 0.2]] * 2, "time_limit": None}
    check(make, lambda m: t.apply_to(m, **options), most)


@at_moments
@pytest.mark.parametrize("methods", ["samples", "ascent", "walk"])
def test_find_point(methods, most):
    check(
        linked,
        lambda m: find_point(m, methods, time_limit=None, max_rounds=1),
        most,
    )


@at_moments
def test_bounds_that_are_void(most):
    def make():
        m = applied("relu.obbt", scope="model")
        m.link.deactivate()
        return m

    t = pyo.TransformationFactory("relu.bigm")
    check(make, t.apply_to, most)


@at_moments
def test_bounds_that_the_modeller_brings(most):
    def make():
        m = linked()
        m.last.use_bounds(m.last.neuron_bounds())
        return m

    check(linked, lambda m: m.last.use_bounds(m.last.neuron_bounds()), most)
    check(make, lambda m: m.last.use_bounds(None), most)


@pytest.mark.parametrize("load", [True, False])
@pytest.mark.parametrize("most", [2, pytest.param(40, marks=pytest.mark.dense)])
@pytest.mark.parametrize("name", ["relu.branch", "relu"])
def test_branch_and_bound(name, load, most):
    def make():
        m = linked()
        m.objective.sense = pyo.maximize
        return m

    solver = pyo.SolverFactory(name)

    def call(m):
        return solver.solve(m, load_solutions=load)

    m = make()
    best = call(m).problem.lower_bound
    interrupted = 0
    for at in moments(make, call, most):
        for error in (KeyboardInterrupt, Oops):
            m = make()
            before = state(m)
            try:
                with Raiser(error, at) as raiser:
                    results = call(m)
            except error:
                assert state(m) == before, (at, error)
                continue
            if raiser.raised and error is KeyboardInterrupt:
                condition = str(results.solver.termination_condition)
                # while routes end, after the proof, there is nothing left to interrupt
                proven = name == "relu" and condition == "optimal"
                assert condition == "userInterrupt" or proven, at
                interrupted += 1
            if results.problem.lower_bound == float("-inf") or not load:
                assert state(m) == before, at
            else:
                value = results.problem.lower_bound
                assert pyo.value(m.objective) == pytest.approx(value)
                assert value <= best + 1e-6
            assert results.problem.upper_bound >= best - 1e-6, at
    # the routes of "relu" work on threads of their own, where nothing is raised
    assert interrupted > most / 4 or name == "relu"


@at_moments
@pytest.mark.parametrize("cases", ["(<= X_0 0.5)", "(or (<= X_0 0.5) (<= Y_0 1))"])
def test_properties_put_on_models(cases, most):
    """One disjunct, and several."""
    prop = parse_vnnlib(
        "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
        f"(assert (and (<= -1 X_0 1) (<= -1 X_1 1) (<= Y_0 2) {cases}))"
    )

    def make():
        m = pyo.ConcreteModel()
        m.x = pyo.Var([0, 1], bounds=(-2, 2))
        m.net = ReLUNetworkBlock(network=chain([2, 3, 1]), inputs=[m.x[0], m.x[1]])
        return m

    check(make, lambda m: read_vnnlib(m, m.net, prop), most)


def test_ctrl_c_that_another_package_turns_into_an_error():
    def domain(value):
        raise KeyboardInterrupt

    from pyomo.common.config import ConfigValue

    from pyomo_relu.common.transaction import transaction

    @transaction
    def configure():
        return ConfigValue(domain=domain).set_value(1)

    with pytest.raises(KeyboardInterrupt):
        configure()


def test_ctrl_c_while_rolling_back_waits():
    from pyomo_relu.common.transaction import on_rollback, transaction

    done = []

    def step(name):
        done.append(name)
        if done == ["second"]:
            raise KeyboardInterrupt

    @transaction
    def inner():
        on_rollback(step, "second")
        raise Oops

    @transaction
    def outer():
        on_rollback(step, "first")
        try:
            inner()
        except KeyboardInterrupt:
            assert done == ["second", "second"]
        on_rollback(step, "third")
        raise Oops

    with pytest.raises(Oops):
        outer()
    assert done == ["second", "second", "third", "first"]
    on_rollback(step, "outside of any")
    assert len(done) == 4


def test_blocks_that_are_built():
    network = chain([2, 3, 1])

    def build(m):
        m.more = ReLUNetworkBlock([0, 1], network=network)
        m.del_component("more")

    m = linked()
    before = state(m)
    for at in moments(lambda: m, build, 8):
        for error in (KeyboardInterrupt, Oops):
            with pytest.raises(error) as caught, Raiser(error, at):
                build(m)
            if caught.traceback[-2].name == "build":
                m.del_component("more")  # Pyomo had added it, and not got to us
            assert state(m) == before
