"""What people do on the console, done in a browser: sign in, agree, refuse, watch; by keyboard, small, dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from server.console.provider import SECRET, provider
from server.console.test_console_provider import bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from .conftest import Served

PAGES = [
    "/requests",
    "/requests/a-1",
    "/history",
    "/decisions",
    "/runs",
    "/runs/r-1",
    "/records",
    "/records/1",
    "/you",
    "/none",
]
PHONE = {"width": 360, "height": 740}


def answers(served: Served, approval: str = "a-1") -> list[tuple[str, bool]]:
    row = served.place.operations.approval(approval)
    assert row is not None
    return [(answer.approver, answer.approve) for answer in row.answers]


def test_somebody_signs_in_by_the_link_reads_a_request_and_agrees(served: Served) -> None:
    page = served.page()
    page.goto(served.link())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=re.compile("warehouse.export")).click()
    assert page.get_by_role("heading", name="May this call run?").is_visible()
    page.get_by_role("button", name="Approve this call").click()
    page.get_by_text("1 of 2 has agreed").wait_for()

    assert answers(served) == [("user:ann", True)]
    cookie = next(each for each in page.context.cookies() if each["name"] == "__Host-agentguard")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    assert page.evaluate("document.cookie") == ""
    assert served.complaints == []


def test_somebody_signs_in_by_a_provider_of_another_site(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """There and back again across sites, with the cookies that a browser really sends then; and out again."""
    monkeypatch.setenv("CONSOLE_SECRET", SECRET)
    served.place.ask("a-2", shown={"people": ["user:ann@corp.example"]})
    with provider(served.place.clock.now()) as fake:
        served.place.bundle = bundle(fake.issuer)
        page = served.page()
        page.goto("/requests/a-2")
        page.get_by_role("link", name=re.compile("Sign in with 127.0.0.1")).click()
        page.wait_for_url("**/requests/a-2")
        page.get_by_role("button", name="Approve this call").click()
        page.get_by_text("1 of 2 has agreed").wait_for()
        assert answers(served, "a-2") == [("user:ann@corp.example", True)]
        page.get_by_role("link", name="user:ann@corp.example").click()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        page.go_back()
        page.get_by_role("heading", name="Sign in").wait_for()
    assert served.complaints == []


def test_somebody_refuses_in_their_own_words(served: Served) -> None:
    page = served.signed_in("user:ben", "oidc")
    page.goto("/requests/a-1")
    page.get_by_label("Why not?").fill("the ticket is closed")
    page.get_by_role("button", name="Deny").click()
    page.get_by_text("the ticket is closed").wait_for()
    assert page.get_by_text("denied").count() > 0

    assert answers(served) == [("user:ben", False)]
    assert page.get_by_role("button").count() == 0


def test_the_inbox_and_a_request_follow_what_happens_by_themselves(served: Served) -> None:
    inbox, request = served.signed_in(), served.signed_in("user:ben", "oidc")
    for page, address in ((inbox, "/requests"), (request, "/requests/a-1")):
        with page.expect_response("**/events"):
            page.goto(address)
    served.place.ask("a-2", tool="mail.send")
    inbox.get_by_text("mail.send").wait_for()
    assert inbox.title().startswith("(2)")
    served.place.operations.answer("a-1", approver="user:ann", approve=True)
    request.get_by_text("1 of 2 has agreed").wait_for()
    assert request.get_by_role("button", name="Approve this call").is_visible()
    assert served.complaints == []


def test_what_somebody_writes_or_stands_on_is_left_alone_by_updates(served: Served) -> None:
    page = served.signed_in()
    with page.expect_response("**/events"):
        page.goto("/runs/r-1")
    page.get_by_label("Why?").fill("wrong ticket")
    served.place.decide("d-1")
    page.locator(".lines").get_by_text("warehouse.export").nth(1).wait_for()  # the question stands there already
    assert page.get_by_label("Why?").input_value() == "wrong ticket"
    page.get_by_role("button", name="Stop this run").click()
    page.get_by_text("stopped", exact=True).wait_for()


def test_a_page_leaves_when_its_session_ends(served: Served) -> None:
    page = served.signed_in("user:ben", "oidc")
    with page.expect_response("**/events"):
        page.goto("/requests")
    ((session, _),) = served.place.sessions.of("user:ben")
    served.place.sessions.end("user:ben", session.name)
    page.get_by_role("heading", name="Sign in").wait_for()


def test_everything_is_done_with_the_keyboard_alone(served: Served) -> None:
    page = served.page()
    page.goto(served.link())
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests")
    assert tab_to(page, "warehouse.export") < 15
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests/a-1")
    assert tab_to(page, "Approve this call") < 25
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.get_by_text("1 of 2 has agreed").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def tab_to(page: Page, text: str) -> int:
    """How often Tab is pressed until the keyboard stands on what says this."""
    for count in range(1, 60):
        page.keyboard.press("Tab")
        if text in page.evaluate("document.activeElement.textContent"):
            return count
    raise AssertionError(f"the keyboard does not come to {text}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_narrow_screen_and_can_be_read_in_both_schemes(served: Served, scheme: str) -> None:
    """360 px without scrolling sideways; every text has a contrast of at least 4.5 to 1 (WCAG AA)."""
    long = "x" * 300
    served.place.ask(
        "a-2", tool=long, requester=f"user:{long}", shown={"arguments": {long: long, "b": "p\u0430y\u202e"}}
    )
    served.place.decide("d-1", tool=long)
    page = served.signed_in(viewport=PHONE, color_scheme=scheme)
    for address in [*PAGES, "/requests/a-2"]:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
        assert page.evaluate(_TOO_FAINT) == [], (address, scheme)
        small = page.evaluate(_TOO_SMALL)
        assert small == [], (address, small)


# Texts whose colour is too near to what is behind them.
_TOO_FAINT = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((v, at) => v * a + under[at] * (1 - a));
  const behind = (node) => {
    const found = [];
    for (let at = node; at; at = at.parentElement) found.unshift(rgb(getComputedStyle(at).backgroundColor));
    return found.filter((each) => each.length).reduce((under, each) => over(each, under), [255, 255, 255]);
  };
  const faint = [];
  for (const node of document.querySelectorAll("main *, header *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
    if (!own || node.closest("svg") || !node.checkVisibility()) continue;
    const one = light(over(rgb(getComputedStyle(node).color), behind(node))), two = light(behind(node));
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (contrast < 4.5) faint.push(`${node.className} ${contrast.toFixed(2)} ${node.textContent.slice(0, 30)}`);
  }
  return faint;
}"""

# What is pressed with a finger is 24 px high at least (WCAG 2.5.8).
_TOO_SMALL = """() => [...document.querySelectorAll("button, nav a, .card a")]
  .filter((node) => node.checkVisibility() && node.getBoundingClientRect().height < 24)
  .map((node) => node.textContent)"""


def test_no_page_asks_a_browser_for_anything_that_the_policy_forbids(served: Served) -> None:
    page = served.signed_in()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for address in PAGES[:-1]:
        page.goto(address)
    assert {url for url in asked if not url.startswith(served.place.origin + "/")} == set()
    assert served.complaints == []


def test_without_javascript_everything_works_but_updates(served: Served) -> None:
    page = served.page(java_script_enabled=False)
    page.goto(served.link())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=re.compile("warehouse.export")).click()
    page.get_by_role("button", name="Approve this call").click()
    page.get_by_text("1 of 2 has agreed").wait_for()
    page.get_by_role("link", name="Records").click()
    page.get_by_label("Decided").select_option("deny")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("No record matches").wait_for()
    page.get_by_role("link", name="user:ann").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert answers(served) == [("user:ann", True)]


def test_another_site_cannot_answer_read_or_frame(served: Served) -> None:
    """A page of another origin in the very browser in which somebody is signed in."""
    page = served.signed_in()
    page.goto("/requests/a-1")
    csrf = page.locator("form.yes input[name=csrf]").input_value()
    page.route("http://evil.localhost:9/**", lambda route: route.fulfill(
        content_type="text/html",
        body=f'<form method=post action="{served.place.origin}/requests/a-1/approve"><input name=csrf value="{csrf}">'
        f'<input name=digest value="sha256:a-1"><button>Win a prize</button></form>'
        f'<iframe src="{served.place.origin}/requests/a-1"></iframe>',
    ))  # fmt: skip
    page.goto("http://evil.localhost:9/")
    assert page.frames[-1].get_by_text("May this call run?").count() == 0
    assert page.evaluate("url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')",
                         f"{served.place.origin}/requests/a-1") == "refused"  # fmt: skip
    page.get_by_role("button", name="Win a prize").click()
    page.get_by_text("was not sent by a page of this console").wait_for()
    assert answers(served) == []
