"""The order of events; the only place that runs a tool."""

from __future__ import annotations

from agentguard.guard.gate import CanaryGate, Gate
from agentguard.guard.guard import Guard
from agentguard.guard.operations import Operations
from agentguard.guard.places import current_run
from agentguard.guard.run import RunContext
from agentguard.guard.signature import Signature

__all__ = ["CanaryGate", "Gate", "Guard", "Operations", "RunContext", "Signature", "current_run"]
