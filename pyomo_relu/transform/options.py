"""Options that several transformations have, each declared once."""

from collections.abc import Mapping

from pyomo.common.config import Bool, ConfigValue, IsInstance
from pyomo.core.base import ReverseTransformationToken
from pyomo.core.util import target_list


def _targets(value):
    if isinstance(value, (str, bytes, Mapping)):
        raise ValueError("give a component or a list of components")
    return target_list(value)


def declare_targets(config):
    """Declare the options ``targets`` and ``reverse`` that every transformation has."""
    config.declare(
        "targets",
        ConfigValue(
            default=None,
            domain=_targets,
            description="network blocks, or blocks that contain some, to transform",
            doc="""
            A component or a list of components.  An indexed block means all its
            members.  Default: everything in the instance that the transformation is
            applied to.""",
        ),
    )
    config.declare(
        "reverse",
        ConfigValue(
            default=None,
            domain=IsInstance(ReverseTransformationToken),
            description="token of an earlier call, which is then undone",
            doc="""
            The token that an earlier call of the same transformation on the same model
            returned.  The call then undoes what that one did and nothing else.""",
        ),
    )
    return config


def declare_fixed_inputs(config):
    """Declare ``assume_fixed_vars_permanent``, named as in gdp.bigm."""
    config.declare(
        "assume_fixed_vars_permanent",
        ConfigValue(
            default=True,
            domain=Bool,
            description="whether fixed inputs count as points",
            doc="""
            If True, a fixed input is a point and the encoding is wrong once it is
            unfixed.  If False, a fixed input counts with its bounds, so it may be
            unfixed later.""",
        ),
    )
    return config
