"""``python -m examples.payments_service``."""

from __future__ import annotations

from examples.support import start

start("examples.payments_service.main")
