"""Derivatives of functions: functions in, functions out, as JAX has them.

>>> def f(x, y):
...     return x * x * y
>>> grad(f)(3.0, 5.0), grad(f, argnums=(0, 1))(3.0, 5.0), grad(grad(f))(3.0, 5.0)
(30.0, (30.0, 9.0), 10.0)

A function takes numbers, nested lists, tuples and dicts of them, and NumPy arrays, and what it gives back may be
put together in the same ways; so are the derivatives. Where a function is called, the numbers it is differentiated
by are fresh Values in its eyes (an array is an object array of them); the graph that it builds is then passed
over as often as the derivative needs. What is found are floats, unless it depends on other Values than constants
(given as arguments, closed over, or those of a transform that this one runs in): then it is Values, connected to
their graph. That is how transforms nest. Under no_grad it is floats, or Values without a graph where Values are given.
"""

import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from .graph import leaves
from .jets import nth_derivative
from .node import next_moment
from .passes import Linearization
from .recording import is_recording, record_graph
from .structure import Arguments, Part, Structure, array
from .value import CONSTANT, PARAMETER, VARIABLE, Value

Function = Callable[..., Any]


def grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The gradient of f, which returns one number: a function of the same arguments.

    It gives the derivatives in the structure of the argument that argnums names (a tuple of such for a tuple of
    argnums); keyword arguments are passed on. Raises TypeError and ValueError if f returns anything else, if argnums
    names no argument, or if that argument does not consist of real numbers.

    >>> grad(lambda p, t: (p["w"] * 2.0 + p["b"] - t) ** 2)({"w": 1.0, "b": 0.5}, 2.0)
    {'w': 2.0, 'b': 1.0}
    """

    def gradient(*args: Any, **named: Any) -> Any:
        return _value_and_gradient("grad", f, args, named, argnums)[1]

    return _titled(gradient, "gradient", f)


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """As grad, but the function gives both (f(...), gradient): what scipy.optimize.minimize takes with jac=True.

    >>> value_and_grad(lambda x, y: x * y)(3.0, 5.0)
    (15.0, 5.0)
    """

    def value_and_gradient(*args: Any, **named: Any) -> tuple[Any, Any]:
        return _value_and_gradient("value_and_grad", f, args, named, argnums)

    return _titled(value_and_gradient, "value and gradient", f)


def jacobian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """All derivatives of f, whose result may be put together in any way: a function of the same arguments.

    It gives the result's structure with, in place of each number, the derivatives of that number in the structure
    of the argument. An array by an array gives one array, of shape result.shape + argument.shape. The local
    derivatives are taken once; then there is one pass for each result or for each input, whichever are fewer.

    >>> jacobian(lambda xs: [xs[0] * xs[1], xs[0] / xs[1]])([6.0, 2.0])
    [[2.0, 6.0], [0.5, -1.5]]
    """

    def jacobian_of_f(*args: Any, **named: Any) -> Any:
        with Call(f, args, named, argnums) as call:
            rows = call.linearize().rows()
            return call.returned.map(lambda part: call.derivatives_of(part, rows))

    return _titled(jacobian_of_f, "Jacobian", f)


def hessian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The second derivatives of f, which returns one number: a function of the same arguments.

    It gives the argument's structure with, in place of each number, the structure of its derivatives again; for an
    array, an array of shape argument.shape + argument.shape. It takes one pass for the gradient and one more for each
    number in the argument, which visits only what depends on it.

    >>> hessian(lambda xs: xs[0] ** 2 * xs[1])([3.0, 5.0])
    [[10.0, 6.0], [6.0, 0.0]]
    """

    def hessian_of_f(*args: Any, **named: Any) -> Any:
        with Call(f, args, named, argnums) as call:
            rows = call.linearize_gradient("hessian").rows()
            return call.by_argnums(call.given.map(lambda part: call.derivatives_of(part, rows)))

    return _titled(hessian_of_f, "Hessian", f)


def jvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """(f(*primals), its derivative along the tangents), by one pass forward (forward mode).

    A tuple of primals is the arguments of f, anything else its one argument; the tangents have its structure.
    Raises ValueError if they do not, and what grad raises for f and primals.

    >>> jvp(lambda x, y: [x * y, x + y], (3.0, 5.0), (1.0, 10.0))
    ([15.0, 8.0], [35.0, 11.0])
    """
    with _call_along(f, primals, tangents) as call:
        return call.value(), call.like_result(call.linearize().push_forward(call.tangents))


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """(f(*primals), pullback): pullback(cotangents) gives a tuple of gradients, one for each primal (reverse mode).

    The cotangents have the structure of f's result: the pullback raises ValueError if they do not. It can be called
    again and again.

    >>> out, pullback = vjp(lambda x, y: [x * y, x + y], 3.0, 5.0)
    >>> out, pullback([1.0, 10.0])
    ([15.0, 8.0], (15.0, 13.0))
    """
    with Call(f, primals, {}, tuple(range(len(primals)))) as call:
        value, linear = call.value(), call.linearize()

    def pullback(cotangents: Any) -> Any:
        weights = call.returned.numbers_of(cotangents, "cotangents")
        weights = weights if is_recording() else _plain(weights)
        own = linear if call.connected or not any_value(weights) else call.linearize(connected=True)
        return call.like_arguments(own.pull_back(weights))

    return value, pullback


def hvp(f: Function, primals: Any, tangents: Any) -> Any:
    """The Hessian of f times the tangents, without the Hessian: one pass back, and one forward over the gradient.

    A tuple of primals is the arguments of f, anything else its one argument; tangents and result have its structure.
    Raises what jvp raises, and TypeError if f does not return one number.

    >>> hvp(lambda xs: xs[0] ** 2 * xs[1], [3.0, 5.0], [1.0, 0.0])
    [10.0, 6.0]
    """
    with _call_along(f, primals, tangents) as call:
        linear = call.linearize_gradient("hvp")
        # but at a kink, a Hessian is symmetric: the way back gives the same, and calls the hooks
        one_pass = linear.pull_back if linear.has_hooks else linear.push_forward
        return call.like_arguments(one_pass(call.tangents))


def derivative(f: Function, n: int = 1) -> Function:
    """The n-th derivative of f by its first argument: a function of one number, or of many, each on its own.

    By jets (see jets.py), so that high orders are quick; past the hundredth, Python's stack may end (RecursionError)
    and floats overflow. Partials that do more with their operands than calculate, such as branches on their data, are
    differentiated again and again instead. Raises ValueError unless n is a whole number from 0 up.

    >>> import autograd
    >>> derivative(lambda x: x**4, 3)(2.0), derivative(autograd.sin)([0.0, 1.0])
    (48.0, [1.0, 0.5403023058681398])
    """
    order = _whole(n)
    if order is None or order < 0:
        raise ValueError(f"wrong: derivative(f, {n!r}); right: derivative(f, 2) for the second derivative")

    def at(x: Any, others: Sequence[Any], named: dict[str, Any]) -> Any:
        with Call(f, (x, *others), named, 0) as call:
            return call.finished([call.nth_derivative(order)])[0]

    def at_each(x: Any, *others: Any, **named: Any) -> Any:
        points = Structure(x, "argument[0]")
        return points.filled([at(number, others, named) for number in points.numbers])

    return _titled(at_each, f"derivative of order {order}", f)


def stop_gradient(x: Any) -> Any:
    """x, a number, a Value or a nested structure of them, through which no derivative flows: Values become constants.

    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    3.0
    """
    structure = Structure(x, "x")
    return structure.filled([v.detach() if isinstance(v, Value) else v for v in structure.numbers])


class Call:
    """One call of f, with fresh Values in place of the numbers that it is differentiated by.

    given, returned   how those arguments and the result are put together
    inputs, outputs   the Values that stand for them
    connected         whether what is found are Values, since it depends on some that were there before
    tangents          those of the inputs, where f is differentiated along some

    Within a `with`, the inputs are variables to the transforms that partials and hooks may call; from its end on,
    constants to whoever meets them in what was found.
    """

    tangents: Sequence[Any] = ()

    def __init__(self, f: Function, args: tuple[Any, ...], named: dict[str, Any], argnums: Any) -> None:
        self.name = _name(f)
        self.single = not isinstance(argnums, (list, tuple, range))
        self.argnums = _places(argnums, len(args), self.name)
        places = list(dict.fromkeys(self.argnums))
        self.given = Arguments(args, places)
        start = next_moment()
        with record_graph():
            self.inputs = [_fresh(x) for x in self.given.numbers]
            filled = list(args)
            for place, x in zip(places, self.given.filled(self.inputs), strict=True):
                filled[place] = x
            self.returned = _structure_of_result(f(*filled, **named), self.name)
        self.outputs = [v if isinstance(v, Value) else Value(v, kind=CONSTANT) for v in self.returned.numbers]
        self.given_values = any_value(self.given.numbers)
        older = [v for v in leaves(*self.outputs) if v.kind == PARAMETER or (v.kind == VARIABLE and v._stamp < start)]
        self.connected = is_recording() and bool(older or self.given_values)

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *error: object) -> None:
        for x in self.inputs:
            if x.op is None:
                x.kind = CONSTANT

    def refuse_many(self, transform: str) -> None:
        """Raise TypeError unless f returned one number."""
        if not self.returned.is_number:
            raise TypeError(
                f"{transform} needs a function that returns one number; {self.name} returned {self.returned}. "
                f"Wrong: {transform}({self.name}); right: jacobian({self.name}), or "
                f"{transform}(lambda x: autograd.sum({self.name}(x)))"
            )

    def linearize(self, connected: bool = False) -> Linearization:
        return Linearization(self.outputs, self.inputs, connected or self.connected)

    def linearize_gradient(self, transform: str) -> Linearization:
        """The gradient's linearization, the gradient being a function of the inputs as well."""
        self.refuse_many(transform)
        gradient = Linearization(self.outputs, self.inputs, create_graph=True).pull_back([1.0])
        return Linearization(gradient, self.inputs, self.connected)

    def nth_derivative(self, n: int) -> Any:
        """The n-th derivative by the one input."""
        self.refuse_many("derivative")
        if n == 1:
            return self.linearize().push_forward([1.0])[0]
        try:
            return nth_derivative(self.outputs[0], self.inputs[0], n, self.connected)
        except (TypeError, AttributeError):
            outputs: Sequence[Any] = self.outputs
            for order in range(1, n + 1):
                outputs = Linearization(outputs, self.inputs, order < n or self.connected).pull_back([1.0])
            return outputs[0]

    def value(self) -> Any:
        """What f returned."""
        return self.like_result(self.outputs if self.connected else _plain(self.outputs))

    def like_result(self, numbers: Sequence[Any]) -> Any:
        """One number per output, put together as the result is."""
        return self.returned.filled(self.finished(numbers))

    def like_arguments(self, numbers: Sequence[Any]) -> Any:
        """One number per input, put together as the arguments are."""
        return self.by_argnums(self.given.filled(self.finished(numbers)))

    def derivatives_of(self, out: Part, rows: Sequence[Sequence[Any]]) -> Any:
        """The derivatives of a part of the result, one row for each of its numbers, put together as the arguments."""

        def block(part: Part) -> Any:
            numbers = [d for row in rows[out.start : out.stop] for d in row[part.start : part.stop]]
            either = None if out.shape is part.shape is None else (out.shape or ()) + (part.shape or ())
            return array(self.finished(numbers), either)

        return self.by_argnums(self.given.map(block))

    def by_argnums(self, each: tuple[Any, ...]) -> Any:
        if self.single:
            return each[0]
        by_place = dict(zip(dict.fromkeys(self.argnums), each, strict=True))
        return tuple([by_place[place] for place in self.argnums])

    def finished(self, numbers: Sequence[Any]) -> Sequence[Any]:
        """Values where Values were given, without a graph if none is recorded."""
        return [Value(v) for v in numbers] if self.given_values and not self.connected else numbers


def _value_and_gradient(transform: str, f: Function, args: Any, named: dict[str, Any], argnums: Any) -> tuple[Any, Any]:
    with Call(f, args, named, argnums) as call:
        call.refuse_many(transform)
        return call.value(), call.like_arguments(call.linearize().pull_back([1.0]))


def _call_along(f: Function, primals: Any, tangents: Any) -> Call:
    """f called with the primals, to be differentiated along the tangents."""
    if type(primals) is tuple:  # a named tuple is one argument
        call = Call(f, primals, {}, tuple(range(len(primals))))
        call.tangents = call.given.numbers_of(tangents, "tangents")
    else:
        call = Call(f, (primals,), {}, 0)
        call.tangents = Structure(primals, "primals").numbers_of(tangents, "tangents")
    if any_value(call.tangents):
        call.connected, call.given_values = is_recording(), True
    if not call.connected:
        call.tangents = _plain(call.tangents)
    return call


def _structure_of_result(result: Any, name: str) -> Structure:
    """How it is put together. Raises TypeError unless it is made of numbers, and depends on the arguments as Values."""
    try:
        structure = Structure(result, f"what {name} returned")
    except TypeError as error:
        right = "model([x])" if callable(result) else "x**2"
        raise TypeError(f"{error}. {name} returned {result!r:.80}; right: lambda x: {right}") from None
    if not any_value(structure.numbers):
        raise TypeError(
            f"{name} returned {result!r:.80}, which is no Value, so that nothing is known of its derivatives. "
            "Wrong: lambda x: x.data**2, or lambda x: 1.0; right: lambda x: x**2, or lambda x: 1.0 + 0 * x"
        )
    return structure


def _fresh(x: Any) -> Value:
    """A new input: for a Value, another node equal to it, so that each level differentiates by its own."""
    if not isinstance(x, Value):
        return Value(x)
    node = x * 1.0 if x.kind != CONSTANT else Value(x.data)
    node.label = x.label
    return node


def _plain(numbers: Sequence[Any]) -> list[float]:
    return [v.data if isinstance(v, Value) else v for v in numbers]


def any_value(numbers: Sequence[Any]) -> bool:
    return any([isinstance(v, Value) for v in numbers])


def _places(argnums: Any, count: int, name: str) -> list[int]:
    """The places, from 0 up, that argnums names among the arguments."""
    several = isinstance(argnums, (list, tuple, range))
    if several and not count:
        raise TypeError(f"{name} is differentiated by its arguments, and there are no primals; right: vjp(f, 3.0)")
    places = [_whole(i) for i in (argnums if several else [argnums])]
    if None in places or not places:
        raise TypeError(
            f"argnums is a place among the arguments, or a tuple of them; got {argnums!r}; right: argnums=0"
        )
    for place in places:
        if not -count <= place < count:
            raise ValueError(
                f"argnums={argnums!r}, but {name} was called with {count} positional argument{'s' * (count != 1)}. "
                "Wrong: grad(f, argnums=2)(x, y), or grad(f)(x=3.0); right: grad(f, argnums=1)(x, y), grad(f)(3.0)"
            )
    return [place % count for place in places]


def _whole(x: Any) -> Any:
    """A whole number as an int; None for anything else, True and False included."""
    is_index = hasattr(type(x), "__index__") and not isinstance(x, (bool, Value)) and getattr(x, "shape", ()) == ()
    return operator.index(x) if is_index else None


def _name(f: Any) -> str:
    if not callable(f):
        raise TypeError(f"expected a function, got {f!r:.80}; wrong: grad(f(x)); right: grad(f)(x)")
    return str(getattr(f, "__name__", None) or getattr(f, "name", None) or type(f).__name__)


def _titled(function: Function, what: str, f: Function) -> Function:
    """The function under f's name and signature, with a docstring that says what it is. TypeError if f is none."""
    name = _name(f)
    titled = wraps(f)(function)
    titled.__doc__ = f"The {what} of {name}, a function of the same arguments."
    return titled
