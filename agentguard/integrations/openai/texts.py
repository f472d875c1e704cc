"""What a model is told: a tool's result as text, and what went wrong in words that give nothing away."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agentguard.errors import AgentGuardError, CallRepeated, ToolCallRefused
from agentguard.integrations.openai.calls import well_formed
from agentguard.integrations.openai.functions import BadArguments

OnError = Callable[[str, Exception], str | None]
_LOG = logging.getLogger("agentguard")


def explain(name: str, error: Exception, on_error: OnError | None = None) -> str:
    """What the model is told of an exception. Raises those that are for people."""
    if isinstance(error, ToolCallRefused | CallRepeated):
        return str(error)
    if isinstance(error, AgentGuardError):
        raise error
    if isinstance(error, BadArguments):
        return as_error(str(error))
    said = None if on_error is None else on_error(name, error)
    if said is None:
        _LOG.warning("the tool `%s` failed: %s", name, type(error).__name__)
    return as_error("the tool failed") if said is None else said


def as_text(result: object) -> str:
    """A tool's result as a model reads it: text as it is, anything else as JSON. Both can be sent and read by anybody.

    JSON has no NaN and no infinity, so they are null.
    """
    if isinstance(result, str):
        return well_formed(result)
    try:
        written = _written(result)
        if written is None:  # found by their letters; a model's own settings may have put them there
            written = to_json(_whole(to_jsonable_python(result)))
        return written.decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        return as_error("the tool ran, but its result cannot be written as JSON")


def _written(result: object) -> bytes | None:
    """As JSON; None where there may be something in it that is not."""
    try:
        written = to_json(result, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError):
        return None
    return None if b"NaN" in written or b"Infinity" in written else written


def _whole(value: Any) -> Any:
    """The same of what JSON has: text that can be written, and numbers that are some."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def as_error(text: str) -> str:
    """What went wrong, as a model reads it."""
    return json.dumps({"error": well_formed(text)})
