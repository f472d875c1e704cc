"""A gate that refuses everything: what a wrapper must not get past."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn

from agentguard.errors import ToolCallDenied, ToolCallRefused


class CanaryGate:
    """A gate that refuses everything. An adapter puts it into a wrapper of its own making and calls every door."""

    hidden: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.refused = 0

    def _refuse(self) -> NoReturn:
        self.refused += 1
        raise ToolCallDenied("canary")

    def given(self, read: Callable[..., Any], told: object = None) -> Any:
        """Read at once."""
        return read(None)

    def call(self, arguments: object, run: Callable[..., Any], *, call_id: str | None = None) -> Any:
        """Refuse."""
        self._refuse()

    async def acall(self, arguments: object, run: Callable[..., Any], *, call_id: str | None = None) -> Any:
        """Refuse."""
        self._refuse()

    def stream(self, arguments: object, run: Callable[..., Any], *, call_id: str | None = None) -> Iterator[Any]:
        """Refuse at the first item."""
        for _ in (None,):
            yield self.call(arguments, run)

    async def astream(
        self, arguments: object, run: Callable[..., Any], *, call_id: str | None = None
    ) -> AsyncIterator[Any]:
        """Refuse at the first item."""
        for _ in (None,):
            yield self.call(arguments, run)

    def misread(self, why: Exception | str, *, call_id: str | None = None) -> ToolCallRefused:
        """Leave no record, and count no refusal: that fails the canary."""
        return ToolCallDenied("canary")

    async def amisread(self, why: Exception | str, *, call_id: str | None = None) -> ToolCallRefused:
        """As ``misread``."""
        return ToolCallDenied("canary")
