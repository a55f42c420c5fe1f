"""Eight oil wells on two flowlines as a Pyomo model; no test logic here.

The problem of Grimstad and Andersson, Computers & Chemical Engineering 131 (2019)
106580: choose for each well a manifold and a pressure so that the oil is maximal.
Every well and both flowlines are ReLU networks; everything else is linear.
"""

import json

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, load_onnx
from tests.paths import SHARED_MODELS

PHASES = ("oil", "gas", "water")


def oil_wells(variant="shallow"):
    """The whole problem with the nets of ``variant`` ("shallow" or "deep")."""
    folder = SHARED_MODELS / "oilwell"
    data = json.loads((folder / "problem.json").read_text())
    wells = dict(enumerate(data["wells"], start=1))
    lines = {line["from_node"]: line for line in data["flowlines"]}
    nets = folder / variant
    m = pyo.ConcreteModel()
    m.wells, m.manifolds = pyo.Set(initialize=list(wells)), pyo.Set(
        initialize=list(lines)
    )
    m.phases = pyo.Set(initialize=PHASES)
    m.p = pyo.Var(m.wells, bounds=lambda _, i: wells[i]["pwh_bounds"])
    m.q = pyo.Var(m.wells, bounds=lambda _, i: wells[i]["qoil_bounds"])
    m.P = pyo.Var(m.manifolds, bounds=(0.299867, 2.09987))
    m.feeds = pyo.Var(m.wells, m.manifolds, domain=pyo.Binary)
    m.rate = pyo.Var(m.wells, m.manifolds, m.phases, bounds=(0, 10))
    m.flow = pyo.Var(
        m.manifolds,
        m.phases,
        bounds=lambda _, j, f: {
            "oil": (0.04, 1.6),
            "gas": (0.024, 1.92),
            "water": (0, 0.96),
        }[f],
    )
    m.outlet = pyo.Var(m.manifolds)
    factor = {
        i: {"oil": 1.0, "gas": w["gor"], "water": w["wor"]} for i, w in wells.items()
    }

    @m.Constraint(m.wells, m.phases)
    def split(m, i, f):
        return sum(m.rate[i, j, f] for j in m.manifolds) == factor[i][f] * m.q[i]

    @m.Constraint(m.wells, m.manifolds, m.phases)
    def switch(m, i, j, f):
        most = factor[i][f] * wells[i]["qoil_bounds"][1]
        return m.rate[i, j, f] <= most * m.feeds[i, j]

    @m.Constraint(m.wells)
    def routing(m, i):
        return sum(m.feeds[i, j] for j in m.manifolds) <= 1

    @m.Constraint(m.wells, m.manifolds)
    def choke(m, i, j):
        return m.p[i] >= m.P[j] - 1.8 * (1 - m.feeds[i, j])

    @m.Constraint(m.manifolds, m.phases)
    def gathers(m, j, f):
        return m.flow[j, f] == sum(m.rate[i, j, f] for i in m.wells)

    @m.Constraint(m.manifolds)
    def separator(m, j):
        return m.outlet[j] == lines[j]["separator_pressure"]

    m.gas = pyo.Constraint(expr=sum(m.flow[j, "gas"] for j in m.manifolds) <= 3.4)
    m.well = ReLUNetworkBlock(
        m.wells,
        network=lambda i: str(nets / f"well_{i}.onnx"),
        inputs=lambda i: [m.p[i]],
        outputs=lambda i: [m.q[i]],
    )
    flowline = load_onnx(nets / "flowline_1.onnx")
    m.flowline = ReLUNetworkBlock(
        m.manifolds,
        network=flowline,
        inputs=lambda j: [*(m.flow[j, f] for f in PHASES), m.P[j]],
        outputs=lambda j: [m.outlet[j]],
    )
    m.total = pyo.Objective(
        expr=sum(m.flow[j, "oil"] for j in m.manifolds), sense=pyo.maximize
    )
    return m
