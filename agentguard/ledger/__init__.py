"""The ledger: the one transactional store for runs, budgets, replay, approvals and records."""

from __future__ import annotations

from agentguard.ledger.contract import (
    Admission,
    Admitted,
    ApprovalRequest,
    ApprovalRow,
    Charge,
    Closing,
    FirstUse,
    Ledger,
    Outcome,
    RecordData,
    RecordFilter,
    Refusal,
    Refused,
    StreamState,
    StreamStatus,
    Unstorable,
    Watch,
)
from agentguard.ledger.files import check_is_path, is_address, without_password
from agentguard.ledger.memory import memory_ledger
from agentguard.ledger.sqlite import SqliteLedger, open_ledger

__all__ = [
    "Admission",
    "Admitted",
    "ApprovalRequest",
    "ApprovalRow",
    "Charge",
    "Closing",
    "FirstUse",
    "Ledger",
    "Outcome",
    "RecordData",
    "RecordFilter",
    "Refusal",
    "Refused",
    "SqliteLedger",
    "StreamState",
    "StreamStatus",
    "Unstorable",
    "Watch",
    "check_is_path",
    "is_address",
    "memory_ledger",
    "open_ledger",
    "without_password",
]
