"""A set of keys, parsed once into keys that can be used for nothing but what they are for.

A key for something else (another ``use``, no ``verify`` among its ``key_ops``, an unknown type, no ``kid``), one too
weak to prove anything (``_STRONG``), and one that cannot be read (coordinates off the curve) is left out, so a token
that names it meets an unknown key. A set that is itself wrong is refused whole: a private or symmetric key in it, two
usable keys with one ``kid``, members that occur twice, or keys of which not one can be read.

joserfc and cryptography are loaded with the first key: they would take a third of the time of importing a guard.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agentguard.core.reasons import Reason
from agentguard.core.values import Json, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.jose.jsontext import parse_object
from agentguard.jose.refusal import Refused, shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

# A large provider publishes some twenty keys.
MAX_KEYS = 100
MAX_SET_BYTES = 512 * 1024
# Longer keys cost the verifier more than any issuer needs (8192 bits is already 0.4 ms).
_RSA_BITS = range(2048, 8193)
# FIPS 186-5 asks for at least 65537: small ones have made forgeries possible. Go's limit above; everyone uses 65537.
_RSA_EXPONENTS = range(65_537, 2**31)
# RFC 8032: the field of edwards25519, and the y of its eight points of small order. Such a point as a public key
# verifies signatures that anybody can make.
_ED25519_PRIME = 2**255 - 19
_ED25519_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_ED25519_SMALL = frozenset({0, 1, _ED25519_PRIME - 1, _ED25519_Y8, _ED25519_PRIME - _ED25519_Y8})
_MAX_KID = 256

# (kty, crv) → algorithms such a key may sign with; the first is the one meant where the key names none.
_ALGORITHMS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
}
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# Values of `use` (RFC 7517 section 4.2) for keys that sign; None stands for an absent one.
SIGNING_USES: frozenset[str | None] = frozenset({None, "sig"})

KNOWN_ALGORITHMS = frozenset(name for names in _ALGORITHMS.values() for name in names)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key and the algorithms it may be used with. Equality and hash are by identity of the key object."""

    kid: str
    algorithms: frozenset[str]
    _key: Any
    _methods: Mapping[str, Any]
    symmetric: bool = False

    def is_same_as(self, other: VerificationKey) -> bool:
        """Whether both are one key, for the same algorithms."""
        mine, others = self._key.as_dict(private=False), other._key.as_dict(private=False)
        return self.algorithms == other.algorithms and bool(mine == others)

    def verifies(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Whether the signature is right. ``algorithm`` must be one of ``algorithms``. Never raises for bad input."""
        try:
            return self._methods[algorithm].verify(signing_input, signature, self._key) is True
        except Exception:
            return False


class UnreadableKey(ConfigurationError):
    """A key that is for us, and whose material is wrong."""

    def __init__(self, kid: str, why: str) -> None:
        super().__init__(f"key {shown(kid)} of the key set cannot be used: {why}")
        self.kid = kid


class KeySource(Protocol):
    """Where a verifier finds the key that a header names."""

    @property
    def may_block(self) -> bool:
        """Whether ``find`` may wait for a file or the network."""

    def find(self, kid: str) -> VerificationKey | Unavailable:
        """The key with exactly this id, or why there is none. Never raises."""

    def only(self) -> VerificationKey | None:
        """The one key there is; None where there is none, or more. Never raises."""

    def anew(self, key: VerificationKey) -> VerificationKey | None:
        """Another key that has this one's id, after looking once more, if that may be done now. Never raises."""


class KeySet:
    """A fixed set of keys."""

    may_block = False

    def __init__(self, keys: Mapping[str, VerificationKey], unreadable: Mapping[str, str] | None = None) -> None:
        self._keys = dict(keys)
        self._unreadable = dict(unreadable or {})

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, kid: object) -> bool:
        return kid in self._keys

    def find(self, kid: str) -> VerificationKey | Unavailable:
        """The key with exactly this id, or ``assertion_unknown_key``."""
        key = self._keys.get(kid)
        if key is not None:
            return key
        why = self._unreadable.get(kid, f"no key {shown(kid)} in the issuer's key set")
        return Unavailable(Reason.ASSERTION_UNKNOWN_KEY, why)

    def only(self) -> VerificationKey | None:
        """The one key there is; None where there is none, or more."""
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def anew(self, key: VerificationKey) -> VerificationKey | None:
        """Always None: the set is fixed."""
        return None

    @classmethod
    def parse(
        cls, data: bytes, *, algorithms: tuple[str, ...] = (), uses: frozenset[str | None] = SIGNING_USES
    ) -> KeySet:
        """Read a JWK set (RFC 7517 section 5). Raises ConfigurationError saying what is wrong with it."""
        if len(data) > MAX_SET_BYTES:
            raise ConfigurationError(f"the key set is longer than {MAX_SET_BYTES} bytes")
        try:
            entries = parse_object(data, "key set").get("keys")
        except Refused as refusal:
            raise ConfigurationError(refusal.detail) from None
        if not isinstance(entries, list) or len(entries) > MAX_KEYS:
            raise ConfigurationError(f"the key set must have a list `keys` of at most {MAX_KEYS} keys")
        keys: dict[str, VerificationKey] = {}
        unreadable: dict[str, str] = {}
        for entry in entries:
            try:
                key = public_key(entry, algorithms=algorithms, uses=uses)
            except UnreadableKey as error:
                unreadable.setdefault(error.kid, str(error))
                continue
            if key is None:
                continue
            if key.kid in keys:
                raise ConfigurationError(f"two keys in the key set have the `kid` {shown(key.kid)}; which is meant?")
            keys[key.kid] = key
        if unreadable and not keys:
            raise ConfigurationError(next(iter(unreadable.values())))
        return cls(keys, unreadable)


def public_key(
    entry: Json,
    *,
    algorithms: tuple[str, ...] = (),
    uses: frozenset[str | None] = SIGNING_USES,
    default_kid: str | None = None,
) -> VerificationKey | None:
    """One JWK as a key, or None where it is a key for something else. Raises ConfigurationError where it is wrong."""
    if not isinstance(entry, dict):
        raise ConfigurationError("an entry of the key set is not a JSON object")
    if entry.get("kty") == "oct" or entry.keys() & _PRIVATE_MEMBERS:
        raise ConfigurationError("the key set holds a private or symmetric key; publish public keys only")
    kid = entry.get("kid", default_kid)
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID or not _is_for_verifying(entry, uses):
        return None
    usable = _usable_algorithms(entry, algorithms)
    if not usable:
        return None
    key = _import(entry, kid)
    if not _STRONG[str(entry["kty"])](key.raw_value):
        return None
    return VerificationKey(kid, frozenset(usable), key, {name: _method(name) for name in usable})


def symmetric_key(kid: str, secret: bytes) -> VerificationKey:
    """The local issuer's own key; HS256 only. Raises ConfigurationError under 256 bits (RFC 7518 section 3.2)."""
    from joserfc.jwk import OctKey

    if len(secret) < 32:
        raise ConfigurationError("a local identity key must have at least 256 bits")
    methods = {"HS256": _method("HS256")}
    return VerificationKey(kid, frozenset(methods), OctKey.import_key(secret), methods, symmetric=True)


def signing_method(algorithm: str) -> Any:
    """joserfc's implementation of one algorithm, looked up once instead of at each call."""
    return _method(algorithm)


def _is_for_verifying(entry: Mapping[str, Json], uses: frozenset[str | None]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    use = entry.get("use")
    return isinstance(use, str | None) and use in uses and isinstance(operations, list) and "verify" in operations


def _usable_algorithms(entry: Mapping[str, Json], configured: tuple[str, ...]) -> tuple[str, ...]:
    kind, curve, named = entry.get("kty"), entry.get("crv"), entry.get("alg")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return ()
    possible = _ALGORITHMS.get((kind, curve), ())
    if "alg" in entry:
        possible = tuple(name for name in possible if name == named)
    elif kind == "RSA" and not configured:
        # Azure's keys name no algorithm and mean RS256. Anything else must be configured or named by the key.
        possible = possible[:1]
    return tuple(name for name in possible if not configured or name in configured)


def _import(entry: Mapping[str, Json], kid: str) -> Any:
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    types: Mapping[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    kind = str(entry["kty"])
    # Only the members that make the key: `use`, `alg` and `key_ops` were judged above, the rest is not ours.
    material = {"kty": kind} | {name: entry.get(name) for name in _PUBLIC_MEMBERS[kind]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weak RSA keys: left out by the caller
            return types[kind].import_key(material)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise UnreadableKey(kid, str(error)) from None


def _strong_rsa(key: RSAPublicKey) -> bool:
    numbers = key.public_numbers()
    return key.key_size in _RSA_BITS and numbers.e in _RSA_EXPONENTS and numbers.n % 2 == 1


def _strong_ed25519(key: Ed25519PublicKey) -> bool:
    # The highest bit is the sign of x. A y past the prime is a second spelling of another point.
    y = int.from_bytes(key.public_bytes_raw(), "little") % 2**255
    return y < _ED25519_PRIME and y not in _ED25519_SMALL


_STRONG: Mapping[str, Callable[[Any], bool]] = {
    "RSA": _strong_rsa,
    "EC": lambda key: True,  # the curves have prime order, and a point off them cannot be imported
    "OKP": _strong_ed25519,
}


def _method(algorithm: str) -> Any:
    from joserfc.jws import JWSRegistry

    with warnings.catch_warnings():
        # joserfc warns that the name `EdDSA` is deprecated (RFC 9864); issuers and WIMSE still use it.
        warnings.simplefilter("ignore")
        return JWSRegistry(algorithms=[algorithm]).get_alg(algorithm)
