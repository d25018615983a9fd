"""Derivatives against differences: `check_gradients`, for whoever writes an operation, and for our own tests.

>>> from autograd import custom, tanh
>>> check_gradients(lambda x, y: x * tanh(x * y), 0.5, 2.0).relative_error < 1e-9
True
>>> slip = custom(lambda x: x**3, lambda out, x: 3.0015 * x * x)
>>> check_gradients(slip, 2.0)  # doctest: +ELLIPSIS
Traceback (most recent call last):
autograd.check.GradientError: custom: the derivative of order 1 is wrong in reverse mode.
    d result / d argument[0]
    at        argument[0] = 2.0
    expected  1... (by differences)
    got       12.006 (1.0005 times the expected)
The partial of custom by x is wrong by itself, in reverse mode: at custom(2.0), expected ..., got 12.006.

The derivatives of order k are compared with differences of those of order k - 1 (see differences.py). Steps of many
sizes are at hand; the size whose differences settle best is believed.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import inf, isfinite, nan
from typing import Any, NamedTuple

from .differences import Difference, extrapolated, steps_to_try
from .floats import short
from .functional import Call
from .graph import sort, topological_order
from .passes import Linearization
from .structure import Arguments
from .value import CONSTANT, Value

# A derivative is right if it is off by no more than this part of itself, or by what the differences are uncertain by.
TOLERANCE = 1e-7
# A difference that confirms what the engine found is believed at once if it is uncertain by no more than this part of
# itself, or by no more than this part of what would be natural; else the other sizes of step are tried as well.
SHARP, TINY = 1e-8, 2e-12
# One that is uncertain by more than this part of itself tells nothing.
VAGUE = 1e-4

Rows = Callable[[Linearization], list[list[Any]]]
by_pull_back, by_push_forward = Linearization.rows_by_pull_back, Linearization.rows_by_push_forward

MANY = 8  # numbers that a report writes out
AT_MOST = 1000  # operations that are looked at in search of the wrong one


class GradientError(AssertionError):
    """A derivative differs from the differences, or the differences settle on nothing. `worst` is the worst entry."""

    def __init__(self, text: str, worst: "Comparison") -> None:
        super().__init__(text)
        self.worst = worst

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.worst)


class Comparison(NamedTuple):
    """One derivative beside the difference.

    order           1 for a first derivative
    mode            what computed it, such as "reverse mode"
    output, inputs  what is differentiated by what, such as "result" and ("argument[0]['w'][1]",)
    point           the number at every place of the arguments
    expected, got   by differences, by the engine
    relative_error  their distance by the larger of both; 1e-7 or less where the differences do not tell them apart
    """

    order: int
    mode: str
    output: str
    inputs: tuple[str, ...]
    point: dict[str, float]
    expected: float
    got: float
    relative_error: float

    @property
    def derivative(self) -> str:
        """What it is, as in d2 result / d argument[0] d argument[1]."""
        power = "" if self.order == 1 else str(self.order)
        return f"d{power} {self.output} / {' '.join(['d ' + place for place in self.inputs])}"

    def __str__(self) -> str:
        return (
            f"worst entry: {self.derivative}, expected {self.expected!r}, got {self.got!r} in {self.mode}, "
            f"relative error {self.relative_error:.1e}"
        )


def check_gradients(f: Callable[..., Any], *args: Any, order: int = 2) -> Comparison:
    """Compare the derivatives of f at args, up to that order, with differences. Returns the worst entry.

    f is differentiated by every number in the arguments: numbers, nested lists, tuples and dicts of them, NumPy float
    arrays. Reverse mode, forward mode and backward() are compared, also as Values where a higher order is taken of
    them. A derivative that is off by one part in ten million is refused, unless rounding in f hides as much.

    Raises GradientError, which is an AssertionError, with the worst entry, the point, expected and got, and the
    operation whose partial is wrong; also where the differences settle on nothing, as at a kink, a jump or the end
    of the domain. Raises TypeError for an f that is not a function or returns no Value, and for arguments without
    a derivative; ValueError for an order that is not a whole number from 1 up, for arguments that are not finite,
    and for an f that gives different results at one point.

    >>> from autograd import custom, exp, relu
    >>> check_gradients(lambda p: exp(p["w"]) * p["b"], {"w": 0.5, "b": 2.0}).order in (1, 2)
    True
    >>> bell = custom(lambda x: 2.0 ** -(x * x), lambda out, x: -2 * x * out)  # log(2) is forgotten
    >>> try:
    ...     check_gradients(lambda x: 3 * bell(x), 1.0)
    ... except GradientError as error:
    ...     print(f"expected {error.worst.expected:.4f}, got {error.worst.got:.4f}")
    expected -2.0794, got -3.0000
    >>> check_gradients(relu, 0.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    autograd.check.GradientError: relu: the differences settle on no derivative of order 1. ...
    """
    name = str(getattr(f, "__name__", getattr(f, "name", repr(f))))
    if not callable(f):
        raise TypeError(
            f"expected a function, got {f!r}; wrong: check_gradients(f(x)); right: check_gradients(f, x.data)"
        )
    if not isinstance(order, int) or isinstance(order, bool) or order < 1:
        raise ValueError(
            f"wrong: check_gradients({name}, ..., order={order!r}); right: order=2 for first and second derivatives"
        )
    subject = _Subject(f, name, args)
    return max([_checked(subject, k, k < order) for k in range(1, order + 1)], key=lambda c: c.relative_error)


class _Subject:
    """The function that is checked, at its point, and beside it."""

    def __init__(self, f: Callable[..., Any], name: str, args: Sequence[Any]) -> None:
        self.f, self.name = f, name
        for i, x in enumerate(args):
            try:
                Arguments(args, [i])
            except TypeError as error:
                raise TypeError(
                    f"check_gradients differentiates by all arguments, and argument[{i}], {_shortened(x)}, is not "
                    f"made of real numbers. Wrong: check_gradients({name}, x, {_shortened(x)}); "
                    f"right: check_gradients(lambda x: {name}(x, {_shortened(x)}), x)"
                ) from error
        self.given = Arguments(args, range(len(args)))
        self.point: list[float] = [x.data if isinstance(x, Value) else x for x in self.given.numbers]
        self.inputs = list(_places(self.given.filled(self.point), "argument"))
        if not self.point:
            raise TypeError(
                f"no numbers to differentiate {name} by; wrong: check_gradients({name}); "
                f"right: check_gradients({name}, 0.5)"
            )
        for place, x in zip(self.inputs, self.point, strict=True):
            if not isfinite(x):
                raise ValueError(
                    f"{place} is {x}, beside which there is nothing to compare with. "
                    f"Wrong: check_gradients({name}, 0.5, {x}); "
                    f"right: check_gradients(lambda x: {name}(x, {x}), 0.5)"
                )
        self.largest = max(map(abs, self.point))
        self.by_place = dict(zip(self.inputs, self.point, strict=True))
        self.call = self._call(self.point)
        self.outputs = list(_places(self.call.returned.filled([0.0] * len(self.call.outputs)), "result"))
        values, again = self.derivatives(self.point, 0), self.derivatives(self.point, 0)
        for place, value, other in zip(self.outputs, values, again, strict=True):
            if not isfinite(value):
                raise ValueError(
                    f"{name} gives {value} as its {place} at {_shortened(args)}, where it has no derivative; "
                    "move the point inside the domain"
                )
            if value != other:
                raise ValueError(
                    f"{name} gives {value} and then {other} as its {place} at one point, so that differences tell "
                    "nothing. If it draws random numbers, wrong: random.gauss(0, 1) inside; "
                    "right: noise = random.gauss(0, 1) outside"
                )

    def _call(self, point: Sequence[float]) -> Call:
        args = self.given.filled(point)
        return Call(self.f, args, {}, range(len(args)))

    def derivatives(self, point: Sequence[float], order: int) -> list[float]:
        """What the engine finds at a point, in reverse mode. Raises what f raises."""
        call = self._call(point)
        if len(call.outputs) != len(self.outputs):
            raise TypeError(
                f"{self.name} returned {len(self.outputs)} numbers at the point and {len(call.outputs)} beside it"
            )
        if order == 0:
            return [v.data for v in call.outputs]
        return _derivatives(call.outputs, call.inputs, order)

    def beside(self, place: int, x: float, order: int) -> list[float] | None:
        """The same with another number at one place; None where f refuses it."""
        try:
            return self.derivatives([*self.point[:place], x, *self.point[place + 1 :]], order)
        except (ArithmeticError, ValueError):
            return None

    def comparison(self, order: int, place: int, mode: str, expected: float, got: float, relative: float) -> Comparison:
        """A comparison, by its place in the flat list of all derivatives of that order."""
        inputs = list[str]()
        for _ in range(order):
            place, last = divmod(place, len(self.inputs))
            inputs.insert(0, self.inputs[last])
        return Comparison(order, mode, self.outputs[place], tuple(inputs), self.by_place, expected, got, relative)


# What the engine finds


def _derivatives(
    outputs: Sequence[Value], inputs: Sequence[Value], order: int, rows: Rows = by_pull_back, create_graph: bool = False
) -> list[Any]:
    """All derivatives of that order, those of one output and then the next, the last input varying fastest."""
    found: list[Any] = list(outputs)
    for k in range(1, order + 1):
        as_values = create_graph or k < order
        found = [d for row in rows(Linearization(found, inputs, as_values)) for d in row]
    return found


def _backward(outputs: Sequence[Value], inputs: Sequence[Value]) -> list[float]:
    """The first derivatives by backward(), the gradients of all nodes being as before when it is done."""
    found = list[float]()
    for out in outputs:
        nodes = topological_order(out, *inputs)
        before = [v._grad for v in nodes]
        try:
            if out.kind != CONSTANT:
                out.backward()
            found += [x.grad for x in inputs]
        finally:
            for v, grad in zip(nodes, before, strict=True):
                v._grad = grad
    return found


def _found(call: Call, order: int, as_values: bool) -> dict[str, list[float]]:
    """The derivatives of that order by each mode."""
    outputs, inputs = call.outputs, call.inputs
    modes = {"reverse mode": by_pull_back, "forward mode": by_push_forward}
    found = {name: _derivatives(outputs, inputs, order, mode) for name, mode in modes.items()}
    if order == 1:
        found["backward()"] = _backward(outputs, inputs)
    if as_values:
        for name, mode in modes.items():
            values = _derivatives(outputs, inputs, order, mode, create_graph=True)
            found[f"{name} on Values"] = [v.data for v in values]
    return found


def _rounding(outputs: Sequence[Value]) -> list[float]:
    """What each may be off by, if each node on the way is rounded once."""
    errors: dict[Value, float] = {}
    for node in sort(outputs)[1]:
        op: Any = node.op
        slopes = op.derivatives(node.data, [p.data for p in node.parents])
        terms = [abs(d) * errors[p] for d, p in zip(slopes, node.parents, strict=True) if errors.get(p)]
        errors[node] = sum(terms, math.ulp(node.data) if node.data else 0.0)
    found = [errors.get(v, 0.0) for v in outputs]
    return [e if isfinite(e) else 0.0 for e in found]


def _path_terms(outputs: Sequence[Value], inputs: Sequence[Value]) -> list[float]:
    """For each first derivative the sum of |products| along all paths: they may cancel, their rounding does not."""
    linear = Linearization(outputs, inputs)
    linear.terms = [[(operand, abs(d)) for operand, d in terms] for terms in linear.terms]
    return [t if isfinite(t) else 0.0 for row in linear.rows_by_pull_back() for t in row]


# The two compared


class _Entry:
    """One derivative as each mode found it, and the differences that it has been held against so far."""

    def __init__(self, subject: _Subject, order: int, place: int, got: dict[str, float]) -> None:
        self.subject, self.order, self.place, self.got = subject, order, place, got
        self.differences: list[Difference] = []
        self.rounding = 0.0  # of the numbers that the differences are made of

    def against(self, d: Difference, uncertainty: float) -> Comparison:
        """The mode that is furthest off, beside a difference."""

        def relative(g: float) -> float:
            distance, size = abs(g - d.value), max(abs(g), abs(d.value))
            if distance <= uncertainty:
                size = max(size, uncertainty / TOLERANCE)
            return 0.0 if g == d.value else distance / size if isfinite(g) else inf

        mode, g = max(self.got.items(), key=lambda item: relative(item[1]))
        return self.subject.comparison(self.order, self.place, mode, d.value, g, relative(g))

    def confirmed_by(self, d: Difference) -> Comparison | None:
        """The verdict, if this difference is certain, and confirms what was found."""
        self.differences.append(d)
        uncertainty, verdict = d.uncertainty(), self.against(d, d.uncertainty())
        certain = uncertainty <= max(SHARP * abs(d.value), TINY * self._natural_size(d))
        exact = d.spread == 0 and verdict.got == verdict.expected
        return verdict if not d.bends() and (exact or (certain and verdict.relative_error <= TOLERANCE)) else None

    def judged(self, rounding: float, terms: float) -> Comparison | None:
        """The verdict by the best of all differences; None if none is good enough.

        rounding: of the numbers that the differences are made of; terms: the size of what sums to the derivative.
        """
        self.rounding, best = rounding, self.best(rounding)
        if best is None:
            return None
        uncertainty = best.uncertainty(rounding)
        # a difference may also vanish with the step
        larger = [d.uncertainty(rounding) for d in self.differences if d.step > best.step and not d.bends(rounding)]
        settled = uncertainty <= VAGUE * max([abs(best.value), terms, *larger])
        # of a small derivative beside large numbers no more than this can be seen
        by_rounding = best.spread <= 10 * best.noise(rounding) and uncertainty <= VAGUE * self._natural_size(best)
        return self.against(best, uncertainty + 4 * math.ulp(terms)) if settled or by_rounding else None

    def best(self, rounding: float) -> Difference | None:
        """The difference that is least uncertain, unless smaller steps contradict it: of x + floor(x), say."""
        usable = [d for d in self.differences if not d.bends(rounding)]
        for d in sorted(usable, key=lambda d: d.uncertainty(rounding)):
            margin = d.uncertainty(rounding)
            smaller = [e for e in usable if e.step < d.step]
            if not any([abs(e.value - d.value) > 10 * e.uncertainty(rounding) + margin for e in smaller]):
                return d
        return None

    def _natural_size(self, d: Difference) -> float:
        """That of a derivative which changes the function by its own size over the size of the inputs, or over 1."""
        return abs(d.here) / max(self.subject.largest, 1.0)


def _checked(subject: _Subject, order: int, as_values: bool) -> Comparison:
    """The worst of the derivatives of that order. Raises GradientError if one is wrong, or cannot be told."""
    entries, unsettled = _compared(subject, order, as_values)
    wrong = [entry for entry in entries if entry.relative_error > TOLERANCE]
    if wrong:
        worst = max(wrong, key=lambda entry: entry.relative_error)
        raise _wrong(subject, worst, len(wrong), len(entries) + len(unsettled))
    if unsettled:
        raise _unsettled(unsettled[0])
    return max(entries, key=lambda entry: entry.relative_error)


def _compared(subject: _Subject, order: int, as_values: bool) -> tuple[list[Comparison], list[_Entry]]:
    """Every derivative of that order beside its difference; and those whose differences do not settle.

    as_values: whether to compare what the modes find as Values as well.
    """
    inputs, outputs = subject.call.inputs, subject.call.outputs
    found, here = _found(subject.call, order, as_values), subject.derivatives(subject.point, order - 1)
    count = len(subject.point)
    compared, unsettled = list[Comparison](), list[_Entry]()
    roundings, terms = list[float](), list[float]()
    for slot, x in enumerate(subject.point):
        places = {i: i * count + slot for i in range(len(here))}
        waiting = {
            i: _Entry(subject, order, place, {mode: numbers[place] for mode, numbers in found.items()})
            for i, place in places.items()
        }
        for steps in steps_to_try(x, subject.largest):
            sides = [(h, subject.beside(slot, x - h, order - 1), subject.beside(slot, x + h, order - 1)) for h in steps]
            for i, entry in list(waiting.items()):
                d = extrapolated(here[i], [(h, behind[i], ahead[i]) for h, behind, ahead in sides if behind and ahead])
                verdict = d and entry.confirmed_by(d)
                if verdict:
                    compared.append(verdict)
                    del waiting[i]
            if not waiting:
                break
        if waiting and not roundings:
            below = _derivatives(outputs, inputs, order - 1, create_graph=True)
            roundings, terms = _rounding(below), _path_terms(below, inputs)
        for i, entry in waiting.items():
            verdict = entry.judged(roundings[i], terms[entry.place])
            if verdict:
                compared.append(verdict)
            else:
                unsettled.append(entry)
    return compared, unsettled


# The report


def _wrong(subject: _Subject, worst: Comparison, wrong: int, total: int) -> GradientError:
    ratio = worst.got / worst.expected if worst.expected else inf
    times = f" ({ratio:.10g} times the expected)" if isfinite(ratio) and ratio else ""
    others = f"\n{wrong} of {total} derivatives of that order are wrong; this is the worst." if total > 1 else ""
    return GradientError(
        f"{subject.name}: the derivative of order {worst.order} is wrong in {worst.mode}.\n"
        f"    {worst.derivative}\n"
        f"    at        {_at(worst)}\n"
        f"    expected  {worst.expected!r} (by differences)\n"
        f"    got       {worst.got!r}{times}{others}\n"
        f"{_fault(subject, worst.order)}",
        worst,
    )


def _unsettled(entry: _Entry) -> GradientError:
    subject, order = entry.subject, entry.order
    (mode, got), best = next(iter(entry.got.items())), entry.best(0.0)
    shown = next((d for d in entry.differences if d.bends()), entry.differences[0] if entry.differences else None)
    point = subject.comparison(order, entry.place, mode, best.value if best else nan, got, nan)
    what = subject.name if order == 1 else f"The derivative of order {order - 1} of {subject.name}"
    if shown is None:
        seen, fix = "", f"{what} is finite on one side of the point at most: move the point inside the domain."
    else:
        left, right = map(short, shown.slopes)
        seen = f"    slopes    {left} from the left, {right} from the right, by a step of {short(shown.step)}\n"
        fix = f"{what} has a kink or a jump near the point: move the point."
        noise, seen_all = entry.rounding, entry.differences
        if all([not d.bends(noise) and d.spread <= 10 * d.noise(noise) for d in seen_all]):
            fix = "Rounding hides it: do without the difference of large numbers, or move the point."
    return GradientError(
        f"{subject.name}: the differences settle on no derivative of order {order}.\n"
        f"    {point.derivative}\n"
        f"    at        {_at(point)}\n"
        f"{seen}"
        f"    got       {got!r} in {mode}\n"
        f"{fix}",
        point,
    )


def _fault(subject: _Subject, order: int) -> str:
    """Which operation is wrong by itself: of those in the derivative of one order less, and of those in f."""
    outputs, inputs = subject.call.outputs, subject.call.inputs
    below = _derivatives(outputs, inputs, order - 1, create_graph=True)
    tried = set[Any]()
    for ends, own_order in ((below, 1), (outputs, order)):
        places = Linearization(ends, inputs).places
        for node in places:
            operands = tuple([p.data for p in node.parents])
            slots = tuple([slot for slot, p in enumerate(node.parents) if p in places])
            key = node.op, operands, slots, own_order
            if node.op is None or key in tried:
                continue
            if len(tried) == AT_MOST:
                return f"Of the operations in it, the first {AT_MOST} are right by themselves."
            tried.add(key)
            fault = _fault_of(node.op, operands, slots, own_order)
            if fault:
                return fault
    return (
        "Every operation in it is right by itself. Does the function leave the graph (v.data, stop_gradient), "
        "or a hook change a gradient?"
    )


def _fault_of(op: Any, operands: tuple[float, ...], slots: tuple[int, ...], order: int) -> str:
    """What is wrong with an operation by those of its operands; nothing if it is right, or if that cannot be told."""

    def alone(*xs: Any) -> Any:
        moved = dict(zip(slots, xs, strict=True))
        return Value.apply_op(op, [moved.get(slot, x) for slot, x in enumerate(operands)])

    try:
        subject = _Subject(alone, op.name, [operands[slot] for slot in slots])
        entries, _ = _compared(subject, order, as_values=True)
    except (TypeError, ValueError):
        return ""
    worst = max(entries, key=lambda entry: entry.relative_error, default=None)
    if worst is None or worst.relative_error <= TOLERANCE:
        return ""
    slot = slots[subject.inputs.index(worst.inputs[0])]
    what = "partial" if order == 1 else f"derivative of order {order}"
    if order == 1 and math.isclose(worst.got, _by_pullback(op, operands)[slot], rel_tol=TOLERANCE):
        by_partial = op.derivatives(op.evaluate(*operands), operands)[slot]
        what = what if math.isclose(worst.got, by_partial, rel_tol=TOLERANCE) else "pullback"
    shown = ", ".join([*map(repr, operands[:MANY]), *(["..."] if len(operands) > MANY else [])])
    return (
        f"The {what} of {op.name} by {f'operand {slot}' if op.variadic else op.operands[slot]} is wrong by itself, in "
        f"{worst.mode}: at {op.name}({shown}), expected {worst.expected!r}, got {worst.got!r}."
    )


def _by_pullback(op: Any, operands: tuple[float, ...]) -> Sequence[float]:
    out = op.evaluate(*operands)
    try:
        return op.pullback(1.0, out, *operands)  # type: ignore[no-any-return]
    except ArithmeticError:
        return op.derivatives(out, operands)  # type: ignore[no-any-return]


def _places(x: Any, place: str) -> Iterator[str]:
    """The names of the numbers in a structure, as one writes them in Python."""
    if isinstance(x, (list, tuple, dict)):
        for key, part in x.items() if isinstance(x, dict) else enumerate(x):
            yield from _places(part, f"{place}[{key!r}]")
    else:
        for index in product(*map(range, getattr(x, "shape", ()))):
            yield f"{place}[{', '.join(map(str, index))}]" if index else place


def _at(c: Comparison) -> str:
    """The point, of many numbers the first, after those in question."""
    places = list(dict.fromkeys([*c.inputs, *c.point]))
    more = f", and {len(places) - MANY} more" if len(places) > MANY else ""
    return ", ".join([f"{place} = {c.point[place]!r}" for place in places[:MANY]]) + more


def _shortened(x: Any) -> str:
    text = " ".join(repr(x).split())
    return text if len(text) <= 40 else text[:37] + "..."
