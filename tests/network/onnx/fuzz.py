"""Loading damaged and hostile models: ``python -m tests.network.onnx.fuzz 10000``.

Each must end as a network that equals onnxruntime on the bytes as they are, or in a
ReLUError; within the budget.  A run is a function of its seed.  Mutants are judged
in child processes, so that a crash or a hang of compiled code is seen as what it is.
"""

import argparse
import functools
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from pyomo_relu.errors import ReLUError
from pyomo_relu.network import load_onnx
from pyomo_relu.network.layer import INPUT
from pyomo_relu.network.onnx.graph.branches import names_read
from tests.network.onnx.graphs import session, small_network
from tests.network.onnx.hostile import HOSTILE
from tests.network.onnx.mutate import mutant
from tests.paths import ROOT
from tests.random_graphs import STEPS, random_model

#: Address space beyond what the child has when it begins, in bytes.
MEMORY = 3 * 2**30

#: CPU time of a load.
SECONDS = 20

#: Largest seed file, in bytes.
_LARGEST = 60000

#: Verdicts that are right; every other one is a fault.  REPAIRED: onnxruntime refuses
#: the bytes for names of nodes, declared types or unread parts, and runs the rest; or
#: it lacks an operator's implementation and onnx's own evaluator agrees.
EQUAL, REFUSED = "equal", "refused"
REPAIRED = "equal once names and declarations are repaired"
#: Loaded, after which onnxruntime ends the process where it runs unread parts too.
CRASHES = "read; onnxruntime crashes on the bytes"
RIGHT = (EQUAL, REFUSED, REPAIRED, CRASHES)


def seeds():
    """The files that are mutated."""
    rng = np.random.default_rng(0)
    data = [small_network(rng).SerializeToString()]
    names = sorted(STEPS)
    shapes = [(3,), (6,), (2, 5), (1, 4, 4), (2, 4, 5)]
    for k in range(40):
        steps = [names[i] for i in rng.integers(len(names), size=7)]
        opset = (9, 11, 13, 17, 18, 21)[k % 6]
        model = random_model(steps, k, shapes[k % len(shapes)], opset)
        data.append(model.SerializeToString())
    folders = [
        ROOT / "pyomo_relu" / "example_networks",
        ROOT.parent / "shared" / "models",
    ]
    for folder in folders:
        for path in sorted(folder.rglob("*.onnx")):
            if path.stat().st_size <= _LARGEST:
                data.append(path.read_bytes())
    return data


def judge(data, loaded=lambda: None):
    """Load ``data``, call ``loaded`` and compare; a pair (verdict, detail)."""
    began = time.thread_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = load_onnx(data)
    except ReLUError as error:
        text = str(error)
        starved = "MemoryError" in text or "bad allocation" in text
        return ("memory", text) if starved else (REFUSED, f"{type(error).__name__}")
    except MemoryError as error:
        return "memory", str(error)
    except Exception as error:  # noqa: BLE001  (that is what is looked for)
        return "raw exception", f"{type(error).__name__}: {error}"
    if time.thread_time() - began > SECONDS:
        return "time", ""
    loaded()
    return _compare(network, data)


def _compare(network, data, points=6):
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((points, network.n_inputs))
    samples *= np.resize([0.3, 1.0, 4.0], points)[:, None]
    pairs = [_feeds(network, data, x) for x in samples]
    reasons = []
    for judge_ in (_as_given, _repaired_by_runtime, _repaired_by_reference):
        try:
            values = judge_(data, [feeds for feeds, _ in pairs])
        except Exception as error:  # noqa: BLE001  (the next one judges)
            reasons.append(" ".join(str(error).split()))
            continue
        fault, detail = _difference(network, pairs, values)
        right = REPAIRED if reasons else EQUAL
        return fault or right, " | ".join([detail, *reasons])
    return "read, but nobody runs it", " | ".join(reasons)


def _difference(network, pairs, values):
    """A fault or "", and details, for the outputs of somebody else at some points."""
    compared = 0
    for (feeds, exact), arrays in zip(pairs, values, strict=True):
        arrays = [np.asarray(v) for v in arrays]
        theirs = np.concatenate([np.ravel(v).astype(float) for v in arrays])
        low = any(v.dtype == np.float16 for v in (*arrays, *feeds.values()))
        ours = network.forward(exact)
        if ours.shape != theirs.shape:
            return "unequal", f"{ours.shape} against {theirs.shape}"
        magnitude = _magnitude(network, exact)
        usable = magnitude < (1e4 if low else 1e37)
        compared += int(np.any(usable))
        allowed = (3e-2 if low else 1e-4) * magnitude
        allowed += 1e-6 * np.max(magnitude, initial=1e-24, where=usable)  # folded parts
        with np.errstate(invalid="ignore"):
            wrong = usable & ~(np.abs(ours - theirs) <= allowed)
        if np.any(wrong):
            i = int(np.argmax(wrong))
            return "unequal", f"entry {i}: {ours[i]} against {theirs[i]}"
    return "", "" if compared else "beyond the range of floats"


def _feeds(network, data, x):
    """Inputs in the types of the file for the flat point ``x``, and what they hold."""
    values = {v.name: v for v in onnx.ModelProto.FromString(data).graph.input}
    feeds, exact, start = {}, [], 0
    for tensor in network.inputs:
        kind = values[tensor.name].type.tensor_type
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        shape = [d.dim_value if d.dim_value > 0 else 1 for d in kind.shape.dim]
        part = x[start : start + tensor.size].astype(dtype)
        feeds[tensor.name] = part.reshape(shape or tensor.shape)
        exact.append(part.astype(float))
        start += tensor.size
    return feeds, np.concatenate(exact)


def _as_given(data, feeds):
    runner = session(data)
    names = [v.name for v in runner.get_inputs()]
    return [runner.run(None, {n: f[n] for n in names}) for f in feeds]


def _repaired_by_runtime(data, feeds):
    return _as_given(_repaired(data).SerializeToString(), feeds)


def _repaired_by_reference(data, feeds):
    evaluator = ReferenceEvaluator(_repaired(data))
    return [evaluator.run(None, f) for f in feeds]


def _repaired(data):
    """The model without names of nodes, declared types and what no output needs."""
    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    needed, nodes, size = {v.name for v in graph.output}, [], -1
    while len(needed) > size:  # nodes may stand in any order
        size = len(needed)
        nodes = [n for n in graph.node if needed & set(filter(None, n.output))]
        for node in nodes:
            needed.update(names_read(node))
            node.name = ""
    constants = [t for t in graph.initializer if t.name in needed]
    nodes = _in_order(nodes)
    needed -= {t.name for t in constants}  # inputs that only give these a default
    needed -= {t.values.name for t in graph.sparse_initializer}
    inputs = [v for v in graph.input if v.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.input.extend(inputs)
    for value in graph.output:
        value.ClearField("type")
    model.ir_version = min(max(model.ir_version, 4), 10)
    return model


def _in_order(nodes):
    """Nodes behind those whose outputs they read, as onnx's evaluator wants them."""
    waiting = {n for node in nodes for n in node.output if n}
    result = []
    while nodes:
        ready = [n for n in nodes if not waiting & set(names_read(n))]
        nodes = [n for n in nodes if waiting & set(names_read(n))]
        if not ready:
            return result + nodes
        result += ready
        waiting.difference_update(n for node in ready for n in node.output)
    return result


def _magnitude(network, x):
    """Sums of absolute values through all layers: what rounding errors scale with."""
    values = []
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in network.layers:
            v = np.abs(layer.bias)
            for (source, _), w in zip(layer.sources, layer.weights, strict=True):
                v = v + abs(w) @ (np.abs(x) if source == INPUT else values[source])
            values.append(v)
    return np.nan_to_num(values[-1], nan=np.inf)


# -- running many ------------------------------------------------------------------


def run(jobs, seconds=2 * SECONDS):
    """Judge each of ``jobs`` in child processes.

    Parameters
    ----------
    jobs : sequence of (label, function without arguments that returns the bytes)
    seconds : int
        CPU time for each load and comparison; the child is ended after it.

    Returns
    -------
    list of (label, verdict, detail)
    """
    results = []
    while len(results) < len(jobs):
        rest = jobs[len(results) :]
        reports, loaded, status = _in_child(rest, seconds)
        results += reports
        if len(reports) < len(rest):
            end = "time" if os.WTERMSIG(status) == signal.SIGXCPU else "crash"
            end = CRASHES if loaded == rest[len(reports)][0] else end
            results.append((rest[len(reports)][0], end, f"wait status {status}"))
    return results


def mutants(numbers, seed=0):
    """Jobs for :func:`run`."""
    files = seeds()
    return [(n, functools.partial(mutant, files, seed, n)) for n in numbers]


def hostile():
    """Jobs for :func:`run`: all models that a file can hold."""
    names = sorted(set(HOSTILE) - {"branches_in_memory"})
    return [(n, lambda n=n: HOSTILE[n]().SerializeToString()) for n in names]


def _in_child(jobs, seconds):
    """Reports of one child until it ends, what it loaded last, its wait status."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            with os.fdopen(write, "w") as out:
                _work(jobs, seconds, out)
        finally:
            os._exit(0)  # at once: some libraries' exit handlers hang after a fork
    os.close(write)
    with os.fdopen(read) as lines:
        said = [json.loads(line) for line in lines if line.endswith("\n")]
    loaded = [word[0] for word in said if len(word) == 1]
    reports = [tuple(word) for word in said if len(word) == 3]
    return reports, loaded[-1] if loaded else None, os.waitpid(pid, 0)[1]


def _work(jobs, seconds, out):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # onnxruntime's complaints
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]

    def say(*words):
        out.write(json.dumps(words) + "\n")
        out.flush()

    for label, make in jobs:
        data = make()
        limit = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, -1))
        used = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))
        verdict, detail = judge(data, lambda label=label: say(label))
        taken = time.process_time() - used
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        detail = f"{detail[:300]} ({taken:.2f} s, {len(data)} bytes)"
        say(label, verdict, detail)


def _address_space():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", help="folder for the files at fault")
    options = parser.parse_args(arguments)
    last = options.first + options.count
    jobs = hostile() + mutants(range(options.first, last), options.seed)
    results = []
    for begin in range(0, len(jobs), 500):
        results += run(jobs[begin : begin + 500])
        print(f"{len(results)} of {len(jobs)}", file=sys.stderr, flush=True)
    made = dict(jobs)
    for label, verdict, _ in results:
        if options.keep and verdict not in RIGHT:
            folder = Path(options.keep)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{options.seed}_{label}.onnx").write_bytes(made[label]())
    counts = Counter(verdict for _, verdict, _ in results)
    faults = [r for r in results if r[1] not in RIGHT]
    for label, verdict, detail in faults:
        print(f"{label}: {verdict}: {detail}")
    print(", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))
    return min(100, len(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
