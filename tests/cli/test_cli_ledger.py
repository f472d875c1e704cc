"""Approvals, records, runs, subjects and credentials from the command line, over a real ledger."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard.approvals import account
from agentguard.cli.audit import followed
from agentguard.core.signals import Signal, SignalEffect
from agentguard.guard import Operations
from agentguard.guard.records import record
from agentguard.ledger import Admission, RecordFilter, open_ledger
from cli.conftest import ROOT, Call, ask, decide, hears_interrupts, real, settle, start


def records(path: Path, **wanted: Any) -> list[dict[str, Any]]:
    ledger = open_ledger(path)
    try:
        return list(ledger.records(RecordFilter(**wanted)))
    finally:
        ledger.shut()


# approvals


def test_an_open_request_is_listed_and_shown(store: Path, call: Call) -> None:
    """The approver finds it and sees what it is about."""
    assert "a-1" in call("approvals", "list", "--ledger", store).out
    (listed,) = json.loads(call("approvals", "list", "--json", "--ledger", store).out)
    shown = json.loads(call("approvals", "show", "a-1", "--json", "--ledger", store).out)
    assert shown.pop("words") == {}, "who said why is looked up for one request alone"
    assert listed == shown
    assert shown["arguments"] == {"rows": 5000, "table": "orders"}
    assert "argument rows" in call("approvals", "show", "a-1", "--ledger", store).out


def test_an_answer_is_recorded_as_the_account_of_the_operating_system(store: Path, call: Call) -> None:
    """Whatever the environment claims."""
    done = real("approvals", "approve", "a-1", "--yes", "--ledger", store, env={"USER": "bob", "LOGNAME": "bob"})
    assert done.code == 0, done
    (answer,) = json.loads(call("approvals", "show", "a-1", "--json", "--ledger", store).out)["answers"]
    assert (answer["approver"], answer["approve"]) == (account(), True)
    assert records(store, kind="approval")[-1]["by"] == account()


def test_no_flag_claims_another_name(store: Path, call: Call) -> None:
    """A flag would make the quorum a matter of typing."""
    for flag in ("--by", "--as", "--approver", "--user"):
        ended = call("approvals", "approve", "a-1", "--yes", flag, "user:bob", "--ledger", store)
        assert ended.code == 2
    assert json.loads(call("approvals", "show", "a-1", "--json", "--ledger", store).out)["answers"] == []


def test_nobody_answers_twice(store: Path, call: Call) -> None:
    """One person counts once."""
    assert call("approvals", "approve", "a-1", "--yes", "--ledger", store).code == 0
    again = call("approvals", "approve", "a-1", "--yes", "--ledger", store)
    assert again.code == 3
    assert "already" in again.err


@pytest.mark.parametrize("word", ["approve", "deny"])
def test_whoever_asked_cannot_answer(word: str, tmp_path: Path, call: Call) -> None:
    """Refused early, with words, before anything is shown or asked; nothing is written."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    start(ledger)
    ask(ledger, requester=account())
    ledger.shut()
    before = records(path)
    ended = call("approvals", word, "a-1", "--yes", "--ledger", path)
    assert ended.code == 3
    assert "somebody else" in ended.err
    assert ended.out == ""
    assert records(path) == before


@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
def test_without_a_clear_yes_nothing_is_answered(
    typed: str, store: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enter, no, and an end of input are not an answer."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    ended = call("approvals", "approve", "a-1", "--ledger", store)
    assert ended.code != 0
    assert "Traceback" not in ended.err
    assert json.loads(call("approvals", "show", "a-1", "--json", "--ledger", store).out)["answers"] == []


def test_a_clear_yes_answers(store: Path, call: Call) -> None:
    """The other side of the question; the call was shown first."""
    ended = real("approvals", "approve", "a-1", "--ledger", store, input="y\n")
    assert ended.code == 0
    assert ended.out.index("argument rows") < ended.out.index("Agree to")


def test_a_denial_is_final(store: Path, call: Call) -> None:
    """Nobody can outvote it."""
    assert call("approvals", "deny", "a-1", "--yes", "--ledger", store).code == 0
    assert json.loads(call("approvals", "list", "--json", "--ledger", store).out) == []
    (view,) = json.loads(call("approvals", "list", "--all", "--json", "--ledger", store).out)
    assert view["status"] == "denied"


def test_a_denial_carries_words_that_the_request_shows(store: Path, call: Call) -> None:
    assert call("approvals", "deny", "a-1", "--yes", "--why", "the ticket\u202e is closed", "--ledger", store).code == 0
    shown = call("approvals", "show", "a-1", "--ledger", store).out
    assert '"the ticket\\u{202E} is closed"' in shown
    (said,) = json.loads(call("approvals", "show", "a-1", "--json", "--ledger", store).out)["words"].values()
    assert said == "the ticket\u202e is closed"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become two other accounts")
def test_two_accounts_make_a_quorum_of_two(store: Path, call: Call, tmp_path: Path) -> None:
    """Each is known by the account its process really has."""
    import pwd

    names = [name for name in ("nobody", "daemon", "bin", "sys") if _exists(name)][:2]
    if len(names) < 2:
        pytest.skip("this system has no two other accounts")
    for folder in (store.parent, *store.parent.parents):
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o005 != 0o005 and folder.is_relative_to("/tmp"):
            folder.chmod(0o777)
    store.parent.chmod(0o777)
    for file in store.parent.rglob("*"):
        file.chmod(0o777 if file.is_dir() else 0o666)
    child = (
        "import os, sys; from agentguard.cli import main; import agentguard.cli.approvals, agentguard.ledger, "
        "agentguard.cli.app, agentguard.cli.run, rich.text, rich.console, typer._adapters, fractions, zoneinfo, "
        "importlib.metadata; "
        "from agentguard.guard import Guard, Operations; from pydantic import BaseModel, TypeAdapter; "  # as root
        "uid = int(sys.argv[1]); os.setgid(uid); os.setuid(uid); "
        "sys.exit(main(sys.argv[2:]))"
    )
    for name in names:
        done = subprocess.run(
            [sys.executable, "-c", child, str(pwd.getpwnam(name).pw_uid),
             "approvals", "approve", "a-1", "--yes", "--ledger", str(store)],
            capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env={**os.environ, "USER": "root"},
        )  # fmt: skip
        if "read-only" in done.stderr or "owners" in done.stderr or "cannot be" in done.stderr:
            pytest.skip(f"the ledger cannot be shared between accounts here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
    (view,) = json.loads(call("approvals", "list", "--all", "--json", "--ledger", store).out)
    assert {answer["approver"] for answer in view["answers"]} == {f"user:{name}" for name in names}
    assert view["status"] == "approved"


def _exists(name: str) -> bool:
    import pwd

    return any(entry.pw_name == name for entry in pwd.getpwall())


# audit


def ids(out: str) -> list[str]:
    return [data["decision_id"] for data in map(json.loads, out.splitlines()) if data["kind"] == "decision"]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ([], ["d-1", "d-2", "d-3"]),
        (["--effect", "deny"], ["d-1", "d-3"]),
        (["--effect", "permit"], ["d-2"]),
        (["--tool", "tickets.get"], ["d-3"]),
        (["--tool", "tickets.ge"], []),
        (["--reason", "step_used_up"], ["d-3"]),
        (["--run", "r-1", "--effect", "deny", "--tool", "warehouse.export"], ["d-1"]),
        (["--run", "r-2"], []),
        (["--subject", "spiffe://corp.example/agent/exporter"], ["d-1", "d-2", "d-3"]),
        (["--kind", "run"], []),
        (["--kind", "decision"], ["d-1", "d-2", "d-3"]),
        (["--since", "1h"], ["d-1", "d-2", "d-3"]),
        (["--until", "1h"], []),
        (["--since", "2126-01-01T00:00:00Z"], []),
        (["--last", "1"], ["d-3"]),
    ],
)
def test_records_are_found_by_every_filter(flags: list[str], found: list[str], store: Path, call: Call) -> None:
    """Each filter alone and several together; a near miss finds nothing."""
    ended = call("audit", "list", "--json", "--ledger", store, *flags)
    assert ended.code == 0
    assert ids(ended.out) == found


def test_a_person_reads_one_line_a_record(store: Path, call: Call) -> None:
    """What, when, decided how and why, on one line."""
    lines = call("audit", "list", "--kind", "decision", "--ledger", store).out.splitlines()
    assert len(lines) == 3
    assert all(word in lines[0] for word in ("deny", "warehouse.export", "condition_false", "d-1"))


def test_one_decision_is_shown_with_every_field(store: Path, call: Call) -> None:
    """By its id, and by the record's number."""
    by_id = json.loads(call("audit", "show", "d-1", "--json", "--ledger", store).out)
    by_number = json.loads(call("audit", "show", str(by_id["seq"]), "--json", "--ledger", store).out)
    assert by_id == by_number
    assert "condition_false" in call("audit", "show", "d-1", "--ledger", store).out


def test_following_misses_nothing_and_repeats_nothing(store: Path) -> None:
    """Records are written between every two looks, and within one batch."""
    ledger = open_ledger(store)
    written: list[str] = []

    def pause() -> None:
        for _ in range(3):
            written.append(f"d-new-{len(written)}")
            decide(ledger, written[-1])

    stream = followed(Operations(ledger), RecordFilter(kind="decision"), 2, pause)
    seen = [next(stream)["decision_id"] for _ in range(32)]
    ledger.shut()
    assert seen == ["d-2", "d-3", *written[:30]]


def test_following_begins_where_told(store: Path) -> None:
    """With nothing older, the first record shown is the first new one."""
    ledger = open_ledger(store)
    stream = followed(Operations(ledger), RecordFilter(), 0, lambda: decide(ledger, "d-new") and None)
    first = next(stream)["decision_id"]
    ledger.shut()
    assert first == "d-new"


def test_following_sees_another_process_and_ends_cleanly_with_ctrl_c(store: Path) -> None:
    """The real thing: a process that follows, a process that writes, an interrupt, exit code 0, no traceback."""
    follower = subprocess.Popen(
        [sys.executable, "-u", "-c", "import sys; from agentguard.cli import main; sys.exit(main())",
         "audit", "follow", "--json", "--last", "1", "--ledger", str(store)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=hears_interrupts,
    )  # fmt: skip
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["decision_id"] == "d-3"
    ledger = open_ledger(store)
    decide(ledger, "d-later")
    ledger.shut()
    assert json.loads(follower.stdout.readline())["decision_id"] == "d-later"
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=20)
    assert (follower.returncode, out, err) == (0, "", "")


# runs, subjects, credentials


def state(path: Path, run_id: str = "r-1") -> Any:
    ledger = open_ledger(path)
    try:
        return settle(ledger.run(run_id, at=datetime.now(UTC), windows={}))
    finally:
        ledger.shut()


def test_runs_are_listed_and_shown(store: Path, call: Call) -> None:
    """For people and for programs."""
    (listed,) = json.loads(call("runs", "list", "--json", "--ledger", store).out)
    shown = json.loads(call("runs", "show", "r-1", "--json", "--ledger", store).out)
    assert listed == {name: shown[name] for name in listed}
    assert "r-1" in call("runs", "list", "--ledger", store).out
    assert "active" in call("runs", "show", "r-1", "--ledger", store).out


def test_a_run_is_stopped_and_the_record_says_by_whom_and_why(store: Path, call: Call) -> None:
    """The reviewer's hand on the switch."""
    assert call("runs", "stop", "r-1", "--why", "wrong ticket", "--ledger", store).code == 0
    assert state(store).status == "stopped"
    last = records(store, kind="operation")[-1]
    assert (last["outcome"], last["by"], last["why"]) == ("stop_run", account(), "wrong ticket")
    assert json.loads(call("runs", "list", "--active", "--json", "--ledger", store).out) == []


def test_the_risk_of_a_run_is_set(store: Path, call: Call) -> None:
    """One of three words."""
    assert call("runs", "risk", "r-1", "high", "--ledger", store).code == 0
    assert state(store).risk.word == "high"
    wrong = call("runs", "risk", "r-1", "huge", "--ledger", store)
    assert wrong.code == 2
    assert "low, medium, high" in wrong.err


def test_a_subject_is_suspended_and_restored(store: Path, call: Call) -> None:
    """In every run of it."""
    subject = "spiffe://corp.example/agent/exporter"
    suspended = call("subjects", "suspend", subject, "--ledger", store)
    assert suspended.code == 0 and "note" not in suspended.out
    assert state(store).subject_suspended is True
    assert call("subjects", "restore", subject, "--ledger", store).code == 0
    assert state(store).subject_suspended is False


def test_suspending_whom_nobody_knows_is_noted(store: Path, call: Call) -> None:
    """Whoever stops a workload in a hurry must learn of a misspelt name at once; it is suspended all the same."""
    for _ in ("it is now, and its own record must not count when it is repeated", "again"):
        ended = call("subjects", "suspend", "spiffe://corp.example/agent/exportr", "--ledger", store)
        assert ended.code == 0 and "no run of or for it is on record" in ended.out


def test_a_credential_is_revoked_and_activated(store: Path, call: Call) -> None:
    """By its name; its value never comes near us."""
    for word, expected in (("revoke", "revoked"), ("activate", "active")):
        assert call("credentials", word, "deploy-token", "--ledger", store).code == 0
        ledger = open_ledger(store)
        assert settle(ledger.credential_states(["deploy-token"])) == {"deploy-token": expected}
        ledger.shut()


@pytest.mark.parametrize("subject", ["spiffe://corp.example/agent/exporter", "user:carol"])
def test_the_runs_of_a_workload_or_for_a_person_are_stopped_and_distrusted(
    subject: str, store: Path, call: Call
) -> None:
    """By one command each, which says by whom and why."""
    raised = call("subjects", "risk", subject, "high", "--why", "odd", "--json", "--ledger", store)
    assert json.loads(raised.out) == {"subject": subject, "risk": "high", "known": True}
    assert state(store).risk.word == "high"
    stopped = call("subjects", "stop", subject, "--why", "gone", "--ledger", store)
    assert stopped.code == 0 and "note" not in stopped.out
    assert state(store).status == "stopped"
    written = [(data["outcome"], data["subject"], data["by"], data["why"]) for data in records(store, kind="operation")]
    assert written == [("set_subject_risk", subject, account(), "odd"), ("end_sessions", subject, account(), "gone")]


def test_a_risk_that_is_no_risk_changes_nothing(store: Path, call: Call) -> None:
    """The words are told."""
    wrong = call("subjects", "risk", "user:carol", "huge", "--ledger", store)
    assert wrong.code == 2 and "low, medium, high" in wrong.err
    assert records(store, kind="operation") == []


def test_lowering_a_risk_that_others_keep_up_says_so(store: Path, call: Call) -> None:
    """Whoever lowers it must not believe that the run may write again."""
    assert call("subjects", "risk", "user:carol", "high", "--ledger", store).code == 0
    lowered = call("runs", "risk", "r-1", "low", "--ledger", store)
    assert "is now of risk high" in lowered.out and "says more" in lowered.out


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("subjects", "suspend", "user:x"), {"subject": "user:x", "suspended": True, "known": False}),
        (("subjects", "restore", "user:x"), {"subject": "user:x", "suspended": False, "known": False}),
        (("subjects", "stop", "user:x"), {"subject": "user:x", "stopped": True, "known": False}),
        (("credentials", "revoke", "token"), {"credential": "token", "state": "revoked"}),
        (("credentials", "activate", "token"), {"credential": "token", "state": "active"}),
    ],
)
def test_a_program_reads_what_was_done(
    command: tuple[str, ...], shown: dict[str, object], store: Path, call: Call
) -> None:
    """One line of JSON."""
    assert json.loads(call(*command, "--json", "--ledger", store).out) == shown


def test_a_credential_that_a_stream_revoked_is_not_put_in_force_by_hand(store: Path, call: Call) -> None:
    """And whoever tries is told."""
    at = datetime.now(UTC)
    told = Signal("idp", "x", SignalEffect.REFUSE_CREDENTIAL, at, credential="deploy-token")
    ledger = open_ledger(store)
    settle(ledger.signal(("iss", "1"), [told], at=at, records=[]))
    ledger.shut()

    ended = call("credentials", "activate", "deploy-token", "--ledger", store)
    assert ended.code == 0 and "a stream of signals says that it is revoked" in ended.out
    again = call("credentials", "activate", "deploy-token", "--json", "--ledger", store)
    assert json.loads(again.out) == {"credential": "deploy-token", "state": "revoked"}


def test_an_open_request_that_expired_is_no_longer_listed(tmp_path: Path, call: Call) -> None:
    """What cannot be answered any more is history."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    start(ledger)
    past = datetime.now(UTC) - timedelta(hours=1)
    ask(ledger, requested_at=past - timedelta(hours=1), expires_at=past)
    ledger.shut()
    assert json.loads(call("approvals", "list", "--json", "--ledger", path).out) == []
    ended = call("approvals", "approve", "a-1", "--yes", "--ledger", path)
    assert ended.code == 3
    assert "expired" in ended.err


def test_a_call_whose_outcome_is_unknown_is_shown_and_settled(store: Path, call: Call) -> None:
    """By whom and why stands in the records; a second word on it is refused."""
    ledger = open_ledger(store)
    at = datetime.now(UTC)
    data = record("decision", at, decision_id="d-lost", effect="permit", run_id="r-1", step="export", tool="t")
    version = settle(ledger.run("r-1", at=at, windows={})).version
    settle(ledger.admit(Admission("d-lost", True, "r-1", version, "customer-export", "export", at, data), windows={}))
    ledger.shut()  # the call had not ended: the next to open the ledger marks it

    assert json.loads(call("runs", "show", "r-1", "--json", "--ledger", store).out)["unsettled"] == ["d-lost"]
    assert "d-lost" in call("runs", "show", "r-1", "--ledger", store).out
    wrong = call("runs", "settle", "d-lost", "--as", "unknown", "--ledger", store)
    assert (wrong.code, "succeeded, failed" in wrong.err) == (2, True)
    done = call("runs", "settle", "d-lost", "--as", "failed", "--why", "no such payment", "--ledger", store)
    assert (done.code, "settled `d-lost` as failed in run `r-1`" in done.out) == (0, True)
    last = records(store, kind="operation")[-1]
    assert (last["outcome"], last["by"], last["why"]) == ("settled_failed", account(), "no such payment")
    assert (last["decision_id"], last["run_id"]) == ("d-lost", "r-1")
    again = call("runs", "settle", "d-lost", "--as", "failed", "--ledger", store)
    assert again.code != 0 and "nothing is unknown of it" in again.err
