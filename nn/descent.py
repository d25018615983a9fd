r"""One line of gradient descent, explained: the old value, the gradient with its chain rule, the new value.

>>> from autograd import Value
>>> w, x = Value(0.5, label="w"), Value(3.0, label="x")
>>> E = (w * x - 1) ** 2
>>> E.label = "E"
>>> print(explain_update(E, w, lr=0.1))
w ← w − lr · ∂E/∂w = 0.5 − 0.1 · 3 = 0.2
<BLANKLINE>
∂E/∂w = ∂E/∂⟨2⟩ · ∂⟨2⟩/∂⟨1⟩ · ∂⟨1⟩/∂w
      = 1 · 1 · 3 = 3
<BLANKLINE>
∂E/∂⟨2⟩ = 2·⟨2⟩ = 1
∂⟨2⟩/∂⟨1⟩ = 1
∂⟨1⟩/∂w = x = 3
<BLANKLINE>
⟨1⟩ = w·x
⟨2⟩ = ⟨1⟩ − 1
(⟨1⟩ and so on are names made up for want of a label)
"""

from math import isfinite

from autograd import Explanation, Value, explain
from autograd.explanation import Equation
from autograd.expressions import LATEX, TEXT, Style
from autograd.floats import real, six
from autograd.formulas import aligned


class Update:
    """What one step of gradient descent does to one parameter.

    parameter    the leaf; it is not changed
    old, new     its data before the step and after
    gradient     d(loss)/d(parameter)
    lr           the learning rate: new = old - lr * gradient
    explanation  of the gradient: an autograd.Explanation

    str() is the line and the explanation, `latex` the same in LaTeX, which notebooks show.
    """

    def __init__(self, parameter: Value, explanation: Explanation, lr: float) -> None:
        self.parameter, self.explanation, self.lr = parameter, explanation, lr
        self.old, self.gradient = parameter.data, explanation.total
        self.new = self.old - lr * self.gradient

    def equation(self, style: Style) -> Equation:
        """The line without the explanation."""
        derivative = style.name(self.explanation.factored.name)
        name = style.name(self.explanation.names[self.parameter])
        old, lr, gradient, new = [style.digits(six(x)) for x in (self.old, self.lr, self.gradient, self.new)]
        step = style.times.join([lr, gradient.join(style.brackets) if gradient[0] == "-" else gradient])
        minus, becomes, rate = (" - ", r" \leftarrow ", r"\eta") if style is LATEX else (" − ", " ← ", "lr")
        right = f"{name}{minus}{rate}{style.times}{derivative}"
        return Equation(f"{name}{becomes}{right}", [f"{old}{minus}{step}"], [], new)

    @property
    def latex(self) -> str:
        return aligned([*self.equation(LATEX).latex, *self.explanation.equations()])

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex}$"

    def __str__(self) -> str:
        return f"{self.equation(TEXT).text}\n\n{self.explanation}"

    __repr__ = __str__


def explain_update(loss: Value, parameter: Value, lr: float) -> Update:
    """One line of gradient descent for one parameter: old value, gradient and how it comes about, new value.

    Nothing is changed; `parameter.data = update.new` takes the step. Raises ValueError if parameter is no leaf, is
    frozen (a constant) or is not in the graph of loss, or if lr is not a finite number above 0; TypeError for
    anything but Values; StaleGraphError if a leaf was changed since loss was computed.

    >>> w = Value(2.0, label="w")
    >>> update = explain_update(w * w, w, lr=0.25)
    >>> update.old, update.gradient, update.new
    (2.0, 4.0, 1.0)
    """
    rate = real(lr)
    if not (isfinite(rate) and rate > 0):
        raise ValueError(f"lr: expected a finite number above 0, such as 0.1; got {lr!r}")
    if isinstance(parameter, Value) and (parameter.op is not None or parameter.kind == "constant"):
        what = "frozen: a constant" if parameter.op is None else "a result, not a leaf"
        raise ValueError(
            f"{parameter!r} is {what}, which no step changes; "
            "right: explain_update(loss, w, lr=0.1), where w is a parameter that loss was computed from"
        )
    return Update(parameter, explain(loss, parameter), rate)
