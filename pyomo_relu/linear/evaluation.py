"""Values of many functions at many points: alike networks, and atoms of one kind, are
evaluated at once."""

import numpy as np

from pyomo_relu.common.matrices import slices
from pyomo_relu.linear.atoms.atom import Alike, Atom
from pyomo_relu.network.stack import stacked

#: Most entries of an array with a row per point and function.
_ENTRIES = 1 << 21

#: Fewer different networks are evaluated one by one, which takes no longer.
_FEWEST = 8


class Evaluation:
    """Values of functions that read none of each other's outputs.

    Parameters
    ----------
    functions : sequence
        See ``EmbeddedModel``.  Those with a ``network`` share its evaluation, or that of
        many networks of one architecture, and atoms that of their ``kind``.
    """

    def __init__(self, functions):
        self._groups, networks, atoms = [], [], {}
        for at, f in enumerate(functions):
            if isinstance(f, Atom):
                atoms.setdefault(at if f.kind is None else f.kind, []).append(f)
            elif getattr(f, "network", None) is None:
                self._groups.append(_Group([f]))
            else:
                networks.append(f)
        self._groups += [_Atoms(group) for group in atoms.values()]
        for stack, members, which in stacked([f.network for f in networks]):
            group = [networks[k] for k in members]
            if len(stack) >= _FEWEST:
                self._groups.append(_Stacked(group, stack, which))
                continue
            for k in range(len(stack)):
                mine = np.flatnonzero(which == k)
                self._groups.append(_Group([group[i] for i in mine]))

    def __call__(self, X):
        """Yield (output columns, their values, shape (N, outputs)) at points.

        Parameters
        ----------
        X : numpy.ndarray, shape (N, n_columns)
        """
        for group in self._groups:
            yield group.outputs, group.values(X)


class _Atoms:
    """Atoms of one kind."""

    def __init__(self, atoms):
        self.inputs = np.stack([a.inputs for a in atoms])
        self.outputs = np.concatenate([a.outputs for a in atoms])
        self._alike = Alike(atoms)

    def values(self, X):
        parts = slices(len(X), _ENTRIES // self.inputs.size)
        if len(parts) <= 1:
            return self._alike.values(X[:, self.inputs])
        each = [self._alike.values(X[some][:, self.inputs]) for some in parts]
        return np.concatenate(each)


class _Group:
    """Functions of one network, or a single function."""

    def __init__(self, functions):
        self.first = functions[0]
        self.inputs = np.stack([f.inputs for f in functions])
        self.outputs = np.concatenate([f.outputs for f in functions])
        network = getattr(self.first, "network", None)
        sizes = [] if network is None else [layer.size for layer in network.layers]
        self._widest = max([1, self.inputs.shape[1], *sizes])

    def values(self, X):
        count, d = self.inputs.shape
        if count == 1:
            return self.first.values(X[:, self.inputs[0]])
        values = np.empty((len(X), self.outputs.size))
        for some in slices(len(X), _ENTRIES // (count * self._widest)):
            values[some] = self._of_some(X[some][:, self.inputs].reshape(-1, d))
        return values

    def _of_some(self, inputs):
        """Values at inputs of all functions at each point, shape (N, outputs)."""
        return self.first.values(inputs).reshape(-1, self.outputs.size)


class _Stacked(_Group):
    """Functions of different networks of one architecture."""

    def __init__(self, functions, stack, which):
        super().__init__(functions)
        self._stack, self._which = stack, which

    def _of_some(self, inputs):
        which = np.tile(self._which, len(inputs) // self._which.size)
        return self._stack.forward(which, inputs).reshape(-1, self.outputs.size)


class Gradients:
    """Derivatives of all atoms among some functions, those of one kind at once.

    Parameters
    ----------
    functions : sequence
    """

    def __init__(self, functions):
        groups = {}
        for at, f in enumerate(functions):
            if isinstance(f, Atom):
                groups.setdefault(at if f.kind is None else f.kind, []).append(at)
        self._groups = [
            (
                group,
                np.stack([functions[at].inputs for at in group]),
                Alike([functions[at] for at in group]),
            )
            for group in groups.values()
        ]

    def __call__(self, x):
        """{position: derivatives, shape (1, n_inputs)} at a point of all columns."""
        return {
            at: gradient[None]
            for group, inputs, alike in self._groups
            for at, gradient in zip(group, alike.gradients(x[inputs]), strict=True)
        }


def in_units(functions, columns):
    """The functions between columns divided by factors; equal networks stay one.

    Parameters
    ----------
    functions : sequence
    columns : numpy.ndarray, shape (n_columns,)
    """
    seen = {}
    return [
        f.in_units(columns, seen) if hasattr(f, "network") else f.in_units(columns)
        for f in functions
    ]
