"""Labels as names in code, in text and in LaTeX, whatever they are."""

import keyword
import re
import unicodedata

import pytest
from hypothesis import given, strategies as st
from strategies import LABELS, labels, typeset

from autograd import Value
from autograd.names import LONGEST, Name, Names, latex, one_line, visible


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("x", "x"),
        ("w5", "w_{5}"),
        ("w_5", "w_{5}"),
        ("w_{jk}", "w_{jk}"),
        ("w_jk", "w_{jk}"),
        ("w_jk^(2)", "w_{jk}^{(2)}"),
        ("a_1^{(2)}", "a_{1}^{(2)}"),
        ("a^(L-1)", r"\mathrm{aˆ(L{-}1)}"),  # without braces the index would not end there
        ("a^{(L-1)}", "a^{(L-1)}"),
        ("w_{j, k+1}", r"w_{j,\ k+1}"),
        ("out_h1", r"\mathrm{out}_{h1}"),
        ("net_o1", r"\mathrm{net}_{o1}"),
        ("loss", r"\mathrm{loss}"),
        ("E", "E"),
        ("w'", "w'"),
        ("f''", "f''"),
        ("δ", r"\delta"),
        ("delta", r"\delta"),
        ("alpha2", r"\alpha_{2}"),
        ("Σ", r"\Sigma"),
        ("Sigma", r"\Sigma"),
        ("sigma_out", r"\sigma_{\mathrm{out}}"),
        ("δ_j^L", r"\delta_{j}^{L}"),
        ("x_alpha", r"x_{\alpha}"),
        ("w_1_2", "w_{1,2}"),
        ("layers.0.w", r"\mathrm{layers.0.w}"),
        ("two words", r"\mathrm{two\ words}"),
        ("50%", r"\mathrm{50\%}"),
        ("$x$", r"\mathrm{\$x\$}"),
        ("a&b", r"\mathrm{a\&b}"),
        ("\\frac{1}", r"\mathrm{\backslash{}frac\{1\}}"),
        ("<b>", r"\mathrm{{<}b>}"),
        ("x^", "\\mathrm{xˆ}"),
    ],
)
def test_latex(label: str, expected: str) -> None:
    assert latex(label) == expected
    typeset(expected)


def test_greek_letters() -> None:
    """By name and by letter alike, those that LaTeX has a command for; the rest stay as they are."""
    plain = ""
    for letter in "αβγδεζηθικλμνξοπρςστυφχψωΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ":
        name = unicodedata.name(letter).split(" LETTER ")[1].lower().replace("lamda", "lambda")
        name = name.capitalize() if letter.isupper() else name
        if latex(letter) == letter:
            plain += letter
        else:
            assert latex(letter) == f"\\{name}" == latex(name)
        typeset(latex(letter))
    assert plain == "οςΑΒΕΖΗΙΚΜΝΟΡΤΧ"  # these look like Latin ones, or have no command


ESCAPED = re.compile(r"\\([a-zA-Z]+|.)", re.DOTALL)
COMMANDS = {"mathrm", "backslash", "sim", *"#$%&_{} "} | {
    c[1:] for c in map(latex, map(chr, [*range(0x391, 0x3CA)])) if c[0] == "\\"
}


def name_of(label: str) -> Name:
    return Names()[Value(1.0, label=label)]


@given(labels)
def test_any_label_is_set_and_escaped(label: str) -> None:
    found = name_of(label)
    typeset(found.latex)
    typeset(rf"\frac{{\partial {found.latex}}}{{\partial {found.latex}}} = {{{found.latex}}}^{{2}}")
    assert {m[1] for m in ESCAPED.finditer(found.latex)} <= {
        *COMMANDS,
        "langle",
        "rangle",
    }  # no command of the label's own
    bare = ESCAPED.sub("", found.latex)
    assert not set(bare) & set("$%#&~\\")
    assert not re.search(r"<[^}]", bare)  # which a page might read as a tag
    depth = 0
    for c in bare:
        depth += (c == "{") - (c == "}")
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("label", LABELS)
def test_labels_that_have_been_trouble(label: str) -> None:
    found = name_of(label)
    typeset(found.latex)
    assert found.code.isidentifier()
    assert found.text == visible(found.text)
    found.text.encode()
    found.latex.encode()
    assert len(found.text) <= LONGEST


@given(st.lists(labels, max_size=8))
def test_names_are_distinct(given_labels: list[str]) -> None:
    """In code and in text, however alike the labels; and each node keeps its own."""
    nodes = [Value(1.0, label=label) for label in given_labels]
    names = Names()
    found = [names[node] for node in nodes]
    assert [names[node] for node in nodes] == found
    for notation in ("code", "text"):
        assert len({getattr(name, notation) for name in found}) == len(nodes)
    for node, name in zip(nodes, found, strict=True):
        assert name.code.isidentifier()
        assert not keyword.iskeyword(name.code)
        assert name.code == unicodedata.normalize("NFKC", name.code)  # as Python will read it
        assert name.text == visible(name.text)
        assert (node in names.unlabelled) == (not node.label.strip())


@pytest.mark.parametrize(("one", "other"), [("w5", "w_5"), ("α", "alpha"), ("w_{jk}", "w_jk"), ("w_1_2", "w_{1,2}")])
def test_labels_that_look_alike_in_latex_are_told_apart(one: str, other: str) -> None:
    names = Names()
    assert names[Value(1.0, label=one)].latex != names[Value(2.0, label=other)].latex


@pytest.mark.parametrize("pair", [("a b", "a_b"), ("w'", "w_"), ("50%", "_50_"), ("ﬁ", "fi")])
def test_labels_that_differ_are_not_called_repeated(pair: tuple[str, str]) -> None:
    """Where only the names in code must differ, text shows the labels, and no note says that they are the same."""
    names = Names()
    found = [names[Value(1.0, label=label)] for label in pair]
    assert [name.text for name in found] == list(pair)
    assert names.notes == []
    assert found[0].code != found[1].code


def test_repeated_labels() -> None:
    names = Names()
    hs = [Value(float(i), label="h") for i in range(3)]
    assert [names[h] for h in hs] == [
        Name("h", "h", "h"),
        Name("h__2", "h#2", r"{h}_{\#2}"),
        Name("h__3", "h#3", r"{h}_{\#3}"),
    ]
    (note,) = names.notes
    assert "labelled 'h'" in note
    assert note.endswith(" h, h#2, h#3")
    for i in range(4):
        names[Value(float(i), label="h")]
    (note,) = names.notes
    assert note.endswith(" h, h#2, h#3, h#4, h#5, …")
    assert names.unlabelled == []


def test_a_label_that_is_what_another_would_be_called() -> None:
    names = Names()
    found = [names[Value(1.0, label=label)].text for label in ("h#2", "h", "h", "⟨1⟩", "", "h__2")]
    assert len(set(found)) == 6
    assert found[:2] == ["h#2", "h"]
    assert names[Value(1.0)].text not in found


def test_made_up_names() -> None:
    names = Names()
    a, b = Value(1.0), Value(2.0, label="  ")
    assert (names[a], names[b]) == (Name("_1", "⟨1⟩", r"\langle 1 \rangle"), Name("_2", "⟨2⟩", r"\langle 2 \rangle"))
    assert names.unlabelled == [a, b]
    assert names.notes == ["⟨1⟩ and so on are names made up for want of a label"]
    one = Names()
    one[a]
    assert one.notes == ["⟨1⟩ is a name made up for want of a label"]
    assert Names().notes == []


def test_made_up_names_give_way_to_labels() -> None:
    names = Names()
    names[Value(1.0, label="⟨1⟩")], names[Value(1.0, label="_2")]
    assert names[Value(1.0)].text == "⟨3⟩"


def test_code() -> None:
    """An identifier stays as it is; of anything else one is made."""
    expected = {"w5": "w5", "out_h1": "out_h1", "δ": "δ", "lambda": "lambda_", "a b": "a_b", "2x": "_2x", "w'": "w_"}
    assert {label: name_of(label).code for label in expected} == expected


def test_one_line() -> None:
    assert one_line("a\nb\x00\u202e", 20) == "a↵b\\x00\\u202e"
    assert one_line("x" * 10**6, 5) == "xxxx…"
    assert name_of("x" * 10**6).text == "x" * (LONGEST - 1) + "…"
    assert visible("a\tb", keep="\t") == "a\tb"
