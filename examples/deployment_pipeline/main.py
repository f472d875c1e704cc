"""The same job from the approved context, another branch, another workflow file, a fork, and after a revocation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from starlette.routing import Mount

from agentguard import Guard, ToolCallDenied
from agentguard.identity import AssertionRequest, CallableSource
from agentguard.server.push import push_app
from examples.deployment_pipeline.services import PASSWORD, Services, services
from examples.support.bundle import bundle
from examples.support.checks import Checks, reasons
from examples.support.issuer import Issuer, issuing
from examples.support.serve import serving
from examples.support.timeline import Timeline
from examples.support.transmitter import transmitting

KEYS, STORE, TARGET = "http://127.0.0.1:8932", "http://127.0.0.1:8933", "http://127.0.0.1:8934"
EVENT_KEYS, SECURITY, AUDIENCE = (
    "http://127.0.0.1:8942",
    "https://store.corp.example",
    "https://pipelines.corp.example/signals",
)
GITHUB = "https://token.actions.githubusercontent.com"
CREDENTIAL = "deploy-store"
# What whoever watched it may do next.
NEXT = (
    "agentguard test workflows/deployment_pipeline",
    "python -m examples.payments_service",
)

# What GitHub puts into the token of a job; ids and refs cannot be taken over by renaming a repository.
APPROVED = {
    "sub": "repo:corp/shop:environment:production",
    "repository": "corp/shop",
    "repository_id": "815",
    "repository_owner": "corp",
    "repository_owner_id": "4711",
    "ref": "refs/heads/main",
    "ref_type": "branch",
    "environment": "production",
    "event_name": "push",
    "job_workflow_ref": "corp/shop/.github/workflows/deploy.yml@refs/heads/main",
    "runner_environment": "github-hosted",
    "run_id": "1",
}

Job = Callable[[dict[str, str], str], None]


def run(timeline: Timeline, folder: Path, checks: Checks) -> None:
    """The whole example."""
    with services() as real, issuing(GITHUB) as issuer, transmitting(SECURITY, AUDIENCE) as security:
        addresses = {KEYS: issuer.url, STORE: real.store, TARGET: real.target, EVENT_KEYS: security.url}
        policy = bundle("deployment_pipeline", folder / "policy", addresses)
        job = _jobs(timeline, folder, policy, real, issuer)
        every_context(timeline, job)
        nobody = CallableSource(lambda _: "")  # this guard runs no tools: it receives signals
        with (
            Guard.load(policy, home=folder / "home", identity=nobody, log=timeline) as guard,
            serving(Mount("/signals", push_app(guard.receiver()))) as receiver,
        ):
            timeline.title(
                "The credential is revoked", "the store has said so, but still accepts it; the guard does not"
            )
            status = security.push(
                f"{receiver}/signals/store",
                "credential-change",
                {"format": "iss_sub", "iss": SECURITY, "sub": CREDENTIAL},
                change_type="revoke",
                credential_type="token",
                friendly_name=CREDENTIAL,
                reason_admin={"en": "seen in a public log"},
            )
            timeline.say("store", f"pushes: {CREDENTIAL} is revoked, seen in a public log (answered {status})")
            job(APPROVED, "1.0.1")
            records = list(guard.records())
        accepted = httpx.get(f"{real.store}/v1/secrets/shop/database", headers=_authorized(real), trust_env=False)
        timeline.title("What really happened", "as the two servers saw it")
        check(checks, real, records, accepted.status_code)


def every_context(timeline: Timeline, job: Job) -> None:
    """One job that is approved and four that are off by one claim."""
    timeline.title("The approved context", "main branch, production environment, the deploy workflow")
    job(APPROVED, "1.0.0")
    for title, changed in (
        ("Another branch", {"ref": "refs/heads/feature"}),
        ("Another environment", {"environment": "staging"}),
        ("Another workflow file", {"job_workflow_ref": "corp/shop/.github/workflows/test.yml@refs/heads/main"}),
        ("A fork with the same name", {"repository_id": "816"}),
    ):
        timeline.title(title, ", ".join(f"{claim}: {value}" for claim, value in changed.items()))
        job(APPROVED | changed, "6.6.6")


def _jobs(timeline: Timeline, folder: Path, policy: Path, real: Services, issuer: Issuer) -> Job:
    def read_secret(url: str) -> str:
        """Read one secret from the store."""
        answer = httpx.get(url, headers=_authorized(real), trust_env=False).raise_for_status()
        return str(answer.json()["value"])

    def deploy(url: str, release: str, password: str) -> dict[str, Any]:
        """Deploy a release."""
        body = {"release": release, "password": password}
        found: dict[str, Any] = httpx.post(url, json=body, trust_env=False).raise_for_status().json()
        return found

    def job(claims: dict[str, str], release: str) -> None:
        def assertion(request: AssertionRequest) -> str:
            return issuer.token(claims, audience=request.audience)

        source = CallableSource(assertion)
        with Guard.load(policy, home=folder / "home", identity=source, log=timeline) as guard:
            if release == "1.0.0":
                guard.operations.set_credential(CREDENTIAL, "active", by="user:sam", why="registered")
            secret, ship = guard.wrap([read_secret, deploy])
            try:
                with guard.run("deploy-service"):
                    ship(f"{real.target}/v1/releases", release, secret(f"{real.store}/v1/secrets/shop/database"))
            except ToolCallDenied as refusal:
                timeline.say("pipeline", str(refusal))

    return job


def _authorized(real: Services) -> dict[str, str]:
    return {"authorization": f"Bearer {real.credential}"}


def check(checks: Checks, real: Services, records: list[dict[str, Any]], accepted: int) -> None:
    """Compare what the servers did with what was promised."""
    # The last read is our own, past the guard, to show that the store did not know of the revocation.
    checks.that("the store served the secret once to the pipeline", real.served == ["shop/database"] * 2, real.served)
    checks.that("the store would still have accepted the revoked credential", accepted == 200, accepted)
    checks.that("only the approved release was deployed", real.deployed == ["1.0.0"], real.deployed)
    denied = reasons(records, "deny")
    expected = [["condition_false"]] * 3 + [["credential_revoked"]]
    checks.that("each other context was refused, and so was the revoked credential", denied == expected, denied)
    signals = [(r["by"], r["outcome"], r["signal"]["credential"]) for r in records if r["kind"] == "signal"]
    said = [("store", "refuse_credential", CREDENTIAL)]
    checks.that("the revocation came from the store, and is in the records", signals == said, signals)
    fork = [r["reasons"] for r in records if r["kind"] == "run" and r["outcome"] == "refused"]
    checks.that("the fork could not even start a run", fork == [["subject_not_allowed"]], fork)
    checks.that("no record holds the password", PASSWORD not in str(records))
