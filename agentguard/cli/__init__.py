"""The command line. ``main`` is all there is to import; commands are loaded when they are called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. Never raises."""
    try:
        # Loading takes longer than most commands, so it is when people press Ctrl-C.
        from agentguard.cli import run
    except KeyboardInterrupt:
        print("agentguard: interrupted; nothing was done", file=sys.stderr)
        return 130
    return run.main(arguments)
