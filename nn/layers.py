"""Neurons, layers of neurons, and networks of layers.

>>> model = MLP(2, [4, 1], activation="tanh", seed=1)
>>> model([0.5, -1.0])
Value(0.1558)
"""

import random
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cache
from math import sqrt
from operator import index
from typing import Any, cast

from autograd import OPS, Op, Value
from autograd.node import neuron

from .module import Module

Init = Callable[[int, int, random.Random], float]


def uniform(nin: int, nout: int, rng: random.Random) -> float:
    """A weight from the uniform distribution on [-1, 1], as in micrograd.

    >>> -1 <= uniform(2, 3, random.Random(0)) <= 1
    True
    """
    return rng.uniform(-1, 1)


def xavier(nin: int, nout: int, rng: random.Random) -> float:
    """A weight from the uniform distribution on ±sqrt(6 / (nin + nout)): Glorot and Bengio 2010, equation 16.

    >>> -0.5 <= xavier(14, 10, random.Random(0)) <= 0.5
    True
    """
    bound = sqrt(6 / (nin + nout))
    return rng.uniform(-bound, bound)


def he(nin: int, nout: int, rng: random.Random) -> float:
    """A weight from the normal distribution of standard deviation sqrt(2 / nin): He et al. 2015, equation 10.

    >>> he(8, 1, random.Random(0)) == random.Random(0).normalvariate(0.0, 0.5)
    True
    """
    return rng.normalvariate(0.0, sqrt(2 / nin))


INITS: dict[str, Init] = {"uniform": uniform, "xavier": xavier, "he": he}


class Neuron(Module):
    """activation(w · x + b), with nin weights w and one bias b, which starts at 0.

    activation  a row of the table that takes one operand, or its name; "linear" for none
    init        "uniform", "xavier", "he", or a function (nin, nout, rng) that returns one weight
    rng         where the weights come from; by default the random module, and so random.seed

    Calling it with nin numbers or Values gives a Value. Raises ValueError for another number of inputs,
    for an unknown activation or init.

    >>> neuron = Neuron(2, "tanh")
    >>> neuron.load_state_dict({"w.0": 0.5, "w.1": -1.0, "b": 0.25})
    >>> neuron([1.0, 0.75])
    Value(0.0)
    >>> neuron
    TanhNeuron(2)
    """

    def __init__(
        self, nin: int, activation: str | Op = "relu", init: str | Init = "uniform", rng: random.Random | None = None
    ) -> None:
        nin, draw = _size(nin), _init(init)
        rng = rng or cast(random.Random, random)  # the module has the methods, and code from micrograd seeds it
        self.activation = _activation(activation)
        self.w = [Value(draw(nin, 1, rng)) for _ in range(nin)]
        self.b = Value(0.0)

    def __call__(self, x: Any) -> Value:
        return neuron(self.w, _inputs(x, len(self.w)), self.b, self.activation)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        name, symbol = ("linear", "") if self.activation is None else (self.activation.name, self.activation.symbol)
        kind = symbol if symbol.lower() == name != symbol else name.title().replace("_", "")
        return f"{kind}Neuron({len(self.w)})"


class Layer(Module):
    """nout neurons that take the same nin inputs.

    Calling it gives the list of their outputs, or the one Value if there is one neuron. Inputs that are
    plain numbers become constants labelled x.0, x.1, ... which all neurons share.

    >>> Layer(2, 3, "sigmoid")
    Layer of [SigmoidNeuron(2), SigmoidNeuron(2), SigmoidNeuron(2)]
    """

    def __init__(
        self,
        nin: int,
        nout: int,
        activation: str | Op = "relu",
        init: str | Init = "uniform",
        rng: random.Random | None = None,
    ) -> None:
        nout, draw = _size(nout), _init(init)
        self.neurons = [Neuron(nin, activation, lambda nin, _, rng: draw(nin, nout, rng), rng) for _ in range(nout)]

    def __call__(self, x: Any) -> Any:
        xs = _inputs(x, len(self.neurons[0].w))
        outputs = [neuron(n.w, xs, n.b, n.activation) for n in self.neurons]
        return outputs[0] if len(outputs) == 1 else outputs

    def __repr__(self) -> str:
        return f"Layer of {self.neurons}"


class MLP(Module):
    """A multi-layer perceptron: nin inputs, then one layer for each number of neurons in nouts.

    The last layer has the activation `output`, all others `activation`; both, and init, as for Neuron.
    The same seed gives the same weights. Calling it with nin numbers or Values gives a list of outputs,
    or one Value if the last layer has one neuron. Raises ValueError as Neuron does.

    >>> MLP(2, [2, 1])
    MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str | Op = "relu",
        output: str | Op = "linear",
        init: str | Init = "uniform",
        seed: int | None = None,
    ) -> None:
        self.nin = _size(nin)
        self.nouts = [_size(nout) for nout in nouts] if hasattr(nouts, "__iter__") else []
        if not self.nouts:
            raise ValueError(f"expected one size for each layer, got {nouts!r}; right: MLP({nin}, [16, 16, 1])")
        self.activation, self.output = (a.name if isinstance(a, Op) else a for a in (activation, output))
        rng = None if seed is None else random.Random(seed)
        sizes = [self.nin, *self.nouts]
        activations = [activation] * (len(self.nouts) - 1) + [output]
        self.layers = [
            Layer(nin, nout, a, init, rng) for nin, nout, a in zip(sizes[:-1], sizes[1:], activations, strict=True)
        ]

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        return f"MLP of {self.layers}"


def _inputs(x: Any, nin: int) -> list[Value]:
    """The inputs as Values, numbers among them as constants labelled x.0, x.1, ..."""
    xs = x if type(x) is list else list(x) if hasattr(x, "__len__") else [x]
    if len(xs) != nin:
        raise ValueError(f"expected {nin} inputs, got {len(xs)}; right: model(x) for one sample x of length {nin}")
    if {*map(type, xs)} == {Value}:
        return xs
    return [
        v if isinstance(v, Value) else Value(v, name, "constant") for v, name in zip(xs, _input_names(nin), strict=True)
    ]


@cache
def _input_names(nin: int) -> tuple[str, ...]:
    return tuple([f"x.{i}" for i in range(nin)])


def _size(size: int) -> int:
    try:
        if index(size) >= 1:
            return index(size)
    except TypeError:
        pass
    raise ValueError(
        f"a number of inputs or neurons is a whole number from 1 up, got {size!r}; right: MLP(2, [16, 16, 1])"
    )


def _init(init: str | Init) -> Init:
    if callable(init):
        return init
    if init not in INITS:
        raise ValueError(f"unknown init {init!r}; expected one of {', '.join(INITS)}, or a function (nin, nout, rng)")
    return INITS[init]


def _activation(activation: str | Op) -> Op | None:
    """The row, None for "linear"."""
    if activation == "linear":
        return None
    row = activation if isinstance(activation, Op) else OPS.get(activation)
    if row is None or row.variadic or row.required != 1:
        known = ["linear", *(name for name, op in OPS.items() if op.required == 1 and not op.variadic)]
        close = get_close_matches(str(activation), known, n=3) or known
        raise ValueError(
            f"{activation!r} is not an activation; expected an operation on one number, such as {', '.join(close)}"
        )
    return row
