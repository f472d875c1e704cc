"""What others say of a workload, a person or a run while it is under way: shared signals (SSF 1.0, CAEP 1.0)."""

from agentguard.signals.poll import Polled, Poller
from agentguard.signals.receiver import Hand, Received, Receiver, Said, Streams, authorization, judge, stream_verifier
from agentguard.signals.refusal import RefusedSet, SetRefusal
from agentguard.signals.sets import MAX_SET_BYTES, SecurityEvents, SetVerifier

__all__ = [
    "MAX_SET_BYTES",
    "Hand",
    "Polled",
    "Poller",
    "Received",
    "Receiver",
    "RefusedSet",
    "Said",
    "SecurityEvents",
    "SetRefusal",
    "SetVerifier",
    "Streams",
    "authorization",
    "judge",
    "stream_verifier",
]
