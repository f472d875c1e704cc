"""``python -m examples.incident_response``."""

from __future__ import annotations

from examples.incident_response.main import run
from examples.support.checks import main

main(run)
