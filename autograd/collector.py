"""Python's cyclic garbage collector, and how to have it rest while a very large graph is built.

>>> from autograd import Value
>>> with gc_paused():
...     y = x = Value(0.5)
...     for _ in range(100_000):
...         y = y * x + x
...     y.backward()
>>> round(x.grad, 6)
4.0
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_lock = RLock()  # a signal handler may come in between
_resting = 0  # how many blocks are open, in all threads
_was_on = False


@contextmanager
def gc_paused() -> Iterator[None]:
    """Within it, in all threads, the garbage collector rests; then it is as it was. Also a decorator, @gc_paused().

    The collector looks again and again through all objects that live for cycles of which nobody holds an end: for a
    graph of a million nodes, about as much work as making them. Nodes form no cycles, and are freed at once when
    nothing refers to them, whether the collector runs or not, so that graphs lose nothing by its rest; cycles that
    other code makes stay until it runs again. Blocks may nest and overlap: the last to end ends the rest.

    >>> import gc
    >>> with gc_paused():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    global _resting, _was_on
    with _lock:
        if not _resting:
            _was_on = gc.isenabled()
            gc.disable()
        _resting += 1
    try:
        yield
    finally:
        with _lock:
            _resting -= 1
            if not _resting and _was_on:
                gc.enable()
