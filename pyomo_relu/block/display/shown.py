"""What a network block prints and shows: summary, listing, one neuron, LaTeX, HTML."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyomo.common.formatting import StreamIndenter

from pyomo_relu.block.display.report import summary_html, summary_text
from pyomo_relu.common.wording import counted

if TYPE_CHECKING:
    from pyomo_relu.block.display.explanation import Explanation

#: Neurons that ``pprint`` and ``latex`` write out.
_MOST_NEURONS = 12


class Shown:
    """The reports of a network block; a base of ``ReLUNetworkBlockData``."""

    __slots__ = ()

    if TYPE_CHECKING:
        local_name: str
        active: bool
        network: Any

    def summary(self) -> str:
        """One screen of text: network, sizes, bounds in force, formulation."""
        return summary_text(self)

    def _repr_html_(self) -> str | None:
        return summary_html(self) if self._filled else None

    @property
    def _filled(self):
        """Whether it is constructed: an abstract model's block holds nothing yet."""
        return "_network" in self.__dict__

    def explain(self, layer: int, neuron: int) -> Explanation:
        """One neuron: weights, bounds with their source, state, and rows in force.

        Parameters
        ----------
        layer : int
            Position in ``network.layers``, from 0; the last one holds the outputs.
        neuron : int
            Within the layer, from 0: ``pre[layer, neuron]``.

        Returns
        -------
        Explanation
            Its text, and what a notebook shows of it, is rounded to four digits; its
            attributes are not.

        Raises
        ------
        ModelError
            If there is no such layer or neuron; the message says which there are.
        """
        from pyomo_relu.block.display.explanation import Explainer

        return Explainer(self).explain(layer, neuron)

    def latex(self) -> str:
        r"""The network in standard notation, as an ``aligned`` environment.

        Inputs are x_j, pre-activations v_{k,i}, post-activations x_{k,i}, indicators
        z_{k,i}, outputs y_i; with a formulation its rows follow each neuron.  Of a
        network with many neurons the first ones are written out, then dots.  For one
        neuron: ``explain(layer, neuron).latex()``.

        Returns
        -------
        str
        """
        from pyomo_relu.block.display.explanation import Explainer, aligned

        explainer, lines = Explainer(self), []
        shown, left_out = self._neurons()
        for k, i in shown:
            lines += explainer.explain(k, i).latex_lines()
        if left_out:
            lines.append(r"& \;\vdots")
        last = len(self.network.layers) - 1
        outputs = min(self.network.n_outputs, _MOST_NEURONS)
        for i in range(outputs):
            lines += explainer.explain(last, i).latex_lines()
        return aligned(lines)

    def pprint(
        self, ostream: Any = None, verbose: bool = False, prefix: str = "", **kwds: Any
    ) -> None:
        """Print the network as equations, bounds and rows, rounded to four digits.

        Parameters
        ----------
        ostream : file, optional
            Default: standard output.
        verbose : bool
            If True all Vars and rows as Pyomo lists them.
        prefix : str
            In front of every line.
        **kwds
            What ``Block.pprint`` takes besides.
        """
        stream: Any = sys.stdout if ostream is None else ostream
        if verbose or not self._filled:
            super().pprint(stream, prefix=prefix, **kwds)  # type: ignore[misc]
            return
        if prefix:
            stream = StreamIndenter(stream, prefix)
        stream.write(f"{self.local_name} : Active={self.active}\n")
        StreamIndenter(stream).write(self._listing() + "\n")

    def _listing(self):
        from pyomo_relu.block.display.explanation import Explainer

        head, *remarks = summary_text(self).split("\nlayer", 1)[0].splitlines()
        lines = [head.partition(": ")[2], *remarks]
        explainer = Explainer(self)
        shown, left_out = self._neurons()
        for k, i in shown:
            lines += explainer.explain(k, i).listed()
        if left_out:
            lines.append(
                f"... and {counted(left_out, 'more neuron')}: explain(layer, neuron) "
                "shows any"
            )
        last, n_outputs = len(self.network.layers) - 1, self.network.n_outputs
        for i in range(min(n_outputs, _MOST_NEURONS)):
            lines += explainer.explain(last, i).listed()
        if n_outputs > _MOST_NEURONS:
            more = counted(n_outputs - _MOST_NEURONS, "more output")
            lines.append(f"... and {more}")
        lines.append("pprint(verbose=True) lists all Vars and rows as Pyomo does")
        return "\n".join(lines)

    def _neurons(self):
        """Positions of the neurons that are written out, and how many are not."""
        sizes = [layer.size for layer in self.network.activation_layers]
        shown, left = [], _MOST_NEURONS
        for k, size in enumerate(sizes):
            shown += [(k, i) for i in range(min(size, left))]
            left = _MOST_NEURONS - len(shown)
        return shown, sum(sizes) - len(shown)
