"""How what others say changes the fold: of parties, runs, credentials and streams. See ``fold``. Pure."""

from __future__ import annotations

from agentguard.core.people import who
from agentguard.core.signals import SignalEffect, stream_of
from agentguard.ledger import cells
from agentguard.ledger.cells import (
    Cells,
    CredentialCell,
    MarkCell,
    Private,
    StreamCell,
    Word,
    name,
)
from agentguard.ledger.looking import (
    WORLD,
    said_of,
    world,
)


def suspend(at: Cells, number: int, private: Private, subject: str, suspended: bool) -> None:
    party = who(subject)
    said = said_of(at, "party", party)
    after = said._replace(suspended=suspended, version=said.version + 1)
    at.put((cells.SAID, name("party", party)), after)


def credential(at: Cells, number: int, private: Private, credential: str, state: str) -> None:
    """Which runs would use it is not known here, so this concerns every run."""
    at.put((cells.CREDENTIAL, who(credential)), CredentialCell(state))
    _concerns_everybody(at)


def _concerns_everybody(at: Cells) -> None:
    before = world(at)
    at.put(WORLD, before._replace(version=before.version + 1))


def say(
    at: Cells, number: int, private: Private, kind: str, about: str, source: str, effect: str, when: int,
    risk: int | None,
) -> None:  # fmt: skip
    """Keep what one source says about one thing, where it is news. Each source's word is kept apart."""
    said = said_of(at, kind, about)
    before = said.words.get(source, Word())
    after = taken(before, source, SignalEffect(effect), when, risk)
    if after == before:
        return
    now = said._replace(version=said.version + 1, words={**said.words, source: after})
    at.put((cells.SAID, name(kind, about)), now)
    if after.ended is not None and after.ended > (world(at).ended or after.ended - 1):
        at.put(WORLD, world(at)._replace(ended=after.ended))
    if kind == "credential":
        _concerns_everybody(at)


def taken(before: Word, source: str, effect: SignalEffect, at: int, risk: int | None) -> Word:
    """What a source says now, after what it said before."""
    if effect is SignalEffect.END_RUNS:
        return before._replace(ended=at if before.ended is None else max(at, before.ended))
    if effect is SignalEffect.REQUIRE_NEWER:
        return before._replace(newer=at if before.newer is None else max(at, before.newer))
    if effect is SignalEffect.SET_RISK:
        level = risk or 0
        news = _is_news(source, at, before.risk_at, worse=level > (before.risk or 0))
        return before._replace(risk=level, risk_at=at) if news else before
    refused = int(effect is SignalEffect.REFUSE_CREDENTIAL)
    news = _is_news(source, at, before.refused_at, worse=refused > (before.refused or 0))
    return before._replace(refused=refused, refused_at=at) if news else before


def _is_news(source: str, at: int, before: int | None, *, worse: bool) -> bool:
    """Messages overtake each other, so their own times count: what is older is not news, and of two for the same
    moment the worse one stands. What our own people say counts in the order in which they say it."""
    if before is None or stream_of(source) is None:
        return True
    return at > before or (at == before and worse)


def raise_risk(at: Cells, number: int, private: Private, run_id: str, source: str, risk: int, when: int) -> None:
    """A workflow's own rule raised the risk of a run."""
    said = said_of(at, "run", run_id)
    words = {**said.words, source: Word(risk=risk, risk_at=when)}
    at.put((cells.SAID, name("run", run_id)), said._replace(version=said.version + 1, words=words))


def hear(at: Cells, number: int, private: Private, message: str) -> None:
    at.put((cells.HEARD, message), MarkCell())


def stream(at: Cells, number: int, private: Private, stream: str, when: int, status: str | None) -> None:
    """A signal by itself enables no stream that was paused, and what a stream said of itself before it last spoke is no
    news. What depended on a stream that falls silent is decided again."""
    found = at.get((cells.STREAM, stream))
    before = found if isinstance(found, StreamCell) else StreamCell(when, "enabled")
    now = before.status if status is None or when < before.heard_at else status
    at.put((cells.STREAM, stream), StreamCell(max(when, before.heard_at), now))
    if now != before.status:
        _concerns_everybody(at)
