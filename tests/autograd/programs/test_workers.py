"""Rows split among threads that wait awake: the same to the last bit whoever does what, and nobody is waited for who
does not come."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import Value, custom, jit

workers = pytest.importorskip("autograd.programs.workers", reason="there is no llvmlite")

LONG = 60.0  # seconds: never, unless something is broken
ROWS = np.random.default_rng(0).normal(size=(3000, 3))
TARGETS = np.random.default_rng(1).normal(size=3000)
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


@pytest.fixture(autouse=True)
def as_many_processors_as_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_processors", lambda: 8)


@pytest.fixture
def new() -> Iterator[list[Any]]:
    """The list of idle workers, empty at first."""
    before = [*workers._idle]
    workers._idle.clear()
    yield workers._idle
    workers._idle.extend(before)


def loss(w: list[Value]) -> Callable[[Any, Any], Any]:
    def of(x: Any, t: Any) -> Any:
        hidden = [autograd.dot(w[3 * i : 3 * i + 3], x).tanh() for i in range(2)]
        return (autograd.dot(w[6:8], hidden) + w[8] - t) ** 2

    return of


def program(**options: Any) -> Any:
    return jit(loss([Value(0.1 * k - 0.5) for k in range(9)]), **options)


def in_python(f: Callable[[int], float]) -> Any:
    """f for at_once: as a function of C, with its place. The lock of Python is free while it is called."""
    function: Any = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(f)
    function.place = ctypes.cast(function, ctypes.c_void_p).value
    return function


def met(count: int) -> set[int]:
    """The threads that do so many tasks, each of which ends once all have begun.

    Where the system is busy, a worker may not come in time for a task, as it may: then once more."""
    for _ in range(100):
        gate, seen = threading.Barrier(count), set[int]()

        def meet(n: int, gate: threading.Barrier = gate, seen: set[int] = seen) -> float:
            seen.add(threading.get_ident())
            with suppress(threading.BrokenBarrierError):
                gate.wait(0.2)
            return 10.0 * n

        function = in_python(meet)
        assert workers.at_once(function.place, [*range(count)], count) == [10.0 * n for n in range(count)]
        if not gate.broken:
            return seen
    raise AssertionError(f"no {count} threads at once")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 5])
def test_the_sum_is_that_of_the_parts_in_their_order(threads: int, dtype: str) -> None:
    split, whole = program(threads=threads, dtype=dtype), program(dtype=dtype)
    for rows in (1, 15, 31, 32, 33, 100, 1797, 3000):
        count = max(1, min(threads, rows // 16))
        bounds = pairwise([rows * k // count for k in range(count + 1)])
        parts = [whole.value_and_grad(ROWS[a:b], TARGETS[a:b], reduce="sum") for a, b in bounds]
        gradient = parts[0][1]
        for _, more in parts[1:]:
            gradient = gradient + more
        for _ in range(20):
            value, found = split.value_and_grad(ROWS[:rows], TARGETS[:rows], reduce="sum")
            assert (value, found.tolist()) == (sum([total for total, _ in parts]), gradient.tolist())
        assert split.map(ROWS[:rows], TARGETS[:rows]).tolist() == whole.map(ROWS[:rows], TARGETS[:rows]).tolist()


def test_how_many_processors_there_are_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    split, found = program(threads=5), []
    for processors in (1, 2, 3, 8):
        monkeypatch.setattr(workers, "_processors", lambda count=processors: count)
        value, gradient = split.value_and_grad(ROWS, TARGETS)
        found.append((value, gradient.tolist()))
    assert found == [found[0]] * 4


def test_every_argument_has_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    function = in_python(lambda n: n + 0.5)
    for processors in (1, 2, 3):
        monkeypatch.setattr(workers, "_processors", lambda count=processors: count)
        for threads in (1, 2, 4):
            for count in range(1, 7):
                found = workers.at_once(function.place, [*range(count)], threads)
                assert found == [n + 0.5 for n in range(count)]


def test_on_one_processor_nobody_waits_awake(monkeypatch: pytest.MonkeyPatch, new: list[Any]) -> None:
    monkeypatch.setattr(workers, "_processors", lambda: 1)
    program(threads=2).value_and_grad(ROWS, TARGETS)
    assert not new
    monkeypatch.setattr(workers, "_processors", lambda: 3)
    program(threads=5).value_and_grad(ROWS, TARGETS)
    assert len(new) == 2


def test_a_worker_that_sleeps_is_woken(new: list[Any]) -> None:
    first = met(2)
    (worker,) = new
    for _ in range(3):
        until(lambda: worker.word.value == workers.ASLEEP)
        assert met(2) == first
    assert new == [worker]


def test_a_worker_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, new: list[Any]) -> None:
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", lambda self: None)
        new += [workers.Worker(), workers.Worker()]
    for worker in new:
        worker.comes = True
    split = program(threads=3)
    value, gradient = split.value_and_grad(ROWS, TARGETS)
    assert [worker.word.value for worker in new] == [workers.ASLEEP] * 2
    new.clear()
    again, gradient_again = split.value_and_grad(ROWS, TARGETS)
    assert (value, gradient.tolist()) == (again, gradient_again.tolist())


def test_where_no_thread_can_be_started_the_caller_does_all(monkeypatch: pytest.MonkeyPatch, new: list[Any]) -> None:
    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        value, gradient = program(threads=3).value_and_grad(ROWS, TARGETS)
    assert not new
    again, gradient_again = program(threads=3).value_and_grad(ROWS, TARGETS)
    assert (value, gradient.tolist()) == (again, gradient_again.tolist())
    assert len(new) == 2


def test_workers_serve_all_programs(new: list[Any]) -> None:
    programs = [program(threads=3) for _ in range(4)]
    for split in programs * 5:
        split.value_and_grad(ROWS, TARGETS)
    assert len(new) == 2


def test_threads_call_one_program_at_once(new: list[Any]) -> None:
    split, serial = program(threads=3), program(threads=3)
    params = np.random.default_rng(2).normal(size=(4, 9))
    expected = [serial.value_and_grad(ROWS, TARGETS, params=p) for p in params]

    def check(k: int) -> None:
        for _ in range(200):
            value, gradient = split.value_and_grad(ROWS, TARGETS, params=params[k])
            assert (value, gradient.tolist()) == (expected[k][0], expected[k][1].tolist())

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(check, k) for k in range(4)]:
            future.result()
    assert len(new) <= 8


def test_an_interrupt_comes_once_all_is_done(new: list[Any]) -> None:
    begun, alone, done = threading.Event(), threading.Event(), list[int]()
    caller = threading.get_ident()

    def task(n: int) -> float:
        if n == 0:  # of the caller, who then waits for the other
            begun.wait(0.2)
            done.append(0)
            alone.set()
        elif threading.get_ident() != caller:
            begun.set()
            assert alone.wait(LONG)
            time.sleep(0.2)
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.05)
            done.append(1)
        return 0.0

    function, before = in_python(task), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):  # at the first call, or where the worker came in time
            for _ in range(100):
                done.clear()
                alone.clear()
                workers.at_once(function.place, [0, 1], 2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [0, 1]
    assert len(new) == 1
    assert len(met(2)) == 2


def test_interrupts_leave_a_program_as_it_was() -> None:
    split = program(threads=3)
    value, gradient = split.value_and_grad(ROWS, TARGETS)

    def interrupt(number: int, frame: Any) -> None:
        if str(frame.f_globals.get("__name__")).startswith("autograd."):
            raise KeyboardInterrupt
        soon()  # what the collector calls would hold an error back

    def soon() -> None:
        threading.Timer(0.002, signal.raise_signal, [signal.SIGINT]).start()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        for _ in range(50):
            with pytest.raises(KeyboardInterrupt):
                soon()
                while True:
                    split.value_and_grad(ROWS, TARGETS)
            again, gradient_again = split.value_and_grad(ROWS, TARGETS)
            assert (again, gradient_again.tolist()) == (value, gradient.tolist())
    finally:
        signal.signal(signal.SIGINT, before)


@can_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_has_workers_of_its_own() -> None:
    split, calling = program(threads=3), jit(lambda x: custom(lambda x: x + 1.0, lambda out, x: 1.0)(x), threads=2)
    value, gradient = split.value_and_grad(ROWS, TARGETS)
    assert calling.value(np.ones(100)) == 2.0

    def check() -> None:
        again, gradient_again = split.value_and_grad(ROWS, TARGETS)
        assert (again, gradient_again.tolist()) == (value, gradient.tolist())
        assert len(met(3)) == 3
        assert calling.value(np.ones(100)) == 2.0

    child = multiprocessing.get_context("fork").Process(target=check)
    child.start()
    child.join(2 * LONG)
    code = child.exitcode
    child.kill()
    assert code == 0


def test_python_ends_while_a_worker_is_awake() -> None:
    code = """
import numpy as np
from autograd import Value, jit
from autograd.programs import workers
workers._processors = lambda: 4
w = Value(2.0)
print(jit(lambda x: (w * x).exp(), threads=4).value(np.zeros(1000)), [worker.word.value for worker in workers._idle])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("1.0 ")
