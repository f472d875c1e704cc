"""An upper bound on what something costs, in processor time of this thread.

It finds what grows out of proportion, which takes a hundred times as long and more; each bound is at least twenty times
what the work needs. Waiting does not count, nor do other programs, so a busy machine changes nothing.
"""

from __future__ import annotations

import os
import resource
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def processor_time(*, at_most: float) -> Iterator[None]:
    """Fails where the block needs more seconds of the processor than this."""
    began = time.thread_time()
    yield
    spent = time.thread_time() - began
    assert spent < at_most, f"it took {spent:.2f} s of processor time"


def ends_within(seconds: int, work: Callable[[], object]) -> None:
    """The same for what may hang in one call of C, out of which nothing in the process could take it: it is done in
    another, which the system ends."""
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            work()
            failed = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(failed)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status >= 0, f"it took more than {seconds} s of processor time"
    assert status == 0, "it raised"
