# nbformat and nbclient have hardly any types:
# mypy: disable-error-code="no-untyped-call"
"""Runs the notebooks beside this file anew, each in a fresh kernel, and keeps what they show.

python notebooks/execute.py                          all of them
python notebooks/execute.py 05_worked_example.ipynb  some
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from autograd.files import write_text

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}
CELL_SECONDS = 120  # a cell that takes longer hangs


def executed(notebook: Any) -> Any:
    """A copy, run in a fresh kernel of the running Python and in a folder of its own; nothing in it tells of the
    machine or the hour. CellExecutionError if a cell raises."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with TemporaryDirectory() as home, TemporaryDirectory() as folder:
        # No folder of kernel specs: what is left is the kernel of sys.executable. Sockets are files where there are
        # such: ports are looked up first and taken later, and another process may be quicker.
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            connection_file=str(Path(home, "kernel.json")),
            transport="ipc" if os.name == "posix" else "tcp",
        )
        paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": home, "JUPYTER_NO_CONFIG": "1"}
        environment.pop("MPLBACKEND", None)
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=CELL_SECONDS,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=environment, cleanup_kc=True)
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def main() -> None:
    for path in [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        write_text(path, nbformat.writes(executed(nbformat.read(path, as_version=4))) + "\n")
        print(path.name)


if __name__ == "__main__":
    main()
