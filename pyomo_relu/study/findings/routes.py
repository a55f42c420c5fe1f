"""Questions on other routes: a solver that branches on inputs, ceilings put on afterwards."""

from pyomo_relu.study.findings.common import (
    AICHE,
    Evidence,
    Finding,
    by_problem,
    encodings,
    one_sided,
    paper,
)
from pyomo_relu.study.statistics.aggregate import (
    LEAST_BOXES,
    group,
    mean,
    paired_ratio,
    select,
)
from pyomo_relu.study.statistics.report_tables import PAIR, SOLVE_PAIR, effort_ratio

OPEN_QUESTION = "a question that we found nobody to have answered"
PENALTIES = ("l1", "l2")


def branching_on_inputs(tables):
    """Do penalties in training pay where no binaries are branched on?"""
    rows = [r for r in tables.solves if r["objective"] is not None]
    rows = paper(select(rows, solver="relu.branch", formulation="none"))
    plain = select(rows, family="plain")
    texts, effects = [], []
    for (training,), runs in group(rows, "training").items():
        if training == "plain":
            continue
        effect, text = by_problem(lambda some: _boxes(some, plain), runs)
        seconds = paired_ratio(runs, plain, "solve_cpu_seconds", *PAIR, shift=0.01)
        if runs[0]["family"] in PENALTIES:
            effects.append(effect)
        texts.append(f"{training}: boxes {text}; processor seconds {seconds}")
    return Finding(
        "Penalties in training pay also where the solver branches on the inputs.",
        OPEN_QUESTION,
        "Boxes that `relu.branch` bounds, relative to plain training, of pairs in which "
        f"a tree has {LEAST_BOXES} boxes: {'; '.join(texts) or 'not measured'}. The "
        "verdict is on l1 and l2.",
        one_sided(effects, -1),
        (
            Evidence(
                "solves",
                {
                    "solver": "relu.branch",
                    "formulation": "none",
                    "family": ("plain", *PENALTIES),
                },
                "Branching on the inputs",
            ),
        ),
    )


def _boxes(rows, base):
    return paired_ratio(
        rows, base, "nodes", *PAIR, shift=1.0, least=("nodes", LEAST_BOXES)
    )


def clipping_afterwards(tables):
    """Do ceilings on a plain network, which change its function, lower the effort?"""
    names = sorted(
        {r["formulation"] for r in tables.solves if r["output_movement"] is not None}
    )
    base = encodings(tables, "lp")
    texts, effects = [], []
    for name in names:
        rows = encodings(tables, "lp", name)
        effect, text = by_problem(
            lambda some: effort_ratio(some, base, *SOLVE_PAIR), rows
        )
        binaries = paired_ratio(rows, base, "n_binaries", *SOLVE_PAIR)
        movement = mean([r["output_movement"] for r in rows])
        effects.append(effect)
        off = [abs(r["forward_error"]) for r in rows if r["forward_error"] is not None]
        texts.append(
            f"{name}: effort {text}; binaries {binaries}; outputs move by at most "
            f"{movement:.3g} on the box (proven, mean), at the optimum by "
            f"{mean(off) or 0.0:.3g}"
        )
    return Finding(
        "Ceilings put on a trained network, at quantiles of its activations, make the "
        "problem easier.",
        f"{AICHE} (a hypothesis there; this use of it is ours)",
        "Ceilings change the function. A neuron takes a second binary where its ceiling "
        "is within its proven bounds, one where it is out of reach. Relative to the same "
        f"network without: {'; '.join(texts) or 'not measured'}.",
        one_sided(effects, -1),
        (
            Evidence(
                "solves",
                {
                    "bounds": "lp",
                    "formulation": ("relu.bigm", *names),
                    "units": "raw",
                    "family": "plain",
                },
                "Ceilings put on afterwards",
            ),
        ),
    )
