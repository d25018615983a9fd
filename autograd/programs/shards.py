"""Rows split among threads, processes or machines, and what they find put together in the order of the rows."""

import os
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from .compilation import Evaluator

_FEWEST = 16  # rows that are worth a thread

Found = tuple[float, Any, list[Any]]


class Shards:
    """Runs evaluators on parts of the rows: one in each of `count` threads, or for each worker of an executor.

    Where the parts end depends on the number of rows only, not on who comes first."""

    def __init__(self, count: int, executor: Executor | None) -> None:
        self.count, self._executor = count, executor
        self._workers = max(count, getattr(executor, "_max_workers", 4))
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by the process, as a fork leaves its threads behind

    @property
    def alone(self) -> bool:
        """Whether all rows run here, in one part."""
        return self.count == 1 and self._executor is None

    def run(self, evaluator: Evaluator, parameters: Any, arrays: list[Any], scale: float) -> Found:
        samples = len(arrays[0]) if arrays else 1
        most = self._workers if self._executor else min(self.count, samples // _FEWEST)
        count = max(1, min(most, samples))
        bounds = pairwise([samples * k // count for k in range(count + 1)])
        if self._executor is not None:
            parts = [(parameters, [x[a:b] for x in arrays], b - a, scale) for a, b in bounds]
            futures = [self._executor.submit(evaluator.run, *part) for part in parts]
            totals, gradients, rows = zip(*[future.result() for future in futures], strict=True)
            outs = [np.concatenate(columns) for columns in zip(*rows, strict=True)]
        elif count == 1:
            return evaluator.run(parameters, arrays, samples, scale)
        else:
            outs = evaluator.outs(samples)
            slices = [(parameters, [x[a:b] for x in arrays], [x[a:b] for x in outs], b - a, scale) for a, b in bounds]
            totals, gradients = zip(*self._in_threads(evaluator, slices), strict=True)
        gradient = gradients[0]
        for more in gradients[1:]:
            gradient = gradient + more
        return sum(totals), gradient, outs

    def _in_threads(self, evaluator: Evaluator, parts: list[Any]) -> list[tuple[float, Any]]:
        if evaluator.together is not None:
            return evaluator.together(parts, self.count)  # type: ignore[no-any-return]
        pool = self._pools.get(os.getpid())
        if pool is None:
            pool = self._pools[os.getpid()] = ThreadPoolExecutor(self.count - 1, thread_name_prefix="chainrule")
        futures = [pool.submit(evaluator.runner, *part) for part in parts[1:]]
        return [evaluator.runner(*parts[0]), *[future.result() for future in futures]]
