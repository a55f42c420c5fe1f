"""relu.sos1, relu.complementarity and Gurobi's own constraints; every solver path."""

import pyomo.environ as pyo
import pytest

from pyomo_relu.errors import ModelError, SolverError, TransformationError
from pyomo_relu.transform.formulations.pairs.gurobi_native import use_native_constraints
from pyomo_relu.transform.parts.solver_paths import PATHS
from tests.networks import chain, residual
from tests.test_solver_paths import SOLVERS
from tests.transform.battery import box_model, snapshot
from tests.truth import solve

NAMES = {
    "relu.sos1": "SOS1 constraints",
    "relu.complementarity": "products of variables",
}


def encoded(name, network=None, **options):
    m = box_model(network or residual(10))
    pyo.TransformationFactory(name).apply_to(m, **options)
    return m


def expected(network=None):
    return solve(encoded("relu.bigm", network))


@pytest.mark.parametrize("path", [*SOLVERS, "gurobi_direct_minlp"])
@pytest.mark.parametrize("name", NAMES)
def test_every_path_solves_it_or_refuses_it(name, path):
    """The table in ``solver_paths`` is what happens; nothing is dropped silently."""
    m = encoded(name)
    if path in PATHS[NAMES[name]]:
        assert solve(m, path, 5e-3) == pytest.approx(expected(), abs=5e-3)
    else:
        with pytest.raises(Exception, match="support|process|nonlinear|degree|SOS"):
            pyo.SolverFactory(path).solve(m)


@pytest.mark.parametrize("name", NAMES)
def test_a_named_path_that_cannot_is_refused_beforehand(name):
    m = box_model()
    before = snapshot(m)
    for path in ("appsi_highs", "highs", "gurobi_direct_v2", "glpk"):
        with pytest.raises(TransformationError, match=f"'{path}' is not known to take"):
            pyo.TransformationFactory(name).apply_to(m, solver=path)
    assert snapshot(m) == before
    pyo.TransformationFactory(name).apply_to(m, solver="gurobi_direct")


@pytest.mark.parametrize("format", ["lp", "mps"])
def test_written_files_hold_the_sets(format, tmp_path):
    path = tmp_path / f"model.{format}"
    encoded("relu.sos1").write(str(path))
    assert "sos" in path.read_text().lower()


@pytest.mark.parametrize("kind", ["max", "indicator", "sos1"])
@pytest.mark.parametrize("network", [residual(10), chain([2, 6, 6, 1])], ids=str)
def test_gurobis_own_constraints(network, kind):
    m = encoded("relu.complementarity", network)
    opt = pyo.SolverFactory("gurobi_persistent")
    opt.set_instance(m)
    opt._solver_model.update()
    products = opt._solver_model.NumQConstrs
    assert use_native_constraints(opt, m, kind) == products
    gurobi = opt._solver_model
    assert gurobi.NumQConstrs == 0
    assert (gurobi.NumSOS if kind == "sos1" else gurobi.NumGenConstrs) > 0
    pyo.assert_optimal_termination(opt.solve())
    assert m.nn.forward_error() <= 1e-6
    assert pyo.value(m.objective) == pytest.approx(expected(network), abs=1e-6)
    # the Pyomo model still describes the network for everybody else
    assert solve(m, "gurobi_direct", 5e-3) == pytest.approx(expected(network), abs=5e-3)


def test_gurobis_own_constraints_are_refused_where_they_do_not_fit():
    m = encoded("relu.complementarity")
    with pytest.raises(SolverError, match="without an instance"):
        use_native_constraints(pyo.SolverFactory("gurobi_persistent"), m)
    with pytest.raises(SolverError, match="gurobi_persistent"):
        use_native_constraints(pyo.SolverFactory("gurobi_direct"), m)
    opt = pyo.SolverFactory("gurobi_persistent")
    opt.set_instance(m)
    with pytest.raises(ModelError, match="kind='min'"):
        use_native_constraints(opt, m, "min")
    with pytest.raises(SolverError, match="has no row"):
        use_native_constraints(opt, m.clone())
    use_native_constraints(opt, m)
    with pytest.raises(SolverError, match="has no row"):
        use_native_constraints(opt, m)
    with pytest.raises(ModelError, match=r"not encoded by relu\.complementarity"):
        use_native_constraints(opt, encoded("relu.bigm"))


@pytest.mark.parametrize("name", NAMES)
def test_pairs_are_named(name):
    network = chain([2, 4, 1], ceilings=[0.3])
    m = encoded(name, network)
    pairs = pyo.TransformationFactory(name).get_pairs(m.nn)
    i = next(i for i in range(4) if {(0, i, "zero"), (0, i, "ceiling")} <= set(pairs))
    post, below = pairs[0, i, "zero"]
    gap, above = pairs[0, i, "ceiling"]
    assert post is m.nn.post[0, i]
    m.nn.initialize([0.9, -0.9])
    for first, second in pairs.values():
        assert min(first.value, second.value) == 0
    assert below.lb == gap.lb == above.lb == 0
