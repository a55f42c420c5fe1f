r"""relu.cells: the input box is split into cells, with linear bounds on each."""

import logging

from pyomo.common.config import Bool, ConfigValue, In, NonNegativeFloat
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Constraint, TransformationFactory, Var
from pyomo.core.base.set_types import Binary, UnitInterval

from pyomo_relu import bounds as bounds_
from pyomo_relu.errors import TransformationError
from pyomo_relu.surrounding import read_surrounding
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.bigm import encode_big_m

logger = logging.getLogger("pyomo.relu")


@TransformationFactory.register("relu.cells", doc="cells")
class Cells(NetworkFormulation):
    NAME = "relu.cells"
    CONFIG = NetworkFormulation.CONFIG()
    CONFIG.declare("max_cells", ConfigValue(default=64))
    CONFIG.declare("guided", ConfigValue(default=True))
    CONFIG.declare("style", ConfigValue(default="grouped"))
    CONFIG.declare("tree", ConfigValue(default="flat"))
    CONFIG.declare("share", ConfigValue(default=0.5))
    CONFIG.declare("scope", ConfigValue(default="box"))
    CONFIG.declare("drop", ConfigValue(default=True))
    CONFIG.declare("tolerance", ConfigValue(default=1e-4))

    def _prepare(self, model, blocks, config):
        import time

        t = time.time()
        self.partitions = {}
        s = read_surrounding(blocks[0].model(), blocks)
        for block, i_, o_ in zip(blocks, s.input_columns, s.output_columns):
            rows = _rows(s, i_, o_) if config.scope == "model" else None
            bounds = block.neuron_bounds(config.assume_fixed_vars_permanent)
            bounds = bounds_.crown_bounds(
                block.network, bounds.input_lower, bounds.input_upper, bounds
            )
            p = None
            if block.network.n_inputs == 1:
                p = bounds_.affine_pieces(bounds, 4 * config.max_cells, rows)
            if p is None:
                p = bounds_.CellPartition(bounds, rows)
                p.refine(max(8, int(config.share * config.max_cells)))
            self.partitions[id(block)] = (bounds, p)
        if config.guided and blocks:
            if s.costs is not None:
                r = bounds_.CellRefinement(
                    s.linear,
                    s.costs,
                    [
                        (self.partitions[id(b)][1], i, o)
                        for b, i, o in zip(blocks, s.input_columns, s.output_columns)
                    ],
                )
                why = r.run(config.max_cells, config.tolerance)
                self.root = r.values
                print(
                    "guided",
                    why,
                    [len(p) for _, p in self.partitions.values()],
                    len(r.values),
                    r.values[0],
                    r.values[-1],
                    "exact",
                    [
                        sum(
                            all(
                                ((p.lowers[k][c] >= 0) | (p.uppers[k][c] <= 0)).all()
                                for k in range(len(p.lowers) - 1)
                            )
                            for c in range(len(p))
                        )
                        for _, p in self.partitions.values()
                    ],
                    "%.2fs" % (time.time() - t),
                )

    def _bounds(self, block, config):
        bounds, p = self.partitions[id(block)]
        union = bounds_.NeuronBounds(
            bounds.network,
            [a.min(axis=0) for a in p.lowers],
            [a.max(axis=0) for a in p.uppers],
            "split",
            bounds.input_lower,
            bounds.input_upper,
        )
        return bounds.intersect(union), {}

    def _encode(self, encoding, config):
        p = self.partitions[id(encoding.block)][1]
        encoding.details["cells"] = p
        new = encoding.reformulation
        C, n = p.lower.shape
        new.cell = Var(
            range(C), domain=Binary if config.tree == "flat" else UnitInterval
        )
        new.inner = Var(range(C), range(n), bounds=(0, 1))
        new.cell_rows = Constraint(["one"])
        lam = [new.cell[c] for c in range(C)]
        inner = [[new.inner[c, j] for j in range(n)] for c in range(C)]
        flat_inner = [v for row in inner for v in row]
        E = _expr
        new.choose = Constraint(expr=(E([1.0] * C, lam), 1.0))
        width = p.upper - p.lower
        new.input_rows = Constraint(range(n))
        for j in range(n):
            new.input_rows[j] = (
                E(
                    [-1.0, *p.lower[:, j].tolist(), *width[:, j].tolist()],
                    [encoding.columns.inputs[j], *lam, *(row[j] for row in inner)],
                ),
                0.0,
            )
        new.within = Constraint(range(C), range(n))
        for c in range(C):
            for j in range(n):
                new.within[c, j] = (None, E([1.0, -1.0], [inner[c][j], lam[c]]), 0.0)
        y = encoding.columns.pre[-1]
        new.output_rows = Constraint(range(len(y)), ["low", "high"])
        (bl, sl), (bh, sh) = bounds_.output_terms(p)
        for o in range(len(y)):
            for side, b, s in (("low", bl, sl), ("high", bh, sh)):
                expr = E(
                    [1.0, *(-b[:, o]).tolist(), *(-s[:, o]).ravel().tolist()],
                    [y[o], *lam, *flat_inner],
                )
                if p.exact:
                    new.output_rows[o, side] = (expr, 0.0)
                    break
                new.output_rows[o, side] = (
                    (0.0, expr, None) if side == "low" else (None, expr, 0.0)
                )
        if p.rows is not None:
            base, step = p.cell_rows()
            cell, row = np.nonzero(base + np.maximum(step, 0.0).sum(axis=2) > 0)
            new.model_rows = Constraint(list(zip(cell.tolist(), row.tolist())))
            for c, r in zip(cell.tolist(), row.tolist()):
                new.model_rows[c, r] = (None, E([float(base[c, r]), *step[c, r].tolist()], [lam[c], *inner[c]]), 0.0)
        if config.tree != "flat":
            self._tree(encoding, p, lam, config)
        if p.exact and config.drop:
            encoding.replaced += list(encoding.block.affine.values())
            return
        L = len(encoding.network.layers) - 1
        states = p.states()
        for k in range(L):
            un = encoding.encode_stable(k)
            for i in un:
                self._neuron(encoding, p, states[k], k, i, lam, config)

    def _tree(self, encoding, p, lam, config):
        new = encoding.reformulation
        if config.tree == "log":
            depth = max(len(t) for t in p.paths)
            sets = [
                [c for c, t in enumerate(p.paths) if len(t) > d and t[d]]
                for d in range(depth)
            ]
        else:
            nodes = sorted({t[:d] for t in p.paths for d in range(len(t))}, key=len)
            sets = [
                [c for c, t in enumerate(p.paths) if t[: len(nd) + 1] == (*nd, 1)]
                for nd in nodes
            ]
        new.side = Var(range(len(sets)), domain=Binary)
        new.side_rows = Constraint(range(len(sets)))
        encoding.details["sets"] = sets
        for b, s in enumerate(sets):
            new.side_rows[b] = (
                _expr([-1.0] + [1.0] * len(s), [new.side[b], *(lam[c] for c in s)]),
                0.0,
            )

    def _neuron(self, encoding, p, states, k, i, lam, config):
        lo, hi = p.lowers[k][:, i], p.uppers[k][:, i]
        off, on = (np.flatnonzero(s[:, i]).tolist() for s in states[:2])
        S = np.flatnonzero(~(states[0][:, i] | states[1][:, i]))
        if config.style == "bigm":
            encode_big_m(encoding, k, i)
            return
        v, x = encoding.columns.pre[k][i], encoding.columns.post[k][i]
        if not len(S):
            encoding.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
            encoding.add_row(
                (k, i, "active"),
                [1.0, -1.0, *(lo[off]).tolist()],
                [x, v, *(lam[c] for c in off)],
                upper=0.0,
            )
            encoding.add_row(
                (k, i, "inactive"),
                [1.0, *(-hi[on]).tolist()],
                [x, *(lam[c] for c in on)],
                upper=0.0,
            )
            return
        if config.style == "link":
            encode_big_m(encoding, k, i)
            z = encoding.new_indicator(k, i)
        else:
            z = encoding.new_indicator(k, i)
            l, u = float(lo[S].min()), float(hi[S].max())
            encoding.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
            encoding.add_row(
                (k, i, "active"),
                [1.0, -1.0, -l, *(lo[off] - l).tolist()],
                [x, v, z, *(lam[c] for c in off)],
                upper=-l,
            )
            encoding.add_row(
                (k, i, "inactive"),
                [1.0, -u, *(u - hi[on]).tolist()],
                [x, z, *(lam[c] for c in on)],
                upper=0.0,
            )
        if on:
            encoding.add_row(
                (k, i, "on"),
                [1.0] + [-1.0] * len(on),
                [z, *(lam[c] for c in on)],
                lower=0.0,
            )
        if off:
            encoding.add_row(
                (k, i, "off"),
                [1.0] + [1.0] * len(off),
                [z, *(lam[c] for c in off)],
                upper=1.0,
            )

    @staticmethod
    def set_start(encoding, x, pre, post):
        p = encoding.details["cells"]
        new = encoding.reformulation
        outside = np.maximum(np.maximum(p.lower - x, x - p.upper), 0).max(axis=1)
        at = int(outside.argmin())
        for (c, j), d in new.inner.items():
            w = p.upper[c, j] - p.lower[c, j]
            d.set_value(
                (
                    float(np.clip((x[j] - p.lower[c, j]) / w, 0, 1))
                    if c == at and w > 0
                    else 0.0
                ),
                skip_validation=True,
            )
        for c, var in new.cell.items():
            var.set_value(int(c == at), skip_validation=True)
        for b, s in enumerate(encoding.details.get("sets", [])):
            new.side[b].set_value(int(at in s), skip_validation=True)


def _rows(s, inputs, outputs):
    """Rows a x + b y <= rhs of the model among one block's inputs and outputs."""
    linear = s.linear
    n, m = len(inputs), len(outputs)
    own = np.zeros(linear.n_columns, dtype=bool)
    own[inputs] = own[outputs] = True
    nonfixed = linear.lower < linear.upper
    M = linear.matrix
    foreign = abs(M) @ (~own).astype(float)
    at = np.flatnonzero((foreign == 0) & (abs(M) @ np.ones(M.shape[1]) > 0))
    sub = M[at].toarray() if at.size else np.zeros((0, M.shape[1]))
    a, b = sub[:, inputs], sub[:, outputs]
    a = np.concatenate([a, -a, np.zeros((2 * m, n))])
    b = np.concatenate([b, -b, np.eye(m), -np.eye(m)])
    rhs = np.concatenate([linear.row_upper[at], -linear.row_lower[at], linear.upper[outputs], -linear.lower[outputs]])
    keep = np.isfinite(rhs)
    return a[keep], b[keep], rhs[keep]


def _expr(coefs, variables):
    from pyomo.core.expr.numeric_expr import LinearExpression

    return LinearExpression(linear_coefs=coefs, linear_vars=variables)
