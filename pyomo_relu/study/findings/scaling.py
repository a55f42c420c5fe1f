"""Claims on a posteriori scaling, measured on the network as it was trained."""

from pyomo_relu.common.wording import counted
from pyomo_relu.study.findings.common import (
    PLATE,
    Evidence,
    Finding,
    by_problem,
    encodings,
    paper,
    verdict_of,
    width_evidence,
)
from pyomo_relu.study.statistics.aggregate import (
    UNSOLVED,
    group,
    paired_ratio,
    pooled,
    select,
)
from pyomo_relu.study.statistics.report_tables import (
    PAIR,
    SOLVE_PAIR,
    effort_ratio,
    network_stability,
)

CRITERIA = ("l1", "unit", "max")
BOUNDS = ("interval", "lp")

#: What follows without any measurement.
THEORY = (
    "Theory: with max(0, s v) = s max(0, v) for s > 0 the rescaled rows are the original "
    "ones, column by column in other units, so in exact arithmetic neither the linear "
    "relaxation's bound nor the stable neurons nor the linear regions can change; only "
    "numerics and the solver's path can."
)


def scaling_big_m(tables):
    """l1 scaling of the trained network against big-M size."""
    widths = {
        m: paper(select(network_stability(tables.layers, m), family="plain"))
        for m in (*BOUNDS, *(f"{c} {b}" for c in (*CRITERIA, "scaled") for b in BOUNDS))
    }

    def effect(method, figure):
        base = widths[method.split()[-1]]
        return by_problem(
            lambda rows: paired_ratio(rows, base, figure, *PAIR), widths[method]
        )

    texts = []
    for method in (m for m in widths if " " in m and widths[m]):
        criterion, bounds = method.split()
        name = "l1 of the network with its normalisation folded in"
        name = criterion if criterion != "scaled" else name
        texts.append(
            f"{name}, {bounds} bounds: {effect(method, 'width')[1]}; last hidden layer "
            f"{effect(method, 'last_width')[0]}"
        )
    same = paired_ratio(widths["l1 lp"], widths["lp"], "unstable", *PAIR, shift=1e-9)
    return Finding(
        "A posteriori scaling shrinks big-Ms.",
        PLATE,
        "Mean width of all hidden neurons' bounds, rescaled against as trained, the "
        f"normalisation outside: {'. '.join(texts) or 'not measured'}. Unstable neurons "
        f"(lp), l1 against as trained: {same}. The verdict is on l1 with interval bounds.",
        verdict_of(effect("l1 interval", "width")[0], -1),
        (width_evidence(["interval", "l1 interval", "lp", "l1 lp"]),),
    )


def scaling_effort(tables):
    """Criteria of scaling against effort, relaxation and numerics."""
    texts, effects, differences = [], [], []
    for criterion in CRITERIA:
        for bounds in BOUNDS:
            base = encodings(tables, bounds, units="normalised")
            rows = encodings(tables, bounds, units=criterion)
            if not rows or not base:
                continue
            whole, text = by_problem(
                lambda some, base=base: effort_ratio(some, base, *SOLVE_PAIR), rows
            )
            if criterion == "l1":
                effects.append(whole)
            nodes = paired_ratio(rows, base, "nodes", *SOLVE_PAIR, shift=1.0)
            differences.append(_relaxation_difference(rows, base))
            texts.append(f"{criterion}, {bounds} bounds: effort {text}; nodes {nodes}")
    whole = pooled(effects)
    largest = max((d for d in differences if d is not None), default=None)
    relaxation = "not measured" if largest is None else f"{largest:.1g}"
    return Finding(
        "Scaling, combined with bound tightening, lowers the effort.",
        PLATE,
        f"{THEORY} Measured on the trained network with the normalisation outside, "
        f"rescaled against as trained: l1 with both bounds {whole}. "
        f"{'. '.join(texts) or 'Not measured'}. Largest relative difference of the linear "
        f"relaxation's bound: {relaxation}. {numerics(tables)}",
        verdict_of(whole, -1),
        (
            Evidence(
                "solves",
                {
                    "bounds": BOUNDS,
                    "formulation": "relu.bigm",
                    "units": ("normalised", *CRITERIA),
                    "family": "plain",
                },
                "Scaling",
            ),
        ),
    )


def numerics(tables):
    """Coefficient ranges, forward errors and solves without a point, by units."""
    texts = []
    for units in ("raw", "normalised", *CRITERIA):
        rows = [r for b in BOUNDS for r in encodings(tables, b, units=units)]
        rows = [r for r in rows if r["smallest_coefficient"]]
        if not rows:
            continue
        ranges = [r["largest_coefficient"] / r["smallest_coefficient"] for r in rows]
        errors = [
            r["forward_error"] / max(1.0, abs(r["objective"]))
            for r in rows
            if r["forward_error"] is not None
        ]
        stopped = sum(r["status"] in UNSOLVED for r in rows)
        failed = sum(r["status"] not in (*UNSOLVED, "optimal") for r in rows)
        texts.append(
            f"{units}: coefficients span a factor of up to {max(ranges):.1e}, forward "
            f"error up to {max(errors, default=0.0):.1e}, {stopped} of {counted(len(rows), 'solve')} "
            f"at a limit, {failed} failed"
        )
    return f"Numerics at default tolerances: {'; '.join(texts) or 'not measured'}."


def _relaxation_difference(scaled, base):
    largest, plain = None, group(base, *SOLVE_PAIR)
    for key, rows in group(scaled, *SOLVE_PAIR).items():
        if key not in plain:
            continue
        a, b = rows[0]["relaxation_bound"], plain[key][0]["relaxation_bound"]
        if a is not None and b is not None:
            off = abs(a - b) / max(1.0, abs(b))
            largest = off if largest is None else max(largest, off)
    return largest
