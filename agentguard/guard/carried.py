"""A function that is in a run wherever it is called: by a pool's thread, or a framework's worker."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import aclosing
from typing import Any, ParamSpec, TypeVar, cast

from agentguard.guard.places import Place

P = ParamSpec("P")
R = TypeVar("R")


def carried(context: object, function: Callable[P, R]) -> Callable[P, R]:
    """The same function, in this run."""
    made: Callable[..., Any]
    if inspect.isasyncgenfunction(function):

        async def carried_asyncgen(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
            with Place(context):
                async with aclosing(function(*args, **kwargs)) as items:
                    async for item in items:
                        yield item

        made = carried_asyncgen
    elif inspect.isgeneratorfunction(function):

        def carried_generator(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            with Place(context):
                return (yield from function(*args, **kwargs))

        made = carried_generator
    elif inspect.iscoroutinefunction(function):

        async def carried_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with Place(context):
                return await function(*args, **kwargs)

        made = carried_async
    else:

        def carried_function(*args: P.args, **kwargs: P.kwargs) -> R:
            with Place(context):
                return function(*args, **kwargs)

        made = carried_function
    return cast("Callable[P, R]", functools.wraps(function)(made))
