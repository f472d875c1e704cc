"""Where assertions come from: one per call, asked for with the audience and the digest of that call."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.identity.verify import Assertion
from agentguard.jose.compact import MAX_TOKEN_BYTES
from agentguard.loops import in_thread

# What one source may hand over before it is called garbage: a token and a line end.
MAX_TEXT = MAX_TOKEN_BYTES + 2


@dataclass(frozen=True, slots=True)
class AssertionRequest:
    """What an assertion is wanted for. ``subject`` None means: whoever this process is."""

    audience: str
    request_digest: str
    subject: str | None = None


class AssertionSource(Protocol):
    """Obtains one assertion for one call. May raise: ``obtain`` turns that into ``Unavailable``.

    A source with an attribute ``may_block = True`` waits for something outside; asynchronous code asks it on a thread.
    """

    def assertion(
        self, request: AssertionRequest
    ) -> str | Assertion | Unavailable | Awaitable[str | Assertion | Unavailable]:
        """A token, or a token with its proof."""


def obtain(source: AssertionSource, request: AssertionRequest) -> Assertion | Unavailable:
    """Ask a source from synchronous code. Never raises; a source that must be awaited is unavailable here."""
    try:
        answer = source.assertion(request)
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            return missing("the assertion source is asynchronous; call the tool with `await`")
        return _usable(answer)
    except Exception as error:
        return missing(_why(error))


async def obtain_async(source: AssertionSource, request: AssertionRequest) -> Assertion | Unavailable:
    """Ask a source from a task; one that may wait is asked on a thread. Never raises, but for cancellation."""
    try:
        answer: object
        if getattr(source, "may_block", False):
            answer = await in_thread(source.assertion, request)
        else:
            answer = source.assertion(request)
        return _usable(await answer if inspect.isawaitable(answer) else answer)
    except Exception as error:
        return missing(_why(error))


class CallableSource:
    """A function of yours, plain or async, that is given the request and returns a token.

    A plain one may wait for whatever it likes, so a task asks it on a thread; an async one runs in the task's own loop.
    """

    def __init__(
        self,
        function: Callable[[AssertionRequest], str | Assertion | Awaitable[str | Assertion]],
    ) -> None:
        self._function = function
        # An object's own `__call__` may be async too.
        self.may_block = not any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))

    def assertion(self, request: AssertionRequest) -> str | Assertion | Awaitable[str | Assertion]:
        """What the function returns."""
        return self._function(request)


class FileSource:
    """A file that something else keeps fresh (a projected volume, an agent); read again at each call."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def assertion(self, request: AssertionRequest) -> str:
        """The file's text without its last line end."""
        # Non-blocking, so that a pipe put in the file's place cannot stop the agent.
        handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            return one_line(file.read(MAX_TEXT + 1))


class EnvironmentSource:
    """An environment variable, read again at each call."""

    def __init__(self, name: str) -> None:
        self._name = name

    def assertion(self, request: AssertionRequest) -> str | Unavailable:
        """The variable's value."""
        value = os.environ.get(self._name)
        return value or missing(f"environment variable `{self._name}` is not set")


def one_line(data: bytes) -> str:
    """Text read from outside, without exactly one line end. Raises ValueError when it is too long or not ASCII."""
    if len(data) > MAX_TEXT:
        raise ValueError(f"it is longer than {MAX_TOKEN_BYTES} bytes")
    text = data.decode("ascii")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _usable(answer: object) -> Assertion | Unavailable:
    if isinstance(answer, Unavailable):
        return answer
    given = Assertion(answer) if isinstance(answer, str | bytes) else answer
    if not isinstance(given, Assertion) or not isinstance(given.token, str | bytes) or not given.token:
        return missing("the source returned no token")
    for part in (given.token, given.proof):
        if part is not None and len(part) > MAX_TOKEN_BYTES:
            return Unavailable(Reason.ASSERTION_TOO_LARGE, f"the source returned more than {MAX_TOKEN_BYTES} bytes")
    return given


def _why(error: Exception) -> str:
    # Not the exception's text: a source's error may quote the token or a credential.
    reason = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return f"the source failed: {type(error).__name__}" + (f" ({reason})" if reason else "")


def missing(detail: str) -> Unavailable:
    """A source had nothing to give."""
    return Unavailable(Reason.ASSERTION_MISSING, detail)
