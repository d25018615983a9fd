r"""One derivative, explained: the chain rule as a textbook writes it, with the user's names and numbers.

>>> from autograd import Value, sigmoid
>>> w, x, b, t = (Value(v, label=n) for n, v in {"w": 0.4, "x": 0.6, "b": 0.1, "t": 0.01}.items())
>>> net = w * x + b
>>> net.label = "net"
>>> out = sigmoid(net)
>>> out.label = "out"
>>> E = 0.5 * (t - out) ** 2
>>> E.label = "E"
>>> explain(E, w)
∂E/∂w = ∂E/∂out · ∂out/∂net · ∂net/∂w
      = 0.574191 · 0.242912 · 0.6 = 0.0836866
<BLANKLINE>
∂E/∂out = −(t − out) = 0.574191
∂out/∂net = out·(1 − out) = 0.242912
∂net/∂w = x = 0.6
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count, islice
from math import floor, fsum, isfinite, log10, nan
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from .chain import Chain, Edge, product
from .expressions import LATEX, TEXT, Expression, Style, number, written
from .floats import six
from .formulas import aligned, in_terms_of, partial, rule
from .names import Name, Names, one_line
from .value import CONSTANT, Value

if TYPE_CHECKING:
    from graphviz import Digraph

_SHOWN = 12  # factors of a product, terms of a sum, made-up names: what a reader takes in
_LEVELS = 8  # derivatives expanded in turn
_RULES = 16  # local derivatives written out
_LISTED = 10  # paths
_WIDTH = 120

_Item = TypeVar("_Item")


def explain(output: Value, wrt: Value) -> "Explanation":
    """d(output)/d(wrt) by the chain rule: its factors, its paths and its total.

    Works between the labels: nodes without one are contracted, their local derivatives multiplied and summed.
    Where no node on the way has a label, each gets a made-up name, such as ⟨1⟩. Labels that several nodes have
    are made distinct: h, h#2.

    Raises ValueError if output is a leaf or does not depend on wrt, TypeError for anything but Values,
    StaleGraphError if a leaf was changed since the graph was built.

    >>> x = Value(3.0, label="x")
    >>> a, b = x * x, x.exp()
    >>> a.label, b.label = "a", "b"
    >>> y = a * b
    >>> y.label = "y"
    >>> explanation = explain(y, x)
    >>> print(explanation.factored)
    ∂y/∂x = ∂y/∂a · ∂a/∂x + ∂y/∂b · ∂b/∂x = 120.513 + 180.770 = 301.283
    >>> [round(path.product, 3) for path in explanation.paths]
    [180.77, 120.513]
    """
    return Explanation(Chain(output, wrt))


class Factor(NamedTuple):
    """A derivative in a product: a local one, or a total one, which `expanded` takes apart.

    over, under  the nodes, by their places in the chain
    value        d(over)/d(under)
    local        whether it is the local derivative, from one name to the next
    direct       true of a local one beside which other paths lead from `under` to `over`
    """

    explanation: "Explanation"
    over: int
    under: int
    value: float
    local: bool
    direct: bool

    @property
    def name(self) -> Name:
        """Such as ∂E/∂out; that of a direct one says so."""
        name = self.explanation.partial(self.over, self.under)
        if not self.direct:
            return name
        return Name(name.code, f"{name.text}|direct", rf"\left.{name.latex}\right|_{{\mathrm{{direct}}}}")

    @property
    def rule(self) -> Expression | None:
        """A local derivative as an expression of the named nodes; None if it is very long, and of a total one."""
        chain, names = self.explanation.chain, self.explanation.names
        return rule(chain.nodes[self.over], chain.nodes[self.under], chain.is_named, names) if self.local else None

    @property
    def expanded(self) -> "Derivative | None":
        """A total derivative, one level further; None of a local one."""
        return None if self.local else Derivative(self.explanation, self.under)

    def equation(self, style: Style) -> "Equation":
        """Its name, its rule, unless that is a mere number, and its value."""
        found = self.rule
        says = found is not None and (found.op is not None or found.name is not None)
        terms = [written(found, style)] if found is not None and says else []
        return Equation(style.name(self.name), terms, [], style.digits(six(self.value)))

    def __repr__(self) -> str:
        return self.equation(TEXT).text


class Term(NamedTuple):
    """A product of derivatives."""

    factors: tuple[Factor, ...]

    @property
    def product(self) -> float:
        return product([factor.value for factor in self.factors])

    def names(self, style: Style) -> str:
        return style.times.join([style.name(f.name) if f else style.gap for f in _cut(self.factors)]) or "1"

    def numbers(self, style: Style) -> str:
        shown = [style.digits(six(f.value)) if f else style.gap for f in _cut(self.factors)]
        return style.times.join([x.join(style.brackets) if x[0] == "-" and i else x for i, x in enumerate(shown)])


class Equation(NamedTuple):
    """What an equation shows: the name on its left, then the terms in symbols, the same in numbers, and the total."""

    left: str
    symbols: list[str]
    numbers: list[str]
    total: str

    @property
    def text(self) -> str:
        sides = [" + ".join(self.symbols), " + ".join(self.numbers), self.total]
        whole = " = ".join([self.left, *(side for side in sides if side)])
        if not self.numbers or (len(self.symbols) > 1 and len(whole) <= _WIDTH):
            return whole
        margin = " " * len(self.left)
        return "\n".join([_wrapped(self.left, self.symbols), f"{_wrapped(margin, self.numbers)} = {self.total}"])

    @property
    def latex(self) -> list[str]:
        """Lines for `aligned`, three terms on each."""
        if not self.numbers:
            return [f"{self.left} &= {' = '.join([*self.symbols, self.total])}"]
        first, *rest = [" + ".join(self.symbols[i : i + 3]) for i in range(0, len(self.symbols), 3)]
        numbers = f"&= {' + '.join(self.numbers)} = {self.total}"
        return [f"{self.left} &= {first}", *(rf"&\quad + {terms}" for terms in rest), numbers]


class Derivative:
    """d(output)/d(node), one level of it: the sum over what the node feeds.

    node   what is differentiated by
    value  d(output)/d(node)
    terms  the products. Where there is one way only it is followed, as far as output; where ways part,
           each goes one step, times the total derivative from there on

    str() is the equation; `latex` the same in LaTeX.
    """

    def __init__(self, explanation: "Explanation", place: int) -> None:
        self._explanation, self._place = explanation, place
        self.node = explanation.chain.nodes[place]
        self.value = explanation.chain.cotangents[place]

    @property
    def name(self) -> Name:
        """Such as ∂E/∂w."""
        return self._explanation.partial(len(self._explanation.chain.nodes) - 1, self._place)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        ways = self._ways(self._place)
        if len(ways) > 1:
            direct = self._reached_again(ways)
            steps = [self._local(head, self._place, d, head in direct) for head, d in ways.items()]
            return tuple([Term((*self._total(step.over), step)) for step in steps])
        factors: list[Factor] = []
        at = self._place
        while len(ways) == 1:
            ((head, derivative),) = ways.items()
            factors.append(self._local(head, at, derivative))
            at, ways = head, self._ways(head)
        return (Term((*self._total(at), *reversed(factors))),)

    @property
    def totals(self) -> list["Derivative"]:
        """The factors that can be expanded."""
        found = {f.under: f.expanded for term in self.terms for f in term.factors[:1] if not f.local}
        return [derivative for derivative in found.values() if derivative is not None]

    def _ways(self, place: int) -> dict[int, float]:
        """What a node feeds, each with the local derivative: the sum over repeated operands."""
        ways: dict[int, float] = {}
        for edge in self._explanation.chain.consumers(place):
            ways[edge.head] = ways.get(edge.head, 0.0) + edge.derivative
        return ways

    def _local(self, head: int, tail: int, derivative: float, direct: bool = False) -> Factor:
        return Factor(self._explanation, head, tail, derivative, local=True, direct=direct)

    def _total(self, place: int) -> tuple[Factor, ...]:
        """The factor d(output)/d(node); none for output itself."""
        chain = self._explanation.chain
        last = len(chain.nodes) - 1
        if place == last:
            return ()
        local = list(self._ways(place)) == [last]
        return (Factor(self._explanation, last, place, chain.cotangents[place], local=local, direct=False),)

    def _reached_again(self, ways: dict[int, float]) -> set[int]:
        """Of the nodes that this one feeds, those that it also reaches by way of another."""
        operands = self._explanation.chain.operands
        reached, found = {min(ways)}, set[int]()
        for head in range(min(ways) + 1, max(ways) + 1):
            through = any([edge.tail in reached for edge in operands(head)])
            if through and head in ways:
                found.add(head)
            if through or head in ways:
                reached.add(head)
        return found

    def equation(self, style: Style) -> Equation:
        name = style.name(self.name)
        if len(self.terms) > 1:
            shown = _cut(self.terms)
            *numbers, total = in_line([term.product for term in shown if term] + [self.value])
            numeric = iter(numbers)
            symbols = [term.names(style) if term else style.gap for term in shown]
            values = [style.digits(next(numeric)) if term else style.gap for term in shown]
            return Equation(name, symbols, values, style.digits(total))
        (term,) = self.terms
        if len(term.factors) == 1 and term.factors[0].local:
            return term.factors[0].equation(style)
        numbers = [term.numbers(style)] if term.factors else []
        return Equation(name, [term.names(style)] if term.factors else [], numbers, style.digits(six(self.value)))

    @property
    def latex(self) -> str:
        return aligned(self.equation(LATEX).latex)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex}$"

    def __str__(self) -> str:
        return self.equation(TEXT).text

    __repr__ = __str__


class Path(NamedTuple):
    """One way from output back to wrt: each node is computed from the next.

    edges  the local derivatives, that of output first
    """

    explanation: "Explanation"
    edges: tuple[Edge, ...]

    @property
    def nodes(self) -> list[Value]:
        """From output to wrt."""
        nodes = self.explanation.chain.nodes
        return [self.explanation.output, *(nodes[edge.tail] for edge in self.edges)]

    @property
    def factors(self) -> list[float]:
        return [edge.derivative for edge in self.edges]

    @property
    def product(self) -> float:
        return product(self.factors)

    def __repr__(self) -> str:
        """E ← out ← w: 0.5 · 2 = 1"""
        chain, names = self.explanation.chain, self.explanation.names
        steps = [names[self.explanation.output].text]
        for edge in _cut(self.edges):
            if edge is None:
                steps.append("⋯")
                continue
            step = names[chain.nodes[edge.tail]].text
            head = chain.nodes[edge.head]
            if edge.slot is not None and head.parents.count(chain.nodes[edge.tail]) > 1:
                step += f" (operand {edge.slot + 1})"  # x * x has two edges from x
            steps.append(step)
        shown = [six(edge.derivative) if edge else "⋯" for edge in _cut(self.edges)]
        factors = " · ".join([f"({x})" if x[0] == "-" and i else x for i, x in enumerate(shown)])
        return f"{' ← '.join(steps)}: {f'{factors} = ' if len(shown) > 1 else ''}{six(self.product)}"


class Paths:
    """Every path from wrt to output, the largest |product| first. None is made before it is asked for.

    A sequence to go through, to index from the front and to slice; len() raises OverflowError where there are more
    than 2**63, which `Explanation.path_count` counts all the same.
    """

    def __init__(self, explanation: "Explanation") -> None:
        self._explanation = explanation
        self._found: list[Path] = []
        self._rest = (Path(explanation, edges) for edges in explanation.chain.largest_paths())

    def __len__(self) -> int:
        return self._explanation.path_count

    def __bool__(self) -> bool:
        return True  # there is one at least, and len() may be out of range

    def __iter__(self) -> Iterator[Path]:
        for place in count():
            if not self._reach(place + 1):
                return
            yield self._found[place]

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> list[Path]: ...
    def __getitem__(self, place: int | slice) -> Path | list[Path]:
        places = range(self._explanation.path_count)[place]
        last = places if isinstance(places, int) else max([*places[:1], *places[-1:]], default=-1)
        self._reach(last + 1)
        return self._found[places] if isinstance(places, int) else [self._found[i] for i in places]

    def _reach(self, n: int) -> bool:
        self._found += islice(self._rest, max(n - len(self._found), 0))
        return len(self._found) >= n

    def __str__(self) -> str:
        """The ten largest, what they carry, and how many there are."""
        return "\n".join(self._explanation._paths_in_words())

    __repr__ = __str__


class Explanation:
    """The chain rule of one derivative.

    output, wrt  the two nodes
    total        d(output)/d(wrt): what backward() leaves in wrt.grad
    factored     it as sums of products, one level at a time
    paths        every path, the largest first, each the product of its local derivatives
    path_count   how many they are, exactly

    str() explains in text, `latex` in LaTeX, which notebooks show, `draw()` in a picture.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.output, self.wrt = chain.nodes[-1], chain.nodes[0]
        self.names = Names()
        if len(chain.nodes) <= _SHOWN:  # made-up names then count up from wrt, else as they are needed
            for node in chain.nodes:
                self.names[node]

    @property
    def total(self) -> float:
        return self.chain.total

    @cached_property
    def factored(self) -> Derivative:
        return Derivative(self, 0)

    @cached_property
    def paths(self) -> Paths:
        return Paths(self)

    @property
    def path_count(self) -> int:
        return self.chain.count

    def share(self, k: int = _LISTED) -> float:
        """What part of the total the k largest paths carry: 1 is all of it. It can be above 1, or negative, where
        paths of both signs cancel; nan if the total is 0."""
        carried = fsum([path.product for path in self.paths[:k]])
        return carried / self.total if self.total else nan

    def partial(self, over: int, under: int) -> Name:
        """The name of the derivative of one node by another."""
        return partial(self.names[self.chain.nodes[over]], self.names[self.chain.nodes[under]])

    @cached_property
    def _levels(self) -> tuple[list[Derivative], bool]:
        """The derivative, in turn those that its factors expand to, and whether that are too many for a reader."""
        levels, seen = [self.factored], {self.factored.node}
        for level in levels:  # which grows as it is read
            for derivative in level.totals:
                if derivative.node not in seen:
                    if len(levels) == _LEVELS:
                        return levels, True
                    seen.add(derivative.node)
                    levels.append(derivative)
        return levels, False

    @cached_property
    def _rules(self) -> list[Factor]:
        """The local derivatives in what is shown, each once."""
        levels, _ = self._levels
        shown = [level for level in levels if len(level.terms) > 1 or len(level.terms[0].factors) > 1]
        factors = [f for level in shown for term in _cut(level.terms) if term for f in _cut(term.factors) if f]
        return list({(f.over, f.under): f for f in factors if f.local}.values())

    @property
    def notes(self) -> list[str]:
        """What else there is to say: made-up names, repeated labels, constants."""
        notes = self.names.notes
        if self.wrt.kind == CONSTANT:
            notes.append(f"{self.names[self.wrt].text} is a constant: backward() leaves its gradient as it is")
        return notes

    def __str__(self) -> str:
        levels, more = self._levels
        first, *rest = map(str, levels)
        blocks = [first, "\n".join(rest), "\n".join(map(str, self._rules[:_RULES]))]
        if len(self._rules) > _RULES:
            blocks[2] += f"\n… and {len(self._rules) - _RULES} more local derivatives"
        if more:
            blocks[1] += "\n… and so on: `.factored.totals` has the next ones, each with its own `.totals`"
        if self.path_count > 1:
            blocks.append(str(self.paths))
        made_up = [one_line(f"{name.text} = {meaning}", _WIDTH) for name, meaning in self._made_up()]
        blocks.append("\n".join([*made_up, *(f"({note})" for note in self.notes)]))
        return "\n\n".join([block for block in blocks if block])

    __repr__ = __str__

    @property
    def latex(self) -> str:
        """The equations of `factored`, of what its factors expand to, of the local derivatives, of made-up names."""
        return aligned(self.equations())

    def equations(self) -> list[str]:
        """The lines of `latex`."""
        shown: list[Derivative | Factor] = [*self._levels[0], *self._rules[:_RULES]]
        lines = [line for equation in shown for line in equation.equation(LATEX).latex]
        return lines + [f"{name.latex} &= {meaning.latex}" for name, meaning in self._made_up()]

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex}$"

    def _paths_in_words(self) -> Iterator[str]:
        shown = self.paths[:_LISTED]
        n = self.path_count
        if n <= _LISTED:
            yield f"{n} paths, the largest first:" if n > 1 else "1 path:"
        else:
            yield f"{counted(n).capitalize()} paths. The {_LISTED} largest:"
        yield from (f"  {path}" for path in shown)
        if n > _LISTED:
            share = f"{100 * self.share():.3g} % of the total" if self.total else "the total is 0"
            carried = six(fsum([path.product for path in shown]))
            yield f"  They come to {carried}, {share}; {counted(n - _LISTED)} more are left."

    def _made_up(self) -> list[tuple[Name, Expression]]:
        """The made-up names, and what they stand for in terms of the other names."""
        found: list[tuple[Name, Expression]] = []
        for node in self.names.unlabelled:  # which grows as operands get names
            if len(found) == _SHOWN:
                break
            meaning = in_terms_of(node, self.chain.is_named, self.names) if node.op is not None else number(node.data)
            found.append((self.names[node], meaning))
        return found

    def draw(self, **options: Any) -> "Digraph":
        """The graph behind output, the largest paths in colour, each with its product; options as for autograd.draw."""
        from .drawing.paths import draw_paths

        return draw_paths(self, **options)


def in_line(numbers: Sequence[float]) -> list[str]:
    """Terms and their sum, to the same decimal place: six decimals from 0.01 to 1, else five digits of the largest.

    >>> in_line([0.0553994, -0.0190491, 0.0363503])
    ['0.055399', '-0.019049', '0.036350']
    """
    largest = max([abs(x) for x in numbers if isfinite(x)], default=0.0)
    exact = [six(x) for x in numbers]
    if not largest or not 1e-6 < largest < 1e6 or all([len(x) < 6 for x in exact]):
        return exact
    size = floor(log10(largest))
    decimals = max(5 - size, 0) if size >= 0 else max(6, 4 - size)
    return [f"{x:.{decimals}f}" for x in numbers]


def _wrapped(left: str, terms: Sequence[str]) -> str:
    """left = terms, on as many lines as it takes."""
    first, *rest = terms
    lines = [f"{left} = {first}"]
    for term in rest:
        if len(lines[-1]) + len(term) + 3 > _WIDTH:
            lines.append(" " * (len(left) + 2))
        lines[-1] += f" + {term}"
    return "\n".join(lines)


def counted(n: int) -> str:
    """A number of any size for a sentence.

    >>> counted(2**40), counted(2**1000)
    ('1,099,511,627,776', 'about 1.07·10^301')
    """
    if n < 10**15:
        return f"{n:,}"
    size = log10(n)
    return f"about {10 ** (size % 1):.2f}·10^{floor(size)}"


def _cut(items: Sequence[_Item]) -> list[_Item | None]:
    """The items, or the first and last of too many around None."""
    return list(items) if len(items) <= _SHOWN else [*items[: _SHOWN // 2], None, *items[-(_SHOWN // 2) + 1 :]]
