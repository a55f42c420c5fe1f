"""The study's bound methods by name: as transformations, and as records to look at."""

#: Name -> (transformation, options) that tightens a model before it is encoded; "none"
#: leaves the encoding (or a solver that reads networks itself) to what it does alone.
BOUND_METHODS = {
    "none": None,
    "interval": ("relu.bounds", {"methods": ["interval"]}),
    "crown": ("relu.bounds", {"methods": ["interval", "crown"]}),
    "split": ("relu.bounds", {"methods": ["interval", "crown", "split"]}),
    "lp": ("relu.obbt", {"methods": ["interval", "crown", "lp"]}),
    "model": ("relu.obbt", {"methods": ["interval", "crown", "lp"], "scope": "model"}),
    "all": ("relu.obbt", {"methods": ["interval", "crown", "split", "lp"]}),
}

#: Names whose bounds are recorded per layer; "scaled" means after l1 rescaling.
INDICATOR_METHODS = (
    "interval",
    "crown",
    "split",
    "lp",
    "all",
    "scaled interval",
    "scaled lp",
)


def record_bounds(network, lower, upper, method, time_limit=None):
    """NeuronBounds of a network on a box by a method of ``INDICATOR_METHODS``."""
    from pyomo_relu.bounds import tighten
    from pyomo_relu.network import l1_factors, rescale_network

    if method.startswith("scaled "):
        network = rescale_network(network, l1_factors(network))
        method = method.removeprefix("scaled ")
    _, options = BOUND_METHODS[method]
    bounds, _ = tighten(
        network, lower, upper, methods=options["methods"], time_limit=time_limit
    )
    return bounds
