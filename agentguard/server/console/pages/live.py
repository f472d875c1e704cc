"""Live updates: a page that is open is told that something was recorded, and fetches itself anew.

What is sent says only that there is news, never what: that is for the page to show, to those who may see it.
A page that is followed keeps nobody signed in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from agentguard.errors import LedgerError
from agentguard.server.console.desk import Desk
from agentguard.server.console.sessions import Session

# How often the ledger is looked at while anybody follows it; and so many follow at once, in all and by one session.
LOOK_EVERY_SECONDS = 0.5
MOST, MOST_EACH = 200, 6

_log = logging.getLogger("agentguard")


class Live:
    """Whoever follows; one look at the ledger serves them all."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._following: list[str] = []
        self._newest = 0
        self._looker: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def events(self, request: Request) -> Response:
        """A stream of news for one page."""
        session = self._desk.session_of(request, used=False)
        if session is None or request.method != "GET":
            return PlainTextResponse("sign in\n", status_code=403)
        if len(self._following) >= MOST or self._following.count(session.name) >= MOST_EACH:
            return PlainTextResponse("too many pages are open\n", status_code=429)
        return EventSourceResponse(self._told(request, session), ping=15, send_timeout=10)

    async def _told(self, request: Request, session: Session) -> AsyncIterator[ServerSentEvent]:
        self._following.append(session.name)
        try:
            if self._looker is None or self._looker.done():
                self._looker = asyncio.create_task(self._look())
            yield ServerSentEvent(event="following", data="", retry=3_000)
            seen: int | None = None
            while self._desk.session_of(request, used=False) is session:
                if seen is not None and self._newest != seen:
                    yield ServerSentEvent(event="news", data="")
                seen = self._newest
                await self._next()
            yield ServerSentEvent(event="signed-out", data="")
        finally:
            self._following.remove(session.name)

    async def _next(self) -> None:
        """Until there is news, or for a few seconds: a session may end meanwhile."""
        try:
            await asyncio.wait_for(self._news.wait(), LOOK_EVERY_SECONDS * 4)
        except TimeoutError:
            return

    async def _look(self) -> None:
        """Look at the ledger until nobody follows any more."""
        while self._following:
            try:
                newest = await run_in_threadpool(self._last)
            except LedgerError as error:
                _log.error("the ledger cannot be read, so no page is told what is new: %s", error)
            else:
                if newest != self._newest:
                    self._newest = newest
                    told, self._news = self._news, asyncio.Event()
                    told.set()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _last(self) -> int:
        return next((int(data["seq"]) for data in self._desk.operations.records(limit=1, newest=True)), 0)
