"""The local issuer inside one process: its keyed hash proves one call, here and now, and nothing else does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from identity_maker import DIGEST, at, word

from agentguard.core.values import Assurance, Identity
from agentguard.errors import ConfigurationError
from agentguard.identity import (
    Assertion,
    AssertionRequest,
    CallableSource,
    EnvironmentSource,
    FileSource,
    InProcessIssuer,
    LocalIssuer,
    in_process,
    local_trust,
    obtain,
)
from agentguard.identity.in_process import InProcessProof

SUBJECT = "agent:exporter"
TRUST = local_trust((SUBJECT,))
ISSUER = InProcessIssuer(TRUST)


def proved(**other: Any) -> InProcessProof:
    return ISSUER.prove(SUBJECT, DIGEST, at())._replace(**other)


def test_a_proof_is_bound_to_its_call_and_says_how_it_was_made() -> None:
    """Weaker than production, and a reader of the record sees that no token was involved."""
    answer = ISSUER.identity(proved(), DIGEST, at())

    assert isinstance(answer, Identity)
    assert (answer.subject, answer.bound_to, answer.assurance) == (SUBJECT, DIGEST, Assurance.LOCAL)
    assert answer.expires_at - answer.issued_at == timedelta(seconds=60)
    assert answer.assertion_id.startswith("process:")


def test_it_says_what_a_token_of_the_local_issuer_says(tmp_path: Path) -> None:
    """A condition that reads claims does not notice which of the two it was."""
    local = LocalIssuer(tmp_path, issuer=TRUST.issuer)
    token = local.verifier(TRUST).verify(local.mint(SUBJECT, TRUST.audience, DIGEST, at()), now=at())
    here = ISSUER.identity(proved(), DIGEST, at())

    assert isinstance(token, Identity)
    assert isinstance(here, Identity)
    same = {"assertion_id": "", "key_id": "", "claims": {}}
    assert replace(token, **same) == replace(here, **same)  # type: ignore[arg-type]
    assert {**token.claims, "jti": ""} == {**here.claims, "jti": ""}


@pytest.mark.parametrize(
    ("id_", "expected"), [("process:1", "invalid_claim"), ("process", "accept"), ("x-process:1", "accept")]
)
def test_no_token_passes_for_what_the_process_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id_: str, expected: str
) -> None:
    """Such an id is not remembered, so a token that has one could be used twice."""
    monkeypatch.setattr("agentguard.identity.local.nonce", lambda: id_)
    local = LocalIssuer(tmp_path, issuer=TRUST.issuer)

    assert word(local.verifier(TRUST).verify(local.mint(SUBJECT, TRUST.audience, DIGEST, at()), now=at())) == expected


@pytest.mark.parametrize(
    ("seconds", "digest", "expected"),
    [
        (0, DIGEST, "accept"),
        (59, DIGEST, "accept"),
        (60, DIGEST, "expired"),
        (-1, DIGEST, "issued_in_future"),
        (0, DIGEST + "0", "proof_invalid"),
        (0, "", "proof_invalid"),
    ],
)
def test_a_proof_one_step_off_is_refused(seconds: float, digest: str, expected: str) -> None:
    """For this call, now."""
    assert word(ISSUER.identity(proved(), digest, at(seconds))) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "agent:other"},
        {"issuer": TRUST.issuer + "x"},
        {"audience": TRUST.audience + "x"},
        {"issued": int(at(1).timestamp())},
        {"id": "0" * 32},
        {"request_digest": DIGEST[:-1] + "0"},
        {"tag": b""},
        {"tag": bytes(32)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_hash_covers_every_field(changed: dict[str, Any]) -> None:
    """What could be changed after the proof was made would be believed."""
    assert word(ISSUER.identity(proved(**changed), changed.get("request_digest", DIGEST), at())) != "accept"


def test_two_fields_cannot_trade_letters() -> None:
    """The length in front of each: `ab` + `c` is not `a` + `bc`."""
    proof = proved()
    moved = proof._replace(id=proof.id[:-1], request_digest=proof.id[-1] + proof.request_digest)

    assert word(ISSUER.identity(moved, moved.request_digest, at())) == "bad_signature"


@pytest.mark.parametrize(
    ("subjects", "expected"), [((SUBJECT,), "accept"), (("agent:other",), "wrong_subject"), (("",), "wrong_subject")]
)
def test_the_local_issuer_speaks_for_those_that_trust_lists(subjects: tuple[str, ...], expected: str) -> None:
    """A right hash makes nobody a subject of this Trust."""
    issuer = InProcessIssuer(local_trust(subjects))
    assert word(issuer.identity(issuer.prove(SUBJECT, DIGEST, at()), DIGEST, at())) == expected


def test_what_trust_pins_and_revokes_counts_here_too() -> None:
    """As it does for a token: an owner who switches the local key off has switched it off."""
    for other, expected in (
        (replace(TRUST, revoked_keys=("local",)), "revoked_key"),
        (replace(TRUST, claims={"aud": "another"}), "wrong_claim"),
        (replace(TRUST, claims={"aud": TRUST.audience}), "accept"),
        (replace(TRUST, max_age=timedelta(seconds=5)), "too_old"),
    ):
        issuer = InProcessIssuer(other)
        proof = issuer.prove(SUBJECT, DIGEST, at())
        later = at(6) if expected == "too_old" else at()
        assert word(issuer.identity(proof, DIGEST, later)) == expected


def test_another_profile_is_never_proved_by_the_process() -> None:
    """Only `local` may rest on it, so no step that asks for more ever meets it."""
    with pytest.raises(ConfigurationError, match="`local` only"):
        InProcessIssuer(replace(TRUST, profile="oidc"))


# Every form in which somebody outside could hand the fields of a proof over, as text or bytes.
def _texts(proof: InProcessProof) -> list[str | bytes]:
    fields = [proof.tag.hex() if isinstance(part, bytes) else str(part) for part in proof]
    return [repr(proof), ".".join(fields), f"process:{proof.id}", proof.tag.hex(), proof.tag, repr(tuple(proof))]


def _by_file(text: str | bytes, folder: Path) -> Any:
    file = folder / "token"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return obtain(FileSource(file), AssertionRequest(TRUST.audience, DIGEST, SUBJECT))


def _by_environment(text: str | bytes, folder: Path) -> Any:
    os.environ["AGENTGUARD_TEST_TOKEN"] = text.hex() if isinstance(text, bytes) else text
    try:
        return obtain(EnvironmentSource("AGENTGUARD_TEST_TOKEN"), AssertionRequest(TRUST.audience, DIGEST, SUBJECT))
    finally:
        del os.environ["AGENTGUARD_TEST_TOKEN"]


DOORS: dict[str, Callable[[str | bytes, Path], Any]] = {
    "as it is": lambda text, _: text,
    "as an assertion": lambda text, _: Assertion(text),
    "beside a token": lambda text, _: Assertion("x.y.z", text),
    "from a file": _by_file,
    "from the environment": _by_environment,
}


@pytest.mark.parametrize("door", DOORS)
def test_no_text_is_taken_for_a_proof_of_this_process(door: str, tmp_path: Path) -> None:
    """Neither where proofs are checked, nor by the verifier of the local issuer's tokens."""
    verifier = LocalIssuer(tmp_path, issuer=TRUST.issuer).verifier(TRUST)
    for text in _texts(proved()):
        brought = DOORS[door](text, tmp_path)
        assert word(ISSUER.identity(brought, DIGEST, at())) == "malformed"
        if isinstance(brought, Assertion | str | bytes):
            assert not isinstance(verifier.verify(brought, now=at(), request_digest=DIGEST), Identity)


class _Like(tuple[Any, ...]):
    """The fields of a proof in a class of somebody's own."""

    def __getattr__(self, name: str) -> Any:
        return self[InProcessProof._fields.index(name)]


@pytest.mark.parametrize(
    "made", [tuple, list, _Like, lambda proof: proof._asdict()], ids=["tuple", "list", "like", "dict"]
)
def test_what_only_looks_like_a_proof_is_none(made: Callable[[InProcessProof], Any]) -> None:
    """The right fields and the right hash in another kind of object: somebody built it, no guard did."""
    assert word(ISSUER.identity(made(proved()), DIGEST, at())) == "malformed"


def test_no_source_can_hand_a_proof_over() -> None:
    """A source is code of the developer's that says what it was told; only tokens are taken from it."""
    source = CallableSource(lambda _: proved())  # type: ignore[arg-type,return-value]
    assert word(obtain(source, AssertionRequest(TRUST.audience, DIGEST, SUBJECT))) == "missing"


def test_a_token_of_the_local_issuer_has_no_such_id(tmp_path: Path) -> None:
    """So a record tells which of the two it was."""
    local = LocalIssuer(tmp_path, issuer=TRUST.issuer)
    answer = local.verifier(TRUST).verify(local.mint(SUBJECT, TRUST.audience, DIGEST, at()), now=at())

    assert isinstance(answer, Identity)
    assert not answer.assertion_id.startswith("process:")


def test_the_key_is_in_no_file_and_is_not_the_key_files(tmp_path: Path) -> None:
    """Whoever reads the key file, or all of the home, cannot make a proof."""
    LocalIssuer(tmp_path)
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert len(in_process._key) == 32
    assert in_process._key not in held
    assert in_process._key.hex().encode() not in held


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_another_process() -> None:
    """A proof that was made before the fork counts on one side of it alone."""
    proof = proved()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, word(ISSUER.identity(proof, DIGEST, at())).encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with os.fdopen(ours) as told:
        assert told.read() == "bad_signature"
    assert word(ISSUER.identity(proof, DIGEST, at())) == "accept"
