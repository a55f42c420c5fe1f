"""All networks of a model as one graph, and the rows in terms of it.

What atoms read stays a column: an output of a network that an atom reads is tied to the
graph by a row of its own, and stands in the modeller's rows as that column.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from pyomo_relu.branch.problem.problem import BranchProblem, clean
from pyomo_relu.branch.problem.repeated import Member, repeated_members, repetitions
from pyomo_relu.common.matrices import dense
from pyomo_relu.common.powers import power_of_two
from pyomo_relu.linear.atoms.atom import Atom
from pyomo_relu.network.network import INPUT, Layer, Network, Source
from pyomo_relu.network.repeated import RepeatedNetworks


def build_problem(model):
    """The BranchProblem of a linear model around networks and atoms.

    Parameters
    ----------
    model : EmbeddedModel

    Returns
    -------
    BranchProblem
    """
    members = repeated_members(model)
    if members is not None:
        joint = RepeatedJoint(members)
        problem = joint.problem(model)
        # of few neurons the tighter lines are worth more than the batches
        if problem.is_large or not joint.summed:
            return problem
    return _JointNetwork(model.without_fixed_inputs()).problem(model)


def _idle(model):
    """Columns with one value that no row and no objective has, bool (n_columns,)."""
    linear = model.linear
    used = (model.costs != 0) | ((abs(linear.matrix).sum(axis=0)) > 0)
    return (linear.lower == linear.upper) & ~used


class _Affine:
    """Rows ``sum_s M_s t_s + c`` over tensors t_s of the joint network."""

    def __init__(self, parts, constant):
        self.parts = parts
        self.constant = constant

    def times(self, matrix):
        """The rows ``matrix @ self``."""
        return _Affine(
            {s: matrix @ m for s, m in self.parts.items()}, matrix @ self.constant
        )

    def plus(self, other):
        """The sum of two such lists of rows."""
        parts = dict(self.parts)
        for s, m in other.parts.items():
            parts[s] = _dense_sum(parts[s], m) if s in parts else m
        return _Affine(parts, self.constant + other.constant)

    def layer(self, like, activation, ceiling):
        """A layer with these rows as pre-activations."""
        sources = sorted(self.parts)
        return Layer(
            sources,
            [self.parts[s] for s in sources],
            self.constant,
            activation,
            ceiling,
            like,
        )


def _dense_sum(a, b):
    if sparse.issparse(a) and sparse.issparse(b):
        return a + b
    return dense(a) + dense(b)


class _JointNetwork:
    """All networks as one graph, with every output as a function of its layers."""

    def __init__(self, model):
        self.model, linear = model, model.linear
        functions = [model.functions[i] for i in model.order()]
        self.atoms = [f for f in functions if isinstance(f, Atom)]
        functions = [f for f in functions if not isinstance(f, Atom)]
        written, read = set(), set()
        of_atoms = {int(j) for a in self.atoms for j in (*a.inputs, *a.outputs)}
        self.extra_rows = []
        self.inputs = []
        for function in functions:
            for j in map(int, function.inputs):
                # read before it is written: a cycle, so this column stays an input
                if j not in written and j not in read:
                    read.add(j)
                    self.inputs.append(j)
            for j in map(int, function.outputs):
                if j not in read and not linear.integer[j]:
                    written.add(j)
        self.position = {j: i for i, j in enumerate(self.inputs)}
        self.layers = []
        self.output_of = {}
        self.all_outputs = []
        for function in functions:
            outputs = self._append(function)
            self.all_outputs.append(outputs)
            for i, j in enumerate(map(int, function.outputs)):
                if j in written and j not in self.output_of:
                    self.output_of[j] = (outputs, i)
                else:
                    self.extra_rows.append((outputs, i, j))
        kept = [j for j in self.output_of if j in of_atoms]
        self.extra_rows += [(*self.output_of[j], j) for j in kept]
        #: outputs that rows are written over the graph for
        self.replaced = {j: o for j, o in self.output_of.items() if j not in kept}
        idle = _idle(model)
        idle[[j for _, _, j in self.extra_rows]] = False
        for atom in self.atoms:
            idle[atom.inputs] = idle[atom.outputs] = False
        outside = [
            j
            for j in range(linear.n_columns)
            if j not in self.position and j not in self.replaced and not idle[j]
        ]
        self.computed = np.array(
            kept + [int(a.outputs[0]) for a in self.atoms], dtype=int
        )
        self.columns = np.array(self.inputs + outside, dtype=int)

    def _append(self, function):
        """Add a network's hidden layers; returns its outputs as rows."""
        network, offset = function.network, len(self.layers)
        x = self._columns_as_rows(function.inputs)
        for k, layer in enumerate(network.layers):
            rows = _Affine({}, np.array(layer.bias))
            for (source, post), w in zip(layer.sources, layer.weights, strict=True):
                if source == INPUT:
                    part = x.times(w)
                else:
                    part = _Affine(
                        {Source(source + offset, post): w}, np.zeros(layer.size)
                    )
                rows = rows.plus(part)
            if k == len(network.layers) - 1:
                return rows
            name = f"{network.name}: {layer.name}"
            self.layers.append(rows.layer(name, layer.activation, layer.ceiling))

    def _columns_as_rows(self, columns):
        """The values of some columns (inputs or outputs) as rows over the graph."""
        n = len(self.inputs)
        total = None
        unit = np.zeros((len(columns), n))
        for i, j in enumerate(map(int, columns)):
            if j in self.position:
                unit[i, self.position[j]] = 1.0
                continue
            outputs, k = self.output_of[j]
            select = np.zeros((len(columns), outputs.constant.size))
            select[i, k] = 1.0
            part = outputs.times(select)
            total = part if total is None else total.plus(part)
        x = _Affine({Source(INPUT): unit}, np.zeros(len(columns)))
        if total is None:
            return x
        return x.plus(total) if unit.any() else total

    def problem(self, original):
        """The BranchProblem over the joint network; ``original`` verifies points."""
        linear = self.model.linear
        n = linear.n_columns
        is_output = np.zeros(n, dtype=bool)
        is_output[list(self.replaced)] = True
        at_outputs = (abs(linear.matrix) @ is_output.astype(float)) > 0
        bounded = np.flatnonzero(
            is_output & (np.isfinite(linear.lower) | np.isfinite(linear.upper))
        )
        unit = sparse.csr_array(
            (np.ones(bounded.size), (np.arange(bounded.size), bounded)),
            shape=(bounded.size, n),
        )
        rows = sparse.csr_array(
            sparse.vstack(
                [
                    sparse.csr_array(self.model.costs[None]),
                    linear.matrix[at_outputs],
                    unit,
                ],
                format="csr",
            )
        )
        outputs, rest = self._split(rows)
        zeros = np.zeros(len(self.extra_rows))
        lower = [linear.row_lower[at_outputs], linear.lower[bounded], zeros]
        upper = [linear.row_upper[at_outputs], linear.upper[bounded], zeros]
        directions, direction, factor = _directions(outputs)
        plain = clean(linear.matrix[~at_outputs][:, self.columns])
        place = np.zeros(n, dtype=int)
        place[self.columns] = np.arange(self.columns.size)
        return BranchProblem(
            self._network(directions),
            len(self.inputs),
            linear.lower[self.columns],
            linear.upper[self.columns],
            linear.integer[self.columns],
            direction,
            factor,
            clean(rest),
            float(self.model.constant),
            np.concatenate(lower).astype(float),
            np.concatenate(upper).astype(float),
            plain,
            linear.row_lower[~at_outputs],
            linear.row_upper[~at_outputs],
            self.columns,
            original,
            tuple(a.between(place) for a in self.atoms),
            self.computed,
        )

    def _split(self, rows):
        """Rows over the modeller's columns as rows over all outputs and over (x, z).

        The rows ``output - column = 0`` of outputs without a column of their own are
        appended.
        """
        first, n_outputs = {}, 0
        for outputs in self.all_outputs:
            first[id(outputs)] = n_outputs
            n_outputs += outputs.constant.size
        place = {j: first[id(o)] + i for j, (o, i) in self.replaced.items()}
        n = self.model.n_columns
        columns = np.array(list(place), dtype=int)
        to_outputs = sparse.csr_array(
            (np.ones(columns.size), (columns, list(place.values()))),
            shape=(n, n_outputs),
        )
        entries = [
            (r, first[id(outputs)] + i, j)
            for r, (outputs, i, j) in enumerate(self.extra_rows)
        ]
        more = len(entries)
        extra = sparse.csr_array(
            (-np.ones(more), ([r for r, _, _ in entries], [j for _, _, j in entries])),
            shape=(more, n),
        )
        extra_outputs = sparse.csr_array(
            (np.ones(more), ([r for r, _, _ in entries], [k for _, k, _ in entries])),
            shape=(more, n_outputs),
        )
        every = sparse.vstack([rows, extra], format="csr")
        by_outputs = every @ to_outputs + sparse.vstack(
            [sparse.csr_array((rows.shape[0], n_outputs)), extra_outputs], format="csr"
        )
        return clean(by_outputs), clean(every[:, self.columns])

    def _network(self, directions):
        """The joint network with these combinations of all outputs as outputs."""
        size = directions.shape[0]
        total, at = _Affine({}, np.zeros(size)), 0
        for outputs in self.all_outputs:
            m = outputs.constant.size
            part = directions[:, at : at + m]
            at += m
            if part.nnz:
                total = total.plus(outputs.times(part.toarray()))
        layer = total.layer("directions", "identity", None)
        return Network(
            [*self.layers, layer],
            [("x", (len(self.inputs),))],
            [("u", (size,))],
            "the model's networks",
        )


class RepeatedJoint(_JointNetwork):
    """As ``_JointNetwork`` of networks that stand many times: none is written out.

    Parameters
    ----------
    model : EmbeddedModel
        Its networks are ``Member``s.

    Attributes
    ----------
    summed : bool
        See ``repetitions``; known once the network has been made.
    """

    summed = False

    def _append(self, function):
        return _Affine({}, np.zeros(function.network.n_outputs))

    def _network(self, directions):
        functions = [self.model.functions[i] for i in self.model.order()]
        members = [f for f in functions if isinstance(f, Member)]
        found, self.summed = repetitions(members, self.position, directions)
        n, m = len(self.inputs), directions.shape[0]
        return RepeatedNetworks(found, n, m, "the model's networks")


def _directions(outputs):
    """Distinct combinations of outputs; each row's combination and factor.

    Rows are multiples of one combination only if the quotient is free of rounding: a
    single output times a number, or a power of two times the same numbers.
    """
    found, combinations = {}, []
    direction = np.zeros(outputs.shape[0], dtype=int)
    factor = np.zeros(outputs.shape[0])
    for r in range(outputs.shape[0]):
        entries = slice(outputs.indptr[r], outputs.indptr[r + 1])
        at, values = outputs.indices[entries], outputs.data[entries]
        if not at.size:
            continue
        scale = values[0]
        if at.size > 1:
            scale = np.copysign(power_of_two(np.abs(values).max()), values[0])
        values = values / scale
        key = at.tobytes() + values.tobytes()
        if key not in found:
            found[key] = len(combinations)
            combinations.append((at, values))
        direction[r], factor[r] = found[key], scale
    if not combinations:
        combinations.append((np.zeros(1, dtype=int), np.ones(1)))
    counts = [at.size for at, _ in combinations]
    matrix = sparse.csr_array(
        (
            np.concatenate([v for _, v in combinations]),
            np.concatenate([at for at, _ in combinations]),
            np.concatenate([[0], np.cumsum(counts)]),
        ),
        shape=(len(combinations), outputs.shape[1]),
    )
    return matrix, direction, factor


def joined_functions(model, functions):
    """Some functions of a model as one network.

    Parameters
    ----------
    model : EmbeddedModel
    functions : sequence of EmbeddedNetwork

    Returns
    -------
    network : Network
    inputs, outputs : numpy.ndarray of int
        Columns, each once.
    copies : numpy.ndarray of int
        Columns that the network's last outputs must equal as well: they are read before
        they are written, written twice, or integer.
    """
    some = replace(model, functions=tuple(functions), known_units=None)
    joint = _JointNetwork(some)
    first, size = {}, 0
    for outputs in joint.all_outputs:
        first[id(outputs)] = size
        size += outputs.constant.size
    written = [first[id(o)] + i for o, i in joint.output_of.values()]
    again = [first[id(o)] + i for o, i, _ in joint.extra_rows]
    rows = np.array(written + again, dtype=int)
    every = np.arange(rows.size)
    select = sparse.csr_array((np.ones(rows.size), (every, rows)), (rows.size, size))
    return (
        joint._network(select),
        np.array(joint.inputs, dtype=int),
        np.array(list(joint.output_of), dtype=int),
        np.array([j for _, _, j in joint.extra_rows], dtype=int),
    )
