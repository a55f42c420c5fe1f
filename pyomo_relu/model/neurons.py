"""Neurons that the modeller's rows use, as further outputs of their networks."""

from functools import cached_property

import numpy as np
from pyomo.common.collections import ComponentSet
from pyomo.core.base.var import Var
from scipy import sparse

from pyomo_relu.block.pyomo_private import beyond, beyond_defaults
from pyomo_relu.block.records.var_bounds import ends
from pyomo_relu.errors import ModelError
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.model.declared_bounds import declared_sides
from pyomo_relu.network.layer import Layer, Source
from pyomo_relu.network.network import Network


class NeuronsAsOutputs:
    """Networks with those neurons as further outputs that the modeller's rows use.

    A Var inside a network block may stand in a row of the modeller, be fixed or have
    bounds of its own; it is then an output like any other.

    Parameters
    ----------
    surrounding : Surrounding
    blocks : list of ReLUNetworkBlockData
    name : str
        Who reads the model, for messages.

    Raises
    ------
    ModelError
        If a Var of a block's encoding is fixed or stands in a row of the modeller.
    """

    def __init__(self, surrounding, blocks, name):
        self.surrounding = surrounding
        self.blocks = blocks
        self.name = name
        self.extra = [[] for _ in blocks]
        self._containers = {}
        self._recorded = [_recorded_bounds(block) for block in blocks]
        for at, block in enumerate(blocks):
            self._refuse_encoding_vars(block)
            for post, container in ((False, block.pre), (True, block.post)):
                self._containers[id(container)] = at, post
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
            at, post = self._containers.get(id(var.parent_component()), (None, False))
            if at is not None:
                known.add(id(var))
                self.extra[at].append((*var.index(), post, column))
        for at, block in enumerate(self.blocks):
            for post, container in ((False, block.pre), (True, block.post)):
                for var in self._restricted(at, post, container.values()):
                    if id(var) in known:
                        continue
                    k, i = var.index()
                    bounds = self._own_bounds(at, k, i, post, var)
                    if bounds is not None:
                        self.extra[at].append((k, i, post, len(self.lower)))
                        self.lower.append(bounds[0])
                        self.upper.append(bounds[1])

    @cached_property
    def _declared(self):
        """Var bounds without what bound methods found, which holds anyway."""
        return declared_sides(self.blocks[0].model())

    def _restricted(self, at, post, variables):
        """Pre- or post-activations with more than default or recorded bounds."""
        bounds = self._recorded[at]
        if bounds is None:
            return beyond_defaults(variables, 0.0 if post else None)
        hidden = range(len(bounds.lower) - 1)
        layers = [
            bounds.post_bounds(k) if post else (bounds.lower[k], bounds.upper[k])
            for k in hidden
        ]
        ends = [
            [v for a in side for v in a.tolist()] for side in zip(*layers, strict=True)
        ]
        return beyond(variables, *(ends or ([], [])))

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
            known = bounds.lower[k], bounds.upper[k]
            known = bounds.post_bounds(k) if post else known
            low, high = max(low, known[0][i]), min(high, known[1][i])
        lower, upper = ends(var, self._declared)
        return (lower, upper) if lower > low or upper < high else None

    def extended(self):
        """The EmbeddedModel with these networks."""
        given, linear = self.surrounding.embedded, self.surrounding.linear
        self._leave_out_implied(given, linear)
        more = len(self.lower) - linear.n_columns
        names = linear.names
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

    def _leave_out_implied(self, given, linear):
        """Forget bounds of outputs that recorded bounds imply for the present inputs.

        Every bounded output is a row over the networks, and ``relu.bounds`` puts bounds
        on all of them.  Those of columns that something else reads stay.
        """
        networks = given.functions[: len(self.blocks)]
        if not any(bounds is not None for bounds in self._recorded):
            return
        every = np.concatenate([f.outputs for f in given.functions])
        once = np.bincount(every, minlength=linear.n_columns) == 1
        for function in given.functions:
            once[function.inputs] = False
        once &= ~linear.integer
        for bounds, function in zip(self._recorded, networks, strict=True):
            if bounds is None:
                continue
            ends = bounds.lower[-1].tolist(), bounds.upper[-1].tolist()
            for j, low, high in zip(function.outputs.tolist(), *ends, strict=True):
                if once[j] and self.lower[j] <= low and high <= self.upper[j]:
                    self.lower[j], self.upper[j] = -np.inf, np.inf

    def _added_variables(self, first):
        by_column = {e[3]: (at, e) for at, es in enumerate(self.extra) for e in es}
        for column in range(first, len(self.lower)):
            at, (k, i, post, _) = by_column[column]
            block = self.blocks[at]
            yield (block.post if post else block.pre)[k, i]


def _recorded_bounds(block):
    """Bounds recorded on a block that hold for its inputs as they are, or None."""
    bounds = block.record.bounds
    if bounds is None or not bounds.covers(*block.input_box()):
        return None
    return bounds


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
