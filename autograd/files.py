"""Writing files so that a failure never leaves half of one.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     write_text(pathlib.Path(folder, "note.txt"), "whole")
...     pathlib.Path(folder, "note.txt").read_text()
'whole'
"""

import os
import tempfile
from pathlib import Path


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8 to a new file beside path, then rename it over path.

    Raises OSError, as open() would, if the folder is missing or cannot be written; path is then as it was.
    """
    path = Path(path)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        Path(beside).chmod(0o666 & ~mask)  # mkstemp makes it private
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
