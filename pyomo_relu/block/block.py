"""ReLUNetworkBlock: what the modeller holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory
from pyomo.core.base.block import Block, BlockData, declare_custom_block
from pyomo.core.base.component import ModelComponentFactory

from pyomo_relu.block.arguments.network import (
    per_index,
    resolve_network,
    scaled_network,
)
from pyomo_relu.block.arguments.vars import add_ends, match_ends
from pyomo_relu.block.containers import block_keywords, complete_containers
from pyomo_relu.block.display.shown import Shown
from pyomo_relu.block.records.bounds_in_force import (
    bounds_in_force,
    input_box,
    use_bounds,
)
from pyomo_relu.block.records.bounds_runs import (
    check_up_to_date,
    warn_of_restricted_outputs,
)
from pyomo_relu.block.records.record import block_record
from pyomo_relu.block.rows import add_neurons
from pyomo_relu.block.values import given_point, initialize_blocks, point
from pyomo_relu.common.model_building import pause_garbage_collection
from pyomo_relu.common.transaction import transaction
from pyomo_relu.common.wording import meant
from pyomo_relu.errors import MissingPartError, ModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pyomo.core.base.var import VarData

    from pyomo_relu.block.records.record import BlockRecord
    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import FloatArray
    from pyomo_relu.network.network import Network

#: What a block consists of besides its record.
_PARTS = ("inputs", "outputs", "pre", "post", "affine", "activation")


@declare_custom_block(name="ReLUNetworkBlock", rule="build")
class ReLUNetworkBlockData(Shown, BlockData):
    r"""A trained ReLU network between Pyomo variables.

    ``ReLUNetworkBlock(network=..., inputs=..., outputs=...)`` holds, with layers l,
    neurons i, sources s of layer l (inputs or earlier activations) and outputs y::

        affine[l, i]      pre[l, i] = sum_s W_s[i, :] t_s + b[i]     (y for the last l)
        activation[l, i]  post[l, i] = (pre[l, i] + |pre[l, i]|) / 2

    or, for a neuron with ceiling c, ``post = (|pre| - |pre - c| + c) / 2``.  The
    activation rows are exact and nonlinear: MINLP solvers solve the block as it is,
    LP and MILP solvers refuse it until a transformation such as ``relu.bigm``
    replaces them.

    On a Disjunct the order is ``relu.*``, then ``gdp.*``: pre- and post-activations have
    no bounds of their own, so gdp, applied first, finds no M ("Cannot estimate M",
    "Missing bound for nn.pre[0,0]").  ``relu.bounds`` alone gives it what it asks for
    and keeps the exact rows.

    Parameters
    ----------
    network : path, bytes, onnx.ModelProto, Network, dict or callable
        The network; for an indexed block one for all indices, or a dict by index, or
        a function: ``lambda t: ...`` or, as a Pyomo rule, ``lambda m, t: ...``.
    inputs, outputs : Var, sequence or mapping of Vars, or function, optional
        The modeller's own variables; any Var, Reference, indexed Var, sequence in
        flat order or mapping from the network's index.  Inputs may also be expressions,
        Params and numbers, ``[m.F * m.x["A"], pyo.exp(m.T), 300, m.p]``: the block then
        declares Vars ``linked_inputs`` and rows ``linking``, whose bounds follow the
        model (linear expressions give linear rows).  Default: the block declares
        Vars ``inputs`` and ``outputs``, indexed by int for a tensor with one axis
        (the batch axis does not count), by tuple for more axes, with the tensor's
        name in front if there are several tensors.  Networks compute with plain
        numbers: Vars with units work, but fail Pyomo's units check; where that
        matters give ``m.T / units.K``, and link the block's own outputs.
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

    Methods (of an indexed block too, for all of its members)
    -------
    initialize(x=None), forward_error(), summary(), pprint()
        Set values by a forward pass; check a solution; print. See
        ``help(pyomo_relu.block.ReLUNetworkBlockData)`` for these and others, such as
        ``explain(layer, neuron)``.

    Raises
    ------
    NetworkError
        If the network cannot be read (see ``load_onnx``).
    ModelError
        If keywords, variables or their number do not fit.  The model is then as it
        was before.
    """

    def build(self, *index: Any, **kwds: Any) -> None:
        """Fill the block; called by Pyomo when the block is constructed."""
        index = tuple(i for i in index if i is not None)
        try:
            with pause_garbage_collection():
                self._build(index, kwds)
        except BaseException:
            self._withdraw()
            raise

    def _build(self, index, kwds):
        allowed = block_keywords()
        for key in kwds:
            if key not in allowed:
                raise ModelError(
                    f"{self.name}: unknown keyword '{key}'.{meant(key, allowed)} "
                    f"ReLUNetworkBlock takes {', '.join(allowed)}."
                )
        given = allowed(kwds)
        if given.network is None:
            raise ModelError(
                f"{self.name}: no network given. Pass network=<path to an ONNX file>, "
                "a ModelProto or a pyomo_relu Network."
            )
        scalings = [
            per_index(self, key, given[key], index)
            for key in ("input_scaling", "output_scaling")
        ]
        network = resolve_network(self, given.network, index, given.output)
        network = scaled_network(self, network, *scalings)
        match = match_ends(self, network, given, index)
        # everything that can be wrong with the arguments is settled by now
        self._network = network
        self._given, self._expressions = add_ends(self, match)
        add_neurons(self)

    def _withdraw(self):
        """Take a block that could not be built off its model again."""
        container = self.parent_component()
        assert container is not None  # which Pyomo makes first
        parent = container.parent_block()
        if parent is not None:
            parent.del_component(container)

    # -- what the block is ---------------------------------------------------------

    @property
    def network(self) -> Network:
        """The Network between this block's inputs and outputs, scaling included."""
        return self._network

    @property
    def encoded_network(self) -> Network:
        """The Network that the rows in force describe.

        It is ``network``, unless a formulation was told to change the function
        (``relu.clipped`` with ``allow_function_change=True``); ``initialize()`` follows
        it, ``forward_error()`` stays with ``network``.
        """
        encoding = self.record.encoding
        return self._network if encoding is None else encoding.network

    def __getattr__(self, name: str) -> Any:
        # reached only where the block has no own Var of that name
        given = self.__dict__.get("_given", {})
        if name in given:
            return given[name].reference()
        if name in (*_PARTS, "network", "_network") and "_given" not in self.__dict__:
            raise MissingPartError(
                f"'{self.name}' is not built yet. Assign it to a ConcreteModel first "
                "(m.nn = ReLUNetworkBlock(...)); of an AbstractModel use the instance: "
                "model.create_instance()."
            )
        if name in _PARTS:
            raise MissingPartError(
                f"{self.name}: '{name}' is no longer there: a transformation such as "
                "core.scale_model renamed it (apply relu.* first), or it was deleted."
            )
        return super().__getattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__.get("_given", ())})

    def deactivate(self) -> None:
        """Deactivate the block; Var bounds that rest on its network stay in force."""
        super().deactivate()
        warn_of_restricted_outputs(self)

    @property
    def record(self) -> BlockRecord:
        """Recorded bounds and encoding; for transformations, not for modellers."""
        return block_record(self)

    def input_vars(self) -> list[VarData]:
        """The input VarData in flat order."""
        return self._ends("inputs")

    def output_vars(self) -> list[VarData]:
        """The output VarData in flat order."""
        return self._ends("outputs")

    def _ends(self, side):
        given = self.__dict__.get("_given", {}).get(side)
        if given is not None:
            # without a Reference, of which a model may need one per network
            return list(given.variables.values())
        var = getattr(self, side)
        return [var[key] for key in getattr(self._network, side[:-1] + "_index")()]

    def input_expressions(self) -> dict[Any, Any]:
        """{index: expression or float} of the inputs that were given as such."""
        return self.__dict__.get("_expressions", {})

    def owns(self, side: str) -> bool:
        """True if the Vars of ``side`` ("inputs", "outputs") are the block's own."""
        return self.component(side) is not None

    # -- bounds --------------------------------------------------------------------

    def input_box(
        self, assume_fixed_vars_permanent: bool = True
    ) -> tuple[FloatArray, FloatArray]:
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
        return input_box(self, assume_fixed_vars_permanent)

    def neuron_bounds(self, assume_fixed_vars_permanent: bool = True) -> NeuronBounds:
        """The pre-activation bounds in force for the inputs' present bounds.

        Interval arithmetic over the present input box, intersected with what
        ``relu.bounds``, ``relu.obbt`` or ``use_bounds`` recorded if that was proven on
        a box that contains the present one.  ``source`` tells where each bound came from.

        Returns
        -------
        NeuronBounds

        Raises
        ------
        BoundsError
            If an input has no finite bounds.
        """
        return bounds_in_force(self, assume_fixed_vars_permanent)

    @transaction
    def use_bounds(self, bounds: NeuronBounds | None) -> None:
        """Let formulations use proven bounds that the modeller brings.

        They are recorded as those of ``relu.bounds`` and ``relu.obbt`` are, and
        intersected with what is recorded already: ``neuron_bounds()``, bound methods
        and formulations applied later use them as long as the inputs' bounds stay
        within the box that the bounds carry.  Once the inputs' bounds are wider, the
        next transformation drops them with a warning.  No Var's bounds are changed.
        Clones and pickles keep the record.

        The caller vouches for the proof: formulations cut off what lies outside.
        Only contradictions are found here: the bounds are tried at 256 points of the
        input box and compared with what is recorded.

        Parameters
        ----------
        bounds : NeuronBounds or None
            Proven for ``network`` (scaling included), on a box that contains the
            inputs' present bounds; for example from ``pyomo_relu.bounds.tighten`` or
            ``pyomo_relu.bounds.milp_obbt``.  None takes back what earlier calls
            recorded, and what bound methods then built on it.

        Raises
        ------
        BoundsError
            If the bounds belong to another network, were proven on a box that does
            not contain the present one, or are wrong at some point.
        TransformationError
            If the block is encoded: reverse the formulation first.
        """
        use_bounds(self, bounds)

    # -- values --------------------------------------------------------------------

    def initialize(self, x: ArrayLike | Mapping[Any, float] | None = None) -> None:
        """Set all variables of the block to the network's values at a point.

        Pre- and post-activations, outputs and, once a formulation has been applied,
        its indicators are set: together a MIP start.  The values are those of
        ``encoded_network``, so that they satisfy the rows in force.

        Parameters
        ----------
        x : sequence or mapping of float, optional
            The inputs, in flat order, by index or (a ComponentMap) by Var.  Default:
            their present values.  Outside of bounds or domains is set with a warning.

        Raises
        ------
        ModelError
            If an input has no value or another fixed one, or the length is wrong.
        """
        initialize_blocks([(self, given_point(self, x))])

    def forward_error(self) -> float:
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
        check_up_to_date(self)
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

    def refresh(self) -> bool:
        """Apply what is in force on this block again, to the model as it is now.

        Formulations and bound methods are undone and applied with the options that
        they were given, where the model was changed so that they would now find
        something else: bounds of inputs, fixed inputs, mutable Params in bounds and
        rows, domains; see ``relu.refresh``.  Nothing is done where all is as it was.
        An indexed block refreshes its members.

        Returns
        -------
        bool
            True if something was applied again.

        Raises
        ------
        ReLUError
            If it cannot be applied any more.  The model is then as it was before.
        """
        refresh = TransformationFactory("relu.refresh")
        assert refresh is not None  # registered with the package
        return bool(refresh.apply_to(self.model(), targets=self))


if TYPE_CHECKING:  # declare_custom_block makes them

    class ReLUNetworkBlock(ReLUNetworkBlockData, Block):
        def __init__(self, *sets: Any, network: Any, **kwds: Any) -> None: ...
        def __getitem__(self, index: Any) -> ReLUNetworkBlockData: ...

    ScalarReLUNetworkBlock = IndexedReLUNetworkBlock = ReLUNetworkBlock


ModelComponentFactory.register("A trained ReLU network between variables")(
    ReLUNetworkBlock
)
complete_containers(
    ReLUNetworkBlock,
    ScalarReLUNetworkBlock,
    IndexedReLUNetworkBlock,
    ReLUNetworkBlockData,
)
