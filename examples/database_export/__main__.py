"""``python -m examples.database_export``."""

from __future__ import annotations

from examples.support import start

start("examples.database_export.main")
