"""What is read of Pyomo beside its public interface is still there and means the same."""

import pyomo.environ as pyo
import pytest
from pyomo.core.base.symbol_map import SymbolMap
from pyomo.core.staleflag import StaleFlagManager
from pyomo.mpec import Complementarity, complements
from pyomo.opt import SolutionStatus, SolverResults
from pyomo.opt.results.solution import Solution

from pyomo_relu.block.pyomo_private import (
    add_rows,
    add_solution,
    beyond,
    beyond_defaults,
    complementary_expressions,
    fixed_vars,
    is_plain,
    members,
    name_symbols,
    own_bounds,
    persistent_model,
    persistent_rows,
    persistent_variables,
    put_bounds,
    put_values,
    refers_to_a_mapping,
    set_made_of,
    values_of,
)


def test_own_bounds_are_those_set_and_not_the_domains():
    m = pyo.ConcreteModel()
    m.p = pyo.Param(initialize=3.0, mutable=True)
    m.x = pyo.Var(domain=pyo.NonNegativeReals)
    assert m.x.bounds == (0, None)
    assert own_bounds(m.x) == (None, None)
    m.x.setlb(-1)
    m.x.setub(2.5)
    assert own_bounds(m.x) == (-1, 2.5)
    m.x.setub(m.p)
    assert own_bounds(m.x)[1] is m.p


def test_added_rows_are_those_of_a_constraint():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2))
    m.added, m.set = pyo.Constraint(pyo.Any), pyo.Constraint(pyo.Any)
    rows = {(0, i): 2 * m.x[i] == i for i in range(2)}
    add_rows(m.added, rows.items())
    for index, row in rows.items():
        m.set[index] = row
    assert list(m.added) == list(m.set) == list(rows)
    for index in rows:
        assert m.added[index].index() == index
        assert m.added[index].name == f"added[{index[0]},{index[1]}]"
        assert m.added[index].active and m.added[index].upper == index[1]
        assert m.added[index].body.to_string() == m.set[index].body.to_string()
    assert m.clone().added[0, 1].body.to_string() == m.added[0, 1].body.to_string()


def test_vars_beyond_what_all_were_given_are_found():
    m = pyo.ConcreteModel()
    m.p = pyo.Param(initialize=0.0, mutable=True)
    m.x = pyo.Var(range(6), bounds=(0.0, None))
    assert beyond_defaults(m.x.values(), 0.0) == []
    assert len(beyond_defaults(m.x.values(), None)) == 6
    m.x[0].fix(1.0)
    m.x[1].setub(2.0)
    m.x[2].setlb(1.0)
    m.x[3].setlb(m.p)
    m.x[4].domain = pyo.Integers
    found = beyond_defaults(m.x.values(), 0.0)
    assert [v.index() for v in found] == [0, 1, 2, 3, 4]
    m.y = pyo.Var(range(2))
    assert beyond_defaults(m.y.values(), None) == []


def test_members_of_components_are_those_that_pyomo_gives():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(range(3)), pyo.Var()
    m.b = pyo.Block([1, 2], rule=lambda b, _: setattr(b, "z", pyo.Var([4, 5])))
    m.b[2].deactivate()
    m.of_some = pyo.Reference(m.b[:].z[4])
    m.flag = pyo.BooleanVar()
    assert [v.index() for v in members(m.b[2].z)] == [4, 5]
    assert members(m.y) == [m.y] and members(m.of_some)[1] is m.b[2].z[4]
    m.x[1].fix(2.0)
    m.b[2].z[4].fix(3.0)
    given = list(m.component_data_objects(pyo.Var, descend_into=pyo.Block))
    found = fixed_vars(m, pyo.Block)
    assert {id(v) for v in found} == {id(v) for v in given if v.fixed}
    assert len(given) == 8


def test_values_put_are_those_that_were_set():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), initialize=1.0)
    StaleFlagManager.mark_all_as_stale()
    m.x[0].set_value(2.0)
    assert values_of(m.x.values()) == [(v, v.value, v.stale) for v in m.x.values()]
    assert [stale for *_, stale in values_of(m.x.values())] == [False, True, True]
    StaleFlagManager.mark_all_as_stale(delayed=True)
    put_values([m.x[0], m.x[1]], [3.0, 4.0])
    assert [v.value for v in m.x.values()] == [3.0, 4.0, 1.0]
    assert [v.stale for v in m.x.values()] == [False, False, True]
    put_values([], [])


def test_bounds_put_on_plain_vars_are_in_force():
    m = pyo.ConcreteModel()
    m.p = pyo.Param(initialize=1.0, mutable=True)
    m.x = pyo.Var(range(5))
    m.x[1].fix(0.0)
    m.x[2].setub(m.p)
    m.x[3].domain = pyo.NonNegativeReals
    assert [is_plain(v) for v in m.x.values()] == [True, False, False, False, True]
    put_bounds([m.x[0], m.x[4]], 0, [-1.0, -2.0])
    put_bounds([m.x[0], m.x[4]], 1, [1.0, 2.0])
    assert m.x[0].bounds == (-1.0, 1.0) and m.x[4].bounds == (-2.0, 2.0)
    variables = [*m.x.values()]
    found = beyond(variables, [-1.0] * 5, [1.0] * 5)
    assert [v.index() for v in found] == [1, 2, 3]
    assert beyond([m.x[4]], [-1.5], [1.5]) == []
    assert beyond([m.x[4]], [-2.5], [3.0]) == [m.x[4]]


def test_an_added_solution_is_what_pyomo_would_have_added():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(initialize=1.0), pyo.Var()
    m.y.fix(2.0)
    m.o = pyo.Objective(expr=m.x)
    for value in (5.0, 1.0):
        add_solution(m, SolutionStatus.optimal, 0.5, m.o, value)
    (found,) = m.solutions
    assert (found.status, found.gap) == (SolutionStatus.optimal, 0.5)
    assert [v for v, _ in found._entry["variable"].values()] == [m.y]
    assert found._entry["objective"][id(m.o)] == (m.o, {"Value": 1.0})
    m.solutions.select(0)
    assert (m.x.value, m.y.value) == (1.0, 2.0)
    add_solution(pyo.Block(concrete=True), SolutionStatus.optimal, 0.0, None, 0.0)


def test_references_to_lists_and_dicts_are_told_from_others():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([3, 1, 2])
    m.of_dict = pyo.Reference({1: m.x[2], 2: m.x[1]})
    m.of_list = pyo.Reference([m.x[2], m.x[1]])
    m.of_slice = pyo.Reference(m.x[:])
    told = [refers_to_a_mapping(c) for c in (m.of_dict, m.of_list, m.of_slice, m.x)]
    assert told == [True, True, False, False]


def test_sets_tell_what_they_were_made_of():
    m = pyo.ConcreteModel()
    m.of_set = pyo.Set(initialize={"a", "b"}, ordered=pyo.Set.InsertionOrder)
    m.of_list = pyo.Set(initialize=["a", "b"])
    m.of_other = pyo.Set(initialize=m.of_set)
    assert set_made_of(m.of_set) == {"a", "b"}
    assert isinstance(set_made_of(m.of_set), set)
    assert not isinstance(set_made_of(m.of_list), (set, pyo.Set))
    assert set_made_of(m.of_other) is m.of_set
    assert set_made_of(pyo.RangeSet(3)) is None


def test_complementarity_conditions_give_their_two_expressions():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(), pyo.Var()
    first, second = m.x >= 1, 2 * m.y >= 0
    m.c = Complementarity(expr=complements(first, second))
    found = list(complementary_expressions(m.c))
    assert len(found) == 2
    assert [str(part) for part in found] == [str(first), str(second)]


def test_persistent_interfaces_show_the_solvers_objects():
    gurobipy = pytest.importorskip("gurobipy")
    opt = pyo.SolverFactory("gurobi_persistent")
    if not opt.available(exception_flag=False):
        pytest.skip("Gurobi has no licence here")
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.row = pyo.Constraint(expr=2 * m.x <= 1)
    m.objective = pyo.Objective(expr=m.x)
    assert persistent_model(opt) is None
    assert persistent_model(pyo.SolverFactory("appsi_highs")) is None
    opt.set_instance(m)
    assert isinstance(persistent_model(opt), gurobipy.Model)
    assert isinstance(persistent_variables(opt)[m.x], gurobipy.Var)
    assert isinstance(persistent_rows(opt)[m.row], gurobipy.Constr)
    opt.remove_constraint(m.row)
    assert m.row not in persistent_rows(opt)


def test_solutions_are_loaded_by_the_symbols_named():
    m = pyo.ConcreteModel()
    m.x = pyo.Var()
    m.objective = pyo.Objective(expr=m.x)
    symbols, results, solution = SymbolMap(), SolverResults(), Solution()
    symbols.addSymbol(m.x, "x0")
    symbols.addSymbol(m.objective, "f")
    solution.variable["x0"] = {"Value": 4.5}
    m.solutions.add_symbol_map(symbols)
    name_symbols(results, symbols)
    results.solution.insert(solution)
    m.solutions.load_from(results)
    assert m.x.value == 4.5
