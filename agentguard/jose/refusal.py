"""How identity code says no inside itself. Outside, a refusal is always an ``Unavailable`` value."""

from __future__ import annotations

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable


class Refused(Exception):
    """One check said no. Never leaves ``agentguard.identity``: every public entry turns it into ``Unavailable``."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def as_fact(self) -> Unavailable:
        return Unavailable(self.reason, self.detail)


def shown(value: object, limit: int = 120) -> str:
    """A stranger's value for a reviewer's eye: escaped, quoted and bounded. ASCII only, so nothing can be forged."""
    text = ascii(value[: limit + 1]) if isinstance(value, str) else ascii(value)
    return f"`{text[:limit]}...`" if len(text) > limit else f"`{text}`"
