"""The policy bundle: YAML files into core values, strictly, all or nothing, under one revision."""

from __future__ import annotations

from agentguard.policy.bundle import Bundle, Reloader, load
from agentguard.policy.cases import Case, load_case_file, load_cases
from agentguard.policy.keeps import Keep
from agentguard.policy.schemas import schemas

__all__ = ["Bundle", "Case", "Keep", "Reloader", "load", "load_case_file", "load_cases", "schemas"]
