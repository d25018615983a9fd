"""The engines that are compared, the work that each of them does, and the check that they agree.

An engine makes leaves and numbers, and runs a work forward and backward in the way that is fastest for it.
A work is one scalar function: its leaves are made anew, outside of what is timed, for every round.
"""

import math
import random
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import autograd
import nn

SHAPE = (2, [16, 16, 1])


class Engine:
    """What a work asks of an engine. One that is not installed raises ImportError when it is made."""

    name: str
    value: Callable[[float], Any]  # a leaf, whose gradient is wanted
    number: Callable[[float], Any]  # an input, whose gradient nobody reads
    relu: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    tanh: Callable[[Any], Any]

    def mlp(self) -> Any:
        """SHAPE as the library's own nn builds it, with the weights of seed 1 of ours."""
        raise NotImplementedError

    def begin(self, leaves: list[Any]) -> None:
        """What comes once, before many steps."""

    def step(self, work: "Work") -> Any:
        """Forward and backward. Gives the output."""
        out = work()
        out.backward()
        return out

    def end(self) -> None:
        """What comes once, after them."""

    def data(self, out: Any) -> float:
        return float(out.data)

    def gradient(self, leaf: Any) -> float:
        return float(leaf.grad)


class Chainrule(Engine):
    name = "chainrule"

    def __init__(self) -> None:
        self.value = self.number = autograd.Value
        self.relu, self.exp, self.tanh = autograd.Value.relu, autograd.Value.exp, autograd.Value.tanh

    def mlp(self) -> Any:
        return nn.MLP(*SHAPE, seed=1)


class Micrograd(Engine):
    name = "micrograd"

    def __init__(self) -> None:
        from micrograd.engine import Value
        from micrograd.nn import MLP

        self.value = self.number = Value
        self.relu = Value.relu
        self._mlp = MLP

    def mlp(self) -> Any:
        theirs = self._mlp(*SHAPE)
        for p, q in zip(theirs.parameters(), nn.MLP(*SHAPE, seed=1).parameters(), strict=True):
            p.data = q.data
        return theirs


class XAD(Engine):
    """One tape for all steps of a round, its inputs registered once, a new recording for each step.

    That is XAD's fastest correct use. After clearAll() the inputs would have to be made anew as well, since a Real
    that has been on a tape isn't registered again; with that, and with a tape for every step, the MLP takes half as
    long again. A tape never gives back the slots of dropped intermediates, so each round begins with a new one.
    """

    name = "XAD"

    def __init__(self) -> None:
        from xad import math as xad_math
        from xad.adj_1st import Real, Tape

        self.value = self.number = Real
        self.relu = partial(xad_math.max, 0.0)  # faster than a lambda
        self.exp, self.tanh = xad_math.exp, xad_math.tanh
        self._new_tape = Tape

    def begin(self, leaves: list[Any]) -> None:
        self._tape = self._new_tape()
        self._tape.activate()
        self._tape.registerInputs(leaves)

    def step(self, work: "Work") -> Any:
        tape = self._tape
        tape.newRecording()  # this also sets the gradients of the step before to zero
        out = work()
        tape.registerOutput(out)
        out.setDerivative(1.0)
        tape.computeAdjoints()
        return out

    def end(self) -> None:
        self._tape.deactivate()

    def data(self, out: Any) -> float:
        return float(out.getValue())

    def gradient(self, leaf: Any) -> float:
        return float(leaf.getDerivative())


class PyTorch(Engine):
    """float64 tensors without axes, on one thread.

    backward() with the seed made beforehand and the gradients set to None: then the first term of each gradient is
    moved there, not added. torch.autograd.grad is 2 to 5 percent slower here, and summing into old gradients no faster.
    """

    name = "PyTorch"

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.value = partial(torch.tensor, dtype=torch.float64, requires_grad=True)
        self.number = partial(torch.tensor, dtype=torch.float64)
        self.relu, self.exp, self.tanh = torch.Tensor.relu, torch.Tensor.exp, torch.Tensor.tanh
        self._one = torch.tensor(1.0, dtype=torch.float64)

    def step(self, work: "Work") -> Any:
        for leaf in work.leaves:
            leaf.grad = None
        out = work()
        out.backward(self._one)
        return out


PEERS: dict[str, type[Engine]] = {engine.name: engine for engine in (Micrograd, XAD, PyTorch)}


class Work:
    """A scalar function of leaves, in the operations of one engine."""

    leaves: list[Any]

    def __init__(self, engine: Engine) -> None:
        raise NotImplementedError

    def __call__(self) -> Any:
        raise NotImplementedError


class BinaryNeuron:
    """micrograd's neuron: one node for each product and each sum."""

    def __init__(self, engine: Engine, weights: list[float], hidden: bool) -> None:
        self.w = [engine.value(w) for w in weights]
        self.b = engine.value(0.0)
        self.relu = engine.relu if hidden else None

    def __call__(self, x: list[Any]) -> Any:
        net = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return self.relu(net) if self.relu is not None else net


class BinaryMLP:
    """SHAPE of binary neurons, with the same weights for every engine."""

    def __init__(self, engine: Engine) -> None:
        draw = random.Random(1)
        sizes = [SHAPE[0], *SHAPE[1]]
        self.layers = [
            [BinaryNeuron(engine, [draw.uniform(-1, 1) for _ in range(n_in)], hidden=n_out != 1) for _ in range(n_out)]
            for n_in, n_out in pairwise(sizes)
        ]

    def __call__(self, x: list[Any]) -> Any:
        for layer in self.layers:
            x = [neuron(x) for neuron in layer]
        return x[0]

    def parameters(self) -> list[Any]:
        return [p for layer in self.layers for neuron in layer for p in (*neuron.w, neuron.b)]


class OneSample(Work):
    """The MLP of binary nodes at one sample."""

    def __init__(self, engine: Engine) -> None:
        self.model = self.build(engine)
        self.leaves = self.model.parameters()
        self.x = [engine.number(0.3), engine.number(-0.7)]

    def build(self, engine: Engine) -> Any:
        return BinaryMLP(engine)

    def __call__(self) -> Any:
        return self.model(self.x)


class OneSampleOfNn(OneSample):
    """The same MLP as each library's nn builds it."""

    def build(self, engine: Engine) -> Any:
        return engine.mlp()


class HundredSamples(Work):
    """The MLP of binary nodes at a hundred samples, with one loss: a graph of 64,000 nodes."""

    def __init__(self, engine: Engine) -> None:
        draw, number = random.Random(2), engine.number
        self.model, self.relu = BinaryMLP(engine), engine.relu
        self.leaves = self.model.parameters()
        self.rows = [
            ([number(draw.uniform(-1, 1)), number(draw.uniform(-1, 1))], draw.choice((-1, 1))) for _ in range(100)
        ]

    def __call__(self) -> Any:
        losses = [self.relu(1 + -label * self.model(x)) for x, label in self.rows]
        return sum(losses) * (1.0 / len(losses))


class Mixed(Work):
    """A chain of 640 nodes: 128 times y = tanh((exp(y * a) + b) / c)."""

    def __init__(self, engine: Engine) -> None:
        self.leaves = [engine.value(number) for number in (0.5, 0.5, 0.1, 2.0)]
        self.exp, self.tanh = engine.exp, engine.tanh

    def __call__(self) -> Any:
        y, a, b, c = self.leaves
        exp, tanh = self.exp, self.tanh
        for _ in range(128):
            y = tanh((exp(y * a) + b) / c)
        return y


def nodes_of(work: type[Work]) -> int:
    """How many operations our engine records for a work."""
    return sum([node.op is not None for node in autograd.topological_order(work(Chainrule())())])


def refuse_disagreement(work: type[Work], ours: Engine, peer: Engine) -> None:
    """Run both once. SystemExit unless the output and every gradient agree to nine digits.

    A gradient whose terms cancel, so that little but rounding is left, may differ by 1e-12 of the largest."""
    found: list[list[float]] = []
    for engine in (ours, peer):
        made = work(engine)
        engine.begin(made.leaves)
        try:
            out = engine.step(made)
            found.append([engine.data(out), *[engine.gradient(leaf) for leaf in made.leaves]])
        finally:
            engine.end()
    if len(found[0]) != len(found[1]):
        sys.exit(f"{work.__name__}: {ours.name} and {peer.name} have different leaves: nothing was timed")
    cancelled = 1e-12 * max(map(abs, found[0]))
    for place, (a, b) in enumerate(zip(*found, strict=True)):
        if not math.isclose(a, b, rel_tol=1e-9, abs_tol=cancelled):
            what = f"the gradient of leaf {place - 1}" if place else "the output"
            sys.exit(f"{work.__name__}: {what} is {a!r} with {ours.name}, {b!r} with {peer.name}: nothing was timed")
