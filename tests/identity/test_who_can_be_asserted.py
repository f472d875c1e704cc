"""Which subjects an issuer could ever assert: what `agentguard check` tells workflow owners."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentguard.core.declarations import IssuerTrust, Source
from agentguard.identity import could_assert

ISSUER = "https://id.example"


def issuer(profile: str, trust_domain: str | None = None, subjects: tuple[str, ...] = ()) -> IssuerTrust:
    return IssuerTrust(
        name="i",
        profile=profile,
        issuer=ISSUER,
        audience="agentguard",
        max_age=timedelta(minutes=1),
        max_lifetime=timedelta(minutes=1),
        skew=timedelta(0),
        source=Source("trust.yaml", 1),
        trust_domain=trust_domain,
        subjects=subjects,
    )


LOCAL = issuer("local", subjects=("agent:a",))
SPIFFE = issuer("spiffe", "corp.example")
GITHUB = issuer("github-actions")
KUBERNETES = issuer("kubernetes")
OIDC = issuer("oidc")
OIDC_WITH_SPIFFE_IDS = issuer("oidc", "corp.example")
WIMSE = issuer("wimse", "corp.example")
WIMSE_ANYWHERE = issuer("wimse")


@pytest.mark.parametrize(
    ("trust", "subject"),
    [
        (LOCAL, "agent:a"),
        (SPIFFE, "spiffe://corp.example/agent"),
        (GITHUB, f"{ISSUER}#repository/7/815"),
        (KUBERNETES, f"{ISSUER}#system:serviceaccount:prod:exporter"),
        (OIDC, f"{ISSUER}#anything at all"),
        (OIDC_WITH_SPIFFE_IDS, "spiffe://corp.example/agent"),
        (WIMSE, "wimse://corp.example/agent"),
        (WIMSE, "spiffe://corp.example/agent"),
        (WIMSE_ANYWHERE, f"{ISSUER}#wimse://other.example/agent"),
    ],
)
def test_what_the_verifier_could_name_is_no_mistake(trust: IssuerTrust, subject: str) -> None:
    """A note about a subject that works would teach people to skip notes."""
    assert could_assert(trust, subject)


@pytest.mark.parametrize(
    ("trust", "subject"),
    [
        (LOCAL, "agent:b"),
        (SPIFFE, "spiffe://crop.example/agent"),
        (SPIFFE, "spiffe://corp.example"),
        (SPIFFE, f"{ISSUER}#spiffe://corp.example/agent"),
        (GITHUB, f"{ISSUER}#repo:corp/shop:ref:refs/heads/main"),
        (GITHUB, f"{ISSUER}#repository/7"),
        (GITHUB, "repository/7/815"),
        (KUBERNETES, f"{ISSUER}#system:serviceaccount:prod"),
        (KUBERNETES, "system:serviceaccount:prod:exporter"),
        (OIDC, "https://other.example#a"),
        (OIDC, f"{ISSUER}#"),
        (OIDC, ISSUER),
        (OIDC_WITH_SPIFFE_IDS, f"{ISSUER}#a"),
        (WIMSE, "wimse://other.example/agent"),
        (WIMSE_ANYWHERE, "wimse://other.example/agent"),
    ],
)
def test_what_no_token_of_the_issuer_could_name_is_noticed(trust: IssuerTrust, subject: str) -> None:
    """One slip in a domain, a form or an issuer."""
    assert not could_assert(trust, subject)
