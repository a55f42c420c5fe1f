"""What one learns about a network and a model: regions, stable neurons, effort, bounds."""

from pyomo_relu.analysis.big_m import BigMReport, LayerBigM, big_m_statistics
from pyomo_relu.analysis.critical import critical_neurons
from pyomo_relu.analysis.effort.effort import Effort, measure_effort
from pyomo_relu.analysis.lagrangian.bound import LagrangianBound, lagrangian_bound
from pyomo_relu.analysis.regions.cells import Region
from pyomo_relu.analysis.regions.count import RegionCount, count_regions
from pyomo_relu.analysis.stability import LayerStability, StabilityReport, stability

__all__ = [
    "BigMReport",
    "Effort",
    "LagrangianBound",
    "LayerBigM",
    "LayerStability",
    "Region",
    "RegionCount",
    "StabilityReport",
    "big_m_statistics",
    "count_regions",
    "critical_neurons",
    "lagrangian_bound",
    "measure_effort",
    "stability",
]
