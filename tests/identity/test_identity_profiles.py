"""Each issuer profile on its own terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from identity_maker import ISSUER, KEY, SUBJECT, Key, at, claims, key_set, trust, verifier, word

from agentguard.core.values import Identity
from agentguard.identity import Verifier, key_source

SVID_KEY = Key("k1", use="jwt-svid")
GITHUB = {
    "sub": "repo:corp/app:ref:refs/heads/main",
    "repository_id": "42",
    "repository_owner_id": "7",
    "job_workflow_ref": "corp/app/.github/workflows/deploy.yml@refs/heads/main",
    "ref": "refs/heads/main",
    "event_name": "push",
    "runner_environment": "github-hosted",
    "environment": "production",
}
ACCOUNT = {"namespace": "agents", "serviceaccount": {"name": "exporter", "uid": "u-1"}}
KUBERNETES = {"sub": "system:serviceaccount:agents:exporter", "kubernetes.io": ACCOUNT}


def _spiffe(over: dict[str, Any], key: Key = SVID_KEY, **header: Any) -> str:
    checker = verifier(key, profile="spiffe", uses=frozenset({"jwt-svid"}))
    return word(checker.verify(key.sign(claims(**over), **header), now=at()))


@pytest.mark.parametrize(
    ("over", "header", "expected"),
    [
        ({}, {}, "accept"),
        ({}, {"typ": "JOSE"}, "accept"),
        ({}, {"typ": None}, "accept"),
        ({}, {"typ": "jose"}, "wrong_type"),
        ({"iss": None}, {}, "accept"),
        ({"iss": "https://other.example"}, {}, "wrong_issuer"),
        ({"iss": 1}, {}, "missing_claim"),
        ({"exp": None}, {}, "missing_claim"),
        ({"sub": "spiffe://other.example/agent"}, {}, "wrong_subject"),
        ({"sub": SUBJECT + "\n"}, {}, "wrong_subject"),
    ],
)
def test_a_jwt_svid(over: dict[str, Any], header: dict[str, Any], expected: str) -> None:
    """JWT-SVID standard sections 2 and 3; `iss` is optional there, so the trust domain's keys are what pins it."""
    assert _spiffe(over, **header) == expected


@pytest.mark.parametrize(("trust_domain", "expected"), [("corp.example", "accept"), (None, "wrong_type")])
def test_an_issuer_of_spiffe_ids_may_call_them_jose(trust_domain: str | None, expected: str) -> None:
    """SPIRE's OIDC discovery serves JWT-SVIDs' keys without SPIFFE's `use`; the tokens are JWT-SVIDs all the same."""
    checker = verifier(KEY, trust_domain=trust_domain)
    assert word(checker.verify(KEY.sign(claims(), typ="JOSE"), now=at())) == expected


@pytest.mark.parametrize(
    ("use", "expected"), [("jwt-svid", "accept"), ("sig", "unknown_key"), ("x509-svid", "unknown_key")]
)
def test_a_bundle_key_is_for_jwt_svids_only(use: str, expected: str) -> None:
    """A SPIFFE bundle holds X.509 authorities too; one of them must not sign JWTs."""
    assert _spiffe({}, Key("k1", use=use)) == expected


@pytest.mark.parametrize(
    ("use", "expected"),
    [("jwt-svid", "accept"), ("sig", "unknown_key"), ("x509-svid", "unknown_key"), (None, "unknown_key")],
)
def test_the_profile_says_which_keys_of_a_bundle_count(use: str | None, expected: str, tmp_path: Path) -> None:
    """SPIFFE trust domain and bundle, section 4.2.2: `use` must be there, and says what a key is an authority for."""
    key = Key("k1", use=use)
    (tmp_path / "bundle.json").write_bytes(key_set(key))
    declared = trust(profile="spiffe", keys_file="bundle.json")

    checker = Verifier(declared, key_source(declared, tmp_path))

    assert word(checker.verify(key.sign(claims()), now=at())) == expected


def _github(over: dict[str, Any], **pinned: Any) -> Any:
    checker = verifier(KEY, profile="github-actions", trust_domain=None, claims=pinned)
    return checker.verify(KEY.sign(claims(**{**GITHUB, **over})), now=at())


def test_a_github_subject_is_made_of_ids_that_are_never_recycled() -> None:
    """A deleted account's name can be taken by anybody, and with it `sub` and `repository`."""
    renamed = _github({"sub": "repo:attacker/app:ref:refs/heads/main", "repository": "attacker/app"})

    assert isinstance(renamed, Identity)
    assert renamed.subject == f"{ISSUER}#repository/7/42"


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, "accept"),
        ({"repository_id": None}, "missing_claim"),
        ({"repository_id": 42}, "missing_claim"),
        ({"repository_id": ""}, "missing_claim"),
        ({"repository_id": "042"}, "wrong_subject"),
        ({"repository_id": "42/7"}, "wrong_subject"),
        ({"repository_id": "٤٢"}, "wrong_subject"),
        ({"repository_owner_id": None}, "missing_claim"),
        ({"job_workflow_ref": None}, "missing_claim"),
        ({"ref": None}, "missing_claim"),
        ({"event_name": None}, "missing_claim"),
        ({"runner_environment": None}, "missing_claim"),
        ({"environment": None}, "wrong_claim"),
        ({"environment": "Production"}, "wrong_claim"),
        ({"ref": "refs/heads/main2"}, "wrong_claim"),
        ({"event_name": "pull_request_target"}, "wrong_claim"),
        ({"runner_environment": "self-hosted"}, "wrong_claim"),
    ],
)
def test_a_github_token_one_step_off_is_refused(over: dict[str, Any], expected: str) -> None:
    """Pins are exact values, never prefixes or patterns."""
    answer = _github(
        over,
        environment="production",
        ref="refs/heads/main",
        event_name=["push", "workflow_dispatch"],
        runner_environment="github-hosted",
    )

    assert word(answer) == expected


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, "accept"),
        ({"aud": ["agentguard"]}, "accept"),
        ({"aud": ["agentguard", "https://kubernetes.default.svc"]}, "wrong_audience"),
        ({"sub": "system:serviceaccount:agents:other"}, "wrong_subject"),
        ({"sub": "system:serviceaccount:agents"}, "wrong_subject"),
        ({"sub": "system:serviceaccount:agents:exporter:x"}, "wrong_subject"),
        ({"sub": "system:node:agents"}, "wrong_subject"),
        ({"sub": "system:serviceaccount:Agents:exporter"}, "wrong_subject"),
        ({"kubernetes.io": None}, "wrong_subject"),
        ({"kubernetes.io": {**ACCOUNT, "namespace": "other"}}, "wrong_subject"),
        ({"kubernetes.io": {**ACCOUNT, "serviceaccount": "exporter"}}, "wrong_subject"),
    ],
)
def test_a_kubernetes_token(over: dict[str, Any], expected: str) -> None:
    """Projected tokens only: they carry the `kubernetes.io` claim, and it must agree with `sub`."""
    checker = verifier(KEY, profile="kubernetes", trust_domain=None)
    answer = checker.verify(KEY.sign(claims(**{**KUBERNETES, **over})), now=at())

    assert word(answer) == expected
    if isinstance(answer, Identity):
        assert answer.subject == f"{ISSUER}#system:serviceaccount:agents:exporter"


@pytest.mark.parametrize(
    ("over", "field", "expected"),
    [
        ({"sub": "1234"}, None, f"{ISSUER}#1234"),
        ({"sub": "a b"}, None, f"{ISSUER}#a b"),
        ({"sub": "1", "email": "bot@corp.example"}, "email", f"{ISSUER}#bot@corp.example"),
        ({"sub": "1"}, "email", "missing_claim"),
        ({"sub": "1", "email": 5}, "email", "missing_claim"),
        ({"sub": " 1"}, None, "wrong_subject"),
        ({"sub": "1\u202e2"}, None, "wrong_subject"),
        ({"sub": "1\u200b"}, None, "wrong_subject"),
        ({"sub": "1\ud800"}, None, "wrong_subject"),
        ({"sub": "x" * 2049}, None, "wrong_subject"),
        ({"sub": SUBJECT}, None, f"{ISSUER}#{SUBJECT}"),
    ],
)
def test_a_generic_subject_is_qualified_by_its_issuer(over: dict[str, Any], field: str | None, expected: str) -> None:
    """Else one issuer could speak for another's subject, or for a SPIFFE ID it has no say over."""
    checker = verifier(KEY, trust_domain=None, subject_from=field)
    answer = checker.verify(KEY.sign(claims(**over)), now=at())

    assert (answer.subject if isinstance(answer, Identity) else word(answer)) == expected


def test_the_profile_comes_from_the_configuration_alone() -> None:
    """A token that looks like another profile's is judged by ours."""
    token = KEY.sign({**claims(), **GITHUB, "sub": SUBJECT})

    assert word(verifier(KEY).verify(token, now=at())) == "accept"
    assert word(verifier(KEY, profile="github-actions").verify(KEY.sign(claims()), now=at())) == "missing_claim"
