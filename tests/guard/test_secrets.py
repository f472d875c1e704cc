"""What is secret stands in no record, no log and no question, and nothing that stands there can be searched for it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from left_out import left_out
from processor_time import processor_time

from agentguard.core.canonical import canonical_bytes, commitment
from agentguard.core.credentials import may_hold, without_credentials
from agentguard.core.decision import Decision, Finding
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect
from agentguard.errors import ApprovalPending, PolicyError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.call import judge
from agentguard.ledger import memory_ledger, open_ledger

from .conftest import EXPORTER, FILES, Clock

BUNDLE = {
    "trust.yaml": FILES["trust.yaml"],
    "tools.yaml": """
apiVersion: agentguard/v1
kind: Tools
tools:
  unlock: {effect: write, secrets: [pin]}
  fetch: {effect: read, destinations: [{kind: url, argument: at}]}
  query: {effect: read, destinations: [{kind: dsn, argument: at}]}
  clone: {effect: read, destinations: [{kind: git, argument: at}]}
  load: {effect: read, destinations: [{kind: object, argument: at}]}
  share: {effect: read, destinations: [{kind: url, argument: at, secret: [path]}]}
  hide: {effect: read, secrets: [at], destinations: [{kind: url, argument: at}]}
""",
    "open.yaml": f"""
apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: open, version: 1, owner: o, review_by: 2029-12-31}}
subjects: ["{EXPORTER}"]
steps:
  unlock: {{tool: unlock, arguments: {{card: {{type: string}}, pin: {{type: string}}}}}}
""",
    "reach.yaml": f"""
apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: reach, version: 1, owner: o, review_by: 2029-12-31}}
subjects: ["{EXPORTER}"]
steps:
"""
    + "".join(
        f"""
  {tool}:
    tool: {tool}
    arguments: {{at: {{type: string}}}}
    destinations: {{up_to: secret, unclassified: allow}}
    approval: {{from: [user:dana], quorum: 1, within: 5m}}
"""
        for tool in ("fetch", "query", "clone", "load", "share", "hide")
    ),
    "tight.yaml": f"""
apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: tight, version: 1, owner: o, review_by: 2029-12-31}}
subjects: ["{EXPORTER}"]
steps:
"""
    + "".join(
        f"""
  {tool}:
    tool: {tool}
    arguments: {{at: {{type: string}}}}
    destinations: {{up_to: public}}
"""
        for tool in ("fetch", "query", "clone", "load", "share", "hide")
    ),
}
PIN = "48*31"
CANONICAL = b'{"card":"4000","pin":"48*31"}'


def test_a_text_that_may_hold_a_credential_is_always_looked_at() -> None:
    """Arguments without a sign of any are taken for clean; each form that is known has one of the signs."""
    forms = ["https://a:b@h/", "user:pw@host", "x?token=1", "password = 'x'", "hooks.slack.com/services/T/B/x"]

    for text in forms:
        assert without_credentials(text) != text
        assert may_hold(canonical_bytes({"a": [text]})) and may_hold(canonical_bytes({text: 1}))
    assert not may_hold(canonical_bytes({"table": "orders", "rows": 5}))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, text in BUNDLE.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def guard(policy: Path, tmp_path: Path, clock: Clock, log: io.StringIO) -> Iterator[Guard]:
    with Guard.load(policy, ledger=memory_ledger(), home=tmp_path / "home", clock=clock, log=log) as made:
        yield made


def unlock(card: str, pin: str) -> str:
    return "ok"


def decisions(guard: Guard) -> list[dict[str, Any]]:
    return list(guard.records(kind="decision"))


def unsalted(data: dict[str, Any]) -> list[str]:
    """Every digest that a stranger could make who knows the record and guesses the secret."""
    plain = "sha256:" + hashlib.sha256(CANONICAL).hexdigest()
    known = {
        "definition": data["definition"],
        "run": data["run_id"],
        "tool": data["tool"],
        "workflow": data["workflow"],
    }
    covered = [canonical_bytes({"arguments": guess, "v": v, **known}) for guess in (plain,) for v in (1, 2)]
    empty = commitment("", CANONICAL)
    covered += [canonical_bytes({"arguments": empty, "v": v, **known}) for v in (1, 2)]
    return [plain, empty, *("sha256:" + hashlib.sha256(each).hexdigest() for each in covered)]


def test_no_digest_in_a_record_can_be_searched_for_a_short_secret(guard: Guard, log: io.StringIO) -> None:
    """Ten thousand tries find a PIN in an unsalted digest; what approvals and proofs bind to is such a digest, too."""
    wrapped = guard.wrap(unlock)
    with guard.run("open") as run:
        wrapped("4000", PIN)
        wrapped("4000", PIN)
        salt = guard.operations.run(run.id).salt  # type: ignore[union-attr]
    first, second = decisions(guard)
    for data in (first, second):
        assert not {data["arguments_digest"], data["request_digest"]} & set(unsalted(data))
    assert first["arguments_digest"] != second["arguments_digest"], "each record has a salt of its own"
    assert first["request_digest"] == second["request_digest"], "what a person said yes to is known again"
    with guard.run("open"):
        wrapped("4000", PIN)
    assert decisions(guard)[-1]["request_digest"] != first["request_digest"]

    salts = [guard.operations.salts(data["seq"])["/arguments_digest"] for data in decisions(guard)]
    public = json.dumps(list(guard.records())) + log.getvalue()
    assert left_out(public, salt, *salts, PIN)


def test_a_call_outside_a_run_cannot_be_searched_either(guard: Guard) -> None:
    """There is no run whose salt could be used, and the denial stands in the records all the same."""
    with pytest.raises(ToolCallDenied):
        guard.wrap(unlock)("4000", PIN)
    (data,) = decisions(guard)
    assert not {data["arguments_digest"], data["request_digest"]} & set(unsalted(data))


def test_an_auditor_who_is_given_the_salt_checks_the_arguments_offline(policy: Path, tmp_path: Path) -> None:
    """With the record, the salt and a hash function: without this project, and after a restart."""
    with Guard.load(policy, home=tmp_path / "home") as guard:
        with guard.run("open"):
            guard.wrap(unlock)("4000", PIN)
        (data,) = decisions(guard)
    ledger = open_ledger(tmp_path / "home" / "ledger.sqlite3")
    salt = ledger.private(data["seq"]).result()["salts"]["/arguments_digest"]
    ledger.shut()

    assert data["arguments_digest"] == "sha256:" + hashlib.sha256(f"{salt}.".encode() + CANONICAL).hexdigest()
    assert data["arguments_digest"] != commitment(salt, CANONICAL.replace(b"31", b"32"))


# Which tool, with what, and what of it no record may hold.
ADDRESSES = [
    ("query", "postgresql://svc:hunter2@db.example/sales", "hunter2"),
    ("query", "postgresql://svc:hunter2@db.example/sales?password=hunter3", "hunter3"),
    ("query", "mysql://svc:hun%40ter2@db.example/sales", "hun%40ter2"),
    ("query", "mongodb://svc:hunt/er2@db.example/sales", "er2"),
    ("query", "postgresql://svc:h@nter2@db.example/sales", "nter2"),
    ("query", "redis://:hunter2@cache.example:6379/0", "hunter2"),
    ("query", "host=db.example user=svc password='hunter 2'", "hunter 2"),
    ("query", "Server=db.example;User Id=svc;Pwd=hunter2;", "hunter2"),
    ("query", "svc:hunter2@tcp(db.example:3306)/sales", "hunter2"),
    ("fetch", "https://svc:hunter2@api.example/x", "hunter2"),
    ("fetch", "https://ghp_hunter2@api.example/x", "ghp_hunter2"),
    ("fetch", "https://api.example/x?token=hunter2", "hunter2"),
    ("fetch", "https://api.example/x?a=1&access_token=hunter2&b=2", "hunter2"),
    ("fetch", "https://api.example/x?api_key=hunter2", "hunter2"),
    ("fetch", "https://api.example/x?apikey=hunter2", "hunter2"),
    ("fetch", "https://api.example/x?key=AIzahunter2", "AIzahunter2"),
    ("fetch", "https://api.example/x?code=hunter2&state=1", "hunter2"),
    ("fetch", "https://api.example/x?X%2DAPI%2DKey=hunter2", "hunter2"),
    ("fetch", "https://api.example/x#access_token=hunter2", "hunter2"),
    ("fetch", "https://b.s3.eu-west-1.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=beefy1", "beefy1"),
    ("fetch", "https://b.s3.amazonaws.com/k?AWSAccessKeyId=AKIA7&Signature=beefy1&Expires=1", "beefy1"),
    ("fetch", "https://storage.googleapis.com/b/k?X-Goog-Signature=beefy1", "beefy1"),
    ("fetch", "https://acct.blob.core.windows.net/c/k?sv=2022&se=2027&sig=beefy1%3D", "beefy1"),
    ("fetch", "https://hooks.slack.com/services/T000/B000/hunter2", "hunter2"),
    ("fetch", "https://discord.com/api/webhooks/17/hunter2", "hunter2"),
    ("fetch", "https://api.telegram.org/bot17:hunter2/sendMessage", "hunter2"),
    ("load", "https://b.s3.amazonaws.com/k?X-Amz-Signature=beefy1", "beefy1"),
    ("load", "s3://AKIA:hunter2@bucket/key", "hunter2"),
    ("clone", "https://oauth2:hunter2@github.com/o/r.git", "hunter2"),
    ("clone", "https://ghp_hunter2@github.com/o/r.git", "ghp_hunter2"),
    ("clone", "git+https://ghp_hunter2@github.com/o/r.git", "ghp_hunter2"),
    ("share", "https://drop.example/f/hunter2", "hunter2"),
    ("hide", "https://drop.example/f/hunter2", "hunter2"),
    ("hide", "https://hunter2.example/", "hunter2"),
]


def everything(guard: Guard, log: io.StringIO) -> str:
    """All that a person may see of the calls: records, logs, questions."""
    asked = [row.request.shown for row in guard.operations.approvals(open_only=False)]
    return json.dumps([*guard.records(), *asked], default=str) + log.getvalue()


@pytest.mark.parametrize("workflow", ["reach", "tight"])
@pytest.mark.parametrize(("tool", "at", "secret"), ADDRESSES)
def test_no_credential_in_an_address_is_in_a_record_a_log_or_a_question(
    guard: Guard, log: io.StringIO, workflow: str, tool: str, at: str, secret: str
) -> None:
    """Permitted, asked about, refused by where it leads, or not to be read at all: arguments, destinations, reasons."""

    def reach(at: str) -> str:
        return "ok"

    reach.__name__ = tool
    wrapped = guard.wrap(reach)
    with guard.run(workflow), pytest.raises((ToolCallDenied, ApprovalPending)):
        wrapped(at)
    with pytest.raises(ToolCallDenied):
        wrapped(at)

    assert left_out(everything(guard, log), secret)
    if "#" not in at:  # the canonical form of an address has no fragment
        assert all(data["redacted"] == ["/at"] for data in decisions(guard))


def test_the_tool_gets_the_credential_that_no_record_has(guard: Guard) -> None:
    """What is left out is left out of what is said, and of nothing else."""
    got = []

    def fetch(at: str) -> str:
        got.append(at)
        return "ok"

    wrapped, at = guard.wrap(fetch), "https://api.example/x?token=hunter2"
    with guard.run("reach") as run:
        with pytest.raises(ApprovalPending):
            wrapped(at)
        guard.operations.answer(run.waiting[0] if run.waiting else _asked(guard), approver="user:dana", approve=True)
        assert wrapped(at) == "ok"
    assert got == [at]


def _asked(guard: Guard) -> str:
    return guard.operations.approvals()[0].request.id


@pytest.mark.parametrize(
    ("tool", "at", "shown"),
    [
        ("fetch", "https://api.example/x?a=1&token=hunter2", "https://api.example/x?a=1&token=secret"),
        ("share", "https://drop.example/f/hunter2", "https://drop.example/secret"),
        ("hide", "https://drop.example/f/hunter2", "secret"),
        ("fetch", "https://api.example/x?a=1", None),
    ],
)
def test_a_destination_that_is_partly_secret_is_committed_to_and_can_be_opened(
    guard: Guard, tool: str, at: str, shown: str | None
) -> None:
    """The record names the place without the secret; whoever is given the salt can check which place it was."""

    def reach(at: str) -> str:
        return "ok"

    reach.__name__ = tool
    with guard.run("tight"), pytest.raises(ToolCallDenied):
        guard.wrap(reach)(at)
    (data,) = decisions(guard)
    (place,) = data["destinations"]
    assert place["id"] == (shown or at)
    opened = guard.operations.salts(data["seq"])
    if shown is None:
        assert place["commitment"] is None and list(opened) == ["/arguments_digest"]
    else:
        salt = opened["/destinations/0/commitment"]
        assert place["commitment"] == commitment(salt, at.encode())
        assert salt != opened["/arguments_digest"] and left_out(json.dumps(data), salt)


def test_a_part_that_no_place_has_cannot_be_declared_secret(policy: Path) -> None:
    """Else a misspelt word would leave in the records what its owner wanted out."""
    tools = policy / "tools.yaml"
    tools.write_text(tools.read_text().replace("secret: [path]", "secret: [paht]"))
    with pytest.raises(PolicyError, match="`paht` is no part of a url; expected some of `host`, `id`"):
        Guard.load(policy, ledger=memory_ledger(), home=policy / "home")


@pytest.mark.parametrize("at", ["https://f.example/f", "https://drop.example/"])
def test_a_part_that_cannot_be_told_from_the_rest_takes_all_of_it_along(guard: Guard, at: str) -> None:
    """Rather all than the wrong half."""

    def share(at: str) -> str:
        return "ok"

    with guard.run("tight"), pytest.raises(ToolCallDenied):
        guard.wrap(share)(at)
    assert [place["id"] for place in decisions(guard)[-1]["destinations"]] in (["secret"], ["https://f.example/secret"])


PLAIN = [
    "https://api.example/x?page=2&sort=key&tokens=17",
    "postgresql://svc@db.example/sales?sslmode=require",
    "ssh://git@github.com/o/r.git",
    "git@github.com:o/r.git",
    "mailto:ann@corp.example",
    "args.password == inputs.password",
    "a note: 12:30 at the office, ask ann@corp.example",
    "https://registry.example:8443/@scope/pkg",
    "spiffe://corp.example/agent/exporter",
    "code = 17; key = 4",
    "password=",
    "x = y",
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_credential_stays_in_records(text: str) -> None:
    """A record that hides everything tells a reviewer nothing."""
    assert without_credentials(text) == text


@pytest.mark.parametrize(("_", "at", "secret"), [row for row in ADDRESSES if row[0] not in ("share", "hide")])
def test_leaving_credentials_out_twice_is_leaving_them_out_once(_: str, at: str, secret: str) -> None:
    """A record is cleaned as it is made, and parts of it were before."""
    once = without_credentials(at)
    assert secret not in once
    assert without_credentials(once) == once


@pytest.mark.parametrize(
    "piece", ["a:", "a:b@", "://", "x://a:", "a='", 'a="', "a='\\'", "token=", "?token=a&", "@", "="]
)
def test_looking_for_credentials_takes_time_that_grows_with_the_text(piece: str) -> None:
    """Arguments are up to a mebibyte, and outsiders write them."""
    text = piece * (1024 * 1024 // len(piece))
    with processor_time(at_most=20.0):
        without_credentials(text)


def test_a_declared_secret_is_in_no_reason_either(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a check says of an argument: the words of a reason are for reviewers, the value is not."""
    told = Finding(Effect.DENY, Reason.ARGUMENTS_INVALID, "`pin` is 48*31, not '48*310', and its half is 48")
    monkeypatch.setattr(judge, "decide", lambda *_: Decision(Effect.DENY, (told,)))
    with guard.run("open"), pytest.raises(ToolCallDenied):
        guard.wrap(unlock)("4000", PIN)
    (data,) = decisions(guard)
    assert data["findings"][0]["detail"] == "`pin` is [redacted], not '[redacted]0', and its half is 48"
