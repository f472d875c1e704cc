"""What the pages of the console share: the ledger, who is signed in and what they may, and how a page is made."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agentguard.errors import ConfigurationError, LedgerError
from agentguard.guard import Operations
from agentguard.policy import Bundle
from agentguard.server.console import html
from agentguard.server.console.links import LocalLink
from agentguard.server.console.roles import ALL, May, may
from agentguard.server.console.sessions import Session, Sessions

# A browser takes it only over TLS or from this machine, for this one host, and shows it to no script.
COOKIE = "__Host-agentguard"
# A form has a handful of fields, and the longest of them is a person's reason.
MAX_FORM = 64 * 1024
MAX_FIELDS = 50
# A form is a packet or two. Past this, somebody holds the connection for the sake of holding it.
FORM_SECONDS = 10.0
MAX_QUERY = 4_096

_log = logging.getLogger("agentguard")


class Problem(Exception):
    """A page that says what is wrong, and what to do."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.status, self.title, self.text = status, title, text


NOT_HERE = Problem(404, "Nothing is here", "It does not exist, or it is not yours to see.")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a console is set up. ``origin`` is its address as browsers see it, such as ``https://console.example``.

    ``bundle`` gives what is in force now; where there is none, nobody has a role but by the link of this machine.
    """

    origin: str
    operations: Operations
    bundle: Callable[[], Bundle | None] = lambda: None
    link: LocalLink | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        parts = urlsplit(self.origin)
        plain = f"{parts.scheme}://{parts.netloc}"
        if self.origin != plain or parts.scheme not in ("http", "https") or parts.netloc != parts.netloc.lower():
            raise ConfigurationError(f"`{self.origin}` is no origin; expected such as https://console.example")
        if "@" in parts.netloc or not parts.hostname:
            raise ConfigurationError(f"`{self.origin}` is no origin; expected such as https://console.example")
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ConfigurationError(f"`{self.origin}` is not loopback, so it must begin with https://")


@dataclass(frozen=True, slots=True)
class Visit:
    """One exchange by somebody who is signed in. ``form`` is what they sent by a POST from one of our own pages."""

    session: Session
    may: May
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    address: str

    @property
    def person(self) -> str:
        """Who it is: ``user:NAME``."""
        return self.session.person


Page: TypeAlias = "Callable[[Desk, Visit], Response]"


class Desk:
    """One console."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.settings, self.sessions = settings, sessions
        self.operations = settings.operations
        self.templates = html.environment()

    def now(self) -> datetime:
        """The time by which requests are open or expired."""
        return self.settings.now()

    def bundle(self) -> Bundle | None:
        """The bundle in force."""
        return self.settings.bundle()

    def session_of(self, request: Request, *, used: bool = True) -> Session | None:
        """Who is signed in with the cookie of this exchange; nobody where there are two of that name."""
        secret = cookie_of(request, COOKIE)
        return None if secret is None else self.sessions.find(secret, used=used)

    def may(self, session: Session) -> May:
        """What somebody may do beside answering what they are asked."""
        return ALL if session.how == "link" else may(self.bundle(), session.person)

    def page(self, template: str, visit: Visit | None, status: int = 200, **known: Any) -> Response:
        """A page out of a template."""
        text = self.templates.get_template(template).render(visit=visit, **known)
        return HTMLResponse(text, status_code=status)

    def problem(self, found: Problem, visit: Visit | None) -> Response:
        """A page that says what is wrong."""
        return self.page("problem.html", visit, found.status, title=found.title, text=found.text)

    def shows(self, page: Page, needs: str | None = None) -> Callable[[Request], Any]:
        """An endpoint for a GET: a page for somebody who is signed in; others are led to the sign-in."""
        return partial(self._get, page, needs)

    def does(self, page: Page, needs: str | None = None) -> Callable[[Request], Any]:
        """An endpoint for a POST by somebody who is signed in, out of a form of their own session."""
        return partial(self._post, page, needs)

    async def _get(self, page: Page, needs: str | None, request: Request) -> Response:
        # A page that fetches itself anew because there is news is nobody who does something.
        session = self.session_of(request, used="x-live" not in request.headers)
        if session is None:
            return to_sign_in(request)
        visit = self._visit(request, session, {})
        return await self._answer(page, needs, visit)

    async def _post(self, page: Page, needs: str | None, request: Request) -> Response:
        session = self.session_of(request)
        if session is None:
            again = Problem(401, "You are signed out", "Nothing was done. Sign in again, and look at it anew.")
            return self.problem(again, None)
        try:
            form = await read_form(request)
        except Problem as problem:
            return self.problem(problem, self._visit(request, session, {}))
        visit = self._visit(request, session, form)
        given = form.get("csrf", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, session.csrf.encode()):
            old = "Nothing was done: this page is of an earlier sign-in. Open it anew, and send it again."
            return self.problem(Problem(403, "This form is not of your session", old), visit)
        return await self._answer(page, needs, visit)

    def _visit(self, request: Request, session: Session, form: Mapping[str, str]) -> Visit:
        query = request.url.query if len(request.url.query) <= MAX_QUERY else ""
        given = dict(parse_qsl(query, max_num_fields=MAX_FIELDS)) if query.count("&") < MAX_FIELDS else {}
        return Visit(session, self.may(session), request.path_params, given, form, request.url.path)

    async def _answer(self, page: Page, needs: str | None, visit: Visit) -> Response:
        try:
            if needs is not None and not getattr(visit.may, needs):
                raise NOT_HERE
            return await run_in_threadpool(page, self, visit)
        except Problem as problem:
            return self.problem(problem, visit)
        except LedgerError as error:
            return self.problem(Problem(409, "That did not work", str(error)), visit)
        except (ConfigurationError, ValueError) as error:
            return self.problem(Problem(400, "That cannot be used", str(error)), visit)
        except Exception:
            _log.exception("the console could not answer %s", visit.address[:100])
            return self.problem(Problem(500, "That did not work", "The log of the console says why."), visit)


def cookie_of(request: Request, named: str) -> str | None:
    """The cookie of that name; none where there are two: somebody may have tossed one in beside ours."""
    found = [
        value
        for header in request.headers.getlist("cookie")
        for name, equals, value in (pair.strip().partition("=") for pair in header.split(";"))
        if equals and name == named
    ]
    return found[0] if len(found) == 1 else None


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form. Raises Problem for what is none of ours: too large, of another type, with a field twice."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "That is no form of ours", "Nothing was done.")
    data = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > MAX_FORM:
                    raise Problem(413, "That is too long", f"Nothing was done. A form has at most {MAX_FORM} bytes.")
    except TimeoutError:
        raise Problem(408, "The form came too slowly", "Nothing was done. Send it again.") from None
    except ClientDisconnect:
        raise Problem(400, "The form came in part", "Nothing was done.") from None
    try:
        fields = parse_qsl(
            data.decode("ascii"), keep_blank_values=True, strict_parsing=bool(data), errors="strict",
            max_num_fields=MAX_FIELDS,
        )  # fmt: skip
    except ValueError:
        raise Problem(400, "That is no form of ours", "Nothing was done.") from None
    found = dict(fields)
    if len(found) != len(fields):
        raise Problem(400, "That is no form of ours", "Nothing was done: a field is there twice.")
    return found


def to(address: str) -> Response:
    """Go on to a page of ours, by a GET."""
    return RedirectResponse(address, status_code=303)


def to_sign_in(request: Request) -> Response:
    """The sign-in, which leads back to where somebody wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return to("/sign-in" + (f"?{urlencode({'next': wanted})}" if wanted not in ("/", "/requests") else ""))


def own_address(wanted: str | None) -> str:
    """Where to go after a sign-in: an address of this console, and no other site's however it is spelt."""
    if wanted is None or len(wanted) > MAX_QUERY or not wanted.startswith("/") or wanted.startswith("//"):
        return "/requests"
    if not wanted.isascii() or not wanted.isprintable() or "\\" in wanted:
        return "/requests"
    first = wanted[1:].partition("?")[0].partition("/")[0]
    return wanted if first in _PAGES else "/requests"


_PAGES: Sequence[str] = ("requests", "history", "decisions", "runs", "records", "subjects", "you")
