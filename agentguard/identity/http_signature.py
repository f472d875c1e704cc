"""WIMSE's HTTP message signatures (draft-ietf-wimse-http-signature, RFC 9421), as a gateway receives them.

The workload identity token must have been verified first; its ``cnf`` claim says whose signature this must be.
Accepted is exactly what the profile needs: one signature labelled ``wimse``, its tag, the covered components below,
``created``, ``expires`` and ``nonce``; a body only with a covered and matching ``content-digest``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentguard.core.reasons import Reason
from agentguard.core.values import Json
from agentguard.identity.proof import confirmed_key
from agentguard.jose.refusal import Refused, shown

TAG = "wimse-workload-to-workload"
_MAX_HEADER = 8192
_NAME = r'"[a-z0-9@-]+"(?:;req)?'
# RFC 8941 as far as this profile uses it: bare names, strings without escapes, integers, flags.
_INPUT = re.compile(
    rf"wimse=(?P<all>\((?P<names>{_NAME}(?: {_NAME})*)\)"
    r"(?P<parameters>(?:;[a-z][a-z-]*(?:=(?:[0-9]{1,15}|\"[\x20-\x21\x23-\x5b\x5d-\x7e]*\"))?)*))"
)
_PARAMETER = re.compile(r';([a-z][a-z-]*)(?:=([0-9]+|"[^"]*"))?')
_SIGNATURE = re.compile(r"wimse=:([A-Za-z0-9+/]+={0,2}):")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_REQUEST = frozenset({'"@method"', '"@request-target"', '"workload-identity-token"'})
_RESPONSE = frozenset({'"@status"', '"workload-identity-token"', '"@method";req', '"@request-target";req'})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came in. ``target`` is path and query; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response as it came in; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a verified signature says. ``nonce`` is its replay key until ``expires`` (seconds since 1970)."""

    nonce: str
    created: int
    expires: int


def verify_request(request: HttpRequest, confirmation: Json, *, audience: str, now: float, skew: float = 0.0) -> Signed:
    """Verify a request's signature by the key the token confirms. Raises Refused."""
    components = {'"@method"': request.method, '"@request-target"': request.target}
    parameters = _verify(request.headers, request.body, components, _REQUEST, confirmation)
    if parameters.get("wimse-aud") != audience:
        raise _invalid(f"`wimse-aud` is {shown(parameters.get('wimse-aud'))}, not `{audience}`")
    return _timely(parameters, now, skew)


def verify_response(
    response: HttpResponse,
    request: HttpRequest,
    confirmation: Json,
    *,
    request_nonce: str,
    now: float,
    skew: float = 0.0,
) -> Signed:
    """Verify that a response is signed, and answers exactly this request. Raises Refused."""
    components = {
        '"@status"': str(response.status),
        '"@method";req': request.method,
        '"@request-target";req': request.target,
    }
    parameters = _verify(response.headers, response.body, components, _RESPONSE, confirmation)
    if parameters.get("wimse-req-nonce") != request_nonce:
        raise _invalid("it answers another request")
    return _timely(parameters, now, skew)


def _verify(
    headers: Mapping[str, str],
    body: bytes,
    components: Mapping[str, str],
    required: frozenset[str],
    confirmation: Json,
) -> dict[str, str]:
    stated = _INPUT.fullmatch(_header(headers, "signature-input"))
    given = _SIGNATURE.fullmatch(_header(headers, "signature"))
    if stated is None or given is None:
        raise _invalid("expected one signature labelled `wimse`")
    names = stated["names"].split(" ")
    if len(set(names)) != len(names) or not required <= set(names):
        raise _invalid("it does not cover what it must, or covers something twice")
    if (body or "content-digest" in headers) and '"content-digest"' not in names:
        raise _invalid("the body is not covered by `content-digest`")
    if '"content-digest"' in names:
        _digest_matches(headers, body)
    lines = [f"{name}: {_component(name, components, headers)}" for name in names]
    base = "\n".join([*lines, f'"@signature-params": {stated["all"]}']).encode("ascii")
    key = confirmed_key(confirmation)
    if not key.verifies(next(iter(key.algorithms)), base, _decoded(given[1])):
        raise _invalid("it is not by the confirmed key")
    return _parameters(stated["parameters"])


def _parameters(text: str) -> dict[str, str]:
    found = _PARAMETER.findall(text)
    parameters = {name: value.strip('"') for name, value in found}
    if len(parameters) != len(found):
        raise _invalid("a parameter occurs twice")
    if parameters.get("tag") != TAG:
        raise _invalid(f"its tag is {shown(parameters.get('tag'))}, not `{TAG}`")
    return parameters


def _timely(parameters: Mapping[str, str], now: float, skew: float) -> Signed:
    try:
        created, expires = int(parameters["created"]), int(parameters["expires"])
        nonce = parameters["nonce"]
    except (KeyError, ValueError):
        raise _invalid("`created`, `expires` and `nonce` are required") from None
    if not nonce or not created - skew <= now < expires + skew or created >= expires:
        raise _invalid("it is not valid now")
    return Signed(nonce, created, expires)


def _component(name: str, components: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if name in components:
        return components[name]
    if name.startswith('"@') or name.endswith(";req"):
        raise _invalid(f"component {shown(name)} is not supported")
    return _header(headers, name.strip('"')).strip(" ")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is None or len(value) > _MAX_HEADER or not value.isascii() or not value.isprintable():
        raise _invalid(f"header `{name}` is missing or unusable")
    return value


def _digest_matches(headers: Mapping[str, str], body: bytes) -> None:
    stated = _DIGEST.fullmatch(_header(headers, "content-digest"))
    if stated is None or _decoded(stated[1]) != hashlib.sha256(body).digest():
        raise _invalid("`content-digest` is not the body's SHA-256")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _invalid("it is not base64") from None


def _invalid(detail: str) -> Refused:
    return Refused(Reason.ASSERTION_PROOF_INVALID, f"the HTTP signature is refused: {detail}")
