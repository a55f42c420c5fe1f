"""The problem that branch and bound works on: matrices and one network.

All networks are joined into one directed acyclic graph over the distinct inputs x (see
``branch.joint``), and outputs y = f(x) are put into the modeller's rows and objective:

    a'x + b'y + c'z in [l, u]   becomes   factor u_k(x) + a'x + c'z in [l, u]

where ``u_k(x)`` is b'f(x) up to the factor.  These *directions* u are the outputs of the
joint network, each once however many rows use it.  So CROWN bounds the sum that a row
really needs rather than its terms one by one, and neither neurons nor outputs are
columns of a relaxation; only x and the modeller's other variables z are.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.network.network import Network
from pyomo_relu.network.repeated import RepeatedNetworks

#: Repeated networks of more neurons than these are only looked at in batches: their
#: linear regions are too small, and their MILPs too large, to be of use.
_LARGE = 4_000


@dataclass
class BranchProblem:
    """``min g_0`` over rows g_1, g_2, ..., plain rows, column bounds and integrality.

    A row function is ``g_i = factor[i] u_k(x) + rest[i] . (x, z)``, k = direction[i].

    Parameters
    ----------
    network : Network
        Inputs x, outputs u.
    n_inputs : int
        The first ``n_inputs`` columns are x, the others z.
    lower, upper : numpy.ndarray, shape (n,)
        Column bounds.
    integer : numpy.ndarray of bool, shape (n,)
    direction : numpy.ndarray of int, shape (F,)
    factor : numpy.ndarray, shape (F,)
    rest : scipy.sparse.csr_array, shape (F, n)
        The objective's row is the first.
    constant : float
        Of the objective.
    function_lower, function_upper : numpy.ndarray, shape (F - 1,)
    plain : scipy.sparse.csr_array, shape (m, n)
        Rows without any network output.
    plain_lower, plain_upper : numpy.ndarray, shape (m,)
    columns : numpy.ndarray of int, shape (n,)
        Each column's number in the modeller's linear model; the others are outputs, or
        fixed and neither in a row nor in the objective.
    original : EmbeddedModel
        The modeller's columns, rows and networks, for verifying points.
    atoms : tuple of Atom
        Between the problem's columns.
    computed : numpy.ndarray of int
        The modeller's columns of those that atoms compute, and of outputs of networks
        that atoms read.
    """

    network: Network
    n_inputs: int
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    direction: np.ndarray
    factor: np.ndarray
    rest: sparse.csr_array
    constant: float
    function_lower: np.ndarray
    function_upper: np.ndarray
    plain: sparse.csr_array
    plain_lower: np.ndarray
    plain_upper: np.ndarray
    columns: np.ndarray
    original: EmbeddedModel
    atoms: tuple = ()
    computed: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    @property
    def n_columns(self):
        """Number of columns, x and z."""
        return self.lower.size

    @property
    def is_large(self):
        """True for repeated networks of which no method should list all neurons."""
        repeated = isinstance(self.network, RepeatedNetworks)
        return repeated and self.network.n_neurons > _LARGE

    @property
    def is_box(self):
        """True if there is nothing but an objective over a box of x."""
        return (
            self.n_columns == self.n_inputs
            and self.function_lower.size == 0
            and self.plain.shape[0] == 0
            and not self.integer.any()
            and not self.atoms
        )

    def functions(self, C, d):
        """All g where ``u = C t + d`` for some tensor t, as rows over t.

        Parameters
        ----------
        C : numpy.ndarray or scipy.sparse.csr_array, shape (n_directions, size)
        d : numpy.ndarray, shape (n_directions,)

        Returns
        -------
        matrix, constant : shapes (F, size) and (F,)
            Without ``rest``.
        """
        matrix = sparse.diags_array(self.factor) @ C[self.direction]
        constant = self.factor * d[self.direction]
        constant[0] += self.constant
        return matrix, constant

    def complete(self, points):
        """The modeller's columns, with outputs computed, of points of (x, z).

        Parameters
        ----------
        points : numpy.ndarray, shape (N, n)

        Returns
        -------
        numpy.ndarray, shape (N, original.n_columns)
        """
        linear = self.original.linear
        fixed = np.where(linear.lower == linear.upper, linear.lower, 0.0)
        full = np.tile(fixed, (len(points), 1))
        full[:, self.columns] = points
        keep = np.setdiff1d(self.columns, self.computed)
        return self.original.complete(full, keep=keep)

    def without_objective(self):
        """The same with the objective 0: any feasible point is optimal."""
        changes = {
            name: np.array(getattr(self, name)) for name in ("factor", "direction")
        }
        changes["factor"][0] = 0.0
        rest = self.rest.tolil(copy=True)
        rest[0, :] = 0.0
        original = replace(self.original, costs=None, constant=0.0)
        return replace(
            self,
            rest=clean(rest),
            constant=0.0,
            original=original,
            **changes,
        )


def clean(matrix):
    """The matrix as csr without stored zeros or duplicates."""
    matrix = sparse.csr_array(matrix)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix
