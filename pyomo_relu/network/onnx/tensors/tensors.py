"""Tensors that are affine in what a network has computed.

Between two activations every tensor of a graph is ``t = sum_s M_s s + c`` with the
sources s of :class:`~pyomo_relu.network.network.Source`.  This module holds that form
and its algebra: selections of entries, linear maps, sums, element-wise factors.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.root_sums import root_sums

#: Matrices with a smaller share of nonzeros than this are stored as CSR.
SPARSE_BELOW = 0.3

#: Products of fewer steps are not weighed against the budget.
_SMALL = 2**20

#: Multiply-adds per second of a product of two CSR matrices.
_SPARSE_RATE = 3e7

#: What to do about an operator that bends in no piecewise linear way.
INSTEAD = (
    "Use max, Relu, LeakyRelu or Clip instead, or pass output= with a tensor before it "
    "to load_onnx."
)

#: Why a product is refused.
PRODUCT = (
    "it multiplies two tensors that both depend on the network's inputs, which is not "
    f"piecewise linear. {INSTEAD}"
)


class AffineTensor:
    """A tensor whose entries are affine in the inputs and earlier neurons.

    Parameters
    ----------
    shape : tuple of int
        Shape in the graph, the batch axis (of length 1) included.
    terms : dict of Source to numpy.ndarray or scipy.sparse.csr_array
        One matrix per source, shape (size, size of the source); rows in C order.
    offset : numpy.ndarray, shape (size,)

    Notes
    -----
    Supports ``+``, ``-``, ``*`` and ``/`` with numbers, arrays and (sums only) other
    affine tensors, broadcasting as numpy does.  Treat instances as immutable.
    """

    __slots__ = ("offset", "shape", "terms")
    __array_ufunc__ = None  # ``array + tensor`` must reach ``__radd__``

    def __init__(self, shape, terms, offset):
        self.shape = tuple(int(n) for n in shape)
        self.terms = terms
        self.offset = offset

    @classmethod
    def constant(cls, array):
        """A tensor of fixed numbers."""
        array = np.asarray(array, dtype=float)
        return cls(array.shape, {}, array.reshape(-1))

    @classmethod
    def of_source(cls, source, shape):
        """The source itself, seen with ``shape``."""
        n = int(np.prod(shape, dtype=np.int64))
        eye = sparse.csr_array(sparse.eye_array(n, format="csr"))
        return cls(shape, {source: eye}, np.zeros(n))

    @property
    def size(self):
        """Number of entries."""
        return self.offset.size

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    def index(self):
        """Flat position of each entry, an int array of this tensor's shape."""
        return np.arange(self.size).reshape(self.shape)

    def reshape(self, shape):
        """The same entries in another shape."""
        return AffineTensor(shape, self.terms, self.offset)

    def select(self, index):
        """The tensor with entry ``index[...]`` of this one at each position."""
        index = np.asarray(index)
        flat = index.reshape(-1)
        if flat.size == self.size and np.array_equal(flat, np.arange(self.size)):
            return self.reshape(index.shape)
        terms = {s: rows(matrix, flat) for s, matrix in self.terms.items()}
        return AffineTensor(index.shape, terms, self.offset[flat])

    def broadcast_to(self, shape):
        """Repeat entries as ``numpy.broadcast_to`` does."""
        if tuple(shape) == self.shape:
            return self
        return self.select(np.broadcast_to(self.index(), shape))

    def map(self, matrix, shape):
        """The linear image ``matrix @ t``; ``matrix`` has ``prod(shape)`` rows."""
        terms = {s: product(matrix, m) for s, m in self.terms.items()}
        return AffineTensor(shape, terms, matrix @ self.offset)

    def scale(self, factor):
        """Multiply each entry by its own factor, an array of this shape."""
        factor = np.asarray(factor, dtype=float).reshape(-1)
        terms = {s: scale_rows(m, factor) for s, m in self.terms.items()}
        return AffineTensor(self.shape, terms, factor * self.offset)

    def arrays(self):
        """All that is stored: the offset and the matrices."""
        return (self.offset, *self.terms.values())

    def is_finite(self):
        """Whether all coefficients and offsets are finite numbers."""
        return all(map(all_finite, self.arrays()))

    def is_constant(self):
        """Mask of the entries that depend on nothing, shape (size,)."""
        constant = np.ones(self.size, dtype=bool)
        for m in self.terms.values():
            constant &= np.asarray((m != 0).sum(axis=1)).ravel() == 0
        return constant

    def magnitude(self, of_source):
        """About how large each entry is, by root sums of squares, shape (size,).

        Parameters
        ----------
        of_source : function of a Source
            How large the source's entries are.
        """
        parts = [(m, of_source(source)) for source, m in self.terms.items()]
        return root_sums(self.offset, parts)

    def __add__(self, other):
        if not isinstance(other, AffineTensor):
            other = np.asarray(other, dtype=float)
            shape = np.broadcast_shapes(self.shape, other.shape)
            mine = self.broadcast_to(shape)
            offset = mine.offset + np.broadcast_to(other, shape).reshape(-1)
            return AffineTensor(shape, mine.terms, offset)
        shape = np.broadcast_shapes(self.shape, other.shape)
        a, b = self.broadcast_to(shape), other.broadcast_to(shape)
        terms = dict(a.terms)
        for source, matrix in b.terms.items():
            terms[source] = total(terms[source], matrix) if source in terms else matrix
        return AffineTensor(shape, terms, a.offset + b.offset)

    __radd__ = __add__

    def __neg__(self):
        return self.scale(np.full(self.size, -1.0))

    def __sub__(self, other):
        return self + (
            -other if isinstance(other, AffineTensor) else np.negative(other)
        )

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        if isinstance(other, AffineTensor):
            raise UnsupportedOperatorError(PRODUCT)
        other = np.asarray(other, dtype=float)
        shape = np.broadcast_shapes(self.shape, other.shape)
        return self.broadcast_to(shape).scale(np.broadcast_to(other, shape))

    __rmul__ = __mul__

    def __truediv__(self, other):
        if isinstance(other, AffineTensor):
            return self.__rtruediv__(other)
        other = np.asarray(other, dtype=float)
        shape = np.broadcast_shapes(self.shape, other.shape)
        divisor = np.broadcast_to(other, shape).reshape(-1)
        mine = self.broadcast_to(shape)
        terms = {s: divide_rows(m, divisor) for s, m in mine.terms.items()}
        return AffineTensor(shape, terms, mine.offset / divisor)

    def __rtruediv__(self, other):
        raise UnsupportedOperatorError(
            "it divides by a tensor that depends on the network's inputs, which is "
            f"not piecewise linear. {INSTEAD}"
        )

    def __repr__(self):
        return f"AffineTensor{self.shape} of {sorted(self.terms)}"


def stack(tensors):
    """One flat tensor with the entries of all ``tensors`` in order."""
    if len(tensors) == 1:
        return tensors[0].reshape((tensors[0].size,))
    sources = {s: m.shape[1] for t in tensors for s, m in t.terms.items()}
    terms = {}
    for source, width in sources.items():
        blocks = [
            t.terms.get(source, sparse.csr_array((t.size, width))) for t in tensors
        ]
        terms[source] = compact(vertical(blocks))
    offset = np.concatenate([t.offset for t in tensors])
    return AffineTensor((offset.size,), terms, offset)


def vertical(blocks):
    """Blocks of equal width one below the other, CSR if any of them is sparse."""
    budget.require(sum(entries(b) for b in blocks), "a joint matrix")
    if any(sparse.issparse(b) for b in blocks):
        return sparse.csr_array(sparse.vstack([sparse.csr_array(b) for b in blocks]))
    return np.vstack(blocks)


def is_identity(matrix):
    """Whether ``matrix`` is a CSR identity."""
    n, width = matrix.shape
    return (
        sparse.issparse(matrix)
        and n == width
        and matrix.nnz == n
        and np.array_equal(matrix.indices, np.arange(n))
        and np.array_equal(matrix.indptr, np.arange(n + 1))
        and np.all(matrix.data == 1.0)
    )


def product(a, b):
    """``a @ b`` for dense or CSR matrices; identities cost nothing."""
    if is_identity(b):
        return a
    if is_identity(a):
        return b
    _check_product(a, b)
    c = a @ b
    return sparse.csr_array(c) if sparse.issparse(c) else np.asarray(c)


def _check_product(a, b):
    """Raise if ``a @ b`` exceeds the budget."""
    full = a.shape[0] * b.shape[1]
    if full * a.shape[1] <= _SMALL:
        return
    if not (sparse.issparse(a) and sparse.issparse(b)):
        width = b.shape[1] if sparse.issparse(a) else a.shape[0]
        dense = not (sparse.issparse(a) or sparse.issparse(b))
        known = a if sparse.issparse(a) else b
        budget.require(full, f"a dense matrix of shape {(a.shape[0], b.shape[1])},")
        budget.check_time(full * a.shape[1] if dense else width * known.nnz)
        return
    steps = int(np.diff(b.indptr)[a.indices].sum(dtype=np.int64))
    budget.require(min(full, steps), "a product of sparse matrices")
    budget.check_time(steps, _SPARSE_RATE)


def rows(matrix, index):
    """``matrix[index]`` for an index array."""
    if len(index) * matrix.shape[1] > _SMALL:
        new = len(index) * matrix.shape[1]
        if sparse.issparse(matrix):
            start = matrix.indptr
            new = np.sum(start[index + 1] - start[index], dtype=np.int64)
        budget.require(new, "a selection of rows")
    return matrix[index]


def repeated(count, matrix):
    """CSR matrix with ``matrix`` in each of ``count`` diagonal blocks."""
    matrix = sparse.csr_array(matrix)
    if count == 1:
        return matrix
    budget.require(count * matrix.nnz, "a block diagonal matrix")
    eye = sparse.eye_array(count, format="csr")
    return sparse.csr_array(sparse.kron(eye, matrix, format="csr"))


def all_finite(array):
    """Whether an array, dense or CSR, holds nothing but finite numbers."""
    return bool(np.isfinite(array.data if sparse.issparse(array) else array).all())


def count_new(arrays, counted, name):
    """Spend the budget on arrays that are not ``counted`` yet; if these are finite.

    Parameters
    ----------
    arrays : iterable of (numpy.ndarray | scipy.sparse.csr_array)
    counted : dict
        Arrays by id, kept so that their ids stay taken; the new ones are added, if
        they are finite.
    name : str
        Of the tensor that they belong to, for messages.
    """
    fresh = {id(a): a for a in arrays if id(a) not in counted}
    for array in fresh.values():
        budget.spend(entries(array), f"tensor '{name}', a matrix")
    finite = {k: a for k, a in fresh.items() if all_finite(a)}
    counted.update(finite)
    return len(finite) == len(fresh)


def entries(array):
    """Stored entries of an array, dense or CSR."""
    return array.nnz if sparse.issparse(array) else array.size


def total(a, b):
    """``a + b`` for dense or CSR matrices."""
    budget.require(entries(a) + entries(b), "a sum of matrices")
    if sparse.issparse(a) and sparse.issparse(b):
        return sparse.csr_array(a + b)
    return _dense(a) + _dense(b)


def scale_rows(matrix, factor):
    """Multiply row i by ``factor[i]``."""
    if not sparse.issparse(matrix):
        return factor[:, None] * matrix
    data = matrix.data * np.repeat(factor, np.diff(matrix.indptr))
    return _like(matrix, data)


def divide_rows(matrix, divisor):
    """Divide row i by ``divisor[i]``."""
    if not sparse.issparse(matrix):
        return matrix / divisor[:, None]
    data = matrix.data / np.repeat(divisor, np.diff(matrix.indptr))
    return _like(matrix, data)


def compact(matrix):
    """The storage that suits the matrix: CSR below SPARSE_BELOW, else dense."""
    size = max(1, matrix.shape[0] * matrix.shape[1])
    if sparse.issparse(matrix):
        return matrix if matrix.nnz < SPARSE_BELOW * size else _dense(matrix)
    if np.count_nonzero(matrix) < SPARSE_BELOW * size:
        return sparse.csr_array(matrix)
    return matrix


def _dense(matrix):
    if not sparse.issparse(matrix):
        return matrix
    budget.require(matrix.shape[0] * matrix.shape[1], "a dense matrix")
    return matrix.toarray()


def _like(matrix, data):
    return sparse.csr_array(
        (data, matrix.indices, matrix.indptr), shape=matrix.shape, copy=False
    )
