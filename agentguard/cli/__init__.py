"""The command line. ``main`` is all there is to import; commands are loaded when they are called."""

from __future__ import annotations

from agentguard.cli.run import main

__all__ = ["main"]
