"""What is personal stands in no record, log or listing, is shown to those who are asked, and can be erased.

Every marker begins with MARK, so that one search finds whatever got out, in whatever part of whatever file.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import (
    ApprovalPending,
    ApprovalRefused,
    ConfigurationError,
    LedgerError,
    PolicyError,
    ToolCallDenied,
)
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger, open_ledger
from agentguard.ledger.rebuild import rebuild_ledger

from .conftest import EXPORTER, FILES, Clock

MARK = "Zq7Mark"
WHO, NOTE, ADDRESS, TEXT, PIN, INPUT, KEPT, PLACE = (
    f"{MARK}Who", f"{MARK}Note", f"{MARK}Address", f"{MARK}Text", f"{MARK}Pin", f"{MARK}Input", f"{MARK}Kept",
    f"{MARK}place",
)  # fmt: skip
# What a call passes on as an argument, and nobody declared.
PUBLIC = "an ordinary subject"

TOOLS = """
apiVersion: agentguard/v1
kind: Tools
tools:
  people.find:
    effect: read
    aliases: [people_find]
    personal: [who]
    personal_results: ["found[*].address"]
    untrusted_results: [note]
  mail.write: {effect: write, aliases: [mail_write], personal: ["letter.text"], secrets: [pin]}
  mail.post: {effect: write, aliases: [mail_post], personal: ["letter.text"], secrets: [pin]}
  desk.mind: {effect: read, aliases: [desk_mind]}
  site.open: {effect: read, aliases: [site_open], personal: [at], destinations: [{kind: url, argument: at}]}
"""
WORKFLOW = f"""
apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: letters, version: 1, owner: o, review_by: 2029-12-31}}
subjects: ["{EXPORTER}"]
inputs: {{ticket: {{type: string}}}}
steps:
  find:
    tool: people.find
    arguments: {{who: {{type: string}}}}
    keep: {{address: "result.found[0].address", city: result.city}}
  write:
    tool: mail.write
    arguments:
      to: {{type: string, from: [people.find]}}
      letter: {{type: object, additionalProperties: {{type: string}}}}
      pin: {{type: string}}
    require: [args.to == kept.address]
  ask:
    tool: mail.post
    arguments:
      to: {{type: string}}
      letter: {{type: object, additionalProperties: {{type: string}}}}
      pin: {{type: string}}
    approval: {{from: [user:dana], quorum: 1, within: 1h}}
  mind:
    tool: desk.mind
    arguments: {{}}
    require: ['!has(kept.city)']
  open:
    tool: site.open
    arguments: {{at: {{type: string}}}}
    destinations: {{up_to: secret, unclassified: allow}}
raise_risk: [{{name: new, to: medium, first_use_of: destination}}]
"""


def people_find(who: str) -> dict[str, Any]:
    return {"found": [{"address": ADDRESS}], "city": KEPT, "note": NOTE}


def mail_write(to: str, letter: dict[str, Any], pin: str) -> str:
    return f"sent {to}"


def mail_post(to: str, letter: dict[str, Any], pin: str) -> str:
    return f"sent {to}"


def desk_mind() -> str:
    return "minded"


def site_open(at: str) -> str:
    return "opened"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, text in (("trust.yaml", FILES["trust.yaml"]), ("tools.yaml", TOOLS), ("letters.yaml", WORKFLOW)):
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "ledger.sqlite3"


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def guard(policy: Path, tmp_path: Path, file: Path, clock: Clock, log: io.StringIO) -> Iterator[Guard]:
    with Guard.load(policy, ledger=open_ledger(file), home=tmp_path / "home", clock=clock, log=log) as made:
        yield made


def tools(guard: Guard) -> tuple[Callable[..., Any], ...]:
    return tuple(guard.wrap([people_find, mail_write, site_open, mail_post]))


def whole_story(guard: Guard) -> tuple[str, str]:
    """A run that leaves a marker in every private place, and waits for a person. Its id, and the request's."""
    find, write, visit, post = tools(guard)
    with (
        pytest.raises(ApprovalPending) as waits,
        guard.run("letters", inputs={"ticket": INPUT}, requester="user:eve") as run,
    ):
        find(who=WHO)
        write(to=ADDRESS, letter={"text": TEXT, "subject": PUBLIC}, pin=PIN)
        visit(at=f"https://x.example/{PLACE}")
        post(to="b@x.example", letter={"text": TEXT, "subject": PUBLIC}, pin=PIN)
    return run.id, waits.value.approval_id


def one(guard: Guard, tool: str) -> dict[str, Any]:
    return next(each for each in guard.records(kind="decision") if each["tool"] == tool)


def files(file: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in file.parent.rglob("*") if path.is_file()}


def found_in(data: object) -> list[str]:
    text = data if isinstance(data, str) else json.dumps(data, default=str)
    return [word for word in (WHO, NOTE, ADDRESS, TEXT, PIN, INPUT, KEPT, PLACE) if word.lower() in text.lower()]


def test_no_private_marker_is_in_a_record_a_log_or_a_listing(guard: Guard, log: io.StringIO) -> None:
    hooked: list[bytes] = []
    guard.ledger.listen(hooked.append)
    whole_story(guard)

    assert PUBLIC in log.getvalue()
    assert found_in(log.getvalue()) == []
    assert found_in([body.decode() for body in hooked]) == []
    assert found_in(list(guard.records())) == []
    written = one(guard, "mail.write")
    assert written["arguments"] == {
        "to": "[personal]", "letter": {"text": "[personal]", "subject": PUBLIC}, "pin": "[redacted]",
    }  # fmt: skip
    assert (written["personal"], written["redacted"]) == (["/letter/text", "/to"], ["/pin"])
    (place,) = one(guard, "site.open")["destinations"]
    assert place["commitment"].startswith("sha256:"), "what is read from a personal argument is committed to, too"


def test_a_kept_value_of_a_personal_result_stays_personal_where_it_is_passed_on(guard: Guard) -> None:
    """`to` of mail.write is not declared: it is what people.find said is personal."""
    whole_story(guard)
    first, second = one(guard, "mail.write"), one(guard, "mail.post")
    assert (first["arguments"]["to"], second["arguments"]["to"]) == ("[personal]", "b@x.example")


def test_the_private_part_holds_what_the_record_leaves_out_and_no_secret(guard: Guard) -> None:
    whole_story(guard)
    first = one(guard, "mail.write")
    assert guard.operations.private(first["seq"])["personal"] == {"/letter/text": TEXT, "/to": ADDRESS}
    assert PIN not in json.dumps(guard.operations.private(first["seq"]))
    assert first["commitments"]["personal"].startswith("sha256:")


def test_who_is_asked_sees_what_is_personal(guard: Guard) -> None:
    from agentguard.approvals import ApprovalView

    _, approval = whole_story(guard)
    row = guard.operations.approval(approval)
    assert row is not None
    view = ApprovalView(row.request, row.answers, row.life, row.request.requested_at)
    seen = dict(view.rows(personal=view.may_see("user:dana")))
    assert (seen["argument letter.text"], seen["argument pin"]) == (f'"{TEXT}"', '"[redacted]"')
    assert view.may_see("user:eve") is False
    assert found_in(dict(view.rows(personal=False))) == found_in(view.to_json(personal=False)) == []


@pytest.mark.parametrize("by", ["run_id", "subject", "requester", "every decision"])
def test_what_is_erased_is_in_no_byte_of_any_file(guard: Guard, file: Path, by: str) -> None:
    """The journal included, while the ledger is in use."""
    run, approval = whole_story(guard)
    assert found_in("".join(data.decode("latin-1") for data in files(file).values())) != []
    about = {"run_id": run, "subject": EXPORTER, "requester": "eve"}
    if by == "every decision":
        for each in list(guard.records(kind="decision")):
            guard.operations.erase(decision_id=each["decision_id"], by="user:sam", why="asked for")
        guard.operations.erase(run_id=run, by="user:sam", why="its inputs, too")
    else:
        done = guard.operations.erase(**{by: about[by]}, by="user:sam", why="asked for")
        assert (done.records > 5, done.approvals) == (True, 1)

    assert {name: word for name, data in files(file).items() for word in found_in(data.decode("latin-1"))} == {}
    assert guard.operations.approval(approval).request.erased  # type: ignore[union-attr]
    assert guard.operations.run(run).erased == {"inputs", "kept"}  # type: ignore[union-attr]
    said = [each for each in guard.records(kind="operation") if each["outcome"] == "erase"]
    assert said[-1]["by"] == "user:sam"


def test_erased_and_rebuilt_the_ledger_stands(guard: Guard, file: Path) -> None:
    run, _ = whole_story(guard)
    guard.operations.erase(run_id=run, by="user:sam", why="asked for")
    before = guard.operations.run(run)
    guard.ledger.shut()

    assert not rebuild_ledger(file).differs
    again = open_ledger(file)
    assert again.runs().result() == [before]
    again.shut()
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_run_goes_on_with_what_does_not_rest_on_what_is_gone(guard: Guard) -> None:
    find, write, *_ = tools(guard)
    with guard.run("letters", inputs={"ticket": INPUT}) as run:
        find(who=WHO)
        guard.operations.erase(run_id=run.id, by="user:sam", why="asked for")
        find(who="somebody else")
        with pytest.raises(ToolCallDenied):
            write(to=ADDRESS, letter={}, pin="1")
    assert "run_lost_track" in one(guard, "mail.write")["reasons"]


def test_what_was_erased_is_not_taken_for_what_was_never_there(guard: Guard) -> None:
    """`!has(kept.city)` is no permit where nobody knows what was kept."""
    mind = guard.wrap(desk_mind)
    with guard.run("letters", inputs={"ticket": INPUT}) as run:
        guard.operations.erase(run_id=run.id, by="user:sam", why="asked for")
        with pytest.raises(ToolCallDenied):
            mind()
    assert set(list(guard.records(kind="decision"))[-1]["reasons"]) == {"run_lost_track", "condition_failed"}


def test_the_same_question_is_known_again_after_erasing(guard: Guard) -> None:
    """A refusal stands, also where nobody can read any more what was refused."""
    run, approval = whole_story(guard)
    guard.operations.answer(approval, approver="user:dana", approve=False)
    guard.operations.erase(run_id=run, by="user:sam", why="asked for")
    *_, post = tools(guard)
    with guard.resume(run), pytest.raises(ApprovalRefused):
        post(to="b@x.example", letter={"text": TEXT, "subject": PUBLIC}, pin=PIN)
    assert "approval_refused" in list(guard.records(kind="decision"))[-1]["reasons"]


def test_nobody_agrees_to_what_nobody_can_read(guard: Guard) -> None:
    run, approval = whole_story(guard)
    guard.operations.erase(run_id=run, by="user:sam", why="asked for")
    with pytest.raises(LedgerError, match="erased"):
        guard.operations.answer(approval, approver="user:dana", approve=True)
    guard.operations.answer(approval, approver="user:dana", approve=False)


def test_erasing_again_erases_what_came_since_and_writes_nothing_where_nothing_is_left(guard: Guard) -> None:
    find, *_ = tools(guard)
    with guard.run("letters", inputs={"ticket": INPUT}) as run:
        find(who=WHO)
        guard.operations.erase(run_id=run.id, by="user:sam", why="asked for")
        find(who=WHO)
        assert guard.operations.erase(run_id=run.id, by="user:sam", why="again").records == 2
        count = sum(1 for _ in guard.records())
        assert guard.operations.erase(run_id=run.id, by="user:sam", why="again").records == 0
        assert sum(1 for _ in guard.records()) == count


def test_a_decision_is_erased_alone(guard: Guard, file: Path) -> None:
    """What others brought stays. Of what the run kept nobody knows which of two calls it is from, so all of it goes."""
    run, _ = whole_story(guard)
    visit = one(guard, "site.open")
    guard.operations.erase(decision_id=visit["decision_id"], by="user:sam", why="asked for")
    assert guard.operations.run(run).erased == frozenset()  # type: ignore[union-attr]
    assert guard.operations.private(visit["seq"])["personal"] is None

    found = one(guard, "people.find")
    guard.operations.erase(decision_id=found["decision_id"], by="user:sam", why="asked for")
    assert guard.operations.run(run).erased == {"kept"}  # type: ignore[union-attr]
    assert guard.operations.run(run).inputs == {"ticket": INPUT}  # type: ignore[union-attr]


def test_a_call_outside_of_runs_is_erased_with_its_subject(guard: Guard) -> None:
    find, *_ = tools(guard)
    with pytest.raises(ToolCallDenied):
        find(who=WHO)
    (denied,) = guard.records(kind="decision")
    assert guard.operations.private(denied["seq"])["personal"] == {"/who": WHO}
    guard.operations.erase(decision_id=denied["decision_id"], by="user:sam", why="asked for")
    assert guard.operations.private(denied["seq"])["personal"] is None


@pytest.mark.parametrize("named", [{}, {"run_id": "r", "subject": "s"}])
def test_an_erasure_names_one_thing(guard: Guard, named: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="name one"):
        guard.operations.erase(**named, by="user:sam", why="asked for")  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [{"run_id": "r-none"}, {"decision_id": "d-none"}])
def test_what_is_not_there_cannot_be_erased(guard: Guard, named: dict[str, str]) -> None:
    with pytest.raises(LedgerError, match="no"):
        guard.operations.erase(**named, by="user:sam", why="asked for")  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["personal", "personal_results"])
def test_a_path_that_is_none_is_refused_when_the_bundle_is_loaded(policy: Path, tmp_path: Path, key: str) -> None:
    text = (policy / "tools.yaml").read_text()
    (policy / "tools.yaml").write_text(
        text.replace("desk.mind: {effect: read,", f"desk.mind: {{effect: read, {key}: ['a..b'],")
    )
    with pytest.raises(PolicyError, match=key):
        Guard.load(policy, ledger=memory_ledger(), home=tmp_path / "home")


def test_a_destination_reached_is_committed_to_and_known_again(guard: Guard) -> None:
    """The rule about first uses knows the place, and no record and no cell can be searched for it."""
    _, _, visit, _ = tools(guard)
    for _ in range(2):
        with guard.run("letters", inputs={"ticket": INPUT}):
            visit(at=f"https://x.example/{PLACE}")
    raised = [each for each in guard.records(kind="signal") if each["by"]]
    assert len(raised) == 1
