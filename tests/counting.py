"""How much work is done, counted in calls: seconds would tell of the machine, and of who else is on it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest


@contextmanager
def calls_at_most(limit: int) -> Iterator[None]:
    """Fails once this thread has made more calls in the block: functions in Python, and those in C called from there.

    What C does by itself, and the compiled core, is not seen; the pure core is. A limit a few times what is needed
    leaves room for imports and caches, and for what differs between versions of Python.

    >>> with calls_at_most(100):
    ...     sum([len(str(n)) for n in range(10)])
    10
    """
    made, before = 0, sys.getprofile()

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal made
        if event in ("call", "c_call"):
            made += 1
            if made > limit:
                pytest.fail(f"more than {limit:,} calls; the latest is in {frame.f_code.co_qualname}")

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)
    assert made <= limit  # again: an error raised in a finalizer, or by the collector, would go unnoticed
