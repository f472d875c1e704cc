"""``python -m examples.first_policy``."""

from __future__ import annotations

from examples.support import start

start("examples.first_policy.main")
