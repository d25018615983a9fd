"""Which nodes of a graph make up which neuron of a model.

The labels of an nn model's parameters are paths, and tell: `layers.0.neurons.3.w.1` belongs to
`layers.0.neurons.3`, which lies in `layers.0`.

>>> owner("layers.0.neurons.3.w.1"), owner("layers.0.neurons.3.b"), owner("b")
('layers.0.neurons.3', 'layers.0.neurons.3', '')
>>> enclosing("layers.0.neurons.3")
['layers.0']
"""

import re
from collections import Counter
from collections.abc import Sequence

from ..value import CONSTANT, PARAMETER, Value

_PATH = re.compile(r"[^\W\d]\w*(\.\w+)*", re.ASCII)
_LONGEST = 200  # a longer label is no path: clusters nested by the hundred help nobody


def owner(label: str) -> str:
    """The path of the module that a parameter's label places it in; "" if the label is not such a path."""
    if len(label) > _LONGEST or not _PATH.fullmatch(label):
        return ""
    names = label.split(".")
    while names[-1].isdecimal():
        names.pop()
    return ".".join(names[:-1])


def enclosing(path: str) -> list[str]:
    """The paths of the list items that a module lies in, outermost first: the layer of a neuron."""
    names = path.split(".")
    return [".".join(names[: i + 1]) for i in range(len(names) - 1) if names[i].isdecimal()]


def neurons(order: Sequence[Value]) -> dict[Value, str]:
    """The path of the module that each node belongs to, for the nodes that belong to one.

    A module has its parameters; the nodes computed from them and from no other module's parameters
    (the net input, in as many nodes as it is written); and a function of one operand that alone uses
    the net input (the activation). `order` has operands before results.

    >>> w, b, x = Value(1.0, "layers.0.w", PARAMETER), Value(2.0, "layers.0.b", PARAMETER), Value(3.0)
    >>> wx = w * x; net = wx + b; out = net.tanh(); loss = out - x
    >>> list(neurons([w, b, x, wx, net, out, loss])) == [w, b, wx, net, out]
    True
    """
    home = {v: owner(v.label) for v in order if v.kind == PARAMETER and owner(v.label)}
    if not home:
        return home
    uses = Counter(operand for node in order for operand in node.parents)
    nets: set[Value] = set()
    for node in order:
        operands = [v for v in node.parents if v.kind != CONSTANT]
        parameters = [v for v in operands if v.kind == PARAMETER]
        sources = parameters or operands
        homes = {home.get(v, "") for v in sources}
        if len(homes) != 1 or "" in homes:
            continue
        if not parameters:
            if not all(v in nets and uses[v] == 1 for v in operands):
                continue
            if len(operands) == 1:
                if node.op and node.op.required == 1 and not node.op.variadic:
                    home[node] = homes.pop()
                continue
        home[node] = homes.pop()
        nets.add(node)
    return home
