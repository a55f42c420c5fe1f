"""Which networks of a model stand in it many times, and what their rows need of them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from pyomo_relu.common.powers import power_of_two
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.linear.fixed_inputs import fixed_columns
from pyomo_relu.network.joined_inputs import join_inputs
from pyomo_relu.network.network import Network
from pyomo_relu.network.repeated import Repetition

#: Fewest networks, and fewest per distinct one, that are put together.
_FEWEST, _PER_NETWORK = 8, 4


@dataclass(frozen=True, eq=False)
class Member:
    """A network whose fixed inputs are constants.

    Parameters
    ----------
    network : Network
        Of all inputs.
    inputs : numpy.ndarray of int
        Columns of those that are not fixed.
    outputs : numpy.ndarray of int
    name : str
    places : numpy.ndarray of int
        Positions of ``inputs`` among the network's.
    constants : dict
        Values of the others by position, as Fractions.
    """

    network: Network
    inputs: np.ndarray
    outputs: np.ndarray
    name: str
    places: np.ndarray
    constants: dict


def repeated_members(model):
    """The model with its networks as Members, where that is worth it; else None.

    It is for many networks of which several are the same and none reads what another one
    computes: recourse under scenarios, periods, identical units.

    Parameters
    ----------
    model : EmbeddedModel
    """
    networks = [f for f in model.functions if isinstance(f, EmbeddedNetwork)]
    if len(networks) < _FEWEST:
        return None
    distinct = len({f.network for f in networks})
    if distinct * _PER_NETWORK > len(networks):
        return None
    read = np.concatenate([f.inputs for f in networks])
    computed = np.unique(np.concatenate([f.outputs for f in model.functions]))
    if np.isin(read, computed).any():
        return None
    inputs, joined = set(read.tolist()), {}
    known = {j: v for j, v in fixed_columns(model.linear).items() if j in inputs}
    functions = [
        _member(f, known, joined) if isinstance(f, EmbeddedNetwork) else f
        for f in model.functions
    ]
    return replace(model, functions=functions)


def _member(function, known, joined):
    """A network as a Member; ``joined`` has those that read no column twice."""
    network, columns = function.network, function.inputs.tolist()
    first, same = {}, {}
    for i, j in enumerate(columns):
        if first.setdefault(j, i) != i:
            same[i] = first[j]
    if same:
        key = network, tuple(same.items())
        if key not in joined:
            joined[key] = join_inputs(network, same)
        network, columns = joined[key], list(first)
    constants = {i: known[j] for i, j in enumerate(columns) if j in known}
    if len(constants) == len(columns):
        constants.pop(0)
    places = np.array([i for i in range(len(columns)) if i not in constants], dtype=int)
    return Member(
        network,
        np.array(columns, dtype=int)[places],
        function.outputs,
        function.name,
        places,
        constants,
    )


def repetitions(members, position, directions):
    """The members' networks, each once, between joint inputs and directions.

    Parameters
    ----------
    members : list of Member
    position : dict
        From columns to joint inputs.
    directions : scipy.sparse.csr_array, shape (n_directions, all members' outputs)
        The members' outputs one after the other.

    Returns
    -------
    found : list of Repetition
    summed : bool
        Whether combinations of a member's outputs were too many to be bounded as such.
    """
    groups, first = {}, 0
    for member in members:
        groups.setdefault(member.network, []).append((member, first))
        first += member.network.n_outputs
    by_column = sparse.csc_array(directions)
    found, summed = [], False
    for network, group in groups.items():
        r = network.n_outputs
        starts = np.array([first for _, first in group])
        matrix = sparse.csr_array(
            by_column[:, (starts[:, None] + np.arange(r)).ravel()]
        )
        used = np.unique(matrix.indices // r)
        if not used.size:
            continue
        matrix = matrix[:, (used[:, None] * r + np.arange(r)).ravel()]
        some = [group[s][0] for s in used.tolist()]
        combined = _combined(network, sparse.csr_array(matrix))
        summed |= combined is None
        network, matrix = combined or (network, sparse.csr_array(matrix))
        columns = np.full((len(some), network.n_inputs), -1)
        for s, member in enumerate(some):
            columns[s, member.places] = [position[j] for j in member.inputs.tolist()]
        found.append(Repetition(network, columns, [m.constants for m in some], matrix))
    return found, summed


def _combined(network, matrix):
    """A network of those combinations of outputs that rows need, and the rows.

    One line of a combination is tighter than a sum of lines of its terms.  Members'
    combinations are the same only if their quotient is a power of two, so that nothing
    is rounded; None where that leaves more than twice as many of them as outputs.
    """
    r = network.n_outputs
    if r == 1:
        return network, matrix
    coo = matrix.tocoo()
    member, output = np.divmod(coo.col, r)
    pairs, at = np.unique(np.stack([coo.row, member]), axis=1, return_inverse=True)
    vectors = np.zeros((pairs.shape[1], r))
    vectors[at.ravel(), output] = coo.data
    largest = np.abs(vectors).max(axis=1)
    leading = vectors[np.arange(len(vectors)), (vectors != 0).argmax(axis=1)]
    factor = np.copysign(power_of_two(largest), leading)
    combinations, which = np.unique(
        vectors / factor[:, None], axis=0, return_inverse=True
    )
    if len(combinations) > 2 * r:
        return None
    last = network.layers[-1]
    layer = last.replace(
        weights=[combinations @ w for w in last.weights], bias=combinations @ last.bias
    )
    size = len(combinations)
    layers = [*network.layers[:-1], layer]
    outputs = [("combinations", (size,))]
    entries = factor, (pairs[0], pairs[1] * size + which.ravel())
    shape = matrix.shape[0], matrix.shape[1] // r * size
    return (
        Network(layers, network.inputs, outputs, network.name),
        sparse.csr_array(entries, shape=shape),
    )
