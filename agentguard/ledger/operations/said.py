"""What people and streams say: of subjects, credentials, runs and of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from agentguard.core.facts import RunStatus
from agentguard.core.people import who
from agentguard.core.signals import Signal, SignalEffect, stream_of
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import cells, looking
from agentguard.ledger.cells import (
    CredentialCell,
    RunCell,
    StreamCell,
    moment,
    name,
)
from agentguard.ledger.entry import Change, key_digest, known_text, micros, written
from agentguard.ledger.operations import ends
from agentguard.ledger.values import (
    RecordData,
    StreamState,
    StreamStatus,
)
from agentguard.ledger.world import World

# What one message may hold; a real one holds a handful.
MOST_SIGNALS = 1_000
CREDENTIAL_STATES = ("active", "rotated", "revoked")
_CREDENTIAL_EFFECTS = (SignalEffect.REFUSE_CREDENTIAL, SignalEffect.RESTORE_CREDENTIAL)


def suspend_subject(world: World, asked: tuple[str, bool, RecordData]) -> None:
    """Refuse, or accept again, every call of a subject."""
    subject, suspended, record = asked
    world.write(record, [("suspend", subject, suspended)])


def set_credential(world: World, asked: tuple[str, str, RecordData]) -> None:
    """Set what operations say of a credential."""
    credential, state, record = asked
    world.write(record, [("credential", credential, state)])


def credential_states(world: World, names: Sequence[str]) -> Mapping[str, str]:
    """The states of those that were ever set, or refused by a source."""
    states = {}
    for credential in names:
        cell = world.get((cells.CREDENTIAL, who(credential)))
        if looking.said_of(world, "credential", who(credential)).refused:
            states[credential] = "revoked"  # whatever operations say: not active anywhere is not active
        elif isinstance(cell, CredentialCell):
            states[credential] = cell.state
    return states


class ReadySignals(NamedTuple):
    """One message's signals, checked."""

    key: str
    signals: Sequence[tuple[Signal, int]]
    at: int
    records: Sequence[RecordData]
    status: StreamStatus | None


def check_signals(
    identifier: tuple[str, str], signals: Sequence[Signal], at: datetime, records: Sequence[RecordData],
    status: str | None,
) -> ReadySignals:  # fmt: skip
    """Raises LedgerError for what is no signal."""
    if len(identifier) != 2:
        raise LedgerError("a signal's identifier is not a pair; expected (issuer, jti)")
    if len(signals) > MOST_SIGNALS:
        raise LedgerError(f"{len(signals)} signals came at once; expected at most {MOST_SIGNALS}")
    for signal in signals:
        _check_signal(signal)
    # Two streams of one issuer may each be sent the same token, and each be believed about others.
    streams = "\n".join(sorted({stream_of(signal.source) or "" for signal in signals}))
    return ReadySignals(
        name(key_digest(identifier, "a signal's issuer or jti"), streams),
        [(signal, micros(signal.at)) for signal in signals],
        micros(at),
        records,
        None if status is None else _status(status),
    )


def signal(world: World, ready: ReadySignals) -> bool:
    """All of one message's signals, unless it was heard before."""
    if world.get((cells.HEARD, ready.key)) is not None:
        return False
    changes: list[Change] = [("hear", ready.key)]
    status = None if ready.status is None else str(ready.status)
    for said, at in ready.signals:
        risk = None if said.risk is None else int(said.risk)
        for kind, about in _things(said):
            changes.append(("say", kind, about, said.source, str(said.effect), at, risk))
            if said.effect is SignalEffect.END_RUNS:
                stopped = _under_way(world, kind, about, at)
                about_it = {**(ready.records[0] if ready.records else {}), "time": written(ready.at)}
                changes += [ends.end(world, run_id, RunStatus.STOPPED, about_it) for run_id in stopped]
        stream = stream_of(said.source)
        if stream is not None:
            changes.append(("stream", stream, ready.at, status))
    records = ready.records or [{}]
    for number, record in enumerate(records):
        world.write(record, changes if number == 0 else ())
    return True


def _under_way(world: World, kind: str, about: str, at: int) -> list[str]:
    """The active runs that a word is about, begun up to then. Those begun by others meanwhile are stopped by the word
    itself; these are named, so that what they hold of outsiders is gone at once."""
    found: list[str] = []
    for run_id, run in world.below.listed(cells.RUN, live=True):
        meant = run_id == about if kind == "run" else isinstance(run, RunCell) and about in looking.parties(run)
        if meant and isinstance(run, RunCell) and run.started <= at:
            found.append(run_id)
    return found


def _things(said: Signal) -> list[tuple[str, str]]:
    """What a signal is about, as (kind, name)."""
    if said.effect is SignalEffect.NOTE:
        return []
    if said.credential is not None and said.effect in _CREDENTIAL_EFFECTS:
        return [("credential", who(said.credential))]
    whom = None if said.about is None else who(said.about)
    named = [("party", whom), ("run", said.run_id)]
    return [(kind, about) for kind, about in named if about is not None]


class ReadyStream(NamedTuple):
    """A sign of life, checked."""

    name: str
    at: int
    status: StreamStatus
    record: RecordData


def check_stream(stream: str, at: datetime, status: str, record: RecordData) -> ReadyStream:
    """Raises LedgerError for what is no stream."""
    if not known_text(stream, "a stream's name") or stream_of(stream) != stream:
        raise LedgerError(f"`{stream}` is not a stream's name; expected one of `streams` in Trust")
    return ReadyStream(stream, micros(at), _status(status), record)


def stream_heard(world: World, ready: ReadyStream) -> None:
    """A sign of life, or a change of status."""
    world.write(ready.record, [("stream", ready.name, ready.at, str(ready.status))])


def streams(world: World, _: None) -> Mapping[str, StreamState]:
    """Every stream that was ever heard of."""
    found = sorted(world.below.listed(cells.STREAM))
    return {
        stream: StreamState(stream, moment(cell.heard_at), StreamStatus(cell.status))
        for stream, cell in found
        if isinstance(cell, StreamCell)
    }


def check_credential(credential: str, state: str, record: RecordData) -> tuple[str, str, RecordData]:
    """Raises LedgerError for what is no credential's state."""
    if state not in CREDENTIAL_STATES:
        raise LedgerError(f"`{state}` is not a credential's state; expected one of {', '.join(CREDENTIAL_STATES)}")
    return known_text(credential, "a credential"), state, record


def check_suspension(subject: str, suspended: bool, record: RecordData) -> tuple[str, bool, RecordData]:
    """Raises LedgerError for what is no suspension."""
    if type(suspended) is not bool:
        raise LedgerError(f"`suspended` is {type(suspended).__name__}; expected true or false")
    return known_text(subject, "a subject"), suspended, record


def _status(word: str) -> StreamStatus:
    if word not in set(StreamStatus):
        raise LedgerError(f"`{word}` is not a stream's status; expected one of {', '.join(StreamStatus)}")
    return StreamStatus(word)


def _check_signal(said: Signal) -> None:
    if type(said.effect) is not SignalEffect:
        raise LedgerError(f"a signal's effect is `{said.effect}`; expected one of {', '.join(SignalEffect)}")
    if not known_text(said.source, "a signal's source"):
        raise LedgerError("a signal names no source; expected a stream's name")
    for each in ("about", "run_id", "credential"):
        value = getattr(said, each)
        if value is not None and not known_text(value, f"a signal's {each}"):
            raise LedgerError(f"a signal's {each} is empty; expected a name, or None")
    if (type(said.risk) is Risk) is not (said.effect is SignalEffect.SET_RISK):
        raise LedgerError(f"a signal of effect `{said.effect}` has risk `{said.risk}`; expected one for set_risk alone")
    if stream_of(said.source) == "":
        raise LedgerError(f"a signal's source is `{said.source}`; expected a stream's name, or NAME/OPINION")
