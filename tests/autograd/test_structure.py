"""Nested structures of numbers, taken apart and put together again."""

import collections
import gc
import sys
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autograd import Value
from autograd.structure import Arguments, Part, Structure, array


class Pair(NamedTuple):
    x: Any
    y: Any


numbers = st.floats(allow_nan=False) | st.integers(-(2**60), 2**60) | st.booleans()
arrays = st.sampled_from([(), (0,), (1,), (3,), (2, 2), (2, 0), (1, 2, 3)]).map(
    lambda shape: np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
)
structures = st.recursive(
    numbers | arrays,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.lists(parts, max_size=3).map(tuple),
        st.builds(Pair, parts, parts),
        st.dictionaries(st.text(max_size=2) | st.integers(0, 3), parts, max_size=3),
        st.dictionaries(st.sampled_from("abc"), parts, max_size=3).map(collections.OrderedDict),
    ),
    max_leaves=12,
)


def alike(a: Any, b: Any) -> bool:
    """The same containers in the same order, and equal floats in place of the numbers."""
    if isinstance(b, dict):
        return type(a) is type(b) and list(a) == list(b) and all(alike(a[key], b[key]) for key in b)
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and a.dtype == float and a.shape == b.shape and bool((a == b).all())
    return type(a) is float and a == float(b)


@given(x=structures)
def test_taken_apart_and_filled_again_it_is_the_same(x: Any) -> None:
    s = Structure(x, "x")
    assert all(type(v) is float for v in s.numbers)
    assert alike(s.filled(s.numbers), x)
    doubled = s.filled([2 * v for v in s.numbers])
    assert Structure(doubled, "x").numbers == [2 * v for v in s.numbers]
    assert s.numbers_of(x, "again") == s.numbers
    assert s.numbers_of(doubled, "twice") == [2 * v for v in s.numbers]


@given(x=structures)
def test_parts_follow_one_another(x: Any) -> None:
    s = Structure(x, "x")
    parts: list[Part] = []
    s.map(parts.append)
    ends = [0]
    for part in parts:
        assert part.start == ends[-1]
        size = 1 if part.shape is None else int(np.prod(part.shape, dtype=int))
        assert part.stop - part.start == size
        ends.append(part.stop)
    assert ends[-1] == len(s.numbers)


@given(x=structures, y=structures)
def test_numbers_of_another_structure_are_refused(x: Any, y: Any) -> None:
    s = Structure(x, "x")

    def shape_of(z: Any) -> Any:
        if isinstance(z, dict):
            return {key: shape_of(part) for key, part in z.items()}
        if isinstance(z, (list, tuple)):
            return [shape_of(part) for part in z]
        return np.shape(z)

    if shape_of(x) == shape_of(y):
        assert s.numbers_of(y, "y") == Structure(y, "y").numbers
    else:
        with pytest.raises(ValueError, match=r"y.* has another structure: expected .*, got .*; right: "):
            s.numbers_of(y, "y")


def test_values_are_kept_as_they_are() -> None:
    a, b = Value(1.0), Value(2.0)
    s = Structure({"a": [a, 3], "b": np.array([b, 4.0, a], dtype=object), "c": np.array(b)}, "p")
    assert s.numbers == [a, 3.0, b, 4.0, a, b]
    again = s.filled(s.numbers)
    assert again["a"] == [a, 3.0]
    assert again["b"].tolist() == [b, 4.0, a]
    assert again["b"].dtype == object
    assert again["c"] is b


def test_arrays_of_every_layout_are_read_in_the_order_of_their_axes() -> None:
    xs = np.arange(6.0).reshape(2, 3)
    for view in (xs, np.asfortranarray(xs), xs.T, xs[:, ::-1], xs[::-1, ::2], np.broadcast_to(xs[0], (2, 3))):
        s = Structure(view, "x")
        assert s.numbers == [float(v) for line in view for v in line]
        assert np.array_equal(s.filled(s.numbers), view)
    single = np.array([1.5, 2.5], np.float32)
    assert Structure(single, "x").numbers == [1.5, 2.5]
    assert Structure(np.float16(1.5), "x").numbers == [1.5]
    assert Structure(np.array([1.5], np.longdouble), "x").numbers == [1.5]
    assert type(Structure(np.array([1.5], np.longdouble), "x").numbers[0]) is float


def test_the_original_is_not_touched() -> None:
    default = collections.defaultdict(list, a=1.0)
    inner = [1.0, 2.0]
    original = {"d": default, "l": inner, "a": np.array([1.0])}
    s = Structure(original, "x")
    filled = s.filled([9.0] * 4)
    assert original == {"d": {"a": 1.0}, "l": [1.0, 2.0], "a": np.array([1.0])}
    assert filled["d"].default_factory is list
    filled["l"].append(5.0)
    filled["d"]["b"].append(1.0)
    assert (inner, dict(default)) == ([1.0, 2.0], {"a": 1.0})
    inner.append(3.0)
    assert s.filled([0.0] * 4)["l"] == [0.0, 0.0]


def test_containers_of_ones_own_keep_their_type_and_attributes() -> None:
    class Tuple(tuple):  # type: ignore[type-arg]
        __slots__ = ()

    class List(list):  # type: ignore[type-arg]
        name = "none"

    class Dict(dict):  # type: ignore[type-arg]
        name = "none"

    items, params = List([1.0, 2.0]), Dict(a=1.0)
    items.name = params.name = "p"
    for x in (Tuple([1.0, 2.0]), items, params):
        filled = Structure(x, "x").filled([7.0, 8.0])
        assert type(filled) is type(x)
        assert getattr(filled, "name", "p") == "p"
        assert Structure(filled, "x").numbers == [7.0, 8.0][: len(x)]


def test_a_dict_is_matched_by_key_whatever_the_order() -> None:
    s = Structure({"a": 1.0, "b": [2.0, 3.0]}, "x")
    assert s.numbers_of({"b": (20.0, 30.0), "a": 10.0}, "y") == [10.0, 20.0, 30.0]
    for other in ({"a": 1.0}, {"a": 1.0, "b": [1.0, 2.0], "c": 1.0}, {"a": 1.0, "c": [1.0, 2.0]}, [1.0, [2.0, 3.0]]):
        with pytest.raises(ValueError, match="y has another structure: expected a dict of 'a', 'b', got a"):
            s.numbers_of(other, "y")


def test_lists_and_tuples_stand_for_one_another_but_not_for_arrays() -> None:
    assert Structure([1.0, (2.0,)], "x").numbers_of((3.0, [4.0]), "y") == [3.0, 4.0]
    with pytest.raises(ValueError, match=r"expected a list of 2, got an array of shape \(2,\)"):
        Structure([1.0, 2.0], "x").numbers_of(np.ones(2), "y")
    with pytest.raises(ValueError, match=r"expected an array of shape \(2,\), got a list of 2"):
        Structure(np.ones(2), "x").numbers_of([1.0, 2.0], "y")
    with pytest.raises(ValueError, match=r"expected an array of shape \(2,\), got 1.0"):
        Structure(np.ones(2), "x").numbers_of(1.0, "y")
    assert Structure(np.array(1.0), "x").numbers_of(2, "y") == [2.0]
    assert Structure(1.0, "x").numbers_of(np.array(2.0), "y") == [2.0]


@pytest.mark.parametrize("other", [np.ones(1), np.ones(3), np.zeros(0), np.ones((1, 1))], ids=lambda a: str(a.shape))
def test_an_array_with_axes_is_not_one_number(other: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a number, got an array of shape"):
        Structure(1.0, "x").numbers_of(other, "y")
    with pytest.raises(ValueError, match=r"y\[1\] has another structure: expected a number, got an array of shape"):
        Structure([1.0, 2.0], "x").numbers_of([1.0, other], "y")


def test_is_number_means_one_number_in_no_container() -> None:
    for x in (1.0, 2, Value(1.0), np.float32(1.0), np.array(1.0), np.array(Value(1.0), dtype=object)):
        assert Structure(x, "x").is_number
    for x in ([1.0], (1.0,), {"a": 1.0}, np.ones(1), np.zeros(0), []):
        assert not Structure(x, "x").is_number


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (1.0, "a number"),
        ([1.0, 2.0], "a list of 2"),
        (Pair(1.0, 2.0), "a Pair of 2"),
        ({"a": 1.0, 3: 2.0}, "a dict of 'a', 3"),
        (np.ones((2, 1)), "an array of shape (2, 1)"),
        ([], "a list of 0"),
        ((), "a tuple of 0"),
        ({}, "an empty dict"),
    ],
    ids=["number", "list", "namedtuple", "dict", "array", "empty list", "empty tuple", "empty dict"],
)
def test_words(x: Any, words: str) -> None:
    assert str(Structure(x, "x")) == words


@pytest.mark.parametrize(
    ("x", "place", "kind"),
    [
        ("text", "p", "str"),
        (None, "p", "NoneType"),
        ([1.0, [2.0, 1j]], "p[1][1]", "complex"),
        ({"a": {"b": None}}, "p['a']['b']", "NoneType"),
        (Pair(1.0, {1.0}), "p[1]", "set"),
        ([iter([])], "p[0]", "list_iterator"),
        (np.array([1.0, None], dtype=object), "p", "NoneType"),
        (MappingProxyType({"a": 1.0}), "p", "mappingproxy"),
        (range(3), "p", "range"),
    ],
    ids=["str", "None", "complex", "nested dict", "set", "iterator", "objects", "mapping", "range"],
)
def test_what_is_no_number_is_named_with_its_place(x: Any, place: str, kind: str) -> None:
    with pytest.raises(TypeError) as caught:
        Structure(x, "p")
    assert str(caught.value).startswith(f"{place}: expected a real number or a Value, got {kind}")


@pytest.mark.parametrize("dtype", [complex, "U3", "S3", "M8[s]", "m8[s]"])
def test_arrays_of_anything_but_numbers_and_objects_are_refused(dtype: Any) -> None:
    xs = np.zeros(2, dtype)
    for x in (xs, xs[:0], np.zeros((), dtype), [xs]):
        with pytest.raises(TypeError) as caught:
            Structure(x, "p")
        for text in ("p", str(xs.dtype), "Wrong: ", "right: ", "astype(float)"):
            assert text in str(caught.value)


@pytest.mark.parametrize("dtype", [int, bool, np.uint8, complex])
def test_arrays_of_whole_numbers_are_numbers_but_no_arguments_to_differentiate_by(dtype: Any) -> None:
    xs = np.ones(2, dtype)
    if dtype is not complex:
        assert Structure(xs, "p").numbers == [1.0, 1.0]
    for x in (xs, xs[:0], np.zeros((), dtype), [xs]):
        with pytest.raises(TypeError) as caught:
            Arguments([1.0, x], [0, 1])
        for text in ("argument[1]", str(xs.dtype), "wrong: ", "right: ", "astype(float)"):
            assert text in str(caught.value)


def test_a_masked_array_is_refused_for_what_it_is() -> None:
    with pytest.raises(TypeError, match="masked"):
        Structure(np.ma.array([1.0, 2.0], mask=[False, True]), "p")


def test_without_numpy_numbers_and_containers_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    s = Structure({"a": [1.0, (2.0,)]}, "x")
    assert s.filled(s.numbers_of({"a": [3.0, (4.0,)]}, "y")) == {"a": [3.0, (4.0,)]}


def test_array_makes_floats_or_objects() -> None:
    v = Value(2.0)
    assert array([1.0], None) == 1.0
    assert array([v], None) is v
    assert array([v], ()) is v
    assert array([1.0, 2.0, 3.0, 4.0], (2, 2)).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    mixed = array([1.0, v], (2,))
    assert (mixed.dtype, mixed.tolist()) == (np.dtype(object), [1.0, v])
    assert array([], (0, 3)).shape == (0, 3)
    assert array([1.0], ()).shape == ()


def test_a_structure_is_no_reference_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        s = Structure({"a": [1.0, np.ones(2)]}, "x")
        s.filled(s.numbers)
        assert gc.collect() == 0
        s.numbers_of({"a": [1.0, np.ones(2)]}, "y")
        assert gc.collect() == 0
    finally:
        gc.enable()
