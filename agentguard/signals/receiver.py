"""Takes the security events of every stream that Trust names: verifies, limits to whom it may speak of, applies.

1. The stream is the one of the address it came to, never one that the token names.
2. The token is verified (``sets``), and all of its events are read (``caep``). What is refused takes no effect at all.
3. A stream speaks only of whom its Trust lists under ``about``; the rest is recorded as a note that says why.
4. All of it is applied in one transaction, once for each (issuer, ``jti``) and stream: what one stream may not say,
   another that is sent the same token may. Only then is it acknowledged.
5. A stream counts as heard at the time its token was issued: what was held back on the way proves nothing about now.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from agentguard.core.declarations import StreamTrust
from agentguard.core.facts import RunState
from agentguard.core.people import who, who_is_in
from agentguard.core.signals import Signal, SignalEffect
from agentguard.errors import ConfigurationError
from agentguard.jose.keys import Clock, published_keys
from agentguard.jose.keyset import SIGNING_USES, KeySource
from agentguard.signals.caep import Statement, read
from agentguard.signals.refusal import RefusedSet, SetRefusal, SetRefused
from agentguard.signals.sets import SecurityEvents, SetVerifier
from agentguard.signals.subjects import may_speak_of

_log = logging.getLogger("agentguard")


class Hand(Protocol):
    """What a receiver needs of the guard's operations. Both raise LedgerError where the ledger cannot do it."""

    def run(self, run_id: str) -> RunState | None:
        """One run, or None."""

    def apply(
        self,
        identifier: tuple[str, str],
        signals: Sequence[Signal],
        at: datetime,
        *,
        heard: datetime | None = None,
        status: str | None = None,
    ) -> bool:
        """Let the signals take effect, durably. False: heard before, and nothing was done."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams in force, and the bundle's directory, in which their key files are looked up."""

    trusts: Sequence[StreamTrust]
    directory: Path


@dataclass(frozen=True, slots=True)
class Received:
    """A token that is durable now. ``fresh`` False: it was heard before. ``identifier`` is its ``jti``."""

    stream: str
    identifier: str
    fresh: bool
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A token that was verified and understood; nothing of it has taken effect."""

    events: SecurityEvents
    statements: tuple[Statement, ...]


def judge(verifier: SetVerifier, token: str | bytes, *, now: datetime) -> Said | RefusedSet:
    """Verify one token and read all of its events. Never raises, applies nothing."""
    events = verifier.verify(token, now=now)
    if isinstance(events, RefusedSet):
        return events
    try:
        return Said(events, read(events, verifier.trust, now=now))
    except SetRefused as refused:
        return refused.as_value()


class Receiver:
    """Safe to share between threads. Raises ConfigurationError where a stream could not be listened to as it is."""

    def __init__(
        self,
        streams: Callable[[], Streams],
        hand: Hand,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Clock = time.monotonic,
    ) -> None:
        """``streams`` is asked again for each token, so that a reloaded bundle counts at once."""
        self._streams = streams
        self._hand = hand
        self._clock = clock
        self._monotonic = monotonic
        self._verifiers: dict[str, SetVerifier] = {}
        self._asked: dict[str, str] = {}
        now = streams()
        for trust in now.trusts:
            self._verifier(trust, now.directory)

    def streams(self) -> Sequence[StreamTrust]:
        """The streams in force."""
        return self._streams().trusts

    def stream(self, name: str) -> StreamTrust | None:
        """One stream in force, or None."""
        return _named(self._streams().trusts, name)

    def expect(self, stream: str, state: str) -> None:
        """Remember the ``state`` that this stream was just asked to verify itself with (SSF 1.0 section 8.1.4).

        From now on its verification events are refused if they bear another one.
        """
        self._asked[stream] = state

    def receive(self, stream: str, token: str | bytes) -> Received | RefusedSet:
        """Take one token of a stream; when this returns ``Received`` its effects are durable.

        Raises LedgerError where they could not be made so: nothing of it took effect, and it should be sent again.
        """
        answer = self._receive(stream, token)
        if isinstance(answer, RefusedSet):
            _log.warning("an event of stream `%s` was refused: %s: %s", ascii(stream)[1:-1], answer.code, answer.detail)
        return answer

    def _receive(self, stream: str, token: str | bytes) -> Received | RefusedSet:
        streams = self._streams()
        trust = _named(streams.trusts, stream)
        if trust is None:
            return RefusedSet(SetRefusal.WRONG_ISSUER, "Trust names no such stream")
        try:
            verifier = self._verifier(trust, streams.directory)
        except ConfigurationError as error:
            # The bundle was reloaded, and its keys are not there yet. The transmitter may try again.
            return RefusedSet(SetRefusal.KEYS_UNAVAILABLE, str(error))
        now = self._clock()
        said = judge(verifier, token, now=now)
        if isinstance(said, RefusedSet):
            return said
        if any(one.state not in (None, self._asked.get(stream, one.state)) for one in said.statements):
            return RefusedSet(SetRefusal.INVALID_EVENT, "its `state` is not the one that was asked for")
        return self._apply(trust, said, now)

    def _apply(self, trust: StreamTrust, said: Said, now: datetime) -> Received:
        signals = tuple(self._limited(trust, one.signal) for one in said.statements)
        status = next((one.status for one in said.statements if one.status is not None), None)
        identifier = (said.events.issuer, said.events.identifier)
        fresh = self._hand.apply(identifier, signals, now, heard=said.events.issued_at, status=status)
        return Received(trust.name, said.events.identifier, fresh, signals)

    def _limited(self, trust: StreamTrust, said: Signal) -> Signal:
        """The signal as far as its stream is believed."""
        if said.effect is SignalEffect.NOTE:
            return dataclasses.replace(said, credential=None)
        if trust.about and not any(may_speak_of(trust.about, name) for name in self._names(said)):
            return _noted(said, "its stream may not speak of it")
        # Any user may call a key of theirs what they like, so a name means one of our credentials only where Trust
        # says that this stream speaks of that one.
        named = None if said.credential is None else who(f"credential:{said.credential}")
        if named is None or named not in map(who, trust.about):
            return dataclasses.replace(said, credential=None)
        if said.effect is SignalEffect.REQUIRE_NEWER:
            return _noted(said, f"credential `{said.credential}` has a new value")
        return said

    def _names(self, said: Signal) -> tuple[str, ...]:
        """Whom it would touch. Of a run these are the subject and the person it is for: either is enough."""
        if said.run_id is None:
            return (said.about or "",)
        run = self._hand.run(said.run_id)
        return () if run is None else tuple(who_is_in(run.subject, run.requester))

    def _verifier(self, trust: StreamTrust, directory: Path) -> SetVerifier:
        known = self._verifiers.get(trust.name)
        if known is not None and known.trust == trust:
            return known
        made = stream_verifier(trust, directory, clock=self._monotonic, before=None if known is None else known.keys)
        self._verifiers[trust.name] = made
        return made


def stream_verifier(
    trust: StreamTrust, directory: Path, *, clock: Clock = time.monotonic, before: KeySource | None = None
) -> SetVerifier:
    """The verifier of one stream with the keys its trust names; a relative file is looked up in ``directory``.

    ``before`` and ConfigurationError are as in ``published_keys``; ``SetVerifier`` raises that too.
    """
    keys = published_keys(
        f"{trust.source}: stream `{trust.name}`",
        file=None if trust.keys_file is None else directory / trust.keys_file,
        url=trust.keys_url,
        algorithms=trust.algorithms,
        uses=SIGNING_USES,
        max_age=trust.keys_max_age,
        clock=clock,
        before=before,
    )
    return SetVerifier(trust, keys)


def authorization(trust: StreamTrust) -> bytes | None:
    """The ``Authorization`` value that a stream's transmitter and we share; None where Trust names none.

    Raises ConfigurationError where the environment does not hold it.
    """
    if trust.authorization_env is None:
        return None
    value = os.environ.get(trust.authorization_env, "")
    if not value or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ConfigurationError(
            f"{trust.source}: stream `{trust.name}`: the environment variable `{trust.authorization_env}` must hold "
            "the whole Authorization value, such as `Bearer ...`"
        )
    return value.encode()


def _named(trusts: Iterable[StreamTrust], name: str) -> StreamTrust | None:
    return next((trust for trust in trusts if trust.name == name), None)


def _noted(said: Signal, why: str) -> Signal:
    return dataclasses.replace(said, effect=SignalEffect.NOTE, risk=None, credential=None, why=why)
