"""Rows split among threads, processes or machines, and what they find put together in the order of the rows."""

from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from .compilation import Evaluator


class Shards:
    """Runs evaluators on `count` parts of the rows: of an executor's own number of workers, if that is 1."""

    def __init__(self, count: int, executor: Executor | None) -> None:
        self.count, self._executor = count, executor
        workers = getattr(executor, "_max_workers", 4) if executor is not None else count
        self._parts = max(count, workers)
        self._threads: ThreadPoolExecutor | None = None

    @property
    def alone(self) -> bool:
        """Whether all rows run here, in one part."""
        return self._parts == 1 and self._executor is None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_executor": None, "_threads": None, "_parts": self.count}

    def run(self, evaluator: Evaluator, vector: Any, arrays: list[Any], scale: float) -> tuple[float, Any, list[Any]]:
        samples = len(arrays[0]) if arrays else 1
        parts = max(1, min(self._parts, samples))
        if parts <= 1 and self._executor is None:
            return evaluator.run(vector, arrays, samples, scale)
        if self._executor is None and self._threads is None:
            self._threads = ThreadPoolExecutor(self._parts - 1, thread_name_prefix="chainrule")
        bounds = [samples * k // parts for k in range(parts + 1)]
        shards = [[x[a:b] for x in arrays] for a, b in pairwise(bounds)]
        sizes = [b - a for a, b in pairwise(bounds)]
        if self._executor is not None:
            pairs = zip(shards, sizes, strict=True)
            futures = [self._executor.submit(evaluator.run, vector, x, n, scale) for x, n in pairs]
            found = [future.result() for future in futures]
        else:
            assert self._threads is not None
            others = [(x, n) for x, n in zip(shards[1:], sizes[1:], strict=True)]
            futures = [self._threads.submit(evaluator.run, vector, x, n, scale) for x, n in others]
            found = [evaluator.run(vector, shards[0], sizes[0], scale), *[future.result() for future in futures]]
        outs = [np.concatenate(parts) for parts in zip(*[outs for _, _, outs in found], strict=True)]
        gradient = found[0][1]
        for _, more, _ in found[1:]:
            gradient = gradient + more
        return sum([total for total, _, _ in found]), gradient, outs
