"""The chain between two nodes: its derivatives, its total, its paths, counted and the largest first.

`Labelled` is the oracle. It works the labelled graph out again, by recursion, from the nodes' parents and
local derivatives, and lists every path.
"""

import heapq
import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from math import inf, isclose, nan, prod

import pytest
from counting import calls_at_most
from hypothesis import assume, given, settings, strategies as st
from strategies import alike, diamonds, labelled_values

import autograd
from autograd import Value, topological_order
from autograd.chain import Chain, Edge, Skeleton, between, product

MANY = 10_000  # paths, from where they are not all listed

Step = tuple[Value, int | None, float]  # to an operand: it, its slot (None between the labels), the derivative


class Labelled:
    """The graph from wrt to output, reduced to the nodes with a label, or whole if there are none in between."""

    def __init__(self, output: Value, wrt: Value) -> None:
        self.output, self.wrt = output, wrt
        self._leads: dict[Value, bool] = {}
        self._inside: dict[Value, dict[Value, float]] = {}
        ends = {output, wrt}
        self.way = [node for node in topological_order(output) if self.leads(node)]
        self.contracted = any(node.label.strip() for node in self.way if node not in ends)
        self.named = [n for n in self.way if n in ends or n.label.strip() or not self.contracted]

    def leads(self, node: Value) -> bool:
        """Whether the node is computed from wrt, or is it."""
        if node not in self._leads:
            self._leads[node] = node is self.wrt or any([self.leads(x) for x in node.parents])
        return self._leads[node]

    def raw(self, node: Value) -> list[Step]:
        if node is self.wrt:
            return []
        pairs = zip(node.parents, node.local_derivatives, strict=True)
        return [(x, slot, d()) for slot, (x, d) in enumerate(pairs) if self.leads(x)]

    def inside(self, node: Value) -> dict[Value, float]:
        """d(node)/d(named node), over the paths that meet no other name."""
        if node not in self._inside:
            found: dict[Value, float] = {}
            for x, _, d in self.raw(node):
                below = {x: 1.0} if x in self.named else self.inside(x)
                for tail, deeper in below.items():
                    found[tail] = found.get(tail, 0.0) + d * deeper
            self._inside[node] = found
        return self._inside[node]

    def steps(self, node: Value) -> list[Step]:
        if self.contracted:
            return [(tail, None, d) for tail, d in self.inside(node).items()]
        return self.raw(node)

    def paths(self, node: Value) -> Iterator[tuple[Step, ...]]:
        if node is self.wrt:
            yield ()
        for step in self.steps(node):
            yield from ((step, *rest) for rest in self.paths(step[0]))

    def count(self) -> int:
        ways = {self.wrt: 1}
        for node in self.named:
            ways.setdefault(node, sum(ways[x] for x, _, _ in self.steps(node)))
        return ways[self.output]

    def size(self) -> float:
        """The sum of |product| over all paths of the whole graph, which is what rounding is measured by."""
        sizes = {self.wrt: 1.0}
        for node in self.way:
            if node is not self.wrt:
                sizes[node] = math.fsum(abs(d) * sizes[x] for x, _, d in self.raw(node))
        return sizes[self.output]


@st.composite
def derivatives(draw: st.DrawFn) -> tuple[Value, Value]:
    """(output, wrt): wrt a leaf or an inner node, a constant now and then."""
    tape = draw(labelled_values())
    output = tape[-1]
    below = topological_order(output)[:-1]
    return output, draw(st.sampled_from(below))


def key(chain: Chain, edges: tuple[Edge, ...]) -> tuple[tuple[Value, int | None], ...]:
    return tuple([(chain.nodes[edge.tail], edge.slot) for edge in edges])


@settings(max_examples=200)
@given(derivatives())
def test_the_total_is_what_backward_leaves(pair: tuple[Value, Value]) -> None:
    output, wrt = pair
    output.backward()
    chain = Chain(output, wrt)
    if wrt.kind == "constant":  # of which backward keeps no gradient
        expected = sum(prod(d for _, _, d in path) for path in Labelled(output, wrt).paths(output))
    else:
        expected = wrt.grad
    assert isclose(chain.total, expected, rel_tol=0, abs_tol=1e-12 * Labelled(output, wrt).size())


@settings(max_examples=200)
@given(derivatives())
def test_the_nodes_and_the_derivatives_between_them(pair: tuple[Value, Value]) -> None:
    output, wrt = pair
    chain, labelled = Chain(output, wrt), Labelled(output, wrt)
    size = labelled.size()
    assert chain.contracted == labelled.contracted
    assert len(chain.nodes) == len(labelled.named) == len({*chain.nodes} | {*labelled.named})
    assert (chain.nodes[0], chain.nodes[-1]) == (wrt, output)
    consumers = []
    for place, node in enumerate(chain.nodes):
        assert chain.is_named(node)
        edges = chain.operands(place)
        assert all(edge.head == place and edge.tail < place for edge in edges)  # operands before results
        found = {(chain.nodes[edge.tail], edge.slot): edge.derivative for edge in edges}
        expected = {(tail, slot): d for tail, slot, d in labelled.steps(node)}
        assert len(found) == len(edges)
        assert found.keys() == expected.keys()
        assert all(isclose(found[k], expected[k], rel_tol=1e-9, abs_tol=1e-12 * (1 + size)) for k in found)
        consumers += chain.consumers(place)
    assert sorted(consumers) == sorted(edge for place in range(len(chain.nodes)) for edge in chain.operands(place))


@settings(max_examples=200)
@given(derivatives())
def test_the_paths(pair: tuple[Value, Value]) -> None:
    """Each once, in order of |product|, and together they make the total."""
    output, wrt = pair
    chain, labelled = Chain(output, wrt), Labelled(output, wrt)
    assert chain.count == labelled.count()
    assume(chain.count < MANY)
    listed = list(chain.largest_paths())
    assert len(listed) == chain.count
    expected = {tuple([step[:2] for step in path]): prod(d for _, _, d in path) for path in labelled.paths(output)}
    assert {key(chain, edges) for edges in listed} == expected.keys()
    assert len(expected) == chain.count
    products = [product([edge.derivative for edge in edges]) for edges in listed]
    size = labelled.size()
    for edges, found in zip(listed, products, strict=True):
        heads = [len(chain.nodes) - 1, *(edge.tail for edge in edges)]
        assert [edge.head for edge in edges] == heads[:-1]  # each from where the one before leads
        assert isclose(found, expected[key(chain, edges)], rel_tol=1e-9, abs_tol=1e-12 * size)
    assert all(abs(a) >= abs(b) * (1 - 1e-9) for a, b in pairwise(products))
    assert isclose(math.fsum(products), chain.total, rel_tol=0, abs_tol=1e-12 * size)


# None so small that a product of four falls out of the range of floats, where paths are ranked by what is left of it.
weights = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0]), st.floats(-3, 3).filter(lambda w: abs(w) > 1e-60))


@given(st.data(), st.integers(1, 4), st.integers(2, 4), st.sampled_from(["none", "one", "all"]))
def test_the_largest_without_the_rest(data: st.DataObject, depth: int, width: int, labelled: str) -> None:
    """Fully connected layers of linear nodes, with ties and zeros, where the products are those of the weights."""
    x = Value(1.0, label="x")
    layer = [x]
    table = []
    for i in range(depth):
        rows = [[data.draw(weights) for _ in layer] for _ in range(width)]
        layer = [autograd.dot(row, layer) for row in rows]
        for j, node in enumerate(layer):
            node.label = f"h{i}_{j}" * (labelled == "all" or (labelled == "one" and i == j == 0))
        table.append(rows)
    y = autograd.sum(layer)
    chain, k = Chain(y, x), data.draw(st.integers(1, 12))
    if labelled == "one":
        brute = [prod(d for _, _, d in path) for path in Labelled(y, x).paths(y)]
    else:
        brute = [0.0]
        reached = [[1.0]]
        for rows in table:
            reached = [[w * p for w, ps in zip(row, reached, strict=True) for p in ps] for row in rows]
        brute = [p for ps in reached for p in ps]
    assert chain.count == len(brute)
    found = [product([edge.derivative for edge in edges]) for edges in islice(chain.largest_paths(), k)]
    expected = heapq.nlargest(k, map(abs, brute))
    assert list(map(abs, found)) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def doubled(times: int, label: str = "") -> tuple[Value, Value]:
    x = y = Value(1.0, label="x")
    for i in range(times):
        y = y + y
        y.label = f"{label}{i}" * bool(label)
    return y, x


def test_so_many_paths_that_no_float_could_count_them() -> None:
    for (y, x), expected in [
        (doubled(1000), 2**1000),
        (doubled(4000), 2**4000),
        (diamonds(1000), 2**1000),
        (doubled(1000, "y"), 1),  # between labels, 2y is one step
    ]:
        with calls_at_most(8_000_000):
            chain = Chain(y, x)
            assert chain.count == expected
            first = list(islice(chain.largest_paths(), 100))
        assert len({key(chain, edges) for edges in first}) == min(100, expected)


def test_a_hundred_thousand_edges_into_one_node() -> None:
    """The largest are found without sorting what is not asked for."""
    x = Value(1.0, label="x")
    n = 100_000
    y = autograd.dot([float(i * 7919 % n) for i in range(n)], [x] * n)
    chain = Chain(y, x)
    assert chain.count == n
    with calls_at_most(3_000_000):
        found = [edges[0].derivative for edges in islice(chain.largest_paths(), 1000)]
    assert found == [float(n - 1 - i) for i in range(1000)]


def test_zero_derivatives_come_last() -> None:
    x = Value(2.0, label="x")
    a, b, c = x * 0.0, x * 1e-300, x * 3.0
    a.label, b.label, c.label = "a", "b", "c"
    chain = Chain(autograd.sum([a * 5.0, b, c, a]), x)
    assert [product([e.derivative for e in edges]) for edges in chain.largest_paths()] == [3.0, 1e-300, 0.0]


def test_infinite_and_undefined_derivatives_come_first() -> None:
    x = Value(0.0, label="x")
    root, root.label = x.sqrt(), "root"  # inf
    bad, bad.label = autograd.log(x - 1.0) * x.sqrt(), "bad"  # nan
    plain, plain.label = x * 1e300, "plain"
    y = root + bad + plain
    chain = Chain(y, x)
    y.backward()
    assert alike(chain.total, nan)
    assert alike(x.grad, nan)
    assert chain.count == 3
    found = [product([e.derivative for e in edges]) for edges in chain.largest_paths()]
    assert list(map(repr, found)) == ["nan", "inf", "1e+300"]


def test_beside_an_infinite_path_the_others_keep_their_order() -> None:
    x = Value(0.0, label="x")
    terms = [x.sqrt(), *(x * (1 + k / 100) for k in range(1, 9))]
    for i, term in enumerate(terms):
        term.label = f"t{i}"
    chain = Chain(autograd.sum(terms), x)
    found = [product([e.derivative for e in edges]) for edges in chain.largest_paths()]
    assert found == [inf, *(1 + k / 100 for k in range(8, 0, -1))]


@pytest.mark.parametrize(
    "factors",
    [
        [1e-200, 1e-200, 1e200, 1e200],
        [1e200, 1e200, 1e-200, 1e-200],
        [-1e200, 1e200, 1e-200, 1e-200],
        [5e-324] * 3 + [1e300] * 3 + [1e23] * 3,
    ],
)
def test_products_that_leave_the_range_of_floats_midway(factors: list[float]) -> None:
    assert product(factors) == pytest.approx(float(prod(map(Fraction, factors))), rel=1e-12)
    x = y = Value(1.0, label="x")
    for i, factor in enumerate(factors):
        y = y * factor
        y.label = f"y{i}"
    y.backward()
    chain = Chain(y, x)
    assert alike(chain.total, x.grad)
    (edges,) = chain.largest_paths()
    assert [edge.derivative for edge in edges] == factors[::-1]


def test_order_where_products_leave_the_range_of_floats() -> None:
    """Two paths whose products both begin with a 0, of which one comes back: that is the larger."""
    x = Value(1.0, label="x")
    low, low.label = x * 1e-200, "low"
    back, gone = low * 1e-200, low * 1e-300
    back.label, gone.label = "back", "gone"
    far, far.label = back * 1e300 + gone, "far"
    y = far * 1e300
    chain = Chain(y, x)
    found = [product([e.derivative for e in edges]) for edges in chain.largest_paths()]
    assert found == pytest.approx([1e200, 1e-200])


@given(st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e-307, 1e-307)), max_size=12))
def test_product(factors: list[float]) -> None:
    expected = prod(map(Fraction, factors), start=Fraction(1))
    if abs(expected) > Fraction(sys.float_info.max) * (1 - Fraction(1, 10**12)):
        assert abs(product(factors)) > 1.7e308
    elif abs(expected) > Fraction(sys.float_info.min):
        assert product(factors) == pytest.approx(float(expected), rel=1e-13)
    else:
        assert abs(product(factors) - float(expected)) <= 5e-324 + 1e-13 * sys.float_info.min


def test_product_of_what_is_no_finite_number() -> None:
    assert product([]) == 1.0
    assert product([inf, -2.0]) == -inf
    assert alike(product([0.0, inf]), nan)
    assert alike(product([nan, 1.0]), nan)
    assert product([1e300, 1e300]) == inf
    assert product([-1e300, 1e300]) == -inf
    assert product([1e-300, 1e-300]) == 0.0


@given(st.data())
def test_a_skeleton_of_several_derivatives(data: st.DataObject) -> None:
    """Its cotangents are those of backward, at every node, whatever the labels."""
    tape = data.draw(labelled_values())
    output = tape[-1]
    below = topological_order(output)[:-1]
    wrts = data.draw(st.lists(st.sampled_from(below), min_size=1, max_size=3, unique=True))
    skeleton = Skeleton(output, *wrts)
    output.backward()
    assert {output, *wrts} <= {*skeleton.nodes}
    order = {node: place for place, node in enumerate(topological_order(output))}
    places = [order[node] for node in skeleton.nodes]
    assert places == sorted(places)
    size = math.fsum(Labelled(output, node).size() for node in skeleton.nodes[:-1])
    for node, cotangent in zip(skeleton.nodes, skeleton.cotangents, strict=True):
        if node.kind != "constant":
            assert isclose(cotangent, node.grad, rel_tol=0, abs_tol=1e-12 * (1 + size))


@settings(max_examples=200)
@given(derivatives())
def test_arrows(pair: tuple[Value, Value]) -> None:
    """What an edge stands for: the steps of every path between its ends that meets no other name."""
    output, wrt = pair
    chain, labelled = Chain(output, wrt), Labelled(output, wrt)

    def between_names(node: Value, tail: Value) -> set[tuple[Value, int]]:
        found = set()
        for x, slot, _ in labelled.raw(node):
            if x is tail:
                found.add((node, slot))
            elif x not in labelled.named and (deeper := between_names(x, tail)):
                found |= {(node, slot)} | deeper
        return found

    for place, head in enumerate(chain.nodes):
        for edge in chain.operands(place):
            expected = between_names(head, chain.nodes[edge.tail]) if edge.slot is None else {(head, edge.slot)}
            assert chain.arrows(edge) == expected


def test_labels_beside_the_way_do_not_contract_it() -> None:
    """Only what lies between output and wrt decides; and what lies beside may have names all the same."""
    x, k = Value(2.0, label="x"), Value(3.0, label="k")
    beside = k * k
    beside.label = "beside"
    y = (x * x).tanh() * beside
    chain = Chain(y, x)
    assert not chain.contracted
    assert len(chain.nodes) == 4
    assert beside not in chain.nodes
    blank = x * x
    blank.label = " \t"
    assert not Chain(blank + 1.0, x).contracted  # a label of spaces is none
    marked = blank.tanh()
    marked.label = "marked"
    z = marked * 2.0
    assert Chain(z, x).nodes == [x, marked, z]


def test_too_many_to_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of n labelled nodes looks back through up to n unlabelled ones: the limit is on the work, and it says so."""
    monkeypatch.setattr("autograd.chain._STEPS", 1000)
    u = x = Value(0.5, label="x")
    marked = []
    for i in range(100):
        u = u.tanh()
        s = u.sin()
        s.label = f"s{i}"
        marked.append(s)
    y = autograd.sum(marked)
    with pytest.raises(ValueError, match="too many to contract; right: label the shared ones too, or none"):
        Chain(y, x)
    for node in topological_order(y):
        node.label = node.label or "u"
    assert Chain(y, x).count == 100


def test_between() -> None:
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    xy = x * y
    z = xy + x.exp() * 2.0
    assert between(z, y) == [y, xy, z]
    assert between(z, x, y) == [n for n in topological_order(z) if n.kind != "constant"]
    assert between(z, xy) == [xy, z]
    assert between(z, z) == [z]
