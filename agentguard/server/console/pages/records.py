"""Records: search in them, read one, and watch decisions as they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from agentguard.audit import reasons
from agentguard.core.reasons import Reason
from agentguard.core.values import RECORD_KINDS, Effect, Json
from agentguard.errors import ConfigurationError
from agentguard.guard.records import wanted
from agentguard.ledger import RecordFilter
from agentguard.policy.models.words import parse_duration
from agentguard.server.console import html
from agentguard.server.console.desk import NOT_HERE, Desk, Visit, to

_PAGE = 50
_FILTERS = ("run_id", "subject", "tool", "effect", "reason", "kind", "since", "until")
# Of one field of a record.
_MOST_CHARACTERS = 20_000
_MOST_SEQ = 2**53
_EMPTY: tuple[Any, ...] = (None, [], {})


def decisions(desk: Desk, visit: Visit) -> Response:
    """What is being decided: the newest decisions, and new ones as they come."""
    effect = visit.query.get("effect", "")
    known = effect if effect in set(Effect) else None
    found = desk.operations.records(RecordFilter(kind="decision", effect=known), limit=_PAGE, newest=True)
    lines = [line(data) for data in reversed(list(found))]
    return desk.page("decisions.html", visit, records=lines, effect=known or "", effects=[str(each) for each in Effect])


def search(desk: Desk, visit: Visit) -> Response:
    """Records that match, newest first."""
    given = {name: visit.query[name].strip() for name in _FILTERS if visit.query.get(name, "").strip()}
    exact = visit.query.get("id", "").strip()
    if exact:
        return _by_id(desk, visit, exact)
    problem, lines, last = None, [], None
    try:
        found = list(
            desk.operations.records(_wanted(given, desk.now()), before=_before(visit), limit=_PAGE, newest=True)
        )
        lines = [line(data) for data in reversed(found)]
        last = found[0]["seq"] if len(found) == _PAGE else None
    except ConfigurationError as error:
        problem = str(error)
    return desk.page(
        "records.html", visit, records=lines, given=given, problem=problem, last=last, query=_query(given),
        before=visit.query.get("before"), kinds=RECORD_KINDS, effects=[str(each) for each in Effect],
        reasons=sorted(str(each) for each in Reason),
    )  # fmt: skip


def show(desk: Desk, visit: Visit) -> Response:
    """Every field of one record."""
    seq = _number(visit.path["seq"])
    found = (
        next((data for data in desk.operations.records(after=seq - 1, limit=1) if data["seq"] == seq), None)
        if seq
        else None
    )
    if found is None:
        raise NOT_HERE
    decision = found.get("decision_id")
    others: list[Mapping[str, Any]] = []
    if isinstance(decision, str):
        others = [line(data) for data in desk.operations.records(RecordFilter(decision_id=decision), limit=_PAGE)]
    return desk.page(
        "record.html", visit, seq=seq, line=line(found), findings=list(_findings(found.get("findings"))),
        fields=[(name, _field(value)) for name, value in found.items() if name != "findings" and value not in _EMPTY],
        empty=[name for name, value in found.items() if value in _EMPTY],
        others=[other for other in others if other["seq"] != seq],
    )  # fmt: skip


def line(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """One record in a list. Every field may hold anything."""
    codes = data.get("reasons")
    why = (
        ", ".join(map(str, codes)) if isinstance(codes, list) and codes else data.get("why") or data.get("error") or ""
    )
    return {
        "seq": int(data["seq"]),
        "time": str(data.get("time"))[:19].replace("T", " "),
        "kind": str(data.get("kind")),
        "word": str(data.get("effect") or data.get("outcome") or ""),
        "what": str(data.get("tool") or data.get("workflow") or data.get("subject") or ""),
        "why": str(why),
        "run": None if data.get("run_id") is None else str(data["run_id"]),
        "enforced": data.get("enforced") is not False,
    }


def _by_id(desk: Desk, visit: Visit, exact: str) -> Response:
    """A record by its number, or the first of a decision."""
    number = _number(exact)
    if number:
        return to(f"/records/{number}")
    found = next(iter(desk.operations.records(RecordFilter(decision_id=exact), limit=1)), None)
    if found is None:
        raise NOT_HERE
    return to(f"/records/{found['seq']}")


def _wanted(given: Mapping[str, str], now: datetime) -> RecordFilter:
    named: dict[str, Any] = {name: text for name, text in given.items() if name not in ("since", "until")}
    times = {name: _time(given[name], name, now) for name in ("since", "until") if name in given}
    return wanted(**named, **times)


def _time(text: str, named: str, now: datetime) -> datetime:
    """RFC 3339 with a zone, or how long ago. Raises ConfigurationError."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None and "T" in text:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(f"{named}: expected such as 2026-11-24T12:00:00Z, or 10m for ten minutes ago")


def _before(visit: Visit) -> int | None:
    text = visit.query.get("before", "")
    return _number(text) or None


def _number(text: str) -> int:
    """A record's number; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 and int(text) < _MOST_SEQ else 0


def _query(given: Mapping[str, str]) -> str:
    return "".join(f"{name}={html.segment(text)}&" for name, text in given.items())


def _findings(found: Json) -> Iterator[Mapping[str, str]]:
    known = reasons()
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict):
            told = {name: str(each.get(name)) for name in ("effect", "reason", "detail")}
            info = known.get(Reason(told["reason"])) if told["reason"] in set(Reason) else None
            means, turn = ("", "") if info is None else (info.means, info.turn)
            yield {**told, "step": str(each.get("step") or ""), "means": means, "turn": turn}


def _field(value: Any) -> Any:
    return html.said(value, _MOST_CHARACTERS) if isinstance(value, str) else html.value(value, _MOST_CHARACTERS)
