"""fit: train a model on samples, and keep a record of how it went.

>>> from nn import MLP, SGD
>>> X, y = [[-1.0], [0.0], [1.0]], [-3.0, -1.0, 1.0]
>>> model = MLP(1, [1], seed=0)
>>> history = fit(model, X, y, optimizer=SGD(model.parameters(), lr=0.5), epochs=30)
>>> f"{history.loss[-1]:.6f} {model.layers[0].neurons[0].w[0]:.3f}"
'0.000000 2.000'
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from tqdm import tqdm

from .engines import Eager, Model, engine, number
from .losses import is_sequence, mse_loss
from .optimizers import Adam, Optimizer
from .schedules import Schedule


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
    jit: bool = True,
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
    jit         whether to train at machine speed where that can be: NumPy is installed, model and loss make a program.
                What they do is found out at the start: a callback may set the numbers, kinds and hooks of Values, and
                what the optimizer keeps; with jit=False, also what else model and loss depend on

    Metric, schedule, callback and an optimizer of your own find in the Values what was learnt so far; another thread
    may find what was learnt when one of these was last called.

    Epochs and samples count from 0. Returns the History. Raises ValueError if X and y are empty, ragged or of
    different lengths; FloatingPointError if a loss or gradient is nan or infinite, before the update that
    would follow. After any error or interrupt the parameters are those of the last whole update.
    """
    samples = _samples(X, y, "X", "y")
    held_out = None if validation is None else _samples(*validation, "validation X", "validation y")
    count = len(samples[0])
    size = count if batch_size is None else batch_size
    for name, given, least in (("epochs", epochs, 0), ("batch_size", size, 1)):
        if not isinstance(given, int) or given < least:
            raise ValueError(f"{name} is a whole number from {least} up, got {given!r}")
    if isinstance(optimizer, type):
        name = optimizer.__name__
        raise TypeError(f"wrong: optimizer={name}; right: optimizer={name}(model.parameters())")
    if optimizer is None:
        optimizer = schedule.optimizer if schedule is not None else Adam(model.parameters(), lr=0.01)
    whole, order, rng, history = size >= count, list(range(count)), random.Random(seed), History()
    choose, setting = engine if jit else Eager, (model, loss, optimizer, samples, held_out, metric is not None)
    trainer = choose(*setting)
    with tqdm(total=epochs, unit="epoch", disable=None if progress is None else not progress) as bar:
        try:
            for epoch in range(epochs):
                start = perf_counter()
                if trainer.outdated():
                    trainer = choose(*setting)
                measured, outputs = trainer.measured(epoch, whole)
                history.loss.append(measured)
                if metric is not None:
                    trainer.release()
                    history.metric.append(number(metric(outputs, samples[1])))
                if held_out is not None:
                    measured, outputs = trainer.held_out()
                    history.validation_loss.append(measured)
                    if metric is not None:
                        history.validation_metric.append(number(metric(outputs, held_out[1])))
                if whole:
                    trainer.update(epoch)
                else:
                    rng.shuffle(order)
                    indices = trainer.shuffled(order)
                    for k in range(0, count, size):
                        trainer.update(epoch, indices[k : k + size])
                if schedule is not None:
                    if type(schedule).__module__ != Schedule.__module__:  # ours do no more than set lr
                        trainer.release()
                    schedule.step()
                history.seconds.append(perf_counter() - start)
                if not bar.disable:
                    bar.set_postfix_str(f"loss {history.loss[-1]:.4g}", refresh=False)
                    bar.update()
                if callback is not None:
                    trainer.release()
                    if callback(epoch, history):
                        break
        finally:
            try:
                trainer.release()
            except KeyboardInterrupt:  # which came between two of the numbers
                trainer.release()
                raise
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
        scores = [number(o) for o in output]
        return bool(scores.index(max(scores)) == target)
    return bool((number(output) > threshold) == (target > 0))


def _samples(X: Iterable[Any], y: Iterable[Any], *names: str) -> tuple[list[Any], list[Any]]:
    """X and y as lists; ValueError unless both have as many rows, at least one, each as long as the first."""
    X, y = ([*rows.tolist()] if hasattr(rows, "tolist") else list(rows) for rows in (X, y))
    if not X or len(X) != len(y):
        raise ValueError(
            f"expected as many rows in {names[0]} as in {names[1]}, at least one; got {len(X)} and {len(y)}"
        )
    for name, rows in zip(names, (X, y), strict=True):
        if (kinds := {*map(type, rows)}) == {float} or (kinds == {list} and len({*map(len, rows)}) == 1):
            continue
        widths = [len(row) if is_sequence(row) else None for row in rows]
        odd = next((i for i, width in enumerate(widths) if width != widths[0]), None)
        if odd is not None:
            first, other = ("one number" if widths[i] is None else f"of length {widths[i]}" for i in (0, odd))
            raise ValueError(f"the rows of {name} differ: row 0 is {first}, row {odd} is {other}")
    return X, y
