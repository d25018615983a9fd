"""The peers that jit.py compares with, each in the way that was fastest for it, and the work that they all do.

A peer takes NumPy arrays and gives a Ready: one whole call, as its user makes it, of what is compiled and warm. The
work is the mean loss over a batch and its gradient, of an MLP with tanh or of a random graph, or a whole training.
Gradients are read in our order: the weights of a neuron, its bias, the next neuron. A peer that isn't installed raises
ImportError when it is called. One thread each: pin the process to one CPU, before a peer is imported.
"""

import math
import operator
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Layers = list[tuple[Array, Array]]  # W (out, in) and b (out,) of each layer
LOSSES = ("hinge", "mse", "ce")  # targets: -1 or 1; one number an output; the index of a class
LR = {"sgd": 0.05, "adam": 0.01}


class Ready(NamedTuple):
    """A compiled call, what reads its result as (value, flat gradient), and the seconds until its first result."""

    call: Callable[[], Any]
    read: Callable[[Any], tuple[float, Array]]
    seconds: float


def _ready(make: Callable[[], Callable[[], Any]], read: Callable[[Any], tuple[float, Array]]) -> Ready:
    start = time.perf_counter()
    call = make()
    call()
    return Ready(call, read, time.perf_counter() - start)


def _plain(result: Any) -> tuple[float, Array]:
    value, gradient = result
    return float(value), np.array(gradient).ravel()


# The MLP


def flatten(layers: Iterable[tuple[Array, Array]]) -> Array:
    """In our order."""
    return np.concatenate([np.column_stack(layer).ravel() for layer in layers])


def sizes_of(layers: Layers) -> list[int]:
    return [layers[0][0].shape[1], *[len(b) for _, b in layers]]


def _blocks(layers: Layers) -> Array:
    """Flat, as it is fastest for JAX and PyTorch: each W, then its b. One argument costs a call less than many."""
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def _split(flat: Any, sizes: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """W and b of each layer, of _blocks as an array of any library."""
    at = 0
    for n_in, n_out in pairwise(sizes):
        end = at + n_out * n_in
        yield flat[at:end].reshape(n_out, n_in), flat[end : end + n_out]
        at = end + n_out


def _of_blocks(sizes: Sequence[int]) -> Callable[[Any], tuple[float, Array]]:
    return lambda result: (float(result[0]), flatten(_split(np.array(result[1]).ravel(), sizes)))


def _one_hot(loss: str, targets: Array, n_out: int) -> Array:
    """Targets as one number an output, (batch, n_out)."""
    return np.eye(n_out)[targets] if loss == "ce" else targets.reshape(-1, n_out)


# The random graph


class Graph(NamedTuple):
    """A scalar function in a neutral form: nodes are numbered after INPUTS inputs and PARAMETERS parameters."""

    nodes: list[tuple[str, tuple[int, ...]]]
    sinks: list[int]  # without a consumer: the loss is their mean
    parameters: list[float]


INPUTS, PARAMETERS, RECENT = 10, 50, 200


def random_dag(nodes: int, seed: int) -> Graph:
    """Every node reaches the loss, and none is above 10 where inputs and parameters are in [-1, 1]."""
    draw = random.Random(seed)
    first = INPUTS + PARAMETERS
    bounds = [1.0] * first
    waiting = dict.fromkeys(range(first))  # without a consumer, the oldest first
    made: list[tuple[str, tuple[int, ...]]] = []

    def add(op: str, *operands: int, bound: float) -> int:
        made.append((op, operands))
        bounds.append(bound)
        for operand in operands:
            waiting.pop(operand, None)
        waiting[len(bounds) - 1] = None
        return len(bounds) - 1

    def old() -> int:
        """One of the most recent, or of the inputs and parameters."""
        return (
            draw.randrange(first) if draw.random() < 0.3 else draw.randrange(max(0, len(bounds) - RECENT), len(bounds))
        )

    while len(made) < nodes:
        a, b = next(iter(waiting)) if draw.random() < 0.8 else old(), old()
        op = draw.choice(("add", "sub", "mul", "mul", "tanh", "sin", "exp"))
        bound = bounds[a] * bounds[b] if op == "mul" else bounds[a] + bounds[b]
        if op in ("add", "sub", "mul") and bound <= 10:
            add(op, a, b, bound=bound)
        elif op == "exp" and bounds[a] <= 3 and nodes - len(made) >= 3:  # exp(-x*x)
            add("exp", add("neg", add("mul", a, a, bound=9.0), bound=9.0), bound=1.0)
        else:
            add("sin" if op == "sin" else "tanh", a, bound=1.0)
    return Graph(made, list(waiting), [draw.uniform(-1, 1) for _ in range(PARAMETERS)])


def evaluate(graph: Graph, x: Sequence[Any], parameters: Sequence[Any], functions: Any) -> Any:
    """The loss at x, with tanh, sin and exp of a module: of autograd, or of a peer."""
    values = [*x, *parameters]
    ops: dict[str, Callable[..., Any]] = {name: getattr(operator, name) for name in ("add", "sub", "mul", "neg")}
    ops |= {name: getattr(functions, name) for name in ("tanh", "sin", "exp")}
    for op, operands in graph.nodes:
        values.append(ops[op](*[values[i] for i in operands]))
    total = values[graph.sinks[0]]
    for sink in graph.sinks[1:]:
        total = total + values[sink]
    return total * (1.0 / len(graph.sinks))


def dag_of_values(graph: Graph) -> tuple[Callable[[Sequence[Any]], Any], list[Any]]:
    """A function of a list of inputs in plain Values, and the parameters that it closes over."""
    import autograd

    parameters = [autograd.Value(p) for p in graph.parameters]
    return lambda x: evaluate(graph, x, parameters, autograd), parameters


# JAX


def _jax() -> Any:
    """Synchronous dispatch: a call that is waited for at once need not go through another thread, which costs 10 µs."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return jax


def _jax_value_and_grad(sizes: Sequence[int], loss: str) -> Callable[[Any, Any, Any], Any]:
    import jax
    import jax.numpy as jnp

    def mean_loss(layers: Any, x: Any, t: Any) -> Any:
        for place, (w, b) in enumerate(layers):
            x = (jnp.tanh(x) if place else x) @ w.T + b
        if loss == "hinge":
            return jnp.maximum(0, 1 - t * x[:, 0]).mean()
        if loss == "mse":
            return ((x - t) ** 2).mean()
        return (jax.nn.logsumexp(x, axis=1) - jnp.take_along_axis(x, t[:, None], 1)[:, 0]).mean()

    def value_and_grad(flat: Any, x: Any, t: Any) -> Any:
        """By the layers, and joined: the gradient by slices of one array takes up to twice as long."""
        value, gradient = jax.value_and_grad(mean_loss)(list(_split(flat, sizes)), x, t)
        return value, jnp.concatenate([part.ravel() for layer in gradient for part in layer])

    return value_and_grad


def _jax_call(value_and_grad: Callable[..., Any], *arrays: Any) -> Callable[[], Any]:
    import jax

    on_device = jax.device_put(arrays)
    compiled = jax.jit(value_and_grad)
    return lambda: jax.block_until_ready(compiled(*on_device))


def jax_mlp(layers: Layers, loss: str, x: Array, t: Array) -> Ready:
    _jax()
    sizes = sizes_of(layers)
    return _ready(lambda: _jax_call(_jax_value_and_grad(sizes, loss), _blocks(layers), x, t), _of_blocks(sizes))


def jax_dag(graph: Graph, x: Array) -> Ready:
    """For small graphs: XLA takes minutes to compile thousands of scalar operations."""
    jax = _jax()

    def mean_loss(p: Any, columns: Any) -> Any:
        return evaluate(graph, columns, p, jax.numpy).mean()

    return _ready(lambda: _jax_call(jax.value_and_grad(mean_loss), np.array(graph.parameters), x.T), _plain)


def jax_train(layers: Layers, x: Array, t: Array, optimizer: str, epochs: int, scan: bool = False) -> Ready:
    """A loop of one compiled step, or with `scan` the whole loop compiled. The result: the losses, the parameters."""
    jax = _jax()
    jnp, sizes = jax.numpy, sizes_of(layers)
    value_and_grad = _jax_value_and_grad(sizes, "hinge")

    def step(state: Any, data: Any) -> Any:
        value, g = value_and_grad(state[0], *data)
        if optimizer == "sgd":
            return (state[0] - LR["sgd"] * g,), value
        p, m, v, n = state
        n, m, v = n + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        return (p - LR["adam"] * (m / (1 - 0.9**n)) / (jnp.sqrt(v / (1 - 0.999**n)) + 1e-8), m, v, n), value

    p = _blocks(layers)
    start = (p,) if optimizer == "sgd" else (p, np.zeros_like(p), np.zeros_like(p), np.zeros(()))
    data = jax.device_put((x, t))
    one = jax.jit(step, donate_argnums=0)
    whole = jax.jit(lambda state: jax.lax.scan(lambda s, _: step(s, data), state, None, epochs))

    def scanned() -> tuple[list[float], Any]:
        state, losses = jax.block_until_ready(whole(start))
        return losses.tolist(), state[0]

    def looped() -> tuple[list[float], Any]:
        state, losses = jax.device_put(start, may_alias=False), []
        for _ in range(epochs):
            state, value = one(state, data)
            losses.append(value)
        return [float(value) for value in losses], jax.block_until_ready(state[0])

    read = _of_blocks(sizes)
    return _ready(lambda: scanned if scan else looped, lambda result: read((result[0][-1], result[1])))


# PyTorch


def _torch_loss(loss: str) -> Callable[[Any, Any, Any], Any]:
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)

    def mean_loss(layers: Any, x: Any, t: Any) -> Any:
        for place, (w, b) in enumerate(layers):
            x = functional.linear(x.tanh() if place else x, w, b)
        if loss == "hinge":
            return (1 - t * x[:, 0]).relu().mean()
        return functional.mse_loss(x, t) if loss == "mse" else functional.cross_entropy(x, t)

    return mean_loss


def torch_mlp(layers: Layers, loss: str, x: Array, t: Array, compiled: bool = True) -> Ready:
    """Compiled: torch.func.grad_and_value of one flat tensor. Eager: torch.autograd.grad of the Ws and bs.

    Inductor caches on disk: TORCHINDUCTOR_FORCE_DISABLE_CACHES=1 makes the seconds those of compiling.
    """
    import torch

    mean_loss, sizes = _torch_loss(loss), sizes_of(layers)
    tx, tt = torch.from_numpy(x), torch.from_numpy(t)

    def compile_call() -> Callable[[], Any]:
        torch._dynamo.reset()
        flat = torch.from_numpy(_blocks(layers))
        both = torch.compile(
            torch.func.grad_and_value(lambda p, x, t: mean_loss(_split(p, sizes), x, t)), fullgraph=True, dynamic=False
        )
        return lambda: both(flat, tx, tt)[::-1]

    def eager_call() -> Callable[[], Any]:
        leaves = [(torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True)) for w, b in layers]
        parameters = [p for layer in leaves for p in layer]

        def call() -> Any:
            value = mean_loss(leaves, tx, tt)
            return value, torch.autograd.grad(value, parameters)

        return call

    read = _of_blocks(sizes)
    if compiled:
        return _ready(compile_call, read)
    return _ready(eager_call, lambda r: read((r[0].detach(), torch.cat([g.ravel() for g in r[1]]))))


def torch_train(
    layers: Layers, x: Array, t: Array, optimizer: str, epochs: int, compiled: bool = True, **how: bool
) -> Ready:
    """A loop with torch.optim, `how` its foreach= or fused=. The result: the losses, the parameters."""
    import torch

    mean_loss, sizes = _torch_loss("hinge"), sizes_of(layers)
    tx, tt = torch.from_numpy(x), torch.from_numpy(t)
    torch._dynamo.reset()
    both = torch.compile(
        torch.func.grad_and_value(lambda p, x, t: mean_loss(_split(p, sizes), x, t)), fullgraph=True, dynamic=False
    )

    def train() -> tuple[list[float], Any]:
        flat = torch.tensor(_blocks(layers))
        parameters = (
            [flat] if compiled else [part.clone().requires_grad_() for w_b in _split(flat, sizes) for part in w_b]
        )
        pairs = list(zip(parameters[::2], parameters[1::2], strict=False))
        descent = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](parameters, lr=LR[optimizer], **how)
        losses = []
        for _ in range(epochs):
            if compiled:
                flat.grad, value = both(flat, tx, tt)
            else:
                descent.zero_grad()
                value = mean_loss(pairs, tx, tt)
                value.backward()
            losses.append(value.detach())
            descent.step()
        return torch.stack(losses).tolist(), torch.cat([p.detach().ravel() for p in parameters])

    read = _of_blocks(sizes)
    return _ready(lambda: train, lambda result: read((result[0][-1], result[1])))


# micrograd


def micrograd_mlp(layers: Layers, loss: str, x: Array, t: Array) -> Ready:
    """Its neurons, with a tanh, which it lacks. It has no log: hinge and mse only."""
    from micrograd.engine import Value

    def tanh(a: Any) -> Any:
        out = Value(math.tanh(a.data), (a,), "tanh")

        def backward() -> None:
            a.grad += (1 - out.data * out.data) * out.grad

        out._backward = backward
        return out

    def make() -> Callable[[], Any]:
        neurons = [
            [([*map(Value, row)], Value(bias)) for row, bias in zip(w.tolist(), b.tolist(), strict=True)]
            for w, b in layers
        ]
        parameters = [p for layer in neurons for w, b in layer for p in (*w, b)]
        rows = zip(x.tolist(), t.reshape(len(x), -1).tolist(), strict=True)
        samples = [([*map(Value, row)], target) for row, target in rows]

        def sample_loss(x: Any, t: list[float]) -> Any:
            for place, layer in enumerate(neurons):
                x = [tanh(o) for o in x] if place else x
                x = [sum((wi * xi for wi, xi in zip(w, x, strict=True)), b) for w, b in layer]
            if loss == "hinge":
                return (1 + -t[0] * x[0]).relu()
            return sum([(o - a) ** 2 for o, a in zip(x, t, strict=True)]) * (1 / len(x))

        def call() -> tuple[float, list[float]]:
            for p in parameters:
                p.grad = 0
            value = sum([sample_loss(*sample) for sample in samples]) * (1 / len(samples))
            value.backward()
            return value.data, [p.grad for p in parameters]

        return call

    return _ready(make, _plain)


# ddx-ad


def _ddx_call(loss: Callable[[Any, Any], Any], parameters: Array, x: Array) -> Callable[[], Any]:
    """loss takes ddx's symbols for the parameters and for a row of x.

    A batch has a column of parameters in and a column of gradient out for each sample, which we average: so it goes in
    chunks that fit into the cache, in buffers made once.
    """
    import ddx

    n, (batch, width) = len(parameters), x.shape
    equation = ddx.equation(
        lambda: loss([ddx.var(f"p{i}") for i in range(n)], [ddx.param(f"x{i}") for i in range(width)])
    )
    size = min(batch, max(8, 2**15 // (n + width) // 8 * 8))
    equation.compile(points=size, veclib=ddx.VecLib.AUTO, cache_dir="")
    chunks = [x[i : i + size].T.copy() for i in range(0, batch, size)]
    buffers = {
        k: equation.buffer(np.zeros((n + width, k) if batch > 1 else n + width)) for k in {c.shape[1] for c in chunks}
    }
    means = {k: np.full(k, 1 / batch) for k in buffers}

    def one() -> Any:
        call = buffers[1]
        call.x[:n], call.x[n:] = parameters, x[0]
        call()
        return call.value, call.jacobian

    def many() -> Any:
        for call in buffers.values():
            call.x[:n] = parameters[:, None]
        value, gradient = 0.0, np.zeros(n)
        for chunk in chunks:
            call, mean = buffers[chunk.shape[1]], means[chunk.shape[1]]
            call.x[n:] = chunk
            call()
            value += call.value @ mean
            gradient += call.jacobian @ mean
        return value, gradient

    return many if batch > 1 else one


def ddx_mlp(layers: Layers, loss: str, x: Array, t: Array) -> Ready:
    """Compiled per sample. The graph is of scalars: one with vectors is interpreted."""
    import ddx

    sizes = sizes_of(layers)
    n_in, n_out = sizes[0], sizes[-1]

    def sample_loss(p: Any, row: Any) -> Any:
        values, targets, rest = row[:n_in], row[n_in:], iter(p)
        for place, (_, count) in enumerate(pairwise(sizes)):
            values = [ddx.tanh(o) for o in values] if place else values
            values = [sum([next(rest) * v for v in values]) + next(rest) for _ in range(count)]
        if loss == "hinge":
            return ddx.max(1 - targets[0] * values[0], ddx.Expression(0.0))
        if loss == "mse":
            return sum([(o - a) * (o - a) for o, a in zip(values, targets, strict=True)]) * (1 / n_out)
        right = sum([o * a for o, a in zip(values, targets, strict=True)])
        return ddx.log(sum([ddx.exp(o) for o in values])) - right

    rows = np.hstack([x, _one_hot(loss, t, n_out)])
    return _ready(lambda: _ddx_call(sample_loss, flatten(layers), rows), _plain)


def ddx_dag(graph: Graph, x: Array) -> Ready:
    import ddx

    return _ready(lambda: _ddx_call(lambda p, row: evaluate(graph, row, p, ddx), np.array(graph.parameters), x), _plain)


# CasADi


def _casadi_options(compiled: bool) -> dict[str, Any]:
    flags = ["-O3", "-march=native"]
    return {"jit": True, "compiler": "shell", "jit_options": {"flags": flags}} if compiled else {}


def _casadi_call(function: Any, *arrays: Array) -> Callable[[], Any]:
    """Through its buffers, which saves converting every argument. CasADi's matrices are by columns: give transposes."""
    buffer, run = function.buffer()
    value, gradient = np.zeros(1), np.zeros(function.numel_out(1))
    kept = [np.ascontiguousarray(a.ravel()) for a in arrays]
    for place, array in enumerate(kept):
        buffer.set_arg(place, memoryview(array))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))

    def call(_keep: Any = (buffer, kept)) -> Any:
        run()
        return value[0], gradient

    return call


def casadi_mlp(layers: Layers, loss: str, x: Array, t: Array, compiled: bool = True) -> Ready:
    """One sample as a graph of scalars (SX), a batch as one of matrices (MX), which gcc makes hardly faster."""
    import casadi

    sizes, batch = sizes_of(layers), len(x)
    kind = casadi.SX if batch == 1 else casadi.MX

    def make() -> Callable[[], Any]:
        flat, inputs = kind.sym("p", len(_blocks(layers))), kind.sym("x", sizes[0], batch)
        targets, values, at = kind.sym("t", sizes[-1], batch), inputs, 0
        for place, (n_in, n_out) in enumerate(pairwise(sizes)):
            w = casadi.reshape(flat[at : at + n_in * n_out], n_in, n_out).T
            at += n_in * n_out + n_out
            values = w @ (casadi.tanh(values) if place else values) + casadi.repmat(flat[at - n_out : at], 1, batch)
        if loss == "hinge":
            losses = casadi.fmax(0, 1 - targets * values)
        elif loss == "mse":
            losses = casadi.sum1((values - targets) ** 2) / sizes[-1]
        else:
            losses = casadi.log(casadi.sum1(casadi.exp(values))) - casadi.sum1(targets * values)
        mean = casadi.sum2(losses) / batch
        function = casadi.Function(
            "f", [flat, inputs, targets], [mean, casadi.gradient(mean, flat)], _casadi_options(compiled)
        )
        return _casadi_call(function, _blocks(layers), x, _one_hot(loss, t, sizes[-1]))

    return _ready(make, _of_blocks(sizes))


def casadi_dag(graph: Graph, x: Array, compiled: bool = True) -> Ready:
    """One sample as a graph of scalars (SX), mapped over a batch."""
    import casadi

    def make() -> Callable[[], Any]:
        row, p = casadi.SX.sym("x", INPUTS), casadi.SX.sym("p", PARAMETERS)
        value = evaluate(graph, casadi.vertsplit(row), casadi.vertsplit(p), casadi)
        outputs = [value, casadi.gradient(value, p)]
        if len(x) == 1:
            function = casadi.Function("f", [p, row], outputs, _casadi_options(compiled))
        else:
            one = casadi.Function("one", [p, row], outputs)
            parameters, rows = casadi.MX.sym("p", PARAMETERS), casadi.MX.sym("x", INPUTS, len(x))
            sums = one.map("many", "serial", len(x), [0], [0, 1])(parameters, rows)
            function = casadi.Function("f", [parameters, rows], [s / len(x) for s in sums], _casadi_options(compiled))
        return _casadi_call(function, np.array(graph.parameters), x)

    return _ready(make, _plain)
