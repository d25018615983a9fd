"""Rows split among processes and clusters: what comes of it is what comes without, in a fixed order of sums."""

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pickle import PicklingError
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import Value, custom, jit
from autograd.programs import Program, compilation
from autograd.programs.numpy_machine import NumpyMachine

ROWS = np.random.default_rng(0).normal(size=(1000, 3))
TARGETS = np.random.default_rng(1).normal(size=1000)


def model() -> tuple[list[Value], Any]:
    w = [Value(0.1 * k - 0.5) for k in range(9)]

    def loss(x: Any, t: Any) -> Any:
        hidden = [autograd.dot(w[3 * i : 3 * i + 3], x).tanh() for i in range(2)]
        return (autograd.dot(w[6:8], hidden) + w[8] - t) ** 2 + 0.01 * autograd.sum([v * v for v in w])

    return w, loss


def serial_and(executor: Executor, **options: Any) -> tuple[Program, Program]:
    _, loss = model()
    return jit(loss, **options), jit(loss, executor=executor, **options)


def check(executor: Executor, **options: Any) -> None:
    serial, spread = serial_and(executor, **options)
    unit = 1e-13 if serial.dtype == np.float64 else 1e-5
    value, gradient = serial.value_and_grad(ROWS, TARGETS)
    again, gradient_again = spread.value_and_grad(ROWS, TARGETS)
    assert (again, *gradient_again) == pytest.approx((value, *gradient), rel=unit, abs=unit)
    assert spread.map(ROWS, TARGETS) == pytest.approx(serial.map(ROWS, TARGETS), rel=unit, abs=unit)
    assert spread.value(ROWS, TARGETS) == again
    assert spread(ROWS[0], 0.0) == pytest.approx(serial(ROWS[0], 0.0), rel=unit)
    # In a fixed order: the same to the last bit.
    for _ in range(3):
        once_more, found = spread.value_and_grad(ROWS, TARGETS)
        assert (once_more, found.tolist()) == (again, gradient_again.tolist())
    # New parameters go along.
    assert spread.value(ROWS, TARGETS, params=np.ones(9)) == pytest.approx(
        serial.value(ROWS, TARGETS, params=np.ones(9)), rel=unit
    )
    spread.parameters[0].data = 1.0
    value, gradient = serial.value_and_grad(ROWS, TARGETS)
    again, gradient_again = spread.value_and_grad(ROWS, TARGETS)
    assert (again, *gradient_again) == pytest.approx((value, *gradient), rel=unit, abs=unit)
    # A node of a graph, and Values as rows.
    for x in spread.parameters:
        x.grad = 0.0
    spread.mean(ROWS, TARGETS).backward()
    assert [x.grad for x in spread.parameters] == pytest.approx(gradient.tolist(), rel=unit, abs=unit)
    slopes = []
    for program in (serial, spread):
        targets = [Value(t) for t in TARGETS[:20].tolist()]
        program.sum(ROWS[:20], targets).backward()
        slopes.append([t.grad for t in targets])
    assert slopes[1] == pytest.approx(slopes[0], rel=unit)
    # Few rows, and none.
    assert spread.value(ROWS[:1], TARGETS[:1]) == pytest.approx(serial.value(ROWS[:1], TARGETS[:1]), rel=unit)
    assert spread.map(ROWS[:0], TARGETS[:0]).shape == (0,)


class Recorder(Executor):
    """Runs what it was given once a result is asked for, last first, and keeps how many rows each part had."""

    def __init__(self, workers: int) -> None:
        self._max_workers, self.sizes, self.waiting = workers, list[int](), list[Any]()

    def submit(self, f: Any, /, *args: Any, **named: Any) -> "Future[Any]":
        self.sizes.append(args[2])
        future = Late(self)
        self.waiting.append((future, f, args, named))
        return future

    def run(self) -> None:
        while self.waiting:
            future, f, args, named = self.waiting.pop()
            future.set_result(f(*args, **named))


class Late(Future[Any]):
    def __init__(self, executor: Recorder) -> None:
        super().__init__()
        self.executor = executor

    def result(self, timeout: float | None = None) -> Any:
        self.executor.run()
        return super().result(timeout)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_processes(processes: Executor) -> None:
    check(processes)


def test_processes_in_float32(processes: Executor) -> None:
    check(processes, dtype="float32")


def test_threads_as_an_executor() -> None:
    with ThreadPoolExecutor(3) as pool:
        check(pool)


def test_the_machine_of_numpy_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "machine", NumpyMachine)
    with ThreadPoolExecutor(3) as pool:
        check(pool)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("dask.distributed")
    options = {"dashboard_address": ":0", "processes": False, "n_workers": 2, "threads_per_worker": 1}
    with distributed.LocalCluster(**options) as local, distributed.Client(local) as client:
        yield client


def test_a_cluster(cluster: Any) -> None:
    check(cluster.get_executor(pure=False))


def test_every_row_is_in_one_part_and_the_parts_are_alike() -> None:
    executor = Recorder(4)
    serial, spread = serial_and(executor)
    assert spread.value(ROWS, TARGETS) == pytest.approx(serial.value(ROWS, TARGETS), rel=1e-13)
    assert len(executor.sizes) == 4
    assert sum(executor.sizes) == 1000
    assert max(executor.sizes) - min(executor.sizes) <= 1


def test_sums_do_not_depend_on_who_is_done_first() -> None:
    _, spread = serial_and(Recorder(4))
    _, in_order = serial_and(ThreadPoolExecutor(4))
    value, gradient = spread.value_and_grad(ROWS, TARGETS)
    again, gradient_again = in_order.value_and_grad(ROWS, TARGETS)
    assert (value, gradient.tolist()) == (again, gradient_again.tolist())


def test_an_operation_that_does_not_pickle_is_named(processes: Executor) -> None:
    mine = custom(lambda x: x * x, lambda out, x: 2 * x)
    with pytest.raises(PicklingError, match="pickled by its name, so it must be in the table"):
        jit(lambda x: mine(x), executor=processes).map(ROWS[:, 0])
    check(processes)


def test_an_error_in_a_worker_comes_out() -> None:
    def fail(x: float) -> float:
        if x == -7.5:
            raise LookupError("mine")
        return x

    broken = custom(fail, lambda out, x: 1.0)
    with ThreadPoolExecutor(3) as pool:
        program = jit(lambda x: broken(x), executor=pool)
        assert program.value([1.0] * 20, reduce="sum") == 20.0
        with pytest.raises(LookupError, match="mine"):
            program.value([1.0] * 19 + [-7.5], reduce="sum")
        assert program.value([1.0] * 20, reduce="sum") == 20.0


def test_threads_work_at_once() -> None:
    seen, both = set[int](), threading.Event()

    def wait_for_the_other(x: float) -> float:
        seen.add(threading.get_ident())
        if len(seen) > 1:
            both.set()
        assert both.wait(300)
        return x

    waiting = custom(wait_for_the_other, lambda out, x: 1.0)
    both.set()
    program = jit(lambda x: waiting(x), threads=2).trace(0.0)
    both.clear()
    seen.clear()
    assert program.value(ROWS[:64, 0]) == pytest.approx(ROWS[:64, 0].mean())
    assert len(seen) == 2


@pytest.mark.parametrize("place", [0, -1])
def test_an_error_in_a_thread_comes_out(place: int) -> None:
    def fail(x: float) -> float:
        if x == -7.5:
            raise LookupError("mine")
        return x

    program, rows = jit(lambda x: custom(fail, lambda out, x: 1.0)(x), threads=2), np.ones(200)
    assert program.value(rows) == 1.0
    rows[place] = -7.5
    with pytest.raises(LookupError, match="mine"):
        program.value(rows)
    assert program.value(np.ones(200)) == 1.0
