"""Which sources a test run tests: the checkout's, or on the built wheel, the installed package's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def wrong_sources(imported: Path, environment: Mapping[str, str]) -> str | None:
    """Why a run would test other sources than it should, or None. A copy made at installation hides every edit."""
    from_checkout = imported.resolve().parent == (CHECKOUT / "agentguard").resolve()
    if environment.get("AGENTGUARD_TEST_INSTALLED") == "1":
        if from_checkout:
            return f"AGENTGUARD_TEST_INSTALLED=1 tests the installed package, but `agentguard` is {imported}"
    elif not from_checkout:
        return (
            f"`agentguard` is imported from {imported.parent}, not from this checkout, so your edits would not be "
            f"tested. Install the checkout itself: `pip install -c constraints.txt -e '{CHECKOUT}[test]'`"
        )
    return None
