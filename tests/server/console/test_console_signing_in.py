"""Signing in on one machine, and what a session is: new, opaque, bounded, and ended at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agentguard.server.console.links import LASTS

from .conftest import ANN, ORIGIN, Place, form_of


def link_of(place: Place) -> str:
    place.clock.goes_on(timedelta(minutes=1))
    assert place.link.make()
    return f"/sign-in/link/{place.links[-1]}"


def test_the_link_signs_in_as_the_account_that_started_the_console(place: Place) -> None:
    visitor, link = place.visitor(), link_of(place)

    assert ANN in visitor.get(link).text
    answer = visitor.post(link)

    assert (answer.status_code, answer.headers["location"]) == (303, "/requests")
    assert "warehouse.export" in visitor.get("/requests").text


def test_looking_at_the_link_uses_nothing_up(place: Place) -> None:
    """Programs that open every address they see would sign the person out of their own link."""
    link = link_of(place)
    for _ in range(3):
        assert place.visitor().get(link).status_code == 200
        assert place.visitor().client.head(link).status_code == 200

    assert place.visitor().post(link).status_code == 303


def test_the_link_works_once(place: Place) -> None:
    link = link_of(place)
    assert place.visitor().post(link).status_code == 303

    again = place.visitor()
    assert again.post(link).status_code == 403
    assert again.cookie is None
    assert again.get(link).status_code == 403


@pytest.mark.parametrize("late", [timedelta(0), timedelta(microseconds=-1)])
def test_the_link_ends_after_ten_minutes(place: Place, late: timedelta) -> None:
    link = link_of(place)
    place.clock.goes_on(LASTS + late)

    assert place.visitor().post(link).status_code == (403 if late == timedelta(0) else 303)


def test_another_link_ends_the_one_before_and_is_told_to_the_terminal_alone(place: Place) -> None:
    first = link_of(place)
    place.clock.goes_on(timedelta(minutes=1))
    stranger = place.visitor()
    answer = stranger.post("/sign-in/print")

    assert answer.headers["location"] == "/sign-in?printed=yes"
    assert len(place.links) == 2
    assert place.links[-1] not in answer.text + str(answer.headers)
    assert stranger.post(first).status_code == 403
    assert stranger.post("/sign-in/print").headers["location"] == "/sign-in?printed=wait"
    assert len(place.links) == 2, "a terminal is not filled with links"


def test_a_link_is_not_guessed(place: Place) -> None:
    """A secret of 256 bits; what is nearly right is wrong, and a thousand wrong ones leave the right one alone."""
    link = link_of(place)
    secret = link.rpartition("/")[2]
    near = [
        secret[:-1],
        secret + "A",
        secret.swapcase(),
        secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        "%00",
        "a" * 9000,
    ]
    visitor = place.visitor()
    for wrong in [*near, *(f"{number:043d}" for number in range(200))]:
        assert visitor.post(f"/sign-in/link/{wrong}").status_code in (403, 404)
    assert visitor.cookie is None
    assert len(secret) >= 43
    assert place.visitor().post(link).status_code == 303


def test_a_session_has_a_new_secret_whatever_the_browser_brought(place: Place) -> None:
    """Session fixation: what somebody planted in the browser before is worth nothing afterwards."""
    planted = "planted-by-somebody-else-0123456789abcdefghij"
    visitor = place.visitor()
    visitor.client.cookies.set("__Host-agentguard", planted, domain="console.example", path="/")
    assert visitor.post(link_of(place)).status_code == 303

    assert visitor.cookie not in (None, planted)
    other = place.visitor()
    other.client.cookies.set("__Host-agentguard", planted, domain="console.example", path="/")
    assert other.get("/requests").status_code == 303


def test_signing_in_again_ends_the_session_that_this_browser_had(place: Place) -> None:
    visitor = place.visitor(ANN)
    before = visitor.cookie
    assert before is not None
    visitor.post(link_of(place))

    assert place.sessions.find(before, used=False) is None
    assert visitor.cookie is not None
    assert place.sessions.find(visitor.cookie, used=False) is not None


def test_the_cookie_is_for_this_host_alone_and_for_no_script(place: Place) -> None:
    header = place.visitor().post(link_of(place)).headers["set-cookie"]
    name, _, rest = header.partition("=")
    flags = {part.strip().lower() for part in rest.split(";")[1:]}

    assert name == "__Host-agentguard"
    assert {"secure", "httponly", "path=/", "samesite=lax"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)


@pytest.mark.parametrize("page", ["/requests", "/requests/a-1", "/history", "/you", "/requests?from=50"])
def test_whoever_is_not_signed_in_sees_nothing_and_is_led_to_the_sign_in(place: Place, page: str) -> None:
    answer = place.visitor().get(page)

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert "warehouse" not in answer.text


def test_a_session_ends_when_idle_when_old_and_when_signed_out(make: Any) -> None:
    place = make(idle=timedelta(minutes=30), lasts=timedelta(hours=2))
    idle, old, out = (place.visitor(ANN) for _ in range(3))
    place.clock.goes_on(timedelta(minutes=29))
    assert old.get("/you").status_code == out.get("/you").status_code == 200
    place.clock.goes_on(timedelta(minutes=1))
    assert idle.get("/you").status_code == 303
    for _ in range(3):
        place.clock.goes_on(timedelta(minutes=28))
        assert old.get("/you").status_code == out.get("/you").status_code == 200
    cookie = out.cookie
    assert out.send("/you", "/sign-out").status_code == 303
    assert place.sessions.find(cookie, used=False) is None, "the cookie is worth nothing, also where it was copied"
    place.clock.goes_on(timedelta(minutes=29))
    assert old.get("/you").status_code == 303


def test_somebody_ends_a_session_of_another_browser_and_of_nobody_else(place: Place) -> None:
    one, other, ben = place.visitor(ANN), place.visitor(ANN), place.visitor("user:ben")
    page = one.get("/you").text
    name = form_of(page, "/you/end")["name"]
    csrf_of_ben = form_of(ben.get("/you").text, "/sign-out")["csrf"]

    assert ben.post("/you/end", {"csrf": csrf_of_ben, "name": name}).status_code == 404
    assert other.get("/you").status_code == 200
    assert one.send("/you", "/you/end").status_code == 303
    assert other.get("/you").status_code == 303
    assert one.get("/you").status_code == 200


def test_sessions_are_bounded_and_the_idlest_makes_room(make: Any) -> None:
    place = make(most=5, most_each=2)
    first = place.visitor(ANN)
    place.clock.goes_on(timedelta(seconds=1))
    second = place.visitor(ANN)
    place.clock.goes_on(timedelta(seconds=1))
    first.get("/you")
    place.clock.goes_on(timedelta(seconds=1))
    third = place.visitor(ANN)
    assert [each.get("/you").status_code for each in (first, second, third)] == [200, 303, 200]
    for number in range(20):
        place.visitor(f"user:n{number}")
    assert len(place.sessions._by_digest) == 5


@pytest.mark.parametrize("cookie", ["", "x", "a" * 5000, '"', "..", "%00"])
def test_a_cookie_that_is_none_of_ours_is_nobody(place: Place, cookie: str) -> None:
    answer = place.visitor().get("/requests", cookie=f"__Host-agentguard={cookie}")
    assert answer.status_code == 303


def test_two_cookies_of_the_name_are_nobody(place: Place) -> None:
    """A cookie that another host tossed in beside ours must not choose the session."""
    mine = place.visitor(ANN).cookie
    for pair in (f"__Host-agentguard={mine}; __Host-agentguard=x", f"__Host-agentguard=x; __Host-agentguard={mine}"):
        assert place.visitor().get("/requests", cookie=pair).status_code == 303
    assert place.visitor().get("/requests", cookie=f"a=b; __Host-agentguard={mine}").status_code == 200


ELSEWHERE = [
    "https://evil.example/", "//evil.example/requests", "/\\evil.example", "/\\/evil.example", "http:evil.example",
    "javascript:alert(1)", "/%0d%0aSet-Cookie:x=1", "/requests\r\nX: y", "///evil.example", "/\t/evil.example",
    "https:/requests", "requests", "/sign-out", "/..//evil.example", "/@evil.example", "/requests" + "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_a_sign_in_leads_to_no_other_site(place: Place, wanted: str) -> None:
    """Open redirects: the page that asked for a password or an answer must be the one that comes back."""
    answer = place.visitor().post(link_of(place), {"next": wanted})
    assert answer.headers["location"] == "/requests"
    here = place.visitor(ANN)
    assert here.client.get("/sign-in", params={"next": wanted}).headers["location"] == "/requests"


def test_a_sign_in_leads_back_to_where_somebody_wanted_to_go(place: Place) -> None:
    visitor = place.visitor()
    led = visitor.get("/requests/a-1?full=1").headers["location"]
    assert led == "/sign-in?next=%2Frequests%2Fa-1%3Ffull%3D1"
    signed = place.visitor(ANN)
    assert signed.get(led).headers["location"] == "/requests/a-1?full=1"


def test_the_origin_of_a_form_is_checked_at_the_sign_in_too(place: Place) -> None:
    """Or another site signs somebody in as its own choice."""
    link = link_of(place)
    for origin in ("https://evil.example", "null", "", ORIGIN + ".evil.example", ORIGIN + ":8443"):
        assert place.visitor().post(link, origin=origin).status_code == 403
    assert place.visitor().post(link).status_code == 303
