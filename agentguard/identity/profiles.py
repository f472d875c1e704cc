"""What each issuer profile adds to the common rules. The configuration picks the profile, never the token.

===============  ==================================================================================================
local            the embedded issuer; symmetric key; bound to the call; only subjects the configuration lists
spiffe           JWT-SVID: key ``use`` is ``jwt-svid``, said; ``sub`` is a workload of the domain; ``iss`` may be absent
                 (``plain_keys``: the ``use`` of a plain JWK set, ``sig`` or none)
github-actions   subject from ``repository_owner_id`` and ``repository_id``; never ``sub``, whose names are recycled
kubernetes       ``sub`` must be ``system:serviceaccount:NAMESPACE:NAME`` and agree with the ``kubernetes.io`` claim
oidc             any other issuer: subject is ``ISSUER#SUB``, or the claim named by ``subject_from``
wimse            WIT: ``typ`` ``wit+jwt``, proof of possession required; the audience stands in the proof
===============  ==================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentguard.core.declarations import IssuerTrust
from agentguard.core.reasons import Reason
from agentguard.core.values import Json
from agentguard.identity.spiffe_id import is_workload_of
from agentguard.jose.keyset import SIGNING_USES
from agentguard.jose.refusal import Refused, shown

Claims = Mapping[str, Json]

_MAX_SUBJECT = 2048
_DECIMAL_ID = re.compile(r"[1-9][0-9]{0,19}")
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SERVICE_ACCOUNT = re.compile(rf"system:serviceaccount:({_DNS_LABEL}):({_DNS_LABEL}(?:\.{_DNS_LABEL})*)")
_WORKLOAD_URI = re.compile(r"(?:wimse|spiffe)://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+")
_GITHUB_CLAIMS = (
    "repository_id",
    "repository_owner_id",
    "job_workflow_ref",
    "ref",
    "event_name",
    "runner_environment",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One row of the table above. ``types`` are the exact ``typ`` values; None stands for an absent one.

    ``subject`` reads and judges claims; ``names`` says whether some assertion could name that subject at all.
    """

    types: frozenset[str | None]
    key_uses: frozenset[str | None]
    subject: Callable[[Claims, IssuerTrust], str]
    names: Callable[[str, IssuerTrust], bool]
    issuer_may_be_absent: bool = False
    audience_in_token: bool = True
    symmetric: bool = False
    proof_required: bool = False


def types_of(trust: IssuerTrust) -> frozenset[str | None]:
    """The exact ``typ`` values. One who issues SPIFFE IDs by another profile may write JWT-SVIDs' other word."""
    own = frozenset(trust.types) or profile_of(trust).types
    return own | _SVID if trust.profile == "oidc" and trust.trust_domain is not None else own


def uses_of(trust: IssuerTrust) -> frozenset[str | None]:
    """The values of ``use`` that a key of this issuer may have; None stands for an absent one."""
    return SIGNING_USES if trust.plain_keys else profile_of(trust).key_uses


def could_assert(trust: IssuerTrust, subject: str) -> bool:
    """Whether this issuer could ever assert that subject. For messages about a bundle; decides nothing."""
    return profile_of(trust).names(subject, trust)


def profile_of(trust: IssuerTrust) -> Profile:
    """The row for this issuer. Raises KeyError for a profile that is not in the table."""
    return PROFILES[trust.profile]


def text_claim(claims: Claims, name: str) -> str:
    """A claim that must be a non-empty string. Raises Refused (missing claim)."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(Reason.ASSERTION_MISSING_CLAIM, f"claim `{name}` must be a non-empty string")
    return value


def _plain(claims: Claims, name: str) -> str:
    value = text_claim(claims, name)
    # `isprintable` is false for controls, bidi overrides, zero-width characters, surrogates and unassigned ones.
    if len(value) > _MAX_SUBJECT or not value.isprintable() or value != value.strip():
        raise Refused(Reason.ASSERTION_WRONG_SUBJECT, f"{shown(value)} is not a usable `{name}`")
    return value


def _local(claims: Claims, trust: IssuerTrust) -> str:
    subject = _plain(claims, "sub")
    if subject not in trust.subjects:
        raise Refused(Reason.ASSERTION_WRONG_SUBJECT, f"the local issuer may not assert {shown(subject)}")
    return subject


def _spiffe(claims: Claims, trust: IssuerTrust) -> str:
    subject = text_claim(claims, "sub")
    if not is_workload_of(subject, trust.trust_domain or ""):
        raise Refused(
            Reason.ASSERTION_WRONG_SUBJECT,
            f"{shown(subject)} is not the SPIFFE ID of a workload in trust domain `{trust.trust_domain}`",
        )
    return subject


def _oidc(claims: Claims, trust: IssuerTrust) -> str:
    if trust.trust_domain is not None:
        return _spiffe(claims, trust)
    text_claim(claims, "sub")
    # Qualified by its issuer, so that no issuer can speak for another's subject.
    return f"{trust.issuer}#{_plain(claims, trust.subject_from or 'sub')}"


def _github_actions(claims: Claims, trust: IssuerTrust) -> str:
    for name in _GITHUB_CLAIMS:
        text_claim(claims, name)
    owner, repository = text_claim(claims, "repository_owner_id"), text_claim(claims, "repository_id")
    for number in (owner, repository):
        if _DECIMAL_ID.fullmatch(number) is None:
            raise Refused(Reason.ASSERTION_WRONG_SUBJECT, f"{shown(number)} is not a GitHub id")
    return f"{trust.issuer}#repository/{owner}/{repository}"


def _kubernetes(claims: Claims, trust: IssuerTrust) -> str:
    subject = text_claim(claims, "sub")
    match = _SERVICE_ACCOUNT.fullmatch(subject)
    details = claims.get("kubernetes.io")
    if match is None or not isinstance(details, dict):
        raise Refused(Reason.ASSERTION_WRONG_SUBJECT, f"{shown(subject)} is not a projected service account token's")
    account = details.get("serviceaccount")
    named = account.get("name") if isinstance(account, dict) else None
    if (details.get("namespace"), named) != match.groups():
        raise Refused(Reason.ASSERTION_WRONG_SUBJECT, "`sub` and `kubernetes.io` name different service accounts")
    return f"{trust.issuer}#{subject}"


def _wimse(claims: Claims, trust: IssuerTrust) -> str:
    subject = text_claim(claims, "sub")
    prefix = f"wimse://{trust.trust_domain}/"
    in_domain = trust.trust_domain is None or subject.startswith((prefix, f"spiffe://{trust.trust_domain}/"))
    segments = subject.split("/")[3:]
    if len(subject) > _MAX_SUBJECT or not in_domain or _WORKLOAD_URI.fullmatch(subject) is None:
        raise Refused(Reason.ASSERTION_WRONG_SUBJECT, f"{shown(subject)} is not a workload identifier we accept")
    if {".", ".."} & set(segments):
        raise Refused(Reason.ASSERTION_WRONG_SUBJECT, f"{shown(subject)} has a dot segment")
    return subject if trust.trust_domain is not None else f"{trust.issuer}#{subject}"


def _names_listed(subject: str, trust: IssuerTrust) -> bool:
    return subject in trust.subjects


def _names_workload(subject: str, trust: IssuerTrust) -> bool:
    return is_workload_of(subject, trust.trust_domain or "")


def _names_oidc(subject: str, trust: IssuerTrust) -> bool:
    return _names_workload(subject, trust) if trust.trust_domain is not None else _own_part(subject, trust) != ""


def _names_repository(subject: str, trust: IssuerTrust) -> bool:
    return (
        re.fullmatch(rf"repository/{_DECIMAL_ID.pattern}/{_DECIMAL_ID.pattern}", _own_part(subject, trust)) is not None
    )


def _names_account(subject: str, trust: IssuerTrust) -> bool:
    return _SERVICE_ACCOUNT.fullmatch(_own_part(subject, trust)) is not None


def _names_wimse(subject: str, trust: IssuerTrust) -> bool:
    if trust.trust_domain is None:
        return _WORKLOAD_URI.fullmatch(_own_part(subject, trust)) is not None
    return _names_workload(subject, trust) or _names_workload(subject.replace("wimse://", "spiffe://", 1), trust)


def _own_part(subject: str, trust: IssuerTrust) -> str:
    """What stands behind `ISSUER#`; nothing where the subject is not this issuer's."""
    return subject.removeprefix(f"{trust.issuer}#") if subject.startswith(f"{trust.issuer}#") else ""


# What `typ` may be set to: a JWT, or an access token for us (RFC 9068). `secevent+jwt`, `dpop+jwt`, `logout+jwt` and so
# on are tokens for something else.
TOKEN_TYPES = frozenset({"JWT", "at+jwt", "application/at+jwt"})
_JWT = frozenset({None, "JWT"})
# JWT-SVID section 2.2.
_SVID = _JWT | {"JOSE"}

PROFILES: Mapping[str, Profile] = {
    "local": Profile(frozenset({"agentguard-local+jwt"}), SIGNING_USES, _local, _names_listed, symmetric=True),
    "spiffe": Profile(_SVID, frozenset({"jwt-svid"}), _spiffe, _names_workload, issuer_may_be_absent=True),
    "github-actions": Profile(_JWT, SIGNING_USES, _github_actions, _names_repository),
    "kubernetes": Profile(_JWT, SIGNING_USES, _kubernetes, _names_account),
    "oidc": Profile(_JWT, SIGNING_USES, _oidc, _names_oidc),
    "wimse": Profile(
        frozenset({"wit+jwt"}),
        SIGNING_USES | {"jwt-svid"},
        _wimse,
        _names_wimse,
        issuer_may_be_absent=True,
        audience_in_token=False,
        proof_required=True,
    ),
}
