"""gc_paused: the collector rests, and is as it was afterwards."""

import gc
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

import autograd
from autograd import Value, gc_paused


@pytest.fixture(autouse=True)
def collector_as_it_was() -> Iterator[None]:
    was_on = gc.isenabled()
    yield
    (gc.enable if was_on else gc.disable)()


@pytest.mark.parametrize("was_on", [True, False])
def test_it_rests_and_is_as_it_was(was_on: bool) -> None:
    (gc.enable if was_on else gc.disable)()
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is was_on


def test_an_error_ends_the_rest() -> None:
    gc.enable()
    with pytest.raises(ZeroDivisionError), gc_paused():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_as_a_decorator() -> None:
    gc.enable()

    @gc_paused()
    def build() -> bool:
        """What it builds."""
        return gc.isenabled()

    assert build() is False
    assert build.__doc__ == "What it builds."
    assert gc.isenabled()


def test_blocks_of_threads_overlap() -> None:
    """The first to begin is the first to end: the collector rests on for the other."""
    gc.enable()
    begun, ended = threading.Event(), threading.Event()
    seen: list[bool] = []

    def other() -> None:
        with gc_paused():
            begun.set()
            assert ended.wait(300)
            seen.append(gc.isenabled())

    with gc_paused():
        thread = threading.Thread(target=other)
        thread.start()
        assert begun.wait(300)
    assert not gc.isenabled()
    ended.set()
    thread.join(300)
    assert seen == [False]
    assert gc.isenabled()


def test_graphs_are_freed_while_it_rests() -> None:
    """A thousand graphs of a thousand nodes, of which one lives at a time."""

    def build() -> None:
        y = x = Value(0.5)
        for _ in range(500):
            y = y * x + x
        y.backward()

    with gc_paused():
        build()
        tracemalloc.start()
        try:
            for _ in range(100):
                build()
            left, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert left < 20_000
    assert peak < 500_000


def test_it_is_public() -> None:
    assert "gc_paused" in dir(autograd)
    assert "gc_paused" in autograd.__all__
