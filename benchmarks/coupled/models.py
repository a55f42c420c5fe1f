"""Plants that rows couple: one resource for all, or hourly balances with a store."""

import functools
import math
from typing import NamedTuple

import pyomo.environ as pyo

from benchmarks.coupled.networks import plants
from pyomo_relu import ReLUNetworkBlock

_HOURS = 24

#: Networks of the plants: sites with many local optima; chillers over load and
#: temperature of the cooling water.
_SITES = ["peaks_2x10_seed0", "peaks_2x25", "himmelblau_2x25", "ackley2_2x25"]
_CHILLERS = ["chiller"]

#: Networks whose cost over the balanced quantity has several local optima.
_PEAKS = ["peaks_2x10_seed0"]

#: Shares of a plant's reach that the rows ask for on average.
_RESOURCE, _LOAD = 0.4, 0.55


class Size(NamedTuple):
    """Which model.

    Attributes
    ----------
    networks : int
    rows : str
        A key of ``ROWS``.
    identical : bool
        One network for all, or one each.
    whole : bool
        Whether integers are in the coupling rows.
    """

    networks: int
    rows: str
    identical: bool = False
    whole: bool = False

    @property
    def name(self):
        """For tables."""
        parts = [self.rows, str(self.networks)]
        parts += ["identical"] if self.identical else []
        return "_".join(parts + (["whole"] if self.whole else []))


def resource(size):
    """Sites at least cost, whose first inputs must reach a sum.

    With integers, lots of the resource can be bought.
    """
    sites = plants(_SITES, size.networks, size.identical)
    m = pyo.ConcreteModel(size.name)
    _networks(m, sites)
    m.cost = pyo.Objective(expr=pyo.quicksum(m.out.values()))
    reach = sum(site.upper[0] for site in sites)
    have = pyo.quicksum(m.x[k, 0] for k in m.plants)
    if size.whole:
        lot = 0.05 * reach
        m.lots = pyo.Var(range(3), domain=pyo.Integers, bounds=(0, 3))
        have += pyo.quicksum(lot * (1 + 0.3 * i) * m.lots[i] for i in m.lots)
        m.cost.expr += pyo.quicksum(lot * (1.2 + 0.5 * i) * m.lots[i] for i in m.lots)
    m.row = pyo.Constraint(expr=have >= _RESOURCE * reach)
    return m


def storage(size, makes=_CHILLERS):
    """Chillers, or plants of other makes, that meet hourly loads with a cold store, the power at hourly prices.

    Cooler water costs what the towers take.  Plant k stands for one in hour k modulo 24.
    With integers, cold can be bought in lots.
    """
    if size.networks < _HOURS:
        raise ValueError(
            f"storage: {size.networks} networks leave hours without one; take at least "
            f"{_HOURS}."
        )
    chillers = plants(makes, size.networks, size.identical)
    m = pyo.ConcreteModel(size.name)
    _networks(m, chillers)
    m.hours = pyo.RangeSet(0, _HOURS - 1)
    reach = sum(c.upper[0] for c in chillers) / _HOURS
    m.level = pyo.Var(range(_HOURS + 1), bounds=(0, 2 * reach))
    m.level[0].fix(reach)
    m.end = pyo.Constraint(expr=m.level[_HOURS] >= reach)
    towers = pyo.quicksum(
        0.004 * (chillers[k].upper[1] - m.x[k, 1]) * _price(k % _HOURS)
        for k in m.plants
    )
    power = pyo.quicksum(_price(k % _HOURS) * m.out[k] for k in m.plants)
    m.cost = pyo.Objective(expr=power + towers)
    if size.whole:
        m.lots = pyo.Var(m.hours, domain=pyo.Integers, bounds=(0, 3))
        m.cost.expr += pyo.quicksum(0.08 * reach * m.lots[t] for t in m.hours)

    def balance(m, t):
        made = pyo.quicksum(m.x[k, 0] for k in range(t, size.networks, _HOURS))
        if size.whole:
            made += 0.2 * reach * m.lots[t]
        load = _LOAD * reach * (1 + 0.5 * math.sin(2 * math.pi * (t - 9) / _HOURS))
        return m.level[t + 1] == 0.98 * m.level[t] + made - load

    m.balance = pyo.Constraint(m.hours, rule=balance)
    return m


#: name -> function that builds the model of a Size
ROWS = {
    "resource": resource,
    "storage": storage,
    "peaks": functools.partial(storage, makes=_PEAKS),
}


def _price(hour):
    return 1 + 0.6 * math.sin(2 * math.pi * (hour - 11) / 24) + 0.1 * (hour * 3 % 7)


def _networks(m, every):
    """Inputs ``x[k, j]``, outputs ``out[k]`` and the blocks between them."""
    m.plants = pyo.RangeSet(0, len(every) - 1)
    m.x = pyo.Var(m.plants, range(2), bounds=lambda m, k, j: every[k].bounds(j))
    m.out = pyo.Var(m.plants)
    m.nn = ReLUNetworkBlock(
        m.plants,
        network={k: every[k].network for k in m.plants},
        inputs=lambda k: [m.x[k, 0], m.x[k, 1]],
        outputs=lambda k: [m.out[k]],
    )
