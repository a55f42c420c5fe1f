"""The problem that branch and bound works on: one network of row functions, matrices.

Built from a linear model and its networks; nothing is bounded or solved in here.

All networks are joined into one directed acyclic graph over the distinct inputs x, and
a network that reads another one's outputs is composed with it.  Outputs y = f(x) are
then put into the modeller's rows and objective: a row

    a'x + b'y + c'z in [l, u]   becomes   g(x) + c'z in [l, u],   g(x) = a'x + b'f(x),

and the *row functions* g become the outputs of the joint network, the objective's
first.  So CROWN bounds the sum that a row really needs rather than its terms one by one,
and neither neurons nor outputs are columns of a relaxation; only x and the modeller's
other variables z are.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.network.layer import INPUT, Layer, Source
from pyomo_relu.network.network import Network


@dataclass
class BranchProblem:
    """``min g_0(x) + costs'z`` over rows, column bounds and integrality.

    Parameters
    ----------
    network : Network or None
        Inputs x, outputs g; None if the model has no network.
    n_inputs : int
        The first ``n_inputs`` columns are x, the others z.
    lower, upper : numpy.ndarray, shape (n,)
        Column bounds.
    integer : numpy.ndarray of bool, shape (n,)
    costs : numpy.ndarray, shape (n,)
        Zero on x.
    rest : scipy.sparse.csr_array, shape (n_functions - 1, n)
        Coefficients of z in the rows of g_1, g_2, ...; zero on x.
    function_lower, function_upper : numpy.ndarray, shape (n_functions - 1,)
    plain : scipy.sparse.csr_array, shape (m, n)
        Rows without any network output.
    plain_lower, plain_upper : numpy.ndarray, shape (m,)
    columns : numpy.ndarray of int, shape (n,)
        Each column's number in the modeller's linear model.
    original : OriginalModel
        For verifying points; see ``OriginalModel.complete``.
    """

    network: Network
    n_inputs: int
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    costs: np.ndarray
    rest: sparse.csr_array
    function_lower: np.ndarray
    function_upper: np.ndarray
    plain: sparse.csr_array
    plain_lower: np.ndarray
    plain_upper: np.ndarray
    columns: np.ndarray
    original: "OriginalModel"

    @property
    def n_columns(self):
        """Number of columns, x and z."""
        return self.lower.size

    @property
    def n_functions(self):
        """Number of row functions, the objective's included."""
        return self.network.n_outputs

    @property
    def is_box(self):
        """True if there is nothing but a network objective over a box of x."""
        return (
            self.n_columns == self.n_inputs
            and self.n_functions == 1
            and self.plain.shape[0] == 0
            and not self.integer.any()
        )


@dataclass
class OriginalModel:
    """The modeller's columns, rows and networks, as they were given.

    Parameters
    ----------
    linear : LinearModel
    networks : list of Network
        In an order in which each comes after those whose outputs it reads.
    input_columns, output_columns : list of numpy.ndarray of int
    costs : numpy.ndarray, shape (n_columns,)
    constant : float
    """

    linear: object
    networks: list
    input_columns: list
    output_columns: list
    costs: np.ndarray
    constant: float

    def complete(self, columns, values):
        """All columns' values from those of x and z, by forward passes.

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (n,)
        values : numpy.ndarray, shape (N, n)

        Returns
        -------
        numpy.ndarray, shape (N, n_columns of the linear model)
        """
        full = np.zeros((len(values), self.linear.n_columns))
        full[:, columns] = values
        for network, read, written in zip(
            self.networks, self.input_columns, self.output_columns
        ):
            y = network.forward(full[:, read])
            free = ~np.isin(written, columns)
            full[:, written[free]] = y[:, free]
        return full

    def violation(self, full):
        """Largest violation at each point: rows, bounds, integrality and networks.

        A row's violation is relative to the largest of 1, its sides and its terms.
        """
        linear = self.linear
        worst = np.zeros(len(full))
        if linear.n_rows:
            activity = (linear.matrix @ full.T).T
            size = (abs(linear.matrix) @ np.abs(full).T).T
            worst = _excess(activity, linear.row_lower, linear.row_upper, size)
        at_columns = _excess(full, linear.lower, linear.upper, np.abs(full))
        worst = np.maximum(worst, at_columns)
        if linear.integer.any():
            part = full[:, linear.integer]
            worst = np.maximum(worst, np.abs(part - np.round(part)).max(axis=1))
        for network, read, written in zip(
            self.networks, self.input_columns, self.output_columns
        ):
            y = network.forward(full[:, read])
            size = np.maximum(1.0, np.abs(y))
            worst = np.maximum(worst, (np.abs(y - full[:, written]) / size).max(axis=1))
        return np.where(np.isfinite(full).all(axis=1), worst, np.inf)

    def objective(self, full):
        """Objective at each point, shape (N,)."""
        return full @ self.costs + self.constant


def _excess(values, lower, upper, size):
    """Largest relative excess over [lower, upper] per row of ``values``."""
    if values.shape[1] == 0:
        return np.zeros(len(values))
    excess = np.maximum(lower - values, values - upper)
    return np.maximum(0.0, excess / np.maximum(1.0, size)).max(axis=1)


def build_problem(linear, networks, input_columns, output_columns, costs, constant):
    """The BranchProblem of a linear model around networks.

    Parameters
    ----------
    linear : LinearModel
        Columns include all networks' inputs and outputs.
    networks : list of Network
    input_columns, output_columns : list of array_like of int
    costs : numpy.ndarray, shape (n_columns,)
        Of a minimisation.
    constant : float

    Returns
    -------
    BranchProblem
    """
    order = _topological(input_columns, output_columns)
    networks, input_columns, output_columns = (
        [np.asarray(a[i], dtype=int) if ints else a[i] for i in order]
        for a, ints in (
            (networks, False),
            (input_columns, True),
            (output_columns, True),
        )
    )
    original = OriginalModel(
        linear, networks, input_columns, output_columns, costs, constant
    )
    joint = _JointNetwork(linear, networks, input_columns, output_columns)
    return joint.problem(original)


def _topological(input_columns, output_columns):
    """An order in which networks come after those they read, as far as possible."""
    remaining = list(range(len(input_columns)))
    order = []
    while remaining:
        pending = set()
        for i in remaining:
            pending.update(int(j) for j in output_columns[i])
        ready = [
            i for i in remaining if not pending & {int(j) for j in input_columns[i]}
        ]
        take = ready or remaining[:1]
        order += take
        remaining = [i for i in remaining if i not in take]
    return order


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
    a, b = (m.toarray() if sparse.issparse(m) else m for m in (a, b))
    return a + b


class _JointNetwork:
    """All networks as one graph; knows every modeller's column as a function of x."""

    def __init__(self, linear, networks, input_columns, output_columns):
        self.linear = linear
        n = linear.n_columns
        written, read = set(), set()
        self.extra_rows = []
        self.inputs = []
        for reads, writes in zip(input_columns, output_columns):
            for j in map(int, reads):
                # read before it is written: a cycle, so this column stays an input
                if j not in written and j not in read:
                    read.add(j)
                    self.inputs.append(j)
            for j in map(int, writes):
                if j not in read and not linear.integer[j]:
                    written.add(j)
        self.position = {j: i for i, j in enumerate(self.inputs)}
        self.layers = []
        self.output_of = {}
        for network, reads, writes in zip(networks, input_columns, output_columns):
            outputs = self._append(network, reads)
            for i, j in enumerate(map(int, writes)):
                if j in written and j not in self.output_of:
                    self.output_of[j] = (outputs, i)
                else:
                    self.extra_rows.append((outputs, i, j))
        outside = [
            j for j in range(n) if j not in self.position and j not in self.output_of
        ]
        self.columns = np.array(self.inputs + outside, dtype=int)

    def _append(self, network, reads):
        """Add a network's hidden layers; returns its outputs as rows."""
        offset = len(self.layers)
        x = self._columns_as_rows(reads)
        for k, layer in enumerate(network.layers):
            rows = _Affine({}, np.array(layer.bias))
            for (source, post), w in zip(layer.sources, layer.weights):
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

    def _functions(self, matrix):
        """Rows ``matrix @ columns``: the part of inputs and outputs, over the graph."""
        matrix = sparse.csr_array(matrix)
        rows = _Affine(
            {Source(INPUT): matrix[:, self.inputs].toarray()}, np.zeros(matrix.shape[0])
        )
        for outputs, members in self._outputs():
            part = matrix[:, [j for j, _ in members]]
            if part.nnz:
                select = np.zeros((matrix.shape[0], outputs.constant.size))
                select[:, [i for _, i in members]] = part.toarray()
                rows = rows.plus(outputs.times(select))
        return rows

    def _outputs(self):
        """Each network's outputs with [(column, number)] of its own columns."""
        groups = {}
        for j, (outputs, i) in self.output_of.items():
            groups.setdefault(id(outputs), (outputs, []))[1].append((j, i))
        return groups.values()

    def problem(self, original):
        """The BranchProblem over the joint network."""
        linear = self.linear
        matrix = linear.matrix
        is_output = np.zeros(linear.n_columns, dtype=bool)
        is_output[list(self.output_of)] = True
        at_outputs = (abs(matrix) @ is_output.astype(float)) > 0
        lower, upper = [linear.row_lower[at_outputs]], [linear.row_upper[at_outputs]]
        blocks = [sparse.csr_array(original.costs[None]), matrix[at_outputs]]
        bounded = np.flatnonzero(
            is_output & (np.isfinite(linear.lower) | np.isfinite(linear.upper))
        )
        blocks.append(
            sparse.csr_array(
                (np.ones(bounded.size), (np.arange(bounded.size), bounded)),
                shape=(bounded.size, linear.n_columns),
            )
        )
        lower.append(linear.lower[bounded])
        upper.append(linear.upper[bounded])
        stacked = sparse.csr_array(sparse.vstack(blocks, format="csr"))
        functions = self._functions(stacked)
        functions.constant = functions.constant.copy()
        functions.constant[0] += original.constant
        rest = stacked[1:][:, self.columns]
        for outputs, i, j in self.extra_rows:
            functions, rest = self._add_equality(functions, rest, outputs, i, j)
            lower.append([0.0])
            upper.append([0.0])
        rest = sparse.lil_array(rest)
        rest[:, : len(self.inputs)] = 0.0
        costs = original.costs[self.columns].astype(float)
        costs[: len(self.inputs)] = 0.0
        layer = functions.layer("row functions", "identity", None)
        network = None
        if self.inputs:
            network = Network(
                [*self.layers, layer],
                [("x", (len(self.inputs),))],
                [("g", (layer.size,))],
                "the model's networks",
            )
        plain = sparse.csr_array(matrix[~at_outputs][:, self.columns])
        return BranchProblem(
            network,
            len(self.inputs),
            linear.lower[self.columns],
            linear.upper[self.columns],
            linear.integer[self.columns],
            costs,
            _clean(rest),
            np.concatenate(lower).astype(float),
            np.concatenate(upper).astype(float),
            _clean(plain),
            linear.row_lower[~at_outputs],
            linear.row_upper[~at_outputs],
            self.columns,
            original,
        )

    def _add_equality(self, functions, rest, outputs, i, j):
        """Append the row ``output i - column j = 0``."""
        n = functions.constant.size
        old = functions.times(np.eye(n + 1, n))
        select = np.zeros((n + 1, outputs.constant.size))
        select[n, i] = 1.0
        functions = old.plus(outputs.times(select))
        row = np.zeros((1, self.columns.size))
        if j in self.position or j in self.output_of:
            column = np.zeros((n + 1, 1))
            column[n, 0] = -1.0
            functions = functions.plus(self._columns_as_rows([j]).times(column))
        else:
            row[0, np.flatnonzero(self.columns == j)[0]] = -1.0
        return functions, sparse.vstack([rest, sparse.csr_array(row)], format="csr")


def _clean(matrix):
    matrix = sparse.csr_array(matrix)
    matrix.eliminate_zeros()
    matrix.sum_duplicates()
    return matrix
