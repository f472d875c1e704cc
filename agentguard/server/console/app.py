"""The addresses of the console, and what answers each. A GET shows; what changes anything is a POST."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from agentguard.server.console.desk import NOT_HERE, Desk, to
from agentguard.server.console.doorway import Doorway
from agentguard.server.console.pages import live, records, requests, runs, sign_in

_STATIC = Path(__file__).parent / "static"
_FILES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


def console_app(desk: Desk) -> ASGIApp:
    """An ASGI application; serve it at the root of its own host."""
    shows, does = desk.shows, desk.does
    routes = [
        Route("/", _home, methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
        *sign_in.routes(desk),
        Route("/requests", shows(requests.inbox), methods=["GET"]),
        Route("/requests/{id}", shows(requests.show), methods=["GET"]),
        Route("/requests/{id}/approve", does(requests.approve), methods=["POST"]),
        Route("/requests/{id}/deny", does(requests.deny), methods=["POST"]),
        Route("/history", shows(requests.history), methods=["GET"]),
        Route("/events", live.Live(desk).events, methods=["GET"]),
        Route("/decisions", shows(records.decisions, "see"), methods=["GET"]),
        Route("/runs", shows(runs.runs, "see"), methods=["GET"]),
        Route("/runs/{id}", shows(runs.show, "see"), methods=["GET"]),
        Route("/runs/{id}/stop", does(runs.stop, "stop"), methods=["POST"]),
        Route("/subjects", shows(runs.subject, "see"), methods=["GET"]),
        Route("/subjects/suspend", does(runs.suspend, "stop"), methods=["POST"]),
        Route("/subjects/restore", does(runs.restore, "stop"), methods=["POST"]),
        Route("/records", shows(records.search, "search"), methods=["GET"]),
        Route("/records/{seq}", shows(records.show, "search"), methods=["GET"]),
    ]

    async def not_here(request: Request, error: Exception) -> Response:
        return desk.problem(NOT_HERE, None)

    app = Starlette(routes=routes, exception_handlers={404: not_here, 405: not_here})
    app.router.redirect_slashes = False
    return Doorway(app, desk.settings.origin)


async def _home(request: Request) -> Response:
    return to("/requests")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        return Response(status_code=404)
    return FileResponse(_STATIC / name, media_type=_FILES[name])
