"""``python -m examples.deployment_pipeline``."""

from __future__ import annotations

from examples.deployment_pipeline.main import run
from examples.support.checks import main

main(run)
