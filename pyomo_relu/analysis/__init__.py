"""What one learns about a network and a model: regions, stable neurons, big-M sizes."""

from pyomo_relu.analysis.big_m import BigMReport, LayerBigM, big_m_statistics
from pyomo_relu.analysis.regions import RegionCount, count_regions
from pyomo_relu.analysis.regions_cells import Region
from pyomo_relu.analysis.stability import LayerStability, StabilityReport, stability

__all__ = [
    "BigMReport",
    "LayerBigM",
    "LayerStability",
    "Region",
    "RegionCount",
    "StabilityReport",
    "big_m_statistics",
    "count_regions",
    "stability",
]
