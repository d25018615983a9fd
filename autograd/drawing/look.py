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
# The paths of a derivative, in order: as light as each other, so that lines and text in them are read on white and on
# black alike (WCAG AA); what tells them apart without colour is a number.
COLOURS = ["#c15500", "#007bc0", "#008661", "#bc4e8b", "#8d7300", "#7f5ee0"]
LEGIBLE = "#757575"  # text on the page itself


class Look(NamedTuple):
    """A shape, its style, the colours of fill, line and text by day and by night, and one further attribute."""

    shape: str
    style: str
    day: str
    night: str
    more: str = ""

    @property
    def dot(self) -> dict[str, str]:
        """The attributes of a node in DOT."""
        colours = dict(zip(("fillcolor", "color", "fontcolor"), self.day.split(), strict=True))
        more = dict([self.more.split()] if self.more else [])
        return {"shape": self.shape, "style": self.style, **colours, **more}


# fmt: off
LOOKS: dict[str, Look] = {
    "parameter": Look("box", "filled", "#ffd98f #a86200 #111111", "#5e3c00 #e69f00 #fff3dc", "penwidth 2"),
    "input":     Look("ellipse", "filled", "#b5dcf6 #0072b2 #111111", "#0b3d5c #56b4e9 #e6f4fd", "margin 0.03,0"),
    "constant":  Look("note", "filled,dashed", "#ffffff #767676 #111111", "#1b1b1b #9a9a9a #e8e8e8"),
    "operation": Look("box", "filled,rounded", "#f0f0f0 #555555 #111111", "#333333 #a6a6a6 #f2f2f2"),
    "result":    Look("box", "filled,rounded", "#005c45 #005c45 #ffffff", "#7ddcbd #7ddcbd #00261c", "peripheries 2"),
    "amplifier": Look("house", "filled", "#fff3a8 #7a6a00 #111111", "#4a4210 #e8d44d #fffbe0", "margin 0.02,0"),
    "module":    Look("folder", "filled", "#e0bcd0 #7d3a62 #111111", "#6b3a5c #e0a3c6 #fbeaf3"),
}
# fmt: on


def night() -> str:
    """The style sheet rules that a dark page turns on. By day the SVG's own attributes hold, which need no CSS."""
    rules = []
    for role, look in LOOKS.items():
        fill, line, ink = look.night.split()
        rules.append(f"  .chainrule .{role} [stroke] {{ stroke: {line} }}")
        rules.append(f"  .chainrule .{role} [stroke]:not([fill=none]) {{ fill: {fill} }}")
        rules.append(f"  .chainrule .{role} text {{ fill: {ink} }}")
    rules.append("  .chainrule :is(.edge, .cluster) text { stroke: #111111c0 }")
    rules.append(f"  .chainrule :is(.edge, .cluster) text[fill='{INK}'] {{ fill: #d0d0d0 }}")
    return "\n".join(["@media (prefers-color-scheme: dark) {", *rules, "}"])
