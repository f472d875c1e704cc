"""What a tool gets is read again from the bytes that were judged. Here both are compared, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentguard.core.canonical import NotCanonical, canonical_bytes
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Reread:
    """How one tool's arguments compare. ``sets``: they hold sets, whose elements come in any order."""

    name: str
    sets: bool

    @classmethod
    def of(cls, name: str, schema: Mapping[str, Any]) -> Reread:
        """For the tool whose arguments have this JSON Schema, as pydantic writes it."""
        return cls(name, '"uniqueItems": true' in json.dumps(schema))

    def check(self, judged: Mapping[str, Json], read: Mapping[str, Json]) -> None:
        """Raises ConfigurationError where these are not the same values.

        Nothing else passes for a tidier spelling: a validator that takes one layer off (``unquote``) would turn what
        was judged into what was not, and change nothing the third time.
        """
        if not self._same(dict(judged), dict(read)):
            raise ConfigurationError(
                f"`{self.name}` did not run: what it would get is not what was judged, because a parameter's type "
                "changes its value each time it is read; make its validators give back what they already gave"
            )

    def _same(self, judged: Json, read: Json) -> bool:
        try:
            # By their bytes: for Python, 1 is True.
            return canonical_bytes(judged) == canonical_bytes(read) or (
                self.sets and canonical_bytes(_in_order(judged)) == canonical_bytes(_in_order(read))
            )
        except NotCanonical:
            return False


def _in_order(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _in_order(item) for key, item in value.items()}
    return sorted(map(_in_order, value), key=canonical_bytes) if isinstance(value, list) else value
