"""How many of the columns that functions read can be chosen freely.

In a control loop each network reads a state that a row computes from the last state and
what the last network answered: once the first state is known, all is.
"""

import numpy as np

#: In more entries of equations nobody looks.
_MOST_ENTRIES = 50_000


def free_inputs(model):
    """Columns that functions read, without those that equations and functions give.

    Functions are taken in the order in which they read each other.  What one reads that
    is not known by then counts; then what equations with one unknown column and
    functions of known inputs say is known, too.

    Parameters
    ----------
    model : EmbeddedModel

    Returns
    -------
    int
    """
    linear = model.linear
    equations = linear.matrix[linear.row_lower == linear.row_upper].tocsr()
    if not 0 < equations.nnz <= _MOST_ENTRIES:
        columns = model.input_columns()
        return int(np.count_nonzero(linear.lower[columns] < linear.upper[columns]))
    spread = _Known(model, equations)
    free = 0
    for i in model.order():
        for j in model.functions[i].inputs.tolist():
            if not spread.known[j]:
                free += 1
                spread.learn([j])
    return free


class _Known:
    """Columns whose values follow from those of others.

    Parameters
    ----------
    model : EmbeddedModel
    equations : scipy.sparse.csr_array

    Attributes
    ----------
    known : numpy.ndarray of bool, shape (n_columns,)
    """

    def __init__(self, model, equations):
        self._rows, self._columns = equations, equations.tocsc()
        self._functions = model.functions
        self.known = np.zeros(model.n_columns, dtype=bool)
        self._missing = np.diff(equations.indptr)
        self._waits = [len(f.inputs) for f in model.functions]
        self._readers = {}
        for i, f in enumerate(model.functions):
            for j in f.inputs.tolist():
                self._readers.setdefault(j, []).append(i)
        linear = model.linear
        self.learn(np.flatnonzero(linear.lower == linear.upper).tolist())

    def learn(self, columns):
        """These are known; so is what follows from them."""
        stack = list(columns)
        while stack:
            j = stack.pop()
            if self.known[j]:
                continue
            self.known[j] = True
            at = slice(*self._columns.indptr[j : j + 2])
            for row in self._columns.indices[at].tolist():
                self._missing[row] -= 1
                if self._missing[row] == 1:
                    of_row = self._rows.indices[
                        slice(*self._rows.indptr[row : row + 2])
                    ]
                    stack += of_row[~self.known[of_row]].tolist()
            for i in self._readers.get(j, ()):
                self._waits[i] -= 1
                if not self._waits[i]:
                    stack += self._functions[i].outputs.tolist()
