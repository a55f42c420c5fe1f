"""From a Pyomo model to a BranchProblem and back to Var values."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pyomo.core.base.block import Block
from pyomo.core.base.var import Var
from pyomo.gdp import Disjunct

from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.block.pyomo_private import fixed_vars
from pyomo_relu.block.records.bounds_runs import release_void_bounds
from pyomo_relu.block.values import (
    initialize_blocks,
    point,
    put_back,
    saved_values,
)
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.statuses import INFEASIBLE
from pyomo_relu.common.transaction import on_rollback, transaction
from pyomo_relu.errors import ModelError
from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.model.blocks import check_function_kept, refuse_disjuncts
from pyomo_relu.model.contradiction import contradiction
from pyomo_relu.model.neurons import NeuronsAsOutputs
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.search.completion import check_class


@dataclass
class BranchModel:
    """A Pyomo model read for branching.

    Attributes
    ----------
    embedded : EmbeddedModel
    surrounding : Surrounding
    blocks : list of ReLUNetworkBlockData
    problem : BranchProblem
        Of ``embedded``; made when it is asked for, since the search makes its own where
        the model is not in unit range.
    """

    embedded: object
    surrounding: object
    blocks: list

    @cached_property
    def problem(self):
        """See the class."""
        return build_problem(self.embedded)

    @property
    def maximise(self):
        """True if the modeller maximises."""
        return self.surrounding.maximise

    def contradiction(self, seconds):
        """Which rows, bounds and networks of an infeasible model contradict each other.

        Parameters
        ----------
        seconds : float
        """
        surrounding = self.surrounding

        def proves(linear, left):
            part = build_problem(EmbeddedModel(linear, surrounding.embedded.functions))
            return branch(part, BranchOptions(time_limit=left)).status == INFEASIBLE

        return contradiction(surrounding, seconds=seconds, proves=proves)

    def start(self):
        """The Vars' present values as a point; NaN where there is none."""
        values = [v.value for v in self.surrounding.variables]
        values += [None] * (self.surrounding.linear.n_columns - len(values))
        return np.array([np.nan if v is None else v for v in values], dtype=float)

    def values(self, full):
        """[(Var, value)] of the modeller's Vars at a point, fixed ones left out."""
        variables = self.surrounding.variables
        n = len(variables)  # after them: atoms, neurons that became columns
        integer = self.surrounding.linear.integer[:n]
        full = np.where(integer, np.round(full[:n]), full[:n])
        pairs = zip(variables, full.tolist(), strict=True)
        return [(var, value) for var, value in pairs if not var.fixed]

    @transaction
    def load(self, full):
        """Set all Vars, those inside the network blocks included."""
        on_rollback(put_back, self._saved())
        for var, value in self.values(full):
            var.set_value(value, skip_validation=True)
        initialize_blocks([(block, point(block, None)) for block in self.blocks])
        for var, value in self.values(full):
            var.set_value(value, skip_validation=True)

    @transaction
    def all_values(self, full):
        """[(Var, value)] of everything that ``load`` sets; the model stays as it is."""
        saved = self._saved()
        on_rollback(put_back, saved)
        self.load(full)
        values = [
            (v, v.value) for v, *_ in saved if v.ctype is Var and v.value is not None
        ]
        put_back(saved)
        return values

    def _saved(self):
        return saved_values(self.blocks, self.surrounding.variables)


def read_model(model, name="relu.branch"):
    """Read a Pyomo model with ReLUNetworkBlocks and atoms of ``model.atoms``.

    Parameters
    ----------
    model : Block
    name : str
        Of the solver, for messages.

    Returns
    -------
    BranchModel

    Raises
    ------
    ModelError
        If the model is outside the class; the message names the component.
    """
    blocks = [
        b
        for b in model.block_data_objects(active=True, descend_into=(Block, Disjunct))
        if isinstance(b, ReLUNetworkBlockData)
    ]
    refuse_disjuncts(blocks, name)
    if not blocks:
        raise ModelError(
            f"{name}: '{model.name}' has no active ReLUNetworkBlock. It branches on the "
            "inputs of networks; use a MILP solver for this model."
        )
    for var in fixed_vars(model, Block):
        if var.value is None:
            raise ModelError(
                f"{name}: '{var.name}' is fixed but has no value. Give it a value "
                "or unfix it."
            )
    check_function_kept(blocks, name)
    release_void_bounds(blocks)
    surrounding = read_surrounding(model, blocks, atoms_for=name)
    check_class(surrounding, name)
    embedded = NeuronsAsOutputs(surrounding, blocks, name).extended()
    return BranchModel(embedded, surrounding, blocks)
