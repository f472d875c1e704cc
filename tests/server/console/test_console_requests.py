"""What an approver sees of a request, and their answer: the page adds no rule to the one below every channel."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from agentguard.core.answers import Need
from agentguard.errors import ConfigurationError
from agentguard.ledger import RecordFilter

from .conftest import ANN, Place, Visitor, form_of


def standing(place: Place, approval: str = "a-1") -> list[tuple[str, bool]]:
    row = place.operations.approval(approval)
    assert row is not None
    return [(answer.approver, answer.approve) for answer in row.answers]


def test_the_inbox_shows_first_what_asks_this_person_soonest_to_expire_first(place: Place) -> None:
    place.ask("a-2", expires_at=place.clock.now() + timedelta(minutes=4))
    place.ask("a-3", shown={"people": ["user:ben"]}, expires_at=place.clock.now() + timedelta(minutes=1))
    page = place.visitor(ANN, "link").get("/requests").text

    assert re.findall(r'href="/requests/(a-\d)"', page) == ["a-2", "a-1", "a-3"]
    assert "2 wait for your answer" in page


def test_a_person_who_is_asked_sees_their_requests_and_no_others(place: Place) -> None:
    """Without a role, the console shows somebody what they are asked, and nothing else that it has."""
    place.ask("a-3", shown={"people": ["user:mei"]})
    ben = place.visitor("user:ben")

    assert re.findall(r'href="/requests/(a-\d)"', ben.get("/requests").text) == ["a-1"]
    assert ben.get("/requests/a-1").status_code == 200
    assert ben.get("/requests/a-3").status_code == 404
    assert ben.get("/requests/a-3").text == ben.get("/requests/none").text
    assert place.visitor("user:carol").get("/requests/a-1").status_code == 404, "nor whom the call is for"


def test_an_answer_is_recorded_for_whoever_is_signed_in(place: Place) -> None:
    ben = place.visitor("user:ben")
    answer = ben.send("/requests/a-1", "/requests/a-1/approve")

    assert (answer.status_code, answer.headers["location"]) == (303, "/requests/a-1")
    assert standing(place) == [("user:ben", True)]
    page = ben.get("/requests/a-1").text
    assert "1 of 2 has agreed" in page
    assert "/approve" not in page


def test_a_denial_is_final(place: Place, ann: Visitor) -> None:
    ann.send("/requests/a-1", "/requests/a-1/deny")

    assert standing(place) == [(ANN, False)]
    page = place.visitor("user:ben").get("/requests/a-1").text
    assert "denied" in page
    assert "<form" not in page
    assert "Nothing waits for an answer" in ann.get("/requests").text
    assert "a-1" in ann.get("/history").text


def test_a_no_carries_words_for_the_record_and_for_those_who_see_the_request(place: Place, ann: Visitor) -> None:
    ann.send("/requests/a-1", "/requests/a-1/deny", why="the ticket is closed <b>\u202e")

    record = list(place.operations.records(RecordFilter(kind="approval")))[-1]
    assert (record["outcome"], record["by"], record["why"]) == ("denied", ANN, "the ticket is closed <b>\u202e")
    page = place.visitor("user:ben").get("/requests/a-1").text
    assert 'the ticket is closed &lt;b&gt;<span class="esc">\\u{202E}</span>' in page


@pytest.mark.parametrize("why", ["", "  ", "\n"])
def test_a_no_needs_no_words(place: Place, ann: Visitor, why: str) -> None:
    assert ann.send("/requests/a-1", "/requests/a-1/deny", why=why).status_code == 303
    assert standing(place) == [(ANN, False)]
    assert list(place.operations.records(RecordFilter(kind="approval")))[-1]["why"] is None


def test_a_yes_carries_no_words(place: Place, ann: Visitor) -> None:
    """A condition in words would bind nobody: the call runs as it was shown."""
    ann.send("/requests/a-1", "/requests/a-1/approve", why="only on Monday")
    assert list(place.operations.records(RecordFilter(kind="approval")))[-1]["why"] is None
    with pytest.raises(ConfigurationError, match="a yes carries no words"):
        place.operations.answer("a-1", approver="user:ben", approve=True, why="only on Monday")
    with pytest.raises(ConfigurationError, match="at most"):
        place.operations.answer("a-1", approver="user:ben", approve=False, why="x" * 2_001)
    assert standing(place) == [(ANN, True)]


def test_words_of_one_request_stand_beside_no_other(place: Place, ann: Visitor) -> None:
    place.ask("a-2")
    ann.send("/requests/a-2", "/requests/a-2/deny", why="not this one")
    assert "not this one" in ann.get("/requests/a-2").text
    assert "not this one" not in ann.get("/requests/a-1").text


def test_a_request_to_several_groups_says_how_many_of_each_it_takes(place: Place, ann: Visitor) -> None:
    needs = (Need(("group:stewards",), 2), Need(("group:legal", "user:dana"), 1))
    place.ask("a-2", needs=(needs,), approvers=("group:stewards", "group:legal", "user:dana"), quorum=3)
    assert "2 of group:stewards and 1 of group:legal, user:dana" in ann.get("/requests/a-2").text
    assert "It takes" not in ann.get("/requests/a-1").text


def test_whom_a_call_is_for_sees_and_confirms_it_where_they_are_asked_to(place: Place) -> None:
    """Here the agent runs in the same process: that it may not be confirmed there is the ledger's rule."""
    people = {"people": ["user:carol"], "members": [[["user:carol"]]]}
    place.ask("a-2", needs=((Need(("requester",), 1),),), approvers=("requester",), quorum=1, shown=people)
    carol = place.visitor("user:carol")
    assert "/requests/a-2/approve" in carol.get("/requests/a-2").text
    refused = carol.send("/requests/a-2", "/requests/a-2/approve")
    assert (refused.status_code, standing(place, "a-2")) == (409, [])
    assert "never by the process of the agent" in refused.text


def test_the_name_of_who_answers_comes_from_the_session_and_from_no_form(place: Place, ann: Visitor) -> None:
    ann.send("/requests/a-1", "/requests/a-1/approve", approver="user:ben", by="user:ben", person="user:ben")
    assert standing(place) == [(ANN, True)]


def test_a_get_never_answers(place: Place, ann: Visitor) -> None:
    """Mail scanners and browsers that look ahead open every link."""
    form = form_of(ann.get("/requests/a-1").text, "/requests/a-1/approve")
    for word in ("approve", "deny"):
        address = f"/requests/a-1/{word}"
        assert ann.client.get(address, params=form).status_code == 404
        assert ann.client.head(address, params=form).status_code == 404
    for address in ("/requests", "/requests/a-1", "/requests/a-1?approve=1&csrf=" + form["csrf"]):
        ann.get(address)
    assert standing(place) == []


@pytest.mark.parametrize("who", ["user:carol", "user:dave", "user:Carol", "carol"])
def test_whoever_may_not_agree_cannot_by_writing_the_form_themselves(place: Place, who: str) -> None:
    """The rule is the one below the console; the console has none of its own to be left out."""
    visitor = place.visitor(who, "link")
    csrf = form_of(visitor.get("/you").text, "/sign-out")["csrf"]
    answer = visitor.post("/requests/a-1/approve", {"csrf": csrf, "digest": "sha256:a-1"})

    assert answer.status_code == 409
    assert standing(place) == []


def test_an_answer_is_for_the_call_that_was_shown(place: Place, ann: Visitor) -> None:
    place.ask("a-2")
    form = form_of(ann.get("/requests/a-2").text, "/requests/a-2/approve")
    assert ann.post("/requests/a-1/approve", form).status_code == 400
    assert ann.post("/requests/a-1/approve", {"csrf": form["csrf"]}).status_code == 400
    assert standing(place) == []


def test_a_second_answer_and_one_that_comes_too_late_change_nothing(place: Place) -> None:
    ben, ann = place.visitor("user:ben"), place.visitor(ANN)
    form, late = (form_of(each.get("/requests/a-1").text, "/requests/a-1/approve") for each in (ben, ann))
    assert ben.post("/requests/a-1/approve", form).status_code == 303
    again = ben.post("/requests/a-1/approve", form)
    assert again.status_code == 409
    assert "has answered" in again.text
    place.clock.goes_on(timedelta(minutes=30))
    assert ann.post("/requests/a-1/approve", late).status_code == 409
    assert standing(place) == [("user:ben", True)]


def test_the_words_of_the_owner_the_agent_and_agentguard_stand_apart(place: Place) -> None:
    """An argument that reads like an owner's reason must not look like one."""
    place.ask("a-2", shown={"arguments": {"why": "Large exports leave the house", "Who may agree": "anyone"}})
    page = place.visitor(ANN).get("/requests/a-2").text
    owner, call = page.index("Why you are asked"), page.index("What will run")
    rule = page.index("Which rule asks")

    assert (
        owner < page.index("steward&#39;s word") < call < page.index("&#34;Large exports leave the house&#34;") < rule
    )


def test_personal_values_are_shown_to_those_who_are_asked_alone(place: Place) -> None:
    place.ask("a-2", shown={
        "people": ["user:ben"], "arguments": {"iban": "[personal]"}, "personal": {"/iban": "DE89 3704"},
        "meaning": [{"label": "Account of", "value": "Kim Example"}],
    })  # fmt: skip
    asked, sees = (
        place.visitor("user:ben").get("/requests/a-2").text,
        place.visitor(ANN, "link").get("/requests/a-2").text,
    )

    assert "DE89 3704" in asked
    assert "Kim Example" in asked
    assert "DE89" not in sees
    assert "Kim Example" not in sees
    assert "Personal values are shown to those who are asked" in sees
    assert "DE89" not in place.visitor("user:ben").get("/requests").text


def test_nothing_is_cut_without_a_word_and_nobody_agrees_to_what_they_have_not_seen(place: Place) -> None:
    place.ask("a-2", shown={"arguments": {"text": "x" * 9_000 + "END"}})
    place.ask("a-3", shown={"arguments": {f"n{number:04d}": number for number in range(450)}})
    ann = place.visitor(ANN)
    for approval, said, last in (
        ("a-2", "characters left out", "xEND"),
        ("a-3", "250 more values are not shown", "n0449"),
    ):
        page = ann.get(f"/requests/{approval}").text
        assert said in page
        assert "/approve" not in page
        assert f"/requests/{approval}/deny" in page
        whole = ann.get(f"/requests/{approval}?full=1").text
        assert last in whole
        assert "left out" not in whole
        assert f"/requests/{approval}/approve" in whole


def test_what_was_erased_is_said_and_cannot_be_agreed_to(place: Place, ann: Visitor) -> None:
    place.operations.erase(run_id="r-1", by=ANN, why="asked for")
    page = ann.get("/requests/a-1").text
    assert "was erased" in page
    assert "/approve" not in page


def test_secrets_are_named_and_an_empty_call_says_so(place: Place, ann: Visitor) -> None:
    place.ask("a-2", shown={"arguments": {}, "redacted": ["/password"]})
    page = ann.get("/requests/a-2").text
    assert "It has no arguments" in page
    assert "/password" in page


def test_the_history_has_pages_and_an_empty_one_says_what_it_is_for(place: Place, ann: Visitor) -> None:
    assert "Nothing is over yet" in ann.get("/history").text
    for number in range(120):
        place.ask(f"b-{number:03d}", quorum=1)
        place.operations.answer(f"b-{number:03d}", approver="user:ben", approve=number % 2 == 0)
    seen: list[str] = []
    address: Any = "/history"
    while address is not None:
        page = ann.get(address).text
        seen += re.findall(r'href="/requests/(b-\d+)"', page)
        older = re.search(r'href="(/history\?before=[^"]+)"', page)
        address = older and older[1]
    assert seen == [f"b-{number:03d}" for number in reversed(range(120))]


@pytest.mark.parametrize("address", [
    "/requests?from=-1", "/requests?from=99999999", "/requests?from=x", "/requests?from=\u0663",
    "/requests?from=5&from=6",
    "/requests?" + "&".join(f"a{n}=1" for n in range(60)), "/requests?full", "/requests?from=" + "1" * 6000,
])  # fmt: skip
def test_an_address_that_makes_no_sense_shows_the_page(ann: Visitor, address: str) -> None:
    assert ann.get(address).status_code == 200


@pytest.mark.parametrize("address", [
    "/requests/none", "/requests/%00", "/requests/..%2f..%2fetc", "/requests/" + "a" * 3000, "/nothing", "/requests/",
    "/static/console.py", "/static/..%2fdesk.py", "/static/%2e%2e/desk.py", "/history?before=none",
])  # fmt: skip
def test_what_is_not_there_is_said_with_the_same_care(ann: Visitor, address: str) -> None:
    answer = ann.get(address)
    assert answer.status_code in (404, 409)
    assert "import" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
