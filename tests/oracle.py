"""A second opinion: the whole decision written again, slowly, from the design and not from the code.

It shares nothing with ``agentguard/core/decide.py`` but the value classes. Where ``decide`` keeps tables of checks and
stops to be quick, this walks through plain sets and asks every question in the order a person would. Times are whole
microseconds since 1970, levels are their place in a written list, and an opinion is three plain things: the effect, the
set of reasons, and the step.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

from agentguard.core.facts import ApprovalState, Facts, MadeBefore, RunState
from agentguard.core.policy import ApprovalRule, Policy, Step, View, Workflow
from agentguard.core.request import Request
from agentguard.core.text.rules import TextRule
from agentguard.core.values import Destination, Identity, Sensitivity, Unavailable

LEVELS = ["public", "internal", "confidential", "restricted", "secret"]
RISKS = ["low", "medium", "high"]
PROOFS = ["local", "bearer", "bearer-single-use", "call-bound"]
SKEW = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Opinion:
    effect: str
    reasons: frozenset[str]
    step: str | None


def opinion(request: Request, policy: Policy, facts: Facts) -> Opinion:
    """What should happen to this call."""
    try:
        return _think(request, policy, facts)
    except Exception:
        return Opinion("deny", frozenset({"internal_error"}), None)


def _think(request: Request, policy: Policy, facts: Facts) -> Opinion:
    _insist_on_kinds(facts)
    if facts.made is not None:
        against = set(_against_a_repetition(request, policy, facts))
        return Opinion("deny", frozenset(against), None) if against else Opinion("permit", against, facts.made.step)
    against_call = set(_against_the_call(request, policy, facts))
    candidates = [step for step in _steps_of(request, policy) if step.tool == request.tool]
    candidates = [step for step in candidates if request.steps is None or step.name in request.steps]
    against_steps = [(step, set(_against_the_step(step, request, policy, facts))) for step in candidates]

    permitted = [step for step, against in against_steps if not against]
    if permitted and not against_call:
        return Opinion("permit", frozenset(), permitted[0].name)
    askable = [(step, against) for step, against in against_steps if all(kind == "ask" for kind, _ in against)]
    if askable and not against_call:
        step, against = askable[0]
        return Opinion("escalate", frozenset(reason for _, reason in against), step.name)
    everything = against_call | {reason for _, against in against_steps for _, reason in against}
    return Opinion("deny", frozenset(everything), None)


def _against_a_repetition(request: Request, policy: Policy, facts: Facts) -> Iterator[str]:
    """Of a call that was made before nothing runs: only whose it is, and whether the run goes on, is asked again."""
    made = facts.made
    assert made is not None
    if made.request_digest != request.digest:
        yield "call_differs"
    yield from _against_the_call(request, policy, facts, runs=False)
    named = [step for step in _steps_of(request, policy) if (step.tool, step.name) == (request.tool, made.step)]
    named = [step for step in named if request.steps is None or step.name in request.steps]
    if made.step != "" and len(named) == 0:
        yield "no_matching_step"
    for step in named:
        yield from _against_the_caller(step, request, policy, facts)


# What takes a run away, or leaves nobody to say whose it is: it refuses an observed call, too.
NEVER_ONLY_OBSERVED = {
    "run_stopped", "run_ended", "run_expired", "run_idle", "run_unavailable", "no_run", "observing_over",
    "subject_suspended", "subject_changed",
    "subject_not_allowed", "credential_revoked", "signals_unavailable", "workflow_overdue", "workflow_unknown",
    "tool_unknown", "identity_unavailable", "identity_expired", "identity_not_yet_valid", "identity_not_bound",
    "identity_outdated", "clock_unavailable", "clock_untrusted", "conflict", "internal_error", "approval_refused",
    "approval_unavailable", "call_differs",
}  # fmt: skip


def runs_though_observed(request: Request, policy: Policy, facts: Facts) -> bool:
    """Whether a call of a run of which everything is observed runs, whatever is decided of it."""
    if "internal_error" in opinion(request, policy, facts).reasons:
        return False  # whether the run was stopped is not known then
    against = set(_against_the_call(request, policy, facts, runs=facts.made is None))
    if facts.made is not None and facts.made.request_digest != request.digest:
        against.add("call_differs")
    return isinstance(facts.identity, Identity) and facts.unread is None and not against & NEVER_ONLY_OBSERVED


def _day(micros: int) -> str:
    return (EPOCH + timedelta(microseconds=micros)).strftime("%Y-%m-%d")


def _insist_on_kinds(facts: Facts) -> None:
    """A fact is of its kind, or Unavailable; the approval may also be absent. What is neither is somebody's bug."""
    kinds: list[tuple[Any, tuple[type, ...]]] = [
        (facts.now, (datetime,)),
        (facts.identity, (Identity,)),
        (facts.run, (RunState,)),
        (facts.destinations, (tuple,)),
        (facts.approval, (ApprovalState, type(None))),
        (facts.credentials_revoked, (tuple,)),
        (facts.streams, (Mapping,)),
        (facts.made, (MadeBefore, type(None))),
    ]
    for fact, allowed in kinds:
        if not isinstance(fact, (*allowed, Unavailable)):
            raise TypeError(type(fact))


def _steps_of(request: Request, policy: Policy) -> tuple[Step, ...]:
    workflow = policy.workflows.get(request.workflow)
    return () if workflow is None else workflow.steps


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _length(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _clock(facts: Facts) -> int | None:
    """The moment of the decision, or None where there is none that can be trusted."""
    now = facts.now
    if isinstance(now, Unavailable) or now.tzinfo is None or now.strftime("%z") != "+0000":
        return None
    return _micros(now)


def _against_the_call(request: Request, policy: Policy, facts: Facts, *, runs: bool = True) -> Iterator[str]:
    """Everything that speaks against the call under any step. ``runs``: it is not one that was made before."""
    found_out: list[object] = [facts.now, facts.identity, facts.run, facts.destinations]
    found_out += [facts.credentials_revoked, facts.streams, *([facts.approval] if runs else [])]
    for fact in found_out:
        if isinstance(fact, Unavailable):
            yield str(fact.reason)  # what could not be found out never permits
    if facts.unread is not None:
        yield str(facts.unread.reason)  # arguments that nobody could read permit nothing, whatever they were

    now = _clock(facts)
    if now is None and not isinstance(facts.now, Unavailable):
        yield "clock_untrusted"

    workflow = policy.workflows.get(request.workflow)
    run = None if isinstance(facts.run, Unavailable) else facts.run
    identity = None if isinstance(facts.identity, Unavailable) else facts.identity
    places = () if isinstance(facts.destinations, Unavailable) else facts.destinations
    tool = policy.tools.get(request.tool)

    if run is not None:
        if (run.id, run.workflow) != (request.run_id, request.workflow):
            yield "run_unavailable"
        elif str(run.status) == "stopped":
            yield "run_stopped"
        elif str(run.status) != "active":
            yield "run_ended"
        elif run.observed is not None and now is not None and _day(now) > run.observed.until.isoformat():
            yield "observing_over"
        if workflow is not None and now is not None and str(run.status) == "active":
            first = run.started_at if run.family is None else run.family.began_at
            last = first if run.last_call_at is None else run.last_call_at
            if workflow.lasts is not None and now > _micros(first) + _length(workflow.lasts):
                yield "run_expired"
            elif workflow.idle is not None and now > _micros(last) + _length(workflow.idle):
                yield "run_idle"
        if identity is not None and run.subject != identity.subject:
            yield "subject_changed"
        if identity is not None and run.subject_suspended:
            yield "subject_suspended"

    outside = isinstance(facts.run, Unavailable) and str(facts.run.reason) == "no_run" and request.workflow == ""
    if workflow is None:
        if not outside:
            yield "workflow_unknown"
    else:
        if run is not None and run.workflow_digest != workflow.digest:
            yield "workflow_changed"
        if now is not None and _day(now) > workflow.review_by.strftime("%Y-%m-%d"):
            yield "workflow_overdue"
        if workflow.draft and (run is None or run.observed is None or run.observed.steps is not None):
            yield "workflow_draft"
        if request.tool not in {step.tool for step in workflow.steps}:
            yield "no_matching_step"
        if identity is not None and identity.subject not in workflow.subjects:
            yield "subject_not_allowed"

    if tool is None:
        yield "tool_unknown"
    elif tool.fingerprint is not None and facts.definition != tool.fingerprint:
        yield "tool_changed"

    if identity is not None and now is not None:
        if identity.bound_to is not None and identity.bound_to != request.digest:
            yield "identity_not_bound"
        if not now < _micros(identity.expires_at) + SKEW:
            yield "identity_expired"
        if not _micros(identity.issued_at) <= now + SKEW:
            yield "identity_not_yet_valid"

    if not isinstance(facts.credentials_revoked, Unavailable) and len(facts.credentials_revoked) > 0:
        yield "credential_revoked"

    if run is not None and run.credential_refused:
        yield "credential_revoked"
    earliest = None if run is None else run.issued_after
    if earliest is not None and identity is not None:
        token = identity.issued_at if identity.token_issued_at is None else identity.token_issued_at
        if not _micros(earliest) <= _micros(token):
            yield "identity_outdated"

    if now is not None and isinstance(facts.streams, Mapping):
        for name, needed in policy.streams.items():
            if any(LEVELS[_level(place)] in {level.word for level in needed.sensitivities} for place in places):
                last = facts.streams.get(name)
                latest_allowed = now + SKEW
                if last is None or not now - _length(needed.max_silence) <= _micros(last) <= latest_allowed:
                    yield "signals_unavailable"

    if run is not None:
        for risk, most in policy.risk_ceilings.items():
            in_force = RISKS.index(run.risk.word) >= RISKS.index(risk.word)
            if in_force and any(_level(place) > LEVELS.index(most.word) for place in places):
                yield "risk_too_high"

    for who in _everybody(facts) if policy.zones and identity is not None else []:
        if not all(_reaches(policy, who, place) for place in places):
            yield "zone_not_reachable"

    if policy.zones and run is not None and runs:
        here = {place.zone for place in places if place.zone is not None}
        for name, zone in policy.zones.items():
            if zone.then is not None and name in run.zones:
                if not all(_within(place, zone.then) for place in places):
                    yield "zone_not_reachable"
            elif zone.then is not None and name in here:
                others = [place for place in places if place.zone != name]
                yield from ["zone_not_reachable" for place in others if not _within(place, zone.then)]
            if name in here and name not in run.contacts and zone.first_contact == "deny":
                yield "zone_first_contact"

    if workflow is not None and tool is not None and run is not None:
        does = _does(str(tool.effect), places, run, workflow.follows)
        if runs and workflow.no_write_down and run.high_water is not None and does != "read":
            mark = LEVELS.index(run.high_water.word)
            if any(place.sensitivity is None or _level(place) < mark for place in places):
                yield "write_down"
        rule = {level.word: rule for level, rule in workflow.risk.items()}.get(run.risk.word)
        if rule is None:
            yield "risk_unavailable"
        elif rule.effects is not None and does not in {str(effect) for effect in rule.effects}:
            yield "risk_too_high"

    if (
        runs
        and isinstance(facts.approval, ApprovalState)
        and len({_letters(a.approver) for a in facts.approval.answers if a.approve is not True})
        >= (facts.approval.deny_quorum or 1)
    ):
        yield "approval_refused"


def _does(declared: str, places: tuple[Destination, ...], run: RunState, follows: bool) -> str:
    """What a tool does: reading from a place that an outsider named sends something there."""
    named = [place for place in places if place.chosen]
    if declared != "read" or not named:
        return declared
    if run.seen.overflowed or (len(run.unsettled) + len(run.erased) > 0 and follows):
        return "send"
    outside = [mark.text for mark in run.seen.marks]
    pieces = set() if run.seen.coarse is None else set(run.seen.coarse.first)
    for place in named:
        host = urlsplit(place.id).hostname or place.id.rpartition("@")[2].partition("/")[0].partition(":")[0]
        names = [place.id, host]
        while place.sensitivity is None and host.count(".") > 1:
            host = host.partition(".")[2]
            names.append(host)
        for words in names:
            if any(_bare(words) in text for text in outside if text and words):
                return "send"
            if any(_may_hold(run, tool, _bare(words)) for tool in pieces if words):
                return "send"
    return "read"


def _bare(text: str) -> str:
    """Plain ASCII letters and digits only, which is all that the cases of the generator need."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _may_hold(run: RunState, tool: str, text: str) -> bool:
    """Whether the set of pieces of six letters that outsiders wrote in a tool's results may hold this: every one."""
    assert run.seen.coarse is not None
    salt = zlib.crc32(tool.encode())
    for at in range(len(text) - 5):
        bit = zlib.crc32(text[at : at + 6].encode(), salt) % (1 << 21)
        if run.seen.coarse.bits[bit // 8] & (1 << (bit % 8)) == 0:
            return False
    return True


def _standing_at(text: str, value: Any) -> list[Any]:
    """What stands at the rest of a simple path: names after dots, and `[*]`."""
    if not text:
        return [value]
    if text.startswith("[*]"):
        return [found for each in (value if isinstance(value, list) else []) for found in _standing_at(text[3:], each)]
    name, rest = text[1:], ""
    for sign in ".[":
        if sign in name:
            name, rest = name[: name.index(sign)], name[name.index(sign) :] + rest
    return _standing_at(rest, value[name]) if isinstance(value, dict) and name in value else []


def _leaves(value: Any) -> list[Any]:
    """Every value in a value that holds no others."""
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    return [leaf for each in value for leaf in _leaves(each)] if isinstance(value, list) else [value]


def _same(one: Any, other: Any) -> bool:
    """Equal, and both text or both numbers; a number may be whole or have decimals."""
    return isinstance(one, str) is isinstance(other, str) and not isinstance(other, bool) and bool(one == other)


def _stood_there(source: str, forms: list[Any], keys: list[bytes], workflow: Workflow, run: RunState) -> bool:
    """Whether a named place held this value when its tool returned it, and, of what the run holds, does so now."""
    path = workflow.places[source]
    marked = any(key in mark.values for mark in run.seen.marks if mark.source == source for key in keys)
    held = {"inputs": run.inputs, "kept": run.kept}.get(path.root)
    if held is None:
        return marked
    now = _standing_at(path.text.removeprefix(path.root), dict(held))
    there = any(_same(form, each) for form in forms for each in now)
    return there and (marked or path.root == "inputs")


def _standing(place: tuple[Any, ...], value: Any, spelt: Any) -> list[tuple[Any, Any]]:
    """What stands at a place in the arguments, each with its spelling. Of what was given in another structure nothing
    is known, so it is from nowhere."""
    if len(place) == 0:
        return [(value, spelt)]
    inside: list[tuple[Any, Any]] = []
    if isinstance(place[0], str):
        if isinstance(value, dict) and place[0] in value:
            inside = [(value[place[0]], spelt[place[0]] if isinstance(spelt, dict) else None)]
    elif isinstance(value, list):
        same = isinstance(spelt, list) and len(spelt) == len(value)
        inside = [(one, spelt[n] if same else None) for n, one in enumerate(value)]
    return [(True, True) if b is None else (a, b) for one, other in inside for a, b in _standing(place[1:], one, other)]


def _comes_from(
    value: Any, spelt: Any, words: frozenset[str], places: tuple[Destination, ...], run: RunState, workflow: Workflow
) -> bool:
    """Whether every text and number in a value comes from a named source, and no outsider had it first.

    ``spelt`` is the same value as it was given; a source or an outsider may have had either.
    """
    if len(run.unsettled) > 0 or len(run.erased) > 0:
        return False
    if isinstance(value, dict | list):
        names = list(value) if isinstance(value, dict) else range(len(value))
        if len(names) > 0 and (not isinstance(spelt, dict | list) or len(spelt) != len(names)):
            return False  # given in another structure
        if len(names) > 0:
            return all(_comes_from(value[n], spelt[n], words, places, run, workflow) for n in names)
        return isinstance(spelt, dict | list)  # nothing in it is from elsewhere
    listed = "catalog" in words and bool(places) and all(place.sensitivity is not None for place in places)
    if value is None or isinstance(value, bool):
        return listed and not run.seen.overflowed
    forms = [value, spelt]
    plain = [int(form) if isinstance(form, float) and form == int(form) else form for form in forms]
    keys = [hashlib.sha256(json.dumps(form).encode()).digest() for form in plain]
    if any(_stood_there(word, forms, keys, workflow, run) for word in words if word in workflow.places):
        return True
    sources: dict[str, int | None] = {}
    for name, given in run.inputs.items():
        if any(_same(form, leaf) for form in forms for leaf in _leaves(given)):
            sources |= {"inputs": 0, f"inputs.{name}": 0}
    if run.seen.overflowed:
        return "inputs" in sources and (listed or bool(words & sources.keys()))
    for mark in run.seen.marks:
        if any(key in mark.values for key in keys) and not mark.source.startswith(("kept.", "@")):
            sources[mark.source] = min(mark.order, sources.get(mark.source) or mark.order)
    for name, kept in run.kept.items():
        if any(_same(form, leaf) for form in forms for leaf in _leaves(kept)):
            mine = [m for m in run.seen.marks if m.source == f"kept.{name}"]
            sources[f"kept.{name}"] = min((m.order for m in mine if any(k in m.values for k in keys)), default=None)
    texts = [_bare(str(form)) for form in forms]
    outside = [mark.order for mark in run.seen.marks if mark.text and any(text in mark.text for text in texts)]
    for tool, order in () if run.seen.coarse is None else run.seen.coarse.first.items():
        outside += [order for text in texts if _may_hold(run, tool, text)]
    known = [order for order in sources.values() if order is not None]
    if outside and (not known or min(outside) <= min(known)):
        return False
    return listed or bool(words & sources.keys())


def _without_spelling(text: str) -> str:
    seen = (c for c in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(c)[0] not in "CZ")
    blank = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800"
    return unicodedata.normalize("NFKC", re.sub(f"[{blank}\ufe00-\ufe0f\U000e0100-\U000e01ef]", "", "".join(seen)))


def _by_value(step: Step, request: Request, run: RunState) -> Iterator[tuple[str, str]]:
    """Calls of a step that is counted by one plain argument."""
    name = str(step.per).removeprefix("args.")
    value = request.arguments.get(name, [])
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= 100:
        yield "no", "arguments_invalid"
        return
    for each in values:
        plain = _without_spelling(each) if isinstance(each, str) else each
        plain = f"{plain:g}" if type(plain) in (int, float) else plain
        written = json.dumps([step.name, plain], separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(f"{run.salt}.{written}".encode()).hexdigest()[:32]
        found = [tally for key, tally in run.tallies.items() if key == f"{step.name} {digest}"]
        others = [key for key in run.tallies if key.split(" ")[0] == step.name and " " in key]
        if not found and len(others) >= 1000:
            yield "no", "step_used_up"
        counted = sum(tally.taken - (tally.back if step.counts_successes else 0) for tally in found)
        if step.at_most is not None and not counted + 1 <= step.at_most:
            yield "no", "step_used_up"


def _held(source: Any, run: RunState) -> Any:
    """What a plain source holds: the one listed place, or a member of the inputs or of what was kept; None: nothing."""
    if hasattr(source, "value"):
        return source.value
    root, _, name = source.text.partition(".")
    return {"inputs": run.inputs, "kept": run.kept}[root].get(name)


def _fits_what_the_run_holds(rule: Any, request: Request, run: RunState, spellings: Mapping[str, str]) -> bool:
    """Whether all that stands at a plain place in the arguments, null apart, is what inputs or kept values say."""
    place = "".join(f".{part}" if isinstance(part, str) else "[*]" for part in rule.place)
    found = [value for value in _standing_at(place, dict(request.arguments)) if value is not None]
    roots = {"inputs": dict(run.inputs), "kept": dict(run.kept)}
    if rule.listed is not None and found:
        held = (
            _standing_at(str(rule.listed), roots) if "[" in str(rule.listed) else _standing_at(f".{rule.listed}", roots)
        )
        if len(held) != 1:
            return False
        choices = [_plainly(each, spellings) for each in (held[0] if isinstance(held[0], list) else held)]
        return all(_plainly(value, spellings) in choices for value in found)
    written = ""
    for part in rule.pattern if found else ():
        held = [part] if isinstance(part, str) else _standing_at(f".{part}", roots)
        if len(held) != 1 or not (type(held[0]) is int or (isinstance(held[0], str) and len(held[0]) <= 1000)):
            return False
        written += part if isinstance(part, str) else f"(?:{re.escape(str(held[0]))})"
    return all(isinstance(value, str) and re.fullmatch(written, value) is not None for value in found)


def _plainly(value: Any, spellings: Mapping[str, str]) -> str:
    """A value as text, so that two are one text if they are the same JSON."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{json.dumps(name)}:{_plainly(value[name], spellings)}" for name in value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_plainly(each, spellings) for each in value) + "]"
    if isinstance(value, str):
        return json.dumps(spellings.get(value, value))
    return json.dumps(int(value) if isinstance(value, float) and value == int(value) else value)


def _alike(one: Any, other: Any, spellings: Mapping[str, str]) -> bool:
    """The same JSON, each destination in one spelling; a whole number may be written with decimals."""
    if isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and spellings.get(one, one) == spellings.get(other, other)
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


# The words that the cases of the generator use, and anybody may.
COMMON = {"orders", "see", "write", "the", "code", "and", "file", "others"}


def _against_the_text(
    rule: TextRule, request: Request, run: RunState, facts: Facts, workflow: Workflow
) -> Iterator[str]:
    """What speaks against a text. Plain ASCII, which is all that the cases of the generator need."""
    leaves = _leaves(request.arguments[rule.argument])
    text = "\n".join(str(leaf) for leaf in leaves if leaf is not None and not isinstance(leaf, bool))
    links = re.findall(r"https://[a-z.]+(?:/[a-z]+)*", text)
    addresses = re.findall(r"[a-z]+@[a-z.]+", text)
    if rule.links is not None:
        clickable = links if rule.addresses is not None else links + addresses
        if not all(_may_stand(link, rule.links, run, workflow) for link in clickable):
            yield "link_not_allowed"
    if rule.addresses is not None and not all(
        _may_stand(address, rule.addresses, run, workflow) for address in addresses
    ):
        yield "address_not_allowed"
    if rule.nothing_of:
        rest = text
        for link in links + addresses:
            rest = rest.replace(link, " ")
        words = [f"w:{word}" for word in re.findall(r"[a-z]+", text) if len(word) > 2 and word not in COMMON]
        words += [f"n:{number}" for number in re.findall(r"[0-9]+", rest) if len(number) in (4, 5)]
        words += [f"a:{address}" for address in addresses] + [f"u:{link[8:]}" for link in links]
        given = str(run.inputs)
        year = 0 if _clock(facts) is None else facts.now.year  # of a clock that cannot be trusted nothing is believed
        for word in words:
            known = word[2:] in re.split(r"[^a-z0-9@./:]", given) or word in {f"n:{year + n}" for n in (-1, 0, 1)}
            if not known and _is_out_of(word, rule.nothing_of, run):
                yield "text_carries"


def _may_stand(link: str, words: frozenset[str], run: RunState, workflow: Workflow) -> bool:
    """Whether a link or address is an input's, below its host, below a kept host that no outsider had first, or a
    tool's own."""
    for word in words:
        kept = run.kept.get(word.removeprefix("kept."))
        if word.startswith("kept."):
            clean = isinstance(kept, str) and _comes_from(kept, kept, frozenset({word}), (), run, workflow)
            if isinstance(kept, str) and (link == kept or (clean and link.startswith(f"{kept}/"))):
                return True
            continue
        given = run.inputs.get(word.removeprefix("inputs."))
        if word.startswith("inputs.") and isinstance(given, str):
            if link == given or (given.count("/") == 2 and link.startswith(f"{given}/")):
                return True
        else:
            key = f"a:{link}" if "@" in link else f"u:{link.removeprefix('https://')}"
            if any(_is_told(call, key, run) for call in run.seen.told.calls if call.tool == word):
                return True
    return False


def _is_told(call: Any, key: str, run: RunState) -> bool:
    """Whether a call's result holds something that nothing given to any tool until then can be the reason of."""
    told = run.seen.told
    before = [other for other in told.calls if other.call <= call.ended]
    if any(_key(key) in other.given for other in before):
        return False
    started = min(call.ended, sum(run.counts.values()))
    return call.own and _key(key) in call.returned and not set(range(1, started + 1)) - told.ended


def _is_out_of(key: str, listed: frozenset[str], run: RunState) -> bool:
    told = run.seen.told
    first = [call.call for call in told.calls if call.tool in listed and _key(key) in call.returned]
    if told.lost & listed or (run.seen.overflowed and run.seen.telling is None):
        first.append(0)
    if not first:
        return False
    for call in told.calls:
        until = sum(len(other.given) for other in told.calls if other.call <= call.call)
        if _key(key) in call.given and call.call <= min(first) and until <= 200:
            return False
    for call in told.calls:
        has_it = call.tool not in listed and call.own and _key(key) in call.returned
        if has_it and _is_told(call, key, run):
            return False
    return True


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _level(place: Destination) -> int:
    """How sensitive; a destination nobody classified counts as the worst."""
    return len(LEVELS) - 1 if place.sensitivity is None else LEVELS.index(place.sensitivity.word)


def _everybody(facts: Facts) -> list[str]:
    """Who has a part in the call: whoever calls, and the subjects of the runs that delegated the caller's."""
    caller = [] if isinstance(facts.identity, Unavailable) else [facts.identity.subject]
    family = None if isinstance(facts.run, Unavailable) else facts.run.family
    return caller + ([] if family is None else list(family.above))


def _reaches(policy: Policy, subject: str, place: Destination) -> bool:
    if place.zone is None and place.sensitivity is None:
        return True  # unlisted altogether: the step says whether that is allowed
    homes = [zone for zone in policy.zones.values() if subject in zone.subjects]
    if len(homes) != 1 or place.zone is None or place.sensitivity is None:
        return False
    if place.zone not in homes[0].reaches:
        return False
    return _level(place) <= LEVELS.index(homes[0].reaches[place.zone].word)


def _within(place: Destination, allowed: Mapping[str, Sensitivity]) -> bool:
    """Whether a place is in one of these zones, and no more sensitive than it says there."""
    if place.zone is None or place.zone not in allowed or place.sensitivity is None:
        return False
    return _level(place) <= LEVELS.index(allowed[place.zone].word)


def _against_the_caller(step: Step, request: Request, policy: Policy, facts: Facts) -> Iterator[str]:
    """How old and how strong the proof of who calls must be."""
    identity, now, workflow = facts.identity, _clock(facts), policy.workflows.get(request.workflow)
    places = () if isinstance(facts.destinations, Unavailable) else facts.destinations
    if isinstance(identity, Identity) and workflow is not None:
        worst = max((_level(place) for place in places), default=-1)
        if now is not None:
            spans = [step.max_age, workflow.max_age]
            spans += [span for at, span in policy.max_age_by_sensitivity.items() if LEVELS.index(at.word) <= worst]
            if any(now - _micros(identity.issued_at) > _length(span) for span in spans if span is not None):
                yield "identity_stale"
        demands = [] if step.minimum_assurance is None else [step.minimum_assurance]
        demands += [proof for at, proof in policy.assurance_by_sensitivity.items() if LEVELS.index(at.word) <= worst]
        if any(PROOFS.index(identity.assurance.word) < PROOFS.index(demand.word) for demand in demands):
            yield "assurance_too_low"
        if step.bound_to_call and identity.bound_to != request.digest:
            yield "identity_not_bound"


def _against_the_step(step: Step, request: Request, policy: Policy, facts: Facts) -> Iterator[tuple[str, str]]:
    """Everything that speaks against this step: ``no`` for good, ``ask`` until a person has agreed."""
    workflow = policy.workflows[request.workflow]
    run = None if isinstance(facts.run, Unavailable) else facts.run
    places = () if isinstance(facts.destinations, Unavailable) else facts.destinations
    # The conditions here say what they were told, or look at who is meant.
    views = [View({"args": request.arguments, "subject": who}) for who in _everybody(facts)]
    if isinstance(facts.identity, Unavailable):
        views.append(View({"args": request.arguments}))

    given = None if run is None or run.family is None else run.family.steps
    if given is not None and step.name not in given:
        yield "no", "step_not_delegated"
    if run is not None:
        if set(step.after) - run.succeeded:
            yield "no", "step_out_of_order"
        if step.after_any and not set(step.after_any) & run.succeeded:
            yield "no", "step_out_of_order"
        if any(run.counts.get(other, 0) >= 1 for other in step.not_after):
            yield "no", "step_excluded"
        if step.per is None:
            returned = [t.back for key, t in run.tallies.items() if key == step.name and step.counts_successes]
            if step.at_most is not None and not run.counts.get(step.name, 0) - sum(returned) + 1 <= step.at_most:
                yield "no", "step_used_up"
        elif facts.unread is None:
            yield from _by_value(step, request, run)
        read = -1 if run.high_water is None else LEVELS.index(run.high_water.word)
        if step.not_above is not None and LEVELS.index(step.not_above.word) < read:
            yield "no", "write_down"

    known = facts.unread is None  # else nothing is said of the arguments, nor of what follows from them
    if known and step.arguments.refusal(request.arguments) is not None:
        yield "no", "arguments_invalid"
    for rule in step.refers if known and run is not None else ():
        if not _fits_what_the_run_holds(rule, request, run, facts.spellings):
            yield "no", "arguments_invalid"

    for name, source in step.fills.items() if known and run is not None else ():
        held = _held(source, run)
        if held is None:
            yield "no", "fill_unavailable"
        elif name not in request.arguments or not _alike(request.arguments[name], held, facts.spellings):
            yield "no", "argument_is_filled"

    rests = step.rests_on_run or any(place[0] in request.arguments for place in step.sources)
    if rests and run is not None and len(run.unsettled) > 0:
        yield "no", "run_lost_track"
    if (run is not None and "kept" in run.erased and rests) or (
        run is not None and "inputs" in run.erased and any(place[0] in request.arguments for place in step.sources)
    ):
        yield "no", "run_lost_track"

    if run is not None and known:
        for place, words in step.sources.items():
            spelt = request.arguments if facts.as_called is None else facts.as_called
            for one, other in _standing(place, request.arguments, spelt):
                if not _comes_from(one, other, words, places, run, workflow):
                    yield "no", "provenance_unmet"

    if run is not None and known:
        for rule in step.texts:
            if rule.argument in request.arguments:
                yield from (("no", reason) for reason in _against_the_text(rule, request, run, facts, workflow))

    for said in [condition.holds(view) for condition in step.require for view in views] if known else ():
        if not isinstance(said, bool):
            yield "no", "condition_failed"
        elif not said:
            yield "no", "condition_false"

    yield from (("no", reason) for reason in _against_the_caller(step, request, policy, facts))

    for place in places if known else ():
        if place.sensitivity is None:
            if not step.allow_unclassified:
                yield "no", "destination_unclassified"
        elif step.up_to is None:
            yield "no", "destination_not_allowed"
        elif _level(place) > _ceiling(step, workflow, run):
            yield "no", "destination_too_sensitive"

    if run is not None and known:
        for budget in workflow.budgets:
            if step.name in budget.steps:
                costs = [1_000_000 if budget.amount is None else budget.amount.of(view) for view in views]
                if any(isinstance(cost, bool) or not isinstance(cost, int) or cost < 0 for cost in costs):
                    yield "no", "budget_unavailable"
                elif budget.at_most - run.spent.get(budget.name, 0) < max(costs):
                    yield "no", "budget_exceeded"

    if step.approval is not None and known:
        needed = [True if step.approval.when is None else step.approval.when.holds(view) for view in views]
        if not all(isinstance(each, bool) for each in needed):
            yield "no", "condition_failed"
        if any(each is True for each in needed):
            missing = _missing_people(step, step.approval, request, policy, facts)
            if missing is not None:
                yield ("no", "approval_impossible") if _in_vain(step.approval, policy, run, facts) else ("ask", missing)
    if run is not None and known:
        for name in {place.zone for place in places} - set(run.contacts):
            rule = policy.zones[name].first_contact if name in policy.zones else None
            if isinstance(rule, ApprovalRule) and _missing_people(step, rule, request, policy, facts) is not None:
                yield (
                    ("no", "approval_impossible")
                    if _in_vain(rule, policy, run, facts)
                    else ("ask", "zone_first_contact")
                )


def _ceiling(step: Step, workflow: Workflow, run: RunState | None) -> int:
    assert step.up_to is not None
    rule = None if run is None else workflow.risk.get(run.risk)
    return -1 if rule is None else LEVELS.index(step.up_to.word) - rule.lower_ceiling_by


def _missing_people(step: Step, rule: ApprovalRule, request: Request, policy: Policy, facts: Facts) -> str | None:
    """What the answers given so far lack for this rule; None where they are enough."""
    asked, now = facts.approval, _clock(facts)
    if not isinstance(asked, ApprovalState) or now is None:
        return "approval_required"
    run = facts.run if isinstance(facts.run, RunState) else None
    rests = policy.revision if asked.basis == "" else _basis(step, request, policy, facts)
    meant = (request.digest, rests, step.name, False) + (() if run is None else (run.id, run.subject, run.requester))
    on = asked.policy_revision if asked.basis == "" else asked.basis
    who = (asked.run_id, asked.subject, asked.requester)
    if run is None or (asked.request_digest, on, asked.step, bool(asked.consumed), *who) != meant:
        return "approval_mismatch"
    if asked.basis != "" and asked.expires_at - asked.requested_at > rule.within:
        return "approval_mismatch"
    opened, closed = _micros(asked.requested_at), _micros(asked.expires_at)
    yes = sorted(
        (_micros(a.at), a.approver) for a in asked.answers if a.approve is True and opened <= _micros(a.at) < closed
    )
    for many in range(1, len(yes) + 1):
        if _fills([who for _, who in yes[:many]], rule, policy, run, asked.editors):
            closed = (
                closed if rule.use_within is None else yes[many - 1][0] + rule.use_within // timedelta(microseconds=1)
            )
            return "approval_expired" if now >= closed else None
    return "approval_expired" if now >= closed else "approval_pending"


def _fills(answered: list[str], rule: ApprovalRule, policy: Policy, run: RunState, editors: tuple[str, ...]) -> bool:
    """Hall: people can be shared out among the needs where no set of needs asks for more than can serve any of them."""
    needs = [(rule.approvers, rule.quorum), *((need.approvers, need.quorum) for need in rule.also)]
    for many in range(1, len(needs) + 1):
        for chosen in combinations(needs, many):
            able = {_letters(a) for a in answered if any(_counts(a, who, policy, run, editors) for who, _ in chosen)}
            if len(able) < sum(max(quorum, 1) for _, quorum in chosen):
                return False
    return True


def _in_vain(rule: ApprovalRule, policy: Policy, run: RunState | None, facts: Facts) -> bool:
    """Whether so many as must agree could never come together, whoever answers."""
    if run is None:
        return False
    everybody = {f"user:{_letters(run.requester)}"} if run.requester is not None else set()
    for approvers in (rule.approvers, *(need.approvers for need in rule.also)):
        for who in approvers:
            everybody |= policy.groups.get(who[6:], frozenset()) if who[:6] == "group:" else {who}
    crowd = [f"user:somebody-{number}" for number in range(200)]
    editors = facts.approval.editors if isinstance(facts.approval, ApprovalState) else ()
    return not _fills([*everybody - {"anyone", "requester"}, *crowd], rule, policy, run, editors)


def _basis(step: Step, request: Request, policy: Policy, facts: Facts) -> str:
    """What an approval rests on, written down as JSON (RFC 8785 is, for such values, sorted and without spaces)."""
    run, workflow, tool = facts.run, policy.workflows.get(request.workflow), policy.tools.get(request.tool)
    places = facts.destinations if isinstance(facts.destinations, tuple) else ()
    salt, subject = (run.salt, run.subject) if isinstance(run, RunState) else ("", None)
    starts = [name for name, zone in policy.zones.items() if subject in zone.subjects]
    start = starts[0] if len(starts) == 1 else None
    levels = {place.sensitivity for place in places} - {None}

    def micros(span: timedelta | None) -> int | None:
        return None if span is None else span // timedelta(microseconds=1)

    def asks(rule: ApprovalRule | None) -> object:
        if rule is None:
            return None
        needs = []
        for who, quorum in [(rule.approvers, rule.quorum), *((need.approvers, need.quorum) for need in rule.also)]:
            named = {each for each in who if each.startswith("user:")}
            for group in who:
                named |= policy.groups.get(group[6:], frozenset()) if group.startswith("group:") else set()
            needs.append([sorted(who), quorum, None if "anyone" in who else sorted(named)])
        return [needs, micros(rule.within), micros(rule.use_within), rule.deny_quorum]

    def zone(name: str) -> object:
        if name not in policy.zones:
            return None
        known = policy.zones[name]
        first = asks(known.first_contact) if isinstance(known.first_contact, ApprovalRule) else known.first_contact
        then = None if known.then is None else {each: level.word for each, level in known.then.items()}
        return [{each: level.word for each, level in known.reaches.items()}, then, first]

    reached = [
        [p.kind, p.id, None if p.sensitivity is None else p.sensitivity.word, p.zone, p.owner, p.category, p.chosen]
        for p in places
    ]
    rests_on = {
        "v": 1,
        "workflow": None if workflow is None else [workflow.name, workflow.digest],
        "step": step.name,
        "tool": None if tool is None else [tool.name, str(tool.effect), tool.fingerprint, tool.failure_did_nothing],
        "asks": asks(step.approval),
        "places": "sha256:" + hashlib.sha256(f"{salt}.{_compact(reached)}".encode()).hexdigest(),
        "subject_zone": start,
        "zones": {name: zone(name) for name in {p.zone for p in places} | {start} if name is not None},
        "ages": {level.word: micros(age) for level, age in policy.max_age_by_sensitivity.items() if level in levels},
        "assurance": {level.word: a.word for level, a in policy.assurance_by_sensitivity.items() if level in levels},
        "streams": {
            name: micros(rule.max_silence) for name, rule in policy.streams.items() if levels & set(rule.sensitivities)
        },
        "ceilings": {risk.word: level.word for risk, level in policy.risk_ceilings.items()},
    }
    return "sha256:" + hashlib.sha256(_compact(rests_on).encode()).hexdigest()


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _letters(name: str) -> str:
    """What is left of a person's name when nobody looks closely."""
    name = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold()).casefold()
    kept = "".join(c for c in name if unicodedata.category(c)[0] not in "ZC")
    bare = re.sub(r"\A(user:)+", "", unicodedata.normalize("NFKC", kept))
    return bare.rstrip(".") if "@" in bare else bare


def _counts(approver: str, approvers: tuple[str, ...], policy: Policy, run: RunState, editors: tuple[str, ...]) -> bool:
    above = () if run.family is None else run.family.above
    scheme, colon, name = approver.partition(":")
    if scheme != "user" or not colon:
        return False
    if "requester" in approvers:
        return len(approvers) == 1 and run.requester is not None and _letters(name) == _letters(run.requester)
    others = (run.subject, run.requester, *above, *editors)
    if _letters(name) in [_letters(other) for other in others if other is not None]:
        return False
    welcome = {who for who in approvers if not who.startswith("group:")}
    for who in approvers:
        if who.startswith("group:"):
            welcome |= policy.groups.get(who[6:], frozenset())
    return approver in welcome or "anyone" in approvers
