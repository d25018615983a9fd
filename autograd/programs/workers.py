"""Threads that wait awake: what there is to do they see at once.

To wake a thread takes the system 30 to 100 µs, and Python as much again to hand it the lock: as long as a small batch
takes. So a worker that has done a task watches a word in memory for the next, without Python's lock, and sleeps only
once none came for a while. The caller hands out tasks, does its own, and takes back those that nobody has begun: it
never waits for a thread that may not come, be it asleep, slow to wake or left behind by a fork.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from threading import Event, Thread
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

# What a worker's word says, unless it is where a task is. Who begins a task, or takes it back, writes over it.
AWAKE, BUSY, ASLEEP = range(3)
_LOOKS = 800  # at its word, until a worker sleeps: up to a millisecond, as with each it offers the processor to others
_APART = 128  # bytes: as far as processors share what is written
_I64 = ir.IntType(64)
_WORDS = _I64.as_pointer()


class Worker:
    """A thread that does tasks: whole numbers [function, twice how many, (argument, result) ...]."""

    def __init__(self) -> None:
        self._memory = (ctypes.c_char * (2 * _APART))()
        self.address = -(-ctypes.addressof(self._memory) // _APART) * _APART
        self.word = ctypes.c_int64.from_address(self.address)
        self.word.value = ASLEEP
        self._called = Event()
        thread = Thread(target=self._serve, args=_functions()[:1], name="chainrule", daemon=True)
        with suppress(RuntimeError):  # there are as many as the system allows
            thread.start()
        self.comes = thread.is_alive()

    def call(self) -> None:
        """Have it wake up, if it sleeps."""
        if self.word.value == ASLEEP:
            self._called.set()

    def _serve(self, serve: Any) -> None:
        while self._called.wait():
            self._called.clear()
            serve(ctypes.byref(self.word))


_idle: list[Worker] = []  # of all programs; a list is safe among threads
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # their threads are not there


def at_once(function: int, arguments: list[int], threads: int) -> list[float]:
    """The numbers function(argument), in so many threads, but no more than processors: this one and workers.

    function  where it is in memory; it takes a whole number and does not need Python
    """
    count = min(threads, len(arguments), _processors())
    words: Any = (ctypes.c_int64 * (4 * count + 2 * len(arguments)))()
    place = ctypes.addressof(words)
    starts, tasks = list[int](), list[int]()  # what share takes, its 2 * count words, is followed by these
    for k in range(count):
        starts.append(2 * count + len(tasks))
        part = [n for x in arguments[k::count] for n in (x, 0)]
        tasks += (function, len(part), *part)
    own, *others = [place + 8 * start for start in starts]
    workers: list[Worker] = []
    try:
        for _ in others:
            try:
                workers.append(_idle.pop())
            except IndexError:
                workers.append(Worker())
            workers[-1].call()
        handed = [n for task, worker in zip(others, workers, strict=True) for n in (task, worker.address)]
        words[:] = [own, len(handed), *handed, *tasks]
        _functions()[1](words)  # share; one call, which no KeyboardInterrupt leaves before all is done
    finally:
        # The same one for the same part, which is in its cache.
        _idle.extend([worker for worker in reversed(workers) if worker.comes])
    found, results = [0.0] * len(arguments), (ctypes.c_double * len(words)).from_buffer(words)
    for k, (start, end) in enumerate(pairwise([*starts, len(words)])):
        found[k::count] = results[start + 3 : end : 2]
    return found


def _processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _functions() -> tuple[Any, Any]:
    """serve and share, built for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=1)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(_module())), machine)
    engine.finalize_object()
    # Without the types of arguments ctypes passes an array of its own as a pointer, in less time.
    functions: Any = [ctypes.CFUNCTYPE(None)(engine.get_function_address(name)) for name in ("serve", "share")]
    for function in functions:
        function.engine = engine  # lives as long
    return (*functions,)


def _module() -> ir.Module:
    module = ir.Module(name="workers")
    module.triple = llvm.get_process_triple()
    kind = ir.FunctionType(ir.VoidType(), [_WORDS])
    perform, serve, share = (ir.Function(module, kind, name) for name in ("perform", "serve", "share"))
    library, name = (None, "sched_yield") if os.name == "posix" else ("kernel32", "SwitchToThread")
    rest = _I64(ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value)

    def word(k: int) -> Any:
        return b.load(b.gep(words, [_I64(k)]))

    def watched(place: Any) -> Any:
        """What it says, once a thread that waits for this processor, it may be the other one, has had its turn."""
        b.call(b.inttoptr(rest, ir.FunctionType(ir.IntType(32), []).as_pointer()), [])
        return b.load_atomic(place, "acquire", 8)

    def replaced(place: Any, old: Any, new: int) -> Any:
        """Whether it said the old, and now says the new."""
        return b.extract_value(b.cmpxchg(place, old, _I64(new), "acq_rel", "acquire"), 1)

    def does(task: Any) -> None:
        b.call(perform, [b.inttoptr(task, _WORDS)])

    @contextmanager
    def pairs() -> Iterator[tuple[Any, Any]]:
        """The body of a loop over the words [x, twice how many, (y, z) ...]: y, and where z is."""
        before, (head, body, end) = b.block, [b.append_basic_block() for _ in range(3)]
        b.branch(head)
        b.position_at_end(head)
        k = b.phi(_I64)
        k.add_incoming(_I64(0), before)
        b.cbranch(b.icmp_signed("<", k, word(1)), body, end)
        b.position_at_end(body)
        yield b.load(b.gep(words, [b.add(k, _I64(2))])), b.gep(words, [b.add(k, _I64(3))])
        k.add_incoming(b.add(k, _I64(2)), b.block)
        b.branch(head)
        b.position_at_end(end)

    # perform(task), by whoever began it
    b, (words,) = ir.IRBuilder(perform.append_basic_block()), perform.args
    function = b.inttoptr(word(0), ir.FunctionType(ir.DoubleType(), [_I64]).as_pointer())
    with pairs() as (argument, result):
        b.store(b.bitcast(b.call(function, [argument]), _I64), result)
    b.ret_void()

    # serve(a worker's word), by the worker
    b, (words,) = ir.IRBuilder(serve.append_basic_block()), serve.args
    start, (look, found, begun, missed, leave) = b.block, [b.append_basic_block() for _ in range(5)]
    b.branch(look)
    b.position_at_end(look)
    left = b.phi(_I64)
    state = watched(words)
    b.cbranch(b.icmp_unsigned(">", state, _I64(ASLEEP)), found, missed)
    b.position_at_end(found)
    b.cbranch(replaced(words, state, BUSY), begun, look)
    b.position_at_end(begun)
    does(state)
    b.store_atomic(_I64(AWAKE), words, "release", 8)
    b.branch(look)
    b.position_at_end(missed)
    fewer = b.sub(left, _I64(1))
    b.cbranch(b.icmp_signed(">", fewer, _I64(0)), look, leave)
    for looks, block in ((_I64(_LOOKS), start), (_I64(_LOOKS), found), (_I64(_LOOKS), begun), (fewer, missed)):
        left.add_incoming(looks, block)
    b.position_at_end(leave)
    replaced(words, _I64(AWAKE), ASLEEP)
    b.ret_void()

    # share([own task, twice how many, (another, where a worker's word is) ...]), by the caller
    b, (words,) = ir.IRBuilder(share.append_basic_block()), share.args
    with pairs() as (task, place):
        b.store_atomic(task, b.inttoptr(b.load(place), _WORDS), "release", 8)
    does(word(0))
    with pairs() as (task, place):
        place = b.inttoptr(b.load(place), _WORDS)
        mine, wait, done = (b.append_basic_block() for _ in range(3))
        b.cbranch(replaced(place, task, ASLEEP), mine, wait)
        b.position_at_end(mine)
        does(task)
        b.branch(done)
        b.position_at_end(wait)
        b.cbranch(b.icmp_unsigned("==", watched(place), _I64(BUSY)), wait, done)
        b.position_at_end(done)
    b.ret_void()
    return module
