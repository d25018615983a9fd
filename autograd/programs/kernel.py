"""The machine: one function that runs every program, built with LLVM for this processor.

It switches over the opcodes of tables.CONTROL and one for each operation that has vector code. An instruction works
on all rows of its group, a row on the vectors of a block of samples, WIDTH bytes each.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from . import elementary
from .lanes import Lanes, Mask, select
from .tables import OPCODES, PADDED, ROWS

WIDTH = 64
I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
F64 = ir.DoubleType()
# What a call passes, each 8 bytes: see native.Scratch.
FIELDS = (
    *("once", "code", "vector", "gradient", "slots", "arrays", "strides", "outs", "out_strides", "calls"),  # addresses
    *("samples", "vectors", "trained", "scale"),  # whole numbers, and the bits of a double
    *("gathered", "width"),  # where one sample's operands are put side by side, and how many fit
    # Where the parameters and their gradient are, how many; and which of them make up the vector: a list of runs, each
    # the first parameter and how many follow, and how many runs
    *("parameters", "scaled", "count", "sources", "runs"),
    # For direct: what Python calls with, what to recognize, where things are in an object, the shapes
    *("given", "ndarray", "dtype", "float64", "mean", "sum", "head", "items", "shapes", "columns"),
)
# In NumPy's C interface, where the fields of a PyArrayObject are, counted from the end of the object's head.
DATA, NDIM, DIMENSIONS, DESCR, FLAGS = 0, 8, 16, 40, 48
KIND = 8  # of a PyArray_Descr: 8 bytes with its kind, type and byte order. An unpickled array has a dtype of its own
READABLE = 0x101  # of the flags: contiguous as C has it, and aligned


def _i64(n: int) -> ir.Constant:
    return ir.Constant(I64, n)


class Kernel:
    """Builds the functions `run` and `direct`, of a pointer to FIELDS, in a module of their own."""

    def __init__(self, single: bool) -> None:
        self.real: ir.Type = ir.FloatType() if single else F64
        self.size = 4 if single else 8
        self.lanes = WIDTH // self.size
        self.vector = ir.VectorType(self.real, self.lanes)
        self.module = ir.Module(name="chainrule")
        self.module.triple = llvm.get_process_triple()
        run_type = ir.FunctionType(F64, [I64.as_pointer()])
        self.run = ir.Function(self.module, run_type, name="run")
        self.direct = ir.Function(self.module, run_type, name="direct")
        reals = self.real.as_pointer()
        self.execute = ir.Function(
            self.module,
            ir.FunctionType(
                ir.VoidType(), [I32.as_pointer(), reals, F64.as_pointer(), reals, *[I64] * 4, I64.as_pointer()]
            ),
            name="execute",
        )
        self.execute.linkage = "internal"
        self.execute.attributes.alignstack = WIDTH  # for what does not fit into registers
        self._fma = ir.Function(
            self.module, ir.FunctionType(self.vector, [self.vector] * 3), f"llvm.fma.v{self.lanes}f{8 * self.size}"
        )
        self._build_between()
        self._build_execute()
        self._build_run()
        self._build_direct()

    # Loops, loads and stores

    @contextmanager
    def _while(self, start: Any, stop: Any, starts: Sequence[Any] = ()) -> Iterator[tuple[Any, list[Any], list[Any]]]:
        """The body of `while i < stop`, with i, the values and a list that gets what all these are after the body."""
        b = self.b
        head, body, end = (b.append_basic_block(name) for name in ("head", "body", "end"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        starts = [start, *starts]
        i, *values = phis = [b.phi(x.type) for x in starts]
        for phi, x in zip(phis, starts, strict=True):
            phi.add_incoming(x, before)
        b.cbranch(b.icmp_signed("<", i, stop), body, end)
        b.position_at_end(body)
        after: list[Any] = []
        yield i, values, after
        for phi, x in zip(phis, after, strict=True):
            phi.add_incoming(x, b.block)
        b.branch(head)
        b.position_at_end(end)

    @contextmanager
    def loop(self, start: Any, stop: Any, step: Any = 1) -> Iterator[Any]:
        """The body of `for i in range(start, stop, step)`."""
        with self._while(start, stop) as (i, _, after):
            yield i
            after.append(self.b.add(i, _i64(step) if isinstance(step, int) else step))

    def following(self, start: Any, stop: Any, body: Callable[[Any], Any]) -> None:
        """The body of `i = start; while i < stop: i = body(i)`."""
        with self._while(start, stop) as (i, _, after):
            after.append(body(i))

    def folded(self, stop: Any, starts: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """What `for i in range(stop): values = body(i, values)` leaves of the values, which stay in registers."""
        with self._while(_i64(0), stop, starts) as (i, values, after):
            found = body(i, values)
            after += [self.b.add(i, _i64(1)), *found]
        return values

    def word(self, at: Any) -> Any:
        """The whole number at that place of the code."""
        return self.b.sext(self.b.load(self.b.gep(self.code, [at])), I64)

    def slot(self, at: Any) -> Any:
        """Where the slot begins whose number stands at that place of the code."""
        return self.b.gep(self.slots, [self.b.mul(self.word(at), self.stride)])

    def only(self, at: Any) -> Any:
        """The slot whose number stands at that place of the code, of one sample."""
        return self.b.gep(self.slots, [self.word(at)])

    def vector_at(self, pointer: Any, v: Any, further: int = 0) -> Any:
        b = self.b
        offset = b.mul(v, _i64(self.lanes))
        if further:
            offset = b.add(offset, _i64(further * self.lanes))
        return b.bitcast(b.gep(pointer, [offset]), self.vector.as_pointer())

    def load(self, pointer: Any, v: Any, further: int = 0) -> Any:
        loaded = self.b.load(self.vector_at(pointer, v, further))
        loaded.align = WIDTH
        return loaded

    def store(self, value: Any, pointer: Any, v: Any, further: int = 0) -> None:
        self.b.store(value, self.vector_at(pointer, v, further)).align = WIDTH

    def splat(self, x: Any) -> Any:
        b = self.b
        one = b.insert_element(ir.Constant(self.vector, ir.Undefined), x, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return b.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), zeros)

    def number(self, k: Any) -> Any:
        """Number k of the vector, for all lanes."""
        return self.splat(self.b.load(self.b.gep(self.numbers, [k])))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        return self.b.call(self._fma, [x, y, z])

    def zero(self, sign: str = "") -> Any:
        """For sums to begin with: adding to -0.0 changes nothing, be it 0.0."""
        return ir.Constant(self.vector, [float(f"{sign}0")] * self.lanes)

    def shuffled(self, x: Any, y: Any, order: Sequence[int]) -> Any:
        return self.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(order)), list(order)))

    # Functions of their own, to be in the code once

    def _build_between(self) -> None:
        """From slots that the code lists to the lanes of a vector, and the reverse."""
        listed = [I32.as_pointer(), self.real.as_pointer()]
        self._gather = self._internal("gather", self.vector, listed)
        found = ir.Constant(self.vector, ir.Undefined)
        for k in range(self.lanes):
            found = self.b.insert_element(found, self.b.load(self.only(_i64(k))), I32(k))
        self.b.ret(found)
        self._scatter = self._internal("scatter", ir.VoidType(), [*listed, self.vector])
        for k in range(self.lanes):
            self.b.store(self.b.extract_element(self._scatter.args[2], I32(k)), self.only(_i64(k)))
        self.b.ret_void()

    def _internal(self, name: str, returned: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
        f = ir.Function(self.module, ir.FunctionType(returned, arguments), name)
        f.linkage = "internal"
        self.b = ir.IRBuilder(f.append_basic_block("entry"))
        self.code, self.slots = f.args[:2]
        return f

    # The function that runs instructions up to `end`

    def _build_execute(self) -> None:
        f = self.execute
        code, numbers, gradient, slots, vectors, apart, first, samples, fields = f.args
        for x in (code, numbers, gradient, slots, fields):
            x.add_attribute("noalias")
        self.b = b = ir.IRBuilder(f.append_basic_block("entry"))
        reals = self.real.as_pointer()
        self.numbers, self.gradient, self.slots, self.fields = numbers, gradient, slots, fields
        self.vectors, self.first, self.samples = vectors, first, samples
        self.single = b.icmp_signed("==", samples, _i64(1))
        self.stride = b.select(self.single, _i64(1), b.mul(apart, _i64(self.lanes)))
        self.gathered = b.inttoptr(self.field("gathered"), reals)
        self.width = self.field("width")
        # How many lanes of the last vector hold samples; the others hold copies of the last sample.
        left = b.sub(b.sub(samples, first), b.mul(b.sub(vectors, _i64(1)), _i64(self.lanes)))
        wide = ir.VectorType(I64, self.lanes)
        one = b.insert_element(ir.Constant(wide, ir.Undefined), left, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        left = b.shuffle_vector(one, ir.Constant(wide, ir.Undefined), zeros)
        self.valid = b.icmp_signed("<", ir.Constant(wide, list(range(self.lanes))), left)
        self.last = b.sub(vectors, _i64(1))
        fetch, unknown = b.append_basic_block("fetch"), b.append_basic_block("unknown")
        start = b.block
        b.branch(fetch)
        b.position_at_end(fetch)
        self.code = b.phi(I32.as_pointer())
        self.code.add_incoming(code, start)
        switch = b.switch(b.load(self.code), unknown)
        b.position_at_end(unknown)
        b.ret_void()
        for name, opcode in OPCODES.items():
            block = b.append_basic_block(name)
            switch.add_case(ir.Constant(I32, opcode), block)
            b.position_at_end(block)
            if name == "end":
                b.ret_void()
                continue
            build = getattr(self, f"_{name}", None)
            length = self._elementwise(name) if build is None else build()
            self.code.add_incoming(b.gep(self.code, [length]), b.block)
            b.branch(fetch)

    def _load(self) -> Any:
        """[array, length of all runs, (first column, columns, slots ...) ...]: slots get the samples' columns."""
        b = self.b
        array, end = self.word(_i64(1)), b.add(self.word(_i64(2)), _i64(3))
        base = b.inttoptr(self._nested("arrays", array), self.real.as_pointer())
        stride = self._nested("strides", array)
        with b.if_then(self.single):

            def numbers(at: Any) -> Any:
                first, columns = self.word(at), self.word(b.add(at, _i64(1)))
                slots = b.add(at, _i64(2))
                with self.loop(_i64(0), columns) as k:
                    b.store(b.load(b.gep(base, [b.add(first, k)])), self.slot(b.add(slots, k)))
                return b.add(slots, columns)

            self.following(_i64(3), end, numbers)
        with self.loop(_i64(0), b.select(self.single, _i64(0), self.vectors)) as v:
            i = b.add(self.first, b.mul(v, _i64(self.lanes)))
            begin, last = b.gep(base, [b.mul(i, stride)]), b.sub(b.sub(self.samples, i), _i64(1))
            lanes = [b.select(b.icmp_signed("<", _i64(k), last), _i64(k), last) for k in range(self.lanes)]
            samples = [b.gep(begin, [b.mul(lane, stride)]) for lane in lanes]

            def run(at: Any) -> Any:
                first, columns = self.word(at), self.word(b.add(at, _i64(1)))
                slots = b.add(at, _i64(2))

                def tile(k: Any, wide: int) -> None:
                    column = b.add(first, k)
                    if wide == 1:
                        found = [self.zero()]
                        for lane, x in enumerate(samples):
                            x = b.load(b.gep(x, [column]))
                            found = [b.insert_element(found[0], x, ir.Constant(I32, lane))]
                    else:
                        found = self.transposed([self.load_anywhere(b.gep(x, [column]), _i64(0)) for x in samples])
                    for c, x in enumerate(found):
                        self.store(x, self.slot(b.add(b.add(slots, k), _i64(c))), v)

                self._tiles(columns, (self.lanes, 1), tile)
                return b.add(slots, columns)

            alone = b.and_(b.icmp_signed("==", stride, _i64(1)), b.icmp_signed(">=", last, _i64(self.lanes - 1)))
            with b.if_else(alone) as (one_column, columns):
                with one_column:
                    self.store(self.load_anywhere(begin, _i64(0)), self.slot(_i64(5)), v)
                with columns:
                    self.following(_i64(3), end, run)
        return end

    def transposed(self, rows: list[Any]) -> list[Any]:
        """The columns of a square of as many vectors as each has lanes: halves of growing squares change places."""
        step = 1
        while step < len(rows):
            for i in range(len(rows)):
                if not i & step:
                    rows[i], rows[i + step] = self.interleaved(rows[i], rows[i + step], step)
            step *= 2
        return rows

    def interleaved(self, x: Any, y: Any, step: int) -> tuple[Any, Any]:
        """The even and the odd runs of `step` lanes of both, those of x and of y in turn."""
        lanes = x.type.count
        even = [k if not k & step else lanes + k - step for k in range(lanes)]
        odd = [k + step if not k & step else lanes + k for k in range(lanes)]
        return self.shuffled(x, y, even), self.shuffled(x, y, odd)

    def _fill(self) -> Any:
        """[slots, (slot, k) ...]: number k of the vector, for every sample."""
        b = self.b
        count = self.word(_i64(1))
        with self.loop(_i64(0), count) as k:
            at = b.add(_i64(2), b.mul(k, _i64(2)))
            x = self.number(self.word(b.add(at, _i64(1))))
            slot = self.slot(at)
            with b.if_else(self.single) as (one, several):
                with one:
                    b.store(b.extract_element(x, ir.Constant(I32, 0)), slot)
                with several, self.loop(_i64(0), self.vectors) as v:
                    self.store(x, slot, v)
        return b.add(_i64(2), b.mul(count, _i64(2)))

    def _layer(self) -> Any:
        """[rows, columns, base, by row, by column, xs ..., out ...]: out = W x, W being numbers of the vector."""
        b = self.b
        rows, columns, base, by_row, by_column = (self.word(_i64(k)) for k in range(1, 6))
        xs = _i64(6)
        out = b.add(xs, columns)

        def tile(i: Any, high: int, v: Any, wide: int) -> None:
            starts = [b.gep(self.numbers, [b.add(base, b.mul(b.add(i, _i64(k)), by_row))]) for k in range(high)]

            def body(j: Any, sums: list[Any]) -> list[Any]:
                x = self.slot(b.add(xs, j))
                loaded = [self.load(x, v, k) for k in range(wide)]
                step = b.mul(j, by_column)
                found = []
                for r, start in enumerate(starts):
                    w = self.splat(b.load(b.gep(start, [step])))
                    found += [self.fma(w, x, sums[r * wide + k]) for k, x in enumerate(loaded)]
                return found

            sums = self.folded(columns, [self.zero("-")] * (high * wide), body)
            for r in range(high):
                to = self.slot(b.add(b.add(out, i), _i64(r)))
                for k in range(wide):
                    self.store(sums[r * wide + k], to, v, k)

        def single() -> None:
            x = self.side_by_side(1, xs, _i64(1), columns)
            with b.if_else(b.icmp_signed("==", by_column, _i64(1))) as (forward, back):
                with forward, self.loop(_i64(0), rows) as i:
                    w = b.gep(self.numbers, [b.add(base, b.mul(i, by_row))])
                    b.store(self.dot(w, x, columns), self.slot(b.add(out, i)))
                with back:
                    to = self.gathered
                    whole = b.sdiv(rows, _i64(self.lanes))
                    with self.loop(_i64(0), whole) as v:

                        def add(j: Any, sums: list[Any]) -> list[Any]:
                            w = b.gep(self.numbers, [b.add(base, b.mul(j, by_column))])
                            return [self.fma(self.load_anywhere(w, v), self.splat(b.load(b.gep(x, [j]))), sums[0])]

                        self.store(self.folded(columns, [self.zero("-")], add)[0], to, v)
                    with self.loop(b.mul(whole, _i64(self.lanes)), rows) as i:

                        def add(j: Any, sums: list[Any]) -> list[Any]:
                            w = b.load(b.gep(self.numbers, [b.add(b.add(base, i), b.mul(j, by_column))]))
                            return [b.fadd(sums[0], b.fmul(w, b.load(b.gep(x, [j]))))]

                        b.store(self.folded(columns, [self.real(-0.0)], add)[0], b.gep(to, [i]))
                    self.spread(0, out, _i64(1), rows)

        with b.if_else(self.single) as (one, several):
            with one:
                single()
            with several:
                self._tiles(
                    self.vectors,
                    (4, 1),
                    lambda v, wide: self._tiles(rows, (4, 1), lambda i, high: tile(i, high, v, wide)),
                )
        return b.add(out, rows)

    def _tiles(self, stop: Any, sizes: Sequence[int], body: Callable[[Any, int], None]) -> None:
        """body(i, size) over range(stop), in steps of the sizes, as long as each fits."""
        b = self.b
        start: Any = _i64(0)
        for size in sizes:
            whole = b.sub(stop, b.urem(b.sub(stop, start), _i64(size))) if size > 1 else stop
            with self.loop(start, whole, size) as i:
                body(i, size)
            start = whole

    def _outer(self) -> Any:
        """[rows, columns, base, by row, gs ..., xs ...]: adds g x, summed over samples, to the gradient at base."""
        b = self.b
        rows, columns, base, by_row = (self.word(_i64(k)) for k in range(1, 5))
        gs = _i64(5)
        xs = b.add(gs, rows)

        def tile(i: Any, high: int, j: Any, wide: int) -> None:
            left = [self.slot(b.add(b.add(gs, i), _i64(r))) for r in range(high)]
            right = [self.slot(b.add(b.add(xs, j), _i64(c))) for c in range(wide)]

            def products(v: Any, sums: list[Any], masked: bool) -> list[Any]:
                zero = self.zero()
                loaded = [self.load(p, v) for p in (*left, *right)]
                if masked:
                    loaded = [b.select(self.valid, x, zero) for x in loaded]
                pairs = [(g, x) for g in loaded[:high] for x in loaded[high:]]
                return [self.fma(g, x, s) for (g, x), s in zip(pairs, sums, strict=True)]

            sums = self.folded(self.last, [self.zero()] * (high * wide), lambda v, s: products(v, s, False))
            sums = products(self.last, sums, True)
            found = self.sums_of_lanes(sums)
            for r in range(high):
                place = b.add(b.add(base, b.mul(b.add(i, _i64(r)), by_row)), j)
                row = [(r * wide + c) % self.lanes for c in range(wide)]
                total = found[r * wide // self.lanes]
                total = self.shuffled(total, total, row) if wide > 1 else b.extract_element(total, I32(row[0]))
                self._add_to(total, b.gep(self.gradient, [place]))

        def single() -> None:
            x = self.side_by_side(1, xs, _i64(1), columns)
            wide = ir.VectorType(F64, self.lanes)
            whole = b.sdiv(columns, _i64(self.lanes))
            with self.loop(_i64(0), rows) as i:
                g = b.load(self.slot(b.add(gs, i)))
                to = b.gep(self.gradient, [b.add(base, b.mul(i, by_row))])
                factor = self.splat(g)
                with self.loop(_i64(0), whole) as v:
                    product = b.fmul(factor, self.load(x, v))
                    if self.real is not F64:
                        product = b.fpext(product, wide)
                    place = b.bitcast(b.gep(to, [b.mul(v, _i64(self.lanes))]), wide.as_pointer())
                    before = b.load(place)
                    before.align = 8
                    b.store(b.fadd(before, product), place).align = 8
                with self.loop(b.mul(whole, _i64(self.lanes)), columns) as j:
                    product = b.fmul(g, b.load(b.gep(x, [j])))
                    if self.real is not F64:
                        product = b.fpext(product, F64)
                    place = b.gep(to, [j])
                    b.store(b.fadd(b.load(place), product), place)

        with b.if_else(self.single) as (one, several):
            with one:
                single()
            with several:
                self._tiles(
                    rows, (4, 1), lambda i, high: self._tiles(columns, (4, 1), lambda j, wide: tile(i, high, j, wide))
                )
        return b.add(xs, columns)

    def sums_of_lanes(self, vectors: list[Any]) -> list[Any]:
        """The sum of the lanes of each vector, side by side; their number is a power of 2."""
        b = self.b
        step = self.lanes // 2
        while len(vectors) <= step:
            vectors = [b.fadd(*[self.shuffled(x, x, range(k, k + step)) for k in (0, step)]) for x in vectors]
            step //= 2
        while step:
            firsts = [k for k in range(len(vectors)) if not k & step]
            vectors = [b.fadd(*self.interleaved(vectors[k], vectors[k + step], step)) for k in firsts]
            step //= 2
        return vectors

    def _add_to(self, total: Any, pointer: Any) -> None:
        """Add a number, or numbers that lie side by side, to those of the gradient."""
        b = self.b
        wide = ir.VectorType(F64, total.type.count) if isinstance(total.type, ir.VectorType) else F64
        if self.real is not F64:
            total = b.fpext(total, wide)
        pointer = b.bitcast(pointer, wide.as_pointer())
        before = b.load(pointer)
        before.align = 8
        b.store(b.fadd(before, total), pointer).align = 8

    def _rows(self, head: int, length: Any, count: Any, body: Callable[[Any, Any], None]) -> Any:
        """body(place of the row's operands, its slot) for each row; the length of the instruction."""
        b = self.b
        with self.loop(_i64(0), count) as i:
            at = b.add(_i64(head), b.mul(i, length))
            body(b.add(at, _i64(1)), self.slot(at))
        return b.add(_i64(head), b.mul(count, length))

    def _summing(
        self, width: int, term: Callable[[Any, Any, list[Any]], list[Any]], number: Callable[[Any, Any], Any]
    ) -> Any:
        """[length of all runs, (rows, terms, (out, term ...) ...) ...], a term being `width` whole numbers."""
        b = self.b
        end = b.add(self.word(_i64(1)), _i64(2))

        def rows(count: Any, start: Any, terms: Any, body: Callable[[Any, Any], None]) -> None:
            """body(out, place of the first term)"""
            length = b.add(b.mul(terms, _i64(width)), _i64(1))

            def row(i: Any, places: list[Any]) -> list[Any]:
                body(self.slot(places[0]), b.add(places[0], _i64(1)))
                return [b.add(places[0], length)]

            self.folded(count, [start], row)

        def one_sample(out: Any, first: Any, terms: Any) -> None:
            def add(t: Any, sums: list[Any]) -> list[Any]:
                return [number(b.add(first, b.mul(t, _i64(width))), sums[0])]

            b.store(self.folded(terms, [self.real(-0.0)], add)[0], out)

        def few(out: Any, first: Any, terms: int) -> None:
            total = self.real(-0.0)
            for t in range(terms):
                total = number(b.add(first, _i64(t * width)), total)
            b.store(total, out)

        def samples(out: Any, first: Any, terms: Any) -> None:
            def vectors(v: Any, wide: int) -> None:
                def add(t: Any, sums: list[Any]) -> list[Any]:
                    return term(b.add(first, b.mul(t, _i64(width))), v, sums)

                sums = self.folded(terms, [self.zero("-")] * wide, add)
                for k in range(wide):
                    self.store(sums[k], out, v, k)

            self._tiles(self.vectors, (8, 4, 1), vectors)

        def run(at: Any) -> Any:
            count, terms, start = self.word(at), self.word(b.add(at, _i64(1))), b.add(at, _i64(2))
            done = b.append_basic_block("done")
            switch = b.switch(b.select(self.single, terms, _i64(-1)), b.append_basic_block("many"))
            with b.goto_block(switch.default):
                rows(count, start, terms, partial(one_sample, terms=terms))
                b.branch(done)
            for n in (1, 2, 3):
                switch.add_case(_i64(n), block := b.append_basic_block("few"))
                with b.goto_block(block):
                    rows(count, start, _i64(n), partial(few, terms=n))
                    b.branch(done)
            switch.add_case(_i64(-1), block := b.append_basic_block("samples"))
            with b.goto_block(block):
                rows(count, start, terms, partial(samples, terms=terms))
                b.branch(done)
            b.position_at_end(done)
            return b.add(start, b.mul(count, b.add(b.mul(terms, _i64(width)), _i64(1))))

        self.following(_i64(2), end, run)
        return end

    def _sum(self) -> Any:
        b = self.b

        def term(at: Any, v: Any, sums: list[Any]) -> list[Any]:
            x = self.slot(at)
            return [self.b.fadd(s, self.load(x, v, k)) for k, s in enumerate(sums)]

        return self._summing(1, term, lambda at, s: b.fadd(s, b.load(self.only(at))))

    def _products(self) -> Any:
        b = self.b

        def term(at: Any, v: Any, sums: list[Any]) -> list[Any]:
            x, y = self.slot(at), self.slot(self.b.add(at, _i64(1)))
            return [self.fma(self.load(x, v, k), self.load(y, v, k), s) for k, s in enumerate(sums)]

        return self._summing(
            2, term, lambda at, s: b.fadd(s, b.fmul(b.load(self.only(at)), b.load(self.only(b.add(at, _i64(1))))))
        )

    def _weighted(self) -> Any:
        b = self.b

        def term(at: Any, v: Any, sums: list[Any]) -> list[Any]:
            x, y = self.slot(at), self.slot(b.add(at, _i64(1)))
            c = self.number(self.word(b.add(at, _i64(2))))
            loaded = [(self.load(x, v, k), self.load(y, v, k)) for k in range(len(sums))]
            return [self.fma(b.fmul(c, x), y, s) for (x, y), s in zip(loaded, sums, strict=True)]

        def number(at: Any, total: Any) -> Any:
            x, y = b.load(self.only(at)), b.load(self.only(b.add(at, _i64(1))))
            c = b.load(b.gep(self.numbers, [self.word(b.add(at, _i64(2)))]))
            return b.fadd(total, b.fmul(b.fmul(c, x), y))

        return self._summing(3, term, number)

    def _store(self) -> Any:
        """[array, columns, (column, slot) ...]: the columns of the block's samples get the slots."""
        b = self.b
        array, count = self.word(_i64(1)), self.word(_i64(2))
        base = b.inttoptr(self._nested("outs", array), self.real.as_pointer())
        stride = self._nested("out_strides", array)
        lanes = b.mul(self.vectors, _i64(self.lanes))
        left = b.sub(self.samples, self.first)
        stop = b.select(b.icmp_signed("<", left, lanes), left, lanes)  # 1 for a single sample
        with self.loop(_i64(0), count) as k:
            at = b.add(_i64(3), b.mul(k, _i64(2)))
            column = self.word(at)
            slot = self.slot(b.add(at, _i64(1)))
            with self.loop(_i64(0), stop) as i:
                place = b.add(b.mul(b.add(self.first, i), stride), column)
                b.store(b.load(b.gep(slot, [i])), b.gep(base, [place]))
        return b.add(_i64(3), b.mul(count, _i64(2)))

    def _call(self) -> Any:
        """[rows, operands, which, (out, operands ...) ...]: an operation that is a function of Python's."""
        b = self.b
        count, operands, which = (self.word(_i64(k)) for k in (1, 2, 3))
        pointer = self._nested("calls", which)
        types = [I32.as_pointer(), I64, I64, self.real.as_pointer(), I64]
        f = b.inttoptr(pointer, ir.FunctionType(ir.VoidType(), types).as_pointer())
        b.call(f, [b.gep(self.code, [_i64(4)]), count, operands, self.slots, self.stride])
        return b.add(_i64(4), b.mul(count, b.add(operands, _i64(1))))

    def _elementwise(self, name: str) -> Any:
        """[rows, out ..., first operands ..., ...], each padded: of one sample, a vector goes over rows."""
        b = self.b
        function = getattr(elementary, name)
        count = self.word(_i64(1))
        length = b.and_(b.add(count, _i64(PADDED - 1)), _i64(-PADDED))
        step, vectors = (b.select(self.single, _i64(x), y) for x, y in ((self.lanes, _i64(1)), (1, self.vectors)))
        last = b.sub(vectors, _i64(1))
        with self.loop(_i64(0), count, step) as i:
            places = [b.add(b.add(_i64(2), i), b.mul(length, _i64(k))) for k in range(ROWS[name].count + 1)]
            out, *xs = (b.select(self.single, self.gathered, self.slot(at)) for at in places)
            lists = [b.gep(self.code, [at]) for at in places]
            with b.if_else(self.single) as (one, several):
                with one:
                    gathered = [b.call(self._gather, [at, self.slots]) for at in lists[1:]]
                    after_one = b.block
                with several:
                    loaded = [self.load(x, _i64(0)) for x in xs]
                    after_several = b.block
            starts = [b.phi(self.vector) for _ in xs]
            for start, x, y in zip(starts, gathered, loaded, strict=True):
                start.add_incoming(x, after_one)
                start.add_incoming(y, after_several)

            def vector(v: Any, values: list[Any]) -> list[Any]:
                found = function(*[Lanes(b, x) for x in values[1:]]).value
                self.store(found, out, v)
                following = b.add(v, _i64(1))
                following = b.select(b.icmp_signed("<", following, last), following, last)
                return [found, *[self.load(x, following) for x in xs]]

            found, *_ = self.folded(vectors, [self.zero(), *starts], vector)
            with b.if_then(self.single):
                b.call(self._scatter, [lists[0], self.slots, found])
        return b.add(_i64(2), b.mul(length, _i64(len(places))))

    def _logsumexp(self) -> Any:
        """[rows, operands, (out, operands ...) ...]: shifted by the largest, whose exponential, 1, is left out."""
        b = self.b
        count, operands = self.word(_i64(1)), self.word(_i64(2))

        def constant(x: float) -> Lanes:
            return Lanes(b, ir.Constant(self.vector, [x] * self.lanes))

        def row(at: Any, out: Any) -> None:
            with self.loop(_i64(0), self.vectors) as v:

                def value(k: Any) -> Lanes:
                    """Of one sample the first lane; what other slots hold is in the others."""
                    return Lanes(b, self.load_anywhere(self.slot(b.add(at, k)), v))

                def larger(k: Any, found: list[Any]) -> list[Any]:
                    return [elementary.maximum(Lanes(b, found[0]), value(k)).value]

                (found,) = self.folded(operands, [constant(-math.inf).value], larger)
                top = Lanes(b, found)
                finite = elementary.abs(top) < math.inf
                shift = select(finite, top, constant(0.0))

                def add(k: Any, sums: list[Any]) -> list[Any]:
                    total, met = Lanes(b, sums[0]), Mask(b, sums[1])
                    x = value(k)
                    here = x >= top
                    total = total + select(here & ~met, constant(0.0), elementary.exp(x - shift))
                    return [total.value, (met | here).value]

                none = ir.Constant(ir.VectorType(I1, self.lanes), [0] * self.lanes)
                total, _ = self.folded(operands, [constant(0.0).value, none], add)
                found = select(finite, top + elementary.log1p(Lanes(b, total)), top).value
                with b.if_else(self.single) as (one, several):
                    with one:
                        b.store(b.extract_element(found, ir.Constant(I32, 0)), out)
                    with several:
                        self.store(found, out, v)

        return self._rows(3, b.add(operands, _i64(1)), count, row)

    def field(self, name: str) -> Any:
        return self.b.load(self.b.gep(self.fields, [_i64(FIELDS.index(name))]))

    # One sample: its slots are single numbers, side by side, and vectors go over the rows of a group

    def side_by_side(self, k: int, first: Any, step: Any, count: Any) -> Any:
        """Gather the slots at places first, first + step, ... of the code; where they are then."""
        b = self.b
        to = b.gep(self.gathered, [b.mul(self.width, _i64(k))])
        with self.loop(_i64(0), count) as i:
            b.store(b.load(self.only(b.add(first, b.mul(i, step)))), b.gep(to, [i]))
        return to

    def spread(self, k: int, first: Any, step: Any, count: Any) -> None:
        """The reverse."""
        b = self.b
        source = b.gep(self.gathered, [b.mul(self.width, _i64(k))])
        with self.loop(_i64(0), count) as i:
            b.store(b.load(b.gep(source, [i])), self.only(b.add(first, b.mul(i, step))))

    def dot(self, x: Any, y: Any, count: Any) -> Any:
        """The sum of products of numbers that lie side by side."""
        b = self.b
        whole = b.sdiv(count, _i64(self.lanes))

        def vectors(v: Any, sums: list[Any]) -> list[Any]:
            return [self.fma(self.load_anywhere(x, v), self.load_anywhere(y, v), sums[0])]

        (total,) = self.folded(whole, [self.zero("-")], vectors)
        parts = [b.extract_element(total, ir.Constant(I32, k)) for k in range(self.lanes)]
        while len(parts) > 1:
            parts = [b.fadd(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
        start = b.mul(whole, _i64(self.lanes))

        def rest(i: Any, sums: list[Any]) -> list[Any]:
            i = b.add(start, i)
            return [b.fadd(sums[0], b.fmul(b.load(b.gep(x, [i])), b.load(b.gep(y, [i]))))]

        return self.folded(b.sub(count, start), parts, rest)[0]

    def load_anywhere(self, pointer: Any, v: Any) -> Any:
        loaded = self.b.load(self.vector_at(pointer, v))
        loaded.align = self.size
        return loaded

    def store_anywhere(self, value: Any, pointer: Any, v: Any) -> None:
        self.b.store(value, self.vector_at(pointer, v)).align = self.size

    def _nested(self, field: str, k: Any) -> Any:
        """Entry k of a list of 8-byte entries that a field of the call points at."""
        b = self.b
        pointer = b.inttoptr(b.load(b.gep(self.fields, [_i64(FIELDS.index(field))])), I64.as_pointer())
        return b.load(b.gep(pointer, [k]))

    # The functions that a call calls

    def _build_run(self) -> None:
        """scale times the sum over the samples; that of its gradient goes to `scaled`."""
        (self.fields,) = self.run.args
        self.b = b = ir.IRBuilder(self.run.append_basic_block("entry"))
        reals = self.real.as_pointer()
        code, numbers, gradient, slots, scaled = (
            b.inttoptr(self.field(name), kind)
            for name, kind in {
                "code": I32.as_pointer(),
                "vector": reals,
                "gradient": F64.as_pointer(),
                "slots": reals,
                "scaled": F64.as_pointer(),
            }.items()
        )
        once = b.inttoptr(self.field("once"), I32.as_pointer())
        samples, most, trained, lanes = *map(self.field, ("samples", "vectors", "trained")), _i64(self.lanes)
        parameters = b.inttoptr(self.field("parameters"), F64.as_pointer())

        def copy(place: Any, p: Any, wide: int) -> None:
            x = b.load(_vector(b, parameters, p, wide))
            x.align = 8
            x = x if self.real is F64 else b.fptrunc(x, ir.VectorType(self.real, wide))
            b.store(x, _vector(b, numbers, place, wide)).align = self.size

        self._of_parameters(copy)
        nothing = ir.Constant(ir.VectorType(F64, 8), [0.0] * 8)
        with self.loop(_i64(0), b.add(trained, _i64(1)), 8) as k:
            b.store(nothing, _vector(b, gradient, k, 8)).align = WIDTH
        with b.if_then(b.icmp_signed(">", samples, _i64(0))):
            # As few blocks as there must be, of about the same size.
            needed = b.sdiv(b.add(samples, b.sub(lanes, _i64(1))), lanes)
            blocks = b.sdiv(b.add(needed, b.sub(most, _i64(1))), most)
            size = b.sdiv(b.add(needed, b.sub(blocks, _i64(1))), blocks)

            def execute(code: Any, vectors: Any, first: Any) -> None:
                places = [code, numbers, gradient, slots]
                b.call(self.execute, [*places, vectors, size, b.mul(first, lanes), samples, self.fields])

            execute(once, size, _i64(0))
            with self.loop(_i64(0), blocks) as i:
                first = b.mul(i, size)
                rest = b.sub(needed, first)
                execute(code, b.select(b.icmp_signed("<", rest, size), rest, size), first)
        scale = b.bitcast(self.field("scale"), F64)

        def clear(p: Any, wide: int) -> None:
            b.store(ir.Constant(ir.VectorType(F64, wide), [0.0] * wide), _vector(b, scaled, p, wide)).align = 8

        def add(place: Any, p: Any, wide: int) -> None:
            """Times the scale; the vector may have a parameter several times."""
            x, before = b.load(_vector(b, gradient, place, wide)), b.load(_vector(b, scaled, p, wide))
            x.align = before.align = 8
            x = b.fadd(before, b.fmul(x, _splat(b, scale, wide)))
            b.store(x, _vector(b, scaled, p, wide)).align = 8

        self._tiles(self.field("count"), (8, 1), clear)
        self._of_parameters(add)
        b.ret(b.fmul(scale, b.load(b.gep(gradient, [trained]))))

    def _of_parameters(self, body: Callable[[Any, Any, int], None]) -> None:
        """body(place in the vector, parameter, how many) for those that stand there."""
        b = self.b
        sources = b.inttoptr(self.field("sources"), I64.as_pointer())

        def run(i: Any, places: list[Any]) -> list[Any]:
            (place,), at = places, b.mul(i, _i64(2))
            first, length = b.load(b.gep(sources, [at])), b.load(b.gep(sources, [b.add(at, _i64(1))]))
            self._tiles(length, (8, 1), lambda k, wide: body(b.add(place, k), b.add(first, k), wide))
            return [b.add(place, length)]

        self.folded(self.field("runs"), [_i64(0)], run)

    def _build_direct(self) -> None:
        """run for `given`, a tuple of Python's: (columns, numbers of the parameters, array for the gradient, "mean" or
        "sum", array for what is there of each sample). NaN, with nothing done, if the columns and numbers are not
        arrays that can be read as they are, of the right shapes."""
        (self.fields,) = self.direct.args
        self.b = b = ir.IRBuilder(self.direct.append_basic_block("entry"))
        refused = b.append_basic_block("refused")
        head, items, count = map(self.field, ("head", "items", "columns"))

        def require(condition: Any) -> None:
            accepted = b.append_basic_block("accepted")
            b.cbranch(condition, accepted, refused)
            b.position_at_end(accepted)

        def word(address: Any, offset: Any, kind: ir.Type = I64) -> Any:
            return b.load(b.inttoptr(b.add(address, offset), kind.as_pointer()))

        def item(sequence: Any, k: Any) -> Any:
            return word(sequence, b.add(items, b.mul(k, _i64(8))))

        def within(x: Any, field: int, kind: ir.Type = I64) -> Any:
            return word(x, b.add(head, _i64(field)), kind)

        def dimensions(array: Any, dtype: str, count: Any) -> Any:
            """Where they are, of an array of so many."""
            require(b.icmp_signed("==", within(array, -8), self.field("ndarray")))
            require(b.icmp_signed("==", within(within(array, DESCR), KIND), self.field(dtype)))
            flags = b.and_(within(array, FLAGS, I32), ir.Constant(I32, READABLE))
            require(b.icmp_signed("==", flags, ir.Constant(I32, READABLE)))
            require(b.icmp_signed("==", b.sext(within(array, NDIM, I32), I64), count))
            return within(array, DIMENSIONS)

        columns, numbers, gradient, reduce, out = (item(self.field("given"), _i64(k)) for k in range(5))
        require(b.icmp_signed("==", within(columns, 0), count))
        shapes, arrays = self.field("shapes"), b.inttoptr(self.field("arrays"), I64.as_pointer())

        def column(k: Any, state: list[Any]) -> list[Any]:
            shape, samples = state
            array = item(columns, k)
            ndim = word(shape, _i64(0))
            found = dimensions(array, "dtype", ndim)
            rows = word(found, _i64(0))
            require(b.or_(b.icmp_signed("==", k, _i64(0)), b.icmp_signed("==", rows, samples)))
            with self.loop(_i64(1), ndim) as i:
                offset = b.mul(i, _i64(8))
                require(b.icmp_signed("==", word(found, offset), word(shape, offset)))
            b.store(within(array, DATA), b.gep(arrays, [k]))
            return [b.add(shape, b.mul(ndim, _i64(8))), rows]

        _, samples = self.folded(count, [shapes, _i64(0)], column)
        require(b.icmp_signed(">", samples, _i64(0)))
        require(b.icmp_signed("==", word(dimensions(numbers, "float64", _i64(1)), _i64(0)), self.field("count")))
        mean = b.icmp_signed("==", reduce, self.field("mean"))
        require(b.or_(mean, b.icmp_signed("==", reduce, self.field("sum"))))
        scale = b.select(mean, b.fdiv(F64(1.0), b.sitofp(samples, F64)), F64(1.0))
        fields = {"samples": samples, "scale": b.bitcast(scale, I64)}
        fields |= {"parameters": within(numbers, DATA), "scaled": within(gradient, DATA)}
        for name, x in fields.items():
            b.store(x, b.gep(self.fields, [_i64(FIELDS.index(name))]))
        b.store(within(out, DATA), b.inttoptr(self.field("outs"), I64.as_pointer()))
        b.ret(b.call(self.run, [self.fields]))
        b.position_at_end(refused)
        b.ret(F64(math.nan))


def _vector(b: Any, pointer: Any, k: Any, wide: int) -> Any:
    """As a pointer to so many numbers, from number k on."""
    kind = ir.VectorType(pointer.type.pointee, wide)
    return b.bitcast(b.gep(pointer, [k]), kind.as_pointer())


def _splat(b: Any, x: Any, wide: int) -> Any:
    undefined = ir.Constant(ir.VectorType(x.type, wide), ir.Undefined)
    zeros = ir.Constant(ir.VectorType(I32, wide), [0] * wide)
    return b.shuffle_vector(b.insert_element(undefined, x, ir.Constant(I32, 0)), undefined, zeros)
