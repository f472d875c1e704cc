"""The remediator handles one alert as approved; then somebody else drives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from agentguard import Guard, ToolCallDenied
from examples.incident_response.services import NAMES, Services, services
from examples.support.bundle import bundle
from examples.support.checks import Checks, reasons
from examples.support.timeline import Timeline

PORTS = dict(zip(NAMES, range(8941, 8946), strict=True))


def run(timeline: Timeline, folder: Path, checks: Checks) -> None:
    """The whole example."""
    with services() as real:
        addresses = {f"http://127.0.0.1:{PORTS[name]}": real.url[name] for name in NAMES if name != "forgotten"}
        policy = bundle("incident_response", folder / "policy", addresses)
        with Guard.load(policy, home=folder / "home", log=timeline) as guard:
            respond(timeline, guard, real)
            records = list(guard.records())
        timeline.title("What really happened", "as the five services saw it")
        check(checks, real, records)


def respond(timeline: Timeline, guard: Guard, real: Services) -> None:
    """First the incident as it was approved to be handled, then the account in the wrong hands."""
    headers = {"authorization": f"Bearer {real.token}"}

    def fetch(url: str) -> dict[str, Any]:
        """Read from a service."""
        found: dict[str, Any] = httpx.get(url, headers=headers, trust_env=False).raise_for_status().json()
        return found

    def restart(url: str, host: str) -> dict[str, Any]:
        """Restart a host through the host service."""
        answer = httpx.post(url, json={"host": host}, headers=headers, trust_env=False).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    get, reboot = guard.wrap([fetch, restart])

    def attempt(words: str, call: Callable[[], object]) -> None:
        timeline.say("account", words)
        try:
            call()
        except ToolCallDenied as refusal:
            timeline.say("account", str(refusal))

    url = real.url
    timeline.title("The approved way", "the alert first, then the host that the alert named")
    with guard.run("handle-alert", inputs={"alert": "A-1"}):
        attempt("reads the alert", lambda: get(f"{url['alerts']}/alerts/A-1"))
        attempt("restarts the host it named", lambda: reboot(f"{url['hosts']}/restart", "web-3"))
    timeline.title("The account is compromised", "same tools, same credential, which is valid at all five services")
    with guard.run("handle-alert", inputs={"alert": "A-1"}):
        attempt("restarts a host before it has read the alert", lambda: reboot(f"{url['hosts']}/restart", "web-3"))
        attempt("reads payroll", lambda: get(f"{url['payroll']}/salaries"))
        attempt("reads the identity service's keys", lambda: get(f"{url['identity']}/keys"))
        attempt("looks around at a service nobody listed", lambda: get(f"{url['forgotten']}/admin"))
        attempt("reads the alert, as it may", lambda: get(f"{url['alerts']}/alerts/A-1"))
        attempt("restarts a host that the alert did not name", lambda: reboot(f"{url['hosts']}/restart", "db-1"))


def check(checks: Checks, real: Services, records: list[dict[str, Any]]) -> None:
    """Compare what the services did with what was promised."""
    did = ["GET alerts/alerts/A-1", "POST hosts/restart", "GET alerts/alerts/A-1"]
    checks.that("the services did what was approved and nothing else", real.done == did, real.done)
    headers = {"authorization": f"Bearer {real.token}"}
    answers = [httpx.get(f"{real.url[name]}/whoami", headers=headers, trust_env=False).status_code for name in NAMES]
    checks.that("all five would have let the account in", answers == [200] * len(NAMES), answers)
    denied = reasons(records, "deny")
    expected = [
        ["step_out_of_order"],
        ["zone_not_reachable"],
        ["destination_too_sensitive"],
        ["destination_unclassified"],
        ["condition_false"],
    ]
    checks.that(
        "each step sideways was refused for a reason of its own",
        len(denied) == len(expected)
        and all(set(wanted) <= set(found) for wanted, found in zip(expected, denied, strict=True)),
        denied,
    )
