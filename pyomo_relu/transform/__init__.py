"""The transformations, one file each; importing this package registers them."""

from pyomo_relu.transform.auto import Auto
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.bigm import BigM
from pyomo_relu.transform.bounds import Bounds
from pyomo_relu.transform.cells import Cells
from pyomo_relu.transform.clipped import Clipped
from pyomo_relu.transform.complementarity import Complementarity
from pyomo_relu.transform.cuts import Cuts
from pyomo_relu.transform.gdp import Gdp
from pyomo_relu.transform.gurobi_native import use_native_constraints
from pyomo_relu.transform.obbt import OBBT
from pyomo_relu.transform.partition import Partition
from pyomo_relu.transform.reduce import Reduce
from pyomo_relu.transform.refresh import Refresh
from pyomo_relu.transform.scaled import Scaled
from pyomo_relu.transform.sos1 import Sos1

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
