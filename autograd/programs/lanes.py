"""Vectors of floats in LLVM IR that read as arithmetic: `Lanes`, their bits, and masks from comparing them.

Each wraps an IRBuilder and a value of type <n x double>, <n x i64> or <n x i1>, n being whatever the kernel's is, or
<n x float> and <n x i32>.
A Python number beside one becomes a constant in every lane. All that is emitted is generic LLVM IR, and intrinsics
that are one instruction each with AVX2 and FMA, AVX-512 or NEON: none calls the C library there.

>>> from llvmlite import ir
>>> vector = ir.VectorType(ir.DoubleType(), 4)
>>> function = ir.Function(ir.Module(), ir.FunctionType(vector, [vector]), "f")
>>> builder = ir.IRBuilder(function.append_basic_block())
>>> x = Lanes(builder, function.args[0])
>>> y = select(x > 0, fma(x, 2, 1), -x)
>>> str(y.value.type)
'<4 x double>'
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Self

from llvmlite import ir

Builder = Any  # llvmlite has no annotations
IRValue = Any
DOUBLE, SINGLE = ir.DoubleType(), ir.FloatType()


class Vector:
    """A value in each lane, and the builder that appends what is done with it."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Builder, value: IRValue) -> None:
        self.builder, self.value = builder, value

    @property
    def count(self) -> int:
        lanes: int = self.value.type.count
        return lanes

    @property
    def element(self) -> Any:
        """The type of one lane."""
        return self.value.type.element

    def constant(self, number: Any) -> Self:
        """The number in every lane, rounded to float32 where lanes are that."""
        spelled = str(int(number)) if isinstance(self.element, ir.IntType) else float(number).hex()
        return type(self)(self.builder, _splat(self.element, spelled, self.count))

    def beside(self, other: Any) -> Self:
        """other, made a constant if it is a Python number."""
        return other if isinstance(other, type(self)) else self.constant(other)

    def apply(self, emit: Callable[..., IRValue], *others: Any) -> Self:
        """emit(value, the others' values), which is another vector of this kind."""
        return type(self)(self.builder, emit(self.value, *[self.beside(x).value for x in others]))

    def intrinsic(self, name: str, *others: Any) -> Self:
        """llvm.<name> of this vector and the others."""
        operands = [self.value, *[self.beside(x).value for x in others]]
        return type(self)(self.builder, call_intrinsic(self.builder, name, operands))


def call_intrinsic(builder: Builder, name: str, operands: list[IRValue]) -> IRValue:
    """llvm.<name>, which is overloaded on the type of its first operand and returns that."""
    kind = operands[0].type
    full = f"llvm.{name}.{_suffix(kind)}"
    function = builder.module.globals.get(full)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(kind, [x.type for x in operands]), full)
    return builder.call(function, operands)


def _suffix(kind: Any) -> str:
    """A type as names of intrinsics have it, such as v8f64."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return f"i{kind.width}" if isinstance(kind, ir.IntType) else "f64" if kind == DOUBLE else "f32"


@cache
def _splat(element: Any, spelled: str, count: int) -> IRValue:
    """A constant, kept, for llvmlite takes long to spell out its lanes; from its digits, for 0.0 == -0.0."""
    number = int(spelled) if isinstance(element, ir.IntType) else float.fromhex(spelled)
    return ir.Constant(ir.VectorType(element, count), [element(number)] * count)


class Mask(Vector):
    """True or false in each lane."""

    __slots__ = ()

    def __and__(self, other: "Mask") -> "Mask":
        return self.apply(self.builder.and_, other)

    def __or__(self, other: "Mask") -> "Mask":
        return self.apply(self.builder.or_, other)

    def __invert__(self) -> "Mask":
        return self.apply(self.builder.not_)

    def anywhere(self) -> IRValue:
        """An i1, whether any lane is true: for a branch."""
        word = ir.IntType(self.count)
        return self.builder.icmp_unsigned("!=", self.builder.bitcast(self.value, word), word(0))


class Lanes(Vector):
    """Floats. Comparisons with nan are false."""

    __slots__ = ()

    def __add__(self, other: "Lanes | float") -> "Lanes":
        return self.apply(self.builder.fadd, other)

    def __sub__(self, other: "Lanes | float") -> "Lanes":
        return self.apply(self.builder.fsub, other)

    def __mul__(self, other: "Lanes | float") -> "Lanes":
        return self.apply(self.builder.fmul, other)

    def __truediv__(self, other: "Lanes | float") -> "Lanes":
        return self.apply(self.builder.fdiv, other)

    def __radd__(self, other: float) -> "Lanes":
        return self.constant(other) + self

    def __rsub__(self, other: float) -> "Lanes":
        return self.constant(other) - self

    def __rmul__(self, other: float) -> "Lanes":
        return self.constant(other) * self

    def __rtruediv__(self, other: float) -> "Lanes":
        return self.constant(other) / self

    def __neg__(self) -> "Lanes":
        return self.apply(self.builder.fneg)

    def compare(self, relation: str, other: "Lanes | float") -> Mask:
        return Mask(self.builder, self.builder.fcmp_ordered(relation, self.value, self.beside(other).value))

    def __lt__(self, other: "Lanes | float") -> Mask:
        return self.compare("<", other)

    def __le__(self, other: "Lanes | float") -> Mask:
        return self.compare("<=", other)

    def __gt__(self, other: "Lanes | float") -> Mask:
        return self.compare(">", other)

    def __ge__(self, other: "Lanes | float") -> Mask:
        return self.compare(">=", other)

    @property
    def bits(self) -> "Bits":
        """The same bits in each lane, as integers."""
        kind = ir.VectorType(ir.IntType(64 if self.element == DOUBLE else 32), self.count)
        return Bits(self.builder, self.builder.bitcast(self.value, kind))


class Bits(Vector):
    """Integers as wide as the floats, which wrap; shifts are by a constant, to the right without sign."""

    __slots__ = ()

    def __and__(self, other: "Bits | int") -> "Bits":
        return self.apply(self.builder.and_, other)

    def __or__(self, other: "Bits | int") -> "Bits":
        return self.apply(self.builder.or_, other)

    def __xor__(self, other: "Bits | int") -> "Bits":
        return self.apply(self.builder.xor, other)

    def __add__(self, other: "Bits | int") -> "Bits":
        return self.apply(self.builder.add, other)

    def __sub__(self, other: "Bits | int") -> "Bits":
        return self.apply(self.builder.sub, other)

    def __rsub__(self, other: int) -> "Bits":
        return self.constant(other) - self

    def __lshift__(self, places: int) -> "Bits":
        return self.apply(self.builder.shl, places)

    def __rshift__(self, places: int) -> "Bits":
        return self.apply(self.builder.lshr, places)

    def compare(self, relation: str, other: "Bits | int") -> Mask:
        """As signed integers."""
        return Mask(self.builder, self.builder.icmp_signed(relation, self.value, self.beside(other).value))

    @property
    def floats(self) -> Lanes:
        """The same bits in each lane, as floats."""
        kind = ir.VectorType(DOUBLE if self.element.width == 64 else SINGLE, self.count)
        return Lanes(self.builder, self.builder.bitcast(self.value, kind))


def select(mask: Mask, x: Lanes | float, y: Lanes | float) -> Lanes:
    """x where the mask is true, else y; of two Python numbers, doubles."""
    element = next((v.element for v in (x, y) if isinstance(v, Lanes)), DOUBLE)
    left, right = (v.value if isinstance(v, Lanes) else _splat(element, float(v).hex(), mask.count) for v in (x, y))
    return Lanes(mask.builder, mask.builder.select(mask.value, left, right))


def seldom(rare: IRValue, usual: list[Vector], otherwise: Callable[[], list[Vector]]) -> list[Any]:
    """The usual vectors, but in their place what otherwise() makes, if rare: an i1, such as mask.anywhere()."""
    builder = usual[0].builder
    before = builder.block
    with builder.if_then(rare, likely=False):
        others = otherwise()
        within = builder.block
    joined = []
    for vector, other in zip(usual, others, strict=True):
        phi = builder.phi(vector.value.type)
        phi.add_incoming(vector.value, before)
        phi.add_incoming(other.value, within)
        joined.append(type(vector)(builder, phi))
    return joined


def fma(x: Lanes, y: Lanes | float, z: Lanes | float) -> Lanes:
    """x*y + z, rounded once."""
    return x.intrinsic("fma", y, z)


def absolute(x: Lanes) -> Lanes:
    return x.intrinsic("fabs")


def root(x: Lanes) -> Lanes:
    """The square root, correctly rounded; nan below 0."""
    return x.intrinsic("sqrt")


def copysign(x: Lanes, sign: Lanes) -> Lanes:
    return x.intrinsic("copysign", sign)


def round_down(x: Lanes) -> Lanes:
    return x.intrinsic("floor")


def round_up(x: Lanes) -> Lanes:
    return x.intrinsic("ceil")


def round_even(x: Lanes) -> Lanes:
    """The nearest whole number, the even one of two."""
    return x.intrinsic("rint")


def is_nan(x: Lanes) -> Mask:
    return Mask(x.builder, x.builder.fcmp_unordered("uno", x.value, x.value))


def is_equal(x: Lanes, y: Lanes | float) -> Mask:
    return x.compare("==", y)


def at_most(x: Lanes, bound: float) -> Lanes:
    """The smaller of the two, nan if x is."""
    return select(x > bound, bound, x)


def at_least(x: Lanes, bound: float) -> Lanes:
    """The larger of the two, nan if x is."""
    return select(x < bound, bound, x)


def polynomial(x: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    """coefficients[0] + coefficients[1]*x + ..., even and odd powers apart, so that each waits half as long."""
    if len(coefficients) < 6:
        return horner(x, coefficients)
    square = x * x
    return fma(horner(square, coefficients[1::2]), x, horner(square, coefficients[::2]))


def horner(x: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    total = x.constant(coefficients[-1])
    for c in coefficients[-2::-1]:
        total = fma(total, x, c)
    return total
