"""A console over a ledger in memory, and somebody who uses it without a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from agentguard.core.facts import RunState, RunStatus
from agentguard.guard import Operations
from agentguard.guard.records import record
from agentguard.ledger import ApprovalRequest, LogLedger, memory_ledger
from agentguard.policy import Bundle
from agentguard.server.console import Desk, LocalLink, Sessions, Settings, console_app

ORIGIN = "https://console.example"
EXPORTER = "spiffe://corp.example/agent/exporter"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ANN = "user:ann"


class Clock:
    """Seconds for sessions and links, and the time of day, both moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def goes_on(self, by: timedelta) -> None:
        self.seconds += by.total_seconds()


class Place:
    """One console, what stands in its ledger, and everything that its terminal was told."""

    def __init__(self, ledger: LogLedger, bundle: Bundle | None = None, origin: str = ORIGIN, **sessions: Any) -> None:
        self.clock, self.ledger, self.origin = Clock(), ledger, origin
        self.operations = Operations(ledger, self.clock.now)
        self.links: list[str] = []
        self.link = LocalLink(self.clock, ANN, self.links.append)
        self.sessions = Sessions(self.clock, **sessions)
        self.bundle = bundle
        settings = Settings(origin, self.operations, lambda: self.bundle, self.link, self.clock.now)
        self.desk = Desk(settings, self.sessions)
        self.app = console_app(self.desk)

    def run(self, run_id: str = "r-1", **more: Any) -> RunState:
        known: dict[str, Any] = {
            "id": run_id, "workflow": "customer-export", "workflow_digest": "sha256:d", "subject": EXPORTER,
            "status": RunStatus.ACTIVE, "version": 1, "started_at": self.clock.now(), "requester": "user:carol",
        }  # fmt: skip
        run = RunState(**{**known, **more})
        about = {"run_id": run.id, "workflow": run.workflow, "subject": run.subject, "requester": run.requester}
        started: RunState = self.ledger.start_run(
            run, record("run", self.clock.now(), outcome="started", **about)
        ).result()
        return started

    def ask(self, approval_id: str = "a-1", **more: Any) -> ApprovalRequest:
        at = self.clock.now()
        shown = {
            "arguments": {"table": "orders", "rows": 5000}, "redacted": [], "destinations": [],
            "people": [ANN, "user:ben"], "why": ["Large exports leave the house only with a steward's word."],
        }  # fmt: skip
        known: dict[str, Any] = {
            "id": approval_id, "request_digest": f"sha256:{approval_id}", "policy_revision": "sha256:p",
            "run_id": "r-1", "workflow": "customer-export", "step": "export", "tool": "warehouse.export",
            "subject": EXPORTER, "requester": "user:carol", "approvers": ("group:data-stewards",), "quorum": 2,
            "requested_at": at, "expires_at": at + timedelta(minutes=30), "shown": {**shown, **more.pop("shown", {})},
        }  # fmt: skip
        request = ApprovalRequest(**{**known, **more})
        data = record("approval", at, approval_id=request.id, run_id=request.run_id, tool=request.tool)
        self.ledger.ask(request, data).result()
        return request

    def decide(self, decision_id: str, effect: str = "deny", **more: Any) -> int:
        known: dict[str, Any] = {
            "decision_id": decision_id, "effect": effect, "run_id": "r-1", "subject": EXPORTER,
            "tool": "warehouse.export", "workflow": "customer-export", "reasons": ["condition_false"],
            "findings": [
                {"effect": "deny", "reason": "condition_false", "step": "export", "detail": "`args.rows < 5`"}
            ],
        }  # fmt: skip
        seq: int = self.ledger.append(record("decision", self.clock.now(), **{**known, **more})).result()
        return seq

    def visitor(self, person: str | None = None, how: str = "oidc") -> Visitor:
        """Somebody with a browser of their own; signed in already where a ``person`` is named."""
        visitor = Visitor(self)
        if person is not None:
            visitor.client.cookies.set(
                "__Host-agentguard", self.sessions.begin(person, how), domain="console.example", path="/"
            )
        return visitor


class Visitor:
    """What a browser does: it follows nothing by itself here, keeps cookies, and says where a form came from."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.client = TestClient(place.app, base_url=ORIGIN, follow_redirects=False)

    def get(self, address: str, **headers: str) -> Any:
        return self.client.get(address, headers={_header(name): value for name, value in headers.items()})

    def post(self, address: str, form: Mapping[str, str] | None = None, **headers: str) -> Any:
        kind = "application/x-www-form-urlencoded"
        sent = {"origin": ORIGIN, "sec-fetch-site": "same-origin", "content-type": kind} | {
            _header(name): value for name, value in headers.items()
        }
        return self.client.post(address, data=dict(form or {}), headers={k: v for k, v in sent.items() if v})

    def send(self, page: str, address: str, **fields: str) -> Any:
        """Send the form of a page that leads to this address, as it stands, with these fields filled in."""
        return self.post(address, {**form_of(self.get(page).text, address), **fields})

    @property
    def cookie(self) -> str | None:
        found: str | None = self.client.cookies.get("__Host-agentguard")
        return found


def form_of(text: str, address: str) -> dict[str, str]:
    """The hidden fields of a form on a page."""
    found = re.search(rf'<form[^>]*action="{re.escape(address)}"[^>]*>(.*?)</form>', text, re.DOTALL)
    assert found is not None, f"no form leads to {address}"
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', found[1]))


def _header(name: str) -> str:
    return name.replace("_", "-")


@pytest.fixture
def make() -> Iterator[Callable[..., Place]]:
    """Consoles, each over a ledger of its own."""
    ledgers: list[LogLedger] = []

    def made(bundle: Bundle | None = None, **sessions: Any) -> Place:
        ledgers.append(memory_ledger())
        return Place(ledgers[-1], bundle, **sessions)

    yield made
    for ledger in ledgers:
        ledger.shut()


@pytest.fixture
def place(make: Callable[..., Place]) -> Place:
    """A console with one run and one request that waits."""
    place = make()
    place.run()
    place.ask()
    return place


@pytest.fixture
def ann(place: Place) -> Visitor:
    """Ann, who is asked, signed in by the link: she may do everything."""
    return place.visitor(ANN, "link")
