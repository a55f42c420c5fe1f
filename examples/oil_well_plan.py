"""A feasible plan for the oil wells within a second: all chokes open.

With open chokes every well on a flowline has the flowline's upstream pressure, so that
for one set of wells the flowline's network is a function of that pressure alone: its
roots are found on a grid and by bisection, for all sets of wells at once.  No proof of
optimality; the plan is a MIP start.

    python examples/oil_well_plan.py FOLDER
"""

import argparse
import itertools

import numpy as np
import pyomo.environ as pyo

from pyomo_relu.study.problems.oil_well_model import RATES, oil_well_model

_GRID = 400
_BISECTIONS = 60


def open_choke_plan(m):
    """Set the model's Vars to the best plan with open chokes; its total oil rate.

    Parameters
    ----------
    m : pyomo.environ.ConcreteModel
        Of ``oil_well_model``, with or without formulations.

    Returns
    -------
    float
        Total rate; the Vars, those of the networks included, are set.
    """
    wells, lines = list(m.wells), list(m.lines)
    lowest = np.array([_lowest_pressure(m, i) for i in wells])
    sets = [s for s in itertools.product([0.0, 1.0], repeat=len(wells)) if any(s)]
    best = {j: _best_points(m, j, np.array(sets), lowest) for j in lines}
    plan = max(_plans(m, wells, lines, sets, best), key=lambda found: found[0])
    _assign(m, wells, lines, lowest, plan[1])
    return plan[0]


def _pressures(m, upstream, lowest):
    """Well pressures (N, wells) with open chokes, and whether they are possible."""
    highest = np.array([m.pressure[i].ub for i in m.wells])
    return np.maximum(upstream[:, None], lowest), upstream[:, None] <= highest


def _lowest_pressure(m, i):
    """The least pressure at which the well's rate is within its bound."""
    p = np.linspace(m.pressure[i].lb, m.pressure[i].ub, 20001)
    return p[np.argmax(m.well[i].network.forward(p[:, None])[:, 0] <= m.rate[i].ub)]


def _rates(m, pressures):
    columns = [
        m.well[i].network.forward(pressures[:, [n]]) for n, i in enumerate(m.wells)
    ]
    return np.hstack(columns)


def _best_points(m, j, sets, lowest):
    """{set of wells: (total rate, upstream pressure)} of a flowline."""
    grid = np.linspace(m.upstream[j].lb, m.upstream[j].ub, _GRID)
    found = {}
    pairs = np.repeat(grid, len(sets)), np.tile(sets, (_GRID, 1))
    excess = _excess(m, j, pairs[1], pairs[0], lowest)[0].reshape(_GRID, -1)
    at, which = np.nonzero(np.sign(excess[:-1]) * np.sign(excess[1:]) <= 0)
    low, high = grid[at], grid[at + 1]
    first = np.sign(excess[at, which])
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        same = np.sign(_excess(m, j, sets[which], middle, lowest)[0]) == first
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    value, flow, allowed = _excess(m, j, sets[which], high, lowest)
    bounds = [m.flow[j, r].bounds for r in RATES]
    for (lo, hi), rate in zip(bounds, flow.T, strict=True):
        allowed &= (lo <= rate) & (rate <= hi)
    allowed &= np.abs(value) <= 1e-9
    for n in np.flatnonzero(allowed):
        key = tuple(sets[which[n]])
        found[key] = max(found.get(key, (0.0, 0.0)), (flow[n, 0], high[n]))
    return found


def _excess(m, j, sets, upstream, lowest):
    """Downstream pressure minus the separator's, flows, and whether wells can flow."""
    pressures, possible = _pressures(m, upstream, lowest)
    rates = sets * _rates(m, pressures)
    flow = np.stack([rates @ m.share[r] for r in RATES], axis=1)
    inputs = np.column_stack([flow, upstream])
    y = m.flowline[j].network.forward(inputs)[:, 0]
    return y - m.downstream[j].value, flow, (possible | (sets == 0)).all(axis=1)


def _plans(m, wells, lines, sets, best):
    """(total rate, {line: (set, pressure)}) of all routings that can be open."""
    off = {n for n, i in enumerate(wells) if _can_shut(m, i)}
    for choice in itertools.product(*(best[j].items() for j in lines)):
        used = np.sum([key for key, _ in choice], axis=0)
        if np.all(used <= 1) and set(np.flatnonzero(used == 0)) <= off:
            total = sum(rate for _, (rate, _) in choice)
            yield (
                total,
                {j: (key, p) for j, (key, (_, p)) in zip(lines, choice, strict=True)},
            )


def _can_shut(m, i):
    return m.well[i].network.forward([m.pressure[i].ub])[0] == 0.0


def _assign(m, wells, lines, lowest, plan):
    for i in wells:
        m.pressure[i].value = m.pressure[i].ub
    for j, (key, upstream) in plan.items():
        pressures, _ = _pressures(m, np.array([upstream]), lowest)
        m.upstream[j].value = upstream
        for n, i in enumerate(wells):
            m.open[i, j].set_value(int(key[n]))
            if key[n]:
                m.pressure[i].value = float(pressures[0, n])
    for i in wells:
        m.well[i].initialize()
        for j in lines:
            m.routed[i, j].value = m.rate[i].value * m.open[i, j].value
    for j in lines:
        for r in RATES:
            m.flow[j, r].value = sum(
                m.share[r][n] * m.routed[i, j].value for n, i in enumerate(wells)
            )
        m.flowline[j].initialize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of a field: problem.json and networks")
    parser.add_argument("--nets", default="shallow", help="folder of networks in it")
    arguments = parser.parse_args()
    model = oil_well_model(arguments.folder, arguments.nets)
    print(f"total oil rate {open_choke_plan(model):.7f}")
    for line in model.lines:
        fed = [i for i in model.wells if pyo.value(model.open[i, line]) > 0.5]
        print(f"{line}: wells {fed}, {model.upstream[line].value:.5f} upstream")
