"""Several threads: graphs of their own, graphs that share leaves, and transforms that know nothing of one another."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from strategies import Program

import autograd
from autograd import (
    AnomalyError,
    Value,
    derivative,
    detect_anomaly,
    grad,
    gradients,
    hessian,
    hooks,
    hvp,
    jacobian,
    jvp,
    no_grad,
    recording,
    value_and_grad,
    vjp,
)


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    """Threads take turns every few bytecodes, so that what can go wrong does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
    assert not recording.modes


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """What each task gives, all started together, each in its own thread. An error in any is raised."""
    together = threading.Barrier(len(tasks))
    with ThreadPoolExecutor(len(tasks)) as pool:

        def run(task: Callable[[], Any]) -> Any:
            together.wait(300)
            return task()

        return [future.result(300) for future in [pool.submit(run, task) for task in tasks]]


def polynomial(x: Any, y: Any) -> Any:
    return x**3 * y**2 + 2 * x * y


EXPECTED = {
    "grad": 3 * 4 * 9.0 + 6.0,
    "value_and_grad": (8 * 9.0 + 12, (3 * 4 * 9.0 + 6, 8 * 6.0 + 4)),
    "hessian": ((6 * 2 * 9.0, 3 * 4 * 6.0 + 2), (3 * 4 * 6.0 + 2, 8 * 2.0)),
    "jvp": (84.0, 114.0 + 520.0),
    "vjp": (1140.0, 520.0),
    "hvp": (108.0 + 740.0, 74.0 + 160.0),
    "derivative": 6 * 9.0,
    "nested": 3 * 4 * 6.0 + 2,
}


def every_transform() -> dict[str, Any]:
    return {
        "grad": grad(polynomial)(2.0, 3.0),
        "value_and_grad": value_and_grad(polynomial, (0, 1))(2.0, 3.0),
        "hessian": hessian(polynomial, (0, 1))(2.0, 3.0),
        "jvp": jvp(polynomial, (2.0, 3.0), (1.0, 10.0)),
        "vjp": vjp(polynomial, 2.0, 3.0)[1](10.0),
        "hvp": hvp(polynomial, (2.0, 3.0), (1.0, 10.0)),
        "derivative": derivative(lambda x: polynomial(x, 3.0), 3)(2.0),
        "nested": grad(lambda x: grad(lambda y: polynomial(x, y))(3.0))(2.0),
    }


def test_all_transforms_in_several_threads() -> None:
    def task() -> list[dict[str, Any]]:
        return [every_transform() for _ in range(20)]

    for found in at_once(*[task] * 4):
        assert all(one == EXPECTED for one in found)


def test_independent_graphs_in_several_threads() -> None:
    """Built, walked, differentiated and freed at once; every number is whole, so that every sum is exact."""

    def task(seed: int) -> Callable[[], None]:
        def run() -> None:
            for k in range(40):
                x, y = Value(float(seed)), Value(float(k))
                out = x
                for _ in range(30):
                    out = out + x * y
                out.backward()
                assert (x.grad, y.grad) == (1 + 30.0 * k, 30.0 * seed)
                assert gradients(out, [x, y]) == [x.grad, y.grad]
                assert len(autograd.topological_order(out)) == 62

        return run

    at_once(*map(task, range(4)))


@pytest.mark.parametrize("threads", [2, 4])
def test_passes_over_graphs_that_share_leaves_lose_nothing(threads: int) -> None:
    xs = [Value(float(k)) for k in range(10)]
    passes = 50

    def task(seed: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(passes):
                out = autograd.sum([x * (seed + 1) for x in xs])
                for x in xs:
                    out = out + x * seed
                out.backward()

        return run

    at_once(*map(task, range(threads)))
    assert [x.grad for x in xs] == [passes * sum(2 * seed + 1 for seed in range(threads))] * 10


def test_passes_over_the_same_graph_lose_nothing() -> None:
    x, y = Value(3.0), Value(5.0)
    out = x
    for _ in range(20):
        out = out + x * y
    passes = 60
    at_once(*[lambda: [out.backward() for _ in range(passes)]] * 3)
    assert (x.grad, y.grad) == (3 * passes * 101.0, 3 * passes * 60.0)


def test_passes_with_hooks_over_graphs_that_share_leaves_lose_nothing() -> None:
    x = Value(3.0)
    seen: list[float] = []
    x.register_hook(lambda g: seen.append(g))
    x.register_hook(lambda g: 2 * g)

    def task() -> None:
        for _ in range(50):
            y = x * 5.0
            y.register_hook(lambda g: g + 1)
            (y + x).backward()

    at_once(task, task, task)
    assert seen == [11.0] * 150
    assert x.grad == 150 * 22.0


def test_hooks_registered_and_removed_in_several_threads() -> None:
    x = Value(3.0)
    calls = [0] * 4
    before = len(hooks.hooked)

    def task(number: int) -> Callable[[], None]:
        def count(g: float) -> None:
            calls[number] += 1

        def run() -> None:
            for _ in range(50):
                handle = x.register_hook(count)
                own = calls[number]
                (x * 2.0).backward()
                assert calls[number] > own
                handle.remove()

        return run

    at_once(*map(task, range(4)))
    assert x not in hooks.hooked
    assert len(hooks.hooked) == before


def test_gradients_in_one_thread_while_backward_runs_in_another_over_the_same_graph() -> None:
    x, y = Value(3.0), Value(5.0)
    out = x
    for _ in range(30):
        out = out * 1.0 + x * y
    stop = threading.Event()

    def back() -> int:
        passes = 0
        while not stop.is_set():
            out.backward()
            passes += 1
        return passes

    def look() -> None:
        try:
            for create_graph in (False, True) * 20:
                found = gradients(out, [x, y], create_graph=create_graph)
                assert [g.data if isinstance(g, Value) else g for g in found] == [151.0, 90.0]
                assert [v.data for v in jvp(lambda z: z * out, 2.0, 1.0)] == [2 * out.data, out.data]
                assert hessian(lambda z: z * z * out)(1.0).data == 2 * out.data
        finally:
            stop.set()

    passes, *_ = at_once(back, look, look)
    assert (x.grad, y.grad) == (151.0 * passes, 90.0 * passes)


def test_a_transform_that_runs_in_one_thread_is_not_seen_in_another() -> None:
    """While the function of one is under way, those in another thread give floats for floats, as ever."""
    entered, done = threading.Event(), threading.Event()

    def outer(x: Any) -> Any:
        entered.set()
        assert done.wait(300)
        return x * grad(lambda y: x + y)(1.0)

    def other() -> Any:
        assert entered.wait(300)
        try:
            return every_transform()
        finally:
            done.set()

    first, second = at_once(lambda: grad(outer)(7.0), other)
    assert (first, second) == (1.0, EXPECTED)
    assert all(type(number) is float for number in (second["grad"], second["derivative"], second["nested"]))


def test_an_inner_transform_in_a_thread_that_the_function_starts() -> None:
    with ThreadPoolExecutor(2) as pool:

        def f(x: Any) -> Any:
            return x + sum(pool.map(lambda k: grad(lambda y: x * y * k)(1.0), range(1, 4)))

        assert grad(f)(5.0) == 7.0


def test_modes_hold_in_their_own_thread() -> None:
    entered, done = threading.Event(), threading.Event()

    def in_a_mode() -> None:
        for mode in (no_grad, detect_anomaly):
            with mode():
                entered.set()
                assert done.wait(300)

    def without() -> Any:
        assert entered.wait(300)
        try:
            assert gradients(autograd.sqrt(x := Value(0.0)), x) == float("inf")
            return every_transform()
        finally:
            done.set()

    _, found = at_once(in_a_mode, without)
    assert found == EXPECTED


def test_anomalies_are_found_in_the_thread_that_looks_for_them() -> None:
    def looking() -> int:
        caught = 0
        for _ in range(30):
            with detect_anomaly():
                try:
                    grad(autograd.sqrt)(0.0)
                except AnomalyError:
                    caught += 1
        return caught

    def not_looking() -> int:
        return sum([grad(autograd.sqrt)(0.0) == float("inf") for _ in range(30)])

    assert at_once(looking, not_looking, looking) == [30, 30, 30]


def test_an_error_in_one_thread_leaves_the_others_alone() -> None:
    x = Value(3.0)
    x.grad = 1.0

    def failing() -> int:
        caught = 0
        for _ in range(50):
            y = x * 2.0
            y.register_hook(lambda g: "wrong")
            try:
                (y * x).backward()
            except TypeError:
                caught += 1
        return caught

    def well() -> None:
        for _ in range(50):
            (x * 5.0).backward()

    assert at_once(failing, well, well) == [50, None, None]
    assert x.grad == 1.0 + 100 * 5.0


def test_the_same_random_graph_in_every_thread() -> None:
    program = Program(
        (0.5, -1.25),
        (("mul", (0, 1)), ("sin", (2,)), ("affine", (3, 2, 0, 1, 3)), ("tanh", (4,)), ("hypot", (5, 0))),
    )

    def task() -> list[list[float]]:
        found = []
        for _ in range(30):
            tape = program.values()
            tape[-1].backward()
            found.append([v.grad for v in tape])
        return found

    results = at_once(*[task] * 4)
    assert all(grads == results[0][0] for result in results for grads in result)
    assert jacobian(lambda xs: autograd.hypot(xs[0], xs[1]))([3.0, 4.0]) == [0.6, 0.8]
