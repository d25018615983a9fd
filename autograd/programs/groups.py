"""A scalar program, grouped: what the same operation makes of many scalars at once is one group.

A *wire* is one scalar of a sample, known by a number. A Bundle is some wires that are worked on alike: a single one
where a traced graph is taken in, a whole group's where derivatives are. Sums of products are kept as terms for as
long as they can be, so that however a weighted sum was written, it ends as one row of a group:

    Sums     rows of sum(coefficient * wire * wire)
    Dense    rows of sum(parameter * wire) over the same wires: a layer
    Apply    rows of one operation of the table

Groups are kept by level (operands are on lower ones): those of a level can run in any order.
"""

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from autograd import ops
from autograd.ops import Op, install_operators
from autograd.value import DETACH

from .trace import TraceError

Wires = tuple[int, ...]
Row = Sequence[tuple[float, int, int]]  # a sum of coefficient * wire * wire; ONE stands for what is not there

ONE = 0  # the wire that is 1.0; with a bias it makes a column of a layer
PARAMETER = -1  # the wire -1 - p stands for parameter p until a group is made of it


class Sums:
    """out[i] = the sum of coefficient * left * right over the terms in rows[i]; plain if all coefficients are 1."""

    def __init__(self, level: int, plain: bool) -> None:
        self.level, self.plain, self.out = level, plain, list[int]()
        self.rows: list[Row] = []


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

    terms  of its sum: those of a row or, with tuples of wires in place of wires, of as many rows at once
    size   how many these are; 0 for a single row
    once   its terms can be taken over by what it becomes a part of, for nothing else asks for them
    """

    __slots__ = ("once", "program", "size", "terms")

    def __init__(self, program: "Groups", terms: list[Any], size: int = 0) -> None:
        self.program, self.terms, self.size, self.once = program, terms, size, False

    @staticmethod
    def apply_op(op: Op, operands: Sequence[Any]) -> Any:
        operands = [x if type(x) is Bundle else float(x) for x in operands]
        algebra = ALGEBRA.get(op)
        made = algebra(*operands) if algebra is not None else None
        if made is not None:
            return made
        program = next(x for x in operands if type(x) is Bundle).program
        return program.applied(op, operands)

    def factor(self) -> Any:
        """Its wires, or its single wire, each one scalar; the sum is made a row if it was still terms."""
        self.once = False  # as wires, they can be asked for again
        terms = self.terms
        c, found, other = terms[0]
        if len(terms) > 1 or c != 1.0 or other != ONE:
            found = self.program.sums(terms, self.size) if self.size else self.program.sum(terms)
        elif self.size or found >= 0:
            return found
        else:
            found = self.program.broadcast(found)
        self.terms = [(1.0, found, ONE)]
        return found

    def wires(self) -> Wires:
        """The same in a tuple, however many there are."""
        found = self.factor()
        return found if self.size else (found,)


def _sum(x: Any, y: Any) -> Any:
    if type(x) is float:
        x, y = y, x
    if type(y) is float:
        return Bundle(x.program, [*_taken(x), (y, ONE, ONE)], x.size)
    if y.once and len(y.terms) > len(x.terms):
        x, y = y, x
    terms = _taken(x)
    terms += y.terms
    return Bundle(x.program, terms, x.size)


def _taken(x: Bundle) -> list[Any]:
    return x.terms if x.once else [*x.terms]


def _difference(x: Any, y: Any) -> Any:
    if type(y) is float:
        return _sum(x, -y)
    return _sum(x, _scaled(y, -1.0))


def _scaled(x: Bundle, factor: float) -> Bundle:
    if len(x.terms) > 4 or not all([_keeps_range(c * factor) for c, _, _ in x.terms]):
        x.factor()
    return Bundle(x.program, [(c * factor, a, b) for c, a, b in x.terms], x.size)


def _keeps_range(coefficient: float) -> bool:
    """Whether a product of constants can stand for them: where it is 0 or infinite, each alone may have been fine."""
    return 1e-150 < math.fabs(coefficient) < 1e150


def _product(x: Any, y: Any) -> Any:
    if type(x) is float:
        return y if x == 1.0 else _scaled(y, x)
    if type(y) is float:
        return x if y == 1.0 else _scaled(x, y)
    return Bundle(x.program, [_term(x, y)], x.size)


def _term(x: Bundle, y: Bundle) -> tuple[float, Any, Any]:
    """The product of two bundles."""
    (c, a), (d, b) = _scaled_factor(x), _scaled_factor(y)
    if c * d != 1.0 and not _keeps_range(c * d):
        c, a, d, b = 1.0, x.factor(), 1.0, y.factor()
    return (c * d, b, ONE) if a == ONE else (c * d, a, b)


def _scaled_factor(x: Bundle) -> tuple[float, Any]:
    """x as a coefficient and wires, or ONE."""
    c, a, other = x.terms[0]
    return (c, a) if other == ONE and len(x.terms) == 1 else (1.0, x.factor())


def _quotient(x: Any, y: Any) -> Any:
    if type(y) is float and 1e-300 < math.fabs(y) < 1e300:
        return _scaled(x, 1 / y)
    return None


def _power(x: Any, y: Any) -> Any:
    if type(y) is float and y in (1.0, 2.0, 3.0):
        square = _product(x, x) if y > 1 else x
        return _product(square, x) if y > 2 else square
    return None


def _terms(x: Any) -> list[Any]:
    return x.terms if type(x) is Bundle else [(x, ONE, ONE)]


def _total(*xs: Any) -> Bundle:
    """The sum of bundles and floats: all terms, put together once."""
    first = next(x for x in xs if type(x) is Bundle)
    return Bundle(first.program, [term for x in xs for term in _terms(x)], first.size)


def _dot(xs: Sequence[Any], *more: Any) -> Bundle:
    """The sum of the products of the first half by the second, and of more."""
    first = next(x for x in (*xs, *more) if type(x) is Bundle)
    half = len(xs) // 2
    terms: list[Any] = []
    for x, y in zip(xs[:half], xs[half:], strict=True):
        if type(x) is Bundle and type(y) is Bundle:
            terms.append(_term(x, y))
        else:
            terms += _terms(x * y if type(x) is type(y) else _product(x, y))
    for x in more:
        terms += _terms(x)
    return Bundle(first.program, terms, first.size)


def _detached(x: Bundle) -> Bundle:
    """A copy of x, whose derivative nobody asks for."""
    program = x.program
    copies = tuple([program.row([(1.0, wire, ONE)]) for wire in x.wires()])
    for wire in copies:
        program.active[wire] = False
    return Bundle(program, [(1.0, copies if x.size else copies[0], ONE)], x.size)


# What is linear algebra rather than an operation of its own; None where it is one after all.
ALGEBRA: dict[Op, Any] = {
    ops.add: _sum,
    ops.sub: _difference,
    ops.mul: _product,
    ops.div: _quotient,
    ops.neg: lambda x: _scaled(x, -1.0),
    ops.pow: _power,
    DETACH: _detached,
    ops.sum: _total,
    ops.dot: lambda *xs: _dot(xs),
    ops.affine: lambda *xs: _dot(xs[:-1], xs[-1]),
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
        self.found: dict[Any, Any] = {}  # of what was applied already, the wires
        self.floor = 1  # the lowest level of new groups
        self.effects: list[Outer] = []

    def wire(self, level: int, active: bool) -> int:
        self.level.append(level)
        self.active.append(active)
        return len(self.level) - 1

    def input(self, active: bool) -> Bundle:
        return Bundle(self, [(1.0, self.wire(0, active), ONE)])

    def bundle(self, wires: Wires) -> Bundle:
        return Bundle(self, [(1.0, *wires, ONE)]) if len(wires) == 1 else Bundle(self, [(1.0, wires, ONE)], len(wires))

    def parameter(self, p: int) -> Bundle:
        return Bundle(self, [(1.0, -1 - p, ONE)])

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

    def wire_of(self, x: Any) -> int:
        return x.wires()[0] if type(x) is Bundle else self.constant(x)

    # Rows of groups

    def sums(self, terms: list[Any], size: int) -> Wires:
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
            if not asked:
                asked = active[a] or active[b]
        height = below + 1
        key = height if plain else -height
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
        ordered = sorted(pairs)
        alone = ordered[0][0] == ONE  # it is the lowest wire
        if len(pairs) - alone < 2 or ordered[alone][0] == ONE:
            return None
        if alone:
            ordered.append(ordered.pop(0))
        xs, parameters = zip(*ordered, strict=True)
        group = self.groups.get((Dense, xs))
        if group is None:
            height = max(self.floor, 1 + max([self.level[x] for x in xs]))
            group = self.groups[Dense, xs] = Dense(height, xs)
        group.parameters.append([-1 - b for b in parameters])
        wire = self.wire(group.level, True)
        group.out.append(wire)
        return wire

    def applied(self, op: Op, operands: Sequence[Any]) -> Bundle:
        """A row of the table applied to bundles and floats."""
        size, columns = 0, list[Any]()
        for x in operands:
            if type(x) is Bundle:
                size = x.size
                columns.append(x.factor())
            else:
                columns.append(x)
        fixed = float in map(type, columns)
        names = [repr(x) if type(x) is float else x for x in columns] if fixed else columns  # 2.0 equals the wire 2
        same = (op, *names)
        out = self.found.get(same)
        if out is None:
            out = self.found[same] = self.rows(op, columns, fixed) if size else self.single(op, columns, fixed)
        return Bundle(self, [(1.0, out, ONE)], size)

    def single(self, op: Op, operands: list[Any], fixed: bool) -> int:
        """The wire of one row, applied to wires and, if some are fixed, floats."""
        level, active = self.level, self.active
        below, asked = self.floor - 1, False
        for x in operands:
            if type(x) is int:
                if level[x] > below:
                    below = level[x]
                if active[x]:
                    asked = True
        if fixed and not asked:
            operands = [x if type(x) is int else self.constant(x) for x in operands]
        group = self.apply(below + 1, op, operands, fixed and asked)
        for column, x in zip(group.operands, operands, strict=True):
            if type(x) is int:
                column.append(x)
        wire = len(level)
        level.append(below + 1)
        active.append(asked)
        group.out.append(wire)
        return wire

    def rows(self, op: Op, columns: list[Any], fixed: bool) -> Wires:
        """The same of as many rows as wires are in each column."""
        level, active = self.level, self.active
        tuples = [x for x in columns if type(x) is tuple]
        below = max([self.floor - 1, *[level[w] for x in tuples for w in x]])
        flags = [*map(any, zip(*[[active[w] for w in x] for x in tuples], strict=True))]
        asked = True in flags
        if fixed and not asked:
            columns = [x if type(x) is tuple else (self.constant(x),) * len(flags) for x in columns]
        group = self.apply(below + 1, op, columns, fixed and asked)
        for column, x in zip(group.operands, columns, strict=True):
            if type(x) is tuple:
                column += x
        out = tuple(range(len(level), len(level) + len(flags)))
        level += [below + 1] * len(flags)
        active += flags
        group.out += out
        return out

    def apply(self, level: int, op: Op, operands: list[Any], fixed: bool) -> Apply:
        """The group for rows of such operands. If nobody asks for partials, which a float may make simpler, none of
        them is fixed, so that more rows are in the same."""
        key: Any = (level, op, len(operands))
        if fixed:
            key = (level, op, *[repr(x) if type(x) is float else None for x in operands])
        group: Apply | None = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Apply(level, op, operands)
            for x in operands:
                if type(x) is float:
                    self.constant(x)  # so that it has a wire
        return group

    def in_order(self) -> list[Any]:
        return sorted([*self.groups.values(), *self.effects], key=attrgetter("level"))


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
            self.cotangents.setdefault(wire, []).append(term)

    def pass_back(self, group: Any) -> None:
        gs = [self.cotangent(wire) for wire in group.out]
        if isinstance(group, Sums):
            active, cotangents = self.program.active, self.cotangents
            for g, row in zip(gs, group.rows, strict=True):
                if g is not None:
                    for c, a, b in row:
                        if active[a]:
                            cotangents.setdefault(a, []).append((c, g, b))
                        if active[b]:
                            cotangents.setdefault(b, []).append((c, g, a))
        elif isinstance(group, Dense):
            self.through_layer(group, gs)
        else:
            self.through_row(group, gs)

    def through_layer(self, group: Dense, gs: list[int | None]) -> None:
        program = self.program
        wires = [program.constant(0.0) if g is None else g for g in gs]
        height = max(program.floor, 1 + max([program.level[g] for g in wires]))
        program.effects.append(Outer(height, group, wires))
        if any([program.active[x] for x in group.xs]):
            out = [program.wire(height, True) for _ in group.xs]
            transposed = Transposed(height, group, wires, out)
            program.groups[transposed] = transposed
            for x, wire in zip(group.xs, out, strict=True):
                self.add(x, (1.0, wire, ONE))

    def through_row(self, group: Apply, gs: list[int | None]) -> None:
        program = self.program
        chosen = [i for i, g in enumerate(gs) if g is not None]
        if not chosen:
            return
        columns: list[Any] = [x if type(x) is float else tuple([x[i] for i in chosen]) for x in group.operands]
        out = program.bundle(tuple([group.out[i] for i in chosen]))
        operands = [x if type(x) is float else program.bundle(x) for x in columns]  # a float is the same for all
        wanted = [type(x) is not float and any([program.active[w] for w in x]) for x in columns]
        partials = self.partials(group.op, out, operands, wanted)
        for x, partial in zip(columns, partials, strict=True):
            if partial is None:
                continue
            c, found = _scaled_factor(partial) if type(partial) is Bundle else (float(partial), ONE)
            ds = found if type(found) is tuple else (found,) * len(chosen)
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
            size = len(out.wires())
            columns = [program.bundle((program.constant(x),) * size) if type(x) is float else x for x in operands]
            return self.partials(op, out, columns, wanted)
        except (TypeError, AttributeError) as error:
            raise TraceError(
                f"the partials of {op!r} fail under jit, where they stand for every sample: {error}. "
                "Wrong: lambda out, x: math.cos(x) if x > 0 else 0.0; "
                "right: lambda out, x: autograd.where(autograd.greater(x, 0), autograd.cos(x), 0.0)"
            ) from error


install_operators(Bundle)
