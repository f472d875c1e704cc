"""A guard whose answer the test chooses. It keeps what was judged, and hands the body a fresh copy, as the real one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentguard.core.canonical import bytes_in_order, canonical_bytes, read_canonical, sha256
from agentguard.errors import ToolCallDenied
from agentguard.guard.arguments.late import Read, Told, as_raised
from agentguard.guard.canary import Entries, Refuses, is_refusal, prove


@dataclass
class Doorkeeper:
    """Refuses unless told otherwise."""

    refusal: Exception | None = field(default_factory=lambda: ToolCallDenied("d-1"))
    judged: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    misread: list[tuple[str, str | None]] = field(default_factory=list)
    proved: dict[str, list[str]] = field(default_factory=dict)
    definitions: dict[str, Any] = field(default_factory=dict)

    def gate(self, name: str, *, definition: Any, framework: str, suspends: object = None) -> ScriptedGate:
        canonical_bytes(definition)
        self.definitions[name] = definition
        return ScriptedGate(self, name, framework)

    def stray_gate(self, name: str, *, framework: str) -> ScriptedGate:
        return ScriptedGate(self, name, framework)

    def permit(self) -> None:
        self.refusal = None

    @property
    def arguments(self) -> list[dict[str, Any]]:
        return [arguments for _, arguments, _ in self.judged]


class ScriptedGate:
    hidden: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()

    def __init__(self, keeper: Doorkeeper, name: str, framework: str) -> None:
        self.keeper = keeper
        self.name = name
        self.framework = framework
        self.definition = sha256(b"")

    def _judge(self, read: Read, call_id: str | None, told: Told) -> Any:
        try:
            given = read(None)
        except Exception as error:
            self.keeper.misread.append((self.name, call_id))
            raise told(error, ToolCallDenied("d-0")) from None
        if call_id is None:
            call_id = given.call_id
        in_order, canonical = bytes_in_order(dict(given.values))
        self.keeper.judged.append((self.name, read_canonical(canonical), call_id))
        ready = given.ready(read_canonical(in_order))
        if self.keeper.refusal is not None:
            raise self.keeper.refusal
        return ready

    def call(self, read: Read, run: Callable[[Any], Any], *, call_id: str | None = None, told: Told = as_raised) -> Any:
        return run(self._judge(read, call_id, told))

    async def acall(
        self,
        read: Read,
        run: Callable[[Any], Awaitable[Any]],
        *,
        call_id: str | None = None,
        told: Told = as_raised,
    ) -> Any:
        return await run(self._judge(read, call_id, told))

    def deny(self, why: str, *, call_id: str | None = None) -> None:
        self.keeper.misread.append((self.name, call_id))

    async def adeny(self, why: str, *, call_id: str | None = None) -> None:
        self.deny(why, call_id=call_id)

    def prove(self, entries: Entries, *, refuses: Refuses = is_refusal) -> None:
        self.keeper.proved[self.name] = prove(self.name, entries, refuses)


@pytest.fixture
def keeper() -> Doorkeeper:
    return Doorkeeper()
