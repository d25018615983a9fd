"""Set up for all tests: where what they share is found, how hypothesis searches, the table of operations kept."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent / "tests"
sys.path.insert(0, str(TESTS))  # for `import strategies`
# tests/autograd, a folder without __init__, would else pass for the package where that is not on the path itself
sys.path.append(str(TESTS.parent))

# No deadlines: a shared machine makes them fail at random. In CI the search is the same each time.
settings.register_profile("default", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True, print_blob=True)
# The same searches again on the pure core: half as far, so that both runs together stay short.
settings.register_profile("ci-pure", settings.get_profile("ci"), max_examples=30)
in_ci = "ci-pure" if os.environ.get("AUTOGRAD_PURE") else "ci"
settings.load_profile(in_ci if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def rows_registered_are_taken_back() -> Iterator[None]:
    """After each test, or the next would find another table."""
    from autograd import OPS, Value

    rows, methods = set(OPS), set(vars(Value))
    yield
    for name in set(OPS) - rows:
        del OPS[name]
    for name in set(vars(Value)) - methods:
        delattr(Value, name)
