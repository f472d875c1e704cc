"""Decision cases: what an owner expects of a workflow, written beside it in ``*.cases.yaml``. Read, not judged, here.

A case says what has happened in the run so far, one call, and the decision expected. What it leaves out is ordinary:
an active run, a fresh identity of the workflow's first subject, low risk, nobody asked. Cases are not part of the
bundle and not of its revision.
"""

from __future__ import annotations

from agentguard.policy.cases.reading import load_calls, load_case_file, load_cases
from agentguard.policy.cases.values import (
    Case,
    CaseAnswer,
    CaseCall,
    CaseCalled,
    CaseIdentity,
    CaseRun,
    CaseSeen,
    Expectation,
)
from agentguard.policy.cases.written import Cases

__all__ = [
    "Case",
    "CaseAnswer",
    "CaseCall",
    "CaseCalled",
    "CaseIdentity",
    "CaseRun",
    "CaseSeen",
    "Cases",
    "Expectation",
    "load_calls",
    "load_case_file",
    "load_cases",
]
