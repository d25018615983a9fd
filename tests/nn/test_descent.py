"""One line of gradient descent."""

import math

import pytest
from hypothesis import given, strategies as st

import nn
from autograd import StaleGraphError, Value, sigmoid


def squared_error(w: float, x: float) -> tuple[Value, Value]:
    weight, out = Value(w, label="w5"), None
    out = sigmoid(weight * x)
    out.label = "out"
    E = 0.5 * (0.01 - out) ** 2
    E.label = "E"
    return weight, E


def test_the_line_as_a_textbook_writes_it():
    w, E = squared_error(0.4, 0.6)
    update = nn.explain_update(E, w, lr=0.5)
    first, blank, *rest = str(update).splitlines()
    assert first == "w5 ← w5 − lr · ∂E/∂w5 = 0.4 − 0.5 · 0.0812810 = 0.359360"
    assert (blank, "\n".join(rest)) == ("", str(update.explanation))
    assert update.latex.splitlines()[1] == (
        r"w_{5} \leftarrow w_{5} - \eta \cdot \frac{\partial E}{\partial w_{5}} "
        r"&= 0.4 - 0.5 \cdot 0.0812810 = 0.359360 \\[4pt]"
    )
    assert update._repr_latex_() == rf"$\displaystyle {update.latex}$"


def test_a_negative_gradient_stands_in_brackets():
    w = Value(1.0, label="w")
    update = nn.explain_update((w - 3) ** 2, w, lr=0.25)
    assert str(update).splitlines()[0] == "w ← w − lr · ∂⟨2⟩/∂w = 1 − 0.25 · (-4) = 2"


@given(w=st.floats(-3, 3), x=st.floats(-3, 3), lr=st.floats(1e-6, 10))
def test_it_is_the_step_that_sgd_takes_and_changes_nothing(w: float, x: float, lr: float):
    weight, E = squared_error(w, x)
    update = nn.explain_update(E, weight, lr)
    assert (update.old, weight.data, weight.grad) == (w, w, 0.0)
    E.backward()
    assert math.isclose(update.gradient, weight.grad, rel_tol=1e-12, abs_tol=1e-300)
    nn.SGD([weight], lr=lr).step()
    assert math.isclose(update.new, weight.data, rel_tol=1e-12, abs_tol=1e-12)


def test_a_model_descends():
    model = nn.MLP(2, [2, 1], activation="tanh", seed=0)
    parameter = model.parameters()[0]

    def loss() -> Value:
        return nn.half_squared_error(model([0.5, -1.0]), 1.0)

    before = loss().data
    for _ in range(5):
        parameter.data = nn.explain_update(loss(), parameter, lr=0.1).new
    assert loss().data < before


@pytest.mark.parametrize("lr", [0, -0.1, math.inf, math.nan])
def test_a_rate_that_is_none(lr: float):
    w, E = squared_error(0.4, 0.6)
    with pytest.raises(ValueError, match=r"lr: expected a finite number above 0, such as 0\.1; got"):
        nn.explain_update(E, w, lr)


def test_what_no_step_changes():
    w, E = squared_error(0.4, 0.6)
    with pytest.raises(ValueError, match="a result, not a leaf"):
        nn.explain_update(E, E, 0.1)
    with pytest.raises(ValueError, match="does not depend on"):
        nn.explain_update(E, Value(1.0, label="u"), 0.1)
    w.kind = "constant"
    with pytest.raises(ValueError, match="frozen"):
        nn.explain_update(E, w, 0.1)
    with pytest.raises(TypeError, match="expected Values, got str"):
        nn.explain_update(E, "w5", 0.1)  # type: ignore[arg-type]


def test_a_stale_loss():
    w, E = squared_error(0.4, 0.6)
    w.data = 1.0
    with pytest.raises(StaleGraphError, match="w5"):
        nn.explain_update(E, w, 0.1)
