"""Where in a result outsiders can write, as ``untrusted_results`` says it."""

from __future__ import annotations

from typing import TypeAlias

from agentguard.core.paths import Step, Where, parse_place

ResultPath: TypeAlias = "tuple[Step, ...]"


def result_path(text: str) -> ResultPath:
    """Read where in a result outsiders can write: ``*`` (anywhere), ``body``, ``comments[*].text``, ``[*].text``.

    Raises ValueError.
    """
    if text == "*":
        return ()
    try:
        steps = parse_place(text)
    except ValueError:
        steps = ()
    # Which element a test means is what the result itself says, and outsiders may have written that.
    if not steps or any(isinstance(step, Where) for step in steps):
        raise ValueError(
            f"`{text}` is not a place in a result; expected such as `body`, `notes[*].text`, `[*].text` or `*` for all"
        )
    return steps
