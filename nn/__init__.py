"""Neural networks of autograd Values: modules, losses, optimizers, and a training loop.

>>> import nn
>>> model = nn.MLP(2, [4, 1], activation="tanh", seed=0)
>>> history = nn.fit(model, [[0, 0], [0, 1], [1, 0], [1, 1]], [-1, 1, 1, -1], epochs=3)
>>> len(history.loss), len(model.parameters())
(3, 17)
"""

from typing import TYPE_CHECKING, Any

from .fit import History, accuracy, fit
from .layers import MLP, Layer, Neuron
from .losses import (
    bce_loss,
    bce_with_logits_loss,
    cross_entropy_loss,
    half_squared_error,
    hinge_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    sum_squared_error,
)
from .module import Module
from .optimizers import SGD, Adam, AdamW, RMSprop, clip_grad_norm, clip_grad_value
from .schedules import CosineAnnealingLR, ExponentialLR, StepLR

if TYPE_CHECKING:
    from .descent import Update, explain_update

__all__ = [
    *("MLP", "Layer", "Module", "Neuron"),
    *("bce_loss", "bce_with_logits_loss", "cross_entropy_loss", "half_squared_error", "hinge_loss"),
    *("huber_loss", "l1_loss", "mse_loss", "sum_squared_error"),
    *("SGD", "Adam", "AdamW", "RMSprop", "clip_grad_norm", "clip_grad_value"),
    *("CosineAnnealingLR", "ExponentialLR", "StepLR"),
    *("History", "accuracy", "fit"),
    *("Update", "explain_update"),
]


def __getattr__(name: str) -> Any:
    if name in ("Update", "explain_update"):  # explanations are imported only when used
        from . import descent

        return getattr(descent, name)
    raise AttributeError(f"module 'nn' has no attribute {name!r}", name=name)
