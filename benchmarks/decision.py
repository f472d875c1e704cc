"""The decision alone, and how long a bundle takes to load, beside Cedar and Casbin on equivalent policies."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agentguard.core.canonical import canonical_bytes
from agentguard.core.decide import decide
from agentguard.core.facts import Facts, RunState, RunStatus
from agentguard.core.policy import Policy
from agentguard.core.request import Request
from agentguard.core.values import Assurance, Effect, Identity
from agentguard.jose.nonce import nonce
from agentguard.policy import load
from benchmarks.bundles import ARGUMENTS, CASBIN_MODEL, SUBJECT, casbin_policies, cedar_policies, write_bundle
from benchmarks.measure import Effort, Tick, compare


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Microseconds a decision and seconds of processor time a load, by the number of workflows."""
    found: dict[str, Any] = {}
    for workflows in effort.workflows:
        tick(f"load {workflows} workflows")
        directory = write_bundle(folder / f"bundle-{workflows}", workflows)
        started = time.process_time()
        policy = load(directory).policy
        loaded = time.process_time() - started
        tick(f"decide with {workflows} workflows")
        calls = {
            "plain": decision(policy, workflows, "plain"),
            "three_conditions": decision(policy, workflows, "strict"),
            **_cedar(workflows),
            **_casbin(workflows),
        }
        names = ("plain", "three_conditions", "cedarpy", "cedarpy_parsed_once", "pycasbin")
        times = compare(calls, effort)
        found[str(workflows)] = {"load_s": loaded, **{name: times.get(name) for name in names}}
    return found


def decision(policy: Policy, workflows: int, tool: str) -> Callable[[], object]:
    """One decision on a permitted call, in the middle of the bundle."""
    name = f"wf-{workflows // 2}"
    now = datetime(2026, 12, 1, tzinfo=UTC)
    request = Request.make(
        run_id="r-1",
        workflow=name,
        tool=tool,
        canonical=canonical_bytes(ARGUMENTS),
        arguments=ARGUMENTS,
        definition=None,
        salt=nonce(),
    )
    identity = Identity(
        subject=SUBJECT,
        issuer="urn:agentguard:local",
        profile="local",
        issued_at=now,
        expires_at=now + timedelta(seconds=60),
        assertion_id="a-1",
        key_id="local",
        assurance=Assurance.LOCAL,
        claims={"sub": SUBJECT},
        bound_to=request.digest,
    )
    run = RunState(
        id="r-1",
        workflow=name,
        workflow_digest=policy.workflows[name].digest,
        subject=SUBJECT,
        status=RunStatus.ACTIVE,
        version=1,
        started_at=now,
        inputs={"ticket": "EXP-7"},
    )
    facts = Facts(now=now, identity=identity, run=run, destinations=())
    answer = decide(request, policy, facts)
    if answer.effect is not Effect.PERMIT:
        raise RuntimeError(f"the benchmark's call is not permitted: {answer.findings}")
    return lambda: decide(request, policy, facts)


def cedar_decision(workflows: int) -> Callable[[], bool] | None:
    """Cedar's decision with policies that are parsed once; None where cedarpy is not installed."""
    once = _cedar(workflows).get("cedarpy_parsed_once")
    return None if once is None else lambda: bool(once().allowed)


def casbin_decision(workflows: int) -> Callable[[], bool] | None:
    """Casbin's decision; None where pycasbin is not installed."""
    return _casbin(workflows).get("pycasbin")


def _cedar(workflows: int) -> dict[str, Callable[[], Any]]:
    try:
        import cedarpy
    except ImportError:
        return {}
    text = cedar_policies(workflows)
    parsed, entities = cedarpy.PolicySet.from_str(text), cedarpy.Entities.from_json_str("[]")
    request = {
        "principal": {"type": "Agent", "id": SUBJECT},
        "action": {"type": "Action", "id": "strict"},
        "resource": {"type": "Workflow", "id": f"wf-{workflows // 2}"},
        "context": {**ARGUMENTS, "input": "EXP-7"},
    }
    if not cedarpy.is_authorized(request, parsed, entities).allowed:
        raise RuntimeError("Cedar does not permit what the benchmark compares")
    return {
        "cedarpy": lambda: cedarpy.is_authorized(request, text, []),
        "cedarpy_parsed_once": lambda: cedarpy.is_authorized(request, parsed, entities),
    }


def _casbin(workflows: int) -> dict[str, Callable[[], bool]]:
    try:
        import casbin
    except ImportError:
        return {}
    with _model_file() as path:
        enforcer = casbin.Enforcer(path)
    enforcer.add_policies(casbin_policies(workflows))
    request = [SUBJECT, f"wf-{workflows // 2}", "strict", "orders", 500, "EXP-7", "EXP-7"]
    if not enforcer.enforce(*request):
        raise RuntimeError("Casbin does not permit what the benchmark compares")
    return {"pycasbin": lambda: enforcer.enforce(*request)}


@contextmanager
def _model_file() -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(CASBIN_MODEL)
        file.flush()
        yield file.name
