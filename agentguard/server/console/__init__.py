"""The console: a small web site on which people read, answer and stop what agents do."""

from __future__ import annotations

from agentguard.server.console.app import console_app
from agentguard.server.console.desk import Desk, Settings
from agentguard.server.console.links import LocalLink
from agentguard.server.console.sessions import Sessions

__all__ = ["Desk", "LocalLink", "Sessions", "Settings", "console_app"]
