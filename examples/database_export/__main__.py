"""``python -m examples.database_export``."""

from __future__ import annotations

from examples.database_export.main import run
from examples.support.checks import main

main(run)
