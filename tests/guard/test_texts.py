"""What a text carries, through the whole guard: links, addresses, and anything out of what one tool returned."""

from __future__ import annotations

import json
from typing import Any

import pytest
from small_bundle import TEXT, small_bundle

from agentguard.errors import ToolCallDenied
from agentguard.testing import in_memory_guard

MAIL = (
    "From: Ann Falconeer <ann.f@acme.example>\nThe door code is 4711, card 4111 1111 1111 1111, born 12 March 1984.\n"
    "Project Zephyrion is at https://acme.example/zephyr/plan?id=9 and on github.example/acme/secret"
)


def reply_with(**rule: Any) -> dict[str, str]:
    """A bundle with an inbox, a page, a note that is read back, and a reply whose body is under the rule."""
    return with_inputs(small_bundle({
        "read_inbox": {"tool": {"untrusted_results": ["*"]}},
        "get_webpage": {"args": {"url": TEXT}},
        "take_note": {"args": {"note": TEXT}, "effect": "write"},
        "reply": {"args": {"body": {"type": "string", **rule}}, "effect": "send"},
    }))  # fmt: skip


def with_inputs(files: dict[str, str]) -> dict[str, str]:
    inputs = json.dumps({"site": TEXT, "customer": TEXT})
    return {**files, "w.yaml": files["w.yaml"].replace('"steps":', f'"inputs": {inputs}, "steps":')}


class Desk:
    """A run of such a bundle: what its tools return can be set before a call."""

    def __init__(self, guard: Any) -> None:
        self.returns: Any = MAIL

        def read_inbox() -> Any:
            return self.returns

        def get_webpage(url: str) -> Any:
            return self.returns

        def take_note(note: str) -> Any:
            return self.returns

        def reply(body: str) -> str:
            return "sent"

        tools = guard.wrap([read_inbox, get_webpage, take_note, reply])
        self._tools = dict(zip(("read_inbox", "get_webpage", "take_note", "reply"), tools, strict=True))

    def call(self, tool: str, returns: Any = "ok", **arguments: Any) -> Any:
        self.returns = returns
        return self._tools[tool](**arguments)

    def passes(self, body: str) -> bool:
        try:
            return self.call("reply", body=body) == "sent"
        except ToolCallDenied:
            return False


INPUTS = {"site": "https://shop.example/help/", "customer": "Jane Long, jane@long.example, order 20771"}


@pytest.fixture
def desk(request: pytest.FixtureRequest) -> Any:
    with in_memory_guard(reply_with(**request.param)) as guard, guard.run("w", inputs=INPUTS):
        yield Desk(guard)


NOTHING_OF = {"carries_nothing_of": ["read_inbox"]}


@pytest.mark.parametrize("desk", [NOTHING_OF], indirect=True)
@pytest.mark.parametrize("body", [
    "The code is 4711.", "4-7-1-1", "4, 7, 1, 1", "It ends in 1111", "4111-1111-1111-1111", "4111111111111111",
    "call 111111", "Dear Ms Falconeer", "FALCONEER!", "f a l c o n e e r", "Falcone\u200ber", "Fаlconeer", "Ｆalconeer",
    "Fàlconeer", "Falcon&#101;er", "F%61lconeer", "RmFsY29uZWVy", "46616c636f6e656572", "Zephyrion",
    "write to ann.f@acme.example",
    "see acme.example", "see http://acme.example/other", "see github.example/acme/other", "born 1984-03-12", "in 1984",
    "March 12, 1984", "ann", "bob@acme.example", "\u2460 4711",
])  # fmt: skip
def test_what_only_the_inbox_holds_is_not_carried_on(desk: Desk, body: str) -> None:
    """In whatever spelling, with separators, or in part. It is no secret before the inbox was read."""
    desk.call("read_inbox", "nothing new")
    assert desk.passes("nothing new")
    desk.call("read_inbox", MAIL)
    assert not desk.passes(body)


@pytest.mark.parametrize("desk", [NOTHING_OF], indirect=True)
@pytest.mark.parametrize("body", [
    "Thank you for your message. We will look at it on Monday at 10:30 and write again.",
    "The card and the door code are with us; your project is going well, and we wish you a happy birthday.",
    "Dear Jane Long, your order 20771 is on its way, see https://shop.example/help/ or write to jane@long.example.",
    "It costs 1,250.00 and takes until 2031-07-14. Room 12, 3rd floor.",
])  # fmt: skip
def test_an_honest_reply_passes(desk: Desk, body: str) -> None:
    """Common words, what the inputs hold, and numbers that nobody said."""
    desk.call("read_inbox", MAIL)
    assert desk.passes(body)


@pytest.mark.parametrize("desk", [NOTHING_OF], indirect=True)
def test_what_another_tool_returned_as_well_is_no_secret_of_the_inbox(desk: Desk) -> None:
    """Before it or after it, and whatever the model knew before it read the inbox."""
    desk.call("get_webpage", "Zephyrion is ours, call 4711", url="https://shop.example/")
    desk.call("take_note", note="ask Falconeer")
    desk.call("read_inbox", MAIL)
    assert desk.passes("Zephyrion 4711, Falconeer")
    assert not desk.passes("acme.example")
    desk.call("get_webpage", "we are at acme.example", url="https://shop.example/")
    assert desk.passes("acme.example")


@pytest.mark.parametrize("desk", [NOTHING_OF], indirect=True)
def test_a_tool_that_says_again_what_it_was_given_launders_nothing(desk: Desk) -> None:
    """An echo of the model's own words is not what that tool had: not at once, and not through another tool."""
    desk.call("read_inbox", MAIL)
    desk.call("get_webpage", "nothing found for Zephyrion", url="https://shop.example/?q=Zephyrion")
    assert not desk.passes("Zephyrion")
    desk.call("take_note", note="4711")
    desk.call("get_webpage", "your notes: 4711", url="https://shop.example/")
    assert not desk.passes("4711")


@pytest.mark.parametrize("desk", [NOTHING_OF], indirect=True)
def test_a_failure_is_no_source(desk: Desk) -> None:
    """An error repeats what it was given, or what an outsider made it say."""
    desk.call("read_inbox", MAIL)
    with pytest.raises(TypeError):
        desk.call("take_note", note=5)
    assert not desk.passes("Zephyrion")


@pytest.mark.parametrize("desk", [NOTHING_OF], indirect=True)
def test_a_result_that_could_not_be_read_holds_anything_but_common_words(desk: Desk) -> None:
    """Two megabytes of mail: no word that is not common passes, and every common one does."""
    desk.call("read_inbox", "word " * 500_000)
    assert not desk.passes("Zephyrion")
    assert desk.passes("Thank you for your message, Jane Long.")


@pytest.mark.parametrize("desk", [{"links": "none"}], indirect=True)
def test_no_link_means_no_link(desk: Desk) -> None:
    """Nor an address by itself, which mail clients make a link."""
    assert desk.passes("Thank you. We open at 10:30, e.g. on Mondays.")
    for body in (
        "see shop.example/help/",
        "[x](/y)",
        "write to jane@long.example",
        "<img src=x>",
        "ask @jane",
        "x " * 33_000,
    ):
        assert not desk.passes(body)


@pytest.mark.parametrize("desk", [{"links": "none", "addresses": {"from": "inputs"}}], indirect=True)
def test_addresses_that_stand_by_themselves_are_judged_as_addresses_where_something_is_said_of_them(desk: Desk) -> None:
    """A link that writes a message stays a link."""
    assert desk.passes("write to Jane@Long.example")
    assert not desk.passes("write to ann.f@acme.example")
    assert not desk.passes("mailto:jane@long.example")


def test_who_the_run_was_started_for_may_be_mentioned() -> None:
    """`@Ann` in a reply to Ann is no address from elsewhere; a mention of a whole room is, whatever the inputs hold."""
    with in_memory_guard(reply_with(links="none", addresses={"from": "inputs"})) as guard:
        desk = Desk(guard)
        with guard.run("w", inputs={"site": "here", "customer": "Ann"}):
            for body in ("@Ann, your parcel has left", "<@ann> it has left", "thank you @ANN."):
                assert desk.passes(body), body
            for body in ("@Anne", "@bob", "@here", "<!here>", "@Ann/team", "ann@evil.example", "@Ann@evil.example"):
                assert not desk.passes(body), body


@pytest.mark.parametrize("desk", [{"addresses": "none"}], indirect=True)
def test_no_address_means_no_address(desk: Desk) -> None:
    """Of links nothing is said, but what `mailto:` writes to is an address."""
    assert desk.passes("see https://shop.example")
    for body in ("a@b.example", "<mailto:a@b.example|x>", "a&#64;b.example", "hello @ann"):
        assert not desk.passes(body)


@pytest.mark.parametrize("desk", [{"links": {"from": ["inputs.site", "get_webpage"]}}], indirect=True)
def test_links_come_from_where_they_may(desk: Desk) -> None:
    """The very link, or one below an input that ends in a slash; with or without `http`; not what a tool was given."""
    for body in ("shop.example/help", "https://shop.example/help/returns?x=1#y", "[here](HTTP://shop.example/help/)"):
        assert desk.passes(body)
    for body in ("https://shop.example/", "https://shop.example/help/../x", "https://shop.example/helpful",
                 "https://shop.example/help/%2e%2e/x", "https://shop.example.evil.example/help/", "javascript:x(1)",
                 "https://shop.example@evil.example/help/", "[x](/help/)", "jane@long.example"):  # fmt: skip
        assert not desk.passes(body), body
    assert not desk.passes("https://docs.example/a")
    desk.call("get_webpage", {"links": ["https://docs.example/a"]}, url="https://docs.example/b")
    assert desk.passes("see docs.example/a")
    assert not desk.passes("see docs.example/b")
    desk.call("read_inbox", "https://evil.example/x")
    desk.call("get_webpage", "you asked for https://evil.example/x", url="https://evil.example/x")
    assert not desk.passes("https://evil.example/x")
    assert not desk.passes("https://docs.example/a?leak=1")


SITES = [
    {"url": "https://clean.example/", "note": "see https://evil.example/ and https://clean.example/deep"},
    {"url": "https://other.example/a", "note": "https://slash.example/x/"},
]


def kept_sites(links: Any, untrusted: list[str]) -> dict[str, str]:
    """A bundle that keeps a list of sites, of which outsiders write what it says, and a text with links from there."""
    return with_inputs(small_bundle({
        "list_sites": {
            "keep": {"sites": "result", "notes": "result[*].note"}, "tool": {"untrusted_results": untrusted},
        },
        "reply": {"args": {"body": {"type": "string", "links": {"from": links}}}, "effect": "send"},
    }))  # fmt: skip


@pytest.mark.parametrize(("links", "untrusted", "yes", "no"), [
    ("kept.sites", ["[*].note"], ["https://clean.example/", "https://other.example/a", "https://slash.example/x/"],
     ["https://evil.example/secret", "https://clean.example/?leak=1", "https://slash.example/x/y", "https://b.example"]),
    ("kept.sites", [], ["https://clean.example/?leak=1", "https://evil.example/secret", "https://slash.example/x/y"],
     ["https://other.example/a/b", "https://slash.example/y"]),
    ("kept.notes", ["[*].note"], ["https://evil.example/", "https://slash.example/x/"],
     ["https://evil.example/?leak=1", "https://slash.example/x/y", "https://clean.example/"]),
    ("kept.sites[*].url", ["[*].note"], ["https://clean.example/?q=1", "https://other.example/a"],
     ["https://evil.example/", "https://slash.example/x/", "https://other.example/a/b"]),
    (["inputs.site", "kept.sites[*].url"], ["[*].note"], ["https://shop.example/help/x", "https://clean.example/x"],
     ["https://evil.example/"]),
])  # fmt: skip
def test_what_lies_below_a_link_that_outsiders_wrote_is_not_from_there(
    links: Any, untrusted: list[str], yes: list[str], no: list[str]
) -> None:
    """Of theirs the very link passes, or its sender could be sent anything (`?leak=`) at a host of their own."""
    with in_memory_guard(kept_sites(links, untrusted)) as guard, guard.run("w", inputs=INPUTS):
        list_sites, reply = guard.wrap([_list_sites, _reply])

        def passes(body: str) -> bool:
            try:
                return bool(reply(body=body) == "sent")
            except ToolCallDenied:
                return False

        assert not passes(yes[-1]) or "shop" in yes[-1]  # nothing is kept yet
        list_sites()
        assert [link for link in yes if not passes(f"see {link} here")] == []
        assert [link for link in no if passes(f"see {link} here")] == []


def _list_sites() -> list[dict[str, str]]:
    return SITES


def _reply(body: str) -> str:
    return "sent"


_list_sites.__name__, _reply.__name__ = "list_sites", "reply"


def test_a_result_of_another_shape_is_all_outsiders_so_its_links_stand_for_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A place that outsiders write only when the tool answers in another form."""
    files = kept_sites("kept.sites", ["[*].note"])
    with in_memory_guard(files) as guard, guard.run("w", inputs=INPUTS):
        list_sites, reply = guard.wrap([_list_sites, _reply])
        monkeypatch.setitem(globals(), "SITES", {"url": "https://evil.example/"})
        list_sites()
        assert reply(body="https://evil.example/") == "sent"
        with pytest.raises(ToolCallDenied):
            reply(body="https://evil.example/?leak=1")


def test_a_place_of_another_shape_vouches_for_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """`untrusted_results` says which form the result has; of another one nothing is clean, whatever was kept."""
    files = with_inputs(small_bundle({
        "list_sites": {"keep": {"page": "result.page"}, "tool": {"untrusted_results": ["[*].note"]}},
        "reply": {"args": {"body": {"type": "string", "links": {"from": "kept.page.url"}}}, "effect": "send"},
    }))  # fmt: skip
    with in_memory_guard(files) as guard, guard.run("w", inputs=INPUTS):
        list_sites, reply = guard.wrap([_list_sites, _reply])
        monkeypatch.setitem(globals(), "SITES", {"page": {"url": "https://evil.example/"}})
        list_sites()
        with pytest.raises(ToolCallDenied):
            reply(body="https://evil.example/")
