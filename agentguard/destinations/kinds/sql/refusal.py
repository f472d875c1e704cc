"""How a reader of a statement refuses it, from wherever in the tree it stands."""

from __future__ import annotations


class Refused(Exception):
    """Carries the slug of a refusal out of the walk."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
