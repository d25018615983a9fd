"""Times eager code against micrograd, XAD and PyTorch, with the pure and with the compiled core, and judges it.

    python -m pip install '.[bench]' && python benchmarks/eager.py

One core runs in a process, so this starts itself once for each: with AUTOGRAD_PURE=1, and with
AUTOGRAD_COMPILED=require. Each process is pinned to one CPU and runs ours and the peer's in turn, after a check that
their gradients agree. A peer that isn't installed is left out. --write keeps the tables in eager.md, which the README
quotes, and operations.md, the time of every row of the table of operations; --only mlp,nn measures those rows alone.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

MODES = {"pure": {"AUTOGRAD_PURE": "1"}, "compiled": {"AUTOGRAD_COMPILED": "require"}}
PEERS = {"micrograd": "micrograd", "XAD": "xad", "PyTorch": "torch"}  # and the names of their distributions
NOT_COMPILED = 3  # exit code
Run = dict[str, Any]  # "figures" and "operations", as measures.py has them


@dataclass(frozen=True)
class Bar:
    """What a row must reach with either core: times faster than the peer at least, or so much of its unit at most."""

    pure: float | None
    compiled: float | None
    at_least: bool = True

    def judge(self, mode: str, reached: float) -> str:
        bar = self.pure if mode == "pure" else self.compiled
        if bar is None:
            return ""
        met = reached >= bar if self.at_least else reached <= bar
        return f" (bar {bar:g})" if met else f" (**bar {bar:g}: missed**)"


BARS = {
    "mlp": Bar(3.5, 16),
    "samples": Bar(6, 25),
    "nn": Bar(10, 60),
    "xad-mlp": Bar(1, 5),
    "xad-chain": Bar(1, 5),
    "torch-mlp": Bar(8, 40),
    "torch-chain": Bar(8, 40),
    "bytes": Bar(180, 130, at_least=False),
    "chain": Bar(None, 4, at_least=False),
    "import": Bar(50, 50, at_least=False),
}


def measure(mode: str, rounds: int, only: list[str]) -> Run:
    """In the process of one mode: its figures, printed as JSON by main."""
    try:
        import autograd
    except Exception as error:  # AUTOGRAD_COMPILED=require, and there is none
        if mode != "compiled":
            raise
        print(f"no compiled core: {error}", file=sys.stderr)
        sys.exit(NOT_COMPILED)
    if getattr(autograd, "COMPILED", False) != (mode == "compiled"):
        print(f"asked for the {mode} core, and got the other", file=sys.stderr)
        sys.exit(NOT_COMPILED if mode == "compiled" else 1)
    pin()
    from measures import MEASURES, Figure, time_operations

    def wanted(name: str) -> bool:
        if not only or name in only:
            print(f"{mode}: {name}", file=sys.stderr)
            return True
        return False

    operations = time_operations(min(rounds, 9)) if wanted("operations") else []
    taken: dict[str, list[Figure]] = {}
    for name in sorted(MEASURES, key=lambda name: name.startswith("torch")):  # large: it slows the collector for all
        taken[name] = MEASURES[name](rounds) if wanted(name) else []
    figures = [figure for name in MEASURES for figure in taken[name]]
    return {"figures": [asdict(figure) for figure in figures], "operations": [asdict(timing) for timing in operations]}


def pin() -> None:
    """Keep this process on one CPU: the one on which a loop is fastest now, as others may be at work on the rest."""
    if not hasattr(os, "sched_setaffinity"):
        return
    took: dict[int, float] = {}
    for cpu in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {cpu})
        start = time.perf_counter()
        sum(range(1_000_000))
        took[cpu] = time.perf_counter() - start
    os.sched_setaffinity(0, {min(took, key=lambda cpu: took[cpu])})


def run(mode: str, rounds: int, only: list[str]) -> Run | None:
    """measure, in a process of its own. None if there is no compiled core; SystemExit if anything else fails."""
    environment = {k: v for k, v in os.environ.items() if k not in ("AUTOGRAD_PURE", "AUTOGRAD_COMPILED")}
    command = [sys.executable, __file__, "--within", mode, f"--rounds={rounds}", f"--only={','.join(only)}"]
    done = subprocess.run(command, env=environment | MODES[mode], stdout=subprocess.PIPE, text=True)
    if done.returncode == NOT_COMPILED and mode == "compiled":
        return None
    if done.returncode:
        sys.exit(f"the run with the {mode} core failed")
    found: Run = json.loads(done.stdout)
    return found


def number(x: float, unit: str) -> str:
    """Three digits, or whole ones."""
    digits = 2 if unit == "s" else 1 if abs(x) < 100 and unit != "bytes" else 0
    return f"{x:,.{digits}f} {unit.partition(' ')[0]}"


def cells(figure: dict[str, Any] | None, mode: str) -> list[str]:
    """Ours, and how many times faster, as the table shows them for one mode."""
    if figure is None:
        return ["", ""]
    bar = BARS.get(figure["name"])
    ours, ratio = number(figure["ours"], figure["unit"]), figure["times_faster"]
    if ratio is not None:
        return [ours, f"{ratio:.{1 if ratio >= 2 else 2}f}" + (bar.judge(mode, ratio) if bar else "")]
    if figure["parts"]:
        ours += f": {figure['parts']}"
    return [ours + (bar.judge(mode, figure["ours"]) if bar else ""), ""]


def lines_of(columns: list[str], rows: list[list[str]], aligned_left: int) -> list[str]:
    rule = ["---"] * aligned_left + ["---:"] * (len(columns) - aligned_left)
    return ["| " + " | ".join(row) + " |" for row in [columns, rule, *rows]]


def table(runs: dict[str, Run]) -> str:
    """The table that the README quotes. The peers' times are those of the first mode's process."""
    by_name = {mode: {figure["name"]: figure for figure in run["figures"]} for mode, run in runs.items()}
    columns = ["one core, garbage collector on", "peer"]
    for mode in runs:
        columns += [f"chainrule, {mode}", "times faster"]
    rows = []
    for name, figure in next(iter(by_name.values()), {}).items():
        theirs = f"{figure['peer']} {number(figure['theirs'], figure['unit'])}" if figure["peer"] else ""
        per = figure["unit"].partition(" ")[2]
        row = [f"{figure['what']}, {per}" if per else figure["what"], theirs]
        for mode, figures in by_name.items():
            row += cells(figures.get(name), mode)
        rows.append(row)
    return "\n".join([*lines_of(columns, rows, 1), "", *notes(runs)]) + "\n"


def notes(runs: dict[str, Run]) -> list[str]:
    versions, missing = [], []
    for peer, distribution in PEERS.items():
        try:
            versions.append(f"{peer} {version(distribution)}")
        except PackageNotFoundError:
            missing.append(peer)
    python = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    lines = [
        f"`python benchmarks/eager.py`, {', '.join([python, *versions])}.",
        "Against a peer: forward and backward, the same expression and gradients in both; processor time, medians of",
        "runs in turn, the ratio taken in each round. A bar is what the row has to reach.",
    ]
    if missing:
        lines.append(f"Not installed, and left out: {', '.join(missing)}.")
    if "compiled" not in runs:
        lines.append("The compiled core was not measured.")
    return lines


def operations_page(runs: dict[str, Run]) -> str:
    """The time of every row of the table of operations."""
    by_call = {mode: {timing["call"]: timing for timing in run["operations"]} for mode, run in runs.items()}
    columns = ["ns an operation"]
    for mode in runs:
        columns += [f"{mode}: forward", "and backward"]
    rows = []
    for call in next(iter(by_call.values()), {}):
        row = [f"`{call.partition(', each')[0]}`{''.join(call.partition(', each')[1:])}"]
        for timings in by_call.values():
            row += [f"{timings[call][column]:,.0f}" for column in ("forward", "both")]
        rows.append(row)
    head = [
        "# The time of each operation",
        "",
        "On Values inside its domain, as `python benchmarks/eager.py --write` measured: the graph built and dropped,",
        "and the same with a pass back over the sum of 500 of them, a share of that sum included.",
        "",
    ]
    return "\n".join([*head, *lines_of(columns, rows, 1)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mode", choices=[*MODES, "both"], default="both", help="the core to measure (default: both)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds timed (default 15)")
    parser.add_argument("--only", default="", help="names of measures, with commas; also 'operations'")
    parser.add_argument("--write", action="store_true", help="write eager.md and operations.md beside this file")
    parser.add_argument("--within", choices=[*MODES], help=argparse.SUPPRESS)
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    if options.write and only:
        parser.error("--write keeps whole tables: leave --only out")
    if options.within:
        print(json.dumps(measure(options.within, options.rounds, only)))
        return
    modes = [*MODES] if options.mode == "both" else [options.mode]
    found = {mode: run(mode, options.rounds, only) for mode in modes}
    runs = {mode: got for mode, got in found.items() if got is not None}
    if not runs:
        sys.exit("there is no compiled core; right: --mode pure, or install with a C compiler at hand")
    pages = {"eager.md": table(runs), "operations.md": operations_page(runs)}
    print("\n".join(pages.values()))
    if options.write:
        from autograd.files import write_text

        for name, text in pages.items():
            write_text(Path(__file__).with_name(name), text)


if __name__ == "__main__":
    main()
