"""Options of every transformation and solver with values they cannot take."""

import inspect

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunction

from pyomo_relu.errors import ModelError, ReLUError, TransformationError
from pyomo_relu.model.options import SHARED
from pyomo_relu.search import find_point
from tests.transform.battery import box_model, snapshot

NAMES = sorted(n for n in pyo.TransformationFactory if n.startswith("relu."))


class Odd:
    """An object that no option takes."""


WRONG = [
    None,
    "nonsense",
    "",
    b"x",
    -1,
    -1.5,
    1.5,
    0,
    True,
    1j,
    float("nan"),
    float("inf"),
    -float("inf"),
    [],
    [1],
    [None],
    ["x"],
    [float("nan")],
    (1, 2),
    {3, 4},
    {},
    {"a": 1},
    {None: None},
    {None: "x"},
    {0: 1.0},
    {(0, 0): -1.0},
    {(9, 9): 1.0},
    np.array(2.0),
    np.array([1.0, 2.0]),
    np.array([np.nan, np.nan]),
    Odd(),
    Odd,
    len,
]


def cases(configs):
    """(name, option, values): every value once per option, some of them at each name.

    An option of several names is declared once, which is tested below.
    """
    seen = set()
    for i, (name, config) in enumerate(configs.items()):
        for option in config:
            some = WRONG if option not in seen else WRONG[i % 4 :: 4]
            seen.add(option)
            yield pytest.param(name, option, some, id=f"{name}-{option}")
            if some is not WRONG:
                rest = [v for v in WRONG if not any(v is s for s in some)]
                mark = pytest.mark.dense
                yield pytest.param(
                    name, option, rest, id=f"{name}-{option}-", marks=mark
                )


#: What any object but these would be taken for something that it is not.
STRICT = {
    "executor": (type(None),),
    "solver": (str, type(None)),
    "relaxation_solver": (str, type(None)),
    "reverse": (type(None),),
    "process_start_method": (str, type(None)),
    "scope": (str,),
    "split": (str,),
    "criterion": (str,),
    "gdp_transformation": (str, type(None)),
    "gdp_options": (dict, type(None)),
}


def prepared(name):
    """A model to which the transformation applies, and options that keep it short."""
    m = box_model()
    if name != "relu.warmstart":
        return m, {}
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    return m, {"methods": ["samples"], "time_limit": 0.05}


@pytest.mark.parametrize(
    "name, option, values",
    cases({n: pyo.TransformationFactory.get_class(n).CONFIG for n in NAMES}),
)
def test_an_option_works_or_says_that_it_does_not(name, option, values):
    base, short = prepared(name)
    short.pop(option, None)
    untouched = snapshot(base)[:3]
    for value in values:
        m = base.clone()
        try:
            pyo.TransformationFactory(name).apply_to(m, **{option: value}, **short)
        except ReLUError as error:
            assert isinstance(error, ValueError)
            assert option in str(error), (value, str(error))
            assert snapshot(m)[:3] == untouched, value
        else:
            assert isinstance(value, STRICT.get(option, object)), value


@pytest.mark.parametrize("name", NAMES)
def test_unknown_options_list_the_known_ones(name):
    m, _ = prepared(name)
    known = list(pyo.TransformationFactory.get_class(name).CONFIG)
    wrong = known[-1][:-1] + "x"
    with pytest.raises(TransformationError) as caught:
        pyo.TransformationFactory(name).apply_to(m, **{wrong: 1})
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert f"unknown option '{wrong}'. Did you mean '{known[-1]}'?" in message
    assert all(option in message for option in known)


@pytest.mark.parametrize("name", NAMES)
def test_options_as_a_dict(name):
    m, short = prepared(name)
    pyo.TransformationFactory(name).apply_to(m.clone(), options=short or None)
    with pytest.raises(TransformationError, match="options= takes a dict"):
        pyo.TransformationFactory(name).apply_to(m, options=[1])


SOLVERS = {
    name: pyo.SolverFactory(name) for name in ("relu", "relu.branch", "relu.decompose")
}


@pytest.mark.parametrize(
    "name, option, values",
    cases({name: solver.CONFIG for name, solver in SOLVERS.items()}),
)
def test_options_of_the_solvers(name, option, values, capsys):
    for value in values:
        m = box_model()
        try:
            SOLVERS[name].solve(m, **{option: value})
        except ModelError as error:
            assert option in str(error), (value, str(error))


def test_unknown_options_of_the_solver():
    with pytest.raises(ModelError, match="'mipgap'. Did you mean 'mip_gap'"):
        pyo.SolverFactory("relu.branch").solve(box_model(), mipgap=0.1)
    with pytest.raises(ModelError, match="options= takes a dict"):
        pyo.SolverFactory("relu.branch").solve(box_model(), options=3)
    one_line = "^relu.branch: mip_gap=-1 is refused: the number must not be negative$"
    with pytest.raises(ModelError, match=one_line):
        pyo.SolverFactory("relu.branch").solve(box_model(), mip_gap=-1)


@pytest.mark.parametrize("option", ["guided", "tolerance", "drop_neurons", "scope"])
def test_none_is_no_value_where_it_is_not_the_default(option):
    with pytest.raises(TransformationError, match=f"{option}=None is no value"):
        pyo.TransformationFactory("relu.cells").apply_to(box_model(), **{option: None})


def test_none_has_a_meaning_where_that_is_documented():
    m = box_model()
    pyo.TransformationFactory("relu.gdp").apply_to(m, gdp_transformation=None)
    assert list(m.component_data_objects(Disjunction, active=True))


# -- one name, one meaning -------------------------------------------------------------

DECLARED = [
    *((name, pyo.TransformationFactory.get_class(name).CONFIG) for name in NAMES),
    *((name, solver.CONFIG) for name, solver in SOLVERS.items()),
]
#: Options that only relu.bounds and relu.obbt have, whose base declares them once.
OF_BOUNDS = {"alpha_steps", "tighten_var_bounds"}


def test_an_option_of_several_is_declared_once_and_means_the_same():
    found = {}
    for name, config in DECLARED:
        for option in config:
            value = config.get(option)
            meaning = value._domain, value._description
            found.setdefault(option, {})[name] = meaning, value._doc or ""
    assert set(SHARED) <= set(found)
    for option, places in found.items():
        if option in SHARED:
            _, domain, description, text = SHARED[option]
            start = inspect.cleandoc(text)
            assert {m for m, _ in places.values()} == {(domain, description)}, option
            assert all(doc.startswith(start) for _, doc in places.values()), option
        elif len(places) > 1:
            assert option in OF_BOUNDS, (option, list(places))
            assert len({meaning for meaning, _ in places.values()}) == 1


OLD = [
    ("relu.obbt", {"solver": "highs"}, {"relaxation_solver": "highs"}),
    ("relu.cells", {"solver": "highs"}, {"relaxation_solver": "highs"}),
    ("relu.cuts", {"solver": "highs"}, {"relaxation_solver": "highs"}),
    ("relu.cuts", {"tolerance": 0.5}, {"min_improvement": 0.5}),
    ("relu.cells", {"scope": "box"}, {"scope": "network"}),
    ("relu.auto", {"time_limit": 5.0}, {"time_budget": 5.0}),
]


@pytest.mark.parametrize("name, old, new", OLD, ids=str)
def test_old_spellings_are_read_and_name_the_present_one(name, old, new, caplog):
    (key, value), (new_key, new_value) = *old.items(), *new.items()
    transformation = pyo.TransformationFactory(name)
    m = box_model()
    transformation.apply_to(m, **new)
    assert "DEPRECATED" not in caplog.text
    present = m.nn.record
    m = box_model()
    transformation.apply_to(m, options=old)
    assert "DEPRECATED" in caplog.text
    assert (f"'{key}'" if key != new_key else f"'{value}'") in caplog.text
    assert f"'{new_key if key != new_key else new_value}'" in caplog.text
    read = m.nn.record
    if read.encoding is None:
        assert [s.tolist() for s in read.bounds.lower] == [
            s.tolist() for s in present.bounds.lower
        ]
    else:
        done, expected = read.encoding.application, present.encoding.application
        assert done.options == expected.options
    if key != new_key:
        with pytest.raises(TransformationError, match=f"'{key}' is the old name of"):
            transformation.apply_to(box_model(), **old, **new)


def test_the_old_name_of_max_rounds(caplog):
    m = box_model()
    found = [find_point(m, max_rounds=1), find_point(m, rounds=1)]
    assert found[0].objective == found[1].objective
    assert "'rounds' is now 'max_rounds'" in caplog.text


def test_one_thread_may_be_given_as_none():
    pyo.TransformationFactory("relu.obbt").apply_to(box_model(), threads=None)


def test_a_time_limit_that_is_over_keeps_the_first_cells():
    cells = []
    for limit in (0.0, 1e-6, None):
        m, transformation = box_model(), pyo.TransformationFactory("relu.cells")
        transformation.apply_to(m, time_limit=limit)
        cells.append(len(transformation.get_cells(m.nn)[0]))
    assert cells[0] == cells[1] < cells[2]


@pytest.mark.parametrize("scope", ["network", "model"])
def test_obbt_takes_any_relaxation_solver(scope):
    found = []
    for solver in (None, "highs", "auto"):
        m = box_model()
        pyo.TransformationFactory("relu.obbt").apply_to(
            m, relaxation_solver=solver, scope=scope
        )
        found.append(m.nn.neuron_bounds())
    for bounds in found[1:]:
        for k, lower in enumerate(found[0].lower):
            assert bounds.lower[k] == pytest.approx(lower, abs=1e-6)
