"""An OpenID provider on loopback that does as it is told: well by itself, and badly where a test says how."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey

CLIENT = "console & co"
SECRET = "s3cret+/ %"
KEY = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
OTHER_KEY = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})


class FakeProvider:
    """``claims``, ``header``, ``discovery``, ``answer`` replace members of what it says; None leaves one out."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        self.raw: bytes | None = None
        self.status = 200
        self.key: Any = KEY
        self.codes: dict[str, Mapping[str, str]] = {}
        self.issuer = ""

    def authorize(self, address: str) -> str:
        """What a person does at the provider; the query with which it sends them back."""
        asked = dict(parse_qsl(urlsplit(address).query, strict_parsing=True))
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert asked["client_id"] == CLIENT
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return f"code={code}&state={asked['state']}"

    def told(self) -> dict[str, Any]:
        known = {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            "code_challenge_methods_supported": ["S256"],
        }  # fmt: skip
        return _with(known, self.discovery)

    def token(self, form: Mapping[str, str], authorization: str | None) -> bytes | None:
        """The answer of the token endpoint; None where a real provider would refuse."""
        asked = self.codes.pop(form.get("code", ""), None)
        basic = base64.b64encode(b"console+%26+co:s3cret%2B%2F+%25").decode()
        if asked is None or authorization != f"Basic {basic}" or form.get("redirect_uri") != asked["redirect_uri"]:
            return None
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(challenge).decode().rstrip("=") != asked["code_challenge"]:
            return None
        if self.raw is not None:
            return self.raw
        at = int(self.now.timestamp())
        claims = {
            "iss": self.issuer, "sub": "1234", "aud": CLIENT, "iat": at, "exp": at + 3600, "nonce": asked["nonce"],
            "email": "ann@corp.example", "email_verified": True,
        }  # fmt: skip
        header = _with({"alg": "ES256", "kid": "k1", "typ": "JWT"}, self.header)
        body = json.dumps(_with(claims, self.claims)).encode()
        signed = (
            "e30.e30." if header["alg"] == "none" else jws.serialize_compact(header, body, self.key, [header["alg"]])
        )
        return json.dumps(
            _with({"access_token": "x", "token_type": "Bearer", "id_token": signed}, self.answer)
        ).encode()


def _with(known: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**known, **changed}.items() if value is not None}


@contextmanager
def provider(now: datetime) -> Iterator[FakeProvider]:
    """One that listens."""
    fake = FakeProvider(now)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith("/authorize"):  # a browser; whoever has it agrees
                back = fake.authorize(fake.issuer + self.path)
                self.send_response(302)
                self.send_header("Location", f"{fake.codes[back[5:].partition('&')[0]]['redirect_uri']}?{back}")
                self.end_headers()
                return
            keys = {"keys": [KEY.as_dict(private=False)]}
            known = {"/.well-known/openid-configuration": fake.told(), "/keys": keys}
            self._say(200 if self.path in known else 404, json.dumps(known.get(self.path, {})).encode())

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = fake.token(dict(parse_qsl(data)), self.headers["Authorization"])
            self._say(400 if answer is None else fake.status, answer or b"{}")

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", fake.issuer + "/token")
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield fake
        server.shutdown()
        thread.join()
