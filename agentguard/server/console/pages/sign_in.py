"""Signing in by the link that is printed on this machine, signing out, and the sessions a person has."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentguard.server.console.desk import COOKIE, NOT_HERE, Desk, Problem, Visit, own_address, read_form, to
from agentguard.server.console.html import ago

_DEAD = Problem(
    403,
    "This link does not work any more",
    "It was used already, is older than ten minutes, or another one was made. Ask for another one on the sign-in page.",
)


def routes(desk: Desk) -> Sequence[Route]:
    """Every address of this topic."""
    ways = _SignIn(desk)
    return [
        Route("/sign-in", ways.choose, methods=["GET"]),
        Route("/sign-in/print", ways.print_another, methods=["POST"]),
        Route("/sign-in/link/{secret}", ways.look, methods=["GET"]),
        Route("/sign-in/link/{secret}", ways.enter, methods=["POST"]),
        Route("/sign-out", desk.does(_out), methods=["POST"]),
        Route("/you", desk.shows(_you), methods=["GET"]),
        Route("/you/end", desk.does(_end), methods=["POST"]),
    ]


def signed_in(desk: Desk, request: Request, person: str, how: str, wanted: str | None) -> Response:
    """Begin a new session, whatever this browser had before, and go on."""
    before = desk.session_of(request)
    if before is not None:
        desk.sessions.end(before.person, before.name)
    answer = to(own_address(wanted))
    answer.set_cookie(COOKIE, desk.sessions.begin(person, how), path="/", secure=True, httponly=True, samesite="lax")
    return answer


class _SignIn:
    """The ways in. Whoever asks here is nobody yet."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def choose(self, request: Request) -> Response:
        wanted = request.query_params.get("next")
        if self._desk.session_of(request) is not None:
            return to(own_address(wanted))
        link = self._desk.settings.link is not None
        return self._desk.page("sign_in.html", None, link=link, printed=request.query_params.get("printed"))

    async def print_another(self, request: Request) -> Response:
        link = self._desk.settings.link
        if link is None:
            return self._desk.problem(NOT_HERE, None)
        return to(f"/sign-in?printed={'yes' if link.make() else 'wait'}")

    async def look(self, request: Request) -> Response:
        link = self._desk.settings.link
        if link is None or not link.is_alive(request.path_params["secret"]):
            return self._desk.problem(_DEAD, None)
        return self._desk.page("enter.html", None, person=link.person, address=request.url.path)

    async def enter(self, request: Request) -> Response:
        link = self._desk.settings.link
        try:
            form = await read_form(request)
        except Problem as problem:
            return self._desk.problem(problem, None)
        if link is None or not link.use(request.path_params["secret"]):
            return self._desk.problem(_DEAD, None)
        return signed_in(self._desk, request, link.person, "link", form.get("next"))


def _out(desk: Desk, visit: Visit) -> Response:
    desk.sessions.end(visit.person, visit.session.name)
    answer = to("/sign-in")
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def _you(desk: Desk, visit: Visit) -> Response:
    own = [
        {"name": found.name, "used": ago(since), "how": found.how, "here": found.name == visit.session.name}
        for found, since in desk.sessions.of(visit.person)
    ]
    return desk.page("you.html", visit, sessions=own)


def _end(desk: Desk, visit: Visit) -> Response:
    if not desk.sessions.end(visit.person, visit.form.get("name", "")):
        raise NOT_HERE
    return to("/you")
