"""Attack tokens of every class we know, through the verifier and through the command line."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attack_tokens
import pytest
from attack_tokens import (
    AUDIENCE,
    DOMAIN,
    EC,
    ISSUER,
    KEYS,
    MAX_AGE,
    MAX_LIFETIME,
    NOW,
    RSA,
    SKEW,
    Attack,
    claims,
    joined,
    signed,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from identity_maker import Key, b64, number, trust, word
from typer.testing import CliRunner

from agentguard.cli.assertion import app
from agentguard.identity import KeySet, Verifier

ATTACKS = attack_tokens.attacks()


def test_the_attacks_are_many_and_each_has_its_own_name() -> None:
    """So that none hides behind another's name, and no class has become empty."""
    names = Counter(attack.name for attack in ATTACKS)
    classes = Counter(attack.name.partition(":")[0] for attack in ATTACKS)

    assert [name for name, times in names.items() if times > 1] == []
    assert len(ATTACKS) >= 900
    assert min(classes.values()) >= 10


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_attack_is_refused_for_its_own_reason(attack: Attack) -> None:
    """A reviewer acts on the reason; a right verdict for the wrong one would send them astray."""
    assert _judge(attack.token, KEYS) == (attack.reason or "accept")


def test_the_command_line_agrees_on_all_of_them(tmp_path: Path) -> None:
    """`agentguard assertion verify` is how an operator asks why a token was refused."""
    flags = _flags(tmp_path, KEYS)
    wrong = []
    for attack in ATTACKS:
        given = attack.token if isinstance(attack.token, bytes) else attack.token.encode()
        result = CliRunner().invoke(app, flags, input=given)
        expected = {"verdict": "deny" if attack.reason else "accept", "reason": attack.reason}
        if json.loads(result.stdout) != expected or result.exit_code != bool(attack.reason):
            wrong.append((attack.name, result.stdout))

    assert wrong == []


def _judge(token: str | bytes, keys: list[dict[str, Any]]) -> str:
    declared = trust(
        issuer=ISSUER,
        audience=AUDIENCE,
        trust_domain=DOMAIN,
        max_age=timedelta(seconds=MAX_AGE),
        max_lifetime=timedelta(seconds=MAX_LIFETIME),
        skew=timedelta(seconds=SKEW),
        revoked_keys=("old",),
    )
    verifier = Verifier(declared, KeySet.parse(json.dumps({"keys": keys}).encode()))
    return word(verifier.verify(token, now=datetime.fromtimestamp(NOW, UTC)))


def _flags(directory: Path, keys: Any) -> list[str]:
    path = directory / "keys.json"
    path.write_text(json.dumps({"keys": keys}))
    words: dict[str, object] = {
        "--keys": path,
        "--issuer": ISSUER,
        "--audience": AUDIENCE,
        "--trust-domain": DOMAIN,
        "--max-age": MAX_AGE,
        "--max-lifetime": MAX_LIFETIME,
        "--skew": SKEW,
        "--now": NOW,
        "--revoked": "old",
    }
    return ["verify", *(str(word) for pair in words.items() for word in pair)]


SHORT_RSA = Key("r1", "RS256", bits=1024)
_P256 = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
# Points of small order on edwards25519: under such a key anybody can sign anything.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
# The same and others, written with y at or past the prime 2^255-19 (RFC 8032 section 5.1.3 refuses them).
NOT_CANONICAL = [
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def _rsa(**members: Any) -> dict[str, Any]:
    return {**RSA.jwk, **members}


def _ec(**members: Any) -> dict[str, Any]:
    return {**EC.jwk, **members}


def _ed(x: bytes) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "kid": "r1", "alg": "EdDSA", "use": "sig", "x": b64(x)}


# Keys for something else, or too weak: as if they were not there.
LEFT_OUT: dict[str, dict[str, Any]] = {
    "use enc": _rsa(use="enc"),
    "use in upper case": _rsa(use="SIG"),
    "use empty": _rsa(use=""),
    "use null and listed": _rsa(use=["sig"]),
    "key_ops sign": _rsa(key_ops=["sign"]),
    "key_ops of encryption": _rsa(key_ops=["encrypt", "wrapKey"]),
    "key_ops empty": _rsa(key_ops=[]),
    "key_ops null": _rsa(key_ops=None),
    "key_ops in upper case": _rsa(key_ops=["VERIFY"]),
    "alg of encryption": _rsa(alg="RSA-OAEP"),
    "alg symmetric": _rsa(alg="HS256"),
    "alg none": _rsa(alg="none"),
    "alg null": _rsa(alg=None),
    "alg a list": _rsa(alg=["RS256"]),
    "kty in lower case": _rsa(kty="rsa"),
    "kty absent": {name: value for name, value in RSA.jwk.items() if name != "kty"},
    "kid absent": {name: value for name, value in RSA.jwk.items() if name != "kid"},
    "kid a number": _rsa(kid=1),
    "kid empty": _rsa(kid=""),
    "kid too long": _rsa(kid="x" * 257),
    "1024 bits": {**SHORT_RSA.jwk},
    "e three": _rsa(e="Aw"),
    "e below 65537": _rsa(e=number(65535)),
    "e past 31 bits": _rsa(e=number(2**31 + 1)),
    "e as long as the modulus": _rsa(e=number(RSA.private.public_key().public_numbers().n - 2)),
    "an even modulus": _rsa(n=number(RSA.private.public_key().public_numbers().n + 1)),
    "curve of Bitcoin": _ec(crv="secp256k1", alg="ES256K", kid="r1"),
    "Ed448": {"kty": "OKP", "crv": "Ed448", "kid": "r1", "x": b64(b"\x09" * 57)},
    "X25519": {"kty": "OKP", "crv": "X25519", "kid": "r1", "x": b64(b"\x09" * 32)},
    **{f"Ed25519 of small order {point[:4]}…{point[-2:]}": _ed(bytes.fromhex(point)) for point in SMALL_ORDER},
    **{f"Ed25519 not canonical {point[:4]}…{point[-2:]}": _ed(bytes.fromhex(point)) for point in NOT_CANONICAL},
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_key_that_is_not_for_this_or_is_weak_is_as_if_it_were_not_there(name: str, tmp_path: Path) -> None:
    """A signature that anybody can make proves nothing, whoever published the key."""
    tokens = [signed(), signed(key=SHORT_RSA), signed(head={"alg": "EdDSA", "kid": "r1"})]
    for token in tokens:
        result = CliRunner().invoke(app, _flags(tmp_path, [LEFT_OUT[name], EC.jwk]), input=token)

        assert json.loads(result.stdout) == {"verdict": "deny", "reason": "unknown_key"}
    assert _judge(signed(key=EC), [LEFT_OUT[name], EC.jwk]) == "accept"


def test_nobody_signs_by_a_key_of_small_order() -> None:
    """With the neutral point as key and as R, and s nought, the signature equation holds for every text."""
    neutral = bytes.fromhex(SMALL_ORDER[0])
    forged = joined({"alg": "EdDSA", "kid": "r1"}, claims(), neutral + bytes(32))
    Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"whatever")

    assert _judge(forged, [_ed(neutral)]) == "unknown_key"


# A key that cannot be read. Alone, it makes a set of which nothing can be used.
UNREADABLE: dict[str, Any] = {
    "a point off the curve": [{**EC.jwk, "y": EC.jwk["x"]}],
    "the point nought": [{**EC.jwk, "x": b64(bytes(32)), "y": b64(bytes(32))}],
    "a coordinate past the prime": [{**EC.jwk, "x": b64(_P256.to_bytes(32, "big"))}],
    "a coordinate cut short": [{**EC.jwk, "x": b64(b"\x01")}],
    "no coordinate": [{name: value for name, value in EC.jwk.items() if name != "y"}],
    "a coordinate that is a number": [{**EC.jwk, "x": 5}],
    "a coordinate with a line end": [{**EC.jwk, "x": EC.jwk["x"] + "\n"}],
    "a coordinate with padding": [{**EC.jwk, "x": EC.jwk["x"] + "="}],
    "e one": [{**RSA.jwk, "e": "AQ"}],
    "e nought": [{**RSA.jwk, "e": "AA"}],
    "e even": [{**RSA.jwk, "e": number(65538)}],
    "e past the modulus": [{**RSA.jwk, "e": number(RSA.private.public_key().public_numbers().n + 2)}],
    "a modulus that is no base64": [{**RSA.jwk, "n": "***"}],
    "a modulus with spaces": [{**RSA.jwk, "n": " " + RSA.jwk["n"]}],
    "no modulus": [{name: value for name, value in RSA.jwk.items() if name != "n"}],
    "no exponent": [{name: value for name, value in RSA.jwk.items() if name != "e"}],
    "an Ed25519 key of 31 bytes": [_ed(bytes([9] * 31))],
}
# Sets in which one entry is wrong: nothing in them is used.
REFUSED: dict[str, Any] = {
    "two keys with one kid": [RSA.jwk, {**EC.jwk, "kid": "r1"}],
    "one key twice": [RSA.jwk, RSA.jwk],
    "a private RSA key": [RSA.jwk, {**EC.jwk, **EC.secret}],
    "a private exponent": [{**RSA.jwk, "d": "AAAA"}],
    "a private prime": [{**RSA.jwk, "p": "AAAA"}],
    "more primes": [{**RSA.jwk, "oth": []}],
    "a symmetric key": [RSA.jwk, {"kty": "oct", "kid": "s", "k": "A" * 43}],
    "a symmetric member": [{**RSA.jwk, "k": "AAAA"}],
    **UNREADABLE,
    "an entry that is no object": [RSA.jwk, "x"],
    "null": [None],
    "keys as an object": {"r1": RSA.jwk},
    "too many": [{**RSA.jwk, "kid": str(number)} for number in range(101)],
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_key_that_cannot_be_read_does_not_spoil_the_others(name: str, tmp_path: Path) -> None:
    """An issuer's slip with one key must not lock out everybody who calls by another."""
    other = EC if UNREADABLE[name][0]["kty"] != "EC" else RSA
    keys = [*UNREADABLE[name], {**other.jwk, "kid": "good"}]

    for token, expected in (
        (signed(head={"alg": other.algorithm, "kid": "good"}, key=other), {"verdict": "accept", "reason": ""}),
        (signed(), {"verdict": "deny", "reason": "unknown_key"}),
        (signed(head={"alg": "ES256", "kid": "e1"}, key=EC), {"verdict": "deny", "reason": "unknown_key"}),
    ):
        result = CliRunner().invoke(app, _flags(tmp_path, keys), input=token)
        assert json.loads(result.stdout) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_a_key_set_with_one_wrong_entry_gives_no_verdict(name: str, tmp_path: Path) -> None:
    """An ambiguous or leaked key is an incident; a verdict from the rest would hide it."""
    result = CliRunner().invoke(app, _flags(tmp_path, REFUSED[name]), input=signed())

    assert (result.exit_code, result.stdout) == (2, "")
    assert "keys.json" in result.stderr
    assert result.stderr.count("\n") == 1
