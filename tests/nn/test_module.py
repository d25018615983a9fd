import copy
import json
import math
import pickle
import random
import struct

import pytest
from hypothesis import given, strategies as st

from autograd import Value
from nn import MLP, Layer, Module, Neuron
from nn.module import unchanged


class Pair(Module):
    def __init__(self) -> None:
        self.left = Neuron(2)
        self.gain = Value(3.0)
        self.by_name = {"a": Value(1.0), "own": Value(2.0, label="α")}
        self.note, self.count = "text", 3

    def __call__(self, x):
        return self.left(x) * self.gain + self.by_name["a"] * self.by_name["own"]


def labels(module):
    return [p.label for p in module.parameters()]


def bits_of(p):
    return b"nan" if math.isnan(p.data) else struct.pack("d", p.data)


def test_leaves_become_parameters_labelled_with_their_path_in_order_of_assignment():
    model = Pair()
    assert list(model.named_parameters()) == ["left.w.0", "left.w.1", "left.b", "gain", "by_name.a", "by_name.own"]
    assert labels(model) == ["left.w.0", "left.w.1", "left.b", "gain", "by_name.a", "α"]
    assert {p.kind for p in model.parameters()} == {"parameter"}


def test_composing_modules_prefixes_the_labels():
    neuron = Neuron(1)
    assert labels(neuron) == ["w.0", "b"]
    layer = Layer(1, 2)
    assert labels(layer) == ["neurons.0.w.0", "neurons.0.b", "neurons.1.w.0", "neurons.1.b"]
    model = MLP(1, [2, 1])
    assert labels(model) == list(model.named_parameters())
    assert labels(model)[0] == "layers.0.neurons.0.w.0" and labels(model)[-1] == "layers.1.neurons.0.b"


def test_asking_a_part_for_its_parameters_keeps_the_labels_of_the_whole():
    model = MLP(1, [1, 1])
    assert list(model.layers[1].named_parameters()) == ["neurons.0.w.0", "neurons.0.b"]
    assert labels(model.layers[1]) == ["layers.1.neurons.0.w.0", "layers.1.neurons.0.b"]


def test_a_moved_module_gets_the_labels_of_its_new_place():
    model = MLP(1, [1, 1, 1])
    model.layers = model.layers[1:]
    assert labels(model) == list(model.named_parameters())
    model.layers[0].neurons[0].w = model.layers[0].neurons[0].w[::-1]
    holder = Module()
    holder.first = model.layers[0]
    assert labels(holder) == ["first.neurons.0.w.0", "first.neurons.0.b"]


def test_what_is_appended_to_a_list_counts():
    model = Module()
    model.parts = []
    model.parts.append(Neuron(1))
    model.parts.append(Value(5.0))
    assert list(model.named_parameters()) == ["parts.0.w.0", "parts.0.b", "parts.1"] == labels(model)


def test_results_are_no_parameters():
    model = Neuron(1)
    model.last = model([1.0])
    assert len(model.parameters()) == 2


def test_a_parameter_reachable_twice_counts_once():
    model = Module()
    model.first = model.second = Neuron(1)
    model.third = [model.first.b, model]
    assert list(model.named_parameters()) == ["first.w.0", "first.b"]


def test_a_frozen_parameter_is_in_the_state_and_not_among_the_parameters():
    model = Neuron(1)
    model.b.kind = "constant"
    assert list(model.named_parameters()) == ["w.0"]
    assert list(model.state_dict()) == ["w.0", "b"]


def test_micrograds_style_of_overriding_parameters():
    class Line(Module):
        def __init__(self):
            self.w, self.unused = Value(2.0), Value(1.0)

        def __call__(self, x):
            return self.w * x * self.unused

        def parameters(self):
            return [self.w]

    model = Line()
    model(3.0).backward()
    model.zero_grad()
    assert model.w.grad == 0.0 and model.unused.grad == 6.0


def test_zero_grad():
    model = MLP(2, [2, 1], activation="tanh")
    model([1.0, 2.0]).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad for p in model.parameters())


def test_state_goes_from_model_to_model():
    one, other = MLP(2, [3, 1], seed=1), MLP(2, [3, 1], seed=2)
    assert one.state_dict() != other.state_dict()
    other.load_state_dict(one.state_dict())
    assert one.state_dict() == other.state_dict()
    assert one([0.5, -1.0]).data == other([0.5, -1.0]).data


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("b"), "missing b"),
        (lambda s: s.update(extra=1.0), "unexpected extra"),
        (lambda s: s.update(b="0.5"), "not a number: b = '0.5'"),
        (lambda s: s.update(b=True), "not a number: b = True"),
        (lambda s: s.update(b=None), "not a number: b = None"),
        (lambda s: s.update(b=[1.0]), r"not a number: b = \[1.0\]"),
        (lambda s: s.update(b=10**400), "not a number: b = 1000"),
        (lambda s: (s.pop("b"), s.update(c=1.0)), "missing b; unexpected c"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, words):
    model = Neuron(2)
    before = model.state_dict()
    state = {name: x + 1 for name, x in before.items()}
    change(state)
    with pytest.raises(ValueError, match=words):
        model.load_state_dict(state)
    assert model.state_dict() == before


def test_a_long_list_of_faults_is_cut():
    with pytest.raises(ValueError, match="and 6 more") as error:
        Neuron(10).load_state_dict({})
    assert len(str(error.value)) < 300


def test_a_state_must_be_a_dict():
    with pytest.raises(ValueError, match=r"state_dict\(\).*list"):
        Neuron(1).load_state_dict([1.0, 2.0])


HARD = [-0.0, 5e-324, 1e308, 0.1 + 0.2, math.nan, math.inf, -math.inf, -2.2250738585072014e-308]


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_save_and_load_keep_every_bit(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("model") / "model.json"
    one, other = Module(), Module()
    one.w, other.w = [Value(x) for x in numbers], [Value(1.5) for _ in numbers]
    one.save(path)
    other.load(path)
    assert list(map(bits_of, one.parameters())) == list(map(bits_of, other.parameters()))


def test_the_file_is_strict_json(tmp_path):
    def refuse(token):
        raise AssertionError(token)

    model = Module()
    model.w = [Value(x) for x in HARD]
    model.save(tmp_path / "m.json")
    held = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert held["w.3"] == 0.1 + 0.2 and held["w.4"] == "nan" and held["w.6"] == "-inf"
    again = Module()
    again.w = [Value(1.0) for _ in HARD]
    again.load(tmp_path / "m.json")
    assert list(map(bits_of, again.parameters())) == list(map(bits_of, model.parameters()))


def test_no_prefix_of_a_file_loads(tmp_path):
    path = tmp_path / "m.json"
    Neuron(2).save(path)
    text = path.read_text(encoding="utf-8")
    model = Neuron(2)
    before = model.state_dict()
    for length in range(len(text.rstrip())):
        path.write_text(text[:length], encoding="utf-8")
        with pytest.raises(ValueError, match=r"m\.json: not JSON, or cut short"):
            model.load(path)
    assert model.state_dict() == before


@pytest.mark.parametrize(
    "content, words",
    [
        (b"[1, 2]", "expected a dict"),
        (b'{"format": "other"}', "missing w.0"),
        (b"\xff\xfe\x00", "codec"),
        (b"[" * 100_000, "recursion"),
        (b'{"w.0": "huge", "b": 1}', "not a number: w.0"),
        (b'{"w.0": 1' + b"0" * 400 + b', "b": 1}', "not a number: w.0"),
    ],
)
def test_a_foreign_file_is_refused_by_name(tmp_path, content, words):
    path = tmp_path / "foreign.json"
    path.write_bytes(content)
    model = Neuron(1)
    before = model.state_dict()
    with pytest.raises(ValueError, match=rf"(?s)foreign\.json.*{words}"):
        model.load(path)
    assert model.state_dict() == before


def test_a_model_of_another_shape_is_refused(tmp_path):
    MLP(2, [3, 1]).save(tmp_path / "m.json")
    with pytest.raises(ValueError, match=r"m\.json.*MLP.*missing.*unexpected"):
        MLP(3, [2, 1]).load(tmp_path / "m.json")


def test_missing_files_and_folders_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        Neuron(1).load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        Neuron(1).save(tmp_path / "none" / "m.json")


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_whole_and_apart(clone):
    model = MLP(2, [3, 2], activation="tanh", seed=3)
    model.tied = model.layers[0].neurons[0].b
    twin = clone(model)
    assert twin.tied is twin.layers[0].neurons[0].b
    assert labels(twin) == labels(model) and twin.state_dict() == model.state_dict()
    assert [y.data for y in twin([1.0, 2.0])] == [y.data for y in model([1.0, 2.0])]
    twin.parameters()[0].data = 9.0
    assert model.parameters()[0].data != 9.0


def test_a_copied_neuron_is_labelled_by_its_new_place():
    layer = Layer(2, 2)
    layer.neurons = [*layer.neurons, copy.deepcopy(random.choice(layer.neurons))]
    assert labels(layer)[-3:] == ["neurons.2.w.0", "neurons.2.w.1", "neurons.2.b"]


def test_a_zero_loads_with_its_sign(tmp_path) -> None:
    saved, model = Neuron(1), Neuron(1)
    saved.b.data = -0.0
    saved.save(tmp_path / "state.json")
    model.load(tmp_path / "state.json")
    assert math.copysign(1.0, model.b.data) == -1.0


def test_unchanged_restores_what_is_within_however_it_is_held_and_after_an_error():
    inner, outer = Neuron(2), Neuron(2)
    outer.held = ({"inner": [inner, outer]},)
    inner.outer = outer
    before = [{**vars(x)} for x in (inner, outer)]
    with pytest.raises(ZeroDivisionError), unchanged([outer]):
        inner.b = outer.b = None
        outer.held[0]["inner"].clear()
        del inner.outer
        raise ZeroDivisionError
    for x, attributes in zip((inner, outer), before, strict=True):
        assert {name: id(y) for name, y in vars(x).items()} == {name: id(y) for name, y in attributes.items()}
    assert outer.held[0]["inner"] == [inner, outer]
