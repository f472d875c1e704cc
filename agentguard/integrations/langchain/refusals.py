"""A refusal as LangChain knows it: a ToolMessage where the call has an id, else a ToolException."""

from __future__ import annotations

from typing import Literal, NoReturn

from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException

from agentguard.errors import ApprovalPending, ApprovalRefused, CallRepeated, ToolCallDenied, ToolCallRefused


class DeniedTool(ToolCallDenied, ToolException):
    """Denied; caught by ``except ToolException`` and by ``except ToolCallDenied``."""


class PendingTool(ApprovalPending, ToolException):
    """Waits for a person; caught by ``except ToolException`` and by ``except ApprovalPending``."""


class RefusedTool(ApprovalRefused, ToolException):
    """A person said no; caught by ``except ToolException`` and by ``except ApprovalRefused``."""


def raise_refusal(refused: ToolCallRefused) -> NoReturn:
    """The same refusal as a ToolException."""
    if isinstance(refused, ToolException):
        raise refused
    if isinstance(refused, ApprovalPending):
        raise PendingTool(refused.decision_id, refused.approval_id) from None
    kind = RefusedTool if isinstance(refused, ApprovalRefused) else DeniedTool
    raise kind(refused.decision_id, refused.hint) from None


def answer_refusal(name: str, call_id: str | None, refused: ToolCallRefused) -> ToolMessage:
    """What the model is told: that the call was refused, and the decision id. Raises where the call has no id.

    Its ``artifact``, which no model sees, says the same to programs.
    """
    if call_id is None:
        raise_refusal(refused)
    return ToolMessage(str(refused), name=name, tool_call_id=call_id, status="error", artifact=refused.artifact)


def answer_repetition(name: str, call_id: str | None, repeated: CallRepeated) -> ToolMessage:
    """What the model is told of a call that was made before, where its answer cannot be given again."""
    if call_id is None:
        raise repeated
    status: Literal["success", "error"] = "success" if repeated.status == "succeeded" else "error"
    return ToolMessage(str(repeated), name=name, tool_call_id=call_id, status=status, artifact=repeated.artifact)
