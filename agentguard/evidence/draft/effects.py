"""What a tool does to the world, guessed. The one place for it: whoever drafts anything asks here.

The worst evidence counts. `read` needs a reason, and nothing that speaks against it.
"""

from __future__ import annotations

from typing import NamedTuple

from agentguard.evidence.draft import words

_RANK = {effect: rank for rank, effect in enumerate(words.EFFECTS)}
_BY_METHOD = {"GET": "read", "HEAD": "read", "OPTIONS": "read", "DELETE": "delete"}


class Guess(NamedTuple):
    """An effect, and what it was guessed from. ``told``: whether anything told it at all."""

    effect: str
    why: str
    told: bool


def guessed_effect(
    name: str, *, read_only: bool | None = None, destructive: bool | None = None, method: str | None = None
) -> Guess:
    """The effect of a tool of this name. ``read_only``, ``destructive``: hints of a server; ``method``: of HTTP."""
    evidence = [(effect, f"`{verb}` in its name") for verb, effect in words.verbs(name)]
    if method is not None:
        evidence.append((_BY_METHOD.get(method, "write"), f"it is a {method}"))
    if read_only is not None:
        evidence.append(("read" if read_only else "write", f"its server says `readOnlyHint: {str(read_only).lower()}`"))
    if destructive and not read_only:
        evidence.append(("delete", "its server says `destructiveHint: true`"))
    if not evidence:
        return Guess("write", "nothing in its name says what it does", told=False)
    effect, why = max(evidence, key=lambda each: _RANK[each[0]])
    return Guess(effect, why, told=True)
