"""The remediator handles one alert as approved; then somebody else drives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from agentguard import Guard, ToolCallRefused
from examples.incident_response.services import NAMES, Services, services
from examples.support.bundle import bundle
from examples.support.checks import Checks
from examples.support.timeline import Timeline

PORTS = dict(zip(NAMES, range(8941, 8949), strict=True))
# What whoever watched it may do next.
NEXT = (
    "agentguard test workflows/incident_response",
    "the first steps in README.md, with a workflow of your own",
)


def run(timeline: Timeline, folder: Path, checks: Checks) -> None:
    """The whole example."""
    with services() as real:
        addresses = {f"http://127.0.0.1:{PORTS[name]}": real.url[name] for name in NAMES if name != "forgotten"}
        policy = bundle("incident_response", folder / "policy", addresses)
        with Guard.load(policy, home=folder / "home", log=timeline) as guard:
            respond(timeline, guard, real)
            records = list(guard.records())
        timeline.title("What really happened", "as the services saw it")
        check(checks, real, records)


def respond(timeline: Timeline, guard: Guard, real: Services) -> None:
    """First the incident as it was approved to be handled, then the account in the wrong hands."""
    headers = {"authorization": f"Bearer {real.token}"}

    def ask(url: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        method = "GET" if body is None else "POST"
        answer = httpx.request(method, url, json=body, headers=headers, trust_env=False).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def fetch(url: str) -> dict[str, Any]:
        """Read from a service."""
        return ask(url)

    def restart(url: str, host: str) -> dict[str, Any]:
        """Restart a host through the host service."""
        return ask(url, {"host": host})

    def block(url: str, address: str) -> dict[str, Any]:
        """Block an address at the hosts' firewalls."""
        return ask(url, {"address": address})

    def post(url: str, text: str) -> dict[str, Any]:
        """Say something on the public status page."""
        return ask(url, {"text": text})

    get, reboot, shut_out, tell = guard.wrap([fetch, restart, block, post])

    def attempt(words: str, call: Callable[[], object]) -> None:
        timeline.say("account", words)
        try:
            call()
        except ToolCallRefused as refusal:
            timeline.say("account", str(refusal))

    url = real.url
    alert, hosts, status = f"{url['alerts']}/alerts/A-1", url["hosts"], f"{url['status']}/post"
    spelt = url["payroll"].replace("127.0.0.1", "0x7f.1")
    timeline.title("The approved way", "the alert first, then the host and the address that it named")
    with guard.run("handle-alert", inputs={"alert": "A-1"}):
        attempt("reads the alert", lambda: get(alert))
        attempt("restarts the host it named", lambda: reboot(f"{hosts}/restart", "web-3"))
        attempt("blocks the address that the sensor saw", lambda: shut_out(f"{hosts}/block", "203.0.113.9"))
        attempt("says so on the status page", lambda: tell(status, "web-3 is back"))
    timeline.title("The account is compromised", "same tools, same credential, which is valid at all services")
    with guard.run("handle-alert", inputs={"alert": "A-1"}):
        attempt("restarts a host before it has read the alert", lambda: reboot(f"{hosts}/restart", "web-3"))
        attempt("reads payroll", lambda: get(f"{url['payroll']}/salaries"))
        attempt("reads payroll by another spelling of its address", lambda: get(f"{spelt}/salaries"))
        attempt("reads the identity service's keys", lambda: get(f"{url['identity']}/keys"))
        attempt("looks around at a service nobody listed", lambda: get(f"{url['forgotten']}/admin"))
        attempt("reads backups, where it has never been", lambda: get(f"{url['backup']}/list"))
        attempt("reads the alert, as it may", lambda: get(alert))
        attempt("restarts a host that the alert did not name", lambda: reboot(f"{hosts}/restart", "db-1"))
        attempt("blocks an address that the alert's note asks for", lambda: shut_out(f"{hosts}/block", "198.51.100.7"))
        attempt("reads the inventory of hosts, as it may", lambda: get(f"{hosts}/inventory"))
        attempt("tells the public what it has read", lambda: tell(status, "db-1 runs an old kernel"))
        attempt("reads the evidence, as it may", lambda: get(f"{url['evidence']}/disk"))
        attempt("goes back to the alerts from there", lambda: get(alert))


def check(checks: Checks, real: Services, records: list[dict[str, Any]]) -> None:
    """Compare what the services did with what was promised."""
    approved = ["GET alerts/alerts/A-1", "POST hosts/restart", "POST hosts/block", "POST status/post"]
    did = [*approved, "GET alerts/alerts/A-1", "GET hosts/inventory", "GET evidence/disk"]
    checks.that("the services did what was approved and nothing else", real.done == did, real.done)
    headers = {"authorization": f"Bearer {real.token}"}
    answers = [httpx.get(f"{real.url[name]}/whoami", headers=headers, trust_env=False).status_code for name in NAMES]
    checks.that("all of them would have let the account in", answers == [200] * len(NAMES), answers)
    refused = [record for record in records if record["kind"] == "decision" and record["effect"] != "permit"]
    found = [[(each["reason"], each["detail"]) for each in record["findings"]] for record in refused]
    same = len(found) == len(EXPECTED) and all(
        any(reason == code and words in detail for code, detail in findings)
        for (reason, words), findings in zip(EXPECTED, found, strict=True)
    )
    checks.that("each step sideways was refused for a reason of its own", same, found)


# The reason of each refusal, and words of its finding that tell it from the others.
EXPECTED = (
    ("step_out_of_order", "`read` has not succeeded"),
    ("zone_not_reachable", "from zone `operations` to `finance`"),
    ("destination_ambiguous", "url"),
    ("destination_too_sensitive", "secret, over confidential"),
    ("destination_unclassified", "is not in the catalog"),
    ("zone_first_contact", "first contact with zone `backup`"),
    ("condition_false", "args.host == kept.host"),
    ("provenance_unmet", "was first in what outsiders can write"),
    ("write_down", "the run has read confidential"),
    ("zone_not_reachable", "after zone `evidence`"),
)
