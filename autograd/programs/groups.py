"""A scalar program, grouped: what the same operation makes of many scalars at once is one group.

A *wire* is one scalar of a sample, known by a number. A Bundle is some wires that are worked on alike: one of them
where a traced graph is taken in, a whole group's where derivatives are. Sums of products are kept as terms for as
long as they can be, so that however a weighted sum was written, it ends as one row of a group:

    Sums     rows of sum(coefficient * wire * wire)
    Dense    rows of sum(parameter * wire) over the same wires: a layer
    Apply    rows of one operation of the table

Groups are kept by level (operands are on lower ones): those of a level can run in any order.
"""

import math
from collections.abc import Iterable, Sequence
from operator import or_
from typing import Any

from autograd import ops
from autograd.ops import Op, install_operators
from autograd.value import DETACH

from .trace import TraceError

Wires = tuple[int, ...]
Term = tuple[float, Wires | None, Wires | None]  # coefficient * wires * wires; without wires a number

ONE = 0  # the wire that is 1.0; with a bias it makes a column of a layer
PARAMETER = -1  # the wire -1 - p stands for parameter p until a group is made of it


class Sums:
    """out[i] = the sum of coefficient * left * right over the terms in rows[i]; plain if all coefficients are 1."""

    def __init__(self, level: int, plain: bool) -> None:
        self.level, self.plain, self.out = level, plain, list[int]()
        self.rows: list[Sequence[tuple[float, int, int]]] = []


class Dense:
    """out[i] = the sum over j of parameters[i][j] * xs[j]."""

    def __init__(self, level: int, xs: Wires) -> None:
        self.level, self.out, self.xs = level, list[int](), xs
        self.parameters: list[Sequence[int]] = []


class Transposed:
    """out[j] = the sum over i of dense.parameters[i][j] * gs[i]."""

    def __init__(self, level: int, dense: Dense, gs: list[int], out: list[int]) -> None:
        self.level, self.out, self.dense, self.gs = level, out, dense, gs


class Outer:
    """Adds gs[i] * xs[j] to the gradient of dense.parameters[i][j]."""

    def __init__(self, level: int, dense: Dense, gs: list[int]) -> None:
        self.level, self.dense, self.gs = level, dense, gs
        self.out: list[int] = []


class Apply:
    """out[i] = op(operands[0][i], operands[1][i], ...); an operand that is a float is the same for all i."""

    def __init__(self, level: int, op: Op, operands: list[Any]) -> None:
        self.level, self.op, self.out = level, op, list[int]()
        self.operands: list[Any] = [x if type(x) is float else [] for x in operands]


class Bundle:
    """Wires that are worked on alike, as an interpreter of the table: operators and rows make more of them.

    once   its terms can be taken over by what it becomes a part of, for nothing else asks for them
    """

    __slots__ = ("once", "program", "size", "terms")

    def __init__(self, program: "Groups", size: int, terms: list[Term]) -> None:
        self.program, self.size, self.terms, self.once = program, size, terms, False

    @staticmethod
    def apply_op(op: Op, operands: Sequence[Any]) -> Any:
        operands = [x if type(x) is Bundle else float(x) for x in operands]
        algebra = ALGEBRA.get(op)
        made = algebra(*operands) if algebra is not None else None
        if made is not None:
            return made
        program = next(x for x in operands if type(x) is Bundle).program
        return program.applied(op, operands)

    def wires(self) -> Wires:
        """Its wires, each one scalar; the sum is made a row if it was still terms."""
        self.once = False  # as wires, they can be asked for again
        terms = self.terms
        if len(terms) != 1 or terms[0][0] != 1.0 or terms[0][2] is not None or terms[0][1] is None:
            self.terms = terms = [(1.0, self.program.summed(terms, self.size), None)]
        wires = terms[0][1]
        assert wires is not None
        if self.size == 1 and wires[0] < 0:
            wires = (self.program.broadcast(wires[0]),)
            self.terms = [(1.0, wires, None)]
        return wires


def _factor(x: Bundle) -> tuple[float, Wires | None]:
    """x as a coefficient and wires."""
    if len(x.terms) != 1 or x.terms[0][2] is not None:
        x.wires()
    c, wires, _ = x.terms[0]
    return c, wires


def _sum(x: Any, y: Any) -> Any:
    if type(x) is float:
        x, y = y, x
    if type(y) is float:
        return Bundle(x.program, x.size, [*_taken(x), (y, None, None)])
    if y.once and len(y.terms) > len(x.terms):
        x, y = y, x
    terms = _taken(x)
    terms += y.terms
    return Bundle(x.program, x.size, terms)


def _taken(x: Bundle) -> list[Term]:
    return x.terms if x.once else [*x.terms]


def _difference(x: Any, y: Any) -> Any:
    if type(y) is float:
        return _sum(x, -y)
    return _sum(x, _scaled(y, -1.0))


def _scaled(x: Bundle, factor: float) -> Bundle:
    if len(x.terms) > 4 or not all([_keeps_range(c * factor) for c, _, _ in x.terms]):
        x.wires()
    return Bundle(x.program, x.size, [(c * factor, a, b) for c, a, b in x.terms])


def _keeps_range(coefficient: float) -> bool:
    """Whether a product of constants can stand for them: where it is 0 or infinite, each alone may have been fine."""
    return 1e-150 < math.fabs(coefficient) < 1e150


def _product(x: Any, y: Any) -> Any:
    if type(x) is float:
        return y if x == 1.0 else _scaled(y, x)
    if type(y) is float:
        return x if y == 1.0 else _scaled(x, y)
    c, a = _factor(x)
    d, b = _factor(y)
    if not _keeps_range(c * d):
        (c, a), (d, b) = (1.0, x.wires()), (1.0, y.wires())
    if a is None:
        return Bundle(x.program, x.size, [(c * d, b, None)])
    return Bundle(x.program, x.size, [(c * d, a, b)])


def _quotient(x: Any, y: Any) -> Any:
    if type(y) is float and 1e-300 < math.fabs(y) < 1e300:
        return _scaled(x, 1 / y)
    return None


def _power(x: Any, y: Any) -> Any:
    if type(y) is float and y in (1.0, 2.0, 3.0):
        square = _product(x, x) if y > 1 else x
        return _product(square, x) if y > 2 else square
    return None


def _products(xs: Sequence[Any]) -> list[Any]:
    """Of the first half by the second."""
    half = len(xs) // 2
    pairs = zip(xs[:half], xs[half:], strict=True)
    return [x * y if type(x) is type(y) is float else _product(x, y) for x, y in pairs]


def _total(xs: Sequence[Any]) -> Bundle:
    """The sum of bundles and floats: all terms, put together once."""
    first = next(x for x in xs if type(x) is Bundle)
    terms = [term for x in xs for term in (x.terms if type(x) is Bundle else [(x, None, None)])]
    return Bundle(first.program, first.size, terms)


def _detached(x: Bundle) -> Bundle:
    """A copy of x, whose derivative nobody asks for."""
    program = x.program
    copies = tuple([program.row([(1.0, wire, ONE)]) for wire in x.wires()])
    for wire in copies:
        program.active[wire] = False
    return Bundle(program, x.size, [(1.0, copies, None)])


# What is linear algebra rather than an operation of its own; None where it is one after all.
ALGEBRA: dict[Op, Any] = {
    ops.add: _sum,
    ops.sub: _difference,
    ops.mul: _product,
    ops.div: _quotient,
    ops.neg: lambda x: _scaled(x, -1.0),
    ops.pow: _power,
    DETACH: _detached,
    ops.sum: lambda *xs: _total(xs),
    ops.dot: lambda *xs: _total(_products(xs)),
    ops.affine: lambda *xs: _total([*_products(xs[:-1]), xs[-1]]),
}


class Groups:
    """The groups of a program, as they come to be.

    vectorized  whether an operation has vector code; others are written out in terms of rows that have, if they can be
    """

    def __init__(self) -> None:
        self.level: list[int] = [0]  # of each wire
        self.active: list[bool] = [False]  # whether its derivative is asked for
        self.constants: dict[float | str, int] = {1.0: ONE}
        self.broadcasts: dict[int, int] = {}  # parameter -> its wire
        self.groups: dict[Any, Any] = {}
        self.found: dict[Any, Any] = {}  # what was applied already
        self.floor = 1  # the lowest level of new groups
        self.effects: list[Outer] = []

    def wire(self, level: int, active: bool) -> int:
        self.level.append(level)
        self.active.append(active)
        return len(self.level) - 1

    def input(self, active: bool) -> Bundle:
        return Bundle(self, 1, [(1.0, (self.wire(0, active),), None)])

    def parameter(self, p: int) -> Bundle:
        return Bundle(self, 1, [(1.0, (-1 - p,), None)])

    def broadcast(self, wire: int) -> int:
        """The wire that holds a parameter for every sample; one that is no parameter, itself."""
        if wire >= 0:
            return wire
        p = -1 - wire
        if p not in self.broadcasts:
            self.broadcasts[p] = self.wire(0, True)
        return self.broadcasts[p]

    def constant(self, number: float) -> int:
        key = number if number == number and number else repr(number)  # -0.0, and nan, which equals nothing
        if key not in self.constants:
            self.constants[key] = self.wire(0, False)
        return self.constants[key]

    def wires_of(self, x: Any) -> Wires:
        return x.wires() if type(x) is Bundle else (self.constant(x),)

    # Rows of groups

    def summed(self, terms: list[Term], size: int) -> Wires:
        if size == 1:
            return (self.sum([(c, a[0] if a else ONE, b[0] if b else ONE) for c, a, b in terms]),)
        ones = (ONE,) * size
        columns = [[(c, i, j) for i, j in zip(a or ones, b or ones, strict=True)] for c, a, b in terms]
        return tuple([self.row(row) for row in zip(*columns, strict=True)])

    def sum(self, terms: list[tuple[float, int, int]]) -> int:
        """The wire of a sum of products, in which wires below 0 are parameters."""
        if len(terms) > 2:  # Python's sum() begins with 0
            terms = [term for term in terms if term != (0.0, ONE, ONE)] or terms
        for _, a, b in terms:
            if a < 0 or b < 0:
                break
        else:
            return self.row(terms)
        rest: list[tuple[float, int, int]] = []
        weighted: dict[float, list[tuple[int, int]]] = {}
        for term in terms:
            c, a, b = term
            if a < 0 and b < 0:
                rest.append((c, self.broadcast(a), self.broadcast(b)))
                continue
            if a < 0:
                a, b = b, a
            if b < 0:
                pairs = weighted.get(c)
                if pairs is None:
                    weighted[c] = [(a, b)]
                else:
                    pairs.append((a, b))
            else:
                rest.append(term)
        for c, pairs in weighted.items():
            dense = self.dense(pairs)
            if dense is None:
                rest += [(c, a, self.broadcast(b)) for a, b in pairs]
            elif c == 1.0 and not rest and len(weighted) == 1:
                return dense
            else:
                rest.append((c, dense, ONE))
        return self.row(rest)

    def row(self, terms: Sequence[tuple[float, int, int]]) -> int:
        level, active = self.level, self.active
        below, plain, asked = self.floor - 1, True, False
        for c, a, b in terms:
            if level[a] > below:
                below = level[a]
            if level[b] > below:
                below = level[b]
            if c != 1.0:
                plain = False
            if active[a] or active[b]:
                asked = True
        height = below + 1
        key = (Sums, height, plain)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Sums(height, plain)
        group.rows.append(terms)
        wire = len(level)
        level.append(height)
        active.append(asked)
        group.out.append(wire)
        return wire

    def dense(self, pairs: list[tuple[int, int]]) -> int | None:
        """The wire of a sum of (wire, parameter) products; the parameters that stand alone are a last column."""
        bias = [b for a, b in pairs if a == ONE]
        if len(bias) > 1 or len(pairs) - len(bias) < 2:
            return None
        if bias:
            pairs = [pair for pair in pairs if pair[0] != ONE]
        pairs.sort()
        xs = tuple([a for a, _ in pairs] + ([ONE] if bias else []))
        group = self.groups.get((Dense, xs))
        if group is None:
            height = max(self.floor, 1 + max([self.level[x] for x in xs]))
            group = self.groups[Dense, xs] = Dense(height, xs)
        group.parameters.append([-1 - b for _, b in pairs] + [-1 - b for b in bias])
        wire = self.wire(group.level, True)
        group.out.append(wire)
        return wire

    def applied(self, op: Op, operands: Sequence[Any]) -> Bundle:
        """A row of the table applied to bundles and floats."""
        columns: list[Any] = [x.wires() if type(x) is Bundle else x for x in operands]
        names = [x if type(x) is tuple or x else repr(x) for x in columns]  # 0.0 and -0.0 are equal, and not the same
        same = (op, *names)
        found = self.found.get(same)
        if found is not None:
            return found  # type: ignore[no-any-return]
        level, active = self.level, self.active
        below, size, flags, alike = self.floor - 1, 1, list[bool](), list[Any]()
        for x in names:
            if type(x) is tuple:
                below, size = max(below, *[level[w] for w in x]), len(x)
                asked = [active[w] for w in x]
                flags = [*map(or_, flags, asked)] if flags else asked
                alike.append(None)
            else:
                alike.append(x)
        if not any(flags):  # nobody asks for partials, which a float may make simpler: others can be in the same group
            columns = [x if type(x) is tuple else (self.constant(x),) * size for x in columns]
            alike = [None] * len(columns)
        height = below + 1
        key = (height, op, *alike)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Apply(height, op, columns)
            for x in columns:
                if type(x) is float:
                    self.constant(x)  # so that it has a wire
        start = len(level)
        for column, x in zip(group.operands, columns, strict=True):
            if type(x) is tuple:
                column += x
        level += [height] * size
        active += flags
        out = tuple(range(start, start + size))
        group.out.extend(out)
        made = self.found[same] = Bundle(self, size, [(1.0, out, None)])
        return made

    def in_order(self) -> list[Any]:
        return sorted([*self.groups.values(), *self.effects], key=lambda group: group.level)


class Adjoint:
    """The reverse pass over groups: adds to a program the groups that compute the derivatives of one of its wires."""

    def __init__(self, program: Groups, root: int) -> None:
        self.program = program
        self.cotangents: dict[int, list[tuple[float, int, int]]] = {root: [(1.0, ONE, ONE)]}
        forward = program.in_order()
        top = forward[-1].level if forward else 0
        for group in reversed(forward):
            program.floor = 2 * top + 1 - group.level
            self.pass_back(group)
        program.floor = 2 * top + 1
        self.gradients = {p: self.cotangent(wire) for p, wire in program.broadcasts.items()}

    def cotangent(self, wire: int) -> int | None:
        """The wire of d(root)/d(wire); None if there is no path."""
        terms = self.cotangents.pop(wire, None)
        if not terms:
            return None
        if len(terms) == 1:
            c, a, b = terms[0]
            if c == 1.0 and (a == ONE or b == ONE):
                return b if a == ONE else a
        return self.program.row(terms)

    def add(self, wire: int, term: tuple[float, int, int]) -> None:
        if self.program.active[wire]:
            terms = self.cotangents.get(wire)
            if terms is None:
                self.cotangents[wire] = [term]
            else:
                terms.append(term)

    def pass_back(self, group: Any) -> None:
        gs = [self.cotangent(wire) for wire in group.out]
        if isinstance(group, Sums):
            for g, row in zip(gs, group.rows, strict=True):
                if g is not None:
                    for c, a, b in row:
                        if a != ONE:
                            self.product(a, c, g, b)
                        if b != ONE:
                            self.product(b, c, g, a)
        elif isinstance(group, Dense):
            self.through_layer(group, gs)
        else:
            self.through_row(group, gs)

    def product(self, wire: int, c: float, g: int, other: int) -> None:
        self.add(wire, (c, g, other))

    def through_layer(self, group: Dense, gs: list[int | None]) -> None:
        program = self.program
        wires = [program.constant(0.0) if g is None else g for g in gs]
        height = max(program.floor, 1 + max([program.level[g] for g in wires]))
        program.effects.append(Outer(height, group, wires))
        if any([program.active[x] for x in group.xs]):
            out = [program.wire(height, True) for _ in group.xs]
            transposed = Transposed(height, group, wires, out)
            program.groups[id(transposed)] = transposed
            for x, wire in zip(group.xs, out, strict=True):
                self.add(x, (1.0, wire, ONE))

    def through_row(self, group: Apply, gs: list[int | None]) -> None:
        program = self.program
        chosen = [i for i, g in enumerate(gs) if g is not None]
        if not chosen:
            return
        columns: list[Any] = [x if type(x) is float else tuple([x[i] for i in chosen]) for x in group.operands]
        size = len(chosen)

        def bundle(wires: Iterable[int]) -> Bundle:
            return Bundle(program, size, [(1.0, tuple(wires), None)])

        out = bundle([group.out[i] for i in chosen])
        operands = [x if type(x) is float else bundle(x) for x in columns]  # a float is the same for all
        wanted = [type(x) is not float and any([program.active[w] for w in x]) for x in columns]
        partials = self.partials(group.op, out, operands, wanted)
        for x, partial in zip(columns, partials, strict=True):
            if partial is None:
                continue
            if type(partial) is not Bundle:
                c, ds = float(partial), (ONE,) * size
            else:
                c, found = _factor(partial)
                ds = found or (ONE,) * size
            for i, wire, d in zip(chosen, x, ds, strict=True):
                self.add(wire, (c, gs[i], d))  # type: ignore[arg-type]

    def partials(self, op: Op, out: Bundle, operands: list[Any], wanted: list[bool]) -> list[Any]:
        """d(out)/d(operand), each a bundle or a number, of the operands for which it is wanted; else None."""
        try:
            if op.gradient is not None:
                found = op.whole_gradient(out, operands)
                return [d if want else None for d, want in zip(found, wanted, strict=True)]
            return [
                partial(out, *operands) if want else None for partial, want in zip(op.partials, wanted, strict=True)
            ]
        except ArithmeticError:  # a plain float raised where IEEE 754 has a value
            program = self.program
            columns = [
                Bundle(program, out.size, [(1.0, (program.constant(x),) * out.size, None)]) if type(x) is float else x
                for x in operands
            ]
            return self.partials(op, out, columns, wanted)
        except (TypeError, AttributeError) as error:
            raise TraceError(
                f"the partials of {op!r} fail under jit, where they stand for every sample: {error}. "
                "Wrong: lambda out, x: math.cos(x) if x > 0 else 0.0; "
                "right: lambda out, x: autograd.where(autograd.greater(x, 0), autograd.cos(x), 0.0)"
            ) from error


install_operators(Bundle)
