"""The one refusal at the time of use."""

from __future__ import annotations

from agentguard.errors import AgentGuardError


class DestinationRefused(AgentGuardError):
    """A connection or a file was about to be opened that the decision did not cover. Nothing was sent or opened.

    The text is safe to show a model. ``reason`` is a stable slug for the record, such as ``private_address``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("this destination was not allowed")
        self.reason = reason

    def __reduce__(self) -> tuple[type[DestinationRefused], tuple[str]]:
        return type(self), (self.reason,)
