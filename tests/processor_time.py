"""An upper bound on what something costs, in processor time of this thread.

It finds what grows out of proportion, which takes a hundred times as long and more; each bound is at least twenty times
what the work needs. Waiting does not count, nor do other programs, so a busy machine changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processor_time(*, at_most: float) -> Iterator[None]:
    """Fails where the block needs more seconds of the processor than this."""
    began = time.thread_time()
    yield
    spent = time.thread_time() - began
    assert spent < at_most, f"it took {spent:.2f} s of processor time"
