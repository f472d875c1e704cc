"""What is secret stands in no record, no log and no question, and nothing that stands there can be searched for it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard.core.canonical import canonical_bytes, commitment
from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger, open_ledger

from .conftest import EXPORTER, FILES, Clock

BUNDLE = {
    "trust.yaml": FILES["trust.yaml"],
    "tools.yaml": """
apiVersion: agentguard/v1
kind: Tools
tools:
  unlock: {effect: write, secrets: [pin]}
""",
    "open.yaml": f"""
apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: open, version: 1, owner: o, review_by: 2029-12-31}}
subjects: ["{EXPORTER}"]
steps:
  unlock: {{tool: unlock, arguments: {{card: {{type: string}}, pin: {{type: string}}}}}}
""",
}
CANONICAL = b'{"card":"4000","pin":"4831"}'


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, text in BUNDLE.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def guard(policy: Path, tmp_path: Path, clock: Clock, log: io.StringIO) -> Iterator[Guard]:
    with Guard.load(policy, ledger=memory_ledger(), home=tmp_path / "home", clock=clock, log=log) as made:
        yield made


def unlock(card: str, pin: str) -> str:
    return "ok"


def decisions(guard: Guard) -> list[dict[str, Any]]:
    return list(guard.records(kind="decision"))


def unsalted(data: dict[str, Any]) -> list[str]:
    """Every digest that a stranger could make who knows the record and guesses the secret."""
    plain = "sha256:" + hashlib.sha256(CANONICAL).hexdigest()
    known = {
        "definition": data["definition"],
        "run": data["run_id"],
        "tool": data["tool"],
        "workflow": data["workflow"],
    }
    covered = [canonical_bytes({"arguments": guess, "v": v, **known}) for guess in (plain,) for v in (1, 2)]
    empty = commitment("", CANONICAL)
    covered += [canonical_bytes({"arguments": empty, "v": v, **known}) for v in (1, 2)]
    return [plain, empty, *("sha256:" + hashlib.sha256(each).hexdigest() for each in covered)]


def test_no_digest_in_a_record_can_be_searched_for_a_short_secret(guard: Guard, log: io.StringIO) -> None:
    """Ten thousand tries find a PIN in an unsalted digest; what approvals and proofs bind to is such a digest, too."""
    wrapped = guard.wrap(unlock)
    with guard.run("open") as run:
        wrapped("4000", "4831")
        wrapped("4000", "4831")
        salt = guard.operations.run(run.id).salt  # type: ignore[union-attr]
    first, second = decisions(guard)
    for data in (first, second):
        assert not {data["arguments_digest"], data["request_digest"]} & set(unsalted(data))
    assert first["arguments_digest"] != second["arguments_digest"], "each record has a salt of its own"
    assert first["request_digest"] == second["request_digest"], "what a person said yes to is known again"
    with guard.run("open"):
        wrapped("4000", "4831")
    assert decisions(guard)[-1]["request_digest"] != first["request_digest"]

    salts = [guard.operations.salts(data["seq"])["/arguments_digest"] for data in decisions(guard)]
    public = json.dumps(list(guard.records())) + log.getvalue()
    for secret in (salt, *salts, "4831"):
        assert len(secret) >= 4 and secret not in public


def test_a_call_outside_a_run_cannot_be_searched_either(guard: Guard) -> None:
    """There is no run whose salt could be used, and the denial stands in the records all the same."""
    with pytest.raises(ToolCallDenied):
        guard.wrap(unlock)("4000", "4831")
    (data,) = decisions(guard)
    assert not {data["arguments_digest"], data["request_digest"]} & set(unsalted(data))


def test_an_auditor_who_is_given_the_salt_checks_the_arguments_offline(policy: Path, tmp_path: Path) -> None:
    """With the record, the salt and a hash function: without this project, and after a restart."""
    with Guard.load(policy, home=tmp_path / "home") as guard:
        with guard.run("open"):
            guard.wrap(unlock)("4000", "4831")
        (data,) = decisions(guard)
    ledger = open_ledger(tmp_path / "home" / "ledger.sqlite3")
    salt = ledger.private(data["seq"]).result()["/arguments_digest"]
    ledger.shut()

    assert data["arguments_digest"] == "sha256:" + hashlib.sha256(f"{salt}.".encode() + CANONICAL).hexdigest()
    assert data["arguments_digest"] != commitment(salt, CANONICAL.replace(b"4831", b"4832"))
