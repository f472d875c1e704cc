"""Live updates: that there is news, to those who are signed in, and nothing more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from agentguard.server.console.pages import live

from .conftest import ANN, Place


def request_of(place: Place, person: str) -> Request:
    cookie = f"__Host-agentguard={place.sessions.begin(person, 'oidc')}"
    return Request({"type": "http", "method": "GET", "path": "/events", "headers": [(b"cookie", cookie.encode())]})


async def heard(stream: Any, *, within: float = 20) -> str:
    event = await asyncio.wait_for(anext(stream), within)
    return str(event.event)


def test_whoever_is_not_signed_in_follows_nothing(place: Place) -> None:
    assert place.visitor().get("/events").status_code == 403


def test_a_page_is_told_that_there_is_news_and_not_what(place: Place) -> None:
    async def follow() -> None:
        request = request_of(place, ANN)
        session = place.desk.session_of(request)
        assert session is not None
        stream = live.Live(place.desk)._told(request, session)
        assert await heard(stream) == "following"
        waiting = asyncio.ensure_future(heard(stream))
        await asyncio.sleep(0)
        place.decide("d-1")
        assert await waiting == "news"
        place.decide("d-2")
        assert await heard(stream) == "news"
        place.sessions.end(ANN, session.name)
        assert await heard(stream) == "signed-out"
        await stream.aclose()

    asyncio.run(follow())


def test_a_page_that_is_followed_keeps_nobody_signed_in(make: Any) -> None:
    place = make(idle=timedelta(minutes=30))
    ben = place.visitor("user:ben")
    for _ in range(3):
        place.clock.goes_on(timedelta(minutes=9))
        assert ben.get("/requests", x_live="1").status_code == 200
    place.clock.goes_on(timedelta(minutes=3))
    assert ben.get("/requests", x_live="1").status_code == 303


def test_no_more_pages_are_followed_than_the_console_can_serve(place: Place) -> None:
    async def follow() -> None:
        request, other = request_of(place, ANN), request_of(place, "user:ben")
        session = place.desk.session_of(request)
        assert session is not None
        following = live.Live(place.desk)
        streams = [following._told(request, session) for _ in range(live.MOST_EACH)]
        for stream in streams:
            assert await heard(stream) == "following"
        assert (await following.events(request)).status_code == 429
        assert (await following.events(other)).status_code == 200
        await streams[0].aclose()
        assert (await following.events(request)).status_code == 200
        for stream in streams[1:]:
            await stream.aclose()

    asyncio.run(follow())
