"""What outside sources say of subjects, people, runs and credentials, and the streams they say it through.

Each source's word is kept apart; a run's standing is the worst of all of them. What changes a run's standing gives the
run a new version, so that a decision made before can no longer be admitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

from agentguard.core.people import who
from agentguard.core.signals import Signal, SignalEffect, stream_of
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import schema
from agentguard.ledger.contract import RecordData, StreamState, StreamStatus
from agentguard.ledger.encode import Row, encode_record, key_digest, known_text, micros, moment
from agentguard.ledger.store import Store

# What one message may hold; a real one holds a handful.
MOST_SIGNALS = 1_000
_CREDENTIAL_EFFECTS = (SignalEffect.REFUSE_CREDENTIAL, SignalEffect.RESTORE_CREDENTIAL)


class ReadySignals(NamedTuple):
    """Signals, checked and encoded."""

    key: bytes
    signals: Sequence[tuple[Signal, int]]
    at: int
    rows: Sequence[Row]
    status: StreamStatus | None


class ReadyStream(NamedTuple):
    """A sign of life, encoded."""

    name: str
    at: int
    status: StreamStatus
    row: Row | None


class Word(NamedTuple):
    """What one source says about one thing, as a row holds it."""

    risk: int | None = None
    risk_at: int | None = None
    refused: int | None = None
    refused_at: int | None = None
    newer: int | None = None
    ended: int | None = None


def encode_signals(
    identifier: tuple[str, str],
    signals: Sequence[Signal],
    at: datetime,
    records: Sequence[RecordData],
    status: str | None,
) -> ReadySignals:
    """Check every signal's shape and encode all. Raises LedgerError."""
    if len(identifier) != 2:
        raise LedgerError("a signal's identifier is not a pair; expected (issuer, jti)")
    if len(signals) > MOST_SIGNALS:
        raise LedgerError(f"{len(signals)} signals came at once; expected at most {MOST_SIGNALS}")
    for signal_ in signals:
        _check(signal_)
    # Two streams of one issuer may each be sent the same token, and each be believed about others.
    streams = sorted({stream_of(signal_.source) or "" for signal_ in signals})
    return ReadySignals(
        sha256(key_digest(identifier, "a signal's issuer or jti") + "\n".join(streams).encode()).digest(),
        [(signal_, micros(signal_.at)) for signal_ in signals],
        micros(at),
        [encode_record(record) for record in records],
        None if status is None else _status(status),
    )


def encode_stream(name: str, at: datetime, status: str, record: RecordData | None) -> ReadyStream:
    """Check a sign of life and encode it. Raises LedgerError."""
    if not known_text(name, "a stream's name") or stream_of(name) != name:
        raise LedgerError(f"`{name}` is not a stream's name; expected one of `streams` in Trust")
    return ReadyStream(name, micros(at), _status(status), None if record is None else encode_record(record))


def _status(word: str) -> StreamStatus:
    if word not in set(StreamStatus):
        raise LedgerError(f"`{word}` is not a stream's status; expected one of {', '.join(StreamStatus)}")
    return StreamStatus(word)


def signal(store: Store, ready: ReadySignals) -> bool:
    """All of one message's signals, unless it was heard before."""
    if store.cursor.execute(schema.HEAR, (ready.key,)).rowcount != 1:
        return False
    store.flush()
    for signal_, at in ready.signals:
        for kind, about in _things(signal_):
            say(store, kind, about, signal_, at)
        stream = stream_of(signal_.source)
        if stream is not None:
            _hear(store, stream, ready.at, ready.status)
    store.drop_runs()
    for row in ready.rows:
        store.append(row)
    return True


def say(store: Store, kind: str, about: str, said: Signal, at: int) -> None:
    """Keep what one source says about one thing, where it is news, and move every run that this concerns.

    Runs are changed by SQL: the caller has flushed before, and drops those in memory after.
    """
    before = Word(*(store.cursor.execute(schema.STANDING, (kind, about, said.source)).fetchone() or ()))
    after = _taken(before, said, at)
    if after == before:
        return
    store.cursor.execute(schema.PUT_STANDING, (kind, about, said.source, *after))
    ends = said.effect is SignalEffect.END_RUNS
    whom = {"about": about, "ended": after.ended}
    store.cursor.execute(_MOVES[kind, ends], whom)
    if ends:
        store.cursor.execute(schema.FORGET_ENDED_HAPPENINGS)
    if said.effect is SignalEffect.END_RUNS:
        store.cursor.execute(schema.FORGET_MARKS_OF_ENDED)


# The statement that moves the runs a word is about; True where it ends them.
_MOVES: Mapping[tuple[str, bool], str] = MappingProxyType(
    {
        ("party", False): schema.BUMP_PARTY,
        ("party", True): schema.STOP_PARTY,
        ("run", False): schema.BUMP_RUN,
        ("run", True): schema.STOP_RUN,
        # Which runs would use a credential is not known here.
        ("credential", False): schema.BUMP_ALL,
    }
)


def _things(said: Signal) -> list[tuple[str, str]]:
    """What a signal is about, as (kind, name)."""
    if said.effect is SignalEffect.NOTE:
        return []
    if said.credential is not None and said.effect in _CREDENTIAL_EFFECTS:
        return [("credential", who(said.credential))]
    about = None if said.about is None else who(said.about)
    named = [("party", about), ("run", said.run_id)]
    return [(kind, name) for kind, name in named if name is not None]


def _taken(before: Word, said: Signal, at: int) -> Word:
    """What the source says now, after what it said before."""
    effect = said.effect
    if effect is SignalEffect.END_RUNS:
        return before._replace(ended=max(at, before.ended or at))
    if effect is SignalEffect.REQUIRE_NEWER:
        return before._replace(newer=max(at, before.newer or at))
    if effect is SignalEffect.SET_RISK:
        risk = int(said.risk or Risk.LOW)
        if _is_news(said, at, before.risk_at, worse=risk > (before.risk or 0)):
            return before._replace(risk=risk, risk_at=at)
        return before
    refused = int(effect is SignalEffect.REFUSE_CREDENTIAL)
    if _is_news(said, at, before.refused_at, worse=refused > (before.refused or 0)):
        return before._replace(refused=refused, refused_at=at)
    return before


def _is_news(said: Signal, at: int, before: int | None, *, worse: bool) -> bool:
    """Messages overtake each other, so their own times count: what is older is not news, and of two for the same
    moment the worse one stands. What our own people say counts in the order in which they say it."""
    if before is None or stream_of(said.source) is None:
        return True
    return at > before or (at == before and worse)


def stream_heard(store: Store, ready: ReadyStream) -> None:
    """A sign of life, or a change of status."""
    _hear(store, ready.name, ready.at, ready.status)
    if ready.row is not None:
        store.append(ready.row)


def _hear(store: Store, name: str, at: int, status: StreamStatus | None) -> None:
    """A signal by itself enables no stream that was paused, and what a stream said of itself before it last spoke is no
    news. What depended on a stream that falls silent is decided again."""
    before, was = store.cursor.execute(schema.STREAM, (name,)).fetchone() or (at, StreamStatus.ENABLED.value)
    now = was if status is None or at < before else status.value
    store.cursor.execute(schema.PUT_STREAM, (name, max(at, before), now))
    if now != was:
        store.flush()
        store.cursor.execute(schema.BUMP_ALL)
        store.drop_runs()


def streams(store: Store, _: None) -> Mapping[str, StreamState]:
    """Every stream that was ever heard of."""
    rows = store.cursor.execute(schema.STREAMS).fetchall()
    return {name: StreamState(name, moment(at), StreamStatus(status)) for name, at, status in rows}


def _check(said: Signal) -> None:
    if type(said.effect) is not SignalEffect:
        raise LedgerError(f"a signal's effect is `{said.effect}`; expected one of {', '.join(SignalEffect)}")
    if not known_text(said.source, "a signal's source"):
        raise LedgerError("a signal names no source; expected a stream's name")
    for name in ("about", "run_id", "credential"):
        value = getattr(said, name)
        if value is not None and not known_text(value, f"a signal's {name}"):
            raise LedgerError(f"a signal's {name} is empty; expected a name, or None")
    if (type(said.risk) is Risk) is not (said.effect is SignalEffect.SET_RISK):
        raise LedgerError(f"a signal of effect `{said.effect}` has risk `{said.risk}`; expected one for set_risk alone")
    if stream_of(said.source) == "":
        raise LedgerError(f"a signal's source is `{said.source}`; expected a stream's name, or NAME/OPINION")
