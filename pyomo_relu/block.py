"""ReLUNetworkBlock: what the modeller holds.  No formulation and no bound method here."""

import logging
import math

from pyomo.common.config import ConfigDict, ConfigValue
from pyomo.common.dependencies import numpy as np
from pyomo.core.base.block import BlockData, declare_custom_block
from pyomo.core.base.component import ModelComponentFactory
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.set import Set
from pyomo.core.base.set_types import Any, Reals
from pyomo.core.base.var import Var

from pyomo_relu import bounds as bounds_
from pyomo_relu.affine_rows import (
    NetworkColumns,
    affine_rows,
    ceilings,
    exact_activation,
)
from pyomo_relu.block_record import block_record
from pyomo_relu.block_report import summary_text
from pyomo_relu.block_values import assign, point
from pyomo_relu.bounds_runs import void_reason
from pyomo_relu.errors import BoundsError, ModelError
from pyomo_relu.model_building import pause_garbage_collection
from pyomo_relu.network_argument import per_index, resolve_network
from pyomo_relu.var_argument import GivenVars, match_vars

logger = logging.getLogger("pyomo.relu")


def _keywords():
    config = ConfigDict("ReLUNetworkBlock")
    for name, description in (
        ("network", "path | bytes | ModelProto | Network, or dict/callable per index"),
        ("inputs", "the modeller's Vars for the network inputs (default: own Vars)"),
        ("outputs", "the modeller's Vars for the outputs (default: own Vars)"),
        ("input_scaling", "(offset, factor): the network sees (x - offset) / factor"),
        ("output_scaling", "(offset, factor): outputs are offset + factor * y"),
        ("output", "name(s) of inner ONNX tensors to use as outputs"),
    ):
        config.declare(name, ConfigValue(default=None, description=description))
    return config


def _index_set(keys):
    """Keys as a Var takes them; tensors of different rank make a jagged set."""
    if len({len(key) if isinstance(key, tuple) else 1 for key in keys}) == 1:
        return keys
    return Set(initialize=keys, dimen=None)


@declare_custom_block(name="ReLUNetworkBlock", rule="build")
class ReLUNetworkBlockData(BlockData):
    r"""A trained ReLU network between Pyomo variables.

    ``ReLUNetworkBlock(network=..., inputs=..., outputs=...)`` holds, with layers l,
    neurons i, sources s of layer l (inputs or earlier activations) and outputs y::

        affine[l, i]      pre[l, i] = sum_s W_s[i, :] t_s + b[i]     (y for the last l)
        activation[l, i]  post[l, i] = (pre[l, i] + |pre[l, i]|) / 2

    or, for a neuron with ceiling c, ``post = (|pre| - |pre - c| + c) / 2``.  The
    activation rows are exact and nonlinear: MINLP solvers solve the block as it is,
    LP and MILP solvers refuse it until a transformation such as ``relu.bigm``
    replaces them.

    Parameters
    ----------
    network : path, bytes, onnx.ModelProto, Network, dict or callable
        The network; for an indexed block one for all indices, or a dict by index, or
        a function of the index.
    inputs, outputs : Var, sequence or mapping of Vars, optional
        The modeller's own variables; any Var, Reference, indexed Var, sequence in
        flat order or mapping from the network's index.  Default: the block declares
        Vars ``inputs`` and ``outputs``, indexed by int for a tensor with one axis
        (the batch axis does not count), by tuple for more axes, with the tensor's
        name in front if there are several tensors.
    input_scaling, output_scaling : (offset, factor), optional
        The network sees ``(x - offset) / factor``; outputs are
        ``offset + factor * y``.
    output : str or sequence of str, optional
        Inner ONNX tensors to use as outputs, e.g. the logits before a Softmax.

    Attributes
    ----------
    inputs, outputs : IndexedVar
        Own Vars, or References to the modeller's.
    pre, post : IndexedVar
        Pre- and post-activations, indexed by (layer, neuron).
    affine, activation : IndexedConstraint

    Raises
    ------
    NetworkError
        If the network cannot be read (see ``load_onnx``).
    ModelError
        If keywords, variables or their number do not fit.  The model is then as it
        was before.
    """

    def build(self, *index, **kwds):
        """Fill the block; called by Pyomo when the block is constructed."""
        index = tuple(i for i in index if i is not None)
        try:
            with pause_garbage_collection():
                self._build(index, kwds)
        except BaseException:
            self._withdraw()
            raise

    def _build(self, index, kwds):
        allowed = _keywords()
        for key in kwds:
            if key not in allowed:
                raise ModelError(
                    f"{self.name}: unknown keyword '{key}'. ReLUNetworkBlock takes "
                    f"{', '.join(allowed)}."
                )
        given = allowed(kwds)
        if given.network is None:
            raise ModelError(
                f"{self.name}: no network given. Pass network=<path to an ONNX file>, "
                "a ModelProto or a pyomo_relu Network."
            )
        scalings = [
            per_index(self, given[key], index)
            for key in ("input_scaling", "output_scaling")
        ]
        network = resolve_network(self, given.network, index, given.output)
        network = network.with_scaling(*scalings)
        match = {
            side: match_vars(self, side, given[side], index, tensors, keys)
            for side, tensors, keys in (
                ("inputs", network.inputs, network.input_index()),
                ("outputs", network.outputs, network.output_index()),
            )
        }
        # everything that can be wrong with the arguments is settled by now
        self._network = network
        self._given = {}
        for side, matched in match.items():
            keys = getattr(network, side[:-1] + "_index")()
            if matched is None:
                self.add_component(side, Var(_index_set(keys), domain=Reals))
            else:
                self._given[side] = GivenVars(dict(zip(keys, matched)))
        self._add_neurons()

    def _withdraw(self):
        """Take a block that could not be built off its model again."""
        container = self.parent_component()
        parent = container.parent_block()
        if parent is not None:
            parent.del_component(container)

    def _add_neurons(self):
        network = self._network
        neurons = [
            (k, i)
            for k, layer in enumerate(network.activation_layers)
            for i in range(layer.size)
        ]
        self.pre = Var(neurons, domain=Reals)
        self.post = Var(neurons, domain=Reals)
        self.affine = Constraint(Any)
        self.activation = Constraint(Any)
        columns = NetworkColumns(self)
        for k, layer in enumerate(network.layers):
            results = columns.pre[k]
            for i, row in enumerate(affine_rows(layer, columns, results)):
                self.affine[k, i] = row
            if layer.activation == "identity":
                continue
            limits = ceilings(layer)
            for i, (v, x) in enumerate(zip(columns.pre[k], columns.post[k])):
                x.setlb(0.0)
                if math.isfinite(limits[i]):
                    x.setub(limits[i])
                self.activation[k, i] = exact_activation(v, x, limits[i])

    # -- what the block is ---------------------------------------------------------

    @property
    def network(self):
        """The Network between this block's inputs and outputs, scaling included."""
        return self._network

    @property
    def encoded_network(self):
        """The Network that the rows in force describe.

        It is ``network``, unless a formulation was told to change the function
        (``relu.clipped`` with ``allow_function_change=True``); ``initialize()`` follows
        it, ``forward_error()`` stays with ``network``.
        """
        encoding = self.record.encoding
        return self._network if encoding is None else encoding.network

    def __getattr__(self, name):
        # reached only where the block has no own Var of that name
        given = self.__dict__.get("_given", {})
        if name in given:
            return given[name].reference()
        return super().__getattr__(name)

    @property
    def record(self):
        """Recorded bounds and encoding; for transformations, not for modellers."""
        return block_record(self)

    def input_vars(self):
        """The input VarData in flat order."""
        return [self.inputs[key] for key in self._network.input_index()]

    def output_vars(self):
        """The output VarData in flat order."""
        return [self.outputs[key] for key in self._network.output_index()]

    def owns(self, side):
        """True if the Vars of ``side`` ("inputs", "outputs") are the block's own."""
        return self.component(side) is not None

    # -- bounds --------------------------------------------------------------------

    def input_box(self, assume_fixed_vars_permanent=True):
        """Lower and upper bounds of the inputs as the model has them now.

        Parameters
        ----------
        assume_fixed_vars_permanent : bool
            If True a fixed input is a point; if False its bounds count, because it
            may be unfixed later.

        Returns
        -------
        lower, upper : numpy.ndarray, shape (n_inputs,)
            Infinite where a Var has no bound.

        Raises
        ------
        BoundsError
            If a lower bound exceeds the upper bound, or a fixed input is outside.
        """
        lower, upper = np.empty((2, self._network.n_inputs))
        for j, var in enumerate(self.input_vars()):
            lo, hi = var.bounds
            lower[j] = -math.inf if lo is None else lo
            upper[j] = math.inf if hi is None else hi
            if var.fixed and assume_fixed_vars_permanent:
                if var.value is None:
                    raise BoundsError(
                        f"{self.name}: input '{var.name}' is fixed but has no value. "
                        "Give it a value or unfix it."
                    )
                lower[j] = upper[j] = var.value
            if not lower[j] <= upper[j]:
                raise BoundsError(
                    f"{self.name}: input '{var.name}' has the bounds [{lower[j]}, "
                    f"{upper[j]}], which no value satisfies. Correct them."
                )
        return lower, upper

    def neuron_bounds(self, assume_fixed_vars_permanent=True):
        """The pre-activation bounds in force for the inputs' present bounds.

        Interval arithmetic over the present input box, intersected with what
        ``relu.bounds`` or ``relu.obbt`` recorded if that was proven on a box that
        contains the present one.  ``source`` tells where each bound came from.

        Returns
        -------
        NeuronBounds

        Raises
        ------
        BoundsError
            If an input has no finite bounds.
        """
        lower, upper = self.input_box(assume_fixed_vars_permanent)
        for var, lo, hi in zip(self.input_vars(), lower, upper):
            if not (math.isfinite(lo) and math.isfinite(hi)):
                raise BoundsError(
                    f"{self.name}: input '{var.name}' has the bounds [{lo}, {hi}]; "
                    "bounds on the neurons need finite ones. Set them with "
                    f"{var.name}.setlb(...) and .setub(...), or let "
                    "relu.obbt(scope='model') derive them from your constraints."
                )
        bounds = bounds_.interval_bounds(self._network, lower, upper)
        recorded = self.record.bounds
        if recorded is not None and recorded.covers(lower, upper):
            bounds = bounds.intersect(recorded)
        if self.record.model_bounds is not None:
            recorded, conditions = self.record.model_bounds
            void = conditions.violated(assume_fixed_vars_permanent)
            if void is None:
                both = bounds.intersect(recorded)
                return bounds_.NeuronBounds(
                    self._network, both.lower, both.upper, both.source, lower, upper
                )
            logger.warning(
                f"{self.name}: bounds that relu.obbt proved with the model's "
                f"constraints are left out, because {void}. Apply relu.obbt again."
            )
        return bounds

    # -- values --------------------------------------------------------------------

    def initialize(self, x=None):
        """Set all variables of the block to the network's values at a point.

        Pre- and post-activations, outputs and, once a formulation has been applied,
        its indicators are set: together a MIP start.  The values are those of
        ``encoded_network``, so that they satisfy the rows in force.

        Parameters
        ----------
        x : sequence or mapping of float, optional
            The inputs, in flat order or by index.  Default: the input Vars' present
            values.

        Raises
        ------
        ModelError
            If an input has no value, or ``x`` has the wrong length.
        """
        x = point(self, x)
        pre, post = self.encoded_network.propagate(x)
        assign(self.input_vars(), x, skip_fixed=True)
        for k, layer in enumerate(self._network.layers[:-1]):
            keys = [(k, i) for i in range(layer.size)]
            assign((self.pre[key] for key in keys), pre[k][0])
            assign((self.post[key] for key in keys), post[k][0])
        assign(self.output_vars(), post[-1][0], skip_fixed=True)
        encoding = self.record.encoding
        if encoding is not None:
            encoding.set_start(x, [v[0] for v in pre], [v[0] for v in post])

    def forward_error(self):
        """Largest ``|outputs - f(inputs)|`` over the outputs, at the present values.

        A solution of the model satisfies the network up to the solver's tolerances;
        this is the check that it does.  f is always ``network`` as it was given: where
        a formulation changed the function, the change shows here.

        Raises
        ------
        ModelError
            If a Var has no value, or if the model was changed after a formulation was
            applied so that its rows no longer fit: the inputs' bounds were widened, an
            input was unfixed, or what the formulation assumed of the model is gone.
            The answer cannot be trusted then.
        """
        self._check_encoding()
        y = self._network.forward(point(self, None))
        values = []
        for var in self.output_vars():
            if var.value is None:
                raise ModelError(
                    f"{self.name}: output '{var.name}' has no value. Solve the model "
                    "or call initialize() first."
                )
            values.append(var.value)
        return float(np.max(np.abs(np.asarray(values) - y)))

    def _check_encoding(self):
        encoding = self.record.encoding
        if encoding is None:
            reason = void_reason(self)
            if reason is not None:
                raise ModelError(
                    f"{self.name}: {reason} after {self.record.runs[-1].name} was "
                    "applied, so the Var bounds that it set may cut off solutions. "
                    "Apply it again."
                )
            return
        reason = encoding.outdated() or encoding.formulation.outdated(encoding)
        if reason is not None:
            raise ModelError(
                f"{self.name}: {reason} after {encoding.formulation.NAME} was applied, "
                "so its rows no longer fit the model. Reverse it and apply it again."
            )

    # -- report --------------------------------------------------------------------

    def summary(self):
        """One screen of text: network, sizes, bounds in force, formulation."""
        return summary_text(self)


ModelComponentFactory.register("A trained ReLU network between variables")(
    ReLUNetworkBlock  # noqa: F821  (made by declare_custom_block)
)
