r"""relu.scaled: neurons in other units, then the rows of ``relu.bigm``.

Neuron i gets a factor s_i > 0 and copies ``v'_i = s_i v_i``, ``x'_i = s_i x_i`` of its
pre- and post-activation.  The copies carry the affine and the big-M rows of the
rescaled network (the same function, since ``max(0, s v) = s max(0, v)``)::

    v'_i = sum_j (s_i w_ij / s_j) x'_j + s_i b_i      L'_i = s_i L_i      U'_i = s_i U_i
    c'_i = s_i c_i                                    x'_i = s_i x_i      v'_i = s_i v_i

``pre``, ``post``, bounds and M values keep the network's units: the last two rows give
``pre`` and ``post`` their values, and a solver's presolve removes them.  A neuron with
factor 1 needs no copies; with all factors 1 the rows are those of ``relu.bigm``.
Factors are powers of two unless ``rounding=False``: every coefficient is then scaled
without rounding and the function stays the same bit for bit.  All formulations bring
neurons in far units to values of about 1 (``bounds.neuron_units``); a criterion's
factors come on top of that, stay within ``[2**-30, 2**30]``, are 1 for neurons that cannot move an output by more
than a rounding error, and are drawn towards 1 (s to the power 1/2, 1/4, ...) until the
coefficients span no wider range than those of ``relu.bigm``.

What scaling cannot do: interval, CROWN and LP bounds scale with the neuron, and
substituting ``x' = s x`` maps the scaled rows onto the original ones one by one.  In
exact arithmetic it changes neither the LP relaxation's bound, nor which neurons are
stable, nor the linear regions, and scaling before or after bound tightening is the same
thing.  In trials on networks of ordinary training it changed neither node counts nor
times beyond noise.  What it can do is numerics: smaller coefficient ranges
(``get_coefficient_ranges``), less leakage through ``x <= U z`` with z = 1e-6 that a
solver takes for 0.  Choose it when weights or big-M coefficients span many orders of
magnitude.

Sources: Plate et al., "An analysis of optimization problems involving ReLU neural
networks" (2025), eqs. 10 and 12 (``l1``); Nagel et al. (2019) for ``max``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pyomo.common.config import Bool, ConfigValue, In, document_class_CONFIG
from pyomo.common.dependencies import numpy as np
from pyomo.common.dependencies import scipy
from pyomo.core.base import TransformationFactory
from pyomo.repn import generate_standard_repn

from pyomo_relu import network as network_
from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.options import declare
from pyomo_relu.transform.base import NetworkFormulation, check_encoded
from pyomo_relu.transform.declaration import BIG_M, CLIPPED, Adds
from pyomo_relu.transform.formulations.bigm import encode_big_m
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.per_neuron import per_neuron_values
from pyomo_relu.transform.parts.row_builder import RowBuilder

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict

    from pyomo_relu.block.block import ReLUNetworkBlockData
    from pyomo_relu.block.records.encoding import Encoding
    from pyomo_relu.common.types import FloatArray


class CoefficientRange(NamedTuple):
    """Smallest and largest absolute coefficient of some rows; (nan, nan) if none."""

    smallest: float
    largest: float

    @property
    def ratio(self) -> float:
        """How many times the largest is the smallest."""
        return self.largest / self.smallest


def _declare_scaling(config):
    config.declare(
        "criterion",
        ConfigValue(
            default="l1",
            domain=In(["l1", "unit", "max"]),
            description="what the factors are chosen for",
            doc="""
            "l1": the least l1 norm of all weights and biases, by a closed-form sweep.
            "unit": every post-activation in [0, 1], so upper big-M coefficients are 1
            (in (1/2, 1] for powers of two).  "max": equal largest incoming and outgoing
            weight at each neuron.""",
        ),
    )
    config.declare(
        "factors",
        ConfigValue(
            default=None,
            description="the factors themselves, instead of a criterion",
            doc="""
            A positive number for all neurons; a sequence with one entry per activation
            layer, each a number, an array or None; or a dict from layer or from (layer,
            neuron).  Taken as given, without rounding; within [2**-30, 2**30].""",
        ),
    )
    config.declare(
        "rounding",
        ConfigValue(
            default=True,
            domain=Bool,
            description="round a criterion's factors to powers of two",
            doc="""
            Multiplying by a power of two is exact, so the function is unchanged bit for
            bit.  Without rounding it is unchanged up to rounding errors; neurons in
            far units get powers of two all the same.""",
        ),
    )
    return config


@TransformationFactory.register(
    "relu.scaled", doc="Rescale neurons, then big-M rows (Plate et al., eqs. 10, 12)"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Scaled(NetworkFormulation):
    """Encode ReLU network blocks in other units; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.scaled", factors=0.5)
    above: 0  <=  scaled_post - scaled_pre
    active: scaled_post - scaled_pre + 1*indicator  <=  1
    inactive: scaled_post - 2*indicator  <=  0
    links[0,0,pre]: 2*scaled_pre - pre  ==  0
    links[0,0,post]: 2*scaled_post - post  ==  0
    affine[0,0]: 0.5*inputs[0] + inputs[1] - scaled_pre  ==  -0.5
    affine[1,0]: 2*scaled_post - outputs[0]  ==  0
    """

    NAME = "relu.scaled"
    ADDS = (
        BIG_M,
        CLIPPED,
        Adds("neuron with a factor other than 1", variables=2, rows=2),
    )
    EXACT = "yes, to 1e-9"
    SOURCE = "Plate et al. eqs. 10, 12"
    USE = (
        "weights or bounds over many orders of magnitude; changes numerics, not "
        "the relaxation"
    )
    CONFIG: ConfigDict = _declare_scaling(declare(NetworkFormulation.CONFIG(), "bigM"))
    HANDLES_CEILINGS = True

    def _bounds(self, block, plan):
        bounds, _ = super()._bounds(block, plan)
        return tightened_by_given_m(block, bounds, plan.config.bigM)

    def _units(self, rows, plan):
        from pyomo_relu.bounds.resolution import unresolved_rows

        units = super()._units(rows, plan)
        given = plan.config.factors
        if given is not None:
            return units.with_neurons(self._given(given, rows))
        bounds = units.bounds(rows.bounds)
        if unresolved_rows(bounds)[1] is not None:
            return units  # refused, as by all formulations
        own = self._chosen(bounds, plan.config)
        down = _rounds_up(plan.config)
        return units.with_neurons(_beside(units.neurons, own, down))

    def _encode_neuron(self, rows, k, i, config):
        encode_big_m(rows, k, i)

    def _given(self, given, rows):
        """Factors by the modeller, if they leave no neuron out of solvers' sight."""
        from pyomo_relu.bounds.neuron_units import tiny_unit
        from pyomo_relu.network.rescale import LARGEST_FACTOR as most

        what = f"{self.NAME}: factors"
        factors = per_neuron_values(given, rows.network, what, 1.0)
        if not all(np.all((s >= 1.0 / most) & (s <= most)) for s in factors):
            raise TransformationError(
                f"{what} must be finite and lie within [2**-30, 2**30]: they "
                "become coefficients, and solvers resolve no wider range."
            )
        tiny = tiny_unit(rows.bounds, factors)
        if tiny is not None:
            k, i, size = tiny
            raise TransformationError(
                f"{what} give neuron {i} of layer {k} "
                f"('{rows.network.layers[k].name}') of '{rows.block.name}' values of "
                f"about {size:.3g}; at a solver's tolerance of 1e-6 the outputs would "
                "be wrong. Leave the factors out, or give that neuron one of about "
                f"{float(factors[k][i]) / size:.3g}."
            )
        return factors

    def _chosen(self, bounds, config):
        """A criterion's factors for a network in unit range."""
        from pyomo_relu.bounds.neuron_units import rescaled_bounds
        from pyomo_relu.network.rescale import (
            LARGEST_FACTOR,
            neurons_that_matter,
            power_of_two,
        )

        network, most = bounds.network, LARGEST_FACTOR
        reach = [
            np.maximum(-low, high)
            for low, high in zip(bounds.lower, bounds.upper, strict=True)
        ]
        matters = neurons_that_matter(network, reach)
        if config.criterion == "unit":
            tops = [bounds.post_bounds(k)[1] for k in range(len(bounds.upper) - 1)]
            wanted = [
                1.0 / np.where(top > 0, np.maximum(top, 1.0 / most), 1.0)
                for top in tops
            ]
        else:
            balance = {"l1": network_.l1_factors, "max": network_.max_factors}
            wanted = balance[config.criterion](network)
        wanted = [
            np.where(m, np.clip(s, 1.0 / most, most), 1.0)
            for s, m in zip(wanted, matters, strict=True)
        ]
        limit = _coefficients(bounds).ratio * (1 + 1e-12)
        for power in (1.0, 0.5, 0.25, 0.125, 0.0):
            factors = [s**power for s in wanted]
            if config.rounding:
                factors = power_of_two(factors, up=_rounds_up(config))
            if _coefficients(rescaled_bounds(bounds, factors)).ratio <= limit:
                break
        return factors

    # -- look-ups ------------------------------------------------------------------

    def get_factors(self, block: ReLUNetworkBlockData) -> list[FloatArray]:
        """The factors of a block's neurons: one array per activation layer."""
        encoding = _own_encoding(block)
        if encoding.neurons is not None:
            return [s.copy() for s in encoding.neurons.factors]
        return [np.ones(layer.size) for layer in encoding.network.layers[:-1]]

    def get_coefficient_ranges(
        self, block: ReLUNetworkBlockData
    ) -> dict[str, CoefficientRange]:
        """Coefficients of a block's rows with and without scaling.

        Parameters
        ----------
        block : ReLUNetworkBlockData
            Encoded by ``relu.scaled``.

        Returns
        -------
        dict of CoefficientRange
            "before": affine and big-M rows in the network's units (as ``relu.bigm``
            would make them); "after": those of the scaled rows; "links": the rows
            ``x' = s x``, which presolve removes.
        """
        encoding = _own_encoding(block)
        new = encoding.reformulation
        unscaled = RowBuilder(block, encoding.bounds)
        for k in range(len(encoding.network.layers) - 1):
            for i in unscaled.encode_stable(k):
                encode_big_m(unscaled, k, i)
        before = [*block.affine.values(), *unscaled.reformulation.rows.values()]
        after = [row for row in block.affine.values() if row.active]
        affine, links = (new.component(name) or {} for name in ("affine", "links"))
        after += [*affine.values(), *new.rows.values()]
        return {
            "before": _coefficient_range(before),
            "after": _coefficient_range(after),
            "links": _coefficient_range(links.values()),
        }


def _rounds_up(config):
    """How ``power_of_two`` rounds: down for post-activations of at most 1."""
    return False if config.criterion == "unit" else None


def _beside(far, own, up):
    """The factors of neurons in far units times a criterion's.

    Values of 1e12 times a factor that is no power of two are off by more than solvers'
    tolerances, so neurons in far units get powers of two even without rounding.
    """
    from pyomo_relu.network.rescale import power_of_two

    if far is None:
        return own
    whole = power_of_two(own, up=up)
    return [
        p * np.where(p != 1.0, two, s)
        for p, s, two in zip(far, own, whole, strict=True)
    ]


def _own_encoding(block) -> Encoding:
    encoding = check_encoded(block)
    if encoding.formulation is not Scaled:
        raise TransformationError(
            f"'{block.name}' is encoded by {encoding.formulation.NAME}, which has no "
            "factors; apply relu.scaled."
        )
    return encoding


def _coefficients(bounds):
    """The range of all coefficients of a network's affine and big-M rows."""
    parts = [np.ones(1)]
    for k, layer in enumerate(bounds.network.layers):
        parts += [w.data if scipy.sparse.issparse(w) else w for w in layer.weights]
        if k == len(bounds.lower) - 1:
            break
        at = bounds.unstable(k)
        low, high = bounds.lower[k][at], bounds.upper[k][at]
        if layer.ceiling is not None:
            ceiling = layer.ceiling[at]
            cut = ceiling < high
            level = ceiling[cut]
            parts += [high[cut] - level, np.maximum(low[cut], 0.0) - level]
            high = np.where(cut & (low >= 0), 0.0, np.minimum(high, ceiling))
            low = np.minimum(low, 0.0)
        parts += [low, high]
    coefs = np.abs(np.concatenate([np.ravel(part) for part in parts]))
    coefs = coefs[coefs > 0]
    return CoefficientRange(float(coefs.min()), float(coefs.max()))


def _coefficient_range(rows):
    coefs = []
    for row in rows:
        read = generate_standard_repn(row.body)
        assert read is not None
        coefs += [abs(c) for c in read.linear_coefs if c]
    if not coefs:
        return CoefficientRange(math.nan, math.nan)
    return CoefficientRange(min(coefs), max(coefs))
