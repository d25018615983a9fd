"""Walks: the order they promise, and graphs deep, wide and shared between threads."""

import copy
import gc
import pickle
import sys
import threading

import pytest
from counting import calls_at_most
from hypothesis import given
from strategies import Program, programs

import autograd
from autograd import Value, leaves, topological_order
from autograd.graph import sort


@given(programs())
def test_topological_order(program: Program) -> None:
    tape = program.values()
    for root in (tape[-1], tape[len(tape) // 2]):
        order = topological_order(root)
        place = {v: i for i, v in enumerate(order)}
        assert len(place) == len(order)  # each once
        assert order[-1] is root
        assert all(place[p] < place[v] for v in order for p in v.parents)
        reached, waiting = {root}, [root]
        while waiting:
            for p in waiting.pop().parents:
                if p not in reached:
                    reached.add(p)
                    waiting.append(p)
        assert reached == set(order)
        assert [v for v in order if v.op is None] == leaves(root)
        assert order[: len(leaves(root))] == leaves(root)
        assert topological_order(root) == order


@given(programs())
def test_leaves_stand_in_order_of_first_use(program: Program) -> None:
    """The order in which a recursive walk, operands from left to right, meets them."""
    found: dict[Value, None] = {}
    seen: set[Value] = set()

    def walk(v: Value) -> None:
        if v not in seen:
            seen.add(v)
            if v.op is None:
                found[v] = None
            for p in v.parents:
                walk(p)

    roots = program.values()[-2:]
    for root in roots:
        walk(root)
    assert leaves(*roots) == list(found)


@given(programs())
def test_inner_nodes_stand_in_depth_first_order(program: Program) -> None:
    order: dict[Value, None] = {}

    def walk(v: Value) -> None:
        if v.op is not None and v not in order:
            for p in v.parents:
                walk(p)
            order[v] = None

    roots = program.values()
    for root in roots:
        walk(root)
    assert sort(roots)[1] == list(order)


def test_several_roots_and_none() -> None:
    a, b = Value(1.0), Value(2.0)
    c, d = a * b, a + 1
    one = d.parents[1]
    assert topological_order(c, d) == [a, b, one, c, d]
    assert topological_order(d, c, d, a) == [a, one, b, d, c]
    assert topological_order(a) == [a]
    assert topological_order() == []
    assert leaves(c, d) == [a, b, one]
    assert leaves() == []


def test_a_walk_of_a_number_is_refused() -> None:
    for walk in (leaves, topological_order):
        with pytest.raises((TypeError, AttributeError)):
            walk(3.0)  # type: ignore[arg-type]
        assert walk(Value(1.0))  # and the next walk works


def test_n_ary_nodes_are_walked_in_operand_order() -> None:
    xs = [Value(float(i)) for i in range(6)]
    inner = [xs[4].exp(), xs[1].exp(), xs[3].exp()]
    total = autograd.sum([xs[5], inner[0], xs[2], inner[1], inner[0], autograd.sum([inner[2], xs[0]])])
    assert leaves(total) == [xs[5], xs[4], xs[2], xs[1], xs[3], xs[0]]
    assert sort([total])[1] == [inner[0], inner[1], inner[2], total.parents[5], total]


DEEP = 1_000_000


def test_a_million_deep_and_a_million_wide() -> None:
    """Built, differentiated, deep-copied, pickled and freed, without recursion."""
    limit = sys.getrecursionlimit()
    gc.collect()
    gc.disable()  # for speed: nothing here is garbage
    try:
        x = Value(1.0, label="x")
        y = x
        for _ in range(DEEP // 2):
            y = y + x
            y = -y
        y.backward()
        # y = -(y + x), half a million times: the terms alternate, and cancel
        assert x.grad == 1.0
        assert y.data == 1.0
        clone = copy.deepcopy(y)
        assert sum(1 for _ in topological_order(clone)) == DEEP + 1
        (twin,) = leaves(clone)
        assert (twin.label, twin.grad) == ("x", 1.0)
        clone.backward()
        assert (twin.grad, x.grad) == (2.0, 1.0)
        watch = clone.parents[0]
        del clone
        assert watch.data == -1.0
        text = pickle.dumps(y)
        del y, watch
        again = pickle.loads(text)
        del text
        again.backward()
        assert leaves(again)[0].grad == 2.0
        del again

        wide = [Value(1.0) for _ in range(DEEP)]
        total = autograd.sum(wide)
        total.backward()
        assert (total.data, {v.grad for v in wide}) == (float(DEEP), {1.0})
        del total
    finally:
        gc.enable()
    assert sys.getrecursionlimit() == limit


def test_the_work_grows_with_the_graph_and_no_faster() -> None:
    y = Value(1.0)
    for _ in range(5_000):
        y = autograd.sin(y + y)
    wide = autograd.sum([Value(1.0) for _ in range(10_000)])
    for root in (y, wide):
        with calls_at_most(2_500_000):
            root.backward()
            assert len(topological_order(copy.deepcopy(root))) > 10_000
            assert len(leaves(pickle.loads(pickle.dumps(root)))) in (1, 10_000)


def test_a_deep_chain_through_the_second_operand_and_through_n_ary_nodes() -> None:
    x = Value(1.0)
    second, n_ary = x, x
    for _ in range(50_000):
        second = x + second
        n_ary = autograd.sum([x, n_ary])
    for root in (second, n_ary):
        x.grad = 0.0
        root.backward()
        assert x.grad == 50_001.0
        assert len(topological_order(copy.deepcopy(root))) == 50_001


def test_many_paths_take_no_more_time_than_nodes() -> None:
    x = Value(1.0)
    y = x
    for _ in range(200):
        y = y + y  # 2**200 paths
    y.backward()
    assert x.grad == 2.0**200


def test_threads_that_share_nodes_lose_nothing() -> None:
    """Passes and walks over one graph at a time: marks and cotangents live on the nodes."""
    passes, threads = 40, 4
    xs = [Value(0.5, label=f"x{i}") for i in range(10)]
    shared = Value(0.0, kind="constant")
    for i in range(500):
        shared = shared + xs[i % 10]
    count, order = len(leaves(shared)), topological_order(shared)
    errors: list[BaseException] = []

    def work(scale: float) -> None:
        try:
            for _ in range(passes):
                z = shared * scale + autograd.sum(xs)
                z.backward()
                assert len(leaves(z)) == count + 1  # scale
                assert topological_order(shared) == order
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        pool = [threading.Thread(target=work, args=(float(k),)) for k in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert [x.grad for x in xs] == [passes * (50.0 * sum(range(threads)) + threads)] * 10


@pytest.mark.parametrize("wrong", [3.0, None, [Value(1.0)]])
def test_what_is_not_a_value_has_no_graph(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"expected Values, got \w+; wrong: leaves\(\[a, b\]\)"):
        autograd.leaves(wrong)  # type: ignore[arg-type]
