"""How each thing in a picture looks: shape, border and colours, by day and by night.

The colours are tints and shades of Okabe and Ito's palette, which the colour-blind can tell apart
(https://jfly.uni-koeln.de/color/). Shapes and borders alone tell the roles apart as well, and the fills
differ in lightness, so that a picture survives a grey printer.

>>> LOOKS["parameter"].dot["shape"]
'box'
>>> print(night().splitlines()[0])
@media (prefers-color-scheme: dark) {
"""

from typing import NamedTuple

FONT = "Helvetica"  # the one family whose metrics Graphviz and every browser's fallback agree on
FONTS = "Helvetica, Arial, 'Liberation Sans', sans-serif"
GREY = "#808080"  # lines outside boxes: on white and on black alike
SHADE = "#80808018"  # clusters: translucent, so that they darken with nesting, on any page
INK = "#404040"  # text outside boxes


class Look(NamedTuple):
    """Attributes for DOT, and for dark pages the colours of fill, line and text."""

    dot: dict[str, str]
    fill: str
    line: str
    ink: str


def _box(shape: str, style: str, fill: str, line: str, ink: str = "#111111", **more: str) -> dict[str, str]:
    return {"shape": shape, "style": style, "fillcolor": fill, "color": line, "fontcolor": ink, **more}


# fmt: off
LOOKS: dict[str, Look] = {
    "parameter": Look(_box("box", "filled", "#ffd98f", "#a86200", penwidth="2"),             "#5e3c00", "#e69f00", "#fff3dc"),
    "input":     Look(_box("ellipse", "filled", "#b5dcf6", "#0072b2", margin="0,0"),                       "#0b3d5c", "#56b4e9", "#e6f4fd"),
    "constant":  Look(_box("note", "filled,dashed", "#ffffff", "#767676"),                   "#1b1b1b", "#9a9a9a", "#e8e8e8"),
    "operation": Look(_box("box", "filled,rounded", "#f0f0f0", "#555555"),                   "#333333", "#a6a6a6", "#f2f2f2"),
    "result":    Look(_box("box", "filled,rounded", "#005c45", "#005c45", "#ffffff", peripheries="2"), "#7ddcbd", "#7ddcbd", "#00261c"),
    "module":    Look(_box("folder", "filled", "#ecd3e1", "#8f4a73"),                        "#4c2340", "#cc79a7", "#fbeaf3"),
}
# fmt: on


def night() -> str:
    """The style sheet rules that a dark page turns on. By day the SVG's own attributes hold, which need no CSS."""
    rules = []
    for role, look in LOOKS.items():
        rules.append(f"  .chainrule .{role} :is(path, polygon, ellipse) {{ fill: {look.fill}; stroke: {look.line} }}")
        rules.append(f"  .chainrule .{role} polyline {{ stroke: {look.line} }}")
        rules.append(f"  .chainrule .{role} text {{ fill: {look.ink} }}")
    rules.append("  .chainrule :is(.edge, .cluster) text { fill: #d0d0d0; stroke: #111111 }")
    return "\n".join(["@media (prefers-color-scheme: dark) {", *rules, "}"])
