"""The kinds of policy file as strict models: what may be written, before anything is looked up.

They also give editors their JSON Schema. Unknown keys, wrong types and missing keys are refused here; what needs other
files (a tool, a group, a step) is looked up in ``compile``.
"""

from __future__ import annotations

from agentguard.policy.models.destinations import FORMS, Destinations, FirstContact, ZoneEntry
from agentguard.policy.models.keeps import KeepEntry
from agentguard.policy.models.limits import BudgetEntry, RiskEntry
from agentguard.policy.models.shared import Steps
from agentguard.policy.models.steps import Approval, StepDestinations, StepEntry, StepIdentity
from agentguard.policy.models.tools import ToolEntry, Tools
from agentguard.policy.models.trust import Issuer, Login, Stream, Trust
from agentguard.policy.models.words import (
    ABOUT,
    ADDRESS,
    API_VERSION,
    ENVIRONMENT,
    WORDS,
    AnyJson,
    AssuranceWord,
    Line,
    Name,
    PolicyFile,
    RiskWord,
    Schema,
    SensitivityWord,
    Skew,
    StrictModel,
    Text,
    ToolName,
    UserName,
)
from agentguard.policy.models.workflow import Workflow

KINDS: dict[str, type[PolicyFile]] = {
    "Trust": Trust,
    "Tools": Tools,
    "Destinations": Destinations,
    "Steps": Steps,
    "Workflow": Workflow,
}

__all__ = [
    "ABOUT",
    "ADDRESS",
    "API_VERSION",
    "ENVIRONMENT",
    "FORMS",
    "KINDS",
    "WORDS",
    "AnyJson",
    "Approval",
    "AssuranceWord",
    "BudgetEntry",
    "Destinations",
    "FirstContact",
    "Issuer",
    "KeepEntry",
    "Line",
    "Login",
    "Name",
    "PolicyFile",
    "RiskEntry",
    "RiskWord",
    "Schema",
    "SensitivityWord",
    "Skew",
    "StepDestinations",
    "StepEntry",
    "StepIdentity",
    "Steps",
    "Stream",
    "StrictModel",
    "Text",
    "ToolEntry",
    "ToolName",
    "Tools",
    "Trust",
    "UserName",
    "Workflow",
    "ZoneEntry",
]
