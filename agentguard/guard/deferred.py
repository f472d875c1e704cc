"""Work that a tool hands back instead of doing it: nobody would judge it, see how it ended, or be able to stop it."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from agentguard.errors import ConfigurationError

_DEFERRED = (GeneratorType, AsyncGeneratorType, Future, map, filter)


def refuse_deferred(result: Any, name: str) -> None:
    """Raises ConfigurationError where a result is work that has yet to run, or that goes on by itself."""
    # By type: a result may lie about its class. Whatever can be awaited is a coroutine, a task or a future.
    kind = type(result)
    if not issubclass(kind, _DEFERRED) and not hasattr(kind, "__await__"):
        return
    for stop in ("close", "cancel"):
        if callable(getattr(kind, stop, None)):
            with contextlib.suppress(Exception):
                getattr(result, stop)()
    raise ConfigurationError(
        f"`{name}` hands back a {kind.__name__}, which has yet to run or goes on by itself: finish the work in the "
        "tool, write the tool itself as `async def`, or, where it is a plain function, with `yield`"
    )
