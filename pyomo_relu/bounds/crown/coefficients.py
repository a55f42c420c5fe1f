"""Coefficients of CROWN's backward pass: arrays (B, R, n), or sparse for a single box."""

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.crown.lines import times
from pyomo_relu.common.matrices import dense

#: Sparse coefficients denser than this are made dense.
_DENSE = 0.15


def signed_rows(w, rows, keep_sparse):
    """Coefficients of a map's rows and of these negated: what a pass begins with.

    Parameters
    ----------
    w : numpy.ndarray or sparse, shape (size, q), or numpy.ndarray, shape (B, size, q)
        The same for all boxes, or one for each.
    rows : numpy.ndarray of int, shape (rows,) or (B, rows)
    keep_sparse : bool
    """
    if w.ndim == 3:
        if rows.ndim == 2:
            some = np.take_along_axis(w, rows[:, :, None], axis=1)
        else:
            some = w[:, rows]
        return np.concatenate([some, -some], axis=1)
    if rows.ndim == 2:
        some = w[rows.ravel()]
        some = dense(some).reshape(*rows.shape, -1)
        return np.concatenate([some, -some], axis=1)
    w = w if rows.size == w.shape[0] else w[rows]
    if not sparse.issparse(w):
        return np.concatenate([w, -w])[None]
    if keep_sparse:
        return thin(sparse.vstack([w, -w], format="csr"))
    return np.concatenate([w.toarray(), -w.toarray()])[None]


def entries(a, rows):
    """Entries (rows,) or (B, rows) of a, (size,) or (B, size)."""
    if a.ndim == 1 or rows.ndim == 1:
        return a[..., rows]
    return np.take_along_axis(a, rows, axis=1)


def dot(A, vectors):
    """``A @ vector`` per box: A (1 or B, R, n) or sparse (R, n), vectors (B, n)."""
    if sparse.issparse(A):
        return times(vectors, A)
    if len(A) == 1:
        return vectors @ A[0].T
    return np.matmul(A, vectors[:, :, None])[:, :, 0]


def weighted_sum(A, weight):
    """Sum of the rows of |A|, shape (B, n); weights (R,), or of each box (B, R)."""
    if sparse.issparse(A):
        return (abs(A).T @ weight.T).T.reshape(1, -1)
    if weight.ndim == 2:
        return np.matmul(weight[:, None, :], np.abs(A))[:, 0]
    return np.einsum("brn,r->bn", np.abs(A), weight)


def relax(post, sl, tl, su, tu, b, eps):
    """Constants (B, R) and coefficients of v (B, R, n); errors charged at eps."""
    gap = su - sl
    negative = np.minimum(post, 0.0)
    c = dot(post, sl * b + tl - eps)
    c += dot(negative, gap * b + (tu - tl) + 2.0 * eps)
    through = post * sl[:, None, :]
    into = negative if len(post) == len(sl) else None  # saves a large array
    through += np.multiply(negative, gap[:, None, :], out=into)
    return c, through


def relax_rows(post, slope, tl, su, tu, b, eps):
    """As ``relax`` for dense coefficients with a lower slope per row of its own."""
    positive, negative = np.maximum(post, 0.0), np.minimum(post, 0.0)
    through = positive * slope + negative * su[:, None, :]
    c = dot(through, np.broadcast_to(b, su.shape))
    c += dot(positive, tl - eps) + dot(negative, tu + eps)
    return c, through


def relax_sparse(post, sl, tl, su, tu, b, eps):
    """As ``relax`` for the sparse coefficients of a single box."""
    at, data = post.indices, post.data
    negative = data < 0
    slopes = data * np.where(negative, su[0, at], sl[0, at])
    consts = data * np.where(negative, tu[0, at], tl[0, at])
    consts += slopes * b[at] - np.abs(data) * eps[0, at]
    rows = sparse.csr_array((consts, at, post.indptr), shape=post.shape)
    c = (rows @ np.ones(post.shape[1]))[None]
    through = sparse.csr_array((slopes, at, post.indptr), shape=post.shape)
    through.eliminate_zeros()
    return c, through


def product(A, w):
    """``A @ w`` for coefficients A and dense or sparse weights w, (n, q) or (B, n, q)."""
    if w.ndim == 3:
        return np.matmul(A, w)
    if sparse.issparse(A):
        out = A @ w
        return thin(out) if sparse.issparse(out) else out[None]
    flat = A.reshape(-1, A.shape[-1])
    out = times(flat, w.T) if sparse.issparse(w) else flat @ w
    return np.ascontiguousarray(out).reshape(*A.shape[:-1], w.shape[1])


def thin(A):
    """Sparse coefficients, dense with a leading axis once that is cheaper."""
    if A.nnz > _DENSE * A.shape[0] * A.shape[1]:
        return A.toarray()[None]
    return sparse.csr_array(A)


def full(A):
    """Coefficients as an array, of a single box where they are sparse."""
    return A.toarray()[None] if sparse.issparse(A) else A


def total(a, b):
    """The sum of two."""
    if sparse.issparse(a) and sparse.issparse(b):
        return thin(a + b)
    return full(a) + full(b)


def add(coefficients, source, A):
    """Add A to what a dict of coefficients has for a source."""
    if source in coefficients:
        A = total(coefficients[source], A)
    coefficients[source] = A
