"""How calls change the fold: admitted, counted, spent for, ended, settled. See ``fold``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentguard.core.growing import LOST, after_growth
from agentguard.core.provenance import Seen
from agentguard.core.tallies import NEVER, Tally
from agentguard.core.values import Json
from agentguard.ledger import again, cells, fold_asked, stored
from agentguard.ledger.cells import (
    NOTHING_BACK,
    Back,
    CallCell,
    Cells,
    MarkCell,
    Private,
    RunCell,
    SpendCell,
    name,
    put_run,
    with_changes,
)
from agentguard.ledger.looking import ACTIVE, contacts_of, must_run, root_of, run_of, subjects


def call(
    at: Cells, number: int, private: Private, decision_id: str, run_id: str, step: str, owner: str,
    keeps: Sequence[str], spent: Mapping[str, str], read: int | None, zones: Sequence[str], observed: str | None = None,
) -> None:  # fmt: skip
    """A call was admitted. ``observed``: what was decided of a call that is not enforced."""
    called = must_run(at, run_id)
    root = root_of(run_id, called)
    run = called if root == run_id else must_run(at, root)
    high = run.high_water if read is None else max(read, run.high_water or 0)
    after = run.spent
    if spent:
        after = {**run.spent, **{budget: run.spent.get(budget, 0) + int(amount) for budget, amount in spent.items()}}
    counts = {**run.counts, step: run.counts.get(step, 0) + 1}
    been = run.zones.union(zones) if zones else run.zones
    put_run(at, root, run, counts=counts, spent=after, high_water=high, zones=been)
    at.put((cells.CALL, decision_id), CallCell(number, run_id, step, owner, tuple(keeps)))
    if observed is not None:
        _count_observed(at, root, observed)
    for party in subjects(called) if zones else ():
        subject = party if observed is None else cells.apart(party)
        known = contacts_of(at, subject)
        if not known.zones.issuperset(zones):
            reached = known._replace(version=known.version + 1, zones=known.zones.union(zones))
            at.put((cells.CONTACTS, subject), reached)


def _count_observed(at: Cells, run_id: str, effect: str) -> None:
    """What would have been refused, and what people would have been asked."""
    run = must_run(at, run_id)
    known = run.observed
    if known is not None and effect != "permit":
        after = known._replace(refused=known.refused + (effect == "deny"), asked=known.asked + (effect == "escalate"))
        at.put((cells.RUN, run_id), with_changes(run, observed=after))


def spend(
    at: Cells, number: int, private: Private, decision_id: str, workflow: str, budget: str, when: int, amount: str,
    apart: bool = False,
) -> None:  # fmt: skip
    of = name(workflow, cells.apart(budget) if apart else budget)
    at.put((cells.SPEND, name(decision_id, budget)), SpendCell(of, when, int(amount)))


def tally(
    at: Cells, number: int, private: Private, decision_id: str, run_id: str, keys: Sequence[str], did_nothing: bool,
    spent: Mapping[str, str], windowed: Sequence[tuple[str, int, str]], apart: bool = False,
) -> None:  # fmt: skip
    """What an admitted call is counted for, and what its outcome may give back."""
    run = must_run(at, run_id)
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


def use(at: Cells, number: int, private: Private, assertion: str, until: int | None) -> None:
    at.put((cells.USED, assertion), MarkCell(until))


def count(
    at: Cells, number: int, private: Private, run_id: str, what: str, when: int, since: int, call: str | None
) -> None:
    """Something happened that a rule counts; what happened up to ``since`` is forgotten."""
    run = must_run(at, run_id)
    if run.status == ACTIVE:
        times = (*(found for found in run.happened.get(what, ()) if found[0] > since), (when, call))
        at.put((cells.RUN, run_id), with_changes(run, happened={**run.happened, what: times}))


def reach(at: Cells, number: int, private: Private, subject: str, kind: str, values: Sequence[str]) -> None:
    """A subject has reached these, for ever. Destinations are committed to, under a salt of the subject's own."""
    salt = private.get("reached_salt")
    known = contacts_of(at, subject)
    if salt and not known.salt:
        at.put((cells.CONTACTS, subject), known._replace(salt=str(salt)))
    for value in values:
        at.put((cells.REACHED, name(subject, kind, value)), MarkCell())


def close(
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
    if call.approval:
        fold_asked.came_out(at, call, outcome)
    called = run_of(at, run_id)
    if called is None:
        return
    root = root_of(run_id, called)
    run = called if root == run_id else must_run(at, root)
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
        read = private["brought"]
        changed["seen"] = (
            Seen((), True) if read is None else run.seen.after(stored.read_brought(read), sum(run.counts.values()))
        )
    if changed:
        put_run(at, root, run, **changed)


def _kept(before: Mapping[str, Json], private: Private, dropped: Sequence[str]) -> Mapping[str, Json]:
    """All that a run keeps after a call that succeeded."""
    kept: dict[str, Json] = {**before, **_mapping(private.get("kept"))}
    for gone in dropped:
        kept.pop(gone, None)
    growths: Any = private.get("grown") or []
    return after_growth(kept, tuple(map(stored.read_growth, growths)))[0]


def settle(at: Cells, number: int, private: Private, run_id: str, decision_id: str, outcome: str) -> None:
    """A person says how a call ended. What its step kept before is not of the last call that succeeded."""
    root = root_of(run_id, must_run(at, run_id))
    run = must_run(at, root)
    call = at.get((cells.UNSETTLED, decision_id))
    if not isinstance(call, CallCell):
        return
    at.put((cells.UNSETTLED, decision_id), None)
    if call.made:
        again.ended(at, call, decision_id, outcome)
    if call.approval:
        fold_asked.came_out(at, call, outcome)
    changed: dict[str, Any] = {"unsettled": run.unsettled - {decision_id}}
    changed |= _counted(at, run, decision_id, call.back, outcome)
    if outcome == "succeeded":
        changed["succeeded"] = run.succeeded | {call.step}
        if run.kept is not None:  # what outgrew its bounds stays lost
            changed["kept"] = {
                name: value for name, value in run.kept.items() if name not in call.keeps or value is LOST
            }
    put_run(at, root, run, **changed)


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
