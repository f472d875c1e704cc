"""What all formats of transcripts come to: calls of tools, each in some run, with what was returned.

A transcript is outsiders' text: nothing in it is believed but that it was written down. Names are checked before they
are used, and what cannot be read is an error that names the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agentguard.core.canonical import NotCanonical, parse_json
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError

# As in Tools: another name is no tool's.
TOOL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_PERSON = re.compile(r"[^\x00-\x20]{1,200}")


class NotATranscript(ValueError):
    """A line is not what its format says. The message ends in what was expected."""


@dataclass(slots=True)
class Called:
    """One call. ``order``: where in its run it stands. ``result`` counts where ``returned``."""

    tool: str
    arguments: Mapping[str, Json] | None
    order: tuple[Any, ...] = ()
    result: Json = None
    returned: bool = False
    failed: bool = False
    at: datetime | None = None
    line: int = 0


@dataclass(slots=True)
class Trace:
    """One run as transcripts tell it."""

    id: str
    calls: list[Called] = field(default_factory=list)
    requester: str | None = None
    inputs: Mapping[str, Json] = field(default_factory=dict)
    pending: dict[str, Called] = field(default_factory=dict)

    def about(self, metadata: Any) -> None:
        """Who asked, and what the run was given, where a transcript says so."""
        if not isinstance(metadata, Mapping):
            return
        for name in ("requester", "user_id", "user", "enduser.id", "user.id"):
            person = metadata.get(name)
            if self.requester is None and isinstance(person, str) and _PERSON.fullmatch(person):
                self.requester = person
        inputs = metadata.get("inputs")
        if isinstance(inputs, Mapping) and not self.inputs:
            self.inputs = dict(inputs)

    def asked(self, key: object, called: Called) -> None:
        """A call whose answer stands elsewhere, under the same key."""
        self.calls.append(called)
        if isinstance(key, str | int):
            self.pending[str(key)] = called

    def answered(self, key: object, result: Json, *, failed: bool = False) -> None:
        """The answer; one to nothing is passed over, for a log may begin in the middle."""
        called = self.pending.pop(str(key), None)
        if called is not None:
            called.result, called.returned, called.failed = result, True, failed


def tool_name(value: Any) -> str:
    """A tool's name. Raises NotATranscript."""
    if not isinstance(value, str) or TOOL_NAME.fullmatch(value) is None:
        raise NotATranscript("a tool's name is not one; expected letters, digits, `_`, `.`, `:`, `/` or `-`")
    return value


def arguments(value: Any) -> Mapping[str, Json] | None:
    """Arguments, as an object or as JSON text; None where they are text that is no object."""
    if isinstance(value, str):
        try:
            value = parse_json(value) if value.strip() else {}
        except NotCanonical:
            return None
    return value if isinstance(value, dict) else {} if value is None else None


def result(value: Any) -> Json:
    """What a tool returned: JSON in text is read, as an agent's framework wrote it there."""
    if isinstance(value, list) and value and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in value):
        value = "".join(part["text"] for part in value)
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            found: Json = parse_json(value)
        except NotCanonical:
            return value
        return found
    plain: Json = value
    return plain


def moment(value: Any) -> datetime | None:
    """A time as traces write it: RFC 3339, or seconds, milliseconds or nanoseconds since 1970."""
    try:
        if isinstance(value, str) and not value.isdigit():
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        number = float(value)
        while number > 1e11:
            number /= 1000
        return datetime.fromtimestamp(number, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def members(value: Any, expected: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list. Raises NotATranscript."""
    if not isinstance(value, list):
        raise NotATranscript(f"expected {expected}")
    for item in value:
        if not isinstance(item, dict):
            raise NotATranscript(f"expected {expected}")
        yield item


def wrong(file: str, line: int, message: str) -> ConfigurationError:
    """What is wrong, and where."""
    return ConfigurationError(f"{file}:{line}: {message}")
