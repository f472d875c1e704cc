"""The ledger: a log of records with compare-and-append, and what it adds up to."""

from __future__ import annotations

from agentguard.ledger.keys import earlier_of
from agentguard.ledger.ledger import LogLedger
from agentguard.ledger.memory import memory_ledger
from agentguard.ledger.promise import Promise
from agentguard.ledger.ready import ReadyRecord
from agentguard.ledger.sqlite import open_ledger
from agentguard.ledger.sqlite.files import check_is_path, is_address, without_password
from agentguard.ledger.stored import read_brought, read_growth
from agentguard.ledger.values import (
    Admission,
    Admitted,
    ApprovalRequest,
    ApprovalRow,
    Charge,
    Closing,
    Erased,
    FirstUse,
    MadeCall,
    NotOpened,
    Opened,
    Outcome,
    RecordData,
    RecordFilter,
    Refusal,
    Refused,
    StreamState,
    StreamStatus,
    Suspension,
    Unstorable,
    Watch,
    WhyNot,
)

__all__ = [
    "Admission",
    "Admitted",
    "ApprovalRequest",
    "ApprovalRow",
    "Charge",
    "Closing",
    "Erased",
    "FirstUse",
    "LogLedger",
    "MadeCall",
    "NotOpened",
    "Opened",
    "Outcome",
    "Promise",
    "ReadyRecord",
    "RecordData",
    "RecordFilter",
    "Refusal",
    "Refused",
    "StreamState",
    "StreamStatus",
    "Suspension",
    "Unstorable",
    "Watch",
    "WhyNot",
    "check_is_path",
    "earlier_of",
    "is_address",
    "memory_ledger",
    "open_ledger",
    "read_brought",
    "read_growth",
    "without_password",
]
