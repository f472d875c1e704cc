"""``python -m examples.deployment_pipeline``."""

from __future__ import annotations

from examples.support import start

start("examples.deployment_pipeline.main")
