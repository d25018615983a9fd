"""Groups in order, as tables of whole numbers that one machine program reads: the slots of wires, and instructions.

An instruction is its opcode, its sizes, and the slots that it works on. A slot holds a wire's number for each sample
of a block; it is used again once no later group asks for its wire. What is the same for every sample (weights,
constants) stands in one vector of numbers, of which a program says where each comes from.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autograd.ops import OPS, Op
from autograd.value import BUILT_IN

from .groups import ALGEBRA, ONE, Dense, Groups, Outer, Row, Sums, Transposed

# What the kernel has code for beside these is rows of the table, by their names: those for which elementary.py, or
# kernel.py itself, has a function. It is looked for in their text, since they need llvmlite and tables do not.
CONTROL = ("end", "load", "fill", "layer", "outer", "sum", "products", "weighted", "store", "call")
_TEXT = "\n".join(
    [(Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("elementary.py", "kernel.py")]
)
_CODED = {*re.findall(r"^(?:def |    def _|(?=\w+ = ))(\w+)", _TEXT, re.MULTILINE)}
ROWS: dict[str, Op] = {
    name: op for name, op in OPS.items() if name in BUILT_IN and name in _CODED and not (op.variadic and op in ALGEBRA)
}


def vectorized(op: Op) -> bool:
    """Whether the kernel has vector code for a row: that of a row of one's own may have a built-in row's name."""
    return ROWS.get(op.name) is op


def padded(count: int) -> int:
    """How long a column of slots is, whose last is repeated so that one sample's rows make whole vectors."""
    return -(-count // PADDED) * PADDED


PADDED = 16  # the lanes of a vector of float32
OPCODES = {name: k for k, name in enumerate([*CONTROL, *ROWS])}


class _Places(dict[Any, int]):
    """Of numbers, in the order in which they are first asked for; by their texts those that == does not tell apart."""

    def __missing__(self, x: Any) -> int:
        key = x if x == x and x else repr(x)  # -0.0, and nan, which equals nothing
        return self.setdefault(key, len(self))


class Tables:
    """What a machine runs.

    code        int32: instructions; `once` is those that run once a call, before the first block
    slots       how many there are
    sources     the parameters that the vector begins with, some repeatedly
    numbers     what follows them there
    trained     how many sources there are: so many numbers a gradient has; then comes that of the sum of the root
    parameters  how many of these there are
    calls       the operations without vector code, as the code numbers them
    """

    def __init__(
        self,
        groups: Groups,
        loads: Sequence[tuple[int, int, int]],
        stores: Sequence[Sequence[int]] = (),
        total: int | None = None,
        gradients: dict[int, int | None] | None = None,
        widths: Sequence[int] = (),
        parameters: int = 0,
    ) -> None:
        """loads has (array, column, wire) of inputs; stores for each array the wires that go to its columns.

        total is the wire that is summed over samples, gradients the wire of each parameter's derivative;
        widths says how many numbers a sample has in each array."""
        self._constant = groups.constant
        self._numbers, self.calls = _Places(), list[Any]()
        order = groups.in_order()
        summed = {} if gradients is None else {p: g for p, g in gradients.items() if g is not None}
        kept = [w for wires in stores for w in wires] + list(summed.values()) + ([] if total is None else [total])
        # The vector: the layers' parameters first, which for most models are all of them, in their order.
        sources: list[int] = []
        self._base: dict[Dense, int] = {}
        bases: dict[Any, int] = {}
        for group in order:
            if isinstance(group, Dense):
                base = self._base[group] = bases.setdefault(tuple(map(tuple, group.parameters)), len(sources))
                if base == len(sources):
                    for row in group.parameters:
                        sources += row
        place = {p: len(sources) + i for i, p in enumerate(groups.broadcasts)}
        sources += groups.broadcasts
        self.trained = len(sources)
        last = [-1] * len(groups.level)  # the group that reads a wire last
        for i, group in enumerate(order):
            if isinstance(group, Sums):
                for terms in group.rows:
                    for _, a, b in terms:
                        last[a] = last[b] = i
            else:
                for w in _read_by(group):
                    last[w] = i
        for w in [*groups.broadcasts.values(), *groups.constants.values(), *kept]:
            last[w] = len(order)
        loads = [load for load in loads if last[load[2]] >= 0]
        # Slots: those that are filled once, those of inputs, then as the groups come.
        slot = [-1] * len(groups.level)
        filled = [(wire, place[p]) for p, wire in groups.broadcasts.items()]
        filled += [(wire, self._numbers[float(x)] + self.trained) for x, wire in groups.constants.items()]
        for k, wire in enumerate([wire for wire, _ in filled] + [wire for _, _, wire in loads]):
            slot[wire] = k
        self.slots = len(filled) + len(loads)
        read_last: list[list[int]] = [[] for _ in range(len(order) + 1)]
        for w, i in enumerate(last):
            if i >= 0:
                read_last[i].append(w)
        code: list[int] = []
        for array in sorted({array for array, _, _ in loads}):
            runs: list[list[int]] = []  # each a first column, how many follow, and their slots
            for a, column, wire in loads:
                if a == array:
                    if not runs or column != runs[-1][0] + runs[-1][1]:
                        runs.append([column, 0])
                    runs[-1][1] += 1
                    runs[-1].append(slot[wire])
            code += [OPCODES["load"], array, sum(map(len, runs)), *[x for run in runs for x in run]]
        free: list[int] = []
        for i, group in enumerate(order):
            for w in group.out:
                if free:
                    slot[w] = free.pop()
                else:
                    slot[w] = self.slots
                    self.slots += 1
            self._encode(group, slot, code)
            free += [slot[w] for w in read_last[i]]
            free += [slot[w] for w in group.out if last[w] < 0]
        one = slot[ONE]
        runs_of_sums: list[list[int]] = []  # of derivatives that stand side by side: where, and their slots
        for p, wire in summed.items():
            if not runs_of_sums or place[p] != runs_of_sums[-1][0] + len(runs_of_sums[-1]) - 1:
                runs_of_sums.append([place[p]])
            runs_of_sums[-1].append(slot[wire])
        for first, *gs in runs_of_sums:
            code += [OPCODES["outer"], len(gs), 1, first, 1, *gs, one]
        if total is not None:
            code += [OPCODES["outer"], 1, 1, self.trained, 1, slot[total], one]
        for array, wires in enumerate(stores):
            code += [OPCODES["store"], array, len(wires), *[x for j, w in enumerate(wires) for x in (j, slot[w])]]
        code.append(OPCODES["end"])
        once = [OPCODES["fill"], len(filled), *[x for wire, k in filled for x in (slot[wire], k)], OPCODES["end"]]
        self.once = np.array(once, dtype=np.int32)
        self.numbers = [*map(float, self._numbers)]
        del self._base, self._numbers, self._constant
        self.code = np.array(code, dtype=np.int32)
        self.sources, self.parameters = np.array(sources, dtype=np.int64), parameters
        self.instructions = len(order) + 1
        sizes = [len(group.out) for group in order] + [len(g.dense.xs) for g in order if isinstance(g, Outer)]
        sizes += [len(g.xs) for g in order if isinstance(g, Dense)]
        sizes += [len(g.gs) for g in order if isinstance(g, Transposed)]
        self.widest = max(sizes, default=1)
        self.widths, self.out_widths = list(widths), [len(wires) for wires in stores]

    def __getstate__(self) -> dict[str, Any]:
        names = (
            "code",
            "once",
            "slots",
            "sources",
            "numbers",
            "parameters",
            "trained",
            "calls",
            "instructions",
            "widths",
            "out_widths",
            "widest",
        )
        return {name: getattr(self, name) for name in names}

    def _encode(self, group: Any, slot: list[int], code: list[int]) -> None:
        at = slot.__getitem__
        if isinstance(group, Dense):
            base, rows, width = self._matrix(group)
            head = [OPCODES["layer"], rows, width, base, width, 1]
            code += [*head, *map(at, group.xs), *map(at, group.out)]
        elif isinstance(group, Transposed):
            base, rows, width = self._matrix(group.dense)
            head = [OPCODES["layer"], width, rows, base, 1, width]
            code += [*head, *map(at, group.gs), *map(at, group.out)]
        elif isinstance(group, Outer):
            base, rows, width = self._matrix(group.dense)
            head = [OPCODES["outer"], rows, width, base, width]
            code += [*head, *map(at, group.gs), *map(at, group.dense.xs)]
        elif isinstance(group, Sums):
            self._encode_sums(group, slot, code)
        else:
            count, op = len(group.out), group.op
            columns = [[*map(at, group.out)]]
            columns += [[*map(at, x)] if type(x) is list else [at(self._constant(x))] * count for x in group.operands]
            if vectorized(op) and not op.variadic:
                more = padded(count) - count
                code += [OPCODES[op.name], count, *[place for x in columns for place in x + x[-1:] * more]]
                return
            if vectorized(op):
                head = [OPCODES[op.name], count, len(columns) - 1]
            else:
                if op not in self.calls:
                    self.calls.append(op)
                head = [OPCODES["call"], count, len(columns) - 1, self.calls.index(op)]
            code += [*head, *[place for places in zip(*columns, strict=True) for place in places]]

    def _encode_sums(self, group: Sums, slot: list[int], code: list[int]) -> None:
        by_length: dict[int, list[tuple[int, Row]]] = {}
        for wire, row in zip(group.out, group.rows, strict=True):
            by_length.setdefault(len(row), []).append((wire, row))
        plain = group.plain
        single = plain and all([a == ONE or b == ONE for row in group.rows for _, a, b in row])
        start = len(code)
        code += (OPCODES["sum" if single else "products" if plain else "weighted"], 0)
        place, trained = self._numbers, self.trained
        for length, rows in sorted(by_length.items()):
            code += (len(rows), length)
            for wire, row in rows:
                code.append(slot[wire])
                for c, a, b in row:
                    if single:
                        code.append(slot[a or b])
                    elif plain:
                        code += (slot[a], slot[b])
                    else:
                        code += (slot[a], slot[b], trained + place[c])
        code[start + 1] = len(code) - start - 2

    def _matrix(self, dense: Dense) -> tuple[int, int, int]:
        return self._base[dense], len(dense.out), len(dense.xs)


def _read_by(group: Any) -> list[int]:
    """The wires that it reads, some of them repeatedly."""
    if isinstance(group, Dense):
        return [*group.xs]
    if isinstance(group, Transposed):
        return group.gs
    if isinstance(group, Outer):
        return [*group.gs, *group.dense.xs]
    return [w for x in group.operands if type(x) is list for w in x]
