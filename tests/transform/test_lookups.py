"""Look-ups between activation rows and what stands for them, over all formulations."""

import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct

from pyomo_relu.errors import TransformationError
from tests.transform.battery import FORMULATIONS, Formulation, box_model, networks

GDP = [
    Formulation("relu.gdp", {"gdp_transformation": name})
    for name in (None, "gdp.mbigm", "gdp.binary_multiplication")
]
#: Components of reformulations that stand for affine rows, inputs or outputs.
OTHER_ROWS = {
    *("affine", "links"),
    *("one_cell", "input_rows", "within", "output_rows", "model_rows"),
}
NETWORKS = ["chain", "clipped", "residual, leaky, clipped"]


def rows_of(block):
    """All that is active on a block's reformulation and about activation rows."""
    return [
        row
        for kind in (pyo.Constraint, pyo.SOSConstraint)
        for row in block.record.encoding.reformulation.component_data_objects(
            kind, active=True, descend_into=(pyo.Block, Disjunct)
        )
        if row.parent_component().local_name not in OTHER_ROWS
    ]


@pytest.mark.covering(1)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("formulation", [*FORMULATIONS, *GDP], ids=str)
def test_lookups_give_every_row_and_are_inverse_to_each_other(formulation, name):
    m = box_model(networks()[name])
    formulation.apply(m)
    transformation = formulation.transformation
    found = {}
    for source in m.nn.activation.values():
        for row in transformation.get_transformed_constraints(source):
            if not formulation.leaves_out:
                assert transformation.get_src_constraint(row) is source
            again = transformation.get_src_constraint(row)
            assert row in list(transformation.get_transformed_constraints(again))
            found[id(row)] = row.name
    assert found == {id(row): row.name for row in rows_of(m.nn)}


#: Without those that have look-ups of their own: rows on Disjuncts, merged neurons.
PLAIN = [f for f in FORMULATIONS if f.name not in ("relu.gdp", "relu.reduce")]


@pytest.mark.parametrize("formulation", PLAIN, ids=str)
def test_lookups_of_auto_know_what_others_made(formulation):
    m = box_model(networks()["clipped"])
    formulation.apply(m)
    auto = pyo.TransformationFactory("relu.auto")
    for source in m.nn.activation.values():
        own = formulation.transformation.get_transformed_constraints(source)
        assert list(map(id, auto.get_transformed_constraints(source))) == list(
            map(id, own)
        )


WRONG = [None, 3, "nn", [], object(), "row", "affine", "activation", "nn block"]


@pytest.mark.parametrize(
    "wrong", WRONG, ids=lambda wrong: "object" if type(wrong) is object else repr(wrong)
)
@pytest.mark.parametrize("name", ["relu.bigm", "relu.gdp", "relu.sos1", "relu.auto"])
def test_lookups_of_what_is_no_row(name, wrong):
    m = box_model()
    m.row = pyo.Constraint(expr=m.nn.outputs[0] <= 10)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    component = {
        "row": m.row,
        "affine": m.nn.affine[0, 0],
        "activation": m.nn.activation,
        "nn block": m.nn,
    }
    given = component.get(wrong, wrong) if isinstance(wrong, str) else wrong
    transformation = pyo.TransformationFactory(name)
    for look_up in (
        transformation.get_src_constraint,
        transformation.get_transformed_constraints,
        transformation.get_indicator_var,
        transformation.get_M_value,
        transformation.get_M_value_src,
    ):
        with pytest.raises(TransformationError):
            look_up(given)


@pytest.mark.parametrize("formulation", FORMULATIONS, ids=str)
def test_lookups_by_block_of_what_is_no_encoded_block(formulation):
    m = box_model()
    transformation = formulation.transformation
    by_block = [
        getattr(transformation, name)
        for name in dir(transformation)
        if name
        in (
            "get_neuron_bounds",
            "get_cells",
            "get_cuts",
            "get_factors",
            "get_coefficient_ranges",
            "get_output_movement",
            "get_pairs",
        )
    ]
    for look_up in by_block:
        for given in (m.nn, m, None, "nn", 3, m.objective):
            with pytest.raises(TransformationError, match="encoded|ReLUNetworkBlock"):
                look_up(given)


@pytest.mark.parametrize(
    ("name", "look_up"), [("relu.cells", "get_cells"), ("relu.scaled", "get_factors")]
)
def test_lookups_of_what_another_formulation_does_not_have(name, look_up):
    m = box_model()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    with pytest.raises(TransformationError, match=f"relu.bigm.*apply {name}"):
        getattr(pyo.TransformationFactory(name), look_up)(m.nn)


@pytest.mark.parametrize("name", ["relu.bigm", "relu.gdp"])
def test_lookups_by_model_of_what_is_no_model(name):
    transformation = pyo.TransformationFactory(name)
    for given in (None, "m", 3, pyo.Var()):
        with pytest.raises(TransformationError):
            transformation.get_largest_M_value(given)
        with pytest.raises(TransformationError):
            transformation.get_all_M_values_by_constraint(given)
