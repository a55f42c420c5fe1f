"""A set of models and the routes that are compared on it."""

from collections.abc import Callable
from dataclasses import dataclass, field

#: The relative gap to which every route proves its answer, unless a set says otherwise.
GAP = 1e-4


@dataclass(frozen=True)
class ModelSet:
    """Models, routes, and how the command speaks of them.

    Parameters
    ----------
    name : str
        Of the package in ``benchmarks``.
    description : str
        One sentence for ``--help``.
    models : dict of str -> callable
        Functions that build the models.
    kind : callable
        Maps a model's name to its kind.
    routes : dict of str -> object
        Each with ``solver``, ``registered`` and ``run`` as ``comparison.route.Route``.
    default : list of str
        Routes that are run unless others are asked for.
    warm_up : str
        The model that every route runs before the clock counts.
    limit : float
        Seconds of a run unless others are asked for.
    known : dict of str -> (float, str)
        Optimal values and how they are known.
    families : dict of str -> list of str
        Routes of which the best counts: a further table, if there are any.
    default_models : list of str, optional
        Models that are run unless others are asked for; all if None.
    gap : float
        The relative gap that its routes are asked for.
    """

    name: str
    description: str
    models: dict[str, Callable]
    kind: Callable[[str], str]
    routes: dict
    default: list[str]
    warm_up: str
    limit: float
    known: dict[str, tuple[float, str]] = field(default_factory=dict)
    families: dict[str, list[str]] = field(default_factory=dict)
    default_models: list[str] | None = None
    gap: float = GAP
