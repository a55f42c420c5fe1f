"""Routing and choking of oil wells on two flowlines, with networks for both.

Each well is a network from well head pressure to oil rate; each flowline a network
from oil, gas and water rate and upstream pressure to downstream pressure, which the
separator fixes.  Every well feeds at most one flowline, and its pressure must not be
below the flowline's.  The total oil rate is maximised.

Problem, data and networks: Grimstad and Andersson, "ReLU networks as surrogate models in
mixed-integer linear programs", Computers & Chemical Engineering 131 (2019) 106580, with
its public code relu-opt-public (MIT licence, copyright 2020 Bjarne Grimstad).
"""

import json
from pathlib import Path

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock

#: Rates and upstream pressure of a flowline network, in its input order.
RATES = ("oil", "gas", "water")
_BOX_KEYS = ("qoil_bounds", "qgas_bounds", "qwat_bounds")


def oil_well_model(folder, nets="shallow", wells=None, lines=None):
    """The routing problem as a Pyomo model with untransformed network blocks.

    Parameters
    ----------
    folder : path
        With ``problem.json`` and a folder of networks.
    nets : str
        The folder of networks.
    wells : sequence of int, optional
        Numbers (from 1) of the wells to take; all by default.
    lines : sequence of str, optional
        Names of the flowlines to take; all by default.  With one flowline all wells
        feed it.

    Returns
    -------
    pyomo.environ.ConcreteModel
    """
    folder = Path(folder)
    problem = json.loads((folder / "problem.json").read_text())
    data = dict(enumerate(problem["wells"], 1))
    flowlines = {f["name"]: f for f in problem["flowlines"]}
    m = pyo.ConcreteModel("oil wells")
    m.wells = pyo.Set(initialize=sorted(wells or data))
    m.lines = pyo.Set(initialize=list(lines or flowlines))
    m.pressure = pyo.Var(m.wells, bounds=lambda m, i: data[i]["pwh_bounds"])
    m.rate = pyo.Var(m.wells, bounds=lambda m, i: data[i]["qoil_bounds"])
    m.upstream = pyo.Var(m.lines, bounds=lambda m, j: flowlines[j]["pus_bounds"])
    m.flow = pyo.Var(
        m.lines,
        RATES,
        bounds=lambda m, j, r: flowlines[j][_BOX_KEYS[RATES.index(r)]],
    )
    m.downstream = pyo.Var(m.lines)
    for j in m.lines:
        m.downstream[j].fix(flowlines[j]["separator_pressure"])
    m.well = ReLUNetworkBlock(
        m.wells,
        network={i: folder / nets / data[i]["net"] for i in m.wells},
        inputs=lambda i: [m.pressure[i]],
        outputs=lambda i: [m.rate[i]],
    )
    m.flowline = ReLUNetworkBlock(
        m.lines,
        network={j: folder / nets / flowlines[j]["net"] for j in m.lines},
        inputs=lambda j: [*(m.flow[j, r] for r in RATES), m.upstream[j]],
        outputs=lambda j: [m.downstream[j]],
    )
    _add_routing(m, data, problem["gas_capacity"])
    m.total = pyo.Objective(
        expr=sum(m.flow[j, "oil"] for j in m.lines), sense=pyo.maximize
    )
    return m


def _add_routing(m, data, gas_capacity):
    """Who feeds what: one flowline per well, pressures, and the flowlines' rates."""
    m.open = pyo.Var(m.wells, m.lines, domain=pyo.Binary)
    m.routed = pyo.Var(m.wells, m.lines, bounds=lambda m, i, j: data[i]["qoil_bounds"])
    m.one_line = pyo.Constraint(
        m.wells, rule=lambda m, i: sum(m.open[i, j] for j in m.lines) <= 1
    )
    m.split = pyo.Constraint(
        m.wells,
        rule=lambda m, i: m.rate[i] == sum(m.routed[i, j] for j in m.lines),
    )
    m.switch = pyo.Constraint(
        m.wells,
        m.lines,
        rule=lambda m, i, j: m.routed[i, j] <= m.rate[i].ub * m.open[i, j],
    )
    if len(m.lines) == 1:
        m.open.fix(1)
    # open[i, j] = 1 means pressure[i] >= upstream[j]: the choke takes the rest
    m.choke = pyo.Constraint(
        m.wells,
        m.lines,
        rule=lambda m, i, j: (
            m.upstream[j] - m.pressure[i]
            <= (m.upstream[j].ub - m.pressure[i].lb) * (1 - m.open[i, j])
        ),
    )
    # a well's gas and water come in proportion to its oil, on whichever line it feeds
    share = {i: (1.0, data[i]["gor"], data[i]["wor"]) for i in m.wells}
    m.share = {r: [share[i][n] for i in m.wells] for n, r in enumerate(RATES)}
    m.mix = pyo.Constraint(
        m.lines,
        RATES,
        rule=lambda m, j, r: (
            m.flow[j, r]
            == sum(share[i][RATES.index(r)] * m.routed[i, j] for i in m.wells)
        ),
    )
    # implied by the mix; stated because relu.cells applies rows among a network's own
    # inputs and outputs cell by cell
    m.least_share = pyo.Constraint(
        m.lines,
        RATES[1:],
        rule=lambda m, j, r: m.flow[j, r] >= min(m.share[r]) * m.flow[j, "oil"],
    )
    m.most_share = pyo.Constraint(
        m.lines,
        RATES[1:],
        rule=lambda m, j, r: m.flow[j, r] <= max(m.share[r]) * m.flow[j, "oil"],
    )
    m.gas = pyo.Constraint(expr=sum(m.flow[j, "gas"] for j in m.lines) <= gas_capacity)
