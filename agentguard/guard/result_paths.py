"""Where in a tool's result outsiders can write."""

from __future__ import annotations

from typing import TypeAlias

from agentguard.destinations import parse_path

ResultPath: TypeAlias = "tuple[str | None, ...]"


def result_path(text: str) -> ResultPath:
    """Read where in a result outsiders can write: ``*`` (anywhere), ``body``, ``comments[*].text``, ``[*].text``.

    Raises ValueError.
    """
    if text == "*":
        return ()
    try:
        return parse_path(f"result{text}")[1:] if text.startswith("[") else parse_path(text)
    except ValueError:
        raise ValueError(
            f"`{text}` is not a place in a result; expected such as `body`, `notes[*].text`, `[*].text` or `*` for all"
        ) from None
