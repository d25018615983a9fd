"""The table of operations: one row states all that is known of one operation.

A row's partials are written once, with ordinary operators and other rows. Any interpreter evaluates
them: floats (the reverse pass), Values (higher order), symbols, compiled programs. An interpreter is
a class with a static ``apply_op(op, operands)``; rows never name one. To add an operation, add a row:

>>> square = Op("square", lambda x: x * x, (lambda out, x: 2 * x,), latex="{x}^2")
>>> square(3), square.derivatives(9.0, (3.0,))
(9.0, (6.0,))

Names throughout: ``x, y`` operands, ``out`` the result, ``g`` a cotangent.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from keyword import iskeyword
from math import inf, nan
from typing import Any

from . import floats, node
from .floats import IEEE, real
from .node import Rule

Interval = tuple[float, float]
Point = tuple[float, ...]
REALS: Interval = (-inf, inf)


class Op:
    """One row of the table.

    name         as in the math module, else as in PyTorch
    forward      on floats; where it raises ValueError or ArithmeticError, `limit` answers (default: nan)
    partials     d(out)/d(operand), one per operand, each called as partial(out, *operands);
                 their parameter names are the operands' names, their defaults the operands' defaults
    gradient     in place of partials in a variadic row: all of them at once, gradient(out, *operands)
    gather       variadic rows only: the operands, from the arguments of a call (sequences have names in -s)
    pullback     optional, for speed: the cotangents (g * partial, ...), called as pullback(g, out, *operands)
    rule         built-in rows only, for more speed: the same written out on nodes
    written      variadic rows only: the operation in terms of other rows, as formulas show it
    domain       an open interval per operand, inside which forward is finite and differentiable
    kinks        points where the derivative jumps, and the partials taken there
    symbol, latex, doc, commutative    how it is shown; `operator` names its Python operator, if any
    numpy        the method that NumPy asks each object of an array for, as np.arctan(xs) asks for x.arctan(), where
                 the row's own name does not make one

    Raises ValueError or TypeError, saying which field is wrong and how to write it.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., float],
        partials: Sequence[Callable[..., Any]] = (),
        *,
        symbol: str = "",
        latex: str = "",
        doc: str = "",
        domain: Sequence[Interval] = (),
        kinks: Mapping[Any, Point] | None = None,
        limit: Callable[..., float] = lambda *operands: nan,
        gradient: Callable[..., Sequence[Any]] | None = None,
        gather: Callable[..., Sequence[Any]] | None = None,
        pullback: Callable[..., Sequence[float]] | None = None,
        written: Callable[..., Any] | None = None,
        operator: str = "",
        numpy: str = "",
        commutative: bool = False,
        rule: Rule | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
            raise ValueError(f"Op: the name must be an identifier such as 'tanh', got {name!r}")
        if callable(partials):
            raise TypeError(f"Op {name!r}: wrong: partials=dx; right: partials=(dx,), one for each operand")
        optional = [f for f in (gradient, gather, pullback, written) if f is not None]
        for f in (forward, limit, *partials, *optional):
            if not callable(f):
                raise TypeError(f"Op {name!r}: expected a function of floats such as math.tanh, got {f!r}")
        if (gradient is None) != (gather is None) or (gradient is None) == (not partials):
            raise ValueError(
                f"Op {name!r}: give partials=(lambda out, x: ..., one per operand), "
                "or, for a variadic row, both gather= and gradient="
            )
        codes = [getattr(p, "__code__", None) for p in partials or (gather,)]
        if None in codes:
            raise TypeError(f"Op {name!r}: write each partial as a lambda or def, so that its operands have names")
        names: list[tuple[str, ...]] = [c.co_varnames[: c.co_argcount] for c in codes if c]
        if partials and any(len(n) != len(partials) + 1 for n in names):
            raise ValueError(
                f"Op {name!r}: {len(partials)} partials make {len(partials)} operands, so each partial takes "
                f"(out, {', '.join('xyzuvw'[: len(partials)])}); got {', '.join('(' + ', '.join(n) + ')' for n in names)}"
            )
        if len({n[1:] for n in names}) > 1 and partials:
            raise ValueError(f"Op {name!r}: its partials give the operands different names: {names}")
        intervals = [isinstance(i, tuple) and len(i) == 2 and i[0] < i[1] for i in domain]
        if domain and (not all(intervals) or (partials and len(domain) != len(partials))):
            raise ValueError(f"Op {name!r}: domain needs {len(partials)} intervals (low, high), got {domain!r}")
        self.name, self.symbol, self.latex, self.__doc__ = name, symbol or name, latex or name, doc or name
        self.forward, self.limit = forward, limit
        self.partials, self.gradient, self.gather = tuple(partials), gradient, gather
        self.variadic, self.commutative = gather is not None, commutative
        self.operator, self.numpy = operator, numpy
        self.operands = names[0][1:] if partials else names[0]
        self.defaults: tuple[float, ...] = (partials[0].__defaults__ or ()) if partials else ()
        self.required = len(self.operands) - len(self.defaults)
        self.count = -1 if self.variadic else len(self.operands)  # of the operands, if that is the same in every call
        self.domain = tuple(domain) or (REALS,) * len(self.operands)
        self.kinks = dict(kinks or {})
        self.pullback, self.written = pullback or self._default_pullback(), written
        self.rule = rule or Rule()
        self.rule.bind(self)

    def _default_pullback(self) -> Callable[..., Sequence[float]]:
        if len(self.partials) == 1:
            (dx,) = self.partials
            return lambda g, out, x: (g * dx(out, x),)
        if len(self.partials) == 2:
            dx, dy = self.partials
            return lambda g, out, x, y: (g * dx(out, x, y), g * dy(out, x, y))
        return lambda g, out, *operands: [g * d for d in self.derivatives(out, operands)]

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The operation applied: a float for numbers, else whatever the operands' interpreter makes.

        >>> maximum(1, 2), clamp(7, max=5), dot([1, 2], [3, 4])
        (2.0, 5.0, 11.0)
        """
        fits = not named and len(args) == self.count
        if fits and self.rule.unary and isinstance(args[0], node.Node):
            return node.unary(self.rule, args[0])
        operands = args if fits else self.bind(args, named)
        are_floats = True
        for x in operands:
            if type(x) is not float:
                are_floats = False
                apply_op = getattr(type(x), "apply_op", None)
                if apply_op is not None:
                    return apply_op(self, operands)
        return self.evaluate(*(operands if are_floats else map(real, operands)))

    def bind(self, args: Sequence[Any], named: Mapping[str, Any]) -> Sequence[Any]:
        """The operands of a call, in the row's order, defaults filled in. TypeError if they do not fit."""
        names = self.operands
        if named or len(args) != len(names):
            given = dict(zip(names[self.required :], self.defaults, strict=True)) | dict(zip(names, args, strict=False))
            fit = len(args) <= len(names) and set(named).isdisjoint(names[: len(args)])
            if not fit or {*given, *named} != {*names}:
                shown = ", ".join([*["..."] * len(args), *(f"{n}=..." for n in named)])
                raise TypeError(f"wrong: {self.name}({shown}); right: {self.signature}")
            given.update(named)
            args = [given[n] for n in names]
        if self.gather is None:
            return args
        try:
            return self.gather(*args)
        except TypeError:
            if all([_is_sequence(x) for n, x in zip(names, args, strict=True) if n.endswith("s")]):
                raise
            raise TypeError(f"{self.name} takes a sequence of operands; right: {self.signature}") from None

    @property
    def signature(self) -> str:
        """How to call it, as in clamp(x, min=-inf, max=inf)."""
        plural = ["[a, b, ...]" if self.variadic and n.endswith("s") else n for n in self.operands[: self.required]]
        optional = [f"{n}={d}" for n, d in zip(self.operands[self.required :], self.defaults, strict=True)]
        return f"{self.name}({', '.join(plural + optional)})"

    def evaluate(self, *operands: float) -> float:
        """forward on floats, with `limit` answering where it raises: never raises on a number."""
        try:
            out = self.forward(*operands)
        except (ArithmeticError, ValueError):
            out = self.limit(*operands)
        return out if type(out) is float else real(out)

    def derivatives(self, out: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        """d(out)/d(operand) for each operand, as any interpreter's operands evaluate them."""
        try:
            if self.gradient is not None:
                return self.whole_gradient(out, operands)
            return tuple([partial(out, *operands) for partial in self.partials])
        except ArithmeticError:  # a plain float raised (1 / 0.0) where IEEE 754 has a value
            if isinstance(out, IEEE):
                raise
            exact = self.derivatives(IEEE(out), tuple(map(IEEE, operands)))
            return tuple(map(float, exact))

    def whole_gradient(self, out: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        """What a variadic row's gradient gives. ValueError unless that is one derivative for each operand."""
        found = tuple(self.gradient(out, *operands)) if self.gradient is not None else ()
        if len(found) != len(operands):
            raise ValueError(f"{self!r}: its gradient gave {len(found)} derivatives for {len(operands)} operands")
        return found

    def __repr__(self) -> str:
        return f"<Op {self.signature}>"

    def __copy__(self) -> "Op":
        return self

    def __deepcopy__(self, memo: object) -> "Op":
        return self

    def __reduce__(self) -> tuple[Callable[[str], "Op"], tuple[str]]:
        if OPS.get(self.name) is not self:
            from pickle import PicklingError

            raise PicklingError(f"{self!r} is pickled by its name, so it must be in the table; first register(op)")
        return row, (self.name,)


def custom(forward: Callable[..., float], *partials: Callable[..., Any]) -> Op:
    """An operation of one's own, for use at once: a row that is not in the table.

    forward works on floats; partials are as in Op, written with ordinary operators and rows, one per operand.
    It is called, differentiated to any order, drawn and explained as any row; autograd.register(op) enters it
    in the table, which pickling needs. Raises TypeError and ValueError as Op does.

    >>> cube = custom(lambda x: x**3, lambda out, x: 3 * x * x)
    >>> from autograd import derivative
    >>> cube(2.0), derivative(cube)(2.0), derivative(cube, 2)(2.0)
    (8.0, 12.0, 12.0)
    """
    if not partials:
        raise TypeError("wrong: custom(forward); right: custom(forward, lambda out, x: ..., one partial per operand)")
    name = getattr(forward, "__name__", "custom")
    return Op(name if name.isidentifier() else "custom", forward, partials)


def install_operators(interpreter: type[Any]) -> None:
    """Give an interpreter Python's operators: each row with an `operator` goes to its apply_op."""

    def install(op: Op) -> None:
        def method(x: Any, *y: Any) -> Any:
            return interpreter.apply_op(op, (x, *y))

        def reflected(y: Any, x: Any) -> Any:
            return interpreter.apply_op(op, (x, y))

        setattr(interpreter, f"__{op.operator}__", method)
        if len(op.operands) == 2:
            setattr(interpreter, f"__r{op.operator}__", reflected)

    for op in OPS.values():
        if op.operator:
            install(op)


def _is_sequence(x: Any) -> bool:
    return hasattr(x, "__iter__") and getattr(x, "shape", None) != ()  # NumPy's numbers without axes look iterable


def _paired(ws: Sequence[Any], xs: Sequence[Any]) -> tuple[Any, ...]:
    ws, xs = tuple(ws), tuple(xs)
    if len(ws) != len(xs):
        raise ValueError(f"expected as many weights as inputs, got {len(ws)} weights and {len(xs)} inputs")
    return ws + xs


def _radius(x: Any, y: Any) -> Any:
    r = hypot(x, y)
    return where(r, r, 1.0)  # at the origin, where there is no angle, 0 / 1 is 0


def _one_power_less(x: Any, y: Any) -> Any:
    """x ** (y - 1), which the derivative of x ** 0 multiplies by 0: there it must be finite, x being 0."""
    if isinstance(y, float) and y:
        return x if y == 2 else pow(x, y - 1)
    return pow(where(y, x, where(x * x, x, 1.0)), y - 1)


def _pow_pullback(g: float, out: float, x: float, y: float) -> Sequence[float]:
    """The partials without their guards, which it takes only at 0 and beyond the range of floats."""
    if x and y:
        try:
            return g * (y * math.pow(x, y - 1)), g * (out * math.log(x) if x > 0 else math.nan)
        except (ValueError, OverflowError):
            pass
    return [g * d for d in pow.derivatives(out, (x, y))]


def _products(ws: Sequence[Any], xs: Sequence[Any], *rest: Any) -> Any:
    return reduce(operator.add, [*map(operator.mul, ws, xs), *rest])


def _normalized(weights: Sequence[Any]) -> list[Any]:
    total = sum(weights)  # 1, but for the rounding of large operands
    return [w / total for w in weights]


SQRT2, LN2, LN10 = math.sqrt(2), math.log(2), math.log(10)
PER_SQRT_PI, PER_SQRT_2PI = 1 / math.sqrt(math.pi), 1 / math.sqrt(2 * math.pi)
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
POSITIVE: Interval = (0.0, inf)
JUMP = {(0.0,): (0.0,)}
TIE = {(1.0, 1.0): (0.5, 0.5)}

# fmt: off
# The table. Arithmetic, each row standing behind one of Python's operators:

add = Op("add", operator.add, (lambda out, x, y: 1.0, lambda out, x, y: 1.0),
         symbol="+", latex="{x} + {y}", doc="x + y", operator="add", commutative=True,
         rule=node.ADD, pullback=lambda g, out, x, y: (g, g))
sub = Op("sub", operator.sub, (lambda out, x, y: 1.0, lambda out, x, y: -1.0),
         symbol="-", latex="{x} - {y}", doc="x - y", operator="sub",
         rule=node.SUB, pullback=lambda g, out, x, y: (g, -g))
mul = Op("mul", operator.mul, (lambda out, x, y: y, lambda out, x, y: x),
         symbol="*", latex=r"{x} \cdot {y}", doc="x * y", operator="mul", commutative=True,
         rule=node.MUL, pullback=lambda g, out, x, y: (g * y, g * x))
div = Op("div", operator.truediv, (lambda out, x, y: 1 / y, lambda out, x, y: -out / y),
         symbol="/", latex=r"\frac{{{x}}}{{{y}}}", doc="x / y; x/0 is an infinity, 0/0 nan", operator="truediv",
         domain=(REALS, POSITIVE), limit=floats.div_limit, rule=node.DIV)
pow = Op("pow", math.pow, (lambda out, x, y: y * _one_power_less(x, y),
                           lambda out, x, y: out * log(where(x, x, where(greater(0.0, y), x, 1.0)))),
         rule=node.POW, pullback=_pow_pullback, symbol="**", latex="{{{x}}}^{{{y}}}", operator="pow", domain=(POSITIVE, REALS), limit=floats.pow_limit,
         doc="x ** y; nan for x < 0 unless y is whole; both partials of x**0 at 0 are 0", kinks={(0.0, 0.0): (0.0, 0.0)})
neg = Op("neg", operator.neg, (lambda out, x: -1.0,),
         symbol="-", latex="-{x}", doc="-x", operator="neg", rule=node.NEG)
abs = Op("abs", math.fabs, (lambda out, x: sign(x),),
         latex=r"\left|{x}\right|", doc="|x|, with derivative 0 at 0", operator="abs", numpy="fabs", kinks=JUMP, rule=node.ABS)

# Exponentials, logarithms, roots:

exp   = Op("exp",   math.exp,   (lambda out, x: out,),               latex="e^{{{x}}}", limit=lambda x: inf, rule=node.EXP)
expm1 = Op("expm1", math.expm1, (lambda out, x: exp(x),),            latex="e^{{{x}}} - 1", limit=lambda x: inf)
exp2  = Op("exp2",  math.exp2,  (lambda out, x: LN2 * out,),         latex="2^{{{x}}}", limit=lambda x: inf)
log   = Op("log",   math.log,   (lambda out, x: 1 / x,),             latex=r"\ln({x})", domain=(POSITIVE,),
           doc="natural logarithm; log(0) is -inf, nan below", limit=lambda x: nan if x else -inf)
log1p = Op("log1p", math.log1p, (lambda out, x: 1 / (1 + x),),       latex=r"\ln(1 + {x})", domain=((-1.0, inf),),
           doc="log(1 + x); log1p(-1) is -inf, nan below", limit=lambda x: nan if x + 1 else -inf)
log2  = Op("log2",  math.log2,  (lambda out, x: 1 / (LN2 * x),),     latex=r"\log_2({x})", domain=(POSITIVE,),
           doc="logarithm to base 2; log2(0) is -inf, nan below", limit=lambda x: nan if x else -inf)
log10 = Op("log10", math.log10, (lambda out, x: 1 / (LN10 * x),),    latex=r"\log_{{10}}({x})", domain=(POSITIVE,),
           doc="logarithm to base 10; log10(0) is -inf, nan below", limit=lambda x: nan if x else -inf)
sqrt  = Op("sqrt",  math.sqrt,  (lambda out, x: 0.5 / out,),         latex=r"\sqrt{{{x}}}", domain=(POSITIVE,),
           doc="square root; derivative inf at 0, nan below")
cbrt  = Op("cbrt",  math.cbrt,  (lambda out, x: 1 / (3 * out * out),), latex=r"\sqrt[3]{{{x}}}",
           doc="cube root; derivative inf at 0", kinks={(0.0,): (inf,)})
hypot = Op("hypot", math.hypot, (lambda out, x, y: x / out, lambda out, x, y: y / out),
           latex=r"\sqrt{{{x}^2 + {y}^2}}", doc="sqrt(x*x + y*y); both partials nan at the origin",
           commutative=True, kinks={(0.0, 0.0): (nan, nan)}, numpy="hypot")

# Trigonometry and its hyperbolic kin:

sin   = Op("sin",   math.sin,   (lambda out, x: cos(x),),                     latex=r"\sin({x})")
cos   = Op("cos",   math.cos,   (lambda out, x: -sin(x),),                    latex=r"\cos({x})")
tan   = Op("tan",   math.tan,   (lambda out, x: 1 + out * out,),              latex=r"\tan({x})")
asin  = Op("asin",  math.asin,  (lambda out, x: 1 / sqrt((1 - x) * (1 + x)),),  latex=r"\arcsin({x})", domain=((-1.0, 1.0),), numpy="arcsin")
acos  = Op("acos",  math.acos,  (lambda out, x: -1 / sqrt((1 - x) * (1 + x)),), latex=r"\arccos({x})", domain=((-1.0, 1.0),), numpy="arccos")
atan  = Op("atan",  math.atan,  (lambda out, x: 1 / (1 + x * x),),            latex=r"\arctan({x})", numpy="arctan")
atan2 = Op("atan2", math.atan2, (lambda out, y, x: x / _radius(x, y) / _radius(x, y), lambda out, y, x: -y / _radius(x, y) / _radius(x, y)),
           latex=r"\operatorname{{atan2}}({y}, {x})", doc="the angle of the point (x, y); both partials 0 at the origin",
           kinks={(0.0, 0.0): (0.0, 0.0)}, numpy="arctan2")
sinh  = Op("sinh",  math.sinh,  (lambda out, x: cosh(x),),                    latex=r"\sinh({x})", limit=lambda x: math.copysign(inf, x))
cosh  = Op("cosh",  math.cosh,  (lambda out, x: sinh(x),),                    latex=r"\cosh({x})", limit=lambda x: inf)
tanh  = Op("tanh",  math.tanh,  (lambda out, x: 1 - out * out,),              latex=r"\tanh({x})", rule=node.TANH)
asinh = Op("asinh", math.asinh, (lambda out, x: 1 / hypot(x, 1.0),),          latex=r"\operatorname{{arsinh}}({x})", numpy="arcsinh")
acosh = Op("acosh", math.acosh, (lambda out, x: 1 / (sqrt(x - 1) * sqrt(x + 1)),), latex=r"\operatorname{{arcosh}}({x})", domain=((1.0, inf),), numpy="arccosh")
atanh = Op("atanh", math.atanh, (lambda out, x: 1 / ((1 - x) * (1 + x)),),    latex=r"\operatorname{{artanh}}({x})", domain=((-1.0, 1.0),),
           numpy="arctanh", doc="atanh(1) is inf, atanh(-1) -inf, nan beyond", limit=lambda x: x * inf if x in (-1, 1) else nan)
erf   = Op("erf",   math.erf,   (lambda out, x: 2 * PER_SQRT_PI * exp(-x * x),),  latex=r"\operatorname{{erf}}({x})")
erfc  = Op("erfc",  math.erfc,  (lambda out, x: -2 * PER_SQRT_PI * exp(-x * x),), latex=r"\operatorname{{erfc}}({x})")

# Activations:

sigmoid    = Op("sigmoid", floats.sigmoid, (lambda out, x: out * (1 - out),), symbol="σ", latex=r"\sigma({x})", doc="1 / (1 + exp(-x))", rule=node.SIGMOID)
relu       = Op("relu", lambda x: 0.0 if x <= 0 else x, (lambda out, x: greater(x, 0.0),),
                symbol="ReLU", latex=r"\max({x}, 0)", doc="max(x, 0), with derivative 0 at 0", kinks=JUMP,
                rule=node.RELU)
leaky_relu = Op("leaky_relu", lambda x, slope: x * slope if x <= 0 else x,
                (lambda out, x, negative_slope=0.01: where(greater(x, 0.0), 1.0, negative_slope),
                 lambda out, x, negative_slope: minimum(x, 0.0)),
                latex=r"\max({x}, 0) + {negative_slope} \min({x}, 0)", doc="x above 0, negative_slope * x from 0 down",
                kinks={(0.0, 0.25): (0.25, 0.0)})
elu        = Op("elu", lambda x, alpha: alpha * math.expm1(x) if x <= 0 else x,
                (lambda out, x, alpha=1.0: where(greater(x, 0.0), 1.0, alpha * exp(minimum(x, 0.0))),
                 lambda out, x, alpha: expm1(minimum(x, 0.0))),
                latex=r"\max({x}, 0) + {alpha} (e^{{\min({x}, 0)}} - 1)", doc="x above 0, alpha * (exp(x) - 1) from 0 down",
                kinks={(0.0, 2.0): (2.0, 0.0)})
selu       = Op("selu", lambda x: SELU_SCALE * (SELU_ALPHA * math.expm1(x) if x <= 0 else x),
                (lambda out, x: where(greater(x, 0.0), SELU_SCALE, SELU_SCALE * SELU_ALPHA * exp(minimum(x, 0.0))),),
                latex=r"\operatorname{{selu}}({x})", doc="scale * elu(x, alpha) with the constants of Klambauer et al. 2017",
                kinks={(0.0,): (SELU_SCALE * SELU_ALPHA,)})
gelu       = Op("gelu", lambda x: 0.5 * x * math.erfc(-x / SQRT2),
                (lambda out, x: 0.5 * erfc(-x / SQRT2) + PER_SQRT_2PI * x * exp(-0.5 * x * x),),
                latex=r"{x} \cdot \Phi({x})", doc="x times the normal distribution function of x (exact, not the tanh form)")
silu       = Op("silu", lambda x: x * floats.sigmoid(x), (lambda out, x: sigmoid(x) * (1 + x * sigmoid(-x)),),
                latex=r"{x} \cdot \sigma({x})", doc="x * sigmoid(x)")
softplus   = Op("softplus", floats.softplus, (lambda out, x: sigmoid(x),), latex=r"\ln(1 + e^{{{x}}})", doc="log(1 + exp(x))")
logsigmoid = Op("logsigmoid", lambda x: -floats.softplus(-x), (lambda out, x: sigmoid(-x),), latex=r"\ln \sigma({x})", doc="log(sigmoid(x))")

# Choices and steps:

maximum = Op("maximum", floats.maximum, (lambda out, x, y: 0.5 * (1 + greater(x, y) - greater(y, x)), lambda out, x, y: 0.5 * (1 + greater(y, x) - greater(x, y))),
             symbol="max", latex=r"\max({x}, {y})", doc="the larger; a tie shares the derivative half and half", commutative=True, kinks=TIE)
minimum = Op("minimum", floats.minimum, (lambda out, x, y: 0.5 * (1 + greater(y, x) - greater(x, y)), lambda out, x, y: 0.5 * (1 + greater(x, y) - greater(y, x))),
             symbol="min", latex=r"\min({x}, {y})", doc="the smaller; a tie shares the derivative half and half", commutative=True, kinks=TIE)
clamp   = Op("clamp", lambda x, low, high: floats.minimum(floats.maximum(x, low), high),
             (lambda out, x, min=-inf, max=inf: (1 - greater(min, x)) * (1 - greater(x, max)),
              lambda out, x, min, max: greater(min, x) * greater(max, min),
              lambda out, x, min, max: 1 - (1 - greater(x, max)) * (1 - greater(min, max))),
             latex=r"\min(\max({x}, {min}), {max})", doc="x held between min and max; at a bound the derivative goes to x",
             kinks={(0.0, 0.0, 1.0): (1.0, 0.0, 0.0), (1.0, 0.0, 1.0): (1.0, 0.0, 0.0)})
where   = Op("where", lambda condition, x, y: x if condition else y,
             (lambda out, condition, x, y: 0.0, lambda out, condition, x, y: where(condition, 1.0, 0.0), lambda out, condition, x, y: where(condition, 0.0, 1.0)),
             latex=r"{x} \text{{ if }} {condition} \text{{ else }} {y}", doc="x where condition is not 0, else y",
             kinks={(0.0, 1.0, 2.0): (0.0, 0.0, 1.0)})
greater = Op("greater", lambda x, y: 1.0 if x > y else 0.0, (lambda out, x, y: 0.0, lambda out, x, y: 0.0),
             symbol=">", latex="[{x} > {y}]", doc="1 where x > y, else 0; derivative 0", kinks={(1.0, 1.0): (0.0, 0.0)})
sign    = Op("sign", lambda x: x if x != x else float((x > 0) - (x < 0)), (lambda out, x: 0.0,),
             latex=r"\operatorname{{sign}}({x})", doc="-1, 0 or 1; derivative 0", kinks=JUMP)
floor   = Op("floor", lambda x: math.copysign(math.floor(x), x), (lambda out, x: 0.0,), limit=lambda x: x,
             latex=r"\lfloor {x} \rfloor", doc="the whole number at or below x; derivative 0", kinks=JUMP, numpy="__floor__")
ceil    = Op("ceil", lambda x: math.copysign(math.ceil(x), x), (lambda out, x: 0.0,), limit=lambda x: x,
             latex=r"\lceil {x} \rceil", doc="the whole number at or above x; derivative 0", kinks=JUMP, numpy="__ceil__")

# Variadic rows: one node whatever the number of operands. `sum` is rounded once (math.fsum); `dot` and
# `affine` are added up from left to right, as they are written in binary operations.

sum       = Op("sum", lambda *values: math.fsum(values), gather=lambda values: tuple(values),
               gradient=lambda out, *values: (1.0,) * len(values), limit=lambda *values: reduce(operator.add, values),
               written=lambda *values: reduce(operator.add, values), rule=node.SUM,
               symbol="Σ", latex=r"\sum_i {values}_i", doc="values[0] + values[1] + ...", commutative=True)
dot       = Op("dot", floats.dot, gather=lambda ws, xs: _paired(ws, xs),
               gradient=lambda out, *wx: wx[len(wx) // 2 :] + wx[: len(wx) // 2], rule=node.DOT,
               pullback=lambda g, out, *wx: [g * v for v in wx[len(wx) // 2 :] + wx[: len(wx) // 2]],
               written=lambda *wx: _products(wx[: len(wx) // 2], wx[len(wx) // 2 :]),
               symbol="·", latex=r"\sum_i {ws}_i {xs}_i", doc="ws[0]*xs[0] + ws[1]*xs[1] + ...")
affine    = Op("affine", floats.affine, gather=lambda ws, xs, b: (*_paired(ws, xs), b),
               gradient=lambda out, *wxb: wxb[len(wxb) // 2 : -1] + wxb[: len(wxb) // 2] + (1.0,), rule=node.AFFINE,
               pullback=lambda g, out, *wxb: [g * v for v in wxb[len(wxb) // 2 : -1] + wxb[: len(wxb) // 2]] + [g],
               written=lambda *wxb: _products(wxb[: len(wxb) // 2], wxb[len(wxb) // 2 : -1], wxb[-1]),
               symbol="Σwx+b", latex=r"\sum_i {ws}_i {xs}_i + {b}", doc="a neuron's net input: ws[0]*xs[0] + ... + b")
logsumexp = Op("logsumexp", floats.logsumexp, gather=lambda values: tuple(values),
               gradient=lambda out, *values: _normalized([exp(v - out) for v in values]),
               written=lambda *values: log(reduce(operator.add, [exp(v) for v in values])),
               latex=r"\ln \sum_i e^{{{values}_i}}", doc="log(exp(values[0]) + exp(values[1]) + ...)", commutative=True)
# fmt: on

OPS: dict[str, Op] = {op.name: op for op in list(globals().values()) if isinstance(op, Op)}


def row(name: str) -> Op:
    """The row of that name, an unpickled node's for one. KeyError, naming the fix, if there is none."""
    if name not in OPS:
        raise KeyError(f"no operation {name!r} in the table; autograd.register(Op({name!r}, ...)) first")
    return OPS[name]


install_operators(IEEE)
__all__ = list(OPS)
