"""Files are written whole or not at all."""

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from autograd.files import write_bytes, write_text


def contents(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    text = "σ(x) – 1\nsecond\r\nthird\ttab 🐚\n"
    write_text(tmp_path / "a.txt", text)
    assert (tmp_path / "a.txt").read_bytes() == text.encode("utf-8")
    write_text(str(tmp_path / "a.txt"), "")
    assert (tmp_path / "a.txt").read_bytes() == b""
    assert contents(tmp_path) == ["a.txt"]


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_text("b.txt", "here")
    assert (tmp_path / "b.txt").read_text() == "here"


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "after" * 10_000 + "\ud800")
    with pytest.raises(TypeError):
        write_bytes(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "before"
    assert contents(tmp_path) == ["a.txt"]
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "new.txt", "\ud800")
    assert contents(tmp_path) == ["a.txt"]


def test_a_failing_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def refuse(*args: object, **named: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="the disk is gone"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert contents(tmp_path) == ["a.txt"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "no" / "a.txt", "text")
    assert str(tmp_path / "no") in str(caught.value)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        write_text(tmp_path / "a", "text")
    assert contents(tmp_path) == ["a"]
    assert contents(tmp_path / "a") == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            write_text(tmp_path / "a.txt", "text")
    finally:
        tmp_path.chmod(0o700)


def test_long_names(tmp_path: Path) -> None:
    for name in ("n" * 250, "é" * 120):
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_are_those_of_open(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
        with (tmp_path / "b.txt").open("w"):
            pass
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")]
        assert modes == [0o640, 0o640]
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_readers_see_the_old_text_or_the_new(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.txt", ["a" * 100_000, "b" * 100_000]
    write_text(path, texts[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                write_text(path, text)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = {path.read_text() for _ in range(300)}
    finally:
        stop.set()
        thread.join()
    assert seen <= set(texts)
    assert contents(tmp_path) == ["a.txt"]


def test_a_file_keeps_its_permissions_and_a_link_its_target(tmp_path: Path) -> None:
    file, link = tmp_path / "a.txt", tmp_path / "link.txt"
    file.write_text("before")
    file.chmod(0o600)
    link.symlink_to(file)
    write_text(link, "after")
    assert link.is_symlink()
    assert file.read_text() == "after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no such device here")
def test_a_device_is_written_to_not_replaced() -> None:
    write_bytes(os.devnull, b"gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
