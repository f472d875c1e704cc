"""Where a request stands, who may answer it, and what is shown of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentguard.approvals import ApprovalStatus, ApprovalView, account
from agentguard.core.answers import NEW, Life, Need
from agentguard.core.facts import Answer
from agentguard.errors import ConfigurationError

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True)
class Question:
    """What a ledger would hold."""

    id: str = "a-1"
    request_digest: str = "sha256:" + "0" * 64
    policy_revision: str = "sha256:" + "1" * 64
    run_id: str = "r-1"
    workflow: str = "customer-export"
    step: str = "export"
    tool: str = "warehouse.export"
    subject: str = "spiffe://corp.example/agent/exporter"
    requester: str | None = "user:carol"
    approvers: tuple[str, ...] = ("group:data-stewards",)
    quorum: int = 2
    requested_at: datetime = T0
    expires_at: datetime = T0 + HALF_HOUR
    erased: bool = False
    needs: tuple[tuple[Need, ...], ...] = ()
    deny_quorum: int = 1
    use_within: timedelta | None = None
    editors: tuple[str, ...] = ()
    basis: str = ""
    shown: dict[str, Any] = field(
        default_factory=lambda: {
            "arguments": {"rows": 5_000, "password": "[redacted]"},
            "redacted": ["/password"],
            "destinations": [{"kind": "url", "id": "https://files.example/x", "sensitivity": "internal"}],
            "people": ["user:alice", "user:bob", "user:dave"],
        }
    )


def yes(name: str) -> Answer:
    return Answer(f"user:{name}", True, T0)


def no(name: str) -> Answer:
    return Answer(f"user:{name}", False, T0)


def view(*answers: Answer, now: datetime = T0, life: Life = NEW, question: Question | None = None) -> ApprovalView:
    return ApprovalView(question or Question(), answers, life, now)


ANYONE = replace(Question(), approvers=("anyone",), shown={"people": None})
LAST = T0 + HALF_HOUR - timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("looked_at", "status"),
    [
        (view(), ApprovalStatus.PENDING),
        (view(yes("alice")), ApprovalStatus.PENDING),
        (view(yes("alice"), yes("alice")), ApprovalStatus.PENDING),
        (view(yes("alice"), yes("eve")), ApprovalStatus.PENDING),
        (view(yes("alice"), yes("carol"), question=ANYONE), ApprovalStatus.PENDING),
        (view(yes("alice"), yes("eve"), question=ANYONE), ApprovalStatus.APPROVED),
        (view(yes("alice"), yes("bob")), ApprovalStatus.APPROVED),
        (view(yes("alice"), yes("bob"), no("dave")), ApprovalStatus.DENIED),
        (view(now=LAST), ApprovalStatus.PENDING),
        (view(now=T0 + HALF_HOUR), ApprovalStatus.EXPIRED),
        (view(yes("alice"), yes("bob"), now=T0 + HALF_HOUR), ApprovalStatus.EXPIRED),
        (view(yes("alice"), yes("bob"), life=Life(True)), ApprovalStatus.CLAIMED),
        (view(no("alice"), now=T0 + HALF_HOUR), ApprovalStatus.DENIED),
    ],
)
def test_where_a_request_stands(looked_at: ApprovalView, status: ApprovalStatus) -> None:
    """One person counts once, and only who was asked; a refusal is final; the last microsecond is in time."""
    assert looked_at.status is status


@pytest.mark.parametrize(
    ("looked_at", "person", "words"),
    [
        (view(), "user:carol", "somebody else"),
        (view(question=replace(Question(), requester="carol")), "user:carol", "somebody else"),
        (view(question=replace(Question(), subject="user:alice")), "user:alice", "somebody else"),
        (view(yes("alice")), "user:alice", "already"),
        (view(no("bob")), "user:alice", "refused"),
        (view(now=T0 + HALF_HOUR), "user:alice", "expired"),
        (view(yes("x"), yes("y"), life=Life(True)), "user:alice", "used"),
        (view(), "user:eve", "asks group:data-stewards"),
        (view(), "user:alic", "asks group:data-stewards"),
        (view(), "user:ALICE", "asks group:data-stewards"),
        (view(), "alice", "is no person"),
        (view(question=ANYONE), "alice", "is no person"),
        (view(question=ANYONE), "user:", "is no person"),
        (view(question=ANYONE), "user: \u200b", "is no person"),
        (view(question=ANYONE), "user:user:", "is no person"),
        (view(question=ANYONE), "group:data-stewards", "is no person"),
        (view(question=ANYONE), "anyone", "is no person"),
        (view(question=ANYONE), "", "is no person"),
        (view(yes("alice"), question=ANYONE), "user:Alice", "already"),
        (view(question=ANYONE), "user:CAROL", "somebody else"),
        (view(yes("alice"), yes("bob"), no("dave"), question=ANYONE), "user:eve", "refused"),
    ],
)
def test_who_cannot_answer_is_told_why(looked_at: ApprovalView, person: str, words: str) -> None:
    """The ledger refuses the answer by the same rule, whoever takes it; the decision judges again."""
    assert words in (looked_at.why_not(person, agree=True) or "")
    if "asks" not in words:  # anybody else may say no
        assert words in (looked_at.why_not(person, agree=False) or "")


@pytest.mark.parametrize("person", ["user:alice", "user:carola", "user:caro"])
def test_anybody_else_may_try(person: str) -> None:
    """The near misses of the requester's name are other people; and whoever sees something wrong may refuse."""
    assert view(question=ANYONE).why_not(person, agree=True) is None
    assert view().why_not(person, agree=False) is None


def test_an_approver_sees_everything_the_decision_is_about() -> None:
    """Request, workflow, step, tool, arguments, destinations, subject, requester, expiry."""
    seen = dict(view(yes("alice"), now=T0 + timedelta(minutes=10)).rows())
    assert seen["workflow"] == "customer-export"
    assert seen["step"] == "export"
    assert seen["tool"] == "warehouse.export"
    assert seen["workload"] == "spiffe://corp.example/agent/exporter"
    assert seen["requested by"] == "user:carol"
    assert seen["argument rows"] == "5000"
    assert seen["argument password"] == '"[redacted]"'
    assert seen["left out (secret)"] == '"/password"'
    assert seen["destination"] == "url https://files.example/x (internal)"
    assert seen["expires at"] == "2026-11-24T12:30:00Z (20 min 0 s left)"
    assert seen["status"] == "pending, 1 of 2 have agreed"
    assert (seen["may agree"], seen["who that is"]) == ("group:data-stewards", "user:alice, user:bob, user:dave")
    assert seen["answer"] == "user:alice approved at 2026-11-24T12:00:00Z"


@pytest.mark.parametrize("name", ["id", "run_id", "workflow", "step", "tool", "subject", "requester"])
def test_no_field_reaches_the_screen_raw(name: str) -> None:
    """Each is somebody's words; a line break in one would forge the next line."""
    question = replace(Question(), **{name: "x\n\x1b[1A\u202etool  shell"})
    for label, text in view(question=question).rows():
        assert (label + text).isascii()
        assert (label + text).isprintable()
        assert "  " not in text


@pytest.mark.parametrize("name", ["arguments", "redacted", "destinations", "people"])
@pytest.mark.parametrize("wrong", [None, 5, "x\x1b", [None], [{"id": "\x1b"}], {"a\x1b": "\u202e"}])
def test_whatever_a_ledger_holds_is_shown_and_never_crashes(name: str, wrong: Any) -> None:
    """A damaged row must not stop a person from reading the others."""
    question = replace(Question(), shown={name: wrong})
    assert all((label + text).isascii() and text.isprintable() for label, text in view(question=question).rows())
    assert view(question=question).to_json()["id"] == "a-1"


def test_the_approver_is_the_account_and_no_variable_can_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """getpass and getlogin believe USER and LOGNAME; we ask the account database for the process's own user id."""
    before = account()
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME", "SUDO_USER", "HOME"):
        monkeypatch.setenv(name, "mallory")
    assert account() == before != "user:mallory"


@pytest.mark.parametrize("name", ["", "a b", "a\n", "user:x", "-x", "é", "a" * 129, "x\x1b"])
def test_an_account_with_an_odd_name_cannot_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that reads as somebody else's in a record is refused."""
    import pwd

    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd((name, "x", uid, 0, "", "/", "")))
    with pytest.raises(ConfigurationError, match="cannot be recorded"):
        account()


def test_a_user_id_without_an_account_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers often run as a number nobody knows."""
    import pwd

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(ConfigurationError, match="no account"):
        account()
