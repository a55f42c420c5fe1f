"""The transformations, one file each; importing this package registers them."""

from pyomo_relu.transform.auto.auto import Auto
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.formulations.bigm import BigM
from pyomo_relu.transform.formulations.cells.cells import Cells
from pyomo_relu.transform.formulations.clipped import Clipped
from pyomo_relu.transform.formulations.cuts import Cuts
from pyomo_relu.transform.formulations.gdp import Gdp
from pyomo_relu.transform.formulations.pairs.complementarity import Complementarity
from pyomo_relu.transform.formulations.pairs.gurobi_native import use_native_constraints
from pyomo_relu.transform.formulations.pairs.sos1 import Sos1
from pyomo_relu.transform.formulations.partition import Partition
from pyomo_relu.transform.formulations.reduce import Reduce
from pyomo_relu.transform.formulations.scaled import Scaled
from pyomo_relu.transform.refresh import Refresh
from pyomo_relu.transform.tightening.bounds import Bounds
from pyomo_relu.transform.tightening.obbt import OBBT

__all__ = [
    "OBBT",
    "Auto",
    "BigM",
    "Bounds",
    "Cells",
    "Clipped",
    "Complementarity",
    "Cuts",
    "Gdp",
    "NetworkFormulation",
    "Partition",
    "Reduce",
    "Refresh",
    "Scaled",
    "Sos1",
    "use_native_constraints",
]
