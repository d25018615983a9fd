"""no_grad and detect_anomaly: what a thread records while it builds a graph."""

import inspect
import math
import threading
from collections.abc import Callable

import pytest

import autograd
from autograd import (
    AnomalyError,
    Value,
    derivative,
    detect_anomaly,
    grad,
    gradients,
    hessian,
    jacobian,
    jvp,
    no_grad,
    recording,
    value_and_grad,
)
from autograd.recording import record_lines


def test_results_are_leaves_under_no_grad_for_every_number_of_operands() -> None:
    x, y = Value(2.0), Value(3.0)
    with no_grad():
        results = [x + y, 2 * x, -x, autograd.sum([x, y]), autograd.clamp(x, 0, 1), autograd.affine([x], [y], 1)]
    assert [r.data for r in results] == [5.0, 4.0, -2.0, 5.0, 1.0, 7.0]
    for result in results:
        assert result.op is None
        assert result.parents == ()
        assert result.kind == "variable"
        result.data = 1.0


def test_the_graph_is_recorded_again_after_no_grad_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), no_grad(), no_grad():
        raise ZeroDivisionError
    assert (Value(1.0) + 1).op is autograd.OPS["add"]
    assert not recording.modes


def test_no_grad_holds_in_its_own_thread_only() -> None:
    made: list[Value] = []
    with no_grad():
        thread = threading.Thread(target=lambda: made.append(Value(1.0) + 1))
        thread.start()
        thread.join()
        assert (Value(1.0) + 1).op is None
    assert made[0].op is not None


def test_detect_anomaly_names_operation_operands_and_line_of_the_first_bad_value() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    with pytest.raises(AnomalyError) as caught, detect_anomaly():
        p = Value(0.0, label="p")
        line = frame.f_lineno + 1
        q = autograd.log(p)
        q + 1
    message = str(caught.value)
    assert "log(p = 0.0) is -inf" in message
    assert f"line {line} of {__file__}" in message


def test_detect_anomaly_lets_through_what_was_bad_before() -> None:
    with detect_anomaly():
        assert math.isinf((Value(math.inf) + 1).data)


def test_detect_anomaly_lets_numbers_be_infinite() -> None:
    with detect_anomaly():
        assert autograd.clamp(Value(2.0), min=0.0).data == 2.0  # its max is inf
        assert autograd.minimum(Value(2.0), math.inf).data == 2.0


def test_lines_are_recorded_beside_other_modes() -> None:
    with no_grad(), record_lines():
        assert (Value(1.0) + 1).op is None
    with pytest.raises(AnomalyError, match="made at line"), detect_anomaly(), record_lines():
        1 / Value(0.0)


def test_detect_anomaly_sees_n_ary_rows() -> None:
    with pytest.raises(AnomalyError, match=r"sum\(1e\+308, 1e\+308\) is inf"), detect_anomaly():
        autograd.sum([Value(1e308), Value(1e308)])
    eight = ", ".join(["1e\\+308"] * 8)
    with pytest.raises(AnomalyError, match=rf"sum\({eight}, and 12 more\) is inf"), detect_anomaly():
        autograd.sum([Value(1e308)] * 20)


def test_detect_anomaly_names_the_node_whose_gradient_went_bad_and_keeps_the_leaves() -> None:
    x = Value(0.0, label="x")
    x.grad = 7.0
    with detect_anomaly():
        y = autograd.sqrt(x)
        with pytest.raises(AnomalyError, match=r"gradient of operand 0 of sqrt\(x = 0.0\) is inf.*made at line"):
            (y * 2).backward()
    assert x.grad == 7.0
    assert y.grad == 0.0  # nothing is left of a pass that failed


def test_detect_anomaly_says_nothing_when_all_is_well() -> None:
    x = Value(2.0)
    with detect_anomaly():
        (x * x).backward()
    assert x.grad == 4.0
    assert not recording.modes


def test_no_grad_inside_detect_anomaly_still_detects() -> None:
    with pytest.raises(AnomalyError), detect_anomaly(), no_grad():
        1 / Value(0.0)


# Gradients and transforms


def test_nan_from_numbers_that_are_infinite_is_an_anomaly_and_infinity_from_one_is_none() -> None:
    inf = Value(math.inf, label="inf")
    with detect_anomaly():
        assert (inf + 1).data == math.inf
        assert (-inf * 2).data == -math.inf
        for make in (lambda: inf - inf, lambda: inf * 0.0, lambda: inf / inf, lambda: autograd.sin(inf)):
            with pytest.raises(AnomalyError, match=r"inf = inf.* is nan, made at line \d+ of "):
                make()


@pytest.mark.parametrize(
    "make",
    [
        lambda v: v + 1,
        lambda v: 2 * v,
        lambda v: autograd.exp(v),
        lambda v: autograd.sum([1.0, v, 2.0]),
        lambda v: autograd.affine([v], [2.0], 1.0),
        lambda v: autograd.maximum(v, 1.0),
        lambda v: v**0.5,
    ],
)
def test_an_operand_that_is_nan_is_an_anomaly(make: Callable[[Value], Value]) -> None:
    """As in PyTorch: what nan is made of is bad, wherever the nan came from."""
    v = Value(math.nan, label="v")
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"v = nan.* is nan, made at line"):
        make(v)
    make(v)


def test_a_nan_that_a_row_drops_is_none() -> None:
    v = Value(math.nan, label="v")
    with detect_anomaly():
        assert autograd.where(1.0, 2.0, v).data == 2.0
        assert (v**0).data == 1.0


def test_gradients_name_the_node_whose_gradient_went_bad() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    x = Value(0.0, label="x")
    x.grad = 7.0
    with detect_anomaly():
        line = frame.f_lineno + 1
        y = 3 * autograd.sqrt(x)
        with pytest.raises(
            AnomalyError, match=r"gradient of operand 0 of sqrt\(x = 0.0\) is inf.*own is 3.0"
        ) as caught:
            gradients(y, x)
        assert f"line {line} of {__file__}" in str(caught.value)
        with pytest.raises(AnomalyError, match="inf"):
            gradients(y, x, create_graph=True)
        assert gradients(y, y) == 1.0
        assert gradients(y, y.parents[1]) == 3.0
    assert gradients(y, x) == math.inf
    assert x.grad == 7.0
    assert not recording.modes


def test_gradients_of_what_is_not_asked_for_do_not_matter() -> None:
    """Only the paths between inputs and outputs are looked at."""
    x, y = Value(0.0), Value(2.0)
    with detect_anomaly():
        out = autograd.sqrt(x) + y * y
        assert gradients(out, y) == 4.0
        assert gradients(out, y, create_graph=True).data == 4.0
        with pytest.raises(AnomalyError):
            gradients(out, [y, x])


def test_an_infinite_cotangent_is_let_through() -> None:
    x = Value(2.0)
    with detect_anomaly():
        y = x * 3
        assert gradients(y, x, math.inf) == math.inf
        y.backward(math.inf)
    assert x.grad == math.inf


def test_a_node_made_before_is_named_without_its_line() -> None:
    y = autograd.sqrt(x := Value(0.0, label="x"))
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"sqrt\(x = 0.0\) is inf.*a line outside detect_anomaly"):
        gradients(y, x)


def test_within_a_function_that_is_differentiated_the_line_is_its_own() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    line = frame.f_lineno + 4

    def f(x: Value) -> Value:
        """The line below."""
        return autograd.log(x - 1)

    for transform in (grad, hessian, jacobian, value_and_grad):
        with detect_anomaly(), pytest.raises(AnomalyError, match=r"log\(0.0\) is -inf") as caught:
            transform(f)(1.0)
        assert f"line {line} of {__file__}" in str(caught.value)
    with detect_anomaly():
        assert hessian(f)(2.0) == -1.0
    assert not recording.modes


def test_a_forward_pass_names_the_node_whose_tangent_went_bad() -> None:
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"sqrt\(0.0\).*inf"):
        jvp(lambda x: 3 * autograd.sqrt(x), 0.0, 1.0)


def test_no_grad_looks_for_no_anomalies() -> None:
    y = autograd.sqrt(x := Value(0.0))
    with no_grad():
        assert jvp(autograd.sqrt, 0.0, 1.0) == (0.0, math.inf)
        assert derivative(autograd.sqrt)(0.0) == grad(autograd.sqrt)(0.0) == gradients(y, x) == math.inf


def test_modes_nest_with_transforms_within_and_around() -> None:
    def f(x: Value) -> Value:
        with no_grad():
            frozen = x * x
        assert frozen.op is None
        assert (x * 1).op is not None
        return frozen * x

    assert grad(f)(3.0) == 9.0
    with no_grad(), detect_anomaly():
        assert grad(f)(3.0) == 9.0
        assert (Value(1.0) + 1).op is None
    with detect_anomaly(), no_grad():
        assert grad(f)(3.0) == 9.0
        with pytest.raises(AnomalyError):
            grad(autograd.sqrt)(0.0)
        with pytest.raises(AnomalyError, match=r"log\(0.0\) is -inf, made at line \d+ of"):
            grad(autograd.log)(0.0)
    assert not recording.modes


def test_an_anomaly_on_the_way_back_names_the_node_by_its_label() -> None:
    x = Value(0.0, label="x")
    with detect_anomaly():
        root = autograd.sqrt(x)
        root.label = "root"
        with pytest.raises(AnomalyError, match=r"operand 0 of root = sqrt\(x = 0.0\) is inf"):
            root.backward()


def test_an_anomaly_in_a_second_derivative_names_the_operation_it_is_the_derivative_of() -> None:
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"in the derivative of sqrt\(0.0\), made at line \d+ of"):
        hessian(lambda x: autograd.sqrt(x * x))(0.0)


def test_a_cotangent_that_is_nan_is_named_whoever_gave_it() -> None:
    x = Value(2.0)
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"of mul\(2.0, 3.0\) is nan to begin with"):
        (x * 3).backward(math.nan)
    y = x * 3
    y.register_hook(lambda g: math.nan)
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"of operand 0 of mul\(6.0, 2.0\) is nan"):
        (y * 2).backward()
