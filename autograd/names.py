r"""Labels as names: made visible, made distinct, and set in LaTeX.

>>> latex("w5"), latex("out_h1"), latex("a_1^{(2)}"), latex("δ"), latex("50% {off}")
('w_{5}', '\\mathrm{out}_{h1}', 'a_{1}^{(2)}', '\\delta', '\\mathrm{50\\%\\ \\{off\\}}')

A node without a label gets a made-up name, in angle brackets to mark it; the second node of a label
gets a number:

>>> from autograd import Value
>>> names = Names()
>>> [names[v].text for v in (Value(1.0, label="h"), Value(2.0), Value(3.0, label="h"))]
['h', '⟨1⟩', 'h#2']
"""

import re
import unicodedata
from keyword import iskeyword
from typing import NamedTuple

from .value import Value

LONGEST = 60  # characters of a label in a formula

# Control characters, halves of surrogate pairs and noncharacters, which XML forbids or nothing shows,
# and those that turn the direction of all the text after them.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u2028-\u202e\u2066-\u2069]")

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_LETTERS = frozenset(_GREEK.split())  # those that LaTeX has commands for

_INDEXED = re.compile(
    r"(?P<base>[^\W\d_]+)(?P<number>\d*)"
    r"(?:_(?:\{(?P<braced>[\w, +()-]+)\}|(?P<sub>\w+)))?"
    r"(?:\^(?:\{(?P<raised>[\w, +()-]+)\}|(?P<sup>\w+|\(\w+\))))?"
    r"(?P<primes>'*)"
)
_ESCAPES = {c: f"\\{c}" for c in "#$%&_{} "} | {
    "\\": r"\backslash{}",
    "^": "ˆ",  # there is no caret that every renderer has
    "~": r"{\sim}",
    "<": "{<}",  # what follows < must not make it a tag
    "-": "{-}",
    "'": "’",
    '"': "”",
    "`": "‘",
}


class Name(NamedTuple):
    """What a node is called: in code (an identifier, if the label is one), in text and in LaTeX."""

    code: str
    text: str
    latex: str


class Names:
    """Gives each node a name of its own, when it is first asked for. `notes` tells of names that are not labels."""

    def __init__(self) -> None:
        self._names: dict[Value, Name] = {}
        self.unlabelled: list[Value] = []  # those with a made-up name
        self._codes, self._texts, self._latex = _Distinct("{}__{}"), _Distinct("{}#{}"), _Distinct(r"{{{}}}_{{\#{}}}")
        self._repeated: dict[str, list[str]] = {}
        self._made_up = 0

    def __getitem__(self, node: Value) -> Name:
        if node not in self._names:
            self._names[node] = self._labelled(node.label) if node.label.strip() else self.make_up()
            if not node.label.strip():
                self.unlabelled.append(node)
        return self._names[node]

    def make_up(self) -> Name:
        """A name that is no label and no other made-up name."""
        self._made_up += 1
        while f"_{self._made_up}" in self._codes or f"⟨{self._made_up}⟩" in self._texts:
            self._made_up += 1
        n = self._made_up
        name = Name(f"_{n}", f"⟨{n}⟩", rf"\langle {n} \rangle")
        return Name(self._codes.take(name.code), self._texts.take(name.text), self._latex.take(name.latex))

    def _labelled(self, label: str) -> Name:
        text = one_line(label, LONGEST)
        code = unicodedata.normalize("NFKC", text)
        if not code.isidentifier() or iskeyword(code):
            code = "_" * (not re.match(r"[^\W\d]", code)) + re.sub(r"\W", "_", code, flags=re.ASCII)
        code += "_" * (iskeyword(code) or code in ("inf", "nan"))  # which are numbers
        name = Name(self._codes.take(code), self._texts.take(text), self._latex.take(latex(text)))
        if name.text != text:
            self._repeated.setdefault(text, [text]).append(name.text)
        return name

    @property
    def notes(self) -> list[str]:
        """A line for each label that several nodes have, and one for the made-up names."""
        alike = [
            f"several nodes are labelled {names[0]!r}: here they are {', '.join(names[:5])}{', …' * (len(names) > 5)}"
            for names in self._repeated.values()
        ]
        if self._made_up:
            are = "and so on are names" if self._made_up > 1 else "is a name"
            alike.append(f"⟨1⟩ {are} made up for want of a label")
        return alike


class _Distinct:
    """Texts that are all different: one that is taken gets a number."""

    def __init__(self, numbered: str) -> None:
        self._numbered = numbered
        self._times: dict[str, int] = {}  # how often each was asked for

    def __contains__(self, text: str) -> bool:
        return text in self._times

    def take(self, text: str) -> str:
        found = text
        while found in self._times:
            self._times[text] += 1
            found = self._numbered.format(text, self._times[text])
        self._times[found] = 1
        return found


def visible(text: str, keep: str = "") -> str:
    """Text without the characters that XML forbids or a reader cannot see: each is written as its escape."""
    return _INVISIBLE.sub(lambda m: m[0] if m[0] in keep else _escape(m[0]), text)


def one_line(label: str, longest: int) -> str:
    """A label for a place that is short: visible, and cut with an ellipsis.

    >>> one_line("a\\nb", 5), one_line("abcdef", 5)
    ('a↵b', 'abcd…')
    """
    text = visible(label[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _escape(character: str) -> str:
    return "↵" if character == "\n" else character.encode("unicode_escape").decode()


def latex(label: str) -> str:
    r"""A label in LaTeX's mathematics: indices and Greek letters set as such, anything else escaped.

    >>> latex("w_jk^(2)"), latex("alpha2"), latex("loss"), latex("w_{jk}'")
    ('w_{jk}^{(2)}', '\\alpha_{2}', '\\mathrm{loss}', "w_{jk}'")
    """
    match = _INDEXED.fullmatch(label)
    if match is None:
        return rf"\mathrm{{{''.join(_ESCAPES.get(c, c) for c in label)}}}"
    subscripts = [match["number"], match["braced"] or ",".join((match["sub"] or "").split("_"))]
    below = ",".join([_script(s) for s in subscripts if s])
    above = _script(match["raised"] or match["sup"] or "")
    scripts = (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")
    return _word(match["base"]) + scripts + match["primes"]


def _script(text: str) -> str:
    """What stands in an index: Greek letters by name, words of three letters and more upright."""
    return re.sub(r"[^\W\d_]+|[ _]", lambda m: rf"\{m[0]}" if m[0] in " _" else _word(m[0], 3), text)


def _word(word: str, upright: int = 2) -> str:
    if word in _LETTERS:
        return rf"\{word}"
    if len(word) == 1:
        _, _, letter = unicodedata.name(word, "").partition("GREEK ")
        size, _, name = letter.replace("LAMDA", "LAMBDA").partition(" LETTER ")
        name = name.lower() if size == "SMALL" else name.capitalize()
        return rf"\{name}" if letter and name in _LETTERS else word
    return rf"\mathrm{{{word}}}" if len(word) >= upright else word
