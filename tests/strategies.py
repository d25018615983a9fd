"""What the tests of the core share: the operations in exact arithmetic, and points and graphs to try them at.

`EXACT` is an oracle that owes nothing to the table: each row's name, and the same function written with
mpmath. Its derivatives are differences in 900 digits.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import inf, isfinite, nan
from random import Random
from typing import Any

from hypothesis import strategies as st
from mpmath import mp, mpf

from autograd import OPS, Op, Value, topological_order

# Enough digits to resolve a step of 5e-324 * STEP on 1, and a sum of 1e308 and 5e-324 exactly.
DIGITS, STEP, ZERO = 900, mpf(10) ** -40, mpf(10) ** -330
LARGEST, NORMAL, TINY, EPS = 1.7976931348623157e308, 2.2250738585072014e-308, 5e-324, 2.220446049250313e-16


def half_up(values: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """(ws, xs) of the flat operands ws + xs."""
    return values[: len(values) // 2], values[len(values) // 2 :]


def _dot(*wx: Any) -> Any:
    return mp.fsum([w * x for w, x in zip(*half_up(wx), strict=True)])


def _erfc(x: Any) -> Any:
    return mp.erfc(x) if x < 10**4 else mpf(0)  # 1e-43429452 and below, for which mpmath takes no argument of 1e300


SELU_SCALE, SELU_ALPHA = mpf("1.0507009873554804934193349852946"), mpf("1.6732632423543772848170429916717")

EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: mp.power(x, y) if x else mpf(y == 0) if y >= 0 else mp.inf,
    "neg": lambda x: -x,
    "abs": lambda x: mp.fabs(x),
    "exp": mp.exp,
    "expm1": mp.expm1,
    "exp2": lambda x: mp.power(2, x),
    "log": mp.ln,
    "log1p": mp.log1p,
    "log2": lambda x: mp.ln(x) / mp.ln(2),
    "log10": lambda x: mp.ln(x) / mp.ln(10),
    "sqrt": mp.sqrt,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(mp.fabs(x)),
    "hypot": mp.hypot,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "asin": mp.asin,
    "acos": mp.acos,
    "atan": mp.atan,
    "atan2": lambda y, x: mp.atan2(y, x),
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "asinh": mp.asinh,
    "acosh": mp.acosh,
    "atanh": mp.atanh,
    "erf": mp.erf,
    "erfc": _erfc,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "relu": lambda x: x if x > 0 else mpf(0),
    "leaky_relu": lambda x, slope: x if x > 0 else slope * x,
    "elu": lambda x, alpha: x if x > 0 else alpha * mp.expm1(x),
    "selu": lambda x: SELU_SCALE * (x if x > 0 else SELU_ALPHA * mp.expm1(x)),
    "gelu": lambda x: x * _erfc(-x / mp.sqrt(2)) / 2,
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "softplus": lambda x: x + mp.log1p(mp.exp(-x)) if x > 0 else mp.log1p(mp.exp(x)),
    "logsigmoid": lambda x: -mp.log1p(mp.exp(-x)) if x > 0 else x - mp.log1p(mp.exp(x)),
    "maximum": lambda x, y: max(x, y),
    "minimum": lambda x, y: min(x, y),
    "clamp": lambda x, low, high: min(max(x, low), high),
    "where": lambda condition, x, y: x if condition != 0 else y,
    "greater": lambda x, y: mpf(1) if x > y else mpf(0),
    "sign": lambda x: mp.sign(x),
    "floor": mp.floor,
    "ceil": mp.ceil,
    "sum": lambda *values: mp.fsum(values),
    "dot": _dot,
    "affine": lambda *wxb: _dot(*wxb[:-1]) + wxb[-1],
    "logsumexp": lambda *values: max(values) + mp.ln(mp.fsum([mp.exp(v - max(values)) for v in values])),
}


def exact(op: Op, operands: Sequence[float]) -> Any:
    """The row's result to 60 digits, that of a sum to 800."""
    with mp.workdps(DIGITS if op.variadic else 60):
        return EXACT[op.name](*map(mpf, operands))


def difference(
    function: Callable[..., Any],
    operands: Sequence[float],
    slot: int,
    step: Any = STEP,
    digits: int = DIGITS,
    at_zero: Any = ZERO,
) -> Any:
    """The partial derivative of a function of mpmath numbers, by differences of two step sizes.

    None where there is no derivative: where the left and the right one differ (the gap between the one-sided
    differences does not close as the step shrinks), or where they grow without end.
    """
    with mp.workdps(digits):
        xs = [mpf(x) for x in operands]
        size = min(abs(xs[slot]), mpf(1)) or at_zero
        steps = [size * step, size * step / 10**10]
        at = [function(*xs[:slot], xs[slot] + h, *xs[slot + 1 :]) for h in (mpf(0), *steps, *map(operator.neg, steps))]
        if not all(v is not None and mp.isfinite(v) for v in at):
            return None
        here, ahead, just_ahead, behind, just_behind = at
        rights = [(ahead - here) / steps[0], (just_ahead - here) / steps[1]]
        lefts = [(here - behind) / steps[0], (here - just_behind) / steps[1]]
        gap, nearer_gap = [abs(right - left) for right, left in zip(rights, lefts, strict=True)]
        whole, nearer_whole = [right + left for right, left in zip(rights, lefts, strict=True)]
        noise = (abs(rights[0]) + abs(lefts[0])) * mpf(10) ** -12
        jumps = nearer_gap > gap / 2 and nearer_gap > noise
        return None if jumps or abs(whole - nearer_whole) > noise else whole / 2


def exact_partial(op: Op, operands: Sequence[float], slot: int) -> Any:
    """d(out)/d(operand) in exact arithmetic; None where there is none."""
    # the sum of products spans 1e616 down to the step times 1e-308; a power bends within x / y of x
    digits = 1500 if op.name in ("dot", "affine") else DIGITS
    return difference(EXACT[op.name], operands, slot, STEP / mpf(10) ** 310 if op.name == "pow" else STEP, digits)


def moderate_partial(op: Op, operands: Sequence[float], slot: int) -> Any:
    """The same, sooner, for operands of ordinary size."""
    return difference(EXACT[op.name], operands, slot, digits=500)


def nearest(number: Any) -> float:
    """The float nearest to an mpmath number, an infinity beyond their range."""
    with mp.workdps(DIGITS):
        return math.copysign(inf, number) if abs(number) > mpf(LARGEST) * (1 + mpf(2) ** -54) else float(number)


def alike(a: float, b: float) -> bool:
    """Equal, nan being equal to nan."""
    return a == b or (a != a and b != b)


def flat(value: Any) -> float:
    """The number of a Value or of a number."""
    return value.data if isinstance(value, Value) else float(value)


# Numbers at which floating-point rules show.
SPECIALS = (inf, -inf, nan, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.0, 1000.0, -1000.0, 1e300, -1e300, LARGEST)
SPECIALS += (-LARGEST, TINY, -TINY, 1e-300, -1e-310, 1 / 3)


def inside(interval: tuple[float, float]) -> st.SearchStrategy[float]:
    """Floats in an open interval, of every magnitude, subnormals and numbers next to a finite end included."""
    low, high = interval
    ends = {"allow_nan": False, "allow_infinity": False}
    anywhere = st.floats(
        low if isfinite(low) else None, high if isfinite(high) else None, exclude_min=isfinite(low),
        exclude_max=isfinite(high), **ends,
    )  # fmt: skip
    near = st.floats(max(low, -40.0), min(high, 40.0), exclude_min=low > -40, exclude_max=high < 40, **ends)
    exponents = st.builds(lambda m, e: m * 10.0**e, st.floats(1.0, 9.0), st.integers(-320, 300))
    if interval == (-inf, inf):
        scaled = st.builds(math.copysign, exponents, st.sampled_from([1.0, -1.0]))
    else:
        end, sign = (low, 1.0) if isfinite(low) else (high, -1.0)
        scaled = st.builds(lambda x: end + sign * x, exponents).filter(lambda x: low < x < high)
    return st.one_of(anywhere, near, scaled).map(lambda x: x + 0.0)  # mpmath has one zero


def arity(op: Op, count: int) -> int:
    """How many operands a row takes; for a variadic one, of `count` values or pairs."""
    return {"dot": 2 * count, "affine": 2 * count + 1}.get(op.name, count) if op.variadic else len(op.operands)


def intervals(op: Op, count: int) -> tuple[tuple[float, float], ...]:
    return ((-inf, inf),) * arity(op, count) if op.variadic else op.domain


def points(op: Op) -> st.SearchStrategy[tuple[float, ...]]:
    """Operands inside the row's stated domain."""
    if op.variadic:
        return st.integers(1, 4).flatmap(lambda n: st.tuples(*map(inside, intervals(op, n))))
    return st.tuples(*map(inside, op.domain))


def grid(interval: tuple[float, float]) -> st.SearchStrategy[float]:
    """Numbers of ordinary size in an open interval, clear of its ends."""
    low, high = interval
    steps = [k / 64 for k in range(-256, 257)]
    return st.sampled_from([x for x in steps if low < x < high])


# Random graphs


@dataclass(frozen=True)
class Program:
    """A graph as data, for any interpreter to run: the tape starts with the inputs, each step appends a result.
    A step's operand is a place on the tape (int) or a number (float)."""

    inputs: tuple[float, ...]
    steps: tuple[tuple[str, tuple[int | float, ...]], ...]

    def run(self, inputs: Sequence[Any], apply: Callable[[str, Sequence[Any]], Any]) -> list[Any]:
        tape = list(inputs)
        for name, refs in self.steps:
            tape.append(apply(name, [tape[ref] if isinstance(ref, int) else ref for ref in refs]))
        return tape

    def values(self) -> list[Value]:
        """The tape as Values."""
        return self.run([Value(x) for x in self.inputs], lambda name, xs: Value.apply_op(OPS[name], xs))

    def floats(self) -> list[float]:
        return self.run(self.inputs, lambda name, xs: OPS[name].evaluate(*xs))

    def tangents(self) -> list[tuple[float, float]]:
        """By forward mode and exact local derivatives: for each input, d(last)/d(input) and the sum of the
        |products| over all paths, which is what rounding errors are measured by."""
        tape, slopes = self.floats(), []
        for place in range(len(self.inputs)):
            along = [(1.0, 1.0) if i == place else (0.0, 0.0) for i in range(len(self.inputs))]
            for name, refs in self.steps:
                operands = [tape[ref] if isinstance(ref, int) else ref for ref in refs]
                terms = [
                    (nearest(moderate_partial(OPS[name], operands, slot)), *along[ref])
                    for slot, ref in enumerate(refs)
                    if isinstance(ref, int) and along[ref][1]
                ]
                along.append((math.fsum(d * t for d, t, _ in terms), math.fsum(abs(d) * size for d, _, size in terms)))
            slopes.append(along[-1])
        return slopes


def _fits(op: Op, operands: Sequence[float]) -> bool:
    """Whether a step is well conditioned: inside the domain, away from kinks, sizes and slopes moderate."""
    if not all(low < x < high for x, (low, high) in zip(operands, intervals(op, len(operands)), strict=False)):
        return False
    # kinks are where operands are equal or 0: some, as of leaky_relu with a slope near 1, bend too little to show below
    if op.kinks and any(abs(x - y) < 1e-3 for x, y in combinations([0.0, *operands], 2)):
        return False
    out = op.evaluate(*operands)
    slopes = op.derivatives(out, operands)
    if not all(isfinite(v) and abs(v) < 50 for v in (out, *slopes)):
        return False
    for shift in (-1e-3, 1e-3):  # a jump or an end within reach shows as a change of slope
        for slot in range(len(operands)):
            moved = [x + shift * (i == slot) for i, x in enumerate(operands)]
            there = op.evaluate(*moved)
            if not all(abs(a - b) < 0.1 for a, b in zip(slopes, op.derivatives(there, moved), strict=True)):
                return False
            if not abs(there - out) < 0.1:
                return False
    return True


@st.composite
def programs(draw: Any, names: Sequence[str] = tuple(EXACT), steps: int = 14, least: int = 1) -> Program:
    """Random graphs with shared sub-expressions, constants and repeated operands, away from kinks and ends."""
    inputs = tuple(draw(st.lists(st.sampled_from([k / 16 for k in range(-40, 41)]), min_size=1, max_size=4)))
    tape, recorded = list(inputs), []
    for name in draw(st.lists(st.sampled_from(names), min_size=least, max_size=steps)):
        op = OPS[name]
        count = arity(op, draw(st.integers(1, 3)) if op.variadic else 0)
        places = st.integers(0, len(tape) - 1)
        refs = draw(st.lists(st.one_of(places, places, grid((-4.0, 4.0))), min_size=count, max_size=count))
        operands = [tape[ref] if isinstance(ref, int) else ref for ref in refs]
        if any(isinstance(ref, int) for ref in refs) and _fits(op, operands):
            recorded.append((name, tuple(refs)))
            tape.append(op.evaluate(*operands))
    return Program(inputs, tuple(recorded))


# Names, formulas and explanations

# As people write them, and as nobody should.
LABELS = (
    "x",
    "w_5",
    "out_h1",
    "a_1^{(2)}",
    "δ",
    "w_{jk}",
    "alpha",
    "w'",
    "w^(2)",
    "h#2",
    "a b",
    "a_b",
    "lambda",
    "exp",
)
LABELS += (
    "$x$",
    "\\frac{",
    "\\input{x}",
    "a&b",
    "50%",
    "#1",
    "{",
    "}",
    "^",
    "_",
    "~",
    "a__b",
    "x^^2",
    "w_jk^(2)",
    "⟨1⟩",
)
LABELS += ("<b>&amp;</b>", "</script>", "<<table>>", '"];x[', "a|b", "\\n", "`", '"', "'", "\\\\", "\\", "[x]", "a\nb")
LABELS += ("\x00", "\x1b[31m", "\ud800", "\udfff", "\u202ex", "\ufffe", "\u2028", "😀", "层", "x" * 500, "∂E/∂w")
LABELS += (
    "x²",
    "é",
    "e\u0301",
    "ß",
    "İ",
    "ſ",
    "1",
    "٣",
    "_1",
    "sin",
    "w_left",
    "-",
    "*",
    "/",
    "(",
    ")",
    "=",
    ",",
    "a\\\\b",
)

labels = st.one_of(st.sampled_from(LABELS), st.text(max_size=6), st.sampled_from(["", " ", "\t \n"]))


def ordinary_points(op: Op, count: int = 2) -> st.SearchStrategy[tuple[float, ...]]:
    """Operands of ordinary size at which the row is well conditioned: inside its domain, away from kinks."""
    return st.tuples(*map(grid, intervals(op, count))).filter(lambda operands: _fits(op, operands))


# Rows that join paths, and keep numbers small enough to go on with.
JOINING = ("add", "sub", "mul", "tanh", "sin", "maximum", "sum", "dot", "affine", "mul", "hypot", "sigmoid")


@st.composite
def tangled_programs(draw: Any) -> Program:
    """Random graphs whose steps take the latest results, so that many paths lead through them.

    Hypothesis chooses no more than the seed: left to it, they come out small and plain."""
    chance = Random(draw(st.integers(0, 10**9)))
    steps = chance.randint(2, 16)
    inputs = tuple([chance.randint(-128, 128) / 64 for _ in range(chance.randint(1, 3))])
    tape, recorded = list(inputs), []
    while len(recorded) < steps:
        op = OPS[chance.choice(JOINING)]
        latest = range(max(len(tape) - 3, 0), len(tape))
        refs = [latest[-1], *chance.choices(latest, k=arity(op, chance.randint(1, 2)) - 1)]
        operands = [tape[ref] for ref in refs]
        if _fits(op, operands):
            recorded.append((op.name, tuple(refs)))
            tape.append(op.evaluate(*operands))
    return Program(inputs, tuple(recorded))


@st.composite
def labelled_values(draw: Any, pool: Sequence[str] = ()) -> list[Value]:
    """The tape of a random program, leaves first, whose last node is computed from all others but some leaves.

    None, some or all of the nodes are labelled, labels are repeated or not. pool: the labels to draw from; by default
    one of its own for each node, or a few for all of them."""
    program = draw(
        st.one_of(programs(least=6), tangled_programs(), tangled_programs()).filter(lambda program: program.steps)
    )
    tape = program.values()
    used = {x for node in tape for x in node.parents}
    ends = [node for node in tape if node.op is not None and node not in used]
    if len(ends) > 1:
        tape.append(Value.apply_op(OPS["sum"], ends))
    own = [f"v{place}" for place in range(len(tape))]
    labels = pool or draw(st.sampled_from([own, own, own, ["h", "h#2", "w"]]))
    share = draw(st.sampled_from(["none", "few", "half", "half", "most", "all"]))
    for place, node in enumerate(tape):
        if draw(st.integers(0, 9)) < {"none": 0, "few": 2, "half": 5, "most": 8, "all": 10}[share]:
            node.label = own[place] if labels is own else draw(st.sampled_from(labels))
    return tape


# The marks between lines, with or without a gap below, and those between columns.
_LINES, _COLUMNS = re.compile(r" ?\\\\(?:\[\w+\])?\n"), re.compile(r" ?(?<!\\)&")


def worked_example() -> dict[str, Value]:
    """The 2-2-2 network of the texts."""
    data = {"x1": 0.05, "x2": 0.1, "t1": 0.01, "t2": 0.99, "b1": 0.35, "b2": 0.6}
    data |= {f"w{i}": w for i, w in enumerate((0.15, 0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 0.55), 1)}
    v = {name: Value(x, label=name) for name, x in data.items()}
    for name, (w, u, x, y, b) in {
        "h1": ("w1", "w2", "x1", "x2", "b1"),
        "h2": ("w3", "w4", "x1", "x2", "b1"),
        "o1": ("w5", "w6", "out_h1", "out_h2", "b2"),
        "o2": ("w7", "w8", "out_h1", "out_h2", "b2"),
    }.items():
        net = v[w] * v[x] + v[u] * v[y] + v[b]
        net.label = f"net_{name}"
        out = net.sigmoid()
        out.label = f"out_{name}"
        v |= {net.label: net, out.label: out}
    v["E"] = 0.5 * (v["t1"] - v["out_o1"]) ** 2 + 0.5 * (v["t2"] - v["out_o2"]) ** 2
    v["E"].label = "E"
    return v


def diamonds(times: int) -> tuple[Value, Value]:
    """h = a + b with a = tanh(x), b = sin(x), again and again, each of them labelled."""
    x = h = Value(0.5, label="x")
    for i in range(times):
        a, b = h.tanh(), h.sin()
        a.label, b.label = f"a{i}", f"b{i}"
        h = a + b
        h.label = f"h{i}"
    return h, x


def equations(latex: str) -> list[str]:
    """The parts of LaTeX between the marks of its lines and columns; those of one line are two."""
    inside = latex.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
    if inside == latex:
        return [latex]
    return [part.strip() for line in _LINES.split(inside) for part in _COLUMNS.split(line, maxsplit=1)]


# Escapes and characters that are right in LaTeX, and that matplotlib does not read.
_UNREAD = re.compile(r"\\[&#]|[\U00020000-\U0010ffff]")


def typeset(latex: str) -> None:
    """Set mathematics with matplotlib, part by part, as it knows no `aligned`. ValueError if it cannot be read.

    It takes a second for a hundred operations, and far longer for fractions in fractions."""
    for part in equations(latex):
        _set(part)


@cache
def _set(part: str) -> None:
    from matplotlib.mathtext import MathTextParser

    if part:
        MathTextParser("path").parse(f"${_UNREAD.sub('+', part)}$")


# Large graphs


def large_program(seed: int, most: int = 200) -> Program:
    """A random graph over all rows, of 2 to `most` steps, whose last node is computed from all others.

    Of hypothesis it takes the seed alone: sizes that it chose would be 2 and 3 in every fifth graph.

    Sub-expressions are shared, operands repeated, and some are plain numbers. It is well conditioned: every step fits;
    none goes where tanh and its like are so flat that their slope has lost digits; and were every step off by one part
    in 10**16, none would be off by more than 1000."""
    chance = Random(seed)
    size = chance.randint(2, most)
    tape: list[float] = [chance.randint(-40, 40) / 16 for _ in range(chance.randint(1, 4))]
    inputs, recorded = tuple(tape), list[tuple[str, tuple[int | float, ...]]]()
    errors = [abs(x) for x in tape]
    ends = list(range(len(tape)))  # what no step has used yet

    def operand(refs: Sequence[int | float]) -> int | float:
        kind = chance.random()
        if kind < 0.15:
            return chance.randint(-256, 256) / 64
        if kind < 0.3 and refs:
            return chance.choice(refs)
        if kind < 0.6:
            return chance.choice(ends)
        return chance.randrange(max(len(tape) - 12, 0) if kind < 0.85 else 0, len(tape))

    def append(name: str, refs: Sequence[int | float], at_any_rate: bool = False) -> None:
        op = OPS[name]
        operands = [tape[ref] if isinstance(ref, int) else ref for ref in refs]
        if not at_any_rate and (all([isinstance(ref, float) for ref in refs]) or not _fits(op, operands)):
            return
        out = op.evaluate(*operands)
        slopes = op.derivatives(out, operands)
        error = abs(out) + math.fsum(
            [abs(d) * errors[ref] for d, ref in zip(slopes, refs, strict=True) if isinstance(ref, int)]
        )
        flat = abs(out) > 16 or any([0 < abs(d) < 1e-3 for d in slopes])
        if at_any_rate or not (flat or error > 1000):
            recorded.append((name, tuple(refs)))
            tape.append(out)
            errors.append(error)
            used = {ref for ref in refs if isinstance(ref, int)}
            ends[:] = [*[end for end in ends if end not in used], len(tape) - 1]

    names = list(EXACT)
    while len(recorded) + 1 + (len(ends) + 1) // 2 <= size:
        name = chance.choice(names)
        refs: list[int | float] = []
        for _ in range(arity(OPS[name], chance.randint(1, 3))):
            refs.append(operand(refs))
        append(name, refs)
    while len(ends) > 1:
        before = len(recorded)
        append(chance.choice(("mul", "hypot") if len(ends) == 2 else ("affine", "logsumexp")), ends[:3])
        if len(recorded) == before:
            append("sum", ends[:3], at_any_rate=True)
    return Program(inputs, tuple(recorded))


# Measures


def path_sizes(outputs: Sequence[Value], inputs: Sequence[Value]) -> list[list[float]]:
    """For each output and input the sum of the |products| over all paths, by which rounding errors are measured.

    By forward accumulation of the local derivatives on the nodes, so that it owes nothing to the passes. An input may
    be an inner node: paths that lead through another input count as well."""
    reach: dict[Value, list[float]] = {}
    for v in topological_order(*outputs):
        line = [0.0] * len(inputs)
        for parent, d in zip(v.parents, v.local_derivatives, strict=True):
            if any(reach[parent]):
                line = [total + abs(d()) * term for total, term in zip(line, reach[parent], strict=True)]
        reach[v] = [1.0 if x is v else size for x, size in zip(inputs, line, strict=True)]
    return [reach[v] for v in outputs]
