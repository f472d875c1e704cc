"""One record per thing that happened. Every field is always present; what was left out is listed by pointer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from agentguard.core.answers import Question
from agentguard.core.credentials import cleaned, without_credentials
from agentguard.core.decision import Decision
from agentguard.core.facts import Facts, RunState
from agentguard.core.hints import hint_for
from agentguard.core.policy import Policy, Step, Tool
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.values import RECORD_KINDS, Effect, Json, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.guard.clock import LONG_AGO
from agentguard.jose.nonce import nonce
from agentguard.ledger import ReadyRecord, RecordFilter
from agentguard.policy.words import expected, shown

RecordData = dict[str, Any]

# The record of a call that was made again, in place of a decision's: nothing ran by it, so nobody counts it as a call.
REPETITION = "repetition"
REDACTED = "[redacted]"
PERSONAL = "[personal]"
# Names of tools and ids of calls that a model writes. No API gives longer ones; past it they are cut.
MAX_NAME = 128

FIELDS = (
    "kind", "time", "decision_id", "effect", "enforced", "reasons", "findings", "policy_revision", "workflow",
    "workflow_version", "step", "run_id", "subject", "requester", "issuer", "assurance", "assertion_id", "tool",
    "tool_effect", "framework", "call_id", "arguments", "seen_in", "order", "redacted", "personal", "coerced",
    "filled", "arguments_digest", "request_digest", "definition", "destinations", "risk", "approval_id",
    "approved_by", "signal", "outcome", "error", "kept", "by", "why", "hint", "changes", "commitments", "candidate",
    "run_key", "repeats", "parent_run",
)  # fmt: skip
_WORDS: Mapping[str, tuple[str, ...]] = {"kind": RECORD_KINDS, "effect": tuple(Effect), "reason": tuple(Reason)}
_LISTS = {
    "reasons", "findings", "redacted", "personal", "coerced", "filled", "destinations", "approved_by", "kept",
    "changes",
}  # fmt: skip
_EMPTY: RecordData = dict.fromkeys(FIELDS)


def new_id(prefix: str) -> str:
    """A name nobody can guess: prefix, a dash and 128 random bits."""
    return f"{prefix}-{nonce()}"


def storable(text: str) -> str:
    """What a model called something, as a record can hold it: of bounded length, and without half a character."""
    return text[:MAX_NAME].encode("utf-8", "backslashreplace").decode()


def rfc3339(moment: datetime) -> str:
    """UTC with microseconds and a Z (RFC 3339)."""
    if moment.tzinfo is UTC:
        since = moment - LONG_AGO
        return f"{_to_the_second(since.days, since.seconds)}.{since.microseconds:06d}Z"
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@lru_cache(maxsize=64)
def _to_the_second(days: int, seconds: int) -> str:
    """The moment so long after ``LONG_AGO``. Calls come many in one second."""
    return (LONG_AGO + timedelta(days, seconds)).replace(tzinfo=None).isoformat()


def record(kind: str, at: datetime, **known: Any) -> RecordData:
    """A whole record from the fields that are known. Raises KeyError for a field that no record has."""
    data: RecordData = {**_EMPTY, "kind": kind, "time": rfc3339(at)}
    for name, value in known.items():
        data[name] = without_credentials(value) if type(value) is str else cleaned(value) if value else value
    if len(data) != len(FIELDS):
        raise KeyError(*(data.keys() - _EMPTY.keys()))
    for name in _LISTS - known.keys():
        data[name] = []  # one of its own for each record
    data["commitments"] = {}
    return data


def wanted(**named: Any) -> RecordFilter:
    """Which records to read; keywords as in ``RecordFilter``.

    Raises ConfigurationError for a word that no record holds: an empty answer would mislead.
    """
    for name, words in _WORDS.items():
        word = named.get(name)
        if word is not None and word not in words:
            raise ConfigurationError(f"no record has the {name} {shown(word)}; {expected(str(word), words)}")
    return RecordFilter(**named)


def decision_record(
    at: datetime,
    decision_id: str,
    decision: Decision,
    request: Request,
    policy: Policy,
    facts: Facts,
    *,
    arguments: Json,
    arguments_digest: str,
    redacted: Sequence[str],
    personal: Sequence[str],
    commitments: Sequence[str | None],
    unsaid: Callable[[str], str],
    coerced: Sequence[str],
    filled: Sequence[str],
    order: Mapping[str, Sequence[str]],
    framework: str,
    encoded: bytes | None,
    step: Step | None,
    enforced: bool,
    seen_in: Mapping[str, Sequence[str]] | None,
) -> RecordData:
    """The record of one decision: everything a reviewer needs to understand and repeat it.

    ``encoded``: the canonical bytes of ``arguments``, None where they have none. ``step``: the one it runs under.
    ``seen_in``: where each argument was seen before, by path; None where nobody watched.
    """
    run = facts.run if isinstance(facts.run, RunState) else None
    workflow = policy.workflows.get(request.workflow)
    tool = policy.tools.get(request.tool)
    destinations = () if isinstance(facts.destinations, Unavailable) else facts.destinations
    approval = None if facts.approval is None or isinstance(facts.approval, Unavailable) else facts.approval
    identity = None if isinstance(facts.identity, Unavailable) else facts.identity
    data = {
        **_always(
            str(decision.effect),
            policy.revision,
            request.workflow or None,
            None if workflow is None else workflow.version,
            enforced,
            None if step is None else step.name,
            request.run_id or None,
            None if run is None else run.requester,
            request.tool,
            _tool_effect(decision, tool),
            framework,
            facts.definition,
            None if run is None else run.risk.word,
            identity.subject if identity is not None else None if run is None else run.subject,
            None if identity is None else identity.issuer,
            None if identity is None else identity.assurance.word,
            None if run is None or run.family is None else run.family.parent,
        ),
        "time": rfc3339(at),
        "decision_id": decision_id,
        "call_id": None if request.call_id is None else without_credentials(request.call_id),
        "arguments": arguments,
        "arguments_digest": arguments_digest,
        "request_digest": request.digest,
        "assertion_id": None if identity is None else without_credentials(identity.assertion_id),
    }
    # What most records have nothing of stays as it is.
    if decision.findings:
        data["reasons"] = [str(reason) for reason in decision.reasons]
        data["findings"] = cleaned(
            [
                {"effect": str(f.effect), "reason": str(f.reason), "step": f.step, "detail": unsaid(f.detail)}
                for f in decision.findings
            ]
        )
    if order:
        data["order"] = cleaned({where: list(names) for where, names in order.items()})
    if seen_in is not None:
        data["seen_in"] = cleaned({name: [*paths] for name, paths in seen_in.items()})
    listed = (("redacted", redacted), ("personal", personal), ("coerced", coerced), ("filled", filled))
    for name, pointers in listed:
        if pointers:
            data[name] = cleaned(list(pointers))
    if decision.repeats is not None:
        data["repeats"] = decision.repeats
        if decision.effect is Effect.PERMIT:
            data["kind"] = REPETITION
    if destinations:
        data["destinations"] = [
            {
                "kind": place.kind,
                "id": without_credentials(unsaid(place.said)),
                "sensitivity": "unclassified" if place.sensitivity is None else place.sensitivity.word,
                "zone": None if place.zone is None else without_credentials(place.zone),
                "commitment": committed,
            }
            for place, committed in zip(destinations, commitments, strict=True)
        ]
    if approval is not None:
        data["approval_id"] = approval.id
        data["approved_by"] = cleaned([*sorted({a.approver for a in approval.answers if a.approve})])
    hint = hint_for(workflow, request.tool, run) if decision.effect is Effect.DENY else None
    if hint:
        data["hint"] = cleaned(hint)
    return data if encoded is None else ReadyRecord(data, at, {"arguments": encoded})


def outcome_record(
    decision: RecordData, at: datetime, outcome: str, error: str | None, kept: Sequence[str]
) -> RecordData:
    """The record of how an admitted call ended: what its decision says of the call, and nothing of why."""
    data = {
        **_always_after(*map(decision.__getitem__, _OF_EVERY_CALL)),
        "decision_id": decision["decision_id"],
        "call_id": decision["call_id"],
        "request_digest": decision["request_digest"],
        "time": rfc3339(at),
        "outcome": outcome,
    }
    if error is not None:
        data["error"] = without_credentials(error)
    if kept:
        data["kept"] = cleaned(list(kept))
    return ReadyRecord(data, at, {})


def about_question(asked: Question) -> RecordData:
    """What every record about a question to people says of it."""
    return {
        "approval_id": asked.id,
        "run_id": asked.run_id,
        "workflow": asked.workflow,
        "step": asked.step,
        "tool": asked.tool,
        "subject": asked.subject,
        "requester": asked.requester,
        "request_digest": asked.request_digest,
        "policy_revision": asked.policy_revision,
    }


def suspension_record(decision: RecordData, at: datetime) -> RecordData:
    """The record of an admitted call whose tool interrupted itself, and may go on."""
    data = outcome_record(decision, at, "", None, ())
    data["kind"], data["outcome"] = "suspension", None
    return data


# What an outcome says of its call that is the same for every call of a tool that comes to the same step of a run.
_OF_EVERY_CALL = (
    "enforced", "policy_revision", "workflow", "workflow_version", "step", "run_id", "subject", "tool", "tool_effect",
    "framework", "parent_run",
)  # fmt: skip


@lru_cache(maxsize=4096)
def _always(
    effect: str,
    policy_revision: str,
    workflow: str | None,
    workflow_version: int | None,
    enforced: bool,
    step: str | None,
    run_id: str | None,
    requester: str | None,
    tool: str,
    tool_effect: str | None,
    framework: str,
    definition: str | None,
    risk: str | None,
    subject: str | None,
    issuer: str | None,
    assurance: str | None,
    parent_run: str | None,
) -> RecordData:
    """What is the same in the records of every call of a tool that comes to the same step of the same run, and of what
    is not, that there is none of it. Not to be changed: its lists stand in many records."""
    return record(
        "decision",
        LONG_AGO,
        effect=effect,
        policy_revision=policy_revision,
        workflow=workflow,
        workflow_version=workflow_version,
        enforced=enforced,
        step=step,
        run_id=run_id,
        requester=requester,
        tool=tool,
        tool_effect=tool_effect,
        framework=framework,
        definition=definition,
        risk=risk,
        subject=subject,
        issuer=issuer,
        assurance=assurance,
        parent_run=parent_run,
    )


@lru_cache(maxsize=4096)
def _always_after(*known: str | int | None) -> RecordData:
    """As ``_always``, for the outcomes of such calls."""
    return record("outcome", LONG_AGO, **dict(zip(_OF_EVERY_CALL, known, strict=True)))


def _tool_effect(decision: Decision, tool: Tool | None) -> str | None:
    """What the tool was taken to do: what it declares, or more."""
    effect = decision.tool_effect if decision.tool_effect is not None or tool is None else tool.effect
    return None if effect is None else str(effect)


class LeftOut(NamedTuple):
    """Arguments as a record may hold them. ``redacted``: the JSON pointers (RFC 6901) of what is in no record, secrets
    and credentials. ``personal``: what lies beside it, by pointer. ``unsaid`` takes both out of other texts,
    ``unsaid_to_people`` only the first."""

    shown: Json
    redacted: list[str]
    personal: dict[str, Json]
    unsaid: Callable[[str], str]
    unsaid_to_people: Callable[[str], str]


def leave_out(
    arguments: Mapping[str, Json],
    secret_paths: Sequence[tuple[str | None, ...]],
    personal_paths: Sequence[tuple[str | None, ...]] = (),
    personal_values: Collection[Json] = (),
) -> LeftOut:
    """A copy without declared secrets, credentials and what is personal: at a declared path, or one of these values."""
    secrets: dict[str, Json] = {}
    personal: dict[str, Json] = {}
    value: Json = dict(arguments)
    for path in secret_paths:
        value = _without(value, path, "", secrets, REDACTED)
    for path in personal_paths:
        value = _without(value, path, "", personal, PERSONAL)
    if personal_values:
        value = _without_values(value, frozenset(personal_values), "", personal)
    pointers = {*secrets, *_credentials(value, "")}
    to_people = _unsaid(list(secrets.values()))
    unsaid = _unsaid([*secrets.values(), *personal.values()]) if personal else to_people
    beside = {at: cleaned(personal[at]) for at in sorted(personal)}
    return LeftOut(cleaned(value), sorted(pointers), beside, unsaid, to_people)


def _without_values(value: Json, known: Collection[Json], pointer: str, found: dict[str, Json]) -> Json:
    """Without the texts and numbers that are one of these."""
    if isinstance(value, dict):
        return {name: _without_values(item, known, _below(pointer, name), found) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_values(item, known, f"{pointer}/{index}", found) for index, item in enumerate(value)]
    if value is None or isinstance(value, bool) or value in (REDACTED, PERSONAL) or value not in known:
        return value
    found[pointer] = value
    return PERSONAL


def _below(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _credentials(value: Json, pointer: str) -> Iterator[str]:
    """Where credentials stand."""
    if isinstance(value, str) and without_credentials(value) != value:
        yield pointer
    elif isinstance(value, dict):
        for key, item in value.items():
            clean = without_credentials(key)
            step = _below(pointer, clean)
            yield from (step,) if clean != key else _credentials(item, step)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _credentials(item, f"{pointer}/{index}")


def _unsaid(secrets: Sequence[Json]) -> Callable[[str], str]:
    """Takes every text and number of these out of a text. A short one only where it is a word of its own."""
    texts: set[str] = set()
    pending: list[Json] = [*secrets]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += [*item.values()]
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str | int | float) and not isinstance(item, bool) and str(item).strip():
            texts |= {str(item), json.dumps(item)[1:-1] if isinstance(item, str) else json.dumps(item)}
    if not texts:
        return without_credentials
    ordered = sorted(texts, key=len, reverse=True)[:_MOST_UNSAID]
    words = re.compile("|".join(_as_found(text) for text in ordered))
    return lambda text: without_credentials(words.sub(REDACTED, text))


def _as_found(text: str) -> str:
    return re.escape(text) if len(text) > _SHORT else rf"(?<!\w){re.escape(text)}(?!\w)"


# Past it a text is one that no sentence quotes; there may be many thousand of them.
_MOST_UNSAID = 200
_SHORT = 3


def _without(value: Json, path: tuple[str | None, ...], pointer: str, found: dict[str, Json], word: str) -> Json:
    if not path:
        if value not in (REDACTED, PERSONAL):
            found[pointer] = value
        return word if value != REDACTED else value
    head, rest = path[0], path[1:]
    if isinstance(value, dict):
        if head is None:
            return _without(value, (), pointer, found, word)  # not the shape that was declared: hide all of it
        if head not in value:
            return value
        return {**value, head: _without(value[head], rest, _below(pointer, head), found, word)}
    if isinstance(value, list):
        if head is not None:
            return _without(value, (), pointer, found, word)
        return [_without(item, rest, f"{pointer}/{index}", found, word) for index, item in enumerate(value)]
    return _without(value, (), pointer, found, word)
