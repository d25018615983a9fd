"""How fit computes losses, gradients and updates: node by node, or with programs that autograd.jit makes.

Both give the same numbers, to rounding. What an engine is asked for:

    measured(epoch, learns)   the mean loss over all samples, and all outputs if they are asked for; the next
                              update(epoch) learns from this
    held_out()                the same of the validation samples
    shuffled(order)           the same indices of samples, of which slices are batches
    update(epoch, batch)      one step of the optimizer, on some of the samples
    release()                 parameters and optimizer hold what was learnt, before others may look at it or change it
    outdated()                whether they changed what needs another engine
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from math import isclose, isfinite
from typing import Any, Protocol
from weakref import ref

from autograd import OPS, Value, mean, no_grad
from autograd.hooks import hooked
from autograd.node import set_numbers, shared
from autograd.recording import in_words, modes, record_lines
from autograd.value import CONSTANT

from .module import unchanged
from .optimizers import Optimizer, Together

Loss = Callable[[Any, Any], Any]
Outputs = list[Any]
Samples = tuple[list[Any], list[Any]]


class Model(Protocol):
    """What fit can train: a Module, or whatever else can be called with an input and has parameters."""

    def __call__(self, x: Any, /) -> Any: ...
    def parameters(self) -> Iterable[Value]: ...


class Eager:
    """On Values: a graph for each update."""

    def __init__(
        self,
        model: Model,
        loss: Loss,
        optimizer: Optimizer,
        samples: Samples,
        held_out: Samples | None,
        outputs: bool = True,
    ) -> None:
        self.model, self.loss, self.optimizer, self.samples, self._held_out = model, loss, optimizer, samples, held_out
        self._losses: list[Any] = []

    @cached_property
    def parameters(self) -> list[Value]:
        return list(self.model.parameters())

    def measured(self, epoch: int, learns: bool) -> tuple[float, Outputs]:
        if learns:
            outputs, losses = self._forward(*self.samples)
        else:
            with no_grad():
                outputs, losses = self._forward(*self.samples)
        self._refuse_nonfinite(losses, range(len(losses)), epoch)
        self._losses = losses
        return mean([number(x) for x in losses]), outputs

    def held_out(self) -> tuple[float, Outputs]:
        assert self._held_out is not None
        with no_grad():
            outputs, losses = self._forward(*self._held_out)
        return mean([number(x) for x in losses]), outputs

    def shuffled(self, order: list[int]) -> list[int]:
        return order

    def update(self, epoch: int, batch: Sequence[int] | None = None) -> None:
        if batch is not None:
            self._losses = [self._sample_loss(i) for i in batch]
            self._refuse_nonfinite(self._losses, batch, epoch)
        total = mean(self._losses)
        if not isinstance(total, Value):
            raise TypeError("the loss is a plain number, so nothing can be learnt; right: a loss that returns a Value")
        self.optimizer.zero_grad()
        total.backward()
        bad = next((p for p in self.parameters if not isfinite(p.grad)), None)
        if bad is not None:
            raise nonfinite_gradient(bad, bad.grad, epoch, total.data)
        self.optimizer.step()

    def release(self) -> None:
        pass

    def outdated(self) -> bool:
        return False

    def _forward(self, X: list[Any], y: list[Any]) -> tuple[Outputs, list[Any]]:
        outputs = [self.model(x) for x in X]
        return outputs, [self.loss(output, target) for output, target in zip(outputs, y, strict=True)]

    def _sample_loss(self, i: int) -> Any:
        X, y = self.samples
        return self.loss(self.model(X[i]), y[i])

    def _refuse_nonfinite(self, losses: list[Any], samples: Sequence[int], epoch: int) -> None:
        """Raise FloatingPointError if a sample's loss is nan or infinite."""
        bad = next((k for k, x in enumerate(losses) if not isfinite(number(x))), None)
        if bad is not None:
            i = samples[bad]
            with record_lines() as lines:
                origin = _origin(self._sample_loss(i), lines)
            raise FloatingPointError(
                f"the loss is {number(losses[bad])} at epoch {epoch}, sample {i}: {origin}; "
                "the parameters are as before this update. Try a lower learning rate, inputs scaled to about 1, or a "
                "loss of logits (bce_with_logits_loss, cross_entropy_loss) in place of a log of probabilities"
            )


_COMPARED = 16  # targets for which the losses of both engines are compared


class Unsuited(Exception):
    """Why fit goes node by node."""


class Programs:
    """Of each sample's loss, and of its outputs: for one fit, and for the next if that has them do the same.

    They hold neither model nor loss, which whoever uses them does.
    """

    def __init__(self) -> None:
        from autograd import Program

        self.model = self.loss = _nothing
        self.losses = Program(lambda x, t: self.loss()(self.model()(x), t))
        self.outputs = Program(lambda x: self.model()(x))

    def do_as(self, model: Model, loss: Loss, example: Sequence[Any], outputs: bool) -> bool:
        """Whether they do what these do, each time: they are traced if they were not yet, and then once more."""
        self.model, self.loss = _held(model, _latest.clear), _held(loss)
        programs = [self.losses.trace(*example), *([self.outputs.trace(example[0])] if outputs else [])]
        trained = [tuple([p for p in x.leaves if p.kind != CONSTANT]) for x in programs]
        if not trained[0]:
            return not self.losses.parameters  # there is nothing to train
        return all([x.parameters == p and x.traces_alike() for x, p in zip(programs, trained, strict=True)])

    def keep(self) -> None:
        """For the next fit; but what the partials of an operation of one's own depend on no trace shows."""
        operations = self.losses.operations
        _latest[:] = [self] if all([OPS.get(op.name) is op for op in operations]) else []


_latest: list[Programs] = []  # those of the latest fit, or none


def _nothing() -> Any:
    return None


def _held(x: Any, gone: Callable[[], Any] = _nothing) -> Callable[[], Any]:
    """What gives x while somebody else holds it, and calls gone once nobody does."""
    try:
        return ref(x, lambda _: gone())
    except TypeError:  # its class has slots, and none for that
        return lambda: x


class Compiled:
    """With programs, on one flat vector of numbers. Raises Unsuited where model and loss do not make a program.

    An optimizer of nn's own moves that vector; another takes its steps on the Values.
    """

    def __init__(
        self, model: Model, loss: Loss, optimizer: Optimizer, samples: Samples, held_out: Samples | None, outputs: bool
    ) -> None:
        if hooked or modes:
            raise Unsuited
        try:
            import numpy as np

            from autograd import TraceError
        except ImportError:
            raise Unsuited from None
        self._np, self._eager, self._optimizer = np, Eager(model, loss, optimizer, samples, held_out), optimizer
        self._samples = self._arrays(samples)
        self._held_out = None if held_out is None else self._arrays(held_out)
        example, refused = [x[0] for x in self._samples], ""
        try:
            with unchanged(model, loss):
                programs = _latest.pop() if _latest else Programs()
                if programs.model() is not model or not programs.do_as(model, loss, example, outputs):
                    programs = Programs()
                    if not programs.do_as(model, loss, example, outputs):
                        raise Unsuited("it does not do the same each time it is called")
                self._loss, self._outputs = programs.losses, programs.outputs if outputs else None
                used = self._loss.parameters
                arranged = self._outputs is None or isinstance(self._outputs.map(self._samples[0][:1]), np.ndarray)
            if used:  # what has no derivative says so now
                self._loss.value_and_grad(*[x[:1] for x in self._samples])
        except (TraceError, Unsuited) as error:
            raise Unsuited(str(error)) from error
        except Exception as error:
            refused = f"{type(error).__name__}: {error}"
        try:
            with unchanged(model, loss):
                losses = self._losses_by_nodes(held_out)
        except Exception as error:  # which is raised again, in its own words
            raise Unsuited from error
        if refused or not used:
            raise Unsuited(refused)
        if not arranged:
            raise Unsuited("what the model returns, for the metric, is not put together as an array is")
        self._compare(losses)
        programs.keep()
        # The vector: what the loss uses, in its order; then what else the optimizer moves, or the outputs use.
        own = type(optimizer).__module__ == Optimizer.__module__
        own = own and not {"zero_grad", "step", "_moved"} & vars(optimizer).keys()
        listed = optimizer.parameters if own else []
        shown = () if self._outputs is None else self._outputs.parameters
        self._leaves = list(dict.fromkeys([*used, *[p for p in listed if p.kind != CONSTANT], *shown]))
        self._used = len(used)
        place = {p: k for k, p in enumerate(self._leaves)}
        moved = [(i, place[p]) for i, p in enumerate(listed) if p.kind != CONSTANT]
        self._moved = [i for i, _ in moved] if own else None
        self._places = self._indices([k for _, k in moved])
        self._for_outputs = self._indices([place[p] for p in shown])
        self._watched = list(dict.fromkeys([*self._loss.leaves, *self._leaves, *listed]))
        self._kinds = [p.kind for p in self._watched]
        self._released, self._since = True, -1  # the numbers to go on from are those of the Values, as of then
        self._together: Together | None = None
        self._total, self._gradient = 0.0, np.array([p.grad for p in self._leaves])
        self._learnt = self._gradient  # what the next update is to go by

    def measured(self, epoch: int, learns: bool) -> tuple[float, Outputs]:
        if self._released:
            self._take()
        if learns:
            self._learn(self._samples)
        else:
            self._total = self._loss.value(*self._samples, params=self._numbers[: self._used])
        if not isfinite(self._total):
            self.release()
            return self._eager.measured(epoch, learns)  # raises, and says why
        return self._total, self._all_outputs(self._samples[0])

    def held_out(self) -> tuple[float, Outputs]:
        assert self._held_out is not None
        total = self._loss.value(*self._held_out, params=self._numbers[: self._used])
        return total, self._all_outputs(self._held_out[0])

    def shuffled(self, order: list[int]) -> Any:
        return self._np.array(order)

    def update(self, epoch: int, batch: Any = None) -> None:
        if self._released:
            self._take()
        if batch is not None:
            self._learn([x.take(batch, 0) for x in self._samples])
        g = self._gradient = self._learnt
        if not isfinite(self._np.vdot(g, g)) or not isfinite(self._total):  # dot warns of an overflow
            self.release()
            if batch is None:
                self._eager.measured(epoch, True)
            self._eager.update(epoch, batch)  # raises, and says why
        elif self._together is None:
            self._optimizer.zero_grad()
            self.release()
            self._optimizer.step()
        elif self._places is None:
            self._together.step(g)
            self._numbers = self._together.numbers
        else:
            self._together.step(g[self._places])
            self._numbers = self._reached()

    def release(self) -> None:
        if not self._released:
            self._numbers = self._reached()
            set_numbers(self._leaves, self._numbers.tolist(), self._gradient.tolist())
            if self._together is not None:
                self._together.release()
            self._released, self._since = True, shared.now

    def outdated(self) -> bool:
        return self._released and (bool(hooked or modes) or [p.kind for p in self._watched] != self._kinds)

    def _losses_by_nodes(self, held_out: Samples | None) -> list[tuple[int, Any, Any, float]]:
        """Losses of some inputs, and of the first with each target, for a traced target cannot be refused: the input's
        index, the target, as it was given and as an array of one, and the loss."""
        (X, y), (_, targets), model, loss = self._eager.samples, self._samples, self._eager.model, self._eager.loss
        spread = {len(X) // 3, 2 * len(X) // 3, len(X) - 1}
        losses = [(i, y[i], targets[i : i + 1], number(loss(model(X[i]), y[i]))) for i in sorted(spread)]
        output = model(X[0])
        columns = [(y, targets)]
        if held_out is not None and self._held_out is not None:
            columns.append((held_out[1], self._held_out[1]))
        for given, arrays in columns:
            found = [
                (0, given[i], arrays[i : i + 1], number(loss(output, given[i])))
                for i in self._np.unique(arrays, axis=0, return_index=True)[1]
            ]
            losses += found[:: len(found) // _COMPARED + 1]
        return losses

    def _compare(self, losses: list[tuple[int, Any, Any, float]]) -> None:
        """Refuse what goes by the type of a number, or by its digits: a trace finds another."""
        for i, given, target, by_nodes in losses:
            x = self._samples[0][i : i + 1]
            traced = self._loss.value_and_grad(x, target)[0]
            scale = max(self._np.abs(x).max(initial=0.0), self._np.abs(target).max(initial=0.0))
            alike = isclose(traced, by_nodes, rel_tol=1e-6, abs_tol=1e-9 * scale)  # even if terms cancel
            if not alike and (isfinite(traced) or isfinite(by_nodes)):
                raise Unsuited(
                    f"it does not do the same with numbers as when traced: the loss of input {i} with the target "
                    f"{given!r:.60} is {by_nodes:.6g}, and when traced {traced:.6g}"
                )

    def _take(self) -> None:
        if self._since != shared.now:  # else nobody has set any number
            self._numbers = self._np.array([p.data for p in self._leaves])
        if self._moved is not None:
            numbers = self._numbers if self._places is None else self._numbers[self._places]
            self._together = Together(self._optimizer, self._moved, numbers)
        self._released = False

    def _reached(self) -> Any:
        """The vector after the last whole step."""
        if self._together is None:
            return self._numbers
        if self._places is None:
            return self._together.numbers
        numbers = self._numbers.copy()
        numbers[self._places] = self._together.numbers
        return numbers

    def _learn(self, samples: list[Any]) -> None:
        if self._used == len(self._leaves):
            self._total, self._learnt = self._loss.value_and_grad(*samples, params=self._numbers)
        else:
            self._total, gradient = self._loss.value_and_grad(*samples, params=self._numbers[: self._used])
            self._learnt = self._np.concatenate((gradient, self._np.zeros(len(self._leaves) - self._used)))

    def _all_outputs(self, X: Any) -> Outputs:
        if self._outputs is None:
            return []
        numbers = self._numbers if self._for_outputs is None else self._numbers[self._for_outputs]
        outputs: Outputs = _in_values(self._outputs.map(X, params=numbers).tolist())
        return outputs

    def _arrays(self, columns: Samples) -> list[Any]:
        try:
            arrays = [self._np.asarray(column) for column in columns]
        except (TypeError, ValueError):
            raise Unsuited from None
        if any([x.dtype.kind not in "fiub" for x in arrays]):
            raise Unsuited
        return [self._np.asarray(x, dtype=float, order="C") for x in arrays]

    def _indices(self, places: list[int]) -> Any:
        """Them as an array; None for all, in order."""
        return None if places == list(range(len(self._leaves))) else self._np.array(places, dtype=int)


def engine(
    model: Model, loss: Loss, optimizer: Optimizer, samples: Samples, held_out: Samples | None, outputs: bool
) -> "Eager | Compiled":
    """The faster of the two that suits; a warning says why it is not, if that could be helped."""
    try:
        return Compiled(model, loss, optimizer, samples, held_out, outputs)
    except Unsuited as error:
        if str(error):
            warnings.warn(f"fit goes node by node, for the model or loss makes no program: {error}", stacklevel=3)
        return Eager(model, loss, optimizer, samples, held_out)


def _in_values(numbers: Any) -> Any:
    return [_in_values(x) for x in numbers] if isinstance(numbers, list) else Value(numbers)


def number(x: Any) -> float:
    return x.data if isinstance(x, Value) else float(x)


def nonfinite_gradient(parameter: Value, gradient: float, epoch: int, loss: float) -> FloatingPointError:
    return FloatingPointError(
        f"the gradient of {parameter.label or repr(parameter)} is {gradient} at epoch {epoch}, where the loss is "
        f"{loss:.4g}; the parameters are as before this update; autograd.detect_anomaly() shows where it comes from"
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
