"""OpenAI function calls, of Chat Completions and of Responses: every call of a model's message answered, guarded."""

from __future__ import annotations

from typing import Any

from agentguard.guard import Guard
from agentguard.integrations.openai.streams import (
    StreamCut,
    aassemble_chat,
    aassemble_responses,
    assemble_chat,
    assemble_responses,
)
from agentguard.integrations.openai.tools import OpenAITools

__all__ = [
    "OpenAITools",
    "StreamCut",
    "aassemble_chat",
    "aassemble_responses",
    "assemble_chat",
    "assemble_responses",
    "wrap",
]


def wrap(guard: Guard, tool: Any) -> Any:
    """Guard one function registered with the client's tool runner. Raises ConfigurationError for anything else."""
    from agentguard.integrations.openai.registered import wrap as wrap_registered

    return wrap_registered(guard, tool)
