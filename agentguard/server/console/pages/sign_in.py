"""Signing in, by the link that is printed on this machine or by a provider; signing out; the sessions a person has."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agentguard.server.console.desk import COOKIE, NOT_HERE, Desk, Problem, Visit, cookie_of, own_address, read_form, to
from agentguard.server.console.html import ago
from agentguard.server.console.links import LocalLink
from agentguard.server.console.oidc import LASTS, Provider, SignInFailed

# Of a sign-in by a provider, while the browser is there.
_MEANWHILE = "__Host-agentguard-sign-in"
CALLBACK = "/sign-in/callback"
_MAX_ANSWER = 8_192
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
        Route("/sign-in/start", ways.start, methods=["GET"]),
        Route(CALLBACK, ways.come_back, methods=["GET"]),
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
        self._made: Provider | None = None

    @property
    def _link(self) -> LocalLink | None:
        """The link of this machine; none where Trust says that people sign in by a provider."""
        return self._desk.settings.link if self._provider is None else None

    @property
    def _provider(self) -> Provider | None:
        """The provider that Trust names now."""
        bundle = self._desk.bundle()
        login = None if bundle is None or bundle.console is None else bundle.console.login
        if login is None:
            return None
        if self._made is None or self._made.login != login:
            origin, clock = self._desk.settings.origin, self._desk.sessions.clock
            self._made = Provider(login, origin + CALLBACK, clock, self._desk.now)
        return self._made

    async def choose(self, request: Request) -> Response:
        wanted = request.query_params.get("next")
        if self._desk.session_of(request) is not None:
            return to(own_address(wanted))
        provider = self._provider
        return self._desk.page(
            "sign_in.html", None,
            link=self._link is not None,
            printed=request.query_params.get("printed"),
            provider="" if provider is None else urlsplit(provider.login.issuer).netloc,
            wanted=own_address(wanted),
        )  # fmt: skip

    async def start(self, request: Request) -> Response:
        provider = self._provider
        if provider is None:
            return self._desk.problem(NOT_HERE, None)
        try:
            begun = await run_in_threadpool(provider.begin, own_address(request.query_params.get("next")))
        except SignInFailed as failed:
            return self._failed(failed)
        answer = RedirectResponse(begun.address, status_code=303)
        age = int(LASTS.total_seconds())
        answer.set_cookie(_MEANWHILE, begun.cookie, max_age=age, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    async def come_back(self, request: Request) -> Response:
        provider = self._provider
        if provider is None:
            return self._desk.problem(NOT_HERE, None)
        try:
            query = request.url.query
            if len(query) > _MAX_ANSWER:
                raise SignInFailed("the provider's answer is too long")
            given = parse_qsl(query, keep_blank_values=True)
            person, wanted = await run_in_threadpool(provider.finish, cookie_of(request, _MEANWHILE), given)
        except SignInFailed as failed:
            answer = self._failed(failed)
        else:
            answer = signed_in(self._desk, request, person, "provider", wanted)
        answer.delete_cookie(_MEANWHILE, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    def _failed(self, failed: SignInFailed) -> Response:
        return self._desk.problem(Problem(403, "You are not signed in", f"{failed}."), None)

    async def print_another(self, request: Request) -> Response:
        link = self._link
        if link is None:
            return self._desk.problem(NOT_HERE, None)
        return to(f"/sign-in?printed={'yes' if link.make() else 'wait'}")

    async def look(self, request: Request) -> Response:
        link = self._link
        if link is None or not link.is_alive(request.path_params["secret"]):
            return self._desk.problem(_DEAD, None)
        return self._desk.page("enter.html", None, person=link.person, address=request.url.path)

    async def enter(self, request: Request) -> Response:
        link = self._link
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
