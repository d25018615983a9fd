"""`python -m autograd` tells which core runs and, where it is the slower one, why.

chainrule 0.1.0, CPython 3.11.7
core: compiled (.../autograd/node__mypyc.cpython-311-x86_64-linux-gnu.so)
"""

import platform
from importlib import metadata

from .compiled import COMPILED, EXTENSION, REASON, REMEDY, SOURCE


def main() -> None:
    try:
        version = metadata.version("chainrule")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    print(f"chainrule {version}, {platform.python_implementation()} {platform.python_version()}")
    if COMPILED:
        print(f"core: compiled ({EXTENSION})")
    else:
        print(f"core: pure ({SOURCE})\nwhy: {REASON}\nremedy: {REMEDY}")


if __name__ == "__main__":
    main()
