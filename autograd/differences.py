"""Derivatives by differences of high precision: central ones, extrapolated from a few steps, for steps of many sizes.

>>> found = [
...     extrapolated(math.exp(1.0), [(h, math.exp(1.0 - h), math.exp(1.0 + h)) for h in steps])
...     for steps in steps_to_try(1.0, 1.0)
... ]
>>> best = min([d for d in found if d], key=Difference.uncertainty)
>>> abs(best.value - math.e) < 1e-11
True
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

# Sizes of steps, as powers of ten times the size of x, in the order they are tried, and the steps of one size.
SIZES = (-3, -2, -4, -1, -5, -6, 0, -7, -8, -9, -10, -11, -12)
STEPS = tuple([0.37 / 1.6**i for i in range(4)])


@dataclass(frozen=True, slots=True)
class Difference:
    """A derivative, extrapolated from central differences of a few steps of one size.

    spread   how far the last extrapolations are apart
    here     the number at the point itself
    size     of the largest number that went in
    step     the smallest
    slopes   from the left and from the right, by that step
    gaps     between such slopes, by the largest step and by the smallest: they close as it shrinks, but at a kink
    """

    value: float
    spread: float
    here: float
    size: float
    step: float
    slopes: tuple[float, float]
    gaps: tuple[float, float]

    def uncertainty(self, rounding: float = 0.0) -> float:
        return 4 * (self.spread + self.noise(rounding))

    def noise(self, rounding: float) -> float:
        """What rounding makes of it, if the numbers that went in are off by `rounding`, or in their last digit."""
        return (rounding + math.ulp(self.size)) / self.step

    def bends(self, rounding: float = 0.0) -> bool:
        first, last = self.gaps
        return last > first / 2 and last > 1e-7 * max(map(abs, self.slopes)) + 4 * self.noise(rounding)


def extrapolated(here: float, samples: Sequence[tuple[float, float, float]]) -> Difference | None:
    """From (step, number behind, number ahead), the steps shrinking; None if too few of them are finite."""
    samples = [sample for sample in samples if isfinite(sample[1]) and isfinite(sample[2])]
    if len(samples) < 3:
        return None
    before, row = list[float](), list[float]()
    for i, (step, behind, ahead) in enumerate(samples):
        before, row = row, [(ahead - behind) / (2 * step)]
        for j in range(1, i + 1):  # a polynomial in step**2 through the last j + 1 differences, at 0
            row.append(row[-1] + (row[-1] - before[j - 1]) / ((samples[i - j][0] / step) ** 2 - 1))
    step, behind, ahead = samples[-1]
    gaps = [abs((b - here) / h + (a - here) / h) for h, b, a in (samples[0], samples[-1])]
    found = Difference(
        value=row[-1],
        spread=abs(row[-1] - before[-1]),
        here=here,
        size=max([abs(here), *[max(abs(b), abs(a)) for _, b, a in samples]]),
        step=step,
        slopes=((here - behind) / step, (ahead - here) / step),
        gaps=(gaps[0], gaps[1]),
    )
    return found if isfinite(found.value) and isfinite(found.spread) else None


def steps_to_try(x: float, largest: float) -> Iterator[list[float]]:
    """Steps to try at x, the likely sizes first: by the size of x, of 1, and of the largest input."""
    scales = [round(math.log10(size)) for size in (abs(x), 1.0, largest) if size]
    for exponent in dict.fromkeys([scale + size for scale in scales for size in SIZES]):
        top = 10.0**exponent
        steps = [(abs(x) + top * step) - abs(x) for step in STEPS]  # so that x + step and x - step are exact
        if steps[-1] > 0 and isfinite(steps[0]) and len(set(steps)) == len(steps):
            yield steps
