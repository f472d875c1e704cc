"""Asking a person: what they see, who they are, and where a request stands."""

from __future__ import annotations

from agentguard.approvals.account import account
from agentguard.approvals.view import ApprovalView
from agentguard.core.answers import ApprovalStatus

__all__ = ["ApprovalStatus", "ApprovalView", "account"]
