"""The routes of other packages by name."""

from benchmarks.comparison.model_set import GAP
from benchmarks.other_packages.gurobi_ml import GurobiML
from benchmarks.other_packages.omlt import OMLT
from benchmarks.other_packages.pyscipopt_ml import PySCIPOptML

#: name -> route
OTHERS = {
    "gurobi-ml": GurobiML(GAP),
    "omlt+HiGHS": OMLT(GAP),
    "pyscipopt-ml": PySCIPOptML(GAP),
}
