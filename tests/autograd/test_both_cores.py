"""The compiled core and the pure one behave the same.

Run as a script, this file prints what the core at hand does, as JSON: the lines of each part. The tests run it
with either core and compare the lines. A line says what was done, and what came of it.

Left out is what Python itself sees to, and sees to differently in C: what sort of object an operator is
(`type(Value.__add__)`), how a call of one by its name is refused (`v.__add__(1, 2)`), and what such a call makes of an
array, which `v * array` asks next; the words for a field that was never set; and the size of an object.
"""

import abc
import builtins
import copy
import difflib
import gc
import inspect
import itertools
import json
import math
import operator
import os
import pickle
import pydoc
import random
import re
import rlcompleter
import signal
import subprocess
import sys
import threading
import traceback
import tracemalloc
import typing
import weakref
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import OPS, Op, Value, custom, node

Lines = Iterator[str]
PARTS: dict[str, Callable[[], Lines]] = {}


def part(function: Callable[[], Lines]) -> Callable[[], Lines]:
    """Enter a part of the description."""
    PARTS[function.__name__] = function
    return function


# How results are told


def told(x: Any) -> str:
    """What a result is, to the last bit."""
    if isinstance(x, Value):
        made = f"{x.op.name}{told([p.data for p in x.parents])}" if x.op else x.kind
        grad = x._grad if x._grad is None else x._grad.hex()
        return f"{type(x).__qualname__} {x.data.hex()} {x.label!r} {made} grad {grad}"
    if isinstance(x, float):
        return f"{'' if type(x) is float else type(x).__name__}{x.hex()}"
    if isinstance(x, (list, tuple)):
        return f"{'[' if type(x) is list else type(x).__name__ + '['}{', '.join(map(told, x))}]"
    if isinstance(x, np.ndarray):
        return f"array of {x.dtype}, shape {x.shape}: {told(x.ravel().tolist())}"
    return without_addresses(repr(x))


def without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x...", text)


def outcome(call: Callable[[], Any]) -> str:
    """What a call gives, or the error it raises."""
    try:
        return told(call())
    except BaseException as error:
        cause = f" | caused by {error.__cause__!r}" if error.__cause__ else ""
        kind = type(error)
        return without_addresses(
            f"{kind.__module__.removeprefix('builtins')}.{kind.__name__}: {error}{cause}".lstrip(".")
        )


def each(code: str, scope: Callable[[], dict[str, Any]]) -> Lines:
    """The outcome of each line of code, in a scope of its own: after `a; b; c`, that of c."""
    for line in filter(None, map(str.strip, code.splitlines())):
        yield f"{line}  ->  {outcome(lambda line=line: run(line, scope()))}"


def run(line: str, scope: dict[str, Any]) -> Any:
    *before, last = line.split("; ")
    exec("\n".join(before), scope)
    try:
        code = compile(last, "<line>", "eval")
    except SyntaxError:
        exec(last, scope)
        return None
    return eval(code, scope)


# What a person sees

PUBLIC = [name for name in dir(autograd) if name[0] != "_" and not inspect.ismodule(getattr(autograd, name))]
# Of Node. In the pure core they are members and functions of Python, in the compiled one what C has in their place.
FIELDS = {name for name in vars(node.Node) if re.match("_[a-z]", name)}
OPERATORS = {f"__{side}{name}__" for side in ("", "r") for name in ("add", "sub", "mul", "truediv", "pow")}
OPERATORS |= {"__neg__", "__pos__", "__abs__"}


@part
def help_text() -> Lines:
    things: dict[str, Any] = {"autograd": autograd, "a Value": Value(2.0), "a row's method": Value.exp}
    things |= {name: getattr(autograd, name) for name in PUBLIC}
    for name, thing in things.items():
        yield f"help({name})"
        for line in pydoc.plain(pydoc.render_doc(thing)).splitlines():
            if not line.startswith("    COMPILED = "):
                yield without_addresses(line)


@part
def signatures() -> Lines:
    """Of all public names, and of all attributes of Value and Op."""
    yield f"Value{inspect.signature(Value)}, {Value.__mro__}, {Value.__module__}, {Value.__qualname__}"
    for owner, names in ((autograd, PUBLIC), (Value, dir(Value)), (Op, dir(Op))):
        for name in names:
            if name in FIELDS or name in ("__class__", "__dict__", "__doc__", "COMPILED"):
                continue
            thing = getattr(owner, name)
            yield f"{owner.__name__}.{name}: {getattr(thing, '__name__', '-')}, {inspect.getdoc(thing)!r}"
            if callable(thing):
                yield f"    signature {outcome(lambda thing=thing: inspect.signature(thing))}"
                yield f"    hints {outcome(lambda thing=thing: typing.get_type_hints(thing))}"
            if name not in OPERATORS and name != "__new__":
                yield f"    {getattr(thing, '__qualname__', '-')} of {getattr(thing, '__module__', '-')}"
                yield f"    annotations {getattr(thing, '__annotations__', '-')}"


@part
def completion() -> Lines:
    from IPython.core.interactiveshell import InteractiveShell

    v, w = Value(2.0, label="v"), Value(3.0) * 2
    yield f"dir(Value): {dir(Value)}"
    yield f"dir(Value(1.0)): {dir(v)}"
    yield f"dir(autograd): {dir(autograd)}"
    yield f"vars(Value): {list(vars(Value))}"
    main = sys.modules["__main__"]
    shell = InteractiveShell(user_ns={"v": v, "w": w, "Value": Value, "autograd": autograd})
    sys.modules["__main__"] = main  # which the shell would be
    shell.Completer.use_jedi = False  # which reads sources, and gives up when it takes long
    plain = rlcompleter.Completer(shell.user_ns)
    for text in ("v.", "v._", "v.__", "Value.", "Value.__", "autograd.", "v.gr", "v.ex", "autograd.Val", "w.op."):
        yield f"{text}, rlcompleter: {completions(plain, text)}"
        found = list(dict.fromkeys([match.text for match in completed(shell, text)]))
        yield f"{text}, IPython: {found}"
    for text in ("v", "Value", "w", "autograd", "v.exp", "v.grad", "autograd.affine", "v.backward"):
        for level in (0, 1):
            shown = shell.object_inspect_text(text, level)
            yield from [f"{text}{'?' * (level + 1)}: {without_addresses(line)}" for line in shown.splitlines()]


def completed(shell: Any, text: str) -> list[Any]:
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        return list(shell.Completer.completions(text, len(text)))


def completions(completer: rlcompleter.Completer, text: str) -> list[str]:
    found = [completer.complete(text, 0)]
    while found[-1] is not None:
        found.append(completer.complete(text, len(found)))
    return [match for match in found if match]


# Objects


class Dicted(Value):
    """Keeps its attributes in a __dict__."""

    colour = "red"

    def __init__(self, data: float, note: Any = "note", *, tone: str = "dark") -> None:
        super().__init__(data, label=str(note))
        self.note, self.tone = note, tone


class Slotted(Value):
    __slots__ = ("__hidden", "extra")

    def __init__(self, data: float, extra: Any = "extra") -> None:
        super().__init__(data)
        self.extra, self.__hidden = extra, [extra]


class Mixin:
    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.mixed = True

    def twice(self) -> Any:
        return self + self  # type: ignore[operator]


class Both(Mixin, Dicted):
    pass


class Loud(Value):
    """Has operators of its own."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return "Loud + " + type(other).__name__

    def __radd__(self, other: Any) -> Any:
        return type(other).__name__ + " + Loud"

    def __mul__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, str) else super().__mul__(other) + 100

    def __neg__(self) -> Any:
        return "-Loud"

    def __lt__(self, other: Any) -> Any:
        return "Loud < "


class Silent(Value):
    """Never calls Value.__init__."""

    def __init__(self) -> None:
        pass


class Registering(Value):
    """Notes its subclasses."""

    kinds: typing.ClassVar[list[str]] = []

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__()
        cls.kinds.append(f"{cls.__name__} {named}")


class Measured(abc.ABC):
    @abc.abstractmethod
    def measure(self) -> float: ...


class Length(Value, Measured):
    def measure(self) -> float:
        return self.data


class Meta(type):
    def __call__(cls, *args: Any) -> Any:
        made = super().__call__(*args)
        made.label = "by Meta"
        return made


class Unusual(Value, metaclass=Meta):
    def __new__(cls, *args: Any) -> "Unusual":
        made = super().__new__(cls)
        made.made_by_new = True
        return made


class Counting(Value):
    """Sees which attributes are read and set."""

    def __getattr__(self, name: str) -> Any:
        return f"no {name}"

    def __setattr__(self, name: str, x: Any) -> None:
        object.__setattr__(self, name, x)


SUBCLASSES = (Dicted, Slotted, Both, Loud, Length, Unusual, Counting)


class BadFloat:
    def __float__(self) -> float:
        raise RuntimeError("no float here")


class BadReal(float):
    def __float__(self) -> float:
        raise RuntimeError("no float here")


class NoFloat(int):
    def __float__(self) -> Any:
        return "3.0"


def scope() -> dict[str, Any]:
    """What the lines of code may name, made anew for each."""
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    made = {"v": a, "w": b, "y": a * b + a, "c": Value(1.5, kind="constant"), "s": autograd.sum([a, b, 1.0])}
    public = {name: getattr(autograd, name) for name in PUBLIC if not hasattr(builtins, name)}
    named = {"operator": operator, "Decimal": Decimal, "Real": Real, "abc": abc}
    return made | public | named | globals()


@part
def attributes() -> Lines:
    yield from each(
        """
        v.foo
        v.foo = 1
        Value.foo = 1; del Value.foo
        Value.foo
        del v.data
        del v.grad
        del v.label
        del v.kind
        del v.foo
        del v.op
        del y.parents
        y.op = None
        y.parents = ()
        y.local_derivatives = ()
        v.backward = None
        v.__dict__
        vars(v)
        Value.__slots__
        Value.__weakref__
        v.__weakref__
        v.__slots__
        v.__class__
        v.__class__ = Slotted
        v.__class__ = float
        v.__class__ = Loud; v + 1
        x = Loud(1.0); x.__class__ = Value; x + 1
        x = Dicted(1.0); x.__class__ = Both; x.twice()
        x = Dicted(1.0); x.__class__ = Slotted
        v.__doc__ = "words"
        v.__module__
        v.__init__(5.0); v
        y.__init__(5.0, "again"); (y, y.op, y.parents, y.kind)
        s.__init__(5.0, "again"); (s, s.op, s.parents, s.kind)
        x = Dicted(1.0); x.foo = 1; x.__dict__
        x = Dicted(1.0); x.__dict__ = {"bar": 2}; (x.bar, x.data)
        x = Dicted(1.0); vars(x)
        x = Dicted(1.0); del x.note; x.__dict__
        x = Slotted(1.0); x.foo = 1
        x = Slotted(1.0); (x.extra, x._Slotted__hidden)
        x = Slotted(1.0); del x.extra; x.extra
        x = Counting(1.0); (x.anything, x.data, x.foo)
        object.__setattr__(v, "foo", 1)
        object.__setattr__(v, "data", 7); v.data
        object.__getattribute__(v, "data")
        isinstance(Value.data, property)
        Value.data.fset(v, 7); v.data
        Value.data.fget(3)
        setattr(v, "data", "seven")
        v.grad = 7; (v, v._grad)
        v._grad = None; v
        y.backward(); y._grad = None; (y, v)
        v.data = -113.0; (v, v.data, v * 2)
        v.grad = -113.0; (v, v.grad, v._grad)
        x = Value(-113.0); (x * x).backward(-113.0); (x.grad, x + 0)
        hash(v) == hash(v) == object.__hash__(v)
        (v == v, v != v, v == w, v == 2.0, v == None, [v].index(v), v in [w], {v: 1}[v])
        (v < w, v <= 2, v > 1.5, 3 < v, v >= float("nan"), v < np.float64(3), True < v, Fraction(1, 3) < v)
        v < "a"
        v < None
        "a" < v
        v < 1j
        v < Decimal(1)
        v < np.array([1.0, 3.0])
        sorted([v, w, y], key=float)
        sorted([y, v, w])
        max(v, w, y)
        bool(v)
        not v
        if v: pass
        v and w
        float(v)
        int(v)
        complex(v)
        operator.index(v)
        round(v)
        round(v, 2)
        math.floor(v)
        math.ceil(v)
        math.trunc(v)
        math.exp(v)
        math.isnan(v)
        [1, 2][v]
        range(v)
        len(v)
        iter(v)
        v[0]
        v()
        1 in v
        with v: pass
        v.imag
        v.real
        v.conjugate()
        v.as_integer_ratio()
        f"{v}"
        f"{v:.3f} {v:>10.2e} {v!r} {v!s}"
        f"{v:d}"
        "%s" % v
        "%d" % v
        "%f" % v
        str(y)
        repr(Value(1e300, "huge")), repr(Value(-0.0)), repr(Value(float("nan"))), repr(Value(1/3, kind="parameter"))
        y.backward(); (repr(v), repr(y), repr(c))
        x = Value(1.0, "a" * 50); repr(x)
        x = Value(1, label="\\ud800"); repr(x)
        x = Value(1, label=str(10**100)); x
        isinstance(v, Real)
        issubclass(Value, (float, Real, node.Node, object))
        Real.register(Value); isinstance(v, Real)
        v + Value(1.0) if isinstance(v, Real) else None
        Value.mro()
        Value.__base__.__name__, Value.__bases__[0].__module__
        type(Value)
        Value.__subclasses__()[:1]
        Value.__name__ = "Other"; Value(1.0); Value.__name__ = "Value"
        Value.__init_subclass__()
        class New(Registering, note=1): pass; Registering.kinds
        class New(Value, note=1): pass
        class New(Value): __slots__ = ("data",); New(1.0)
        class New(Value): __slots__ = ("__dict__",); x = New(1.0); x.foo = 3; (x.foo, x * 2)
        class New(Value, float): pass
        class New(Value, int): pass
        class New(Value, Dicted): pass
        class New(Dicted, Value): pass; New(1.0)
        class New(Dicted, Slotted): pass; New(1.0)
        class New(Loud, Slotted): pass; New(1.0) + 1
        class New(Value): __hash__ = None; New(1.0) + 1
        class New(Value): __eq__ = lambda self, x: self.data == x; New(1.0) == 1
        type("New", (Value,), {"x": 1})(2.0).x
        type("New", (Value,), {"__init__": lambda self: None})
        type("New", (Value,), {"data": 5})(2.0)
        np.isscalar(v), np.ndim(v), np.shape(v)
        Measured.register(Value); isinstance(v, Measured)
        callable(v), callable(Value)
        Value.exp is Value.exp, v.exp.__self__ is v, v.exp.__func__ is Value.exp
        (Value.__add__(v, 1), v.__add__(1), v.__radd__(1), Value.__neg__(v), v.__abs__(), v.__pos__() is v)
        (v.__pow__(2), v.__pow__(2, None), v.__pow__(2, 3))
        (v.__rsub__(1), v.__rmul__(1), v.__rtruediv__(1), v.__rpow__(2), v.__sub__(1), v.__mul__(1), v.__truediv__(4))
        v.__mul__("3")
        v.__pow__(2, 3)
        v.__pow__(2, None)
        v.__rpow__(2, None)
        v.__rpow__(2, 3)
        pow(v, 2)
        pow(v, 2, 3)
        pow(2, v, 3)
        pow(2, 3, v)
        pow(v, w, y)
        pow(2, v, v)
        pow(v, 2, None)
        pow(2, v, None)
        pow(Loud(2.0), 2, 3)
        divmod(v, 2)
        v @ w
        v // 2
        v % 2
        v & w
        v << 1
        ~v
        +v is v
        -v
        abs(w)
        v.apply_op(OPS["add"], [v, 1])
        Value.apply_op(OPS["sum"], (v, w, 1))
        sum([v, w, 1])
        math.fsum([v, w])
        math.prod([v, w, 2])
        reduce(operator.mul, [v, w, 2, Fraction(1, 2)])
        x = v; x += 1; x -= w; x *= 2; x /= 4; x **= 2; (x, v)
        operator.iadd(v, 1)
        operator.concat(v, w)
        v.detach()
        y.detach()
        v._prev, y._prev == {v, y.parents[0]}
        v._op, y._op, s._op
        [d() for d in y.local_derivatives], [d() for d in s.local_derivatives], v.local_derivatives
        y.parents[0].parents == (v, w), s.parents[:2] == (v, w), v.parents
        v._kind, v._reached, v._float, v._cotangent, v._label, v._rule
        gc.is_tracked(v), gc.is_tracked(y)
        y in gc.get_referrers(v), any(r is v for r in gc.get_referents(y))
        v.__sizeof__() > 0
        v.__reduce__()
        v.__reduce_ex__(2)
        y.__dir__() == dir(y) or sorted(y.__dir__()) == dir(y)
        Value.__match_args__
        Value.__annotations__
        sorted(set(vars(Value)) & {"__hash__", "__weakref__", "__dict__", "__slots__", "__eq__", "__new__"})
        """,
        scope,
    )


OPERANDS = (
    "2",
    "True",
    "-0.0",
    "np.float64(3)",
    "np.int64(3)",
    "np.float32(0.1)",
    "np.bool_(1)",
    "np.array(3.0)",
    "np.array([1.0, 2.0])",
    "np.array([])",
    "np.array([v, w])",
    "np.array(v, dtype=object)",
    "np.array(['a'])",
    "np.array([1j])",
    "np.datetime64('2020')",
    "np.timedelta64(1, 's')",
    "Fraction(1, 3)",
    "10**400",
    "Fraction(10**400)",
    "Decimal('0.1')",
    "1j",
    "'3'",
    "b'3'",
    "None",
    "[1.0]",
    "(v, w)",
    "{}",
    "object",
    "Ellipsis",
    "NotImplemented",
    "Value",
    "OPS",
    "BadFloat()",
    "BadReal(2)",
    "NoFloat(2)",
    "w",
    "y",
    "c",
    "v",
    "Loud(2.0)",
    "Dicted(2.0)",
    "Slotted(2.0)",
    "(lambda x: x)",
)
CALLED = ("Value", "exp", "relu", "maximum", "atan2", "leaky_relu", "autograd.sum", "dot", "clamp")


@part
def operations() -> Lines:
    """Every operator and some rows, with every sort of operand on either side."""
    for x, sign in itertools.product(OPERANDS, ["+", "-", "*", "/", "**", "<", ">=", "==", "//", "@"]):
        yield from each(f"v {sign} {x}\n({x}) {sign} v", scope)
    for x, name in itertools.product(OPERANDS, CALLED):
        ahead = "v, " if name in ("maximum", "atan2", "clamp") else ""
        yield from each(f"{name}({ahead}{x})\n{name}([{x}, v, 1.0]{', [v, w, w]' if name == 'dot' else ''})", scope)
    for cls, other in itertools.product(SUBCLASSES, ("v", "2", "np.float64(2)", "Dicted(2.0)", "Loud(1.0)")):
        for sign in ["+", "-", "*", "/", "**", "<"]:
            yield from each(f"{cls.__name__}(3.0) {sign} {other}\n{other} {sign} {cls.__name__}(3.0)", scope)
        yield from each(f"-{cls.__name__}(3.0)\n{cls.__name__}(3.0).exp()\nabs({cls.__name__}(-3.0))", scope)


# Copies, pickles, weak references


def graph() -> dict[str, Any]:
    """Nodes of every sort, differentiated."""
    a, b, p = Value(0.5, "a"), Value(-113.0, "b"), Value(2.0, "p", "parameter")
    nodes = {"a": a, "b": b, "p": p, "c": a * b + 3, "d": autograd.affine([a, b], [p, 2.0], a), "e": autograd.sum([a])}
    nodes |= {"f": Value.apply_op(OPS["clamp"], [a, -1.0, p]), "g": autograd.dot([a, a], [a, b])}
    nodes["end"] = end = autograd.sum(list(nodes.values())) ** 2 / p
    end.backward()
    return nodes | {"x": Dicted(1.0, ["a", "list"]), "y": Slotted(2.0, a), "z": Both(3.0, tone="light"), "l": Loud(4.0)}


@part
def copies_and_pickles() -> Lines:
    made: dict[str, Any] = {protocol: partial_pickle(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)}
    for protocol, (text, back) in made.items():
        yield f"protocol {protocol}: {text}"
        yield from described(back)
    yield from described(copy.deepcopy(graph()))
    for name, x in graph().items():
        twin = copy.copy(x)
        yield f"copy of {name}: {told(twin)}, {twin is x}, {twin.parents == x.parents}, {getattr(twin, '__dict__', '')}"
        yield f"reduced: {told([r for r in x.__reduce_ex__(4)[1] if not isinstance(r, tuple)])}"
    yield from each(
        """
        v.data = 5.0; pickle.loads(pickle.dumps(y)).backward()
        v.data = 5.0; copy.deepcopy(y).backward()
        pickle.dumps(custom(lambda x: x, lambda out, x: 1.0)(v))
        copy.deepcopy(custom(lambda x: x, lambda out, x: 1.0)(v))
        pickle.dumps(Unusual(1.0))
        pickle.loads(pickle.dumps(Unusual(1.0))).__dict__
        pickle.dumps(type("Local", (Value,), {})(1.0))
        copy.deepcopy(v, {id(v): w}) is w
        v.__deepcopy__({})
        """,
        scope,
    )


def partial_pickle(protocol: int) -> tuple[str, Any]:
    text = pickle.dumps(graph(), protocol)
    return text.hex(), pickle.loads(text)


def described(nodes: dict[str, Any]) -> Lines:
    for name, x in nodes.items():
        own = {**getattr(x, "__dict__", {}), "extra": getattr(x, "extra", None)}
        yield f"{name}: {told(x)}, {[p.label for p in x.parents]}, {told(list(own.items()))}, {x._stamp}"


@part
def weak_references() -> Lines:
    for make in (
        lambda: Value(1.0),
        lambda: Value(1.0) * 2,
        lambda: Dicted(1.0),
        lambda: Slotted(1.0),
        lambda: Loud(1.0),
    ):
        x, seen = make(), list[Any]()
        ref, mapping, members = weakref.ref(x, seen.append), weakref.WeakKeyDictionary({x: 1}), weakref.WeakSet([x])
        values = weakref.WeakValueDictionary({"x": x})
        weakref.finalize(x, seen.append, "finalized")
        user = x + 1.0 if type(x) is not Loud else autograd.exp(x)
        yield f"{told(x)}: {ref() is x}, {mapping[x]}, {x in members}, {weakref.proxy(x).data}"
        del x
        yield f"used: {ref() is not None}, {len(mapping)}, {len(members)}, {len(values)}, {seen}"
        del user
        left = (ref(), *mapping, *members, *values)
        yield f"unused: {left}, {[type(thing).__name__ for thing in seen]}"
    leaf = Value(0.5)
    chain = [leaf]
    for _ in range(3000):
        chain.append(chain[-1] * 1.0)
    refs, end = [weakref.ref(v) for v in chain], chain[-1]
    del chain
    yield f"held by the end: {sum(r() is not None for r in refs)}"
    middle = refs[1500]()
    del end
    yield f"held by the middle: {sum(r() is not None for r in refs)}"
    del middle
    yield f"held by nothing: {sum(r() is not None for r in refs)}"
    resurrected: list[Any] = []
    doomed = type("Rising", (Value,), {"__del__": lambda self: resurrected.append(self)})(3.0)
    user = doomed * 2
    del doomed, user
    yield f"risen: {told(resurrected)}, {told(resurrected[0] * 3)}"


# Errors

ROWS = {
    "gives text": lambda: custom(lambda x: "3", lambda out, x: 1.0),
    "gives None": lambda: custom(lambda x: None, lambda out, x: 1.0),
    "gives NumPy's": lambda: custom(lambda x: np.float64(x), lambda out, x: np.float32(1.0)),
    "gives a Fraction": lambda: custom(lambda x: Fraction(1, 3), lambda out, x: Fraction(1, 3)),
    "gives a bool": lambda: custom(lambda x: x > 1, lambda out, x: True),
    "gives an int": lambda: custom(lambda x: 10**400, lambda out, x: 2),
    "gives a Value": lambda: custom(lambda x: Value(x), lambda out, x: 1.0),
    "gives an array": lambda: custom(lambda x: np.array([x]), lambda out, x: 1.0),
    "gives a subclass": lambda: custom(lambda x: BadReal(2.0), lambda out, x: 1.0),
    "raises": lambda: custom(lambda x: [][1], lambda out, x: 1.0),
    "raises KeyError": lambda: custom(lambda x: {}[1], lambda out, x: 1.0),
    "divides": lambda: custom(lambda x: 1 / (x - x), lambda out, x: 1 / (x - x)),
    "overflows": lambda: custom(lambda x: math.exp(1000 * x), lambda out, x: math.exp(1000)),
    "partial gives text": lambda: custom(lambda x: x, lambda out, x: "3"),
    "partial gives None": lambda: custom(lambda x: x, lambda out, x: None),
    "partial gives a Value": lambda: custom(lambda x: x, lambda out, x: Value(x)),
    "partial gives an array": lambda: custom(lambda x: x, lambda out, x: np.array([x])),
    "partial gives a 0-d array": lambda: custom(lambda x: x, lambda out, x: np.array(x)),
    "partial raises": lambda: custom(lambda x: x, lambda out, x: [][1]),
    "partial raises KeyError": lambda: custom(lambda x: x, lambda out, x: {}[x]),
    "partial raises StopIteration": lambda: custom(lambda x: x, lambda out, x: next(iter(()))),
    "partial raises RecursionError": lambda: custom(lambda x: x, lambda out, x: recurse(x)),
    "partial raises MemoryError": lambda: custom(lambda x: x, lambda out, x: raise_(MemoryError("full"))),
    "partial is interrupted": lambda: custom(lambda x: x, lambda out, x: raise_(KeyboardInterrupt())),
    "partial exits": lambda: custom(lambda x: x, lambda out, x: sys.exit(3)),
    "partial stops": lambda: custom(lambda x: x, lambda out, x: raise_(GeneratorExit())),
    "pullback gives too few": lambda: Op("few", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: ()),
    "pullback gives too many": lambda: Op("many", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: (g, g)),
    "pullback gives a number": lambda: Op("number", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: g),
    "pullback gives None": lambda: Op("none", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: None),
    "pullback gives text": lambda: Op("text", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: "a"),
    "pullback yields": lambda: Op("yields", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: iter([g])),
    "pullback gives a dict": lambda: Op("dict", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: {2.0: 1}),
    "pullback takes too few": lambda: Op("takes", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out: (g,)),
    "pullback sets an operand": lambda: Op(
        "sets", lambda x: x, [lambda out, x: 1.0], pullback=lambda g, out, x: (g, 1)[:1]
    ),
}
ROWS_OF_TWO = {
    "second fails": lambda: custom(lambda x, y: x, lambda out, x, y: 1.0, lambda out, x, y: [][1]),
    "first gives None": lambda: custom(lambda x, y: x, lambda out, x, y: None, lambda out, x, y: 1.0),
    "second gives None": lambda: custom(lambda x, y: x, lambda out, x, y: 1.0, lambda out, x, y: None),
    "second divides": lambda: custom(lambda x, y: x, lambda out, x, y: 1.0, lambda out, x, y: x / (y - y)),
    "pullback gives one": lambda: Op("one", max, [lambda out, x, y: 1.0] * 2, pullback=lambda g, out, x, y: (g,)),
    "pullback gives three": lambda: Op(
        "three", max, [lambda out, x, y: 1.0] * 2, pullback=lambda g, out, x, y: (g,) * 3
    ),
    "pullback gives a Value": lambda: Op(
        "value", max, [lambda out, x, y: 1.0] * 2, pullback=lambda g, out, x, y: (g, Value(g))
    ),
}
ROWS_OF_ANY = {
    "gradient gives too few": lambda: variadic(lambda out, *xs: (1.0,) * (len(xs) - 1)),
    "gradient gives too many": lambda: variadic(lambda out, *xs: (1.0,) * (len(xs) + 1)),
    "gradient gives None": lambda: variadic(lambda out, *xs: None),
    "gradient gives text": lambda: variadic(lambda out, *xs: ["a"] * len(xs)),
    "gradient gives Nones": lambda: variadic(lambda out, *xs: [None] * len(xs)),
    "gradient raises": lambda: variadic(lambda out, *xs: {}[1]),
    "gradient divides": lambda: variadic(lambda out, *xs: [1 / (x - x) for x in xs]),
    "pullback gives too few": lambda: variadic(lambda out, *xs: xs, pullback=lambda g, out, *xs: xs[1:]),
    "pullback gives too many": lambda: variadic(lambda out, *xs: xs, pullback=lambda g, out, *xs: (*xs, 1.0)),
    "pullback gives None": lambda: variadic(lambda out, *xs: xs, pullback=lambda g, out, *xs: None),
    "pullback yields": lambda: variadic(lambda out, *xs: xs, pullback=lambda g, out, *xs: (g * x for x in xs)),
    "pullback is late to raise": lambda: variadic(
        lambda out, *xs: xs, pullback=lambda g, out, *xs: (1 / (x - 2) for x in xs)
    ),
}


def variadic(gradient: Any, **fields: Any) -> Op:
    return Op("many", lambda *xs: math.fsum(xs), gather=lambda xs: tuple(xs), gradient=gradient, **fields)


def recurse(x: Any) -> Any:
    return recurse(x)


def raise_(error: BaseException) -> Any:
    raise error


@part
def failing_rows() -> Lines:
    """Rows that fail, and what the nodes of the graph hold after that."""
    kinds: list[tuple[dict[str, Any], Callable[[Op, Any, Any], Any]]] = [
        (ROWS, lambda op, x, y: op(x)),
        (ROWS_OF_TWO, lambda op, x, y: op(x, y)),
        (ROWS_OF_ANY, lambda op, x, y: op([x, y, x, 4.0])),
    ]
    for rows, apply in kinds:
        for name, make in rows.items():
            x, y, op = Value(2.0, label="x"), Value(5.0, label="y"), make()
            (x * 3).backward()
            yield f"{name}, called: {outcome(lambda op=op, x=x, y=y, apply=apply: apply(op, x, y))}"
            try:
                a = x * y
                b = apply(op, x, a)
                c = autograd.sum([b * a, x, b])
            except BaseException:
                continue
            yield f"{name}, backward: {outcome(c.backward)}"
            yield told([x, y, a, b, c])
            yield f"{name}, gradients: {outcome(lambda c=c, x=x, y=y: autograd.gradients(c, [x, y]))}"
            yield f"{name}, again: {outcome(lambda c=c: c.backward(2.0))}, {told([x, y])}"
            yield f"{name}, slopes: {outcome(lambda b=b: [d() for d in b.local_derivatives])}"
            autograd.exp(x * y).backward()
            yield f"after it: {told([x, y, a, b, c])}"


@part
def refusals() -> Lines:
    """Calls that are wrong in one way or another."""
    yield from each(
        """
        Value()
        Value(1, 2, 3, 4)
        Value(1, "a", "b")
        Value(1, kind="result")
        Value(1, kind=None)
        Value(1, label=None)
        Value(1, label=3)
        Value(data=1, label="a", kind="constant")
        Value(1, name="a")
        Value("1")
        Value(None)
        Value(v)
        Value(1j)
        Value([1])
        Value(10**400)
        Value(Decimal(1))
        Value(np.array([1.0]))
        Value(BadFloat())
        Value(BadReal())
        Value(NoFloat(1))
        v.data = "a"
        v.data = None
        v.data = w
        v.data = 10**400
        y.data = 1.0
        s.data = 1.0
        c.data = 3
        v.grad = "a"
        v.grad = None
        v.grad = w
        y.grad = 3; y
        v.label = 3
        v.label = None
        v.label = type("Text", (str,), {})("text"); (v.label, type(v.label).__name__)
        v.kind = "result"
        v.kind = 3
        v.kind = "variable"; v
        v.kind = "parameter"; (v, v.kind)
        v.kind = "constant"; (v, v.kind)
        v.kind = type("Text", (str,), {})("constant"); (v, type(v.kind).__name__)
        y.kind = "variable"
        y.kind = "constant"
        y.backward(); (y, v, w)
        y.backward(2.0); (y, v, w)
        y.backward(gradient=2); (y, v, w)
        y.backward(None)
        y.backward("a")
        y.backward(v)
        y.backward(1, 2)
        y.backward(g=1)
        y.backward(10**400)
        y.backward(np.array([1.0, 2.0]))
        y.backward(np.float32(2)); v
        y.backward(float("nan")); (y, v, w)
        y.backward(float("inf")); (y, v, w)
        y.backward(-0.0); (y, v, w)
        c.backward()
        v.backward(); v
        v.backward(-113); v
        s.backward(); (s, s.parents)
        (v * c).backward(); (v, c)
        v.data = 5; y.backward()
        v.data = 2.0; y.backward(); v
        w.data = 5; y.backward()
        w.data = -3.0; y.backward(); v
        c.data = 7; (v * c).backward(); v
        z = v * c; c.data = 7; z.backward()
        z = sum([v, c]); c.data = 7; autograd.gradients(z, v)
        v.data = 5; y.local_derivatives
        v.data = 5; s.local_derivatives
        v.data = float("nan"); y.backward()
        v.data = -0.0; (v * 2).backward(); v
        v.data = 0.0; z = 1 / v; v.data = -0.0; z.backward()
        v.kind = "constant"; y.backward(); (v, w)
        v.kind = "constant"; w.kind = "constant"; y.backward(); (v, w, y)
        Value.backward(3)
        Value.backward(y); v
        Value.apply_op()
        Value.apply_op(OPS["add"], [v])
        Value.apply_op(OPS["add"], [v, w, y])
        Value.apply_op(OPS["exp"], [v, w])
        Value.apply_op(OPS["exp"], [])
        Value.apply_op(OPS["clamp"], [v, w])
        Value.apply_op(OPS["clamp"], [v, -1, 1, 2])
        Value.apply_op(OPS["clamp"], [v, -1, 1])
        Value.apply_op(OPS["sum"], [])
        Value.apply_op(OPS["sum"], [v])
        Value.apply_op(OPS["dot"], [v, w, y])
        Value.apply_op(OPS["dot"], [])
        Value.apply_op(OPS["dot"], [v, w])
        Value.apply_op(OPS["affine"], [])
        Value.apply_op(OPS["affine"], [v])
        Value.apply_op(OPS["affine"], [v, w])
        Value.apply_op(OPS["affine"], [v, w, 1, 2])
        z = Value.apply_op(OPS["affine"], [v, w]); z.backward(); (v, w)
        z = Value.apply_op(OPS["affine"], [v, w, 1, 2]); z.backward(); (v, w)
        z = Value.apply_op(OPS["dot"], [v, w, y]); z.backward(); (v, w)
        z = Value.apply_op(OPS["add"], [v, w, y]); z.backward(); (v, w)
        Value.apply_op(OPS["logsumexp"], [])
        Value.apply_op(OPS["add"], "ab")
        Value.apply_op(OPS["add"], [v, None])
        Value.apply_op(OPS["add"], 3)
        Value.apply_op("add", [v, w])
        Value.apply_op(None, [v, w])
        Value.apply_op(OPS["add"], iter([v, w]))
        Value.apply_op(OPS["add"], (x for x in [v, w]))
        Value.apply_op(OPS["add"], {v: 1, 2: 3})
        Value.apply_op(OPS["add"], np.array([v, 2.0], dtype=object))
        Value.apply_op(OPS["add"], np.array([1.0, 2.0]))
        exp()
        exp(v, 2)
        exp(x=v)
        exp(y=v)
        v.exp(1)
        v.exp(x=1)
        v.leaky_relu(0.5)
        v.leaky_relu(slope=0.5)
        v.leaky_relu(0.5, 1)
        v.leaky_relu(negative_slope=0.5)
        v.clamp(0, 1)
        v.clamp(max=1)
        v.clamp(0, 1, 2)
        v.fabs()
        v.arctan()
        v.tanhh()
        v.sum()
        add(v)
        add(v, w, y)
        add("a", v)
        affine([v], [w, y], 1)
        affine([v], [w])
        affine([v], [w], "b")
        affine(v, w, 1)
        affine([v], [w], 1)
        affine(np.array([v]), [2.0], c)
        dot([v], [])
        dot([], [])
        dot("a", [v])
        dot(v, w)
        sum(3, v)
        autograd.sum(v)
        autograd.sum([v, "a"])
        autograd.sum([v, None])
        autograd.sum({v: 1})
        autograd.sum(x for x in [v, w])
        mean([])
        mean([v, "a"])
        softmax([v, w])
        softmax([])
        softmax(v)
        register(3)
        register(OPS["add"])
        register(Op("data", lambda x: x, (lambda out, x: 1.0,)))
        register(Op("backward", lambda x: x, (lambda out, x: 1.0,)))
        register(Op("_float", lambda x: x, (lambda out, x: 1.0,)))
        register(Op("__add__", lambda x: x, (lambda out, x: 1.0,)))
        op = register(Op("cube", lambda x: x**3, (lambda out, x: 3 * x * x,))); z = v.cube(); z.backward(); (z, v)
        op = OPS.pop("cube"); delattr(Value, "cube"); v.cube()
        topological_order(y) == [v, w, y.parents[0], y]
        topological_order(3)
        topological_order([v, w])
        topological_order()
        topological_order(y, None)
        leaves(y, s) == [v, w, s.parents[2]]
        leaves("a")
        gradients(y, v)
        gradients(y, [v, y, w])
        gradients(3, v)
        gradients(y, 3)
        gradients(y, Value(1.0))
        gradients(y, v, create_graph=True)
        gradients(gradients(y * y, v, create_graph=True), [v, w])
        derivative(lambda x: x**x)(2.0)
        derivative(lambda x: x.exp(), 3)(2.0)
        derivative(lambda x: "a")(2.0)
        derivative(lambda x: None)(2.0)
        derivative(exp)("a")
        grad(lambda x, y: x * y)(v, w)
        hessian(lambda x: x**3)(2.0)
        check_gradients(lambda x: x * x, 2.0)
        check_gradients(lambda x: floor(x) * x, 2.5)
        hook = y.register_hook(lambda g: 2 * g); y.backward(); (y, v, w)
        hook = v.register_hook(lambda g: None); y.backward(); (y, v, w)
        hook = y.register_hook(lambda g: "a"); y.backward()
        hook = y.register_hook(lambda g: v); y.backward()
        hook = y.register_hook(lambda g: [][1]); y.backward()
        y.register_hook(3)
        c.register_hook(print)
        with no_grad(): z = v * w
        with no_grad(): z = v * w + autograd.sum([v, w]); z, z.op, z.parents
        with no_grad(): z = Dicted(1.0) * w; z, z.op, z.parents
        with detect_anomaly(): z = v / 0
        with detect_anomaly(): z = log(v - v)
        with detect_anomaly(): z = autograd.sum([v / 1e-320, v])
        with detect_anomaly(): z = sqrt(v - v).backward()
        explain(y, v)
        str(explain(y, v))
        formula(y)
        derivative_formula(y, v)
        save_svg(y, 3)
        to_svg(3)
        """,
        scope,
    )


@part
def private_functions() -> Lines:
    """Of the engine, given nonsense: they give what the pure ones give, or refuse it, each core in its own words."""
    for line in each(
        """
        node.walk([3])
        node.walk(3)
        node.walk(None)
        node.sort(3)
        node.unary(3, v)
        node.unary(node.NEG, 3)
        node.unary(node.NEG, None)
        node.constant("a")
        node.constant(v)
        node.constant(2)
        node.operand("a")
        node.operand(np.array([1.0]))
        node.apply_op(3, 3)
        node.apply_op(OPS["add"], 3)
        node.neuron([v], [w], c, None)
        node.neuron([v], [w], c, OPS["tanh"])
        node.neuron([v], [2.0], c, None)
        node.neuron([v], [w], 3, None)
        node.neuron(v, w, c, None)
        node.neuron([v], [w], c, 3)
        node.operands_of(y) == (y.parents[0], v)
        node.operands_of(3)
        node.set_cotangent(3, 3)
        node.pass_back(y, 1.0, 3)
        node.pass_back(y, "a", node.walk([y]))
        node.refuse_stale_graph(3)
        node.ADD.pull(3)
        node.ADD.pull(v)
        node.SUM.pull(y)
        node.TANH.value("a")
        node.NEG.value(None)
        node.AFFINE.evaluate([])
        node.AFFINE.evaluate(3)
        node.DOT.evaluate([v, w])
        node.DOT.evaluate([v, 3])
        node.Rule().bind(3)
        node.Rule().value(3)
        node.Rule().pull(y)
        node.Walk()
        node.Walk().inner
        """,
        scope,
    ):
        yield re.sub(r"->  (Attribute|Type)Error: .*", "->  refused", line)


@part
def half_made() -> Lines:
    """Objects that no __init__ has run on: every use raises an AttributeError, and nothing worse."""
    uses = """
        x
        str(x); f"{x}"
        f"{x:.2f}"
        x.data
        x.grad
        x._grad
        x.label
        x.kind
        x.op
        x.parents
        x.local_derivatives
        x.backward()
        x.detach()
        x._prev
        x._op
        x.data = 3.0
        x.grad = 3.0
        x.label = "a"; x.label
        x.kind = "constant"
        x + 1
        1 + x
        x + v
        v + x
        x - v
        v - x
        x * v
        v * x
        v / x
        x / v
        x ** v
        v ** x
        -x
        +x is x
        abs(x)
        x < 1
        1 < x
        x < v
        x == x
        hash(x) == hash(x)
        exp(x)
        x.exp()
        sum([x, 1.0])
        autograd.sum([v, x])
        dot([v, x], [x, v])
        affine([x], [v], 1.0)
        affine([v], [v], x)
        clamp(x, -1, 1)
        clamp(v, x, 1)
        topological_order(x)
        gradients(x, x)
        gradients(y, x)
        copy.copy(x)
        copy.deepcopy(x)
        pickle.dumps(x)
        x.register_hook(print)
        weakref.ref(x)() is x
        isinstance(x, Value)
        gc.is_tracked(x)
        x.__init__(1.0) if not isinstance(x, Silent) else None; x
        node.neuron([v], [x], v, None)
        node.neuron([v], [v], x, None)
        x._x
        x._xs
        x._xs = []; x._x
        x._rule = None; x.op
        x._rule = node.ADD; x.parents
        x._rule = node.ADD; x.backward()
        x._rule = node.ADD; x._x = x; x.backward()
        x._rule = node.SUM; x._x = None; x._xs = [v]; x.backward()
        x._float = 1.0; x + 1
        x._float = 1.0; x * v
        """
    makers: dict[str, Callable[[], Any]] = {
        "Value": lambda: Value.__new__(Value),
        "Silent": Silent,
        "Dicted": lambda: Dicted.__new__(Dicted),
        "Slotted": lambda: Slotted.__new__(Slotted),
    }
    for name, make in makers.items():
        for line in each(uses, lambda make=make: scope() | {"x": make()}):
            yield f"{name}: {attribute_error(line)}"


def attribute_error(line: str) -> str:
    """Each core has words of its own for a field that was never set."""
    return re.sub(r"AttributeError: .*", "AttributeError", line)


# Numbers

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 1e-310, 1e-160)
SPECIAL += (1.7976931348623157e308, -1.7976931348623157e308, 1e160, -113.0, 239.0, 1 / 3, 710.0, -745.5, 1e16, -0.3)


@part
def numbers() -> Lines:
    """Data and gradients of random graphs over the whole table, with repeated operands and plain numbers in them."""
    chance = random.Random(5)
    for number in range(2500):
        special = number % 3 == 0
        tape: list[Any] = [Value(some_number(chance, special)) for _ in range(chance.randint(1, 4))]
        leaves, steps = list(tape), list[str]()
        for _ in range(chance.randint(1, 12)):
            op = chance.choice(list(OPS.values()))
            count = operand_count(op, chance)
            # the latest result among them, so that the graph hangs together
            places = [chance.randrange(len(tape)) if chance.random() < 0.8 else None for _ in range(count)]
            if count:
                places[chance.randrange(count)] = len(tape) - 1
            operands = [some_number(chance, special) if place is None else tape[place] for place in places]
            steps.append(f"{op.name}{places}")
            tape.append(Value.apply_op(op, operands))
        tape[-1].backward(some_number(chance, special))
        if number % 5 == 0:
            tape[chance.randrange(len(tape))].backward()
        yield f"{number}: {' '.join(steps)}"
        yield f"    data {' '.join([v.data.hex() for v in tape[len(leaves) :]])}"
        yield f"    grad {' '.join([v._grad.hex() if v._grad is not None else 'None' for v in tape])}"
        if number % 10 == 0:
            slopes = autograd.gradients(tape[-1], tape[-1:], create_graph=True)
            yield f"    gradients {outcome(lambda t=tape: autograd.gradients(t[-1], variables(t[-1])))} {told(slopes)}"
            yield f"    local {outcome(lambda t=tape: [[d() for d in v.local_derivatives] for v in t])}"


def variables(end: Value) -> list[Value]:
    return [leaf for leaf in autograd.leaves(end) if leaf.kind != "constant"]


def operand_count(op: Op, chance: random.Random) -> int:
    if not op.variadic:
        return len(op.operands)
    n = chance.randint(0 if op.name != "logsumexp" else 1, 4)
    return {"dot": 2 * n, "affine": 2 * n + 1}.get(op.name, n)


def some_number(chance: random.Random, special: bool) -> float:
    if special and chance.random() < 0.5:
        return chance.choice(SPECIAL)
    return chance.choice([chance.uniform(-3, 3), chance.gauss(0, 1) * 10.0 ** chance.randint(-8, 8)])


@part
def every_row_at_special_numbers() -> Lines:
    for op in OPS.values():
        count = {"dot": 2, "affine": 3}.get(op.name, 2) if op.variadic else len(op.operands)
        points = itertools.product(SPECIAL, repeat=min(count, 2))
        for point in points:
            xs = [Value(x) for x in [*point, *[0.5] * (count - len(point))]]
            out = Value.apply_op(op, xs)
            out.backward()
            yield f"{op.name}{point}: {out.data.hex()} {' '.join([x.grad.hex() for x in xs])}"
            if count == 2:
                same = Value(point[0])
                twice = Value.apply_op(op, [same, same])
                twice.backward(point[1])
                yield f"{op.name} of one, twice, {point}: {twice.data.hex()} {same.grad.hex()}"
                half = Value.apply_op(op, [same, point[1]])
                half.backward(3.0)
                yield f"{op.name} of one and a number, {point}: {half.data.hex()} {same.grad.hex()}"


@part
def nets() -> Lines:
    import nn

    for activation in ("tanh", "relu", "sigmoid", "leaky_relu", "gelu"):
        random.seed(3)
        net = nn.MLP(3, [5, 4, 1], activation=activation) if takes_activation(nn.MLP) else nn.MLP(3, [5, 4, 1])
        for point in ((1.0, -2.0, 0.5), (1e200, -1e200, 3.0), (math.inf, 0.0, -0.0)):
            xs = [Value(x) for x in point]
            for inputs in (xs, list(point), np.array(point)):
                out = net(inputs)
                (out * out).backward()
                yield f"{activation}{point}: {told(out)} {told(xs)}"
            yield told([p.grad for p in net.parameters()])


def takes_activation(cls: Any) -> bool:
    return "activation" in inspect.signature(cls).parameters


@part
def arrays() -> Lines:
    yield from each(
        """
        v * np.array([1.0, 2.0])
        np.array([1.0, 2.0]) * v
        np.array([1.0, 2.0]) - v
        np.array([1, 2]) ** v
        v / np.array([[1.0], [2.0]])
        np.array([v, w]) + np.array([1.0, 2.0])
        np.array([v, w]) @ np.array([1.0, 2.0])
        np.array([[v, w], [w, v]]) @ np.array([[1.0], [2.0]])
        np.array([v, w]) * v
        v * np.array([v, w])
        np.dot([v, w], [1.0, 2.0])
        np.sum([v, w, y])
        np.mean([v, w])
        np.prod([v, w])
        np.std(np.array([v, w]))
        np.exp(np.array([v, w]))
        np.exp(v)
        np.tanh(v)
        np.sqrt(np.array([v]))
        np.arctan2(np.array([v]), 2.0)
        np.maximum(v, 1.0)
        np.maximum(np.array([v, w]), 1.0)
        np.abs(np.array([v, w]))
        np.sign(np.array([v, w]))
        np.floor(np.array([v, w]))
        np.isnan(v)
        np.isnan(np.array([v]))
        np.float64(2) * v
        np.float64(2) + v
        np.float32(2) / v
        np.int64(2) ** v
        np.bool_(True) * v
        v * np.float64(2)
        v ** np.float64(2)
        np.float64(2) < v
        np.array([1.0, 3.0]) < v
        v < np.array([1.0, 3.0])
        np.array([1.0, 2.0]) == v
        v == np.array([1.0, 2.0])
        np.array(v)
        np.array([v, 1.0]).dtype
        np.asarray(v, dtype=float)
        np.array([v], dtype=float)
        np.float64(v)
        np.full(3, v)
        np.array([v, w]).sum()
        np.array([v, w]).max()
        np.sort(np.array([v, w, y]))
        np.argsort(np.array([v, w, y]))
        np.linalg.norm(np.array([v, w]))
        np.cumsum(np.array([v, w, y]))
        np.outer([v, w], [1, 2])
        np.einsum("i,i", np.array([v, w]), np.array([1.0, 2.0]))
        np.where([True, False], v, w)
        np.add(v, w)
        np.add.reduce(np.array([v, w]))
        np.multiply(2.0, v)
        np.negative(v)
        np.power(v, 2)
        np.square(v)
        np.reciprocal(np.array([v]))
        np.vdot(np.array([v]), np.array([w]))
        np.var([v, w, 1.0])
        np.interp(v, [0, 1], [0, 1])
        np.array([v, w]).astype(float)
        np.array([v, w]).tolist()
        x = np.array([v, w]); x += 1; x
        x = np.array([1.0, 2.0]); x += v
        x = np.array([1.0, 2.0]); x *= v
        x = np.array([v, w]); x.sum().backward(); (v, w)
        x = np.exp(np.array([v, w]) * [2.0, 3.0]).sum(); x.backward(); (v, w)
        v.__array__()
        v.__array_priority__
        np.result_type(v)
        np.ma.array([1.0, 2.0], mask=[0, 1]) * v
        v * np.ma.array([1.0, 2.0], mask=[0, 1])
        np.matrix([[1.0, 2.0]]) * v
        np.nditer(v)
        np.vectorize(lambda x: x * 2)(np.array([v, w]))
        """,
        scope,
    )


# How it holds up


@part
def threads() -> Lines:
    """Graphs of their own, and graphs that share a leaf, built and differentiated at once."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    shared, found = Value(2.0), list[Any]()

    def task(n: int) -> None:
        total, own = 0.0, Value(float(n))
        for _ in range(60):
            y = reduce(lambda y, _: y * own + shared, range(12), own) - shared
            autograd.sum([y, own, shared * own]).backward(0.0)
            own.backward(2.0)
            (shared * 3.0).backward()
            with autograd.no_grad():
                total += (own * shared).data + len((own * shared).parents)
        found.append((n, total, own.grad, pickle.loads(pickle.dumps(y)).data))

    workers = [threading.Thread(target=task, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    sys.setswitchinterval(before)
    yield f"{told(sorted(found))}, shared {told(shared)}"


@part
def interruptions() -> Lines:
    """A pass that is interrupted leaves the gradients of the leaves as they were, however far it has come."""
    for countdown in range(8):
        left = [countdown]

        def counted(x: Any, left: list[int] = left) -> Any:
            left[0] -= 1
            return 2 * x if left[0] >= 0 else raise_(KeyboardInterrupt("now"))

        square = custom(lambda x: x * x, (lambda counted: lambda out, x: counted(x))(counted))
        xs = [Value(float(n), label=f"x{n}") for n in range(1, 4)]
        nodes = [square(x) for x in xs] * 2
        (xs[0] * 3).backward()
        nodes[0].backward() if countdown > 6 else None
        end = autograd.sum([square(n) for n in nodes[1:4]] + xs)
        yield f"{countdown}: {outcome(end.backward)} {told([*xs, *nodes, end])}"
        left[0] = 1000
        yield f"then: {outcome(end.backward)} {told([*xs, *nodes, end])}"


@part
def signals() -> Lines:
    """A pass that Ctrl-C ends, at whatever moment, has changed all gradients of the leaves or none."""
    xs, constants = [Value(float(n % 7)) for n in range(300)], [Value(1.0, kind="constant") for _ in range(300)]
    y = autograd.sum([x * c for x, c in zip(xs, constants, strict=True)] + xs) * xs[1]
    y.backward()
    whole = [x._grad for x in xs]
    before = signal.signal(signal.SIGALRM, lambda *_: raise_(KeyboardInterrupt()))
    after, completed, half_done = 1e-5, 0, 0
    while completed < 200:  # by then signals come later than passes end, however long they take here
        for x in xs:
            x._grad = None
        try:
            signal.setitimer(signal.ITIMER_REAL, after)
            y.backward()
            signal.setitimer(signal.ITIMER_REAL, 0)
            completed += 1
        except KeyboardInterrupt:
            half_done += [x._grad for x in xs] not in (whole, [None] * len(xs)) or any(c.grad for c in constants)
        after *= 1.003
    signal.signal(signal.SIGALRM, before)
    yield f"half done: {half_done}"


@part
def deep_chains() -> Lines:
    length = 100_000
    x = end = Value(0.5, label="x")
    for _ in range(length):
        end = end * x + x
    end.backward()
    yield f"built: {told(end)} {told(x)}"
    twin = copy.deepcopy(end)
    twin.backward()
    yield f"copied: {told(twin)} {told(autograd.leaves(twin))}, {len(autograd.topological_order(twin))}"
    text = pickle.dumps(end)
    yield f"pickled: {len(text)} bytes, {told(pickle.loads(text))}"
    n_ary = Value(0.5)
    for _ in range(length // 4):
        n_ary = autograd.sum([n_ary, x])
    n_ary.backward()
    yield f"n-ary: {told(n_ary)} {told(x)}"
    ref = weakref.ref(twin.parents[0].parents[0])
    del twin, end, n_ary
    yield f"freed: {ref() is None}, {sys.getrefcount(x)}"
    yield f"shallow still: {len(traceback.extract_stack()) < 50}, {sys.getrecursionlimit()}"


@part
def memory() -> Lines:
    """What graphs take goes back when they go."""

    x = Value(0.5)
    failing = custom(lambda x: x, lambda out, x: [][1])
    refused: list[Callable[[], Any]] = [
        lambda: x + "a",
        lambda: x**None,
        lambda: x.tanh().backward("a"),
        lambda: failing(x * x).backward(),
        lambda: Value.__new__(Value) + x,
        lambda: copy.deepcopy(Value.__new__(Value)),
        lambda: Value("a"),
        lambda: autograd.sum([x, None]),
        lambda: pow(x, 2, 3),
    ]

    def work() -> None:
        for n in range(300):
            y = x * 2 + autograd.sum([x, x, float(n)]) - x**2 / 3
            autograd.affine([x, y], [y, 2.0], x).tanh().backward()
            made = [Dicted(1.0) * x, Slotted(2.0), Both(3.0), -x, +x, abs(x), 1 - x, x < 3, copy.copy(y), y.parents]
            made += [copy.deepcopy(y), pickle.loads(pickle.dumps(y)), y.local_derivatives, autograd.gradients(y, x)]
            for call in refused:
                try:
                    call()
                except Exception as error:
                    made.append(type(error))
            assert len(made) == 14 + len(refused)

    work()
    gc.collect()
    counted, objects = sys.getrefcount(x), len(gc.get_objects())
    gc.disable()
    tracemalloc.start()
    work()
    allocated = tracemalloc.get_traced_memory()[0]
    work()
    allocated = tracemalloc.get_traced_memory()[0] - allocated
    tracemalloc.stop()
    gc.enable()
    yield f"a leaf's references: {sys.getrefcount(x) - counted} more, {weakref.getweakrefcount(x)} weak"
    yield f"objects: {'as before' if abs(len(gc.get_objects()) - objects) < 50 else len(gc.get_objects()) - objects}"
    yield f"bytes: {'as before' if allocated < 20_000 else allocated}"
    yield f"nothing for the collector: {gc.collect() < 50}"
    parts = [Value(1.0), Value(1.0) * 2, Dicted(1.0), Slotted(1.0), autograd.sum([x, 1.0, 2.0])]
    yield f"tracked: {[gc.is_tracked(v) for v in parts]}"
    for v in (x * parts[0], -x):
        yield f"refers to: {sorted([type(r).__name__ for r in gc.get_referents(v) if isinstance(r, Value)])}"
    held = [v for v in parts if gc.get_referrers(v) != [parts]]
    yield f"referred to by a list alone: {len(held)}"
    cycle = Dicted(1.0)
    cycle.note = [cycle * 2]
    ref = weakref.ref(cycle)
    del cycle
    yield f"in a cycle: {ref() is not None}, collected: {gc.collect() and ref() is None}"
    slotted = Slotted(1.0)
    slotted.extra = slotted + 1
    ref = weakref.ref(slotted)
    del slotted
    yield f"in a cycle of slots: {ref() is not None}, collected: {gc.collect() and ref() is None}"


@part
def tracebacks() -> Lines:
    """The lines of the user's own code in the traceback of an error."""

    def faulty_partial(out: Any, x: Any) -> Any:
        return inner(x)

    def inner(x: Any) -> Any:
        raise TypeError("a fault of one's own")

    def faulty_forward(x: float) -> float:
        return [1.0][int(x)]

    x = Value(2.0)
    faulty = custom(lambda x: x, faulty_partial)
    calls = {
        "partial": lambda: faulty(x * x).backward(),
        "partial in a subclass": lambda: faulty(Dicted(3.0)).backward(),
        "forward": lambda: custom(faulty_forward, lambda out, x: 1.0)(x),
        "operator": lambda: x + "a",
        "reflected": lambda: None * x,
        "constructor": lambda: Value("a"),
        "hook": lambda: with_hook(x),
        "power": lambda: x ** [],
    }
    own = Path(__file__).name
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            for failure in (error, error.__cause__, error.__context__):
                if failure is None:
                    continue
                frames = traceback.extract_tb(failure.__traceback__)
                lines = [f"{f.name}: {f.line}" for f in frames if Path(f.filename).name == own]
                yield f"{name}: {type(failure).__name__} {lines}"
                yield f"    innermost {frames[-1].name}, of this file {Path(frames[-1].filename).name == own}"


def with_hook(x: Value) -> None:
    y = x * 2
    y.register_hook(lambda g: g.missing)
    y.backward()


# The tests


pytestmark = pytest.mark.skipif(not autograd.COMPILED, reason=f"needs the compiled core: {autograd.compiled.REASON}")


def described_by(parts: list[str], pure: bool) -> subprocess.Popen[str]:
    root = str(Path(autograd.__file__).parents[1])
    mode = {"AUTOGRAD_PURE": "1" if pure else "", "AUTOGRAD_COMPILED": "" if pure else "require"}
    env = os.environ | mode | {"PYTHONPATH": root, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-X", "faulthandler", __file__, *parts]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def printed_by(process: subprocess.Popen[str]) -> dict[str, list[str]]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-5000:]
    printed: dict[str, list[str]] = json.loads(out)
    return printed


if not hasattr(signal, "setitimer"):  # on Windows
    del PARTS["signals"]


@pytest.mark.parametrize("name", PARTS)
def test_both_cores_do_the_same(name: str) -> None:
    processes = [described_by([name], pure) for pure in (True, False)]  # at once
    pure, compiled = map(printed_by, processes)
    assert pure.pop("core") == ["pure"]
    assert compiled.pop("core") == ["compiled"]
    assert pure[name]
    found = list(difflib.unified_diff(pure[name], compiled[name], "pure", "compiled", n=0, lineterm=""))
    shown = [line if len(line) < 600 else f"{line[:400]} ... {line[-100:]}" for line in found[:60]]
    assert not found, "\n".join([f"{len(found)} lines of a comparison", *shown])


def describe(names: list[str]) -> dict[str, list[str]]:
    return {"core": ["compiled" if autograd.COMPILED else "pure"]} | {name: list(PARTS[name]()) for name in names}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe(sys.argv[1:] or list(PARTS))))
