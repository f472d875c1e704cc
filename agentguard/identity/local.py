"""The embedded default: an issuer on this machine that makes one short-lived assertion per call.

It proves only that the caller can read the key file, so every record says ``assurance: local``. What it does give is
the whole path (fresh, single use, bound to the call) without any infrastructure. A guard that is its own local issuer
needs no signed text for that (``in_process``); these tokens are for whoever judges them in another process.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agentguard.core.declarations import IssuerTrust, Source
from agentguard.errors import ConfigurationError
from agentguard.identity.verify import Verifier
from agentguard.jose.keyset import KeySet, signing_method, symmetric_key
from agentguard.jose.nonce import nonce

LOCAL_ISSUER = "urn:agentguard:local"
# Long enough for one decision on a loaded machine, too short to be worth copying.
LIFETIME = timedelta(seconds=60)
KEY_FILE = "local-identity.key"

_SECRET_BYTES = 32
KEY_ID = "local"


def local_trust(subjects: tuple[str, ...], audience: str = "agentguard") -> IssuerTrust:
    """The trust that goes with a ``LocalIssuer`` where the bundle declares none."""
    return IssuerTrust(
        name="local",
        profile="local",
        issuer=LOCAL_ISSUER,
        audience=audience,
        max_age=LIFETIME,
        max_lifetime=LIFETIME,
        skew=timedelta(0),
        source=Source("(embedded default)", 1),
        subjects=subjects,
    )


class LocalIssuer:
    """Signs with a key kept in one file of ``directory``, made on first use (mode 0600).

    Raises ConfigurationError when the file is not private to this user, or cannot be made or read.
    """

    def __init__(self, directory: str | Path, *, issuer: str = LOCAL_ISSUER) -> None:
        from joserfc.jwk import OctKey

        secret = _secret(Path(directory) / KEY_FILE)
        self._key = OctKey.import_key(secret)
        self._sign = signing_method("HS256").sign
        self._keys = KeySet({KEY_ID: symmetric_key(KEY_ID, secret)})
        self._issuer = issuer
        self._header = _segment({"alg": "HS256", "kid": KEY_ID, "typ": "agentguard-local+jwt"})

    def mint(self, subject: str, audience: str, request_digest: str, now: datetime) -> str:
        """One assertion for one call, valid for ``LIFETIME`` from ``now`` (aware)."""
        issued = int(now.timestamp())
        payload = _segment(
            {
                "iss": self._issuer,
                "sub": subject,
                "aud": audience,
                "iat": issued,
                "exp": issued + int(LIFETIME.total_seconds()),
                "jti": nonce(),
                "request_digest": request_digest,
            }
        )
        signed = self._header + b"." + payload
        return (signed + b"." + _base64url(self._sign(signed, self._key))).decode("ascii")

    def verifier(self, trust: IssuerTrust) -> Verifier:
        """The verifier of what this issuer signs. Raises ConfigurationError where the trust would accept none of it."""
        if trust.profile != "local":
            raise ConfigurationError(f"issuer `{trust.name}`: the local key serves profile `local` only")
        if trust.max_lifetime < LIFETIME:
            raise ConfigurationError(
                f"issuer `{trust.name}`: local assertions live for {LIFETIME.total_seconds():g} seconds; "
                "`max_lifetime` must not be less (use `max_age` to demand fresher ones)"
            )
        return Verifier(trust, self._keys)


def _segment(value: dict[str, Any]) -> bytes:
    return _base64url(json.dumps(value, separators=(",", ":")).encode("ascii"))


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _secret(path: Path) -> bytes:
    try:
        if not os.path.lexists(path):
            _create(path)
        return _read_private(path)
    except OSError as error:
        raise ConfigurationError(
            f"the local identity key `{path}` cannot be used: {error.strerror or error}; "
            "make its directory writable by this user, or pass another directory"
        ) from None


def _create(path: Path) -> None:
    """Write the key beside its place and link it there: never half a key, and the first of two processes wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        _sync_directory(path.parent)
    finally:
        Path(name).unlink()


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_private(path: Path) -> bytes:
    # O_NOFOLLOW and fstat on the open file: what is checked is what is read.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"the local identity key `{path}` is not a regular file; remove it")
        if status.st_uid != os.geteuid():
            raise ConfigurationError(f"the local identity key `{path}` belongs to another user; remove it")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise ConfigurationError(
                f"the local identity key `{path}` can be read by others (mode {stat.S_IMODE(status.st_mode):04o}); "
                f"it may have been copied: remove it, and a new one is made with mode 0600"
            )
        secret = file.read(_SECRET_BYTES + 1)
    if len(secret) != _SECRET_BYTES:
        raise ConfigurationError(
            f"the local identity key `{path}` has {len(secret)} bytes instead of {_SECRET_BYTES}; remove it"
        )
    return secret
