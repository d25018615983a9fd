"""jit: a function of one sample, traced once, run over whole batches at machine speed.

trace -> lower -> group -> adjoint -> schedule -> tables -> one kernel, the same for every program

trace.py        the function, run on Values without numbers
lowering.py     constants folded, sums of products gathered
groups.py       what is done alike becomes one group; the reverse pass over groups
tables.py       groups in order, as tables of whole numbers
kernel.py       the machine that runs tables, in LLVM's terms; lanes.py, elementary.py: its vectors and functions
native.py       that machine, built for this processor and kept in a cache
numpy_machine.py  the same in NumPy
compilation.py  all this for one function, and what it is run with
shards.py       rows split among threads, processes or machines; workers.py: the threads
program.py      what a user holds
"""

try:
    import numpy as _numpy
except ImportError:
    raise ImportError("autograd.jit needs NumPy; right: python -m pip install 'chainrule[jit]'") from None

from .program import Program as Program, jit as jit
from .trace import TraceError as TraceError
