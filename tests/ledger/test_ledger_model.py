"""The ledger against a slow model of it: generated sequences of operations must give the same answers.

Two ledger objects share one database and take turns at random, so that whatever one holds in memory is put to the
test by what the other writes. The model is plain Python and shares no code with the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import (
    a_charge,
    a_closing,
    a_question,
    a_run,
    an_admission,
    an_answer,
    ask,
    at,
    break_down,
    got,
    record,
    seqs,
)

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.policy import Counted
from agentguard.core.provenance import NOTHING_SEEN, Brought, digests
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.tallies import Tally
from agentguard.core.values import Risk, Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger import Admitted, LogLedger, Outcome, Refusal, Watch, memory_ledger, open_ledger
from agentguard.ledger.worker import DURABLE

PER = timedelta(seconds=50)
WINDOWS: dict[str, timedelta | None] = {"run": None, "day": PER}
RUNS = ("r0", "r1")
# The person each run is for; both are the same workload's.
PEOPLE = {"r0": "user:ann", "r1": "user:bob"}
WITHIN = 20
RULES = {True: (Counted.CALLS, 3, Risk.MEDIUM), False: (Counted.DENIALS, 2, Risk.HIGH)}


@dataclass
class Model:
    """What the ledger must be, written for reading."""

    runs: dict[str, RunState] = field(
        default_factory=lambda: {name: a_run(name, requester=PEOPLE[name]) for name in RUNS}
    )
    spends: list[tuple[int, int]] = field(default_factory=list)
    assertions: set[Any] = field(default_factory=set)
    open: dict[str, tuple[str, str]] = field(default_factory=dict)
    counted: dict[str, dict[str, Any]] = field(default_factory=dict)
    recorded: set[str] = field(default_factory=set)
    consumed: set[str] = field(default_factory=set)
    answered: set[tuple[str, str]] = field(default_factory=set)
    records: int = len(RUNS) + 2
    suspended: bool = False
    contacts: frozenset[str] = frozenset()
    said: list[Signal] = field(default_factory=list)
    heard: set[tuple[int, str]] = field(default_factory=set)
    rises: dict[tuple[str, bool], Risk] = field(default_factory=dict)
    happened: list[tuple[str, bool, int]] = field(default_factory=list)
    credential: str | None = None

    def seen(self, name: str, second: int) -> RunState:
        run = self.runs[name]
        day = sum(amount for when, amount in self.spends if when > second - 50)
        spent = {**run.spent, "day": day}
        held = {"subject_suspended": self.suspended, "contacts": self.contacts, **self.standing(name)}
        return replace(run, spent=spent, **held)

    def standing(self, name: str) -> dict[str, Any]:
        """The worst of what every source says last of the run, its subject and its person."""
        about: list[dict[str, str]] = [{"about": "spiffe://x/a"}, {"about": PEOPLE[name]}, {"run_id": name}]
        mine = [each for each in self.said if any(_is_about(each, **thing) for thing in about)]
        newer = [each.at for each in mine if each.effect is SignalEffect.REQUIRE_NEWER]
        risks = [each.risk or Risk.LOW for each in self.last(mine, SignalEffect.SET_RISK)]
        risks += [risk for (run, _), risk in self.rises.items() if run == name]
        last = self.last(mine, SignalEffect.REFUSE_CREDENTIAL, SignalEffect.RESTORE_CREDENTIAL)
        return {
            "risk": max(risks, default=Risk.LOW),
            "credential_refused": any(each.effect is SignalEffect.REFUSE_CREDENTIAL for each in last),
            "issued_after": max(newer, default=None),
        }

    def last(self, said: list[Signal], *effects: SignalEffect) -> list[Signal]:
        """Of each source about each thing, all that it said for the latest moment."""
        mine = [each for each in said if each.effect in effects]
        return [
            each
            for each in mine
            if each.at == max(other.at for other in mine if _source_and_thing(other) == _source_and_thing(each))
        ]

    def credential_state(self) -> dict[str, str]:
        named = [each for each in self.said if each.credential is not None]
        last = self.last(named, SignalEffect.REFUSE_CREDENTIAL, SignalEffect.RESTORE_CREDENTIAL)
        if any(each.effect is SignalEffect.REFUSE_CREDENTIAL for each in last):
            return {"db": "revoked"}
        return {} if self.credential is None else {"db": self.credential}

    def hear(self, said: Signal) -> None:
        before = {name: self.standing(name) for name in RUNS}
        self.said.append(said)
        self.records += 1
        for name, run in self.runs.items():
            about = [said.about in (PEOPLE[name], "spiffe://x/a"), said.run_id == name]
            ended = said.effect is SignalEffect.END_RUNS and any(about) and run.started_at <= said.at
            if run.status is RunStatus.ACTIVE and (ended or before[name] != self.standing(name)):
                self.move(name, **({"status": RunStatus.STOPPED} if ended else {}))

    def count(self, name: str, permit: bool, second: int) -> None:
        """One more call or denial of an active run, and what its rule makes of that."""
        if self.runs[name].status is not RunStatus.ACTIVE:
            return
        others = [each for each in self.happened if each[:2] != (name, permit)]
        lately = [each for each in self.happened if each[:2] == (name, permit) and each[2] > second - WITHIN]
        self.happened = [*others, *lately, (name, permit, second)]
        _, at_least, to = RULES[permit]
        if len(lately) + 1 >= at_least and (name, permit) not in self.rises:
            self.rises[name, permit] = to
            self.records += 1
            self.move(name)

    def move(self, name: str, **fields: Any) -> None:
        self.runs[name] = replace(self.runs[name], version=self.runs[name].version + 1, **fields)

    def admit(self, op: dict[str, Any], version: int) -> Refusal | None:
        run = self.runs[op["run"]]
        if op["permit"] and (version != run.version or run.status is not RunStatus.ACTIVE or self.suspended):
            return Refusal.RUN_MOVED
        if op["assertion"] in self.assertions:
            return Refusal.ASSERTION_USED
        if op["permit"]:
            keys = op["tallies"]
            used = [self.used(run, op["step"], key, op["successes"]) for key in keys] or [run.counts.get(op["step"], 0)]
            if max(used) >= op["at_most"]:
                return Refusal.STEP_USED_UP
            if run.spent.get("run", 0) + op["amount"] > 20 or self.seen(run.id, op["at"]).spent["day"] + op["day"] > 30:
                return Refusal.BUDGET_EXCEEDED
            if op["approval"] is not None and (op["approval"] != f"ask-{run.id}" or op["approval"] in self.consumed):
                return Refusal.APPROVAL_USED
            self.move(
                run.id,
                counts={**run.counts, op["step"]: run.counts.get(op["step"], 0) + 1},
                spent={**run.spent, "run": run.spent.get("run", 0) + op["amount"]},
                high_water=max(op["level"], run.high_water or Sensitivity.PUBLIC),
                zones=run.zones | op["zones"],
                tallies={**run.tallies, **{key: self.tally(run, key, taken=1) for key in keys}},
            )
            if not op["zones"] <= self.contacts:
                self.contacts |= op["zones"]
                for name, other in self.runs.items():
                    if other.status is RunStatus.ACTIVE:
                        self.move(name)
            self.spends.append((op["at"], op["day"]))
            self.consumed.add(op["approval"])
            self.open[op["id"]] = (run.id, op["step"])
            self.counted[op["id"]] = op
        self.count(run.id, op["permit"], op["at"])
        self.assertions.add(op["assertion"])
        self.recorded.add(op["id"])
        self.records += 1
        return None

    def used(self, run: RunState, step: str, key: str, successes: bool) -> int:
        tally = run.tallies.get(key, (0, 0, 0))
        taken = run.counts.get(step, 0) if key == step else tally[0]
        return taken - (tally[1] if successes else 0)

    def tally(self, run: RunState, key: str, taken: int = 0, back: int = 0, done: int = 0) -> Tally:
        before = run.tallies.get(key, (0, 0, 0))
        return Tally(before[0] + taken, before[1] + back, before[2] + done)

    def count_outcome(self, name: str, run_id: str, outcome: Outcome) -> None:
        """What the call was counted for, after it is known how it ended."""
        op, run = self.counted[name], self.runs[run_id]
        failed, worked = outcome is Outcome.FAILED and op["nothing"], outcome is Outcome.SUCCEEDED
        if op["tallies"] and (failed or worked):
            tallies = {key: self.tally(run, key, back=failed, done=worked) for key in op["tallies"]}
            self.move(run_id, tallies={**run.tallies, **tallies})
        if failed and op["returns"]:
            spent = self.runs[run_id].spent
            self.move(run_id, spent={**spent, "run": spent.get("run", 0) - op["amount"]})
            self.spends.remove((op["at"], op["day"]))

    def close(self, name: str, outcome: Outcome, kept: dict[str, Any], brought: Brought) -> None:
        self.records += 1
        run_id, step = self.open.pop(name)
        before = self.runs[run_id].version
        self.count_outcome(name, run_id, outcome)
        if outcome is Outcome.UNKNOWN:
            self.move(run_id, unsettled=self.runs[run_id].unsettled | {name})
        run = self.runs[run_id]
        after = run.seen.after(brought, sum(run.counts.values()))
        if run.status is RunStatus.ACTIVE and after != run.seen:
            self.move(run_id, seen=after)
            run = self.runs[run_id]
        if outcome is Outcome.SUCCEEDED and (step not in run.succeeded or {**run.kept, **kept} != run.kept):
            self.move(run_id, succeeded=run.succeeded | {step}, kept={**run.kept, **kept})
        run = self.runs[run_id]
        self.runs[run_id] = replace(run, version=min(run.version, before + 1))  # one outcome is one change


OPERATIONS = st.one_of(
    st.fixed_dictionaries(
        {
            "do": st.just("admit"),
            "run": st.sampled_from(RUNS),
            "step": st.sampled_from(["s", "t"]),
            "permit": st.sampled_from([True, True, True, False]),
            "off": st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
            "assertion": st.integers(0, 60),
            "at_most": st.integers(2, 4),
            "amount": st.integers(0, 9),
            "day": st.integers(0, 9),
            "at": st.integers(0, 200),
            "approval": st.sampled_from([None, None, None, "ask-r0", "ask-r1", "ask-none"]),
            "level": st.sampled_from(list(Sensitivity)),
            "zones": st.frozensets(st.sampled_from(["data", "office"])),
            "tallies": st.sampled_from([(), (), ("s",), ("s 1",), ("s 1", "s 2"), ("t", "t 1")]),
            "successes": st.booleans(),
            "nothing": st.booleans(),
            "returns": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "do": st.just("close"),
            "which": st.integers(0, 5),
            "outcome": st.sampled_from(list(Outcome)),
            "kept": st.dictionaries(st.sampled_from("xy"), st.integers(0, 1), max_size=2),
            "brought": st.builds(
                Brought,
                tool=st.sampled_from(["t", "u"]),
                call=st.integers(1, 3),
                clean=st.dictionaries(st.sampled_from(["t", "kept.x"]), st.builds(digests, st.integers(0, 3))),
                text=st.sampled_from(["", "a", "b", "ab"]),
                lost=st.sampled_from([False] * 20 + [True]),
            ),
        }
    ),
    st.fixed_dictionaries(
        {"do": st.just("answer"), "run": st.sampled_from(RUNS), "who": st.sampled_from(["bea", "cid"])}
    ),
    st.fixed_dictionaries(
        {"do": st.just("stop"), "run": st.sampled_from(RUNS), "really": st.sampled_from([0, 0, 0, 1])}
    ),
    st.fixed_dictionaries({"do": st.just("suspend"), "on": st.sampled_from([False, False, True])}),
    st.fixed_dictionaries({"do": st.just("revoke"), "state": st.sampled_from(["active", "rotated", "revoked"])}),
    st.fixed_dictionaries(
        {
            "do": st.just("signal"),
            "jti": st.integers(0, 40),
            "source": st.sampled_from(["idp", "idp/device", "hr"]),
            "effect": st.sampled_from([each for each in SignalEffect if each is not SignalEffect.END_RUNS]),
            "thing": st.sampled_from(
                [{"about": "spiffe://x/a"}, {"about": "user:ann"}, {"run_id": "r1"}, {"credential": "db"}]
            ),
            "at": st.integers(0, 3),
            "risk": st.sampled_from(list(Risk)),
        }
    ),
    st.fixed_dictionaries(
        {
            "do": st.just("signal"),
            "jti": st.integers(0, 40),
            "source": st.just("idp"),
            "effect": st.just(SignalEffect.END_RUNS),
            "thing": st.sampled_from([{"about": "user:ann"}, {"about": "user:zoe"}, {"run_id": "r1"}]),
            "at": st.sampled_from([-1, -1, 0]),
            "risk": st.none(),
        }
    ),
    st.fixed_dictionaries({"do": st.just("fail")}),
)
SEQUENCES = st.lists(st.tuples(st.integers(0, 1), OPERATIONS), min_size=5, max_size=60)


@pytest.fixture(params=["memory", "two on one file"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that makes a fresh pair of ledger objects."""

    def pair() -> Iterator[tuple[LogLedger, LogLedger]]:
        if request.param == "memory":
            one = two = memory_ledger()
        else:
            path = Path(tmp_path_factory.mktemp("model")) / "ledger.sqlite3"
            one, two = open_ledger(path), open_ledger(path)
        try:
            yield one, two
        finally:
            one.shut()
            two.shut()

    return pair


@settings(max_examples=50 if settings.default.max_examples <= 100 else settings.default.max_examples)
@given(sequence=SEQUENCES)
def _check(pair: Any, sequence: Any) -> None:
    for ledgers in pair():
        _play(ledgers, sequence)


def test_any_sequence_of_operations_gives_what_the_model_gives(world: Any) -> None:
    """Refusals with their reason, states to the last field, numbers without gaps."""
    _check(pair=world)  # type: ignore[call-arg]


def _play(ledgers: tuple[LogLedger, LogLedger], sequence: list[tuple[int, dict[str, Any]]]) -> None:
    model = Model()
    for name in RUNS:
        got(ledgers[0].start_run(a_run(name, requester=PEOPLE[name]), record("run")))
        got(ledgers[0].ask(a_question(f"ask-{name}", request_digest=name, run_id=name), record("approval")))
    for n, (which, op) in enumerate(sequence):
        _step(ledgers[which], model, {**op, "id": f"d{n}"})
        # An outcome is in effect at once for its own ledger object, and for others once it is durable.
        seqs(ledgers[which], limit=1)
        second = op.get("at", 100)
        for name in RUNS:
            state = got(ledgers[1 - which].run(name, at=at(second), windows=WINDOWS))
            assert state == replace(model.seen(name, second), version=state.version if state else 0), (n, op)
            assert state is not None
            # Undone work may leave a gap in the versions, which only ever rise.
            assert state.version >= model.runs[name].version
            model.runs[name] = replace(model.runs[name], version=state.version)
    assert seqs(ledgers[0]) == seqs(ledgers[1]) == list(range(1, model.records + 1))
    assert {each["decision_id"] for each in got(ledgers[0].open_calls())} == set(model.open)
    for ledger in ledgers:
        assert got(ledger.credential_states(["db"])) == model.credential_state()


def _step(ledger: LogLedger, model: Model, op: dict[str, Any]) -> None:
    if op["do"] == "admit":
        version = model.runs[op["run"]].version + op["off"]
        answer = got(
            ledger.admit(
                an_admission(
                    op["id"],
                    version,
                    run_id=op["run"],
                    step=op["step"],
                    permit=op["permit"],
                    at=at(op["at"]),
                    step_at_most=op["at_most"],
                    charges=(
                        a_charge(op["amount"], 20, budget="run", returns=op["returns"]),
                        a_charge(op["day"], 30, budget="day", per=PER, returns=op["returns"]),
                    ),
                    tallies=op["tallies"],
                    counts_successes=op["successes"],
                    failure_did_nothing=op["nothing"],
                    assertion_key=("iss", str(op["assertion"])),
                    approval_id=op["approval"],
                    read_sensitivity=op["level"],
                    zones=op["zones"],
                    watches=(_watch(op["permit"]),),
                ),
                windows=WINDOWS,
            )
        )
        expected = model.admit(op, version)
        assert expected == (None if isinstance(answer, Admitted) else answer.reason), op
        assert answer.run == model.seen(op["run"], op["at"])
    elif op["do"] == "close" and model.open:
        name = sorted(model.open)[op["which"] % len(model.open)]
        run_id, step = model.open[name]
        closing = a_closing(name, op["outcome"], run_id=run_id, step=step, kept=op["kept"], brought=op["brought"])
        ledger.close(closing)
        model.close(name, op["outcome"], op["kept"], op["brought"])
    elif op["do"] == "answer":
        future = ledger.answer(f"ask-{op['run']}", an_answer(f"user:{op['who']}"), record("approval"))
        over = f"ask-{op['run']}" in model.consumed or model.runs[op["run"]].status is not RunStatus.ACTIVE
        if over or (op["run"], op["who"]) in model.answered:
            assert isinstance(future.exception(60), LedgerError)
        else:
            got(future)
            model.answered.add((op["run"], op["who"]))
            model.records += 1
            model.move(op["run"])
    elif op["do"] == "stop":
        status = "stopped" if op["really"] else None
        got(ledger.change_run(op["run"], at=at(0), record=record("operation"), status=status))
        model.records += 1
        model.move(op["run"], **({"status": RunStatus.STOPPED, "seen": NOTHING_SEEN} if op["really"] else {}))
    elif op["do"] == "suspend":
        got(ledger.suspend_subject("spiffe://x/a", at=at(0), record=record("operation"), suspended=op["on"]))
        model.suspended = op["on"]
        _bump_active(model)
    elif op["do"] == "revoke":
        got(ledger.revoke_credential("db", at=at(0), record=record("operation"), state=op["state"]))
        model.credential = op["state"]
        _bump_active(model)
    elif op["do"] == "signal":
        risk = op["risk"] if op["effect"] is SignalEffect.SET_RISK else None
        said = Signal(op["source"], "test", op["effect"], at(op["at"]), risk=risk, **op["thing"])
        news = got(ledger.signal(("iss", str(op["jti"])), [said], at=at(0), records=[record("signal")]))
        told = (op["jti"], op["source"].partition("/")[0])  # two streams of one issuer may be sent the same token
        assert news is (told not in model.heard)
        if news:
            model.heard.add(told)
            model.hear(said)
    elif op["do"] == "fail":
        future = ask(ledger, DURABLE, break_down)
        assert isinstance(future.exception(60), LedgerError)


def _watch(permit: bool) -> Watch:
    counts, at_least, to = RULES[permit]
    return Watch(f"rule:{counts}", to, counts, at_least, timedelta(seconds=WITHIN), record("signal"))


def _is_about(said: Signal, **thing: str) -> bool:
    return said.credential is None and all(getattr(said, name) == value for name, value in thing.items())


def _source_and_thing(said: Signal) -> tuple[Any, ...]:
    return said.source, said.about, said.run_id, said.credential


def _bump_active(model: Model) -> None:
    model.records += 1
    for name, run in model.runs.items():
        if run.status is RunStatus.ACTIVE:
            model.move(name)
