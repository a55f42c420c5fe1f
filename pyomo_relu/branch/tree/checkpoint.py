"""The state of a branch and bound as a file, from which another run goes on.

A file is an npz archive of plain arrays, with one text in JSON among them; reading it
executes nothing.  It is written beside its place and renamed, so it is whole at all
times.  What it holds is what was proven when it was written: boxes that others were
working on are in it as they were given away.
"""

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.branch.tree.limits import Limits
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import ModelError
from pyomo_relu.network.network import Network
from pyomo_relu.version import __version__

logger = logging.getLogger("pyomo.relu")

#: Of the file; another one is refused.
_FORMAT = "pyomo_relu.branch 1"


@dataclass
class State:
    """All that a tree has to know in order to go on.

    Attributes
    ----------
    nodes : list of Nodes
        Boxes that are open, in parts.
    limits : Limits
    proven : float
        Lower bound of the objective that others have proven.
    value : float
    full : numpy.ndarray, shape (n_columns,), or None
        The best point and its objective.
    evaluated, milps : int
        Boxes bounded and MILPs solved so far.
    """

    nodes: list
    limits: Limits
    proven: float
    value: float
    full: np.ndarray | None
    evaluated: int
    milps: int


class Checkpoint:
    """Saves the state of one run now and then, and when it ends.

    Parameters
    ----------
    path : path-like
    problem : BranchProblem
    options : BranchOptions
        Of the run: gaps, which a later run must not undercut, and how often.

    Raises
    ------
    ModelError
        If there is no such folder, or nothing can be written there.
    """

    def __init__(self, path, problem, options):
        self.path = Path(path)
        folder = self.path.parent
        if not folder.is_dir() or self.path.is_dir() or not os.access(folder, os.W_OK):
            raise ModelError(
                f"relu.branch: save={str(path)!r} is no file that can be written; give "
                "one in a folder that exists."
            )
        self._seconds, self._nodes = options.save_every, options.save_nodes
        self._about = {
            "format": _FORMAT,
            "version": __version__,
            "problem": fingerprint(problem),
            "size": _size(problem),
            "gaps": _gaps(options),
            "prove_above": None
            if np.isinf(options.prove_above)
            else float(options.prove_above),
        }
        self._state = self._written = None
        self._clock = Deadline()

    def note(self, tree):
        """Called where nothing is on its way; writes if it is time."""
        self._state = state = tree.state()
        before = 0 if self._written is None else self._written.evaluated
        enough = self._nodes is not None and state.evaluated - before >= self._nodes
        if enough or self._clock.elapsed() >= self._seconds:
            self.write()

    def write(self):
        """Write what was noted last, if it has not been written."""
        state = self._state
        if state is None or state is self._written:
            return
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            with temporary.open("wb") as file:
                np.savez(file, **_arrays(state, self._about))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            logger.warning(f"relu.branch: {self.path} could not be saved: {error}")
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._written, self._clock = state, Deadline()


class _NoCheckpoint:
    """Saves nothing."""

    def note(self, tree):
        """Do nothing."""

    def write(self):
        """Do nothing."""


NO_CHECKPOINT = _NoCheckpoint()


def load_state(path, problem, options):
    """The State in a file, if it is one of this problem.

    Parameters
    ----------
    path : path-like
    problem : BranchProblem
    options : BranchOptions

    Returns
    -------
    State

    Raises
    ------
    ModelError
        If there is no such file, it is damaged, of another model, or of a run with a
        larger gap, which has dropped boxes that this one needs.
    """
    what = f"relu.branch: resume={str(path)!r}"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays["about"]))
        if about["format"] != _FORMAT:
            raise ValueError
        size, saved, same = about["size"], about["gaps"], about["problem"]
        state = _state(arrays, about)
        if same == fingerprint(problem):
            _check(state, problem)
    except FileNotFoundError:
        raise ModelError(f"{what} does not exist; leave resume out to begin.") from None
    except Exception:  # noqa: BLE001  (it may hold anything)
        raise ModelError(
            f"{what} is no file that save= of this version has written, or is damaged; "
            "leave resume out to begin again."
        ) from None
    if same != fingerprint(problem):
        here = _size(problem)
        differs = [f"{here[k]} {k} here, {size.get(k)} there" for k in here]
        differs = [d for d, k in zip(differs, here, strict=True) if here[k] != size[k]]
        raise ModelError(
            f"{what} was saved for another model than this one "
            f"({'; '.join(differs) or 'the same size, other numbers'}); give the file "
            "of this model, or leave resume out to begin."
        )
    for name, gap in _gaps(options).items():
        if gap < saved[name]:
            raise ModelError(
                f"{what} was saved with {name}={saved[name]:g}, and boxes within that "
                f"gap are no longer in it; {name}={gap:g} cannot be reached from there. "
                f"Give at least {saved[name]:g}, or leave resume out to begin again."
            )
    least = about["prove_above"]
    if least is not None and options.prove_above > least:
        raise ModelError(
            f"{what} was saved with a prove_above, and boxes beyond it are no longer in "
            "it. Give that prove_above again, or leave resume out to begin again."
        )
    return state


def _arrays(state, about):
    """What the file holds, by name."""
    nodes = Nodes.joined(state.nodes)
    numbers = {k: float(v) for k, v in asdict(state.limits).items()}
    about = {
        **about,
        "limits": numbers,
        "proven": float(state.proven),
        "value": float(state.value),
        "evaluated": int(state.evaluated),
        "milps": int(state.milps),
    }
    arrays = {f.name: getattr(nodes, f.name) for f in fields(Nodes)}
    arrays["about"] = np.array(json.dumps(about))
    if state.full is not None:
        arrays["full"] = state.full
    return arrays


def _state(arrays, about):
    return State(
        [Nodes(*(arrays[f.name] for f in fields(Nodes)))],
        Limits(**about["limits"]),
        about["proven"],
        about["value"],
        arrays.get("full"),
        about["evaluated"],
        about["milps"],
    )


def _check(state, problem):
    """A ValueError if arrays of this problem have other shapes, or hold no numbers."""
    (nodes,), n, m = state.nodes, problem.n_columns, problem.original.n_columns
    whole = [getattr(nodes, name) for name in ("lower", "upper", "minimiser")]
    single = [getattr(nodes, f.name) for f in fields(Nodes)]
    single = [a for a in single if all(a is not w for w in (*whole, nodes.duals))]
    right = all(a.shape == (len(nodes), n) for a in whole)
    right &= all(a.shape == (len(nodes),) for a in single)
    right &= nodes.duals.ndim == 2 and len(nodes.duals) == len(nodes)
    right &= state.full is None or state.full.shape == (m,)
    numbers = all(
        np.isreal(a).all() and not np.isnan(a).any() for a in (*whole, *single)
    )
    known = bool(((nodes.column >= -1) & (nodes.column < n)).all()) if right else False
    if not (right and numbers and known):
        raise ValueError


def _gaps(options):
    """Gaps in unit range, by the options' names."""
    return {"mip_gap": options.mip_gap, "abs_gap": options.tolerance(0.0)}


def _size(problem):
    """What people see of a model, by its plural."""
    original = problem.original
    return {
        "columns": original.n_columns,
        "rows": original.linear.n_rows,
        "functions": len(original.functions),
        "neurons": problem.network.n_neurons,
    }


# -- which problem it is ---------------------------------------------------------------


def fingerprint(problem):
    """A hash of all numbers of a BranchProblem; names do not count.

    Parameters
    ----------
    problem : BranchProblem

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    for part in fields(problem):
        if part.name != "original":  # of which the others are made
            _add(digest, getattr(problem, part.name))
    return digest.hexdigest()


def _add(digest, value):
    """Add any part of a problem to a hash."""
    digest.update(type(value).__name__.encode())
    if isinstance(value, Network):
        _add(digest, value.content_hash)
    elif sparse.issparse(value):
        rows = sparse.csr_array(value)
        for part in (np.array(rows.shape), rows.indptr, rows.indices, rows.data):
            _add(digest, part.astype(float))
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (tuple, list)):
        digest.update(str(len(value)).encode())
        for part in value:
            _add(digest, part)
    elif isinstance(value, (str, int, float, np.generic, type(None))):
        digest.update(repr(value).encode())
    else:
        parts = vars(value)
        if is_dataclass(value):  # names are for messages
            parts = {k: v for k, v in parts.items() if k != "name"}
        for name in sorted(parts):
            digest.update(name.encode())
            _add(digest, parts[name])
