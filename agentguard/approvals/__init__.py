"""Asking a person: what they see, who they are, and where a request stands."""

from __future__ import annotations

from agentguard.approvals.account import account
from agentguard.approvals.view import ApprovalView, Asked, Standing

__all__ = ["ApprovalView", "Asked", "Standing", "account"]
