"""A saved state: what is in it, who may go on from it, and a run that is killed."""

import os
import signal
import subprocess
import sys
from functools import cache

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.tree.checkpoint import fingerprint, load_state
from pyomo_relu.errors import ModelError
from tests.branch.subtrees.problems import (
    OPTIONS,
    assert_honest,
    assert_optimal,
    model,
    optimum,
    problem,
)
from tests.branch.subtrees.test_faults import assert_nothing_is_lost
from tests.branch.test_atoms import flowsheet
from tests.networks import chain
from tests.paths import ROOT

SOLVER = pyo.SolverFactory("relu.branch")


def run(progress=None, p=None, **options):
    return branch(p or problem(), BranchOptions(**{**OPTIONS, **options}), progress)


@cache
def nodes_in_one_go():
    return run().nodes


def test_a_run_in_pieces_does_the_work_of_one(tmp_path):
    path, nodes, pieces = tmp_path / "a.npz", 0, 0
    result = run(save=path, node_limit=50)
    while result.status == "node limit":
        assert_honest(result)
        assert result.nodes > nodes and pieces < 100
        nodes, pieces = result.nodes, pieces + 1
        result = run(save=path, resume=path, node_limit=nodes + 50)
    assert pieces >= 2
    assert_optimal(result)
    assert result.nodes <= 1.5 * nodes_in_one_go()
    again = run(resume=path)
    assert (again.bound, again.value, again.nodes) == (
        result.bound,
        result.value,
        result.nodes,
    )


def test_only_what_was_noted_in_order_is_saved_after_an_interrupt(tmp_path):
    path = tmp_path / "a.npz"
    options = {"abs_gap": -5.0, "mip_gap": -10.0}

    def interrupt(tree):
        if tree.nodes >= 60:
            tree.open.pop(3)  # as if they were on their way
            raise KeyboardInterrupt

    assert run(interrupt, save=path, **options).status == "interrupted"
    assert_nothing_is_lost(path)


def test_saving_now_and_then(tmp_path):
    seen = {}
    for name, every in (("often", {"save_nodes": 30}), ("always", {"save_every": 0.0})):
        path, saved = tmp_path / f"{name}.npz", []

        def look(tree, path=path, saved=saved):
            if path.exists():
                saved.append(load_state(path, problem(), BranchOptions()).evaluated)

        run(look, save=path, **every)
        seen[name] = len(set(saved))
        assert sorted(saved) == saved
        assert [f.name for f in tmp_path.iterdir() if "part" in f.name] == []
    assert 3 <= seen["often"] <= seen["always"]


@pytest.mark.parametrize("status", ["infeasible", "optimal"])
def test_a_finished_run_is_finished_when_it_goes_on(tmp_path, status):
    m = model()
    if status == "infeasible":
        m.less = pyo.Constraint(expr=m.nn.outputs[0] <= optimum() - 0.5)
    p, path = read_model(m).problem, tmp_path / "a.npz"
    assert run(p=p, save=path).status == status
    assert run(p=p, resume=path).status == status


def test_a_model_with_products_goes_on_too(tmp_path):
    path = tmp_path / "a.npz"
    m, there = flowsheet((1.0, 1.0, 1.0)), flowsheet((1.0, 1.0, 1.0))
    pyo.assert_optimal_termination(SOLVER.solve(m))
    SOLVER.solve(there, save=path, node_limit=1)
    results = SOLVER.solve(there, resume=path)
    pyo.assert_optimal_termination(results)
    values = [
        pyo.value(next(x.component_data_objects(pyo.Objective))) for x in (m, there)
    ]
    assert values[1] == pytest.approx(values[0], rel=2e-4)


# -- files that are not the right one --------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "state.npz"
    SOLVER.solve(model(), save=path, node_limit=60, **OPTIONS)
    return path


CHANGES = {
    "no row": ("0 rows here, 1 there", lambda m: m.row.deactivate()),
    "row": ("other numbers", lambda m: m.row.set_value(m.nn.outputs[0] >= -1)),
    "bound": ("other numbers", lambda m: m.x[0].setub(1.9)),
    "cost": ("other numbers", lambda m: m.obj.set_value(2 * m.nn.outputs[0])),
    "column": ("5 columns here, 4 there", lambda m: m.add_component("z", free(m))),
}


def free(m):
    """A constraint with a Var of its own."""
    m.y = pyo.Var(bounds=(0, 1))
    return pyo.Constraint(expr=m.y <= m.x[0])


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_of_another_model(saved, name):
    text, change = CHANGES[name]
    m = model()
    change(m)
    with pytest.raises(ModelError, match=rf"state.npz.*another model.*{text}"):
        SOLVER.solve(m, resume=saved)


def test_a_file_of_another_network(saved):
    with pytest.raises(ModelError, match="the same size, other numbers"):
        SOLVER.solve(model(seed=9), resume=saved)


@pytest.mark.parametrize("gap", ["mip_gap", "abs_gap"])
def test_a_smaller_gap_cannot_be_reached(saved, gap):
    with pytest.raises(ModelError, match=rf"saved with {gap}=.*cannot be reached"):
        SOLVER.solve(model(), resume=saved, **{gap: 1e-9})


def test_boxes_beyond_prove_above_are_missed(tmp_path):
    path, m = tmp_path / "state.npz", model()
    SOLVER.solve(m, save=path, prove_above=optimum() - 1.0, node_limit=60, **OPTIONS)
    with pytest.raises(ModelError, match="saved with a prove_above"):
        SOLVER.solve(m, resume=path)
    results = SOLVER.solve(m, resume=path, prove_above=optimum() - 1.0)
    assert "prove_above is proven" in results.solver.message


def test_a_larger_gap_can(saved):
    m = model()
    results = SOLVER.solve(m, resume=saved, mip_gap=0.05)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) <= optimum() + 0.06 * abs(optimum())


def test_files_that_are_none(saved, tmp_path):
    with pytest.raises(ModelError, match="does not exist; leave resume out"):
        SOLVER.solve(model(), resume=tmp_path / "none.npz")
    whole = saved.read_bytes()
    path = tmp_path / "bad.npz"
    middle = len(whole) // 2
    flipped = bytearray(whole)
    flipped[middle] ^= 255
    several = {"x": np.zeros(2)}
    for content in (b"", b"text", whole[:middle], whole[:-20], bytes(flipped), several):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.savez(path, **content)
        with pytest.raises(ModelError, match=r"bad.npz.*damaged; leave resume out"):
            SOLVER.solve(model(), resume=path)
    np.savez(path, about=np.array([{"a": 1}], dtype=object))  # a pickle
    with pytest.raises(ModelError, match="damaged"):
        SOLVER.solve(model(), resume=path)


@pytest.mark.parametrize(
    "name, change",
    [
        ("lower", lambda a: a[:, 1:]),
        ("upper", lambda a: a[1:]),
        ("bound", lambda a: a * np.nan),
        ("column", lambda a: a + 100),
        ("duals", lambda a: a.ravel()),
        ("full", lambda a: a[1:]),
        ("parent", lambda a: a.astype(str)),
    ],
)
def test_arrays_of_other_shapes(saved, tmp_path, name, change):
    with np.load(saved) as file:
        arrays = dict(file)
    arrays[name] = change(arrays[name])
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(ModelError, match="damaged"):
        SOLVER.solve(model(), resume=path)


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(ModelError, match=r"save=.*in a folder that exists"):
        SOLVER.solve(model(), save=tmp_path / "none" / "a.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ModelError, match="no file that can be written"):
        SOLVER.solve(model(), save=tmp_path / "folder.npz")
    with pytest.raises(ModelError, match=r"(?s)save.*ends in '.npz'"):
        SOLVER.solve(model(), save=tmp_path / "a.txt")


def test_a_fingerprint_counts_numbers_and_no_names():
    def of(m):
        return fingerprint(read_model(m).problem)

    def curve(seed):
        m = pyo.ConcreteModel(name=f"m{seed}")
        m.x = pyo.Var(bounds=(0, 1))
        m.nn = ReLUNetworkBlock(network=chain((1, 5, 1), 1), inputs=[m.x])
        m.y = pyo.Var(bounds=(0, 2))
        m.c = pyo.Constraint(expr=m.y**seed + m.x * m.y >= 0.5)
        m.o = pyo.Objective(expr=m.nn.outputs[0] + m.y)
        return m

    one, same, other = curve(2), curve(2), curve(3)
    same.y.domain = pyo.NonNegativeReals
    same.c_, same.name = pyo.Param(initialize=3.0), "renamed"
    assert of(one) == of(same) != of(other)


# -- the whole run is killed -----------------------------------------------------------

SCRIPT = """
import os, signal, sys
from pyomo_relu.branch.branch import BranchOptions, branch
from tests.branch.subtrees.problems import OPTIONS, SMALL_TASKS, problem

def die(tree):
    if tree.nodes >= 150:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    more = dict(threads=2, plan=SMALL_TASKS) if sys.argv[2] == "workers" else {}
    options = BranchOptions(**OPTIONS, save=sys.argv[1], save_nodes=40, **more)
    branch(problem(), options, die)
"""


@pytest.mark.parametrize(
    "kind", [pytest.param("alone", marks=pytest.mark.dense), "workers"]
)
def test_a_killed_run_loses_only_what_came_after_the_last_save(kind, tmp_path):
    """And its workers end with it: they would keep the output open."""
    script, path = tmp_path / "script.py", tmp_path / "state.npz"
    script.write_text(SCRIPT)
    killed = subprocess.run(
        [sys.executable, str(script), str(path), kind],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = load_state(path, problem(), BranchOptions())
    assert state.evaluated >= 40 and len(state.nodes[0])
    result = run(resume=path)
    assert_optimal(result)
    assert result.nodes - state.evaluated <= nodes_in_one_go() - 40 + 60
