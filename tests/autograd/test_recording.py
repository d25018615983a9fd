"""no_grad and detect_anomaly: what a thread records while it builds a graph."""

import inspect
import math
import threading

import pytest

import autograd
from autograd import AnomalyError, Value, detect_anomaly, no_grad, recording


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


def test_detect_anomaly_sees_n_ary_rows() -> None:
    with pytest.raises(AnomalyError, match=r"sum\(1e\+308, 1e\+308\) is inf"), detect_anomaly():
        autograd.sum([Value(1e308), Value(1e308)])


def test_detect_anomaly_names_the_node_whose_gradient_went_bad_and_keeps_the_leaves() -> None:
    x = Value(0.0, label="x")
    x.grad = 7.0
    with detect_anomaly():
        y = autograd.sqrt(x)
        with pytest.raises(AnomalyError, match=r"gradient of operand 0 of sqrt\(x = 0.0\) is inf.*made at line"):
            (y * 2).backward()
    assert x.grad == 7.0


def test_detect_anomaly_says_nothing_when_all_is_well() -> None:
    x = Value(2.0)
    with detect_anomaly():
        (x * x).backward()
    assert x.grad == 4.0
    assert not recording.modes


def test_no_grad_inside_detect_anomaly_still_detects() -> None:
    with pytest.raises(AnomalyError), detect_anomaly(), no_grad():
        1 / Value(0.0)
