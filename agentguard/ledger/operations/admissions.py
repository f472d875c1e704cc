"""The admission of one call: everything that must not have changed is compared, and everything it takes is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from agentguard.core.canonical import MAX_INTEGER, commitment
from agentguard.core.facts import RunStatus
from agentguard.core.policy import Counted
from agentguard.core.tallies import NEVER
from agentguard.core.values import Effect, Json, Risk
from agentguard.errors import LedgerError
from agentguard.jose.nonce import nonce
from agentguard.ledger import cells, looking
from agentguard.ledger.cells import (
    ApprovalCell,
    RunCell,
    name,
)
from agentguard.ledger.entry import PERSONAL, SALTS, Change, encode, key_digest, known_text, micros
from agentguard.ledger.operations import made
from agentguard.ledger.values import (
    REPEATED,
    Admission,
    Admitted,
    Charge,
    FirstUse,
    Refusal,
    Refused,
    Watch,
)
from agentguard.ledger.world import Windows, World

# A sum past what 64 bits hold is refused, never wrapped.
MAX_AMOUNT = 2**63 - 1
_MICROSECOND = timedelta(microseconds=1)


class ReadyAdmission(NamedTuple):
    """An admission, checked."""

    asked: Admission
    at: int
    assertion: str | None
    until: int | None
    windows: Windows


def check_admission(asked: Admission, windows: Windows) -> ReadyAdmission:
    """Raises LedgerError for what is no admission."""
    if type(asked.permit) is not bool:
        raise LedgerError(f"an admission's `permit` is {type(asked.permit).__name__}; expected true or false")
    known_text(asked.decision_id, "a decision id")
    if asked.permit and (asked.run_id is None or (asked.step is None and asked.observed is None)):
        raise LedgerError("a permit names no run or no step; only a call inside a run can be admitted")
    if asked.made is not None:
        known_text(asked.made.key, "the name of a call")
        if asked.permit and asked.made.sees is not None:
            raise LedgerError("a call that is made again is no permit: it takes nothing")
    if asked.observed is not None and (not asked.permit or asked.approval_id is not None):
        raise LedgerError("what is observed runs, and uses no approval up")
    for charge in asked.charges:
        _check_charge(charge)
    for zone in asked.zones:
        known_text(zone, "a zone")
    for key in asked.tallies:
        known_text(key, "a tally's key")
    for first in asked.first_uses:
        _check_first_use(first)
    for watch in asked.watches:
        _check_watch(watch)
    used, until = asked.assertion_key, asked.assertion_until
    return ReadyAdmission(
        asked,
        micros(asked.at),
        None if used is None else key_digest(used),
        None if until is None else min(micros(until), MAX_INTEGER),
        windows,
    )


def admit(world: World, ready: ReadyAdmission) -> Admitted | Refused:
    """One decision made durable, or the reason why not with nothing written.

    The order in which it is refused: the run moved on, the assertion was used, the step is used up, a budget does not
    hold the amount, the approval is gone.
    """
    asked = ready.asked
    run = None if asked.run_id is None else world.run(asked.run_id)
    again = asked.made is not None and asked.made.sees is not None
    if (asked.permit or again) and not _as_decided(world, run, asked):
        return _refused(world, ready, Refusal.RUN_MOVED, run)
    if (asked.permit or again) and not made.is_as_seen(world, asked):
        return _refused(world, ready, Refusal.CALL_MADE, run)
    if asked.permit and world.get((cells.CALL, asked.decision_id)) is not None:
        raise LedgerError(f"decision `{asked.decision_id}` was admitted before; each call needs its own decision id")
    if ready.assertion is not None and world.get((cells.USED, ready.assertion)) is not None:
        return _refused(world, ready, Refusal.ASSERTION_USED, run)
    whole = None if run is None or asked.run_id is None else looking.whole(world, asked.run_id, run)
    if asked.permit and whole is not None:
        refusal = _step_or_budget(world, ready, whole)
        if refusal is None and asked.approval_id is not None:
            refusal = _approval_gone(world, ready, asked.approval_id)
        if refusal is not None:
            return _refused(world, ready, refusal, run)
    world.below.note(ready.at)
    due = _due(world, ready, whole) if asked.watches or asked.first_uses else ()
    private: dict[str, Json] = {SALTS: {**asked.salts}} if asked.salts else {}
    if asked.personal:
        private[PERSONAL] = dict(asked.personal)
    number = world.add(encode(asked.record, _taken(world, ready, whole, private), private))
    for _, entry in due:
        world.add(entry)
    after = (
        None
        if run is None or asked.run_id is None
        else world.later(asked.run_id, world.must_run(asked.run_id), ready.at, ready.windows)
    )
    return Admitted(number, after, tuple([rule.record for rule, _ in due]) if due else ())


def _as_decided(world: World, run: RunCell | None, asked: Admission) -> bool:
    return (
        run is not None
        and asked.run_id is not None
        and run.workflow == asked.workflow
        and world.is_as_decided(asked.run_id, run, asked.run_version)
        and (asked.observed is None or world.must_run(looking.root_of(asked.run_id, run)).observed is not None)
    )


def _step_or_budget(world: World, ready: ReadyAdmission, run: RunCell) -> Refusal | None:
    asked = ready.asked
    if asked.observed not in (None, Effect.PERMIT):
        return None
    if asked.step_at_most is not None and max(_used(asked, run), default=0) >= asked.step_at_most:
        return Refusal.STEP_USED_UP
    if not asked.charges:
        return None
    taken: dict[str, int] = {}
    for charge in asked.charges:
        total = taken.get(charge.budget, 0) + charge.amount
        taken[charge.budget] = total
        after = world.spent(run, charge.budget, charge.per, ready.at) + total
        if after > charge.at_most or after > MAX_AMOUNT:
            return Refusal.BUDGET_EXCEEDED
    return None


def _used(asked: Admission, run: RunCell) -> list[int]:
    """The calls that count already: of the step, or for each value that this call is counted by."""
    step = asked.step or ""
    if not asked.tallies:
        return [run.counts.get(step, 0)]
    found = [(key, run.tallies.get(key, NEVER)) for key in asked.tallies]
    back = {key: tally.back if asked.counts_successes else 0 for key, tally in found}
    return [(run.counts.get(step, 0) if key == step else tally.taken) - back[key] for key, tally in found]


def _approval_gone(world: World, ready: ReadyAdmission, approval_id: str) -> Refusal | None:
    """An approval that was named but cannot be used: missing, consumed, expired, or another run's."""
    asked = ready.asked
    found = world.get((cells.APPROVAL, approval_id))
    usable = (
        isinstance(found, ApprovalCell)
        and not found.consumed
        and found.lapsed is None
        and found.run_id == asked.run_id
        and ready.at < found.expires_at
    )
    return None if usable else Refusal.APPROVAL_USED


def _taken(world: World, ready: ReadyAdmission, run: RunCell | None, private: dict[str, Json]) -> list[Change]:
    """What an admission changes. What of that may not stand in public is added to ``private``."""
    asked = ready.asked
    changes: list[Change] = []
    if ready.assertion is not None:
        changes.append(("use", ready.assertion, ready.until))
    root = "" if run is None else looking.root_of(asked.run_id or "", run)
    if asked.permit and run is not None:
        per_run: dict[str, int] = {}
        windowed: dict[str, int] = {}
        for charge in asked.charges:
            into = per_run if charge.per is None else windowed
            into[charge.budget] = into.get(charge.budget, 0) + charge.amount
        observed = () if asked.observed is None else (asked.observed,)
        apart = () if asked.observed is None else (True,)
        if asked.observed is not None:
            _fit(world, run, asked, ready.at, per_run, windowed)
        read = None if asked.read_sensitivity is None else int(asked.read_sensitivity)
        about = (asked.decision_id, asked.run_id, asked.step or "", world.below.owner)
        keeps, zones = sorted(asked.keeps), sorted(asked.zones)
        changes.append(("call", *about, keeps, _texts(per_run) if per_run else {}, read, zones, *observed))
        if asked.made is not None:
            changes += made.changes_of(world, asked)
        if run.bounds is not None and run.bounds.idle is not None:
            changes.append(("used", root, ready.at))
        for budget, amount in windowed.items():
            changes.append(("spend", asked.decision_id, run.workflow, budget, ready.at, str(amount), *apart))
        returned = {charge.budget for charge in asked.charges if charge.returns} if asked.charges else ()
        if asked.tallies or returned:
            spent = _texts({budget: amount for budget, amount in per_run.items() if budget in returned})
            windows = [[budget, ready.at, str(amount)] for budget, amount in windowed.items() if budget in returned]
            changes.append(
                (
                    "tally",
                    asked.decision_id,
                    root,
                    sorted(asked.tallies),
                    asked.failure_did_nothing,
                    spent,
                    windows,
                    *apart,
                )
            )
        if asked.approval_id is not None:
            changes.append(("consume", asked.approval_id, asked.decision_id))
    elif asked.made is not None and run is not None:
        changes += made.changes_of(world, asked)
    if run is None or not (asked.watches or asked.first_uses):
        return changes
    for *_, subject in _subjects(run, asked) if asked.permit else ():
        reaches: dict[str, set[str]] = {}
        salt = looking.contacts_of(world, subject).salt
        for first in asked.first_uses:
            if first.kind != "zone" and not salt:
                salt = str(private.setdefault("reached_salt", nonce()))
            reaches.setdefault(first.kind, set()).update(_marks(first, salt))
        changes += [("reach", subject, kind, sorted(values)) for kind, values in sorted(reaches.items())]
    longest: dict[str, timedelta] = {}
    calls: dict[str, str | None] = {}
    for watch in _news(run, asked.watches, ready.at):
        longest[watch.counts] = max(watch.within, longest.get(watch.counts, watch.within))
        calls[watch.counts] = watch.call
    for what, within in longest.items():
        since = ready.at - within // _MICROSECOND
        changes.append(("count", root, str(what), ready.at, since, calls[what]))
    return changes


def _fit(
    world: World, run: RunCell, asked: Admission, at: int, per_run: dict[str, int], windowed: dict[str, int]
) -> None:
    """No budget stops an observed call, and none holds more than its number can: past that it is full."""
    windows = {charge.budget: charge.per for charge in asked.charges}
    for amounts in (per_run, windowed):
        for budget, amount in amounts.items():
            left = MAX_AMOUNT - world.spent(run, budget, windows[budget], at)
            amounts[budget] = max(0, min(amount, left))


def _subjects(run: RunCell, asked: Admission) -> list[tuple[str, ...]]:
    """Of the subject, and of each above it: under which names it stands what it has reached; the last is where this
    call's stands."""
    observed = asked.observed is not None
    return [(each, cells.apart(each)) if observed else (each,) for each in looking.subjects(run)]


def _texts(amounts: Mapping[str, int]) -> dict[str, Json]:
    """As text, because a record's numbers end at 2^53."""
    return {budget: str(amount) for budget, amount in amounts.items()}


def _due(world: World, ready: ReadyAdmission, run: RunCell | None) -> list[tuple[Watch | FirstUse, Any]]:
    """The rules whose number or first use this admission is, for the first time in this run, with each one's record."""
    asked = ready.asked
    if run is None or asked.run_id is None:
        return []
    if world.status(asked.run_id, run) != RunStatus.ACTIVE:
        return []
    reached: list[Watch | FirstUse] = [
        watch for watch in _news(run, asked.watches, ready.at) if _counted(run, watch, ready.at) + 1 >= watch.at_least
    ]
    if asked.permit:
        each = _subjects(run, asked)
        reached += [rule for rule in asked.first_uses if any(_is_first(world, names, rule) for names in each)]
    root = looking.root_of(asked.run_id, run)
    words = looking.said_of(world, "run", root).words
    due = [rule for rule in reached if _level(words, rule.source) < rule.to]
    return [(rule, encode(rule.record, [("raise", root, rule.source, int(rule.to), ready.at)])) for rule in due]


def _level(words: Mapping[str, cells.Word], source: str) -> int:
    found = words.get(source)
    return 0 if found is None else found.risk or 0


def _is_first(world: World, subjects: Sequence[str], first: FirstUse) -> bool:
    return bool(frozenset(first.values).difference(*(_known(world, subject, first) for subject in subjects)))


def _known(world: World, subject: str, first: FirstUse) -> frozenset[str]:
    """What of this the subject has reached before."""
    contacts = looking.contacts_of(world, subject)
    if first.kind != "zone" and not contacts.salt:
        return frozenset()
    zones = contacts.zones if first.kind == "zone" else frozenset()
    marks = zip(first.values, _marks(first, contacts.salt), strict=True)
    return frozenset(
        value
        for value, mark in marks
        if value in zones or world.get((cells.REACHED, name(subject, first.kind, mark))) is not None
    )


def _marks(first: FirstUse, salt: str) -> Iterable[str]:
    """What stands for what is reached: a zone is a word of the catalog; a destination may hold what is private."""
    if first.kind == "zone":
        return first.values
    return [commitment(salt, value.encode()) for value in first.values]


def _counted(run: RunCell, watch: Watch, at: int) -> int:
    since = at - watch.within // _MICROSECOND
    return sum(time > since for time, _ in run.happened.get(str(watch.counts), ()))


def _news(run: RunCell, watches: Sequence[Watch], at: int) -> list[Watch]:
    """The rules for which this is not what was counted a moment ago, repeated."""
    since = at - REPEATED // _MICROSECOND
    return [
        watch
        for watch in watches
        if watch.call is None
        or not any(time > since and call == watch.call for time, call in run.happened.get(str(watch.counts), ()))
    ]


def _refused(world: World, ready: ReadyAdmission, why: Refusal, run: RunCell | None) -> Refused:
    run_id = ready.asked.run_id
    if run is None or run_id is None:
        return Refused(why, None)
    return Refused(why, world.state(run_id, run, ready.at, ready.windows))


def _check_charge(charge: Charge) -> None:
    if type(charge.amount) is not int or charge.amount < 0:
        raise LedgerError(f"budget `{charge.budget}`: the amount is not a whole number of millionths from 0 up")
    if type(charge.at_most) is not int:
        raise LedgerError(f"budget `{charge.budget}`: the limit is not a whole number of millionths")
    if charge.per is not None and charge.per <= timedelta(0):
        raise LedgerError(f"budget `{charge.budget}`: the window is not longer than nothing")
    known_text(charge.budget, "a budget's name")


def _check_first_use(first: FirstUse) -> None:
    known_text(first.source, "a rule's name")
    if type(first.to) is not Risk or first.kind not in ("zone", "destination"):
        raise LedgerError(f"rule `{first.source}` looks at or raises what nobody knows; expected values of core")
    for value in first.values:
        known_text(value, f"a {first.kind}")


def _check_watch(watch: Watch) -> None:
    known_text(watch.source, "a rule's name")
    if type(watch.to) is not Risk or type(watch.counts) is not Counted:
        raise LedgerError(f"rule `{watch.source}` counts or raises what nobody knows; expected values of core")
    if type(watch.at_least) is not int or watch.at_least < 1:
        raise LedgerError(f"rule `{watch.source}`: the number to reach is not a whole number from 1 up")
    if watch.within <= timedelta(0):
        raise LedgerError(f"rule `{watch.source}`: the time it looks back is not longer than nothing")
