"""A transmitter for the tests: makes good SETs, and bad ones on request. Shares no code with the verifier."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from identity.identity_maker import Key, key_set

from agentguard.core.declarations import Source, StreamTrust
from agentguard.core.facts import RunState
from agentguard.core.signals import Signal
from agentguard.jose.keyset import KeySet
from agentguard.signals import Received, Receiver, RefusedSet, SetVerifier, Streams

NOW = 1_790_000_000
ISSUER = "https://idp.example"
AUDIENCE = "https://guard.example/signals"
SUBJECT = "spiffe://corp.example/agent/exporter"
KEY = Key("s1")
OTHER = Key("s2")
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
RUN = "r-" + "0a" * 16

URI = {"format": "uri", "uri": SUBJECT}
# Each CAEP event, as little of it as is allowed.
GOOD: dict[str, dict[str, Any]] = {
    "session-revoked": {},
    "token-claims-change": {"claims": {"role": "reader"}},
    "credential-change": {"credential_type": "x509", "change_type": "revoke"},
    "assurance-level-change": {"namespace": "NIST-AAL", "current_level": "nist-aal1", "change_direction": "decrease"},
    "device-compliance-change": {"current_status": "not-compliant", "previous_status": "compliant"},
    "session-established": {},
    "session-presented": {},
    "risk-level-change": {"principal": "USER", "current_level": "HIGH"},
}


def at(seconds: float = 0) -> datetime:
    return datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)


def trust(**over: Any) -> StreamTrust:
    values: dict[str, Any] = {
        "name": "idp",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "source": Source("trust.yaml", 3),
        "keys_file": "idp.jwks.json",
        **over,
    }
    return StreamTrust(**values)


def claims(event: str = "session-revoked", *, subject: Any = None, said: Any = None, **over: Any) -> dict[str, Any]:
    """Good claims of one event; ``said`` replaces its members, ``over`` claims, and None takes one away."""
    name = event if ":" in event else CAEP + event
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": NOW,
        "jti": "j-1",
        "sub_id": URI if subject is None else subject,
        "events": {name: _without_none({**GOOD.get(event, {}), **(said or {})})},
        **over,
    }
    return _without_none(good)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def signed(event: str = "session-revoked", *, key: Key = KEY, header: Any = None, **over: Any) -> str:
    return key.sign(claims(event, **over), **{"typ": "secevent+jwt", **(header or {})})


def verifier(*keys: Key, **over: Any) -> SetVerifier:
    declared = trust(**over)
    return SetVerifier(declared, KeySet.parse(key_set(*(keys or (KEY,))), algorithms=declared.algorithms))


class FakeHand:
    """Operations over a ledger in memory: remembers what was applied, once for each identifier."""

    def __init__(self, *runs: RunState) -> None:
        self.runs = {run.id: run for run in runs}
        self.heard: set[tuple[str, str]] = set()
        self.applied: list[Signal] = []
        self.heard_at: list[datetime] = []
        self.statuses: list[str | None] = []
        self.broken: Exception | None = None

    def run(self, run_id: str) -> RunState | None:
        return self.runs.get(run_id)

    def apply(
        self,
        identifier: tuple[str, str],
        signals: Sequence[Signal],
        at: datetime,
        *,
        heard: datetime | None = None,
        status: str | None = None,
    ) -> bool:
        if self.broken is not None:
            raise self.broken
        if identifier in self.heard:
            return False
        self.heard.add(identifier)
        self.applied += signals
        self.heard_at.append(at if heard is None else min(at, heard))
        self.statuses.append(status)
        return True


class Bench:
    """A receiver of one stream over a fake hand, at a moment that can be moved."""

    def __init__(
        self, directory: Path, *runs: RunState, monotonic: Callable[[], float] = time.monotonic, **over: Any
    ) -> None:
        (directory / "idp.jwks.json").write_bytes(key_set(KEY))
        self.hand = FakeHand(*runs)
        self.now = at()
        self.streams = Streams((trust(**over),), directory)
        self.receiver = Receiver(lambda: self.streams, self.hand, clock=lambda: self.now, monotonic=monotonic)

    def take(self, event: str = "session-revoked", **over: Any) -> Received | RefusedSet:
        return self.receiver.receive("idp", signed(event, **over))

    def signals(self, event: str = "session-revoked", **over: Any) -> tuple[Signal, ...]:
        answer = self.take(event, **over)
        assert isinstance(answer, Received), answer
        return answer.signals

    def signal(self, event: str = "session-revoked", **over: Any) -> Signal:
        (signal,) = self.signals(event, **over)
        return signal
