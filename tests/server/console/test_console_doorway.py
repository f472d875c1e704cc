"""What every exchange goes through: host, origin, forms, headers; and texts that try to be more than texts."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from starlette.requests import Request

from agentguard.approvals.looks import remarks
from agentguard.core.policy import Step, Workflow
from agentguard.errors import ConfigurationError
from agentguard.guard import Operations
from agentguard.server import console
from agentguard.server.console import Settings, desk

from .conftest import ANN, ORIGIN, Place, Visitor, form_of

TEMPLATES = sorted((Path(console.__file__).parent / "templates").glob("*.html"))


@pytest.mark.parametrize("host", [
    "evil.example", "console.example.evil.example", "console.example:443", "console.example.", "localhost", "127.0.0.1",
    "console.example@evil.example", "", "[::1]", "console.example,evil.example",
])  # fmt: skip
def test_another_host_name_is_answered_with_nothing(ann: Visitor, host: str) -> None:
    """DNS rebinding: a name of somebody else that leads to this machine."""
    answer = ann.get("/requests", host=host)
    assert answer.status_code == 421
    assert "warehouse" not in answer.text


def test_headers_of_a_proxy_move_nothing(place: Place, ann: Visitor) -> None:
    claims = {"x_forwarded_host": "evil.example", "x_forwarded_proto": "http", "forwarded": "host=evil.example"}
    assert ann.get("/requests", **claims).status_code == 200
    stranger = place.visitor().get("/requests", **claims, x_forwarded_user="ann", x_remote_user="ann")
    assert stranger.headers["location"] == "/sign-in"


@pytest.mark.parametrize("headers", [
    {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": ""}, {"origin": ORIGIN + ".evil.example"},
    {"origin": "http://console.example"}, {"origin": ORIGIN + ":8443"}, {"origin": ORIGIN + "/"},
    {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}, {"sec_fetch_site": "none"},
    {"content_type": "text/plain"}, {"content_type": "multipart/form-data; boundary=x"},
    {"content_type": "application/json"},
])  # fmt: skip
def test_a_form_from_anywhere_else_does_nothing(place: Place, ann: Visitor, headers: dict[str, str]) -> None:
    form = form_of(ann.get("/requests/a-1").text, "/requests/a-1/approve")
    assert ann.post("/requests/a-1/approve", form, **headers).status_code in (403, 415)
    row = place.operations.approval("a-1")
    assert row is not None
    assert row.answers == ()


def test_a_form_needs_the_word_of_this_very_session(place: Place, ann: Visitor) -> None:
    form = form_of(ann.get("/requests/a-1").text, "/requests/a-1/approve")
    other = form_of(place.visitor(ANN).get("/requests/a-1").text, "/requests/a-1/approve")
    assert other["csrf"] != form["csrf"]
    for wrong in ("", form["csrf"][:-1], form["csrf"] + "A", form["csrf"].swapcase(), other["csrf"], "\u00e9"):
        assert ann.post("/requests/a-1/approve", {**form, "csrf": wrong}).status_code == 403
    assert ann.post("/requests/a-1/approve", {"digest": form["digest"]}).status_code == 403
    assert ann.post("/requests/a-1/approve", form).status_code == 303


@pytest.mark.parametrize("body", [
    b"csrf=a&csrf=b", b"%ff=1", b"\xff", b"a" * 70_000, b"&".join(b"a%d=1" % n for n in range(80)), b"csrf", b";",
])  # fmt: skip
def test_a_form_that_cannot_be_read_does_nothing(ann: Visitor, body: bytes) -> None:
    headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    answer = ann.client.post("/requests/a-1/approve", content=body, headers=headers)
    assert answer.status_code in (400, 403, 413)
    assert "Nothing was done" in answer.text


def test_a_form_that_never_ends_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "FORM_SECONDS", 0.01)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    with pytest.raises(desk.Problem, match="too slowly"):
        asyncio.run(desk.read_form(request))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_other_methods_are_refused(ann: Visitor, method: str) -> None:
    assert ann.client.request(method, "/requests/a-1/approve", headers={"origin": ORIGIN}).status_code in (403, 405)


@pytest.mark.parametrize(("headers", "status"), [
    ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, 200),
    ({"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, 200),
    ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}, 403),
    ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"}, 403),
    ({"sec_fetch_site": "same-site", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, 403),
    ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, 200),
    ({"sec_fetch_site": "none"}, 200),
    ({}, 200),
])  # fmt: skip
def test_a_link_from_elsewhere_opens_a_page_and_nothing_else_is_loaded(
    ann: Visitor, headers: dict[str, str], status: int
) -> None:
    assert ann.get("/requests/a-1", **headers).status_code == status


@pytest.mark.parametrize("address", [
    "/requests", "/requests/a-1", "/sign-in", "/nothing", "/static/console.css", "/static/console.js", "/", "/history",
])  # fmt: skip
def test_every_answer_says_no_script_no_frame_and_no_copy(ann: Visitor, address: str) -> None:
    headers = ann.get(address).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {
        name for name in policy if "unsafe" in policy[name] or "*" in policy[name] or "http" in policy[name]
    } == set()
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"
    assert "max-age" in headers["strict-transport-security"]


def test_refusals_have_the_same_headers(ann: Visitor) -> None:
    for answer in (ann.get("/", host="evil.example"), ann.post("/sign-out", origin="null"), ann.client.put("/")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-frame-options"] == "DENY"


XSS = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'><svg/onload=alert(1)>",
    "</title><script>x</script>",
    "</code></dd></dl><form action=/requests/a-1/approve><button>", "javascript:alert(1)", "{{7*7}}", "{% raw %}",
    "${7*7}",
    "&lt;script&gt;", "<!--", "]]>", "\x00<script>", "<scr\x00ipt>", "\u2028</script>", "\ufeff<b>", "\ud800<i>",
    "<\u200bscript>", "\uff1cscript\uff1e", "\x1b[2J", "\u202e<b>", "a\"onmouseover=alert(1) b=\"", "`-alert(1)-`",
    "<base href=//evil>", "<meta http-equiv=refresh content=0>", "<style>*{}</style>",
    "<a href=x>Approve this call</a>",
]  # fmt: skip


class Tags(HTMLParser):
    """The elements of a page in order, and every attribute that one has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [str(value) for name, value in attrs if name in ("href", "src", "action", "data-live")]
        if tag not in ("span", "bdi"):  # signs in place of characters, and remarks
            self.tags.append(tag)


@pytest.mark.parametrize("text", XSS)
def test_no_text_of_anybody_becomes_markup_on_any_page(make: Callable[..., Place], text: str) -> None:
    """The same page has the same elements, whatever its texts are; and no attribute that runs anything."""
    clean = text.encode("utf-8", "replace").decode()  # the ledger holds no half of a character
    nasty, plain = pages(make(), clean), pages(make(), "plain")
    assert nasty.keys() == plain.keys()
    assert len(nasty) == 12
    for address, page in nasty.items():
        found, expected = Tags(page), Tags(plain[address])
        assert found.tags == expected.tags, address
        assert found.attributes <= ATTRIBUTES, address
        for led in found.addresses:
            assert re.match(r"[/#?]", led), led
            assert not led.startswith(("//", "/\\")), led
        page = re.sub(r'<input type="hidden" name="subject" value="[^"]*">', "", page)
        assert set(re.findall(r"[^\x20-\x7e\n]", page)) <= set("·’▲…"), address


ATTRIBUTES = {
    "action", "aria-current", "aria-label", "aria-labelledby", "aria-live", "autocomplete", "charset", "class",
    "content", "cx", "cy", "d", "data-fresh", "data-live", "defer", "for", "height", "href", "id", "lang",
    "maxlength", "method", "name", "placeholder", "r", "rel", "required", "role", "selected", "src", "tabindex",
    "type", "value", "viewbox", "width", "x", "y",
}  # fmt: skip


def pages(place: Place, text: str) -> dict[str, str]:
    """Every page of a console whose every text is this one."""
    place.run("r-x", workflow=text, subject=text, requester=text, inputs={text: text})
    for approval in ("a-x", "a-y"):
        place.ask(
            approval, tool=text, step=text, workflow=text, subject=text, requester=text, run_id="r-x",
            approvers=(text, "anyone"), request_digest=f"{approval} {text}", policy_revision=text,
            shown={
                "arguments": {text: [text, {text: text}]}, "why": [text], "because": [text], "redacted": [text],
                "people": None, "meaning": [{"label": text, "value": text}, {"label": text, "none": text}],
                "destinations": [{"kind": text, "id": text, "sensitivity": text, "zone": text}], "order": {},
            },
        )  # fmt: skip
    place.operations.answer("a-x", approver="user:ben", approve=False)
    ann = place.visitor(ANN, "link")
    found = {}
    place.bundle = bundle_of(text)
    seq = place.decide(
        "d-x", effect=text, reasons=[text], arguments={text: text}, error=text, why=text, by=text, outcome=text,
        tool=text, findings=[{"effect": text, "reason": text, "step": text, "detail": text}], run_id="r-x",
    )  # fmt: skip
    subject = quote(text, safe="")
    for address in (
        "/requests", "/requests/a-x", "/requests/a-y", "/history", "/decisions", "/runs", "/runs/r-x",
        f"/subjects?name={subject}", f"/records?subject={subject}&tool={subject}&since={subject}", "/records",
        f"/records/{seq}", "/you",
    ):  # fmt: skip
        answer = ann.get(address)
        assert answer.status_code == 200, answer.text
        found[address.partition("?")[0] + "?" * ("?" in address)] = answer.text
    return found


def bundle_of(text: str) -> Any:
    """A bundle with a workflow whose every name is this one."""
    step = Step(name=text, tool=text, arguments=None, after=(text,), not_after=(text,))  # type: ignore[arg-type]
    workflow = Workflow(text, 1, text, frozenset({text}), (step,), date(2029, 12, 31))
    return SimpleNamespace(policy=SimpleNamespace(workflows={text: workflow}, groups={}), console=None)


def test_no_template_turns_escaping_off_or_writes_a_style_or_a_script_of_its_own() -> None:
    for template in TEMPLATES:
        text = template.read_text("utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|\bstyle=|\bon[a-z]+=|<style|javascript:|https?://", text), (
            template.name
        )
        assert text.count("<script") == (1 if template.name == "base.html" else 0), template.name


def test_every_code_point_is_seen_as_itself_or_by_its_number(place: Place) -> None:
    """What is raw on a page is printable ASCII, or a letter of a word that cannot deceive."""
    points = "".join(map(chr, [*range(0x20), *range(0x7F, 0xD800), *range(0xE000, 0x3000 + 0xE000)]))
    place.ask("a-x", shown={"arguments": {f"k{at}": points[at : at + 500] for at in range(0, len(points), 500)}})
    page = place.visitor(ANN, "link").get("/requests/a-x?full=1").text
    body = page[page.index("What will run") :]
    for read in re.findall(r"<bdi>(.*?)</bdi>", body):
        assert remarks(read) == ()
        assert all(each.isprintable() and unicodedata.category(each)[0] in "LNPSZ" for each in read)
    body = re.sub(r"<bdi>.*?</bdi>", "", body)
    assert set(re.findall(r"[^\x20-\x7e\n]", body)) == set()


@pytest.mark.parametrize("origin", [
    "https://console.example/", "https://console.example/x", "console.example", "http://console.example", "ftp://x",
    "https://Console.example", "https://a@console.example", "https://", "http://127.0.0.2", "https://console.example?x",
])  # fmt: skip
def test_an_address_that_is_no_origin_or_goes_in_the_clear_is_refused(place: Place, origin: str) -> None:
    with pytest.raises(ConfigurationError):
        Settings(origin, place.operations)


@pytest.mark.parametrize("origin", ["https://console.example", "http://localhost:8936", "http://[::1]:8936"])
def test_these_are_origins(origin: str, place: Place) -> None:
    operations: Operations = place.operations
    assert Settings(origin, operations).origin == origin


def test_a_page_that_fails_says_so_and_tells_nothing(place: Place, ann: Visitor, monkeypatch: Any) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(place.operations, "approvals", fails)
    answer = ann.get("/requests")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
