"""fit: train a model on samples, and keep a record of how it went.

>>> from nn import MLP, SGD
>>> X, y = [[-1.0], [0.0], [1.0]], [-3.0, -1.0, 1.0]
>>> model = MLP(1, [1], seed=0)
>>> history = fit(model, X, y, optimizer=SGD(model.parameters(), lr=0.5), epochs=30)
>>> f"{history.loss[-1]:.6f} {model.layers[0].neurons[0].w[0]:.3f}"
'0.000000 2.000'
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import isfinite
from time import perf_counter
from typing import Any, Protocol

from tqdm import tqdm

from autograd import Value, mean, no_grad
from autograd.recording import in_words, record_lines

from .losses import is_sequence, mse_loss
from .optimizers import Adam, Optimizer
from .schedules import Schedule


class Model(Protocol):
    """What fit can train: a Module, or whatever else can be called with an input and has parameters."""

    def __call__(self, x: Any, /) -> Any: ...
    def parameters(self) -> Iterable[Value]: ...


@dataclass(repr=False)
class History:
    """One entry per epoch: loss and metric as they were before its updates, and the seconds it took.

    metric is empty without a metric, the validation lists without validation data.
    """

    loss: list[float] = field(default_factory=list)
    metric: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __repr__(self) -> str:
        ends = [f", {name} {x[0]:.4g} to {x[-1]:.4g}" for name, x in vars(self).items() if x and name != "seconds"]
        return f"<History of {len(self.seconds)} epochs{''.join(ends)}, {sum(self.seconds):.3g} s>"


def fit(
    model: Model,
    X: Iterable[Any],
    y: Iterable[Any],
    *,
    loss: Callable[[Any, Any], Any] = mse_loss,
    optimizer: Optimizer | None = None,
    epochs: int = 100,
    batch_size: int | None = None,
    validation: tuple[Iterable[Any], Iterable[Any]] | None = None,
    seed: int | None = None,
    metric: Callable[[Sequence[Any], Sequence[Any]], Any] | None = None,
    schedule: Schedule | None = None,
    callback: Callable[[int, History], Any] | None = None,
    progress: bool | None = None,
) -> History:
    """Train model so that model(x) comes close to its target, for the samples x in X with their targets in y.

    loss        of one sample: loss(model(x), target); a batch takes the mean
    optimizer   Adam(model.parameters(), lr=0.01) if there is none (that of the schedule, if there is one)
    batch_size  how many samples make an update; all of them if None. seed determines their order
    validation  (X, y) that are measured and not trained on
    metric      metric(outputs, targets) of all samples, such as nn.accuracy
    schedule    stepped after each epoch
    callback    callback(epoch, history) after each epoch; training stops if it returns True
    progress    whether to show a progress bar on stderr; if None, where stderr is a terminal

    Epochs and samples count from 0. Returns the History. Raises ValueError if X and y are empty, ragged or of
    different lengths; FloatingPointError if a loss or gradient is nan or infinite, before the update that
    would follow. After any error or interrupt the parameters are those of the last whole update.
    """
    X, y = _samples(X, y, "X", "y")
    held_out = None if validation is None else _samples(*validation, "validation X", "validation y")
    size = len(X) if batch_size is None else batch_size
    for name, count, least in (("epochs", epochs, 0), ("batch_size", size, 1)):
        if not isinstance(count, int) or count < least:
            raise ValueError(f"{name} is a whole number from {least} up, got {count!r}")
    if isinstance(optimizer, type):
        name = optimizer.__name__
        raise TypeError(f"wrong: optimizer={name}; right: optimizer={name}(model.parameters())")
    if optimizer is None:
        optimizer = schedule.optimizer if schedule is not None else Adam(model.parameters(), lr=0.01)
    whole, order, rng = size >= len(X), list(range(len(X))), random.Random(seed)
    parameters, history = list(model.parameters()), History()

    def sample_loss(i: int) -> Any:
        return loss(model(X[i]), y[i])

    with tqdm(total=epochs, unit="epoch", disable=None if progress is None else not progress) as bar:
        for epoch in range(epochs):
            start = perf_counter()
            with nullcontext() if whole else no_grad():
                outputs, losses = _forward(model, loss, X, y)
            _refuse_nonfinite(losses, range(len(X)), epoch, sample_loss)
            _record(history.loss, history.metric, outputs, losses, y, metric)
            if held_out is not None:
                with no_grad():
                    measured = _forward(model, loss, *held_out)
                _record(history.validation_loss, history.validation_metric, *measured, held_out[1], metric)
            if whole:
                _update(parameters, optimizer, losses, epoch)
            else:
                rng.shuffle(order)
                for k in range(0, len(X), size):
                    batch = order[k : k + size]
                    losses = [sample_loss(i) for i in batch]
                    _refuse_nonfinite(losses, batch, epoch, sample_loss)
                    _update(parameters, optimizer, losses, epoch)
            if schedule is not None:
                schedule.step()
            history.seconds.append(perf_counter() - start)
            bar.set_postfix_str(f"loss {history.loss[-1]:.4g}", refresh=False)
            bar.update()
            if callback is not None and callback(epoch, history):
                break
    return history


def accuracy(outputs: Sequence[Any], targets: Sequence[Any], threshold: float = 0.0) -> float:
    """The fraction of samples that are right, from 0 to 1. Outputs are Values or numbers.

    A sequence of outputs (one for each class) is right if the largest is at the index that target says.
    A single output is right if it is above the threshold just where target is above 0: leave 0 for logits
    and scores, take 0.5 for probabilities. Raises ValueError if there are no samples or too few targets.

    >>> accuracy([[0.1, 2.0], [0.3, 0.2]], [1, 1]), accuracy([-0.5, 3.0], [-1, 1])
    (0.5, 1.0)
    """
    if not len(outputs) or len(outputs) != len(targets):
        raise ValueError(f"expected as many outputs as targets, at least one; got {len(outputs)} and {len(targets)}")
    return sum([_right(o, t, threshold) for o, t in zip(outputs, targets, strict=True)]) / len(outputs)


def _right(output: Any, target: Any, threshold: float) -> bool:
    if is_sequence(output):
        scores = [_number(o) for o in output]
        return bool(scores.index(max(scores)) == target)
    return bool((_number(output) > threshold) == (target > 0))


def _forward(model: Model, loss: Callable[[Any, Any], Any], X: Any, y: Any) -> tuple[list[Any], list[Any]]:
    outputs = [model(x) for x in X]
    return outputs, [loss(output, target) for output, target in zip(outputs, y, strict=True)]


def _record(
    losses: list[float],
    metrics: list[float],
    outputs: list[Any],
    sample_losses: list[Any],
    targets: list[Any],
    metric: Callable[[Sequence[Any], Sequence[Any]], Any] | None,
) -> None:
    losses.append(mean([_number(x) for x in sample_losses]))
    if metric is not None:
        metrics.append(_number(metric(outputs, targets)))


def _update(parameters: list[Value], optimizer: Optimizer, losses: list[Any], epoch: int) -> None:
    total = mean(losses)
    if not isinstance(total, Value):
        raise TypeError("the loss is a plain number, so nothing can be learnt; right: a loss that returns a Value")
    optimizer.zero_grad()
    total.backward()
    bad = next((p for p in parameters if not isfinite(p.grad)), None)
    if bad is not None:
        raise FloatingPointError(
            f"the gradient of {bad.label or repr(bad)} is {bad.grad} at epoch {epoch}, where the loss is {total:.4g}; "
            "the parameters are as before this update; autograd.detect_anomaly() shows where it comes from"
        )
    optimizer.step()


def _refuse_nonfinite(losses: list[Any], samples: Sequence[int], epoch: int, again: Callable[[int], Any]) -> None:
    """Raise FloatingPointError if a sample's loss is nan or infinite; again(i) is that of sample i, with its graph."""
    bad = next((k for k, x in enumerate(losses) if not isfinite(_number(x))), None)
    if bad is not None:
        i = samples[bad]
        with record_lines() as lines:
            origin = _origin(again(i), lines)
        raise FloatingPointError(
            f"the loss is {_number(losses[bad])} at epoch {epoch}, sample {i}: {origin}; "
            "the parameters are as before this update. Try a lower learning rate, inputs scaled to about 1, or a "
            "loss of logits (bce_with_logits_loss, cross_entropy_loss) in place of a log of probabilities"
        )


def _origin(loss: Any, lines: Mapping[Value, str]) -> str:
    """Words for the node where a non-finite loss began: the first whose operands are still finite."""
    if not isinstance(loss, Value):
        return "the loss is a plain number"
    node = loss
    while (operand := next((v for v in node.parents if not isfinite(v.data)), None)) is not None:
        node = operand
    if node.op is None:
        return f"{node.label or 'a leaf'} is {node.data}"
    return f"{in_words(node)} is {node.data}, and the first to be so; made at {lines[node]}"


def _number(x: Any) -> float:
    return x.data if isinstance(x, Value) else float(x)


def _samples(X: Iterable[Any], y: Iterable[Any], *names: str) -> tuple[list[Any], list[Any]]:
    """X and y as lists; ValueError unless both have as many rows, at least one, each as long as the first."""
    X, y = ([*rows.tolist()] if hasattr(rows, "tolist") else list(rows) for rows in (X, y))
    if not X or len(X) != len(y):
        raise ValueError(
            f"expected as many rows in {names[0]} as in {names[1]}, at least one; got {len(X)} and {len(y)}"
        )
    for name, rows in zip(names, (X, y), strict=True):
        widths = [len(row) if is_sequence(row) else None for row in rows]
        odd = next((i for i, width in enumerate(widths) if width != widths[0]), None)
        if odd is not None:
            first, other = ("one number" if widths[i] is None else f"of length {widths[i]}" for i in (0, odd))
            raise ValueError(f"the rows of {name} differ: row 0 is {first}, row {odd} is {other}")
    return X, y
