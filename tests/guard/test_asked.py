"""What people who are asked read: why, in the owner's words, and what the ids of a call mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from small_bundle import TEXT, WHOLE, small_bundle

from agentguard.approvals import ApprovalView
from agentguard.errors import ApprovalPending, PolicyError
from agentguard.testing import in_memory_guard

FILES = [{"id_": "7", "filename": "report.pdf"}, {"id_": "8", "filename": "\u202eno\n\x1b[31m"}]
NAME = "kept.files[?id_ == args.id].filename"
BECAUSE = "a file leaves the house"


def bundle(show: dict[str, str], pin: Any = "", personal: list[str] | None = None) -> dict[str, str]:
    hidden = {"personal": personal} if personal else {}
    kind = TEXT if isinstance(pin, str) else WHOLE
    send = {
        "effect": "send",
        "args": {"id": TEXT, "pin": kind},
        "approval": True,
        "tool": {"secrets": ["pin"]} | hidden,
    }
    files = small_bundle({"look": {"keep": {"files": "result.files"}}, "send": send})
    workflow = json.loads(files["w.yaml"].replace("2029-12-31", '"2029-12-31"'))
    workflow["inputs"] = {"ticket": TEXT}
    workflow["steps"]["send"]["approval"] |= {"because": BECAUSE, "show": show}
    return files | {"w.yaml": json.dumps(workflow)}


def asked(
    show: dict[str, str],
    *,
    files: Any = FILES,
    id: str = "7",
    ticket: str = "T-1",
    pin: Any = "s3cret-pin",
    personal: list[str] | None = None,
) -> ApprovalView:
    """The question that a call puts, as an approver sees it."""

    def look() -> dict[str, Any]:
        return {"files": files}

    def send(id: str, pin: Any) -> str:
        return "sent"

    send.__annotations__["pin"] = type(pin)
    with in_memory_guard(bundle(show, pin, personal)) as guard:
        reading, sending = guard.wrap([look, send])
        with guard.run("w", inputs={"ticket": ticket}):
            reading()
            with pytest.raises(ApprovalPending) as caught:
                sending(id=id, pin=pin)
            assert not [r for r in guard.records() if "report.pdf" in json.dumps(r)]
        row = guard.operations.approval(caught.value.approval_id)
        assert row is not None
        return ApprovalView(row.request, row.answers, row.life, datetime.now(UTC))


def rows(view: ApprovalView) -> dict[str, str]:
    return dict(view.rows())


def test_a_person_reads_why_and_what_the_id_means() -> None:
    """An id says nothing to anybody; its file name stands in what the run kept, and in no record."""
    view = asked({"file": NAME, "ticket": "inputs.ticket", "given": "args.id"})

    found = rows(view)

    assert (found["why"], view.why) == (BECAUSE, BECAUSE)
    assert (found["(file)"], found["(ticket)"], found["(given)"]) == ('"report.pdf"', '"T-1"', '"7"')
    assert view.to_json()["meaning"] == [
        {"label": "file", "value": "report.pdf"}, {"label": "ticket", "value": "T-1"}, {"label": "given", "value": "7"},
    ]  # fmt: skip


def test_what_outsiders_wrote_can_imitate_nothing() -> None:
    """It stands in quotes, on one line, in printable ASCII."""
    text = rows(asked({"file": NAME}, id="8"))["(file)"]

    assert text == '"\\u{202E}no\\u{000A}\\u{001B}[31m"'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "not known: "),
        ([{"id_": "7"}], "not known: "),
        ([{"id_": "7", "filename": "a"}, {"id_": "7", "filename": "b"}], "not known: "),
        ([{"id_": "7", "filename": "x" * 5_000}], "are too long to be shown"),
        ([{"id_": 7, "filename": "other"}], "not known: "),
    ],
)
def test_what_cannot_be_shown_is_said_and_the_question_is_put_all_the_same(files: Any, said: str) -> None:
    """Missing, or meant in two ways: a guess would be worse than nothing."""
    found = rows(asked({"file": NAME}, files=files))

    assert said in found["(file)"]
    assert found["why"] == BECAUSE


def test_a_secret_of_the_call_is_not_shown_by_another_way() -> None:
    """Neither as the argument itself, nor where the run has the same text."""
    found = rows(asked({"pin": "args.pin", "note": "inputs.ticket"}, ticket="my s3cret-pin here"))

    assert "s3cret" not in json.dumps(found)


def test_an_argument_that_is_personal_still_finds_its_meaning() -> None:
    """Records hold no personal value, and those who are asked see it: the file it stands for, too."""
    found = rows(asked({"file": NAME, "given": "args.id"}, personal=["id"]))

    assert (found["(file)"], found["(given)"]) == ('"report.pdf"', '"7"')


def test_a_secret_number_is_hidden_wherever_the_run_has_it() -> None:
    """A PIN is a number to some tools."""
    found = rows(
        asked({"pin": "args.pin", "files": "kept.files"}, files=[{"id_": "7", "code": 48151623}], pin=48151623)
    )

    assert "48151623" not in json.dumps(found)


@pytest.mark.parametrize(
    ("show", "said"),
    [
        ({"file": "kept.file"}, "there is no `kept.file`; did you mean `files`?"),
        ({"file": "kept.files[?id_ == args.idd].filename"}, "there is no `args.idd`; did you mean `id`?"),
        ({"file": "inputs.tickets"}, "did you mean `ticket`?"),
        ({"file": "result.x"}, "is not a path here"),
        ({"file": "kept"}, "after `kept` stands a name"),
        ({"file": "kept.files["}, "cannot read"),
        ({"file:": "kept.files"}, "a label of up to 40"),
        ({f"f{n}": "args.id" for n in range(11)}, "show: "),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error_of_the_bundle(show: dict[str, str], said: str) -> None:
    """It would show nothing, at the moment when somebody has to decide."""
    with pytest.raises(PolicyError) as caught, in_memory_guard(bundle(show)):
        pass

    assert said in str(caught.value)
