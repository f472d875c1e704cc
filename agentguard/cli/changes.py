"""How `compare` and `replay` tell what would be decided in another way: groups of calls, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import typer

from agentguard.cli import common

# Groups that a person reads; --json has all.
_MOST_SHOWN = 50
# Exit codes: something would be decided in another way; nothing would, but not everything could be judged.
CHANGED, UNCERTAIN = 1, 3


def show(headings: Sequence[str], groups: Sequence[Sequence[str]], *, further: bool = False) -> None:
    """The groups, each with its example. ``further``: there are some that were not told apart."""
    if groups:
        common.table(headings, groups[:_MOST_SHOWN])
    more = max(0, len(groups) - _MOST_SHOWN)
    if more or further:
        common.line(f"{more} more groups; --json names all that are told apart")


def end(*, changed: bool, uncertain: bool) -> NoReturn:
    """Leave with the code that says how it came out."""
    raise typer.Exit(CHANGED if changed else UNCERTAIN if uncertain else 0)
