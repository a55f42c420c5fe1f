"""What a formulation says of itself as data: what it adds, and which solvers take it."""

import textwrap
from dataclasses import dataclass

from pyomo.common.dependencies import numpy as np

from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError

#: Methods that write the rows of neurons.
_HOOKS = ("_encode", "_encode_neuron")

#: What most additions are counted by.
UNSTABLE = "unstable neuron"
AT_CEILING = "neuron with its ceiling in reach"

#: {what a formulation takes beyond linear rows: problem class}
PROBLEM_CLASSES = {
    "binaries": "MILP",
    "SOS1 constraints": "LP with SOS1 sets",
    "products of variables": "QCP, NLP",
}


@dataclass(frozen=True)
class Adds:
    """What one thing that a formulation encodes adds to the model.

    Numbers, or text in sizes of the case at hand such as ``"2*(P - 1)"``.

    Parameters
    ----------
    per : str
        What is counted; "unstable neuron" is every one to which no other entry applies.
    binaries, variables : int or str
        Binary and continuous Vars.
    rows : int or str
        Constraints, those that they replace taken off; sets and Disjunctions are not
        among them, rows on Disjuncts are.
    products : int or str
        How many of the rows are bilinear.
    sets : int or str
        SOS1 sets.
    disjunctions : int or str
        Of two Disjuncts each, whose indicators are among the binaries.
    """

    per: str = UNSTABLE
    binaries: int | str = 0
    variables: int | str = 0
    rows: int | str = 0
    products: int | str = 0
    sets: int | str = 0
    disjunctions: int | str = 0

    KINDS = (
        ("disjunctions", "Disjunction"),
        ("binaries", "binary"),
        ("variables", "variable"),
        ("sets", "SOS1 set"),
        ("rows", "row"),
    )

    def counts(self, **sizes):
        """{kind: number} for given sizes, for example ``counts(P=2)``."""
        kinds = [*(kind for kind, _ in self.KINDS), "products"]
        return {kind: _number(getattr(self, kind), sizes) for kind in kinds}

    def __str__(self):
        parts = []
        for kind, noun in self.KINDS:
            number = getattr(self, kind)
            if number:
                parts.append(_counted(number, noun))
        if self.products:
            parts[-1] += f" ({self.products} bilinear)"
        text = ", ".join(parts)
        return text if self.per == UNSTABLE else f"{text} per {self.per}"


def added(formulation):
    """What a formulation adds, as one line."""
    return "; ".join(map(str, formulation.ADDS))


def declared(formulation):
    """The paragraph on what a formulation declares, for its help text."""
    if not formulation.ADDS:
        return ""
    lines = (
        f"Adds per {UNSTABLE}, unless said otherwise: {added(formulation)}.",
        f"Takes a solver for {PROBLEM_CLASSES[formulation.TAKES]}.  "
        f"Exact: {formulation.EXACT}.",
    )
    return "\n\n" + "\n".join(textwrap.fill(line, 88) for line in lines)


def check_ceilings(formulation, block, bounds):
    """Raise if a neuron can reach its ceiling and the formulation would ignore that.

    Parameters
    ----------
    formulation : type
        Subclass of NetworkFormulation.
    block : ReLUNetworkBlockData
    bounds : NeuronBounds
        What the block is to be encoded with.
    """
    if _handles_ceilings(formulation):
        return
    for k, layer in enumerate(bounds.network.layers[:-1]):
        if layer.ceiling is None:
            continue
        reached = np.flatnonzero(layer.ceiling < bounds.upper[k])
        if reached.size:
            i = int(reached[0])
            raise TransformationError(
                f"{formulation.NAME}: neuron {i} of layer {k} of '{block.name}' can "
                f"reach its ceiling {layer.ceiling[i]:.6g}, and "
                f"{formulation.__name__} does not say that its rows are right then. "
                "Give neurons with a ceiling below bounds.upper rows of their own (see "
                "relu.clipped), and declare HANDLES_CEILINGS = True in the class; or "
                "use relu.bigm for this network."
            )


def _handles_ceilings(formulation):
    """The declaration, if it was made for the rows that the class has.

    A subclass with rows of its own does not inherit what was said of others.
    """
    for cls in formulation.__mro__:
        if "HANDLES_CEILINGS" in vars(cls):
            return cls.HANDLES_CEILINGS
        if any(hook in vars(cls) for hook in _HOOKS):
            return False
    return False


def _number(number, sizes):
    if isinstance(number, str):
        return eval(number, {"__builtins__": {}}, sizes)  # of this package's own texts
    return number


def _counted(number, noun):
    if isinstance(number, str):
        return f"{number.replace('*', ' ')} {counted(2, noun).split(maxsplit=1)[1]}"
    return counted(number, noun)


#: Big-M rows, which most formulations write for some neurons.
BIG_M = Adds(binaries=1, rows=3)
CLIPPED = Adds(AT_CEILING, binaries=2, rows=5)
