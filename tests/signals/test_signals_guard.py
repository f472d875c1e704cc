"""From a transmitter's POST to a refused call: the real receiver, the real guard, and one ledger for two of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from identity.identity_maker import OTHER, key_set

from agentguard import Guard, ToolCallDenied
from agentguard.server.push import push_app
from signals.conftest import Stage
from signals.signals_maker import AUDIENCE, ISSUER, KEY, NOW, SSF, SUBJECT, URI, at, claims
from signals.signals_servers import send

BUNDLE = {
    "trust.yaml": f"""
apiVersion: agentguard/v1
kind: Trust
issuers:
  - name: local
    profile: local
    issuer: urn:agentguard:local
    audience: agentguard
    max_age: 60s
    max_lifetime: 60s
    subjects: ["{SUBJECT}"]
streams:
  - name: idp
    issuer: {ISSUER}
    audience: {AUDIENCE}
    keys_file: idp.json
    about: ["{SUBJECT}", "user:eli", "https://store.example#*", "credential:vault"]
""",
    "tools.yaml": """
apiVersion: agentguard/v1
kind: Tools
tools:
  notes.read: {aliases: [look], effect: read}
  notes.write: {aliases: [put], effect: write, credentials: [vault]}
""",
    "notes.yaml": f"""
apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: notes, version: 1, owner: us, review_by: 2099-12-31}}
subjects: ["{SUBJECT}"]
steps:
  look: {{tool: notes.read, arguments: {{}}}}
  put: {{tool: notes.write, arguments: {{}}}}
""",
}


class Site:
    """A guard that serves its receiver, and another guard, as another process would have it, that does not."""

    def __init__(self, folder: Path) -> None:
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        for name, text in BUNDLE.items():
            (self.bundle / name).write_text(text)
        (self.bundle / "idp.json").write_bytes(key_set(KEY))
        # It stays the same moment, so that nothing depends on how long a test takes.
        self.serving = Guard.load(self.bundle, home=folder / "home", clock=at)
        self.calling = Guard.load(self.bundle, home=folder / "home", clock=at)
        self.serving.operations.set_credential("vault", "active", by="user:sam", why="registered")
        self.look, self.put = self.calling.wrap([look, put])
        self.port = 0
        self._sent = 0

    def tell(self, event: str, **over: Any) -> int:
        """Push one event that happened just now; the answer's status."""
        self._sent += 1
        said = {"iat": NOW, "jti": f"j-{self._sent}", **over}
        token = KEY.sign(claims(event, **said), typ="secevent+jwt")
        return send(self.port, "/idp", token.encode(), {"Content-Type": "application/secevent+jwt"}).status

    def refused(self, tool: Any) -> list[str]:
        """The reasons for which a call is refused; empty where it is not."""
        try:
            tool()
        except ToolCallDenied:
            return list(list(self.calling.records(kind="decision"))[-1]["reasons"])
        return []


def look() -> str:
    """Read the notes."""
    return "notes"


def put() -> None:
    """Write a note."""


@pytest.fixture
def site(tmp_path: Path, stage: Stage) -> Iterator[Site]:
    made = Site(tmp_path)
    with made.serving, made.calling:
        stage.app, made.port = push_app(made.serving.receiver()), stage.port
        yield made


def test_a_revoked_session_ends_the_run_under_way_in_the_other_process(site: Site) -> None:
    """Its very next call; and a run begun later is another session."""
    with site.calling.run("notes"):
        assert site.refused(site.look) == []
        assert site.tell("session-revoked", iat=NOW + 1) == 202
        assert site.refused(site.look) == ["run_stopped"]


@pytest.mark.parametrize("subject", [URI, {"format": "email", "email": "eli"}])
def test_high_risk_of_the_workload_or_of_the_person_takes_writing_away(site: Site, subject: dict[str, str]) -> None:
    """And the all-clear gives it back."""
    with site.calling.run("notes", requester="user:eli"):
        assert site.tell("risk-level-change", subject=subject) == 202
        assert (site.refused(site.put), site.refused(site.look)) == (["risk_too_high"], [])
        low = {"current_level": "LOW"}
        assert site.tell("risk-level-change", subject=subject, said=low, iat=NOW + 1) == 202
        assert site.refused(site.put) == []


def test_a_single_run_can_be_meant(site: Site) -> None:
    """The run's id is a session's; another run of the same workload goes on."""
    with site.calling.run("notes") as run:
        subject = {"format": "complex", "session": {"format": "opaque", "id": run.id}, "user": URI}
        assert site.tell("risk-level-change", subject=subject, said={"principal": "SESSION"}) == 202
        assert site.refused(site.put) == ["risk_too_high"]
    with site.calling.run("notes"):
        assert site.refused(site.put) == []


def test_a_revoked_credential_is_not_used(site: Site) -> None:
    """By its registered name, for every workload whose tools use it; and restored by the same stream."""
    store = {"format": "iss_sub", "iss": "https://store.example", "sub": "vault"}
    said = {"change_type": "revoke", "friendly_name": "vault"}
    with site.calling.run("notes"):
        assert site.refused(site.put) == []
        assert site.tell("credential-change", subject=store, said=said) == 202
        assert (site.refused(site.put), site.refused(site.look)) == (["credential_revoked"], [])
        new = {**said, "change_type": "create", "initiating_entity": "admin"}
        assert site.tell("credential-change", subject=store, said=new, iat=NOW + 1) == 202
        assert site.refused(site.put) == []


def test_claims_that_changed_need_a_newer_assertion(site: Site) -> None:
    """The local issuer makes one for each call, so the next second's will do."""
    with site.calling.run("notes"):
        assert site.tell("token-claims-change", said={"event_timestamp": NOW + 2}) == 202
        assert site.refused(site.look) == ["identity_outdated"]


def test_each_signal_is_one_record_and_a_repeated_token_is_none(site: Site) -> None:
    """Who said what about whom, and under which id of theirs."""
    assert site.tell("risk-level-change", said={"risk_reason": "IMPOSSIBLE_TRAVEL"}, jti="same") == 202
    assert site.tell("risk-level-change", jti="same") == 202
    assert site.tell("session-revoked", subject={"format": "uri", "uri": "spiffe://corp.example/other"}) == 202

    first, second = site.calling.records(kind="signal")
    assert (first["outcome"], first["risk"], first["by"], first["subject"]) == ("set_risk", "high", "idp/risk", SUBJECT)
    assert (first["issuer"], first["assertion_id"]) == (ISSUER, "same")
    assert first["why"] == "risk_reason: IMPOSSIBLE_TRAVEL"
    assert (second["outcome"], second["why"]) == ("note", "its stream may not speak of it")


def test_a_stream_that_says_it_is_paused_counts_as_silent(site: Site) -> None:
    """Until it says that it is back."""
    opaque = {"format": "opaque", "id": "s-1"}
    assert site.tell(f"{SSF}verification", subject=opaque, iat=NOW - 2) == 202
    assert site.calling.operations.streams()["idp"].last_heard is not None
    assert site.tell(f"{SSF}stream-updated", subject=opaque, said={"status": "paused"}, iat=NOW - 1) == 202
    assert site.calling.operations.streams()["idp"].last_heard is None
    assert site.tell(f"{SSF}stream-updated", subject=opaque, said={"status": "enabled"}, iat=NOW) == 202
    assert site.calling.operations.streams()["idp"].last_heard is not None


def test_a_stream_whose_clock_is_ahead_is_heard_now(site: Site) -> None:
    """Else it would count as heard for longer than it was."""
    assert site.tell("session-presented", iat=NOW + 4) == 202
    assert site.calling.operations.streams()["idp"].heard_at == at()


def test_a_reload_changes_whose_word_counts(site: Site) -> None:
    """A key that was stolen stops signing when the bundle that revokes it is in force."""
    trust = site.bundle / "trust.yaml"
    assert site.tell("session-presented") == 202
    trust.write_text(trust.read_text() + "    revoked_keys: [s1]\n")
    assert site.tell("session-presented") == 202
    site.serving.reload()
    assert site.tell("session-presented") == 400


def test_a_receiver_whose_keys_are_missing_is_not_made(site: Site) -> None:
    """Its operator hears of it at once, with file and line."""
    (site.bundle / "idp.json").unlink()
    with pytest.raises(Exception, match=r"trust\.yaml:\d+: stream `idp`: `keys_file`"):
        site.serving.receiver()
    (site.bundle / "idp.json").write_bytes(key_set(OTHER))
    assert site.serving.receiver().stream("idp") is not None
