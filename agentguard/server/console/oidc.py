"""Signing in by an OpenID provider: authorization code with PKCE. A small client, strict about what it is told.

In this order, the first that fails ends the sign-in:
1. The browser has the cookie of a sign-in that it began here, at most ten minutes ago; the answer names its ``state``.
2. ``iss`` is the provider's, where it is there; and it is there where the provider says that it sends it (RFC 9207).
3. The provider gives an ID token for the code, our secret and the PKCE verifier of this very sign-in.
4. The token is one of this provider, for this client alone, signed by a key that it publishes, and of now
   (``agentguard.identity``, profile ``oidc``); its ``nonce`` is this sign-in's; ``azp``, if there, is this client.
5. The claim that Trust names says who it is. An e-mail address counts only where the provider has verified it.

What a sign-in needs is derived from a secret of this process and the cookie: nobody fills memory by beginning many.
Nothing of a token is kept, and none of it is shown.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote_plus, urlencode

from agentguard.core.declarations import IssuerTrust, LoginTrust
from agentguard.core.people import person
from agentguard.core.values import Json, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import Verifier, key_source
from agentguard.jose.fetch import Address, ReadFailed, get, post
from agentguard.jose.jsontext import parse_object
from agentguard.jose.refusal import Refused

# A person types a password and a second factor in less.
LASTS = timedelta(minutes=10)
_DEADLINE_SECONDS = 10.0
_MAX_ANSWER = 256 * 1024
# What a provider says of itself changes when its keys' address does.
_DISCOVER_EVERY_SECONDS = 3600.0
# Some providers let an ID token live for a day. It is used at once, and must be of now.
_MAX_LIFETIME = timedelta(days=1)
_MAX_AGE = timedelta(minutes=5)
_SKEW = timedelta(seconds=30)
_WHO = re.compile(r"[^\x00-\x20\x7f-\x9f]{1,200}")


class SignInFailed(Exception):
    """Somebody could not be signed in. The text is for them, and quotes nothing secret."""


@dataclass(frozen=True, slots=True)
class _Provider:
    """What a provider says of itself, as far as we need it."""

    authorization: str
    token: Address
    says_iss: bool
    verifier: Verifier


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that begins: where the browser goes, and the cookie that it keeps meanwhile."""

    address: str
    cookie: str


class Provider:
    """One provider, for one console. Safe to use from several threads; its methods wait for the network."""

    def __init__(
        self, login: LoginTrust, redirect: str, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self.login = login
        self._redirect, self._clock, self._now = redirect, clock, now
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._known: tuple[float, _Provider] | None = None

    def begin(self, wanted: str) -> Begun:
        """Begin a sign-in that leads to ``wanted`` afterwards. Raises SignInFailed."""
        provider = self._provider()
        name = secrets.token_urlsafe(16)
        parts = [name, str(int(self._clock())), _packed(wanted.encode())]
        cookie = ".".join([*parts, self._derived("cookie", *parts)])
        challenge = hashlib.sha256(self._derived("verifier", name).encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.login.client_id,
            "redirect_uri": self._redirect,
            "scope": "openid email profile",
            "state": self._derived("state", name),
            "nonce": self._derived("nonce", name),
            "code_challenge": _packed(challenge),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in provider.authorization else "?"
        return Begun(f"{provider.authorization}{joint}{urlencode(asked)}", cookie)

    def finish(self, cookie: str | None, answer: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """Who it is, and where they wanted to go, out of what the provider sent the browser back with.

        Raises SignInFailed.
        """
        given = dict(answer)
        if len(given) != len(answer):
            raise SignInFailed("the provider's answer says something twice")
        name, wanted = self._begun(cookie)
        if not hmac.compare_digest(given.get("state", "").encode(), self._derived("state", name).encode()):
            raise SignInFailed("the provider's answer belongs to another sign-in; begin anew")
        provider = self._provider()
        if given.get("iss", self.login.issuer) != self.login.issuer or (provider.says_iss and "iss" not in given):
            raise SignInFailed("the answer is not of the provider that was asked (RFC 9207)")
        if "error" in given or not given.get("code"):
            raise SignInFailed(f"the provider did not sign you in: {given.get('error', 'it sent no code')[:100]}")
        claims = self._claims(provider, given["code"], name)
        return self._person(claims), wanted

    def _begun(self, cookie: str | None) -> tuple[str, str]:
        """The name of a sign-in that began in this browser, and where it leads."""
        *parts, seal = (cookie or "").split(".")
        if len(parts) != 3 or not hmac.compare_digest(seal.encode(), self._derived("cookie", *parts).encode()):
            raise SignInFailed(
                "this browser has not begun to sign in here, or the console was started anew; begin anew"
            )
        if not 0 <= self._clock() - int(parts[1]) < LASTS.total_seconds():
            raise SignInFailed("the sign-in took more than ten minutes; begin anew")
        return parts[0], urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4)).decode()

    def _derived(self, what: str, *parts: str) -> str:
        """A word that nobody can make who does not know the secret of this process."""
        data = "\0".join([what, *parts]).encode("utf-8", "surrogatepass")
        return _packed(hmac.digest(self._secret, data, "sha256"))

    def _provider(self) -> _Provider:
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > _DISCOVER_EVERY_SECONDS:
                self._known = (time.monotonic(), self._discovered())
            return self._known[1]

    def _discovered(self) -> _Provider:
        place = self.login.issuer.rstrip("/") + "/.well-known/openid-configuration"
        told = _read(lambda: get(Address(place), limit=_MAX_ANSWER, deadline=_DEADLINE_SECONDS), "what it is")
        if told.get("issuer") != self.login.issuer:
            raise SignInFailed("the provider calls itself another than Trust does; security can put that right")
        methods = told.get("code_challenge_methods_supported", ["S256"])
        if not isinstance(methods, list) or "S256" not in methods:
            raise SignInFailed("the provider knows no PKCE with S256, so nobody can sign in by it")
        try:
            authorization, token, keys = (
                str(told.get(name)) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            )
            Address(authorization)
            verifier = Verifier(self._trust(keys), key_source(self._trust(keys), Path()))
            says_iss = told.get("authorization_response_iss_parameter_supported") is True
            return _Provider(authorization, Address(token), says_iss, verifier)
        except ConfigurationError:
            raise SignInFailed("the provider names an address that cannot be used; https is needed") from None

    def _trust(self, keys: str) -> IssuerTrust:
        return IssuerTrust(
            name="console",
            profile="oidc",
            issuer=self.login.issuer,
            audience=self.login.client_id,
            max_age=_MAX_AGE,
            max_lifetime=_MAX_LIFETIME,
            skew=_SKEW,
            source=self.login.source,
            keys_url=keys,
            single_use=False,
        )

    def _claims(self, provider: _Provider, code: str, name: str) -> Mapping[str, Json]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": self._derived("verifier", name),
            "client_id": self.login.client_id,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self.login.client_secret_env is not None:
            del form["client_id"]
            headers["Authorization"] = f"Basic {self._basic(self.login.client_secret_env)}"
        body = urlencode(form).encode()
        told = _read(
            lambda: post(provider.token, body, limit=_MAX_ANSWER, deadline=_DEADLINE_SECONDS, headers=headers),
            "who you are",
        )
        token = told.get("id_token")
        if not isinstance(token, str):
            raise SignInFailed("the provider sent no ID token")
        identity = provider.verifier.verify(token, now=self._now())
        if isinstance(identity, Unavailable):
            raise SignInFailed(f"the provider's ID token is refused: {identity.reason}")
        claims = identity.claims
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode("utf-8", "surrogatepass"), self._derived("nonce", name).encode()
        ):
            raise SignInFailed("the provider's ID token belongs to another sign-in")
        if claims.get("azp", self.login.client_id) != self.login.client_id:
            raise SignInFailed("the provider's ID token was made for another client")
        return claims

    def _basic(self, variable: str) -> str:
        """RFC 6749 section 2.3.1: both parts encoded as in a form. Raises SignInFailed."""
        secret = os.environ.get(variable)
        if not secret:
            raise SignInFailed(f"the console has no {variable} in its environment; operations can put that right")
        return b64encode(f"{quote_plus(self.login.client_id)}:{quote_plus(secret)}".encode()).decode()

    def _person(self, claims: Mapping[str, Json]) -> str:
        named = claims.get(self.login.person_from)
        if self.login.person_from == "email" and claims.get("email_verified") is not True:
            raise SignInFailed("the provider has not verified your e-mail address, so it does not say who you are")
        if not isinstance(named, str) or _WHO.fullmatch(named) is None or not named.isprintable() or not person(named):
            raise SignInFailed("the provider does not say who you are in the way that Trust expects")
        return f"user:{named}"


def _packed(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _read(ask: Callable[[], bytes], what: str) -> Mapping[str, Json]:
    try:
        return parse_object(ask(), "the provider's answer")
    except (ReadFailed, ConfigurationError):
        raise SignInFailed(f"the provider did not say {what}; try again, or ask operations") from None
    except Refused:
        raise SignInFailed(f"the provider's answer to {what} cannot be read") from None
