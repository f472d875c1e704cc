"""The shipped workflows decide as the cases beside them say, and each has cases for more than its good day."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentguard.core.values import Effect
from agentguard.guard.dry_run import evaluate
from agentguard.guard.in_force import UsableBundle
from agentguard.policy import load
from agentguard.policy.cases import load_cases

BUNDLES = sorted(path for path in (Path(__file__).resolve().parents[2] / "workflows").iterdir() if path.is_dir())
# A fixed day, before every `review_by`: what these cases judge is the policy, not the calendar.
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_there_is_a_bundle_for_every_example() -> None:
    """All of nothing is no."""
    names = [path.name for path in BUNDLES]
    assert names == [
        "customer_export",
        "deployment_pipeline",
        "first_policy",
        "help_desk",
        "incident_response",
        "office_assistant",
        "payments_service",
    ]


@pytest.mark.parametrize("directory", BUNDLES, ids=lambda path: path.name)
def test_a_shipped_workflow_decides_as_its_cases_say(directory: Path) -> None:
    """They are what a workflow owner copies; a wrong one would be copied, too."""
    usable = UsableBundle.of(load(directory))
    cases = load_cases(directory, usable.bundle)
    failed = [(case.name, evaluate(usable, case, now=NOW).problems) for case in cases]
    assert [(name, problems) for name, problems in failed if problems] == []


@pytest.mark.parametrize("directory", BUNDLES, ids=lambda path: path.name)
def test_the_cases_of_a_workflow_permit_and_deny_for_several_reasons(directory: Path) -> None:
    """Cases that only show the good day prove nothing: a workflow that permits everything would pass them."""
    cases = load_cases(directory)
    denied = {reason for case in cases if case.expect.effect is Effect.DENY for reason in case.expect.reasons}
    assert any(case.expect.effect is Effect.PERMIT for case in cases)
    assert len(denied) >= 5, sorted(denied)


def test_some_case_asks_a_person() -> None:
    """Escalation is the third effect, and the one most easily lost."""
    every = [case for directory in BUNDLES for case in load_cases(directory)]
    assert any(case.expect.effect is Effect.ESCALATE for case in every)
    assert any(case.answers and case.expect.effect is Effect.PERMIT for case in every)
