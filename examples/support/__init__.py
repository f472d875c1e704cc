"""What the examples share: servers on loopback, a timeline, people who answer, checks of what really happened."""

from __future__ import annotations

import io
import sys
from importlib import import_module


def start(example: str) -> None:
    """Run the example in this module. Loading it takes longer than it runs, so Ctrl-C is taken then as well."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a tick is no reason to fail where the terminal has none
    try:
        module = import_module(example)
        checks = import_module("examples.support.checks")
    except KeyboardInterrupt:
        print("\nstopped; nothing was started")
        raise SystemExit(130) from None
    checks.main(module.run, *module.NEXT)
