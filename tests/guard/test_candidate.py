"""A candidate beside the live policy: it judges each call by the live run's facts, and touches none."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, LedgerError, PolicyError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.candidate import beside
from agentguard.ledger import LogLedger, RecordFilter, memory_ledger, open_ledger

from .conftest import Clock, Tools

IN = "https://files.corp.example/a"


@pytest.fixture
def ledger() -> LogLedger:
    return memory_ledger()


@pytest.fixture
def load(bundle: Path, tmp_path: Path, clock: Clock, ledger: LogLedger) -> Iterator[Callable[..., Guard]]:
    """A guard with a candidate: the same bundle with each (old, new) exchanged in its workflow."""
    made: list[Guard] = []

    def load(*changes: tuple[str, str], **more: Any) -> Guard:
        following = tmp_path / "next"
        shutil.rmtree(following, ignore_errors=True)
        shutil.copytree(bundle, following)
        change(following, *changes)
        guard = Guard.load(
            bundle, candidate=following, **{"ledger": ledger, "home": tmp_path / "home", "clock": clock, **more}
        )
        made.append(guard)
        return guard

    yield load
    for guard in made:
        guard.shut()


def change(directory: Path, *changes: tuple[str, str]) -> None:
    for old, new in changes:
        (file,) = [each for each in directory.glob("*.yaml") if old in each.read_text()]
        file.write_text(file.read_text().replace(old, new))


def start(guard: Guard) -> Any:
    return guard.run("customer-export", inputs={"ticket": "EXP-7"})


def verdicts(guard: Guard) -> list[Any]:
    """What the candidate said, once it has judged everything."""
    assert guard._candidate is not None
    guard._candidate.shut()
    return [(r["outcome"], r["candidate"]["verdict"]) for r in guard.records(kind="candidate")]


def one(guard: Guard) -> tuple[str, Any]:
    return verdicts(guard)[-1]


def test_each_call_is_decided_by_both_and_the_live_one_holds(load: Callable[..., Guard], tools: Tools) -> None:
    guard = load(("at_most: 5", "at_most: 1"), ("args.ticket_id == inputs.ticket", "args.ticket_id != inputs.ticket"))
    look_up, _ = guard.wrap(tools.functions())
    with start(guard):
        look_up("EXP-7")
        with pytest.raises(ToolCallDenied):
            look_up("EXP-8")

    said = verdicts(guard)
    assert [(outcome, verdict["effect"], verdict["reasons"]) for outcome, verdict in said] == [
        ("judged", "deny", ["condition_false"]), ("judged", "deny", ["step_used_up"]),
    ]  # fmt: skip
    assert tools.ran == [("get_ticket", "EXP-7")]


def test_its_verdict_names_the_live_decision_and_both_revisions(load: Callable[..., Guard], tools: Tools) -> None:
    guard = load(("at_most: 5", "at_most: 4"))
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")
    verdicts(guard)

    (decision,), (verdict,) = guard.records(kind="decision"), guard.records(kind="candidate")
    assert verdict["decision_id"] == decision["decision_id"]
    assert verdict["policy_revision"] == guard.bundle.revision != verdict["candidate"]["revision"]
    assert verdict["candidate"]["live"]["effect"] == verdict["candidate"]["verdict"]["effect"] == "permit"


def test_a_candidate_that_is_the_live_policy_says_the_same_of_everything(
    load: Callable[..., Guard], tools: Tools
) -> None:
    guard = load()
    look_up, export = guard.wrap(tools.functions())
    with start(guard):
        look_up("EXP-7")
        export("orders", 5, IN)
        for call in (lambda: look_up("EXP-8"), lambda: export("x", 5, IN), lambda: look_up("x" * 2_000_000)):
            with pytest.raises(ToolCallDenied):
                call()
        with pytest.raises(ApprovalPending):
            export("orders", 2_000, IN)
        (asked,) = guard.operations.approvals()
        for person in ("user:alice", "user:bob"):
            guard.operations.answer(asked.request.id, approver=person, approve=True)
        export("orders", 2_000, IN)
        with pytest.raises(ToolCallDenied):
            export("orders", 9_000, IN)
    with pytest.raises(ToolCallDenied):
        look_up("EXP-7")
    verdicts(guard)

    found = [record["candidate"] for record in guard.records(kind="candidate")]
    assert len(found) == len(list(guard.records(kind="decision"))) == 9
    for both in found:
        alike = {name: value for name, value in both["verdict"].items() if name != "lacks"}
        assert (alike, both["verdict"]["lacks"]) == (both["live"], [])


KEEPS_MORE = ("tables: result.tables", "tables: result.tables\n      id: result.id")
ASKS_MORE = ("args.table in kept.tables", 'args.table in kept.tables && kept.id == "EXP-7"')
STEP = ("  unlock:", "  before:\n    tool: tickets.get\n    arguments: {}\n  unlock:")
LACKS = {
    "a kept value that only its steps keep": ([KEEPS_MORE, ASKS_MORE], "`kept.id`"),
    "a kept value that it keeps otherwise": ([("tables: result.tables", "tables: result.others")], "`kept.tables`"),
    "a step that only it knows": ([STEP, ("after: [look-up]", "after: [before]")], "whether `before` was done"),
    "how often a step of another name was called": (
        [("  export:\n", "  send-out:\n"), ("of: export", "of: send-out")],
        "how often `send-out` was called",
    ),
    "a budget that counts other calls": ([("sum: args.rows, ", "count: true, ")], "what budget `rows` holds"),
    "inputs of another kind": ([('"EXP-[0-9]+"', '"TKT-[0-9]+"')], "what its run would have been begun with"),
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_the_live_run_lacks_cannot_be_judged(load: Callable[..., Guard], tools: Tools, lack: str) -> None:
    changes, what = LACKS[lack]
    guard = load(*changes)
    look_up, export = guard.wrap(tools.functions())
    with start(guard):
        look_up("EXP-7")
        export("orders", 5, IN)

    outcome, verdict = one(guard)
    assert (outcome, verdict["effect"]) == ("cannot be judged", None)
    assert what in verdict["lacks"]


def test_what_is_refused_whatever_is_lacking_is_refused(load: Callable[..., Guard], tools: Tools) -> None:
    """A near miss: nobody need know what a step that is new kept to see that another one was not done."""
    guard = load(STEP, ("after: [look-up]", "after: [before]"), ("up_to: confidential", "up_to: public"))
    look_up, export = guard.wrap(tools.functions())
    with start(guard):
        look_up("EXP-7")
        export("orders", 5, IN)

    outcome, verdict = one(guard)
    assert (outcome, verdict["effect"]) == ("judged", "deny")
    assert "destination_too_sensitive" in verdict["reasons"]


IDLE, LASTS = ("inputs:\n", "idle: 30m\ninputs:\n"), ("inputs:\n", "lasts: 30m\ninputs:\n")


@pytest.mark.parametrize(
    ("change", "calls", "minutes", "outcome", "effect"),
    [
        (IDLE, 1, 30, "judged", "permit"),
        (IDLE, 1, 31, "cannot be judged", None),
        (IDLE, 0, 31, "judged", "deny"),
        (LASTS, 1, 31, "judged", "deny"),
    ],
)
def test_how_long_a_run_was_idle_is_known_where_that_is_noted(
    load: Callable[..., Guard],
    tools: Tools,
    clock: Clock,
    change: Any,
    calls: int,
    minutes: int,
    outcome: str,
    effect: Any,
) -> None:
    """One that is not older than it may be idle was not idle for longer, whoever noted what."""
    guard = load(change)
    look_up = guard.wrap(tools.functions()[0])
    with start(guard):
        for _ in range(calls):
            look_up("EXP-7")
        clock.pass_by(60 * minutes)
        look_up("EXP-7")

    said, verdict = one(guard)
    assert (said, verdict["effect"]) == (outcome, effect)


def test_a_step_that_looks_at_nothing_new_is_judged(load: Callable[..., Guard], tools: Tools) -> None:
    guard = load(("tables: result.tables", "tables: result.others"))
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")

    assert one(guard)[1]["effect"] == "permit"


def test_a_step_that_permits_by_what_is_known_does_not_wait_for_another(
    load: Callable[..., Guard], tools: Tools
) -> None:
    """And one that would only ask people does: the other one might permit."""
    new = "  {}:\n    tool: tickets.get\n    after: [unheard]\n    arguments: {{ticket_id: {{type: string}}}}\n"
    unheard = "  unheard:\n    tool: vault.read\n    arguments: {}\n"
    guard = load(("steps:\n", "steps:\n" + new.format("first") + unheard))
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")
    assert one(guard)[1]["effect"] == "permit"

    asks = "    approval: {from: ['group:data-stewards'], quorum: 2, within: 30m}\n    keep:\n      tables"
    guard = load(("steps:\n", "steps:\n" + new.format("first") + unheard), ("    keep:\n      tables", asks))
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")
    assert one(guard)[1]["lacks"] == ["whether `unheard` was done"]


@pytest.mark.parametrize("raised", [RuntimeError("x"), RecursionError(), MemoryError(), SystemExit(3)])
def test_a_candidate_that_raises_touches_no_call(
    load: Callable[..., Guard], tools: Tools, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    def broken(*_: Any) -> Any:
        raise raised

    guard = load()
    assert guard._candidate is not None
    monkeypatch.setattr(guard._candidate._candidate, "judge", broken)
    with start(guard):
        assert guard.wrap(tools.functions())[0]("EXP-7")

    assert verdicts(guard) == [("failed", None)]


def test_an_endless_candidate_holds_no_call_up_and_what_it_loses_is_counted(
    load: Callable[..., Guard], tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = load()
    made = guard._candidate
    assert made is not None
    judge, go_on = made._candidate.judge, threading.Event()

    def endless(heard: Any) -> Any:
        go_on.wait(20)
        return judge(heard)

    monkeypatch.setattr(made._candidate, "judge", endless)
    monkeypatch.setattr(beside, "MOST_WAITING", 2)
    made._begin()
    look_up, _ = guard.wrap(tools.functions())
    with start(guard):
        for _ in range(5):
            look_up("EXP-7")
    assert len(tools.ran) == 5
    go_on.set()

    said = [outcome for outcome, _ in verdicts(guard)]
    lost = [record["why"] for record in guard.records(kind="candidate") if record["outcome"] == "lost"]
    assert 2 <= said.count("judged") <= 3
    assert sum(int(why.split()[0]) for why in lost) == 5 - said.count("judged")


def test_a_stuck_candidate_does_not_keep_a_program_from_ending(
    load: Callable[..., Guard], tools: Tools, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    guard = load()
    made, go_on = guard._candidate, threading.Event()
    assert made is not None
    monkeypatch.setattr(made._candidate, "judge", lambda heard: go_on.wait(60))
    monkeypatch.setattr(beside, "SHUT_SECONDS", 0.05)
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")
    guard.shut()
    go_on.set()

    assert "the candidate is stuck" in caplog.text


def test_a_clock_that_nobody_believes_writes_no_verdict_of_its_time(
    load: Callable[..., Guard], tools: Tools, clock: Clock
) -> None:
    """The ledger's newest record is what the next process measures its clock by."""
    guard = load()
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")
        clock.pass_by(-3_600)
        with pytest.raises(ToolCallDenied):
            guard.wrap(tools.functions())[0]("EXP-7")
        verdicts(guard)
        clock.pass_by(3_600)

    first, *rest = [record["time"] for record in guard.records()]
    assert rest and all(time >= first for time in rest)


def test_it_spends_nothing(bundle: Path, load: Callable[..., Guard], tools: Tools) -> None:
    """Two decisions, one call: what the run was charged is what one call costs."""
    guard = load()
    look_up, export = guard.wrap(tools.functions())
    with start(guard) as run:
        look_up("EXP-7")
        export("orders", 1_000, IN)
        verdicts(guard)
        state = guard.operations.run(run.id)

    assert state is not None
    assert dict(state.counts) == {"look-up": 1, "export": 1}
    assert [record["changes"] for record in guard.records(kind="candidate")] == [[], []]
    assert list(guard.operations.approvals(open_only=False)) == []


def test_a_budget_is_judged_by_what_it_held_before_the_call(load: Callable[..., Guard], tools: Tools) -> None:
    guard = load(("at_most: 10000", "at_most: 1500"))
    look_up, export = guard.wrap(tools.functions())
    for _ in range(2):
        with start(guard):
            look_up("EXP-7")
            export("orders", 1_000, IN)
    verdicts(guard)

    assert [r["candidate"]["verdict"]["reasons"] for r in guard.records(kind="candidate")] == [
        [], [], [], ["budget_exceeded"],
    ]  # fmt: skip


def test_a_secret_stands_in_no_verdict(load: Callable[..., Guard], tools: Tools) -> None:
    """Not even where the candidate no longer calls it one."""
    asks = ("      - args.table in kept.tables", '      - args.password == "x"')
    guard = load(("    secrets: [password]\n", ""), asks)
    look_up, export = guard.wrap(tools.functions())
    with start(guard):
        look_up("EXP-7")
        export("orders", 5, IN, "s3cret-and-long")
    verdicts(guard)

    assert all("s3cret" not in repr(record) for record in guard.records())


def test_a_draft_is_tried_out(load: Callable[..., Guard], tools: Tools) -> None:
    guard = load(("kind: Workflow\n", "kind: Workflow\nstatus: draft\n"))
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")

    assert one(guard)[1]["effect"] == "permit"


def test_a_candidate_that_cannot_be_loaded_is_an_error_and_on_reload_the_old_one_stays(
    tmp_path: Path, load: Callable[..., Guard], tools: Tools, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PolicyError):
        load(("at_most: 5", "at_most: five"))
    guard = load(("at_most: 5", "at_most: 4"))
    before = guard._candidate.bundle.revision if guard._candidate is not None else ""
    change(tmp_path / "next", ("at_most: 4", "at_most: four"))
    guard.reload()
    assert "the candidate stays as it was" in caplog.text
    assert guard._candidate is not None and guard._candidate.bundle.revision == before
    change(tmp_path / "next", ("at_most: four", "at_most: 3"))
    guard.reload()
    assert guard._candidate.bundle.revision != before


def test_a_program_that_shuts_nothing_still_gets_its_verdicts(bundle: Path, tmp_path: Path) -> None:
    """What waits is judged before the program ends."""
    program = f"""
from agentguard import Guard

def get_ticket(ticket_id: str) -> dict:
    return {{"tables": []}}

guard = Guard.load({str(bundle)!r}, candidate={str(bundle)!r}, home={str(tmp_path / "home")!r})
with guard.run("customer-export", inputs={{"ticket": "EXP-7"}}):
    guard.wrap(get_ticket)("EXP-7")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    made = open_ledger(tmp_path / "home" / "ledger.sqlite3")
    assert [r["outcome"] for r in made.records(RecordFilter(kind="candidate"))] == ["judged"]
    made.shut()


def test_a_verdict_is_on_record_though_nothing_else_happens(
    load: Callable[..., Guard], tools: Tools, tmp_path: Path
) -> None:
    """After its last call a program may wait for hours, and whoever reads the ledger meanwhile wants all of them."""
    made, written = open_ledger(tmp_path / "ledger.sqlite3"), threading.Event()
    made.listen(lambda line: written.set() if b'"kind":"candidate"' in line else None)
    guard = load(("at_most: 5", "at_most: 4"), ledger=made)
    with start(guard):
        with pytest.raises(ToolCallDenied):
            guard.wrap(tools.functions())[0]("EXP-8")
        assert written.wait(20)
    guard.shut()
    made.shut()


def test_a_verdict_that_the_ledger_refuses_is_said_in_the_log(
    load: Callable[..., Guard], tools: Tools, ledger: LogLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """It is lost, and no call is; nobody must take it for one that agreed."""
    guard = load()
    look_up, _ = guard.wrap(tools.functions())
    with start(guard):
        assert guard._candidate is not None
        guard._candidate._ledger = memory_ledger()
        guard._candidate._ledger.shut()
        assert look_up("EXP-7")["id"] == "EXP-7"
    guard._candidate.shut()
    assert "a verdict of the candidate could not be recorded: LedgerError" in caplog.text


def test_a_verdict_is_of_the_candidate_that_said_it(
    load: Callable[..., Guard], tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may take its place while it judges: `compare` goes by the revision that stands in the record."""
    guard = load(("at_most: 5", "at_most: 4"))
    made = guard._candidate
    assert made is not None
    said_by, judge = made.bundle.revision, made._candidate.judge

    def replaced(heard: Any) -> Any:
        change(tmp_path / "next", ("at_most: 4", "at_most: 3"))
        guard.reload()
        return judge(heard)

    monkeypatch.setattr(made._candidate, "judge", replaced)
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")
    verdicts(guard)

    (verdict,) = guard.records(kind="candidate")
    assert made.bundle.revision != said_by == verdict["candidate"]["revision"]


@pytest.mark.parametrize("gone", ["_spent", "Heard"])
def test_a_first_call_that_could_not_be_handed_over_is_counted(
    load: Callable[..., Guard], tools: Tools, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """Also where no call comes after it."""

    def broken(*_: Any, **__: Any) -> Any:
        raise MemoryError

    guard = load()
    monkeypatch.setattr(beside, gone, broken)
    with start(guard):
        assert guard.wrap(tools.functions())[0]("EXP-7")
    verdicts(guard)

    (lost,) = guard.records(kind="candidate")
    assert (lost["outcome"], lost["why"].split(":")[0]) == ("lost", "1 calls were not judged")


def test_a_machine_without_a_thread_to_spare_keeps_its_calls_and_its_end(
    load: Callable[..., Guard], tools: Tools, ledger: LogLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was lost is counted, and the ledger is shut."""

    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    guard = load()
    look_up, _ = guard.wrap(tools.functions())
    monkeypatch.setattr(beside.threading, "Thread", NoThread)
    with start(guard):
        look_up("EXP-7")
        look_up("EXP-7")
    monkeypatch.undo()
    shown: list[bytes] = []
    ledger.listen(shown.append)
    guard.shut()

    assert b"2 calls were not judged" in shown[-1]
    with pytest.raises(LedgerError, match="was shut"):
        list(ledger.records(RecordFilter()))


def test_the_last_user_of_a_guard_may_be_what_judges(
    load: Callable[..., Guard], tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that nobody shuts is shut by whatever thread drops it."""
    guard = load()
    made = guard._candidate
    assert made is not None
    judge = made._candidate.judge

    def dropped(heard: Any) -> Any:
        made.shut()
        return judge(heard)

    monkeypatch.setattr(made._candidate, "judge", dropped)
    with start(guard):
        guard.wrap(tools.functions())[0]("EXP-7")
    assert made._thread is not None
    made._thread.join(20)

    assert [record["outcome"] for record in guard.records(kind="candidate")] == ["judged"]


def test_a_call_that_is_interrupted_while_its_decision_is_recorded_is_judged_too(
    load: Callable[..., Guard], tools: Tools, ledger: LogLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is on record, so a verdict belongs to it: `compare` must not leave cancelled calls out unsaid."""

    class Interrupted:
        def __init__(self, promise: Any) -> None:
            self.done, self._promise = False, promise

        def exception(self) -> Any:
            return self._promise.exception()

        def result(self) -> Any:
            found = self._promise.result()
            if not self.done:
                self.done = True
                raise KeyboardInterrupt
            return found

    guard = load()
    look_up, _ = guard.wrap(tools.functions())
    admit = ledger.admit
    monkeypatch.setattr(ledger, "admit", lambda *given, **more: Interrupted(admit(*given, **more)))
    with start(guard), pytest.raises(KeyboardInterrupt):
        look_up("EXP-7")

    assert [outcome for outcome, _ in verdicts(guard)] == ["judged"]
    assert tools.ran == []
