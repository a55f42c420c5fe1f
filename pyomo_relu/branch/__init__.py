"""Global branch and bound on the networks' inputs."""

from typing import TYPE_CHECKING

from pyomo_relu.common.lazy import lazy_exports

if TYPE_CHECKING:
    from pyomo_relu.branch.branch import BranchOptions, BranchResult
    from pyomo_relu.branch.interface.solver import ReLUBranch
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "branch": ["BranchOptions", "BranchResult"],
            "interface.solver": ["ReLUBranch"],
        },
    )

__all__ = ["BranchOptions", "BranchResult", "ReLUBranch"]
