"""From a Pyomo model to a BranchProblem and back to Var values."""

from dataclasses import dataclass

import numpy as np
from pyomo.common.collections import ComponentSet
from pyomo.core.base import Objective
from pyomo.core.base.block import Block
from pyomo.core.base.var import Var
from pyomo.gdp import Disjunct
from scipy import sparse

from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.block.bounds_runs import release_void_bounds
from pyomo_relu.block.values import put_back, saved_values
from pyomo_relu.branch.branch import INFEASIBLE, BranchOptions, branch
from pyomo_relu.branch.joint import build_problem
from pyomo_relu.common.transaction import on_rollback, transaction
from pyomo_relu.errors import ModelError
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.model.blocks import check_function_kept, refuse_disjuncts
from pyomo_relu.model.contradiction import contradiction
from pyomo_relu.model.surrounding import check_domains, read_surrounding
from pyomo_relu.network.layer import Layer, Source
from pyomo_relu.network.network import Network


@dataclass
class BranchModel:
    """A Pyomo model read for branching.

    Attributes
    ----------
    problem : BranchProblem
    surrounding : Surrounding
    blocks : list of ReLUNetworkBlockData
    """

    problem: object
    surrounding: object
    blocks: list

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
        if len(surrounding.embedded.functions) > len(self.blocks):
            return "Which of its rows contradict each other is not looked for."

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
        for block in self.blocks:
            block.initialize()
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
    for var in model.component_data_objects(Var, descend_into=Block):
        if var.fixed and var.value is None:
            raise ModelError(
                f"{name}: '{var.name}' is fixed but has no value. Give it a value "
                "or unfix it."
            )
    check_function_kept(blocks, name)
    release_void_bounds(blocks)
    surrounding = read_surrounding(model, blocks, atoms_for=name)
    _check_class(surrounding, name)
    problem = build_problem(_Ends(surrounding, blocks, name).extended())
    return BranchModel(problem, surrounding, blocks)


def _check_class(surrounding, name):
    """Refuse what is no row and cannot be branched on, by name."""
    objectives = [c for c in surrounding.left_out if c.ctype is Objective]
    if len(objectives) > 1:
        raise ModelError(
            f"{name}: the model has several active objectives: "
            f"{', '.join(c.name for c in objectives)}. Deactivate all but one."
        )
    for component in surrounding.left_out:
        raise ModelError(
            f"{name}: '{component.name}' is a {component.ctype.__name__}; it solves "
            "models of rows between continuous and integer Vars apart from their "
            "ReLUNetworkBlocks. Reformulate it with binaries and linear rows (for "
            "disjunctions TransformationFactory('gdp.bigm'))."
        )
    check_domains(surrounding, name)


class _Ends:
    """Networks with those neurons as further outputs that the modeller's rows use.

    A Var inside a network block may stand in a row of the modeller, be fixed or have
    bounds of its own; it is then an output like any other.
    """

    def __init__(self, surrounding, blocks, name):
        self.surrounding = surrounding
        self.blocks = blocks
        self.name = name
        self.extra = [[] for _ in blocks]
        self._hidden = {}
        for at, block in enumerate(blocks):
            self._refuse_encoding_vars(block)
            for post, container in ((False, block.pre), (True, block.post)):
                for (k, i), var in container.items():
                    self._hidden[id(var)] = (at, k, i, post, var)
        self._find()

    def _refuse_encoding_vars(self, block):
        """Vars of a formulation have no meaning here."""
        encoding = block.record.encoding
        if encoding is None:
            return
        own = ComponentSet(
            encoding.reformulation.component_data_objects(Var, descend_into=True)
        )
        for var in own:
            if var.fixed:
                raise ModelError(
                    f"{self.name}: '{var.name}' belongs to the encoding of "
                    f"'{block.name}' and is fixed; it works on the network itself. "
                    "Unfix it."
                )
        for var in self.surrounding.variables:
            if var in own:
                raise ModelError(
                    f"{self.name}: '{var.name}' belongs to the encoding of "
                    f"'{block.name}' and stands in a constraint of the model; "
                    f"{self.name} works on the network itself. Remove that constraint."
                )

    def _find(self):
        linear = self.surrounding.linear
        self.variables = list(self.surrounding.variables)
        self.lower, self.upper = list(linear.lower), list(linear.upper)
        known = set()
        for column, var in enumerate(self.surrounding.variables):
            if id(var) in self._hidden:
                known.add(id(var))
                self._note(var, column)
        for key, (at, k, i, post, var) in self._hidden.items():
            bounds = None if key in known else self._own_bounds(at, k, i, post, var)
            if bounds is not None:
                self._note(var, len(self.lower))
                self.lower.append(bounds[0])
                self.upper.append(bounds[1])

    def _note(self, var, column):
        at, k, i, post, _ = self._hidden[id(var)]
        self.extra[at].append((k, i, post, column))

    def _own_bounds(self, at, k, i, post, var):
        """The bounds that the modeller gave a neuron; None if they say nothing."""
        if var.fixed:
            return var.value, var.value
        block = self.blocks[at]
        encoding = block.record.encoding
        layer = block.network.layers[k]
        low = 0.0 if post else -np.inf
        high = np.inf if layer.ceiling is None or not post else layer.ceiling[i]
        if encoding is not None:
            bounds = encoding.bounds
            ends = bounds.post_bounds(k) if post else (bounds.lower[k], bounds.upper[k])
            low, high = max(low, ends[0][i]), min(high, ends[1][i])
        lower, upper = var.bounds
        lower = -np.inf if lower is None else lower
        upper = np.inf if upper is None else upper
        return (lower, upper) if lower > low or upper < high else None

    def extended(self):
        """The EmbeddedModel with these networks."""
        given, linear = self.surrounding.embedded, self.surrounding.linear
        more = len(self.lower) - linear.n_columns
        if more:
            names = linear.names + tuple(
                v.name for v in self._added_variables(linear.n_columns)
            )
            linear = linear.replace(
                matrix=sparse.csr_array(
                    (linear.matrix.data, linear.matrix.indices, linear.matrix.indptr),
                    shape=(linear.n_rows, len(self.lower)),
                ),
                lower=np.array(self.lower, dtype=float),
                upper=np.array(self.upper, dtype=float),
                integer=np.concatenate([linear.integer, np.zeros(more, dtype=bool)]),
                names=names,
            )
        networks = given.functions[: len(self.blocks)]
        functions = [
            EmbeddedNetwork(
                _with_neurons(f.network, extra),
                f.inputs,
                np.concatenate([f.outputs, [e[3] for e in extra]]),
                f.name,
            )
            for f, extra in zip(networks, self.extra, strict=True)
        ]
        functions += given.functions[len(self.blocks) :]
        costs = np.concatenate([given.costs, np.zeros(more)])
        return EmbeddedModel(linear, functions, costs, given.constant)

    def _added_variables(self, first):
        by_column = {e[3]: (at, e) for at, es in enumerate(self.extra) for e in es}
        for column in range(first, len(self.lower)):
            at, (k, i, post, _) = by_column[column]
            block = self.blocks[at]
            yield (block.post if post else block.pre)[k, i]


def _with_neurons(network, extra):
    """The network with some neurons' values as further outputs."""
    if not extra:
        return network
    last = network.layers[-1]
    size = last.size + len(extra)
    parts = {
        source: sparse.vstack(
            [sparse.csr_array(w), sparse.csr_array((len(extra), w.shape[1]))]
        ).tolil()
        for source, w in zip(last.sources, last.weights, strict=True)
    }
    for row, (k, i, post, _) in enumerate(extra, last.size):
        source = Source(k, post)
        if source not in parts:
            parts[source] = sparse.lil_array((size, network.source_size(k)))
        parts[source][row, i] = 1.0
    sources = sorted(parts)
    layer = Layer(
        sources,
        [parts[s].toarray() for s in sources],
        np.concatenate([last.bias, np.zeros(len(extra))]),
        "identity",
        name=last.name,
    )
    outputs = [*network.outputs, ("neurons", (len(extra),))]
    return Network([*network.layers[:-1], layer], network.inputs, outputs, network.name)
