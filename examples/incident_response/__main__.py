"""``python -m examples.incident_response``."""

from __future__ import annotations

from examples.support import start

start("examples.incident_response.main")
