"""How a record changes what the log adds up to.

Every record says in ``changes`` what it changes: a list of changes, each a list of a word and what belongs to it. What
may not stand in public stands in the record's private parts. A record without changes changes nothing. The same code
makes a state out of records as they are written, and out of a log that is read again: there is no other way to change
a cell. Where a private part was erased, null stands in its place, and the fold goes on without it. A version never
depends on what a private part holds, so that it comes out the same afterwards.

Pure: it looks at cells and puts others in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from agentguard.core.facts import RunStatus
from agentguard.core.growing import LOST, after_growth
from agentguard.core.people import who, who_is_in
from agentguard.core.provenance import NOTHING_SEEN, Seen
from agentguard.core.signals import SignalEffect, stream_of
from agentguard.core.tallies import NEVER, Tally
from agentguard.core.values import Json
from agentguard.ledger import again, cells, keys
from agentguard.ledger.cells import (
    NOTHING_BACK,
    ApprovalCell,
    AskedCell,
    Back,
    Bounds,
    CallCell,
    Cells,
    ContactsCell,
    CredentialCell,
    KeyCell,
    MarkCell,
    RunCell,
    SaidCell,
    SpendCell,
    StreamCell,
    Word,
    WorldCell,
    name,
    with_changes,
)
from agentguard.ledger.log import Key

Private = Mapping[str, Json]

ACTIVE, ENDED, STOPPED = str(RunStatus.ACTIVE), str(RunStatus.ENDED), str(RunStatus.STOPPED)
WORLD: Key = (cells.WORLD, "")
# The kinds of cells that ``standing`` looks at.
SAY_HOW_RUNS_STAND = frozenset({cells.WORLD, cells.CONTACTS, cells.SAID})


def apply(at: Cells, number: int, changes: Sequence[Sequence[Any]], private: Private) -> None:
    """Let the record of that number change the cells. Raises KeyError for a change that nobody knows."""
    for change in changes:
        _CHANGES[change[0]](at, number, private, *change[1:])


# --- looking


def run_of(at: Cells, run_id: str) -> RunCell | None:
    """One run."""
    return at.get((cells.RUN, run_id))  # type: ignore[return-value]


def said_of(at: Cells, kind: str, about: str) -> SaidCell:
    """What is said of a party, a run or a credential."""
    return at.get((cells.SAID, name(kind, about))) or SaidCell()  # type: ignore[return-value]


def contacts_of(at: Cells, subject: str) -> ContactsCell:
    """Which zones a subject has reached."""
    return at.get((cells.CONTACTS, subject)) or ContactsCell()  # type: ignore[return-value]


def world(at: Cells) -> WorldCell:
    """What concerns every run."""
    return at.get(WORLD) or WorldCell()  # type: ignore[return-value]


def parties(run: RunCell) -> frozenset[str]:
    """Everybody that a run can be taken away by: its subject, and whom it is for."""
    return _parties(run.subject, run.requester)


@lru_cache(maxsize=4096)
def _parties(subject: str, requester: str | None) -> frozenset[str]:
    return who_is_in(subject, requester)


class Standing(NamedTuple):
    """What everybody else says of a run: the worst of each. ``version`` grows with all of it."""

    version: int = 0
    risk: int = 0
    refused: bool = False
    newer: int | None = None
    ended: int | None = None
    suspended: bool = False
    zones: frozenset[str] = frozenset()


_NOTHING_SAID = Standing()


def standing(at: Cells, run_id: str, run: RunCell) -> Standing:
    """How a run stands with others. Looked up for every call, so each cell is looked at once."""
    keys = _standing_keys(run_id, run.subject, run.requester)
    found: list[Any] = [at.get(key) for key in keys]
    apart = None if run.observed is None else at.get((cells.CONTACTS, cells.apart(run.subject)))
    if not any(found) and apart is None:
        return _NOTHING_SAID
    everything, contacts, subject = found[0], found[1], found[2]
    if isinstance(apart, ContactsCell):  # an observed run has been where enforced ones were, and observed ones
        known = contacts or ContactsCell()
        contacts = ContactsCell(known.version + apart.version, known.zones | apart.zones)
    said: list[SaidCell] = [cell for cell in found[2:] if cell is not None]
    return Standing(
        (0 if everything is None else everything.version)
        + (0 if contacts is None else contacts.version)
        + sum(cell.version for cell in said),
        max((cell.risk for cell in said), default=0),
        any(cell.refused for cell in said),
        max((cell.newer for cell in said if cell.newer is not None), default=None),
        max((cell.ended for cell in said if cell.ended is not None), default=None),
        subject is not None and subject.suspended,
        frozenset() if contacts is None else contacts.zones,
    )


@lru_cache(maxsize=4096)
def _standing_keys(run_id: str, subject: str, requester: str | None) -> tuple[Key, ...]:
    """What concerns everybody, the subject's contacts, the subject, and whoever else may be meant."""
    party = who(subject)
    others = sorted(_parties(subject, requester) - {party})
    said = (name("party", party), name("run", run_id), *(name("party", other) for other in others))
    return (WORLD, (cells.CONTACTS, subject), *((cells.SAID, about) for about in said))


def status_of(run: RunCell, others: Standing) -> str:
    """Where a run stands: it is stopped, too, where somebody ended the sessions of its parties after it began."""
    if run.status != ACTIVE:
        return run.status
    return STOPPED if others.ended is not None and others.ended >= run.started else ACTIVE


# --- changing


def _must_run(at: Cells, run_id: str) -> RunCell:
    run = at.get((cells.RUN, run_id))
    if run is None:
        raise KeyError(f"no run {run_id}")
    return run  # type: ignore[return-value]


def _put_run(at: Cells, run_id: str, run: RunCell, **changed: Any) -> None:
    at.put((cells.RUN, run_id), with_changes(run, version=run.version + 1, **changed))


# One object for all runs: nobody changes a cell.
_NONE: dict[str, Any] = {}


def _start(
    at: Cells, number: int, private: Private, run_id: str, workflow: str, digest: str, subject: str,
    requester: str | None, started: int, risk: int, holder: str, observed: Sequence[Any] | None = None,
    bounds: Sequence[Any] | None = None, keyed: Sequence[Any] | None = None,
) -> None:  # fmt: skip
    inputs: Any = private.get("inputs")
    kept: Any = private.get("kept") or {}
    salt = str(private.get("salt") or "")
    run = RunCell(
        number, workflow, digest, subject, requester, started, 1, ACTIVE, risk, None, _NONE, frozenset(), _NONE,
        frozenset(), inputs, kept or _NONE, _NONE, NOTHING_SEEN, frozenset(), salt, holder,
        observed=None if observed is None else cells.read_observed(observed),
        bounds=None if bounds is None else Bounds(*bounds),
    )  # fmt: skip
    at.put((cells.RUN, run_id), run if keyed is None else _under_key(at, run_id, run, holder, *keyed))


def _under_key(at: Cells, run_id: str, run: RunCell, holder: str, key: str, carries: str | None, lost: bool) -> RunCell:
    """A run that begins under a key. What is said of the run before it is said of it, too."""
    before = None if carries is None else _must_run(at, carries)
    said = None if carries is None else at.get((cells.SAID, name("run", carries)))
    if said is not None:
        at.put((cells.SAID, name("run", run_id)), said)
    place = (cells.KEY, keys.place(run.workflow, run.subject, run.requester, key))
    known = at.get(place)
    enforced = known.enforced if isinstance(known, KeyCell) else None
    at.put(place, KeyCell(run_id, run_id if run.observed is None else enforced))
    return keys.begun(run, holder, key, carries, before, lost=lost)


def _free(at: Cells, number: int, private: Private, run_id: str) -> None:
    """The key of a stopped run opens another."""
    run = _must_run(at, run_id)
    if run.keyed is not None:
        place = (cells.KEY, keys.place(run.workflow, run.subject, run.requester, run.keyed.key))
        known = at.get(place)
        if isinstance(known, KeyCell) and known.run_id == run_id:
            at.put(place, known._replace(freed=True))


def _end(at: Cells, number: int, private: Private, run_id: str, status: str) -> None:
    """A status only moves on: a run that was stopped stays stopped when the code around it ends."""
    run = _must_run(at, run_id)
    if at.get((cells.ANSWERS, run_id)) is not None:
        at.put((cells.ANSWERS, run_id), None)
    now = status_of(run, standing(at, run_id, run))
    after = status if _RANK[status] > _RANK[now] else now
    gone: dict[str, Any] = {} if after == ACTIVE else {"happened": {}, "seen": NOTHING_SEEN, "holder": None}
    if gone and run.keyed is not None:  # the next run of its key goes on counting what happened
        gone |= {"happened": run.happened, "keyed": run.keyed._replace(inside={})}
    _put_run(at, run_id, run, status=after, **gone)


_RANK: Mapping[str, int] = MappingProxyType({ACTIVE: 0, ENDED: 1, STOPPED: 2})


def _hold(at: Cells, number: int, private: Private, run_id: str, holder: str | None) -> None:
    """Somebody is inside a run, or nobody any more. No decision looks at it."""
    at.put((cells.RUN, run_id), with_changes(_must_run(at, run_id), holder=holder))


def _enter(at: Cells, number: int, private: Private, run_id: str, owner: str, gone: Sequence[str]) -> None:
    """Somebody of this ledger object is inside a run of a key, too; nobody of those that are gone is."""
    run = _must_run(at, run_id)
    if run.keyed is not None and run.status == ACTIVE:
        at.put((cells.RUN, run_id), with_changes(run, keyed=keys.entered(run.keyed, owner, gone)))


def _leave(at: Cells, number: int, private: Private, run_id: str, owner: str) -> None:
    run = _must_run(at, run_id)
    if run.keyed is not None:
        at.put((cells.RUN, run_id), with_changes(run, keyed=keys.left(run.keyed, owner)))


def _used(at: Cells, number: int, private: Private, run_id: str, when: int) -> None:
    """When the last call of a run was admitted that may be idle only for so long."""
    run = _must_run(at, run_id)
    if run.bounds is not None:
        used = run.bounds._replace(used=max(when, run.bounds.used or when))
        at.put((cells.RUN, run_id), with_changes(run, bounds=used))


def _risk(at: Cells, number: int, private: Private, run_id: str, risk: int) -> None:
    _put_run(at, run_id, _must_run(at, run_id), risk=risk)


def _touch(at: Cells, number: int, private: Private, run_id: str) -> None:
    run = run_of(at, run_id)
    if run is not None:
        _put_run(at, run_id, run)


def _call(
    at: Cells, number: int, private: Private, decision_id: str, run_id: str, step: str, owner: str,
    keeps: Sequence[str], spent: Mapping[str, str], read: int | None, zones: Sequence[str], observed: str | None = None,
) -> None:  # fmt: skip
    """A call was admitted. ``observed``: what was decided of a call that is not enforced."""
    run = _must_run(at, run_id)
    high = run.high_water if read is None else max(read, run.high_water or 0)
    after = run.spent
    if spent:
        after = {**run.spent, **{budget: run.spent.get(budget, 0) + int(amount) for budget, amount in spent.items()}}
    counts = {**run.counts, step: run.counts.get(step, 0) + 1}
    been = run.zones.union(zones) if zones else run.zones
    _put_run(at, run_id, run, counts=counts, spent=after, high_water=high, zones=been)
    at.put((cells.CALL, decision_id), CallCell(number, run_id, step, owner, tuple(keeps)))
    if observed is not None:
        _count_observed(at, run_id, observed)
    if zones:
        subject = run.subject if observed is None else cells.apart(run.subject)
        known = contacts_of(at, subject)
        if not known.zones.issuperset(zones):
            reached = known._replace(version=known.version + 1, zones=known.zones.union(zones))
            at.put((cells.CONTACTS, subject), reached)


def _count_observed(at: Cells, run_id: str, effect: str) -> None:
    """What would have been refused, and what people would have been asked."""
    run = _must_run(at, run_id)
    known = run.observed
    if known is not None and effect != "permit":
        after = known._replace(refused=known.refused + (effect == "deny"), asked=known.asked + (effect == "escalate"))
        at.put((cells.RUN, run_id), with_changes(run, observed=after))


def _spend(
    at: Cells, number: int, private: Private, decision_id: str, workflow: str, budget: str, when: int, amount: str,
    apart: bool = False,
) -> None:  # fmt: skip
    of = name(workflow, cells.apart(budget) if apart else budget)
    at.put((cells.SPEND, name(decision_id, budget)), SpendCell(of, when, int(amount)))


def _tally(
    at: Cells, number: int, private: Private, decision_id: str, run_id: str, keys: Sequence[str], did_nothing: bool,
    spent: Mapping[str, str], windowed: Sequence[tuple[str, int, str]], apart: bool = False,
) -> None:  # fmt: skip
    """What an admitted call is counted for, and what its outcome may give back."""
    run = _must_run(at, run_id)
    call = at.get((cells.CALL, decision_id))
    if not isinstance(call, CallCell):
        raise KeyError(f"no call {decision_id}")
    if keys:
        tallies = {**run.tallies, **{key: _taken_once(run.tallies.get(key, NEVER)) for key in keys}}
        at.put((cells.RUN, run_id), with_changes(run, tallies=tallies))
    amounts = {budget: int(amount) for budget, amount in spent.items()}
    windows = tuple((budget, when, int(amount)) for budget, when, amount in windowed)
    at.put((cells.CALL, decision_id), call._replace(back=Back(tuple(keys), did_nothing, amounts, windows, apart)))


def _taken_once(tally: Tally) -> Tally:
    return tally._replace(taken=tally.taken + 1)


def _counted(at: Cells, run: RunCell, decision_id: str, back: Back, outcome: str) -> dict[str, Any]:
    """What an outcome changes in what the call was counted for. While it is unknown, nothing."""
    given_back = outcome == "failed" and back.did_nothing
    changed: dict[str, Any] = {}
    if back.tallies and (given_back or outcome == "succeeded"):
        tallies = dict(run.tallies)
        for key in back.tallies:
            tally = tallies.get(key, NEVER)
            tallies[key] = tally._replace(back=tally.back + 1) if given_back else tally._replace(done=tally.done + 1)
        changed["tallies"] = tallies
    if given_back and back.spent:
        changed["spent"] = {**run.spent, **{each: run.spent.get(each, 0) - n for each, n in back.spent.items()}}
    for budget, when, amount in back.windowed if given_back else ():
        place = (cells.SPEND, name(decision_id, budget, "back"))
        of = name(run.workflow, cells.apart(budget) if back.apart else budget)
        at.put(place, SpendCell(of, when, -amount))
    return changed


def _use(at: Cells, number: int, private: Private, assertion: str, until: int | None) -> None:
    at.put((cells.USED, assertion), MarkCell(until))


def _consume(at: Cells, number: int, private: Private, approval_id: str) -> None:
    asked = at.get((cells.APPROVAL, approval_id))
    if isinstance(asked, ApprovalCell):
        at.put((cells.APPROVAL, approval_id), asked._replace(consumed=True))


def _count(
    at: Cells, number: int, private: Private, run_id: str, what: str, when: int, since: int, call: str | None
) -> None:
    """Something happened that a rule counts; what happened up to ``since`` is forgotten."""
    run = _must_run(at, run_id)
    if run.status == ACTIVE:
        times = (*(found for found in run.happened.get(what, ()) if found[0] > since), (when, call))
        at.put((cells.RUN, run_id), with_changes(run, happened={**run.happened, what: times}))


def _reach(at: Cells, number: int, private: Private, subject: str, kind: str, values: Sequence[str]) -> None:
    """A subject has reached these, for ever. Destinations are committed to, under a salt of the subject's own."""
    salt = private.get("reached_salt")
    if salt:
        at.put((cells.CONTACTS, subject), contacts_of(at, subject)._replace(salt=str(salt)))
    for value in values:
        at.put((cells.REACHED, name(subject, kind, value)), MarkCell())


def _close(
    at: Cells, number: int, private: Private, decision_id: str, run_id: str, step: str, outcome: str,
    dropped: Sequence[str],
) -> None:  # fmt: skip
    """A call has its outcome. ``dropped``: what its step keeps, and could not be kept this time."""
    call = at.get((cells.CALL, decision_id))
    if not isinstance(call, CallCell):
        return  # the first outcome stands
    at.put((cells.CALL, decision_id), None)
    if call.made:
        again.ended(at, call, decision_id, outcome)
    run = run_of(at, run_id)
    if run is None:
        return
    changed: dict[str, Any] = _counted(at, run, decision_id, call.back, outcome) if call.back != NOTHING_BACK else {}
    if outcome == "unknown":
        changed["unsettled"] = run.unsettled | {decision_id}
        at.put((cells.UNSETTLED, decision_id), call)
    if outcome == "succeeded":
        if not {"kept", "grown"}.isdisjoint(private) or dropped:
            changed["kept"] = None if run.kept is None else _kept(run.kept, private, dropped)
        if step not in run.succeeded:
            changed["succeeded"] = run.succeeded | {step}
    if run.status == ACTIVE and "brought" in private:
        stored = private["brought"]
        changed["seen"] = (
            Seen((), True) if stored is None else run.seen.after(cells.read_brought(stored), sum(run.counts.values()))
        )
    if changed:
        _put_run(at, run_id, run, **changed)


def _kept(before: Mapping[str, Json], private: Private, dropped: Sequence[str]) -> Mapping[str, Json]:
    """All that a run keeps after a call that succeeded."""
    kept: dict[str, Json] = {**before, **_mapping(private.get("kept"))}
    for gone in dropped:
        kept.pop(gone, None)
    growths: Any = private.get("grown") or []
    return after_growth(kept, tuple(map(cells.read_growth, growths)))[0]


def _settle(at: Cells, number: int, private: Private, run_id: str, decision_id: str, outcome: str) -> None:
    """A person says how a call ended. What its step kept before is not of the last call that succeeded."""
    run = _must_run(at, run_id)
    call = at.get((cells.UNSETTLED, decision_id))
    if not isinstance(call, CallCell):
        return
    at.put((cells.UNSETTLED, decision_id), None)
    if call.made:
        again.ended(at, call, decision_id, outcome)
    changed: dict[str, Any] = {"unsettled": run.unsettled - {decision_id}}
    changed |= _counted(at, run, decision_id, call.back, outcome)
    if outcome == "succeeded":
        changed["succeeded"] = run.succeeded | {call.step}
        if run.kept is not None:  # what outgrew its bounds stays lost
            changed["kept"] = {
                name: value for name, value in run.kept.items() if name not in call.keeps or value is LOST
            }
    _put_run(at, run_id, run, **changed)


def _suspend(at: Cells, number: int, private: Private, subject: str, suspended: bool) -> None:
    party = who(subject)
    said = said_of(at, "party", party)
    after = said._replace(suspended=suspended, version=said.version + 1)
    at.put((cells.SAID, name("party", party)), after)


def _credential(at: Cells, number: int, private: Private, credential: str, state: str) -> None:
    """Which runs would use it is not known here, so this concerns every run."""
    at.put((cells.CREDENTIAL, who(credential)), CredentialCell(state))
    _concerns_everybody(at)


def _concerns_everybody(at: Cells) -> None:
    before = world(at)
    at.put(WORLD, before._replace(version=before.version + 1))


def _say(
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


def _raise(at: Cells, number: int, private: Private, run_id: str, source: str, risk: int, when: int) -> None:
    """A workflow's own rule raised the risk of a run."""
    said = said_of(at, "run", run_id)
    words = {**said.words, source: Word(risk=risk, risk_at=when)}
    at.put((cells.SAID, name("run", run_id)), said._replace(version=said.version + 1, words=words))


def _hear(at: Cells, number: int, private: Private, message: str) -> None:
    at.put((cells.HEARD, message), MarkCell())


def _stream(at: Cells, number: int, private: Private, stream: str, when: int, status: str | None) -> None:
    """A signal by itself enables no stream that was paused, and what a stream said of itself before it last spoke is no
    news. What depended on a stream that falls silent is decided again."""
    found = at.get((cells.STREAM, stream))
    before = found if isinstance(found, StreamCell) else StreamCell(when, "enabled")
    now = before.status if status is None or when < before.heard_at else status
    at.put((cells.STREAM, stream), StreamCell(max(when, before.heard_at), now))
    if now != before.status:
        _concerns_everybody(at)


def _ask(
    at: Cells, number: int, private: Private, approval_id: str, digest: str, revision: str, run_id: str,
    requested: int, expires: int, body: Mapping[str, Json],
) -> None:  # fmt: skip
    shown: Any = private.get("shown")
    asked = ApprovalCell(number, digest, revision, run_id, requested, expires, body, shown)
    at.put((cells.APPROVAL, approval_id), asked)
    found = at.get((cells.ASKED, digest))
    before = found.ids if isinstance(found, AskedCell) else ()
    at.put((cells.ASKED, digest), AskedCell((*before, approval_id)))


def _answer(
    at: Cells, number: int, private: Private, approval_id: str, approver: str, approve: bool, when: int
) -> None:
    """A decision that was taken without this answer comes to nothing."""
    asked = at.get((cells.APPROVAL, approval_id))
    if isinstance(asked, ApprovalCell):
        answers = (*asked.answers, (approver, approve, when))
        at.put((cells.APPROVAL, approval_id), asked._replace(answers=answers))
        _touch(at, number, private, asked.run_id)


def _erase(
    at: Cells, number: int, private: Private, run_id: str | None, what: Sequence[str], approvals: Sequence[str],
    rows: Sequence[int],
) -> None:  # fmt: skip
    """The private parts of these rows are gone, all of a run's or those of some calls. ``what`` that takes from the
    run: ``inputs``, ``kept``, ``followed``. What rested on them is known no more."""
    run = None if run_id is None or not what else run_of(at, run_id)
    if run is not None and run_id is not None:
        _put_run(at, run_id, without(run, what))
    for approval_id in approvals:
        asked = at.get((cells.APPROVAL, approval_id))
        if isinstance(asked, ApprovalCell):
            at.put((cells.APPROVAL, approval_id), asked._replace(shown=None))


def without(run: RunCell, what: Sequence[str]) -> RunCell:
    """A run of which that was erased."""
    if "inputs" in what:
        run = with_changes(run, inputs=None)
    if "kept" in what:
        run = with_changes(run, kept=None)
    if "followed" in what:
        run = with_changes(run, seen=Seen((), True) if run.status == ACTIVE else NOTHING_SEEN)
    return run


def _carry(at: Cells, number: int, private: Private) -> None:
    """The fold of what came before this record, where the log does not hold all of it: the cells themselves."""
    held: Any = private.get("cells") or []
    for kind, known_as, value in held:
        at.put((kind, known_as), cells.decode(kind, value.encode()))


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


_CHANGES: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        "start": _start, "end": _end, "risk": _risk, "touch": _touch, "call": _call, "tally": _tally, "spend": _spend,
        "use": _use, "consume": _consume, "count": _count, "reach": _reach, "close": _close, "settle": _settle,
        "hold": _hold, "enter": _enter, "leave": _leave, "used": _used, "free": _free, "suspend": _suspend,
        "credential": _credential, "say": _say, "raise": _raise, "hear": _hear, "stream": _stream, "ask": _ask,
        "answer": _answer, "erase": _erase, "carry": _carry, "made": again.made, "kept": again.kept,
        "unmade": again.unmade, "pause": again.suspended, "go_on": again.continued,
    }
)  # fmt: skip
