"""Good feasible points of models with networks."""

from typing import TYPE_CHECKING

from pyomo_relu.common.lazy import lazy_exports

if TYPE_CHECKING:
    from pyomo_relu.search.find import SearchResult, find_point
    from pyomo_relu.search.methods.ascent import minimise_over_box
    from pyomo_relu.search.warmstart import WarmStart
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "methods.ascent": ["minimise_over_box"],
            "find": ["SearchResult", "find_point"],
            "warmstart": ["WarmStart"],
        },
    )

__all__ = ["SearchResult", "WarmStart", "find_point", "minimise_over_box"]
