"""The order of events; the only place that runs a tool."""

from __future__ import annotations

from agentguard.guard.arguments.signature import Signature
from agentguard.guard.canary import CanaryGate
from agentguard.guard.gate import Gate
from agentguard.guard.guard import Guard
from agentguard.guard.operations import Operations
from agentguard.guard.run import RunContext, current_run

__all__ = ["CanaryGate", "Gate", "Guard", "Operations", "RunContext", "Signature", "current_run"]
