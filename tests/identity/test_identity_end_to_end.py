"""Real tokens, a real key set and a real guard: what the caller's proof must be at each call, and after a wait."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from identity_maker import AUDIENCE, ISSUER, KEY, NOW, SUBJECT, Key, at, b64, claims, key_set
from identity_servers import Script, serving, within

from agentguard.core.signals import Signal, SignalEffect
from agentguard.errors import ApprovalPending, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.identities import Identities
from agentguard.guard.run import RunContext
from agentguard.identity import AssertionRequest, CallableSource, Prover, ProvingSource
from agentguard.ledger import memory_ledger

HOLDER = Key("h", "EdDSA")
# Far more than any test asks for, so that what is asked for is what decides.
AMPLE = "5m"


def _bundle(  # one place for each word that says how fresh or how strong a proof must be
    directory: Path,
    *,
    keys: str = "keys_file: keys.json",
    issuer: str = AMPLE,
    workflow: str = AMPLE,
    step: str = AMPLE,
    sensitivity: str = AMPLE,
    demands: str = "",
    trust: str = "",
    assurance: str = "",
    require: str = "",
) -> Path:
    directory.mkdir()
    (directory / "keys.json").write_bytes(key_set(KEY))
    files = {
        "trust": f"""
kind: Trust
groups: {{stewards: ["user:alice"]}}
issuers:
  - name: corp
    profile: oidc
    issuer: {ISSUER}
    audience: {AUDIENCE}
    trust_domain: corp.example
    {keys}
    max_age: {issuer}
    max_lifetime: 15m
    {trust}
""",
        "tools": """
kind: Tools
tools:
  files.read: {effect: read, aliases: [read]}
  files.send: {effect: send, aliases: [send], destinations: [{argument: target, kind: url}]}
""",
        "destinations": f"""
kind: Destinations
destinations:
  - {{kind: url, pattern: "https://public.example/*", sensitivity: public}}
  - {{kind: url, pattern: "https://files.example/*", sensitivity: confidential}}
freshness: {{confidential: {sensitivity}}}
{assurance}
""",
        "workflow": f"""
kind: Workflow
metadata: {{name: send-file, version: 1, owner: data, review_by: 2029-12-31}}
subjects: [{SUBJECT}]
identity: {{max_age: {workflow}}}
steps:
  read:
    tool: files.read
    arguments: {{}}
  send:
    tool: files.send
    arguments: {{target: {{type: string}}, rows: {{type: integer}}}}
    destinations: {{up_to: confidential}}
    identity: {{max_age: {step}{demands}}}
    {require}
    approval: {{when: args.rows > 1000, from: ["group:stewards"], within: 30m}}
""",
    }
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(f"apiVersion: agentguard/v1{text}")
    return directory


class World:
    """A clock moved by hand, an agent whose tokens are as old as is said, and a guard between it and its tool."""

    def __init__(self, tmp_path: Path, **over: Any) -> None:
        self.time, self.age, self.asked, self.ran = 0.0, 0.0, 0, []
        self.kept: str | None = None
        self.passed: float | None = None
        wait, proving = over.pop("wait", None), over.pop("proving", None)
        source: Any = CallableSource(self._token)
        if proving is not None:
            source = ProvingSource(source, proving, self.now)
        self.guard = Guard.load(
            _bundle(tmp_path / "policy", **over),
            ledger=memory_ledger(),
            home=tmp_path / "home",
            identity=source,
            clock=self.now,
            elapsed=lambda: self.time if self.passed is None else self.passed,
            wait=wait,
        )
        self.read, self.send = self.guard.wrap([self._read(), self._send()])

    def now(self) -> datetime:
        return at(self.time)

    def _token(self, _: AssertionRequest) -> str:
        self.asked += 1
        if self.kept is not None:
            return self.kept
        issued = NOW + self.time - self.age
        return KEY.sign(
            claims(iat=issued, nbf=None, exp=issued + 600, jti=f"j-{self.asked}", cnf={"jkt": _thumbprint(HOLDER)})
        )

    def _read(self) -> Callable[..., Any]:
        def read() -> str:
            """Read."""
            self.ran.append("read")
            return "text"

        return read

    def _send(self) -> Callable[..., Any]:
        def send(target: str, rows: int) -> str:
            """Send."""
            self.ran.append(f"send {rows}")
            return "sent"

        return send

    def call(self, target: str = "https://files.example/x", rows: int = 1) -> list[str]:
        """The reasons of one call's decision, in the run under way; none where it ran."""
        with suppress(ToolCallDenied):
            self.send(target, rows)
        return list(self.last["reasons"])

    def run(self) -> RunContext:
        """A run; starting it asks for a proof too."""
        return self.guard.run("send-file")

    @property
    def last(self) -> dict[str, Any]:
        return list(self.guard.records(kind="decision"))[-1]


def _thumbprint(key: Key) -> str:
    members = {name: key.jwk[name] for name in ("crv", "kty", "x")}
    return b64(hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest())


# The place that is strictest, and the reason a call is then refused for.
STRICTEST = {
    "issuer": "assertion_too_old",
    "workflow": "identity_stale",
    "step": "identity_stale",
    "sensitivity": "identity_stale",
}


@pytest.mark.parametrize("place", STRICTEST)
def test_the_strictest_word_on_freshness_wins_wherever_it_stands(place: str, tmp_path: Path) -> None:
    """Issuer, workflow, step and the destination's sensitivity each have a say; thirty seconds to the second."""
    world = World(tmp_path, **{place: "30s"})
    with world.run():
        found = [world.call() for world.age in (30, 31)]

    assert found == [[], [STRICTEST[place]]]
    assert world.ran == ["send 1"]


def test_a_sensitive_place_asks_for_a_fresher_proof_than_a_public_one(tmp_path: Path) -> None:
    """The same token that may send to a public place may not send to a confidential one."""
    world = World(tmp_path, sensitivity="10s")
    world.age = 60
    with world.run():
        found = [world.call(f"https://{host}.example/x") for host in ("public", "files")]

    assert found == [[], ["identity_stale"]]


def test_every_call_asks_for_a_proof_of_its_own(tmp_path: Path) -> None:
    """A token checked once when the guard was built is the hole; and one handed out twice is refused."""
    world = World(tmp_path)
    with world.run():
        world.read()
        world.read()
        world.kept = KEY.sign(claims(iat=NOW, jti="one"))
        world.read()
        with pytest.raises(ToolCallDenied):
            world.read()

    assert world.asked == 5
    assert "assertion_replayed" in world.last["reasons"]


@pytest.mark.parametrize(("fresh", "reasons"), [(True, []), (False, ["identity_stale"])])
def test_after_an_approval_the_caller_is_proved_again(fresh: bool, reasons: list[str], tmp_path: Path) -> None:
    """Repeating the call: what was proved before the wait says nothing about now."""
    world = World(tmp_path, step="60s", trust="single_use: false")
    with world.run():
        if not fresh:
            world.kept = world._token(AssertionRequest(AUDIENCE, ""))
        with pytest.raises(ApprovalPending) as pending:
            world.send("https://files.example/x", 2000)
        world.guard.operations.answer(pending.value.approval_id, approver="user:alice", approve=True)
        world.time, asked = 61, world.asked
        with suppress(ToolCallDenied):
            world.send("https://files.example/x", 2000)

    assert world.asked == asked + 1
    assert world.last["reasons"] == reasons
    assert world.ran == (["send 2000"] if fresh else [])


@pytest.mark.parametrize(("fresh", "ran"), [(True, ["send 2000"]), (False, [])])
def test_a_call_that_blocks_until_it_is_approved_is_proved_again(fresh: bool, ran: list[str], tmp_path: Path) -> None:
    """The same for the caller that waits inside the call."""
    world = World(tmp_path, step="60s", trust="single_use: false", wait=timedelta(minutes=10))
    if not fresh:
        world.kept = world._token(AssertionRequest(AUDIENCE, ""))
    found: list[list[str]] = []

    def call() -> None:
        with world.run():
            found.append(world.call(rows=2000))

    caller = threading.Thread(target=call)
    caller.start()
    assert within(10, lambda: len(world.guard.operations.approvals()) == 1)
    before, world.time = world.asked, 61
    (asked,) = world.guard.operations.approvals()
    world.guard.operations.answer(asked.request.id, approver="user:alice", approve=True)
    caller.join(20)

    assert world.asked == before + 1
    assert found == [[] if fresh else ["identity_stale"]]
    assert world.ran == ran


def test_an_approval_does_not_outlast_the_callers_key(tmp_path: Path) -> None:
    """Approved, then the key was withdrawn from the issuer's set: the proof after the wait is by an unknown key."""
    world = World(tmp_path)
    with world.run():
        with pytest.raises(ApprovalPending) as pending:
            world.send("https://files.example/x", 2000)
        world.guard.operations.answer(pending.value.approval_id, approver="user:alice", approve=True)
        (tmp_path / "policy" / "keys.json").write_bytes(key_set(Key("k9")))
        world.guard.reload()
        with pytest.raises(ToolCallDenied):
            world.send("https://files.example/x", 2000)

    assert "assertion_unknown_key" in world.last["reasons"]
    assert world.ran == []


def test_a_reload_neither_forgets_known_keys_nor_asks_for_them_again(tmp_path: Path) -> None:
    """Else a reload while the key server is down would stop every agent, and a loop of reloads would hammer it."""
    script = Script(key_set(KEY))
    with serving(script) as address:
        world = World(tmp_path, keys=f"keys_url: {address}/keys")
        with world.run():
            assert world.call() == []
            script.status = 500
            for _ in range(5):
                world.guard.reload()
                assert world.call() == []

    assert len(script.seen) == 1


def test_a_call_in_the_middle_of_a_reload_is_judged_by_one_bundle(tmp_path: Path) -> None:
    """The new Trust makes the issuer's key known no more; until all of it is in force, nothing of it is."""
    world = World(tmp_path)
    under, found = Identities.under, []

    def halfway(*args: Any, **options: Any) -> Any:
        made = under(*args, **options)
        found.append((world.call(), world.last["policy_revision"]))
        return made

    with world.run(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Identities, "under", halfway)
        before = world.guard.bundle.revision
        trusted = tmp_path / "policy" / "trust.yaml"
        trusted.write_text(trusted.read_text().replace("max_lifetime:", "revoked_keys: [k1]\n    max_lifetime:"))
        world.guard.reload()

        assert found == [([], before)]
        assert "assertion_revoked_key" in world.call()


DPOP: dict[str, Any] = {"trust": "proof: dpop", "proving": Prover({**HOLDER.jwk, **HOLDER.secret}, "dpop")}
ONCE, LOW = "bearer-single-use", ["assurance_too_low"]
CALL_BOUND = {"require": "require: ['assurance == \"call-bound\"']"}


def _worth(sensitivity: str) -> dict[str, Any]:
    return {"assurance": f"assurance: {{{sensitivity}: call-bound}}"}


# (what is asked for, how the caller proves itself, the reasons, the assurance on record)
ASSURANCE: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], str]] = {
    "a step asks for a proof of the call, and gets it": ({"demands": ", proof: call"}, DPOP, [], "call-bound"),
    "and does not": ({"demands": ", proof: call"}, {}, ["identity_not_bound"], ONCE),
    "a step asks for a level, and gets it": ({"demands": f", assurance: {ONCE}"}, {}, [], ONCE),
    "and does not get a higher one": ({"demands": ", assurance: call-bound"}, {}, LOW, ONCE),
    "nor from a reusable token": ({"demands": f", assurance: {ONCE}"}, {"trust": "single_use: false"}, LOW, "bearer"),
    "a sensitivity asks": (_worth("confidential"), {}, LOW, ONCE),
    "a sensitivity asks, and gets it": (_worth("confidential"), DPOP, [], "call-bound"),
    "a lower sensitivity asks": (_worth("internal"), {}, LOW, ONCE),
    "a higher one asks nothing of this": (_worth("secret"), {}, [], ONCE),
    "a condition asks": (CALL_BOUND, {}, ["condition_false"], ONCE),
    "a condition asks, and holds": (CALL_BOUND, DPOP, [], "call-bound"),
}


@pytest.mark.parametrize("name", ASSURANCE)
def test_how_strongly_the_caller_must_be_proved_is_said_by_step_sensitivity_or_condition(
    name: str, tmp_path: Path
) -> None:
    """And how strongly it was stands in the record."""
    asked, proved, reasons, level = ASSURANCE[name]
    world = World(tmp_path, **asked, **proved)

    with world.run():
        assert world.call() == reasons
    assert world.last["assurance"] == level
    assert world.ran == ([] if reasons else ["send 1"])


def test_a_proof_for_one_call_serves_no_other(tmp_path: Path) -> None:
    """The proof made for one row, caught and sent along with two thousand."""
    proofs: list[str] = []

    class Replaying(Prover):
        def prove(self, token: str | bytes, request: AssertionRequest, now: datetime) -> str:
            proofs.append(super().prove(token, request, now))
            return proofs[0]

    proving = Replaying({**HOLDER.jwk, **HOLDER.secret}, "dpop")
    world = World(tmp_path, trust="proof: dpop", proving=proving)
    world.kept = world._token(AssertionRequest(AUDIENCE, ""))
    with world.run():
        proofs.clear()
        first, second = world.call(rows=1), world.call(rows=2)

    assert (first, second) == ([], ["assertion_proof_invalid"])
    assert world.ran == ["send 1"]


@pytest.mark.parametrize(("age", "reasons"), [(10, []), (11, ["identity_outdated"])])
def test_a_fresh_proof_does_not_make_a_token_newer(age: float, reasons: list[str], tmp_path: Path) -> None:
    """Its claims changed ten seconds ago: whoever holds the key can prove the old token at every call."""
    world = World(tmp_path, **DPOP)
    with world.run():
        changed = Signal("idp", "token-claims-change", SignalEffect.REQUIRE_NEWER, at(0), about=SUBJECT)
        world.guard.operations.apply(("https://idp.example", "1"), [changed], at(0))
        world.time, world.age = 10, age

        assert world.call() == reasons


def test_a_clock_set_back_beyond_the_skew_refuses_and_is_on_record(tmp_path: Path) -> None:
    """Old assertions must not become fresh again."""
    world = World(tmp_path)
    with world.run():
        assert world.call() == []
        world.time = -61
        assert "clock_untrusted" in world.call()

    assert (world.last["effect"], world.ran) == ("deny", ["send 1"])


def test_a_clock_that_stands_still_refuses_and_is_on_record(tmp_path: Path) -> None:
    """Else one bearer token would be fresh for ever."""
    world = World(tmp_path, trust="single_use: false")
    with world.run():
        assert world.call() == []
        world.passed = 61.0
        assert "clock_untrusted" in world.call()

    assert (world.last["effect"], world.ran) == ("deny", ["send 1"])


def test_a_clock_set_forwards_makes_a_kept_token_old(tmp_path: Path) -> None:
    """The jump is believed: it takes power away and gives none."""
    world = World(tmp_path, trust="single_use: false")
    world.kept = world._token(AssertionRequest(AUDIENCE, ""))
    with world.run():
        assert world.call() == []
        world.time = 86_400
        assert world.call() == ["assertion_expired"]
        world.kept = None
        assert world.call() == []
