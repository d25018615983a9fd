"""The README is true: its code runs as it stands there, and what it quotes is what the files hold."""

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
OUTPUTS = re.findall(r"^```python\n((?:(?!```).*\n)*)```\n\n```text\n((?:(?!```).*\n)*)```", README, re.MULTILINE)


@pytest.mark.parametrize("code", BLOCKS, ids=[block.strip().splitlines()[0] for block in BLOCKS])
def test_python_block_prints_what_its_comments_say(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    expected = re.findall(r"^print\(.*\)\s*# (.*)$", code, re.MULTILINE)
    lines = iter(printed.getvalue().splitlines())
    for text in expected:
        pattern = re.escape(text.partition(", that is")[0]).replace(r"\.\.\.", r"\d*")
        assert any(re.fullmatch(pattern, line) for line in lines), f"{text!r} was not printed"


@pytest.mark.parametrize(("code", "output"), OUTPUTS, ids=[code.strip().splitlines()[0] for code, _ in OUTPUTS])
def test_python_block_prints_the_block_below_it(
    code: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue().startswith(output)


def test_there_are_python_blocks() -> None:
    assert (len(BLOCKS), len(OUTPUTS)) == (8, 2)


@pytest.mark.parametrize("name", ["first-example.svg", "explained.svg"])
def test_the_picture_is_what_the_code_saves(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for block in BLOCKS if f'"{name}"' in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert Path(name).read_text(encoding="utf-8") == (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", re.findall(r"^    (chainrule (?:draw|explain) .*)$", README, re.MULTILINE))
def test_the_commands_work_as_written(command: str, tmp_path: Path) -> None:
    words = shlex.split(command)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "nn.cli", *words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / words[-1]).read_text(encoding="utf-8").count("<svg") == 1


@pytest.mark.parametrize("name", ["eager.md", "jit.md"])
def test_a_speed_table_is_the_one_the_benchmark_wrote(name: str) -> None:
    quoted = README.partition(f"<!-- benchmarks/{name} -->")[2].partition("<!-- end -->")[0]
    assert quoted.strip() == (ROOT / "benchmarks" / name).read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(
    "target", re.findall(r"\]\((?!https:)([^)#]+)\)", README) + re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)
)
def test_every_file_named_exists(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_page_of_operations_is_what_its_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "operations.py"))
    assert script["page"]() == (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
