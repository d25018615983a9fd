"""Writing files so that a failure never leaves half of one.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     write_text(pathlib.Path(folder, "note.txt"), "whole")
...     pathlib.Path(folder, "note.txt").read_text()
'whole'
"""

import os
from pathlib import Path
from uuid import uuid4


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8: write_bytes says how."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write content to a new file beside path, then rename it over path.

    A link is followed, and a file that is there keeps its permissions; a device or pipe is written to as it
    stands. Raises OSError, as open() would, if path cannot be written; it is then as it was.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(content)  # a folder raises
        return
    beside = target.with_name(f".{uuid4().hex}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
        if target.exists():
            beside.chmod(target.stat().st_mode)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
