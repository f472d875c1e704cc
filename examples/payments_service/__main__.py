"""``python -m examples.payments_service``."""

from __future__ import annotations

from examples.payments_service.main import run
from examples.support.checks import main

main(run)
