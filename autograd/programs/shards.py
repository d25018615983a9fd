"""Rows split among threads, processes or machines, and what they find put together in the order of the rows."""

from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from .compilation import Evaluator

_FEWEST = 16  # rows that are worth a thread
_AHEAD = 100  # rows that this one does, at most, until another has woken up

Found = tuple[float, Any, list[Any]]


class Shards:
    """Runs evaluators on parts of the rows: one in each of `count` threads, or for each worker of an executor.

    Where the parts end depends on the number of rows only, not on who comes first."""

    def __init__(self, count: int, executor: Executor | None) -> None:
        self.count, self._executor = count, executor
        self._workers = max(count, getattr(executor, "_max_workers", 4))
        self._threads: ThreadPoolExecutor | None = None

    @property
    def alone(self) -> bool:
        """Whether all rows run here, in one part."""
        return self.count == 1 and self._executor is None

    def run(self, evaluator: Evaluator, parameters: Any, arrays: list[Any], scale: float) -> Found:
        samples = len(arrays[0]) if arrays else 1
        most = self._workers if self._executor else min(self.count, samples // _FEWEST)
        count = max(1, min(most, samples))
        ahead = 0 if self._executor or count == 1 else min(samples // count // 8, _AHEAD)
        bounds = pairwise([0, *[ahead + (samples - ahead) * k // count for k in range(1, count + 1)]])
        parts = [(parameters, [x[a:b] for x in arrays], b - a, scale) for a, b in bounds]
        if self._executor is not None:
            futures = [self._executor.submit(evaluator.run, *part) for part in parts]
            found = [future.result() for future in futures]
        elif len(parts) == 1:
            return evaluator.run(*parts[0])
        else:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.count - 1, thread_name_prefix="chainrule")
            futures = [self._threads.submit(evaluator.run, *part) for part in parts[1:]]
            found = [evaluator.run(*parts[0]), *[future.result() for future in futures]]
        gradient = found[0][1]
        for _, more, _ in found[1:]:
            gradient = gradient + more
        outs = [np.concatenate(columns) for columns in zip(*[outs for _, _, outs in found], strict=True)]
        return sum([total for total, _, _ in found]), gradient, outs
