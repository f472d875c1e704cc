"""HTTP message signatures made here, so that each rule has its near miss on any machine."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from identity_maker import Key

from agentguard.identity.http_signature import (
    TAG,
    HttpRequest,
    HttpResponse,
    Signed,
    verify_request,
    verify_response,
)
from agentguard.jose.refusal import Refused

HOLDER, STRANGER = Key("h", "EdDSA"), Key("h", "EdDSA")
AUDIENCE = "https://svc.example/pay"
AT = 1_790_000_000
BODY = b'{"cents": 5}'
REQUEST_NAMES = ('"@method"', '"@request-target"', '"workload-identity-token"', '"content-digest"')
RESPONSE_NAMES = (
    '"@status"',
    '"workload-identity-token"',
    '"@method";req',
    '"@request-target";req',
    '"content-digest"',
)


def _digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _sign(names: tuple[str, ...], values: dict[str, str], parameters: dict[str, Any], key: Key) -> dict[str, str]:
    words = "".join(
        f";{n}={v}" if isinstance(v, int) else f';{n}="{v}"' for n, v in parameters.items() if v is not None
    )
    stated = f"({' '.join(names)}){words}"
    lines = [*(f"{name}: {values[name]}" for name in names), f'"@signature-params": {stated}']
    signature = base64.b64encode(key.signature("\n".join(lines).encode())).decode()
    return {"signature-input": f"wimse={stated}", "signature": f"wimse=:{signature}:"}


def _request(
    names: tuple[str, ...] = REQUEST_NAMES, body: bytes = BODY, key: Key = HOLDER, wit: str = "wit", **over: Any
) -> HttpRequest:
    headers = {"workload-identity-token": wit, "content-digest": _digest(body)}
    values = {'"@method"': "POST", '"@request-target"': "/pay?x=1"} | {f'"{n}"': v for n, v in headers.items()}
    parameters = {"created": AT, "expires": AT + 60, "nonce": "n1", "tag": TAG, "wimse-aud": AUDIENCE, **over}
    return HttpRequest("POST", "/pay?x=1", headers | _sign(names, values, parameters, key), body)


def _response(names: tuple[str, ...] = RESPONSE_NAMES, key: Key = HOLDER, **over: Any) -> HttpResponse:
    headers = {"workload-identity-token": "wit", "content-digest": _digest(BODY)}
    values = {'"@status"': "200", '"@method";req': "POST", '"@request-target";req': "/pay?x=1"}
    values |= {f'"{n}"': v for n, v in headers.items()}
    parameters = {"created": AT, "expires": AT + 60, "nonce": "n2", "tag": TAG, "wimse-req-nonce": "n1", **over}
    return HttpResponse(200, headers | _sign(names, values, parameters, key), BODY)


def _ask(request: HttpRequest, now: float = AT) -> Signed:
    return verify_request(request, {"jwk": HOLDER.jwk}, audience=AUDIENCE, now=now)


def _answer(response: HttpResponse, now: float = AT) -> Signed:
    return verify_response(response, _request(), {"jwk": HOLDER.jwk}, request_nonce="n1", now=now)


def test_a_request_and_its_response_verify() -> None:
    """So that what is refused below is refused for the one thing that is off."""
    assert _ask(_request()) == Signed("n1", AT, AT + 60)
    assert _answer(_response()) == Signed("n2", AT, AT + 60)
    assert _ask(_request(), now=AT + 59).nonce == "n1"


def _but(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(other for other in names if other != name)


REQUESTS: dict[str, Callable[[], HttpRequest]] = {
    **{f"{name} not covered": (lambda name=name: _request(_but(REQUEST_NAMES, name))) for name in REQUEST_NAMES},
    "one covered twice": lambda: _request((*REQUEST_NAMES, '"@method"')),
    "by another workload": lambda: _request(key=STRANGER),
    "another tag": lambda: _request(tag="other"),
    "no tag": lambda: _request(tag=None),
    "for another service": lambda: _request(**{"wimse-aud": AUDIENCE + "/"}),
    "for no service": lambda: _request(**{"wimse-aud": None}),
    "without expiry": lambda: _request(expires=None),
    "without creation": lambda: _request(created=None),
    "without nonce": lambda: _request(nonce=None),
    "with an empty nonce": lambda: _request(nonce=""),
    "expired": lambda: _request(created=AT - 60, expires=AT),
    "from the future": lambda: _request(created=AT + 1),
    "expired before it was made": lambda: _request(created=AT, expires=AT),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_is_really_signed_but_one_step_off_is_refused(name: str) -> None:
    """An honest signature over too little, or for another time or place, proves nothing here."""
    with pytest.raises(Refused):
        _ask(REQUESTS[name]())


@pytest.mark.parametrize("name", ["signature-input", "signature"])
@pytest.mark.parametrize("change", [None, "", "sig1={}", "{}, {}", "{} ", "wimse={}"])
def test_there_is_exactly_one_signature_and_it_is_labelled(name: str, change: str | None) -> None:
    """Of two, one reader would verify the first and another believe the last."""
    good = _request()
    headers = {key: value for key, value in good.headers.items() if key != name}
    if change is not None:
        whole = good.headers[name]
        headers[name] = change.format(whole.removeprefix("wimse=") if change == "sig1={}" else whole, whole)

    with pytest.raises(Refused):
        _ask(HttpRequest(good.method, good.target, headers, good.body))


@pytest.mark.parametrize(("wit", "fits"), [("w" * 8192, True), ("w" * 8193, False), ("w\nx", False), ("w\xa0x", False)])
def test_a_covered_header_is_one_printable_line_of_bounded_length(wit: str, fits: bool) -> None:
    """A line break in it would be a line of the signed text that says something else."""
    request = _request(wit=wit)

    if fits:
        assert _ask(request).nonce == "n1"
        return
    with pytest.raises(Refused, match="unusable"):
        _ask(request)


def test_a_parameter_that_stands_there_twice_says_nothing() -> None:
    """Really signed so: one reader would take the first audience, another the last."""
    with pytest.raises(Refused):
        _ask(_request(tag=f'{TAG}";wimse-aud="https://other.example'))


def test_a_body_is_what_was_signed_or_nothing() -> None:
    """The digest is covered, so it must be the body's; a body without a covered digest is unsigned."""
    good = _request()
    swapped = HttpRequest(good.method, good.target, good.headers, b'{"cents": 6}')
    bare = {name: value for name, value in good.headers.items() if name != "content-digest"}

    for request in (swapped, HttpRequest(good.method, good.target, bare, BODY), HttpRequest("GET", good.target, bare)):
        with pytest.raises(Refused):
            _ask(request)


RESPONSES: dict[str, Callable[[], HttpResponse]] = {
    **{f"{name} not covered": (lambda name=name: _response(_but(RESPONSE_NAMES, name))) for name in RESPONSE_NAMES},
    "by another workload": lambda: _response(key=STRANGER),
    "to another request": lambda: _response(**{"wimse-req-nonce": "n0"}),
    "to no request": lambda: _response(**{"wimse-req-nonce": None}),
    "another tag": lambda: _response(tag="other"),
    "expired": lambda: _response(created=AT - 60, expires=AT),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_that_is_really_signed_but_one_step_off_is_refused(name: str) -> None:
    """A recorded answer, or one whose status or question is not covered, answers nothing."""
    with pytest.raises(Refused):
        _answer(RESPONSES[name]())


def test_a_component_of_the_request_that_is_not_held_cannot_be_covered() -> None:
    """A header whose very name holds the flag would stand in for what the request said."""
    names, header = (*RESPONSE_NAMES, '"x-note";req'), 'x-note";req'
    headers = {"workload-identity-token": "wit", "content-digest": _digest(BODY), header: "fine"}
    values = {'"@status"': "200", '"@method";req': "POST", '"@request-target";req': "/pay?x=1", '"x-note";req': "fine"}
    values |= {f'"{n}"': v for n, v in headers.items()}
    parameters = {"created": AT, "expires": AT + 60, "nonce": "n2", "tag": TAG, "wimse-req-nonce": "n1"}

    with pytest.raises(Refused, match="not supported"):
        _answer(HttpResponse(200, headers | _sign(names, values, parameters, HOLDER), BODY))
