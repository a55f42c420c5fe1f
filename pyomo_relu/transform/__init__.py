"""The transformations, one file each; importing this package registers them."""

import pyomo_relu.transform.auto  # noqa: F401
import pyomo_relu.transform.bigm  # noqa: F401
import pyomo_relu.transform.bounds  # noqa: F401
import pyomo_relu.transform.cells  # noqa: F401
import pyomo_relu.transform.clipped  # noqa: F401
import pyomo_relu.transform.cuts  # noqa: F401
import pyomo_relu.transform.gdp  # noqa: F401
import pyomo_relu.transform.native_complementarity  # noqa: F401
import pyomo_relu.transform.native_sos  # noqa: F401
import pyomo_relu.transform.obbt  # noqa: F401
import pyomo_relu.transform.partition  # noqa: F401
import pyomo_relu.transform.reduce  # noqa: F401
import pyomo_relu.transform.refresh  # noqa: F401
import pyomo_relu.transform.scaled  # noqa: F401
import pyomo_relu.transform.warmstart  # noqa: F401
