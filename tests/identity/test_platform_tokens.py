"""Tokens in the shapes that platforms really send: each is read, and what it must not say is refused.

The shapes (header members, claims, audiences) are those of the platforms' own documentation and of public samples in
2026; names, ids and keys are ours.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from identity_maker import NOW, Key, at, b64, key_set, trust, word

from agentguard.core.values import Identity
from agentguard.errors import ConfigurationError
from agentguard.identity import KeySet, Verifier, key_source
from agentguard.identity.profiles import uses_of

RSA_KEY, P256, P384 = Key("k1", "RS256"), Key("k1", "ES256"), Key("k1", "ES384")
AZURE_KEY = Key("k1", "RS256", alg=None, x5t="k1", x5c=["MIIC"])
THUMBPRINT = b64(bytes(20))
TENANT = "11111111-2222-3333-4444-555555555555"
OBJECT = "66666666-7777-8888-9999-000000000000"
JWT = {"typ": "JWT"}
GITHUB = "https://token.actions.githubusercontent.com"

# Platform → its key, what its header has beside `alg` and `kid`, its claims, what Trust says, the subject.
PLATFORMS: dict[str, tuple[Key, dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "GitHub Actions": (
        RSA_KEY,
        JWT | {"x5t": THUMBPRINT},
        {
            "iss": GITHUB, "aud": "https://guard.corp.example", "sub": "repo:corp/app:environment:production",
            "jti": "j1", "repository_id": "42", "repository_owner_id": "7", "repository": "corp/app",
            "job_workflow_ref": "corp/app/.github/workflows/deploy.yml@refs/heads/main", "ref": "refs/heads/main",
            "event_name": "push", "runner_environment": "github-hosted", "environment": "production",
            "run_id": "1", "actor": "octocat", "sha": "0" * 40,
        },
        {"profile": "github-actions", "issuer": GITHUB, "audience": "https://guard.corp.example"},
        f"{GITHUB}#repository/7/42",
    ),
    "Entra v1": (
        AZURE_KEY,
        JWT | {"x5t": "k1"},
        {
            "iss": f"https://sts.windows.net/{TENANT}/", "aud": "api://agentguard", "sub": OBJECT, "oid": OBJECT,
            "tid": TENANT, "appid": "app", "appidacr": "2", "idp": f"https://sts.windows.net/{TENANT}/",
            "uti": "u1", "ver": "1.0", "rh": "1.AAAA", "aio": "A1",
        },
        {
            "issuer": f"https://sts.windows.net/{TENANT}/", "audience": "api://agentguard", "claims": {"tid": TENANT},
            "single_use": False,
        },
        f"https://sts.windows.net/{TENANT}/#{OBJECT}",
    ),
    "Entra v2": (
        AZURE_KEY,
        JWT,
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "aud": "app", "sub": OBJECT, "oid": OBJECT,
            "tid": TENANT, "azp": "app", "azpacr": "2", "uti": "u1", "ver": "2.0", "rh": "1.AAAA",
        },
        {
            "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0", "audience": "app",
            "claims": {"tid": TENANT}, "single_use": False,
        },
        f"https://login.microsoftonline.com/{TENANT}/v2.0#{OBJECT}",
    ),
    "Azure Pipelines": (
        RSA_KEY,
        JWT | {"x5t": THUMBPRINT},
        {
            "iss": f"https://vstoken.dev.azure.com/{TENANT}", "aud": "api://AzureADTokenExchange",
            "sub": "sc://corp/project/connection", "jti": "j1",
        },
        {"issuer": f"https://vstoken.dev.azure.com/{TENANT}", "audience": "api://AzureADTokenExchange"},
        f"https://vstoken.dev.azure.com/{TENANT}#sc://corp/project/connection",
    ),
    "GitLab": (
        RSA_KEY,
        JWT,
        {
            "iss": "https://gitlab.com", "aud": "https://guard.corp.example", "nbf": NOW - 5, "jti": "j1",
            "sub": "project_path:corp/app:ref_type:branch:ref:main", "project_id": "42", "namespace_id": "7",
            "ref": "main", "ref_protected": "true", "environment_protected": "false", "user_access_level": "owner",
        },
        {
            "issuer": "https://gitlab.com", "audience": "https://guard.corp.example", "subject_from": "project_id",
            "claims": {"namespace_id": "7", "ref_protected": "true"},
        },
        "https://gitlab.com#42",
    ),
    "Google": (
        RSA_KEY,
        JWT,
        {
            "iss": "https://accounts.google.com", "aud": "https://guard.corp.example", "azp": "1234567890",
            "sub": "1234567890", "email": "exporter@project.iam.gserviceaccount.com", "email_verified": True,
        },
        {
            "issuer": "https://accounts.google.com", "audience": "https://guard.corp.example", "single_use": False,
            "subject_from": "email", "claims": {"email_verified": True},
        },
        "https://accounts.google.com#exporter@project.iam.gserviceaccount.com",
    ),
    "AWS STS (GetWebIdentityToken)": (
        P384,
        JWT,
        {
            "iss": "https://abc.tokens.sts.global.api.aws", "aud": "https://guard.corp.example", "jti": "j1",
            "sub": "arn:aws:iam::123456789012:role/exporter",
            "https://sts.amazonaws.com/": {"aws_account": "123456789012", "source_region": "eu-central-1"},
        },
        {"issuer": "https://abc.tokens.sts.global.api.aws", "audience": "https://guard.corp.example"},
        "https://abc.tokens.sts.global.api.aws#arn:aws:iam::123456789012:role/exporter",
    ),
    "AWS EKS": (
        RSA_KEY,
        {"typ": None},
        {
            "iss": "https://oidc.eks.eu-central-1.amazonaws.com/id/CLUSTER", "aud": ["agentguard"], "jti": "j1",
            "sub": "system:serviceaccount:agents:exporter",
            "kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "exporter", "uid": "u-1"}},
        },
        {
            "profile": "kubernetes", "issuer": "https://oidc.eks.eu-central-1.amazonaws.com/id/CLUSTER",
            "audience": "agentguard", "single_use": False,
        },
        "https://oidc.eks.eu-central-1.amazonaws.com/id/CLUSTER#system:serviceaccount:agents:exporter",
    ),
    "Buildkite": (
        RSA_KEY,
        {"typ": None},
        {
            "iss": "https://agent.buildkite.com", "aud": "https://guard.corp.example", "jti": "j1",
            "sub": "organization:corp:pipeline:app:ref:refs/heads/main:commit:0:step:build",
            "organization_slug": "corp", "pipeline_slug": "app", "pipeline_id": OBJECT, "build_number": 5,
            "build_tag": None, "step_key": None, "runner_environment": "buildkite-hosted",
        },
        {
            "issuer": "https://agent.buildkite.com", "audience": "https://guard.corp.example",
            "subject_from": "pipeline_id", "claims": {"organization_slug": "corp"},
        },
        f"https://agent.buildkite.com#{OBJECT}",
    ),
    "CircleCI": (
        RSA_KEY,
        JWT,
        {
            "iss": f"https://oidc.circleci.com/org/{TENANT}", "aud": TENANT,
            "sub": f"org/{TENANT}/project/{OBJECT}/user/u1/vcs-origin/github.com/corp/app/vcs-ref/refs/heads/main",
            "oidc.circleci.com/project-id": OBJECT, "oidc.circleci.com/ssh-rerun": False,
        },
        {
            "issuer": f"https://oidc.circleci.com/org/{TENANT}", "audience": TENANT, "single_use": False,
            "subject_from": "oidc.circleci.com/project-id", "claims": {"oidc.circleci.com/ssh-rerun": False},
        },
        f"https://oidc.circleci.com/org/{TENANT}#{OBJECT}",
    ),
    "Kubernetes": (
        RSA_KEY,
        {"typ": None},
        {
            "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["agentguard"], "nbf": NOW, "jti": "j1",
            "sub": "system:serviceaccount:agents:exporter",
            "kubernetes.io": {
                "namespace": "agents", "node": {"name": "n1", "uid": "u-3"}, "pod": {"name": "exporter", "uid": "u-2"},
                "serviceaccount": {"name": "exporter", "uid": "u-1"}, "warnafter": NOW + 30,
            },
        },
        {
            "profile": "kubernetes", "issuer": "https://kubernetes.default.svc.cluster.local",
            "audience": "agentguard", "single_use": False,
        },
        "https://kubernetes.default.svc.cluster.local#system:serviceaccount:agents:exporter",
    ),
    "SPIRE JWT-SVID": (
        Key("k1", "ES256", use="jwt-svid", alg=None),
        JWT,
        {"aud": ["spiffe://corp.example/agentguard"], "sub": "spiffe://corp.example/agent/exporter"},
        {
            "profile": "spiffe", "issuer": "https://spire.corp.example", "trust_domain": "corp.example",
            "audience": "spiffe://corp.example/agentguard", "single_use": False,
        },
        "spiffe://corp.example/agent/exporter",
    ),
    "SPIRE JWT-SVID, keys of the Workload API": (
        Key("k1", "ES256", use=None, alg=None),
        {"typ": "JOSE"},
        {"aud": ["spiffe://corp.example/agentguard"], "sub": "spiffe://corp.example/agent/exporter"},
        {
            "profile": "spiffe", "issuer": "https://spire.corp.example", "trust_domain": "corp.example",
            "audience": "spiffe://corp.example/agentguard", "single_use": False, "plain_keys": True,
        },
        "spiffe://corp.example/agent/exporter",
    ),
    "SPIRE JWT-SVID, keys of the OIDC provider": (
        RSA_KEY,
        JWT,
        {
            "iss": "https://oidc.corp.example", "aud": ["agentguard"], "jti": "j1",
            "sub": "spiffe://corp.example/agent/exporter",
        },
        {
            "profile": "spiffe", "issuer": "https://oidc.corp.example", "trust_domain": "corp.example",
            "audience": "agentguard", "plain_keys": True,
        },
        "spiffe://corp.example/agent/exporter",
    ),
    "an access token (RFC 9068)": (
        RSA_KEY,
        {"typ": "at+jwt"},
        {
            "iss": "https://corp.eu.auth0.com/", "aud": "https://guard.corp.example", "sub": "CLIENT@clients",
            "jti": "j1", "client_id": "CLIENT", "scope": "call",
        },
        {"issuer": "https://corp.eu.auth0.com/", "audience": "https://guard.corp.example", "types": ("at+jwt",)},
        "https://corp.eu.auth0.com/#CLIENT@clients",
    ),
    "AD FS": (
        RSA_KEY,
        JWT | {"x5t": "k1"},
        {"iss": "https://adfs.corp.example/adfs", "aud": "urn:guard", "sub": "S-1", "appid": "app", "ver": "1.0"},
        {"issuer": "https://adfs.corp.example/adfs", "audience": "urn:guard", "single_use": False},
        "https://adfs.corp.example/adfs#S-1",
    ),
    "Salesforce": (
        RSA_KEY,
        JWT | {"tnk": "core/prod/00D", "ver": "1.0", "tty": "sfdc-core-token"},
        {"iss": "https://corp.my.salesforce.com", "aud": ["https://guard.corp.example"], "sub": "uid:005", "jti": "j"},
        {"issuer": "https://corp.my.salesforce.com", "audience": "https://guard.corp.example"},
        "https://corp.my.salesforce.com#uid:005",
    ),
}  # fmt: skip


def _verified(name: str, *, over: dict[str, Any] | None = None, head: dict[str, Any] | None = None) -> Any:
    key, header, claims, says, _ = PLATFORMS[name]
    declared = trust(**{"profile": "oidc", "trust_domain": None, "max_age": timedelta(minutes=5), **says})
    keys = KeySet.parse(key_set(key), uses=uses_of(declared))
    payload = {"iat": NOW, "exp": NOW + 300, **claims, **(over or {})}
    return Verifier(declared, keys).verify(key.sign(payload, **{**header, **(head or {})}), now=at(1))


@pytest.mark.parametrize("name", PLATFORMS)
def test_what_a_platform_really_sends_is_read(name: str) -> None:
    identity = _verified(name)

    assert isinstance(identity, Identity), identity
    assert identity.subject == PLATFORMS[name][4]


@pytest.mark.parametrize("name", PLATFORMS)
@pytest.mark.parametrize(
    "member",
    [
        {"x5u": "https://evil.example/c"}, {"jku": "https://evil.example/k"}, {"jwk": RSA_KEY.jwk}, {"x5c": ["MIIB"]},
        {"crit": ["exp"]}, {"b64": True}, {"x5t": ["k1"]}, {"x5t": {"jku": "https://evil.example/k"}},
    ],
    ids=lambda member: next(iter(member)),
)  # fmt: skip
def test_what_could_choose_a_key_is_refused_beside_it(name: str, member: dict[str, Any]) -> None:
    """A thumbprint is ignored because keys are pinned; everything that brings a key along, or a rule, stays refused."""
    assert word(_verified(name, head=member)) == "unsupported_header"


def test_a_thumbprint_of_another_certificate_changes_nothing() -> None:
    """The key is the pinned one, whatever the header says of certificates; a stranger's signature stays wrong."""
    stranger = Key("k1", "RS256")
    key, header, claims, says, _ = PLATFORMS["Entra v1"]
    declared = trust(**{"profile": "oidc", "trust_domain": None, "max_age": timedelta(minutes=5), **says})
    token = stranger.sign({"iat": NOW, "exp": NOW + 300, **claims}, **{**header, "x5t": b64(b"x" * 20)})
    assert word(Verifier(declared, KeySet.parse(key_set(key))).verify(token, now=at(1))) == "bad_signature"


@pytest.mark.parametrize("issuer", [f"https://sts.windows.net/{TENANT}", f"https://sts.windows.net/{OBJECT}/"])
def test_another_tenant_or_spelling_of_an_issuer_is_another_issuer(issuer: str) -> None:
    assert word(_verified("Entra v1", over={"iss": issuer})) == "wrong_issuer"


@pytest.mark.parametrize(
    ("types", "typ", "expected"),
    [
        ((), "at+jwt", "wrong_type"),
        (("at+jwt",), "at+jwt", "accept"),
        (("at+jwt",), "JWT", "wrong_type"),
        (("at+jwt",), None, "wrong_type"),
        (("JWT", "at+jwt"), "JWT", "accept"),
        (("at+jwt",), "AT+JWT", "wrong_type"),
        (("at+jwt",), "application/at+jwt", "wrong_type"),
        (("application/at+jwt",), "application/at+jwt", "accept"),
    ],
)
def test_a_token_is_of_the_type_that_trust_says(types: tuple[str, ...], typ: str | None, expected: str) -> None:
    """An ID token for a client and an access token for us differ in nothing else."""
    checker = Verifier(trust(profile="oidc", trust_domain=None, types=types), KeySet.parse(key_set(P256)))
    payload = {
        "iss": "https://issuer.example",
        "aud": "agentguard",
        "sub": "s",
        "jti": "j",
        "iat": NOW,
        "exp": NOW + 60,
    }
    assert word(checker.verify(P256.sign(payload, typ=typ), now=at(1))) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"types": ("secevent+jwt",)}, {"types": ("dpop+jwt",)}, {"types": ("wit+jwt",)}, {"types": ("",)},
        {"types": ("at+jwt",), "profile": "kubernetes"}, {"types": ("JWT",), "profile": "spiffe"},
        {"plain_keys": True, "profile": "oidc"},
    ],
)  # fmt: skip
def test_a_type_or_a_kind_of_keys_that_is_not_for_this_profile_is_an_error(wrong: dict[str, Any]) -> None:
    """A token for something else must not become an assertion by a line of configuration."""
    with pytest.raises(ConfigurationError):
        Verifier(trust(**{"profile": "oidc", **wrong}), KeySet.parse(key_set(P256)))


@pytest.mark.parametrize(
    ("use", "plain", "expected"),
    [
        (None, True, "accept"), ("sig", True, "accept"), ("jwt-svid", True, "unknown_key"),
        ("x509-svid", True, "unknown_key"), ("enc", True, "unknown_key"),
        (None, False, "unknown_key"), ("sig", False, "unknown_key"), ("jwt-svid", False, "accept"),
    ],
)  # fmt: skip
def test_plain_keys_are_those_that_a_plain_key_set_has(
    use: str | None, plain: bool, expected: str, tmp_path: Path
) -> None:
    """In a SPIFFE bundle a key without `use` counts for nothing; in a plain set there are no others."""
    key = Key("k1", use=use)
    (tmp_path / "keys.json").write_bytes(key_set(key))
    declared = trust(profile="spiffe", keys_file="keys.json", plain_keys=plain, single_use=False)
    checker = Verifier(declared, key_source(declared, tmp_path))
    payload = {"aud": "agentguard", "sub": "spiffe://corp.example/agent/exporter", "iat": NOW, "exp": NOW + 60}
    assert word(checker.verify(key.sign(payload), now=at(1))) == expected


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_page_says_of_each_platform_what_was_tried(name: str) -> None:
    """The table is what a reader believes."""
    page = (Path(__file__).parents[2] / "docs" / "identity.md").read_text("utf-8")
    assert re.search(rf"^\| {re.escape(name)} \| ", page, re.MULTILINE)
