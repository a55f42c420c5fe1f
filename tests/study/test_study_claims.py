"""Claims and paired effects of the study on rows made by hand: limits, short solves."""

import pytest

from pyomo_relu.study.findings.common import AGREES, MISSING, TOO_LITTLE
from pyomo_relu.study.findings.routes import branching_on_inputs, clipping_afterwards
from pyomo_relu.study.findings.scaling import scaling_big_m, scaling_effort
from pyomo_relu.study.run.tables import COLUMNS, Tables
from pyomo_relu.study.statistics.aggregate import (
    dominated_shares,
    of_hard_instances,
    paired_ratio,
    select,
)


def test_short_pairs_are_left_out_unless_a_limit_stopped_one():
    rows = [
        {"seed": s, "kind": k, "v": v, "solve_cpu_seconds": t, "status": status}
        for s, k, v, t, status in [
            (0, "a", 1, 0.1, "optimal"),
            (0, "b", 2, 0.2, "optimal"),
            (1, "a", 1, 0.1, "optimal"),
            (1, "b", 8, 3.0, "optimal"),
            (2, "a", 1, 0.1, "optimal"),
            (2, "b", 9, 0.2, "work limit"),
        ]
    ]
    a, b = select(rows, kind="a"), select(rows, kind="b")
    ratio = paired_ratio(a, b, "v", "seed", least=("solve_cpu_seconds", 0.5))
    assert (ratio.pairs, ratio.short, ratio.censored) == (2, 1, 1)
    assert ratio.value == pytest.approx((1 / 72) ** 0.5)


def solve_rows(**figures):
    """Plain solves of the three problems and four seeds, with what differs."""
    blank = dict.fromkeys(COLUMNS["solves"])
    return [
        {
            **blank,
            "network": f"{p}{s}{figures.get('family')}",
            "problem": p,
            "hidden": "9x9",
            "seed": s,
            "training": figures.get("family"),
            "units": "raw",
            "bounds": "lp",
            "formulation": "relu.bigm",
            "solver": "gurobi",
            "solver_seed": 0,
            "status": "optimal",
            "objective": 1.0,
            "nrmse": 0.1,
            "solve_cpu_seconds": 2.0,
            **figures,
        }
        for p in ("peaks", "himmelblau", "ackley2")
        for s in range(4)
    ]


def tables(*rows):
    return Tables([], [], [row for group in rows for row in group])


def test_branching_claim_needs_trees_and_counts_boxes():
    common = {"solver": "relu.branch", "formulation": "none", "bounds": "none"}
    plain = solve_rows(family="plain", nodes=100, **common)
    fewer = solve_rows(family="l1", nodes=40, **common)
    finding = branching_on_inputs(tables(plain, fewer))
    assert finding.verdict == AGREES
    assert "boxes x0.406 [0.406, 0.406] (12 pairs)" in finding.measured
    small = [{**r, "nodes": 5} for r in plain + fewer]
    assert branching_on_inputs(tables(small)).verdict == TOO_LITTLE
    assert branching_on_inputs(tables([])).verdict == MISSING


def test_scaling_claims_say_what_theory_says_and_compare_with_the_trained_network():
    trained = solve_rows(
        family="plain",
        units="normalised",
        work=4.0,
        nodes=100,
        relaxation_bound=-2.0,
        smallest_coefficient=1e-3,
        largest_coefficient=10.0,
        forward_error=1e-7,
    )
    rescaled = [{**r, "units": "l1", "work": 2.0} for r in trained]
    finding = scaling_effort(tables(trained, rescaled))
    assert finding.verdict == AGREES and "in exact arithmetic" in finding.measured
    assert "l1: coefficients span a factor of up to 1.0e+04" in finding.measured
    assert "relaxation's bound: 0." in finding.measured
    off = [{**r, "relaxation_bound": -3.0} for r in rescaled]
    assert "relaxation's bound: 0.5." in scaling_effort(tables(trained, off)).measured
    raw = [{**r, "units": "raw"} for r in trained]
    assert scaling_effort(tables(raw, rescaled)).verdict == MISSING
    assert scaling_big_m(tables(raw)).verdict == MISSING


def test_ceilings_put_on_afterwards_are_compared_with_the_same_network():
    plain = solve_rows(family="plain", work=4.0, n_binaries=10)
    more = [
        {**r, "formulation": "clipped", "work": 8.0, "n_binaries": 20}
        | {"output_movement": 0.5, "forward_error": 0.25}
        for r in plain
    ]
    finding = clipping_afterwards(tables(plain, more))
    assert finding.verdict == "disagrees"
    assert "binaries x2 [2, 2]" in finding.measured
    assert "by at most 0.5 on the box (proven, mean), at the optimum by 0.25" in (
        finding.measured
    )


def test_a_lever_that_makes_solves_short_does_not_take_them_out():
    hard = solve_rows(family="plain")
    eased = [{**r, "family": "l1", "solve_cpu_seconds": 0.01} for r in hard]
    assert of_hard_instances(eased, hard + eased) == eased
    assert of_hard_instances(eased, eased) == []
    stopped = [{**r, "status": "work limit", "work": 9.0} for r in eased]
    same = paired_ratio(stopped, stopped, "work", "network")
    assert same.value is None and same.open == 12  # equal figures, unknown truth
    assert str(same) == "not measured (12 pairs at their limits)"
    easy = [{**r, "work": 3.0, "status": "optimal"} for r in stopped]
    assert paired_ratio(easy, stopped, "work", "network").censored == 12
    keys = ["problem", "seed"]
    beaten = [n for _, n, _ in dominated_shares(stopped, easy, keys, ["nrmse", "work"])]
    assert beaten == [1] * 12
    worse = [{**r, "nrmse": 0.2} for r in stopped]
    beaten = [
        n for _, n, _ in dominated_shares(worse, stopped, keys, ["nrmse", "work"])
    ]
    assert beaten == [0] * 12
    assert of_hard_instances(eased, stopped) == eased
