"""HiGHS as the caller finds it: its threads, its stdout, whatever was used before."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.linear.long_lp import long_lp
from tests.paths import ROOT

PRELUDE = """
import os
import highspy
import numpy as np
import pyomo.environ as pyo
from scipy import sparse

def users_run(threads):
    "A run of the caller's own; False if HiGHS refuses the number of threads."
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    if threads is not None:
        highs.setOptionValue("threads", threads)
    highs.addVar(0, 1)
    return highs.run() == highspy.HighsStatus.kOk

def lp():
    from pyomo_relu.linear.model import LinearModel
    from pyomo_relu.linear.sessions.choice import open_session
    A = sparse.csr_array([[1.0, 1.0], [1.0, -1.0]])
    model = LinearModel(A, [0.5, -1], [1.5, 1], [0, 0], [1, 1], [True, False])
    for integer in (False, True):
        with open_session("highs", model, integer) as session:
            answer = session.minimize(np.array([0, 1]), np.array([1.0, 2.0]))
            assert answer.status == "optimal", answer

def infeasible_lp():
    from pyomo_relu.linear.model import LinearModel
    from pyomo_relu.linear.certificate import Certifier
    from pyomo_relu.linear.sessions.choice import open_session
    A = sparse.csr_array([[1.0, 1.0], [1.0, 1.0]])
    model = LinearModel(A, [1.5, -np.inf], [np.inf, 0.5], [-5, -5], [5, 5])
    with open_session("highs", model) as session:
        answer = session.minimize(np.array([0]), np.array([1.0]))
    assert Certifier(model).proves_infeasible(answer.ray)

def model_with_rows():
    from pyomo_relu import ReLUNetworkBlock
    from tests.units import model
    return model(0, kind="two and row")

def branch():
    m = model_with_rows()
    m.total.setlb(0)
    results = pyo.SolverFactory("relu.branch").solve(m)
    assert str(results.solver.termination_condition) == "optimal"

def threaded_branch():
    m = model_with_rows()
    results = pyo.SolverFactory("relu.branch").solve(m, threads=2)
    assert str(results.solver.termination_condition) == "optimal"

def obbt():
    for scope in ("network", "model"):
        m = model_with_rows()
        pyo.TransformationFactory("relu.obbt").apply_to(m, scope=scope)

def search():
    from pyomo_relu.search import find_point
    assert find_point(model_with_rows(), time_limit=None, max_rounds=1).found

def regions():
    from pyomo_relu.analysis import count_regions
    from tests.units import random_network
    found = count_regions(random_network(0, 5), -1, 1, method="lp")
    assert found.exact, found

def effort(threads=1):
    from pyomo_relu.analysis import measure_effort
    m = model_with_rows()
    found = measure_effort(m, ["relu.bigm"], threads=threads)
    assert found.status == "optimal", found

def effort_on_three():
    effort(3)

OURS = [lp, infeasible_lp, branch, threaded_branch, obbt, search, regions, effort,
        effort_on_three]
"""


def run(code):
    """Run code in a new process; what it wrote to stdout."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.dense), 4, None])
def test_the_callers_pool_stays_and_does_not_matter(threads):
    """A pool made by the caller keeps its size: another one is still refused."""
    run(
        f"""
threads = {threads}
assert users_run(threads)
for ours in OURS:
    ours()
    assert users_run(threads), ours
    assert threads is None or not users_run(3), ours
"""
    )


def test_no_pool_is_left_behind():
    """Each kind of call first, in a child, then any number of threads is accepted."""
    run(
        """
for number, ours in enumerate(OURS):
    child = os.fork()
    if child == 0:
        ours()
        os._exit(0 if users_run(2 + number % 3) else 1)
    assert os.waitpid(child, 0)[1] == 0, ours
"""
    )


def test_forks_find_their_own_threads():
    run(
        """
lp()
child = os.fork()
if child == 0:
    lp()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
lp()
"""
    )


def test_nothing_of_highs_reaches_stdout():
    assert run("for ours in OURS: ours()") == ""


def test_the_callers_stdout_is_back():
    assert run("lp(); print('here', flush=True); os.write(1, b'and here')") == (
        "here\nand here"
    )


def test_an_error_in_a_run_reaches_the_caller():
    from pyomo_relu.linear.sessions.highs_runs import call_highs

    with pytest.raises(ZeroDivisionError):
        call_highs(lambda: 1 / 0)
    assert call_highs(lambda: 3) == 3


def test_processor_seconds_count_what_highs_does_and_no_other_thread():
    from pyomo_relu.linear.sessions.highs_runs import call_highs, processor_seconds

    def works():
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            pass

    before, here = processor_seconds(), time.thread_time()
    call_highs(works)
    assert processor_seconds() - before >= 0.02 > time.thread_time() - here
    before = processor_seconds()
    other = threading.Thread(target=works)
    other.start()
    other.join()
    assert processor_seconds() - before < 0.02


def test_a_run_within_a_run_stays_on_its_thread():
    import threading

    from pyomo_relu.linear.sessions.highs_runs import call_highs

    def both():
        return threading.get_ident(), call_highs(threading.get_ident)

    outer, inner = call_highs(both)
    assert outer == inner != threading.get_ident()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_ends_a_run(threads):
    """Also one that is pressed twice; the limit is back, and it can be run again."""
    from pyomo_relu.linear.sessions.highs_runs import run_on_own_thread

    main = threading.get_ident()

    def interrupt():
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with long_lp(interrupt, threads=threads) as (highs, ended):
            highs.setOptionValue("time_limit", 1e6)
            with pytest.raises(KeyboardInterrupt):
                run_on_own_thread(highs, threads)
            assert ended() and highs.modelStatusToString(highs.getModelStatus()) == (
                "Time limit reached"
            )
            assert highs.getOptionValue("time_limit")[1] == 1e6
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
    run_on_own_thread(highs, threads)
    assert highs.modelStatusToString(highs.getModelStatus()) == "Optimal"


def test_a_run_within_a_callback_of_another():
    from pyomo_relu.linear.sessions.highs_runs import (
        as_own_thread,
        end_run,
        run_on_own_thread,
    )

    def within():
        inner = long_lp(lambda: end_run(threading.get_ident()))
        with inner as (highs, ended):
            run_on_own_thread(highs)
            assert ended()
        end_run(threading.get_ident(), found)

    def runs():
        with as_own_thread(), long_lp(within) as (outer, _):
            run_on_own_thread(outer)
        assert list(found.values()) == [(outer, np.inf)]
        found.clear()
        end_run(threading.get_ident(), found)
        assert not found  # nothing runs any more

    found = {}
    # a thread on which nobody else has set how many threads HiGHS has
    with ThreadPoolExecutor(1) as pool:
        pool.submit(runs).result()
