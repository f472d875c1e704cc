"""``python -m examples.help_desk``."""

from __future__ import annotations

from examples.support import start

start("examples.help_desk.main")
