"""Attack tokens by class, each with the one reason it must be refused for; "" where it must be accepted.

Of the classes of ``vectors/jwt_assertion_attacks.json`` and under its rules (time, issuer, audience, trust domain),
with keys of this file. Signed without any code of the verifier, so the two can disagree.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from identity_maker import Key, b64

NOW = 1_790_000_000
ISSUER = "https://issuer.example.org"
AUDIENCE = "spiffe://example.org/agentguard"
DOMAIN = "example.org"
SUBJECT = "spiffe://example.org/agent/exporter"
SKEW, MAX_AGE, MAX_LIFETIME = 30, 300, 900

RSA, EC, OUR_ED = Key("r1", "RS256"), Key("e1", "ES256"), Key("d1", "EdDSA")
STRANGER, STRANGE_RSA = Key("e1", "ES256"), Key("r1", "RS256")
OLD = {**RSA.jwk, "kid": "old"}
KEYS: list[dict[str, Any]] = [RSA.jwk, EC.jwk, OUR_ED.jwk, OLD]
# The order of P-256's group.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Attack:
    """One token. ``reason`` is what the command line must print; the empty text means that it is no attack."""

    name: str
    token: str | bytes
    reason: str


def claims(**over: Any) -> dict[str, Any]:
    """Good claims; ``over`` replaces some."""
    return {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": AUDIENCE,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 120,
        "jti": "j1",
        **over,
    }


def without(*names: str) -> dict[str, Any]:
    """Good claims but for these."""
    return {name: value for name, value in claims().items() if name not in names}


def header(**over: Any) -> dict[str, Any]:
    """A good header for the RSA key; ``over`` replaces some members."""
    return {"alg": "RS256", "kid": "r1", "typ": "JWT", **over}


def raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def joined(head: Any, body: Any, signature: bytes) -> str:
    return f"{b64(raw(head))}.{b64(raw(body))}.{b64(signature)}"


def signed(body: Any = None, head: Any = None, key: Key = RSA) -> str:
    """Really signed, with the key's own algorithm, whatever the header says."""
    head = header(alg=key.algorithm, kid=key.kid) if head is None else head
    body = claims() if body is None else body
    text = f"{b64(raw(head))}.{b64(raw(body))}"
    return f"{text}.{b64(key.signature(text.encode()))}"


def attacks() -> list[Attack]:
    """All of them."""
    families = (
        _controls,
        _no_algorithm,
        _symmetric,
        _other_algorithms,
        _key_ids,
        _header_members,
        _types,
        _duplicates,
        _spellings,
        _not_a_compact_jws,
        _not_json,
        _sizes,
        _signatures,
        _issuers,
        _audiences,
        _subjects,
        _times,
        _identifiers,
    )
    return [
        Attack(f"{family.__name__[1:]}: {name}", token, reason)
        for family in families
        for name, token, reason in family()
    ]


Cases = Iterator[tuple[str, str | bytes, str]]


def _controls() -> Cases:
    yield "RSA", signed(), ""
    yield "EC", signed(key=EC), ""
    yield "Ed25519", signed(key=OUR_ED), ""
    yield "as bytes", signed().encode(), ""
    yield "no typ", signed(head={"alg": "RS256", "kid": "r1"}), ""
    yield "members in another order", signed(head={"typ": "JWT", "kid": "r1", "alg": "RS256"}), ""
    yield "spaces in the JSON", signed(head=b' { "alg" : "RS256", "kid":"r1" } '), ""
    yield "an escaped member name, once", signed(head=b'{"\\u0061lg":"RS256","kid":"r1"}'), ""
    yield "claims nobody knows", signed(claims(scope="x", act={"sub": "y"}, groups=["a", 1, None, True])), ""
    yield "no nbf", signed(without("nbf")), ""
    # Not an attack here: the replay key is issuer and `jti`, and RFC 7518 asks for no low `s`.
    text = signed(key=EC).rpartition(".")[0]
    pair = EC.signature(text.encode())
    other = (_ORDER - int.from_bytes(pair[32:], "big")).to_bytes(32, "big")
    yield "the other s of an ECDSA signature", f"{text}.{b64(pair[:32] + other)}", ""


def _no_algorithm() -> Cases:
    spellings = (
        "none",
        "None",
        "NONE",
        "nOnE",
        "noNe",
        "none ",
        " none",
        "none\x00",
        "n\u043ene",
        "null",
        "",
        "undefined",
    )
    for word in spellings:
        yield f"{word!r} without signature", joined(header(alg=word), claims(), b""), "malformed"
        yield f"{word!r} with one", joined(header(alg=word), claims(), b"\x01" * 256), "bad_algorithm"
        yield f"{word!r} with a real one", signed(head=header(alg=word)), "bad_algorithm"
    for value in (None, 0, 1, True, False, 1.5, ["RS256"], {"RS256": 1}, [], {}, ["none"]):
        yield f"{value!r}", signed(head=header(alg=value)), "bad_algorithm"
    yield "absent", signed(head={"kid": "r1", "typ": "JWT"}), "bad_algorithm"
    yield "absent, unsigned", joined({"kid": "r1"}, claims(), b""), "malformed"
    yield "none, no kid", joined({"alg": "none"}, claims(), b"x"), "unknown_key"


def _symmetric() -> Cases:
    public = RSA.private.public_key()
    encodings = {
        "PEM": (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "PKCS1 PEM": (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        "DER": (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    }
    secrets = {name: public.public_bytes(*how) for name, how in encodings.items()}
    secrets |= {
        "PEM without its line end": secrets["PEM"].rstrip(),
        "JWK": raw(RSA.jwk),
        "JWK set": raw({"keys": KEYS}),
        "modulus": str(RSA.jwk["n"]).encode(),
        "kid": b"r1",
        "nothing": b"",
    }
    for name, secret in secrets.items():
        for bits in (256, 384, 512):
            text = f"{b64(raw(header(alg=f'HS{bits}')))}.{b64(raw(claims()))}"
            yield (
                f"HS{bits} by {name}",
                f"{text}.{b64(hmac.digest(secret, text.encode(), f'sha{bits}'))}",
                "bad_algorithm",
            )
    text = f"{b64(raw(header(alg='HS256', kid='e1')))}.{b64(raw(claims()))}"
    point = b"\x04" + EC.private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    yield "HS256 by an EC point", f"{text}.{b64(hmac.digest(point, text.encode(), hashlib.sha256))}", "bad_algorithm"


def _other_algorithms() -> Cases:
    words = (
        *(
            "RS384",
            "RS512",
            "PS256",
            "PS384",
            "PS512",
            "ES256",
            "ES384",
            "ES512",
            "ES256K",
            "EdDSA",
            "Ed25519",
            "Ed448",
        ),
        *("HS256", "RS1", "RS0", "RSA1_5", "RSA-OAEP", "dir", "A128KW", "PBES2-HS256+A128KW", "ECDH-ES", "A256GCM"),
        *(
            "rs256",
            "Rs256",
            "RS256 ",
            " RS256",
            "RS256\n",
            "RS256\x00",
            "RS-256",
            "RSASHA256",
            "SHA256withRSA",
            "ML-DSA-44",
        ),
        *(
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "\uff32\uff33256",
            "RS\u0662\u0665\u0666",
            "RS256,none",
            "*",
        ),
    )
    for word in words:
        yield f"{word!r} for the RSA key", signed(head=header(alg=word)), "bad_algorithm"
    for word in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        text = f"{b64(raw(header(alg=word)))}.{b64(raw(claims()))}"
        yield f"{word}, truly", f"{text}.{b64(RSA.signature(text.encode(), word))}", "bad_algorithm"
    for word in ("RS256", "ES384", "ES512", "ES256K", "EdDSA", "es256", "PS256"):
        yield f"{word!r} for the EC key", signed(head=header(alg=word, kid="e1"), key=EC), "bad_algorithm"
    for word in ("Ed25519", "Ed448", "ES256", "RS256", "eddsa", "X25519"):
        yield f"{word!r} for the Ed25519 key", signed(head=header(alg=word, kid="d1"), key=OUR_ED), "bad_algorithm"
    yield "ES256 signature, RSA kid", signed(head=header(alg="ES256"), key=EC), "bad_algorithm"
    yield "ES256 signature, said to be RS256", signed(head=header(), key=EC), "bad_signature"
    yield "RS256 signature, EC kid and algorithm", signed(head=header(alg="ES256", kid="e1")), "bad_signature"


def _key_ids() -> Cases:
    words = (
        *(
            "zz",
            "",
            "R1",
            "r1 ",
            " r1",
            "r1\n",
            "r1\x00",
            "r1\x00.pem",
            "r",
            "r11",
            "\u0072\u0031\u200b",
            "\uff521",
            "r\u0661",
        ),
        *(
            "../../dev/null",
            "../../../../dev/null\x00",
            "/dev/null",
            "..\\..\\win.ini",
            "/proc/self/environ",
            "file:///dev/null",
        ),
        *(
            "r1' OR '1'='1",
            "x' UNION SELECT 'secret'--",
            "r1; DROP TABLE keys",
            "r1'/*",
            "|id",
            "$(id)",
            "`id`",
            "; sleep 9",
        ),
        *(
            "https://evil.example/k",
            "http://169.254.169.254/",
            "ldap://evil/x",
            "${jndi:ldap://evil/x}",
            "{{7*7}}",
            "%s%n",
        ),
        *(
            "__proto__",
            "constructor",
            "*",
            "r1*",
            "r.",
            "e1,r1",
            '"r1"',
            "['r1']",
            "0",
            "1",
            "None",
            "null",
            "x" * 3000,
        ),
    )
    for word in words:
        yield f"{word[:40]!r}", signed(head=header(kid=word)), "unknown_key"
    for value in (None, 0, 1, True, 1.0, ["r1"], [["r1"]], {"r1": 1}, {"kid": "r1"}, {"$ne": ""}, []):
        yield f"{value!r}", signed(head=header(kid=value)), "unknown_key"
    yield "absent", signed(head={"alg": "RS256"}), "unknown_key"
    yield "revoked", signed(head=header(kid="old")), "revoked_key"
    yield "revoked, and forged", joined(header(kid="old"), claims(), b"\x01" * 256), "revoked_key"
    yield "revoked, in upper case", signed(head=header(kid="OLD")), "unknown_key"
    yield "ours, by a stranger's RSA key", signed(key=STRANGE_RSA), "bad_signature"
    yield "ours, by a stranger's EC key", signed(key=STRANGER), "bad_signature"
    yield "another key of ours", signed(head=header(alg="ES256", kid="e1"), key=OUR_ED), "bad_signature"


def _header_members() -> Cases:
    members: dict[str, Any] = {
        "jku": "https://issuer.example.org/keys",
        "jwk": STRANGE_RSA.jwk,
        "x5u": "https://issuer.example.org/cert",
        "x5c": ["MIIB"],
        "x5t": {"x5c": ["MIIB"]},
        "x5t#S256": ["AA"],
        "x5t ": "AA",
        "crit": ["exp"],
        "b64": True,
        "cty": "JWT",
        "zip": "DEF",
        "enc": "A128GCM",
        "epk": EC.jwk,
        "apu": "AA",
        "p2c": 2_000_000_000,
        "iv": "AA",
        "tag": "AA",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": SUBJECT,
        "exp": NOW + 120,
        "nonce": "x",
        "url": "https://issuer.example.org/",
        "ppt": "shaken",
        "trust_chain": [],
        "Alg": "none",
        "KID": "r1",
        "typ ": "JWT",
        "": "",
        "__proto__": {"alg": "none"},
        "constructor": {},
        "\u0430lg": "none",
    }
    for name, value in members.items():
        yield name, signed(head=header(**{name: value})), "unsupported_header"
        yield f"{name}, null", signed(head=header(**{name: None})), "unsupported_header"
    for value in ([], ["b64"], ["alg"], ["exp", "exp"], ["unknown"], "b64", {}, [1], [""], True, 0):
        yield f"crit {value!r}", signed(head=header(crit=value)), "unsupported_header"
    yield "crit and b64", signed(head=header(crit=["b64"], b64=False)), "unsupported_header"
    yield "jwk, signed by it", signed(head=header(jwk=STRANGE_RSA.jwk), key=STRANGE_RSA), "unsupported_header"
    yield (
        "jwk alone, signed by it",
        signed(head={"alg": "RS256", "jwk": STRANGE_RSA.jwk}, key=STRANGE_RSA),
        "unsupported_header",
    )
    yield "jku, no kid", signed(head={"alg": "RS256", "jku": "https://evil.example"}), "unsupported_header"
    yield "none, and crit", joined(header(alg="none", crit=["exp"]), claims(), b"x"), "unsupported_header"
    # RFC 7797: the payload stands unencoded, so what is signed is not what a reader decodes.
    head, body = b64(raw(header(b64=False, crit=["b64"]))), b64(raw(claims()))
    unencoded = RSA.signature(f"{head}.".encode() + raw(claims()))
    yield "signed unencoded", f"{head}.{body}.{b64(unencoded)}", "unsupported_header"


def _types() -> Cases:
    words = (
        *(
            "jwt",
            "Jwt",
            "jWT",
            "JWT ",
            " JWT",
            "JWT\x00",
            "\uff2a\uff37\uff34",
            "application/jwt",
            "application/JWT",
            "JWS",
            "JWE",
        ),
        *("at+jwt", "application/at+jwt", "AT+JWT", "id+jwt", "logout+jwt", "secevent+jwt"),
        *("application/secevent+jwt",),
        *(
            "dpop+jwt",
            "wpt+jwt",
            "wit+jwt",
            "wimse-id+jwt",
            "txntoken+jwt",
            "txn_token",
            "agentguard-local+jwt",
            "oauth-authz-req+jwt",
        ),
        *(
            "JOSE+JSON",
            "jose",
            "jwt-svid",
            "kb+jwt",
            "dc+sd-jwt",
            "vc+sd-jwt",
            "token-introspection+jwt",
            "",
            "null",
            "+jwt",
            "*/*",
        ),
    )
    for word in words:
        yield f"{word!r}", signed(head=header(typ=word)), "wrong_type"
    for value in (None, 0, 1, True, ["JWT"], {"JWT": 1}, []):
        yield f"{value!r}", signed(head=header(typ=value)), "wrong_type"


def _duplicates() -> Cases:
    heads = (
        ("alg, none first", b'{"alg":"none","alg":"RS256","kid":"r1"}'),
        ("alg, none last", b'{"alg":"RS256","kid":"r1","alg":"none"}'),
        ("alg, alike", b'{"alg":"RS256","alg":"RS256","kid":"r1"}'),
        ("alg, escaped", b'{"alg":"RS256","\\u0061lg":"none","kid":"r1"}'),
        ("alg, escaped in upper case", b'{"alg":"RS256","\\u0061\\u006C\\u0067":"none","kid":"r1"}'),
        ("kid", b'{"alg":"RS256","kid":"zz","kid":"r1"}'),
        ("kid, escaped", b'{"alg":"RS256","kid":"r1","k\\u0069d":"zz"}'),
        ("typ", b'{"alg":"RS256","kid":"r1","typ":"at+jwt","typ":"JWT"}'),
        ("inside", b'{"alg":"RS256","kid":"r1","x":{"a":1,"a":2}}'),
    )
    for name, head in heads:
        yield f"header {name}", signed(head=head), "malformed"
    good = raw(claims())[:-1]
    for name, value in claims(sub="spiffe://example.org/admin", aud="other", exp=NOW + 9_999).items():
        yield f"{name} last", signed(good + f', "{name}": {json.dumps(value)}}}'.encode()), "malformed"
        yield f"{name} first", signed(f'{{"{name}": {json.dumps(value)}, '.encode() + good[1:] + b"}"), "malformed"
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
        yield f"{name} escaped", signed(good + f', "{escaped}": {json.dumps(value)}}}'.encode()), "malformed"
        mixed = name[:-1] + f"\\u{ord(name[-1]):04X}"
        yield f"{name} escaped in part", signed(good + f', "{mixed}": null}}'.encode()), "malformed"
    yield "in an object", signed(good + b', "x": {"a": 1, "a": 1}}'), "malformed"
    yield "in an object in a list", signed(good + b', "x": [[{"a": 1, "\\u0061": 2}]]}'), "malformed"
    yield "an empty name", signed(good + b', "": 1, "": 2}'), "malformed"
    yield "escaped surrogate pairs", signed(good + b', "\\ud83d\\ude00": 1, "\xf0\x9f\x98\x80": 2}'), "malformed"


def _spellings() -> Cases:
    good = signed()
    head, body, signature = good.split(".")
    strange = (
        " ",
        "\t",
        "\n",
        "\r\n",
        "\x00",
        "\x0b",
        "\u00a0",
        "\u200b",
        "\ufeff",
        "\u2028",
        "\u3000",
        "%20",
        "+",
        "/",
        "=",
        "~",
        "!",
    )
    for mark in strange:
        yield f"{mark!r} before", mark + good, "malformed"
        yield f"{mark!r} after", good + mark, "malformed"
        yield f"{mark!r} in the header", f"{head[:5]}{mark}{head[5:]}.{body}.{signature}", "malformed"
        yield f"{mark!r} in the payload", f"{head}.{body[:9]}{mark}{body[9:]}.{signature}", "malformed"
        yield f"{mark!r} in the signature", f"{head}.{body}.{signature[:7]}{mark}{signature[7:]}", "malformed"
        yield f"{mark!r} by a dot", f"{head}{mark}.{body}.{signature}", "malformed"
    for part, name in enumerate(("header", "payload", "signature")):
        # A payload or header of any length: spaces are allowed in JSON, so each remainder can be made.
        parts = _with_spare_bits(part)
        yield f"spare bits in the {name}", ".".join(parts), "malformed"
        padded = _with_remainder(part)
        padded[part] += "=" * (-len(padded[part]) % 4)
        yield f"padding of the {name}", ".".join(padded), "malformed"
        short = good.split(".")
        short[part] = short[part][: len(short[part]) // 4 * 4 - 3]
        yield f"an impossible length of the {name}", ".".join(short), "malformed"
    # Bytes that need both letters of the URL alphabet.
    odd = signed(claims(x="\u00ff\u00bf\u00fb\u00ef?>?>~~"), key=EC)
    plain = odd.replace("-", "+").replace("_", "/")
    yield "the plain base64 alphabet", plain if plain != odd else plain[:-1] + "+", "malformed"
    yield "percent-encoded", urllib.parse.quote(good, safe="").replace(".", "%2E"), "malformed"
    yield "full-width dots", good.replace(".", "\uff0e"), "malformed"
    yield "hexadecimal", ".".join(raw(part).hex() for part in (header(), claims(), b"x")) + "=", "malformed"
    yield "in UTF-16", good.encode("utf-16"), "malformed"
    yield "with a byte order mark", b"\xef\xbb\xbf" + good.encode(), "malformed"
    yield "a letter outside ASCII", "\u0435" + good[1:], "malformed"
    yield "a byte outside ASCII", b"\xff" + good.encode()[1:], "malformed"
    yield "with its scheme", f"Bearer {good}", "malformed"
    yield "in quotes", f'"{good}"', "malformed"
    yield "twice", f"{good}\n{good}", "malformed"
    yield "twice, by a comma", f"{good},{good}", "malformed"


def _with_remainder(part: int) -> list[str]:
    """A signed token whose part leaves spare bits, as its three parts."""
    for spaces in range(3):
        key = OUR_ED if part == 2 else RSA  # 64 bytes of signature leave a remainder of two
        head = raw(header(alg=key.algorithm, kid=key.kid)) + b" " * spaces
        parts = signed(raw(claims()) + b" " * spaces, head, key).split(".")
        if len(parts[part]) % 4:
            return parts
    raise AssertionError("one of three lengths leaves a remainder")


def _with_spare_bits(part: int) -> list[str]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts = _with_remainder(part)
    parts[part] = parts[part][:-1] + alphabet[alphabet.index(parts[part][-1]) + 1]
    return parts


def _not_a_compact_jws() -> Cases:
    good = signed()
    head, body, signature = good.split(".")
    protected = {"protected": head, "payload": body, "signature": signature}
    for name, token in {
        "nothing": "",
        "one dot": ".",
        "two dots": "..",
        "three dots": "...",
        "one part": head,
        "two parts": f"{head}.{body}",
        "two parts and a dot": f"{head}.{body}.",
        "no header": f".{body}.{signature}",
        "no payload": f"{head}..{signature}",
        "four parts": f"{good}.{signature}",
        "four parts, the last empty": f"{good}.",
        "five parts (JWE)": f"{b64(raw({'alg': 'RSA-OAEP', 'enc': 'A256GCM', 'kid': 'r1'}))}.AAAA.AAAA.AAAA.AAAA",
        "five parts, good first": f"{good}.{body}.{signature}",
        "SD-JWT": f"{good}~{b64(b'[1]')}~",
        "JSON, flattened": json.dumps(protected),
        "JSON, general": json.dumps({"payload": body, "signatures": [protected]}),
        "JSON, with a compact token in it": json.dumps({"token": good}),
        "XML": "<saml:Assertion/>",
        "PASETO": "v4.public.eyJzdWIiOiJ4In0",
        "macaroon": "MDAxY2xvY2F0aW9uIGh0dHA6Ly9teWJhbmsv",
        "a nested token": signed(good.encode()),
        "a nested token as JSON text": signed(raw(good)),
    }.items():
        yield name, token, "malformed"
    yield "a nested token, said so", signed(good.encode(), header(cty="JWT")), "unsupported_header"


def _not_json() -> Cases:
    good = raw(claims())
    bodies: dict[str, bytes] = {
        "a list": b"[]",
        "a list of claims": b"[" + good + b"]",
        "text": b'"x"',
        "a number": b"1",
        "null": b"null",
        "true": b"true",
        "nothing but spaces": b"   ",
        "cut short": good[:-1],
        "two objects": good + good,
        "something after": good + b"x",
        "NUL after": good + b"\x00",
        "something before": b"x" + good,
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16-le"),
        "a byte that is no UTF-8": good[:-1] + b', "x": "\xff"}',
        "an overlong letter": good[:-1] + b', "x": "\xc0\xaf"}',
        "a surrogate in UTF-8": good[:-1] + b', "x": "\xed\xa0\x80"}',
        "a trailing comma": good[:-1] + b",}",
        "single quotes": good.replace(b'"', b"'"),
        "a comment": good[:-1] + b"/**/}",
        "a name without quotes": good[:-1] + b", x: 1}",
        "a raw line end in text": good[:-1] + b', "x": "a\nb"}',
        "a bad escape": good[:-1] + b', "x": "\\x41"}',
        "a hexadecimal number": good[:-1] + b', "x": 0x10}',
        "a leading zero": good[:-1] + b', "x": 010}',
        "a leading plus": good[:-1] + b', "x": +1}',
        "a number of five thousand digits": good[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        "NaN": good[:-1] + b', "x": NaN}',
        "Infinity": good[:-1] + b', "x": [Infinity]}',
        "minus Infinity": good[:-1] + b', "x": -Infinity}',
        "exp NaN": raw(without("exp"))[:-1] + b', "exp": NaN}',
        "exp Infinity": raw(without("exp"))[:-1] + b', "exp": Infinity}',
    }
    for name, body in bodies.items():
        yield f"payload {name}", signed(body), "malformed"
    head = raw(header())
    for name, text in {
        "a list": b'["RS256"]',
        "text": b'"RS256"',
        "null": b"null",
        "cut short": head[:-1],
        "something after": head + b"x",
        "a byte order mark": b"\xef\xbb\xbf" + head,
        "a trailing comma": head[:-1] + b",}",
        "single quotes": head.replace(b'"', b"'"),
        "NaN": head[:-1] + b', "x": NaN}',
        "a byte that is no UTF-8": b'{"alg":"RS256","kid":"r1\xff"}',
        "compressed": b"\x78\x9c" + head,
    }.items():
        yield f"header {name}", signed(head=text), "malformed"


def _sizes() -> Cases:
    good = raw(claims())[:-1]
    for name, token in {
        "8 KiB and more of payload": signed(claims(x="A" * 9000)),
        "8 KiB and more of header": signed(head=header(kid="x" * 9000)),
        "8 KiB and more of signature": joined(header(), claims(), b"\x01" * 9000),
        "8 KiB and more of spaces": signed().ljust(8200),
        "a million dots": "." * 1_000_000,
        "33 lists": signed(good + b', "x": ' + b"[" * 32 + b"]" * 32 + b"}"),
        "33 objects": signed(good + b', "x": ' + b'{"x":' * 32 + b"1" + b"}" * 32 + b"}"),
        "two thousand lists": signed(good + b', "x": ' + b"[" * 2000 + b"]" * 2000 + b"}"),
        "two thousand lists in the header": signed(
            head=raw(header())[:-1] + b', "x": ' + b"[" * 2000 + b"]" * 2000 + b"}"
        ),
    }.items():
        yield name, token, "too_large"
    yield "32 deep", signed(good + b', "x": ' + b"[" * 31 + b"]" * 31 + b"}"), ""


def _signatures() -> Cases:
    text = signed(key=EC).rpartition(".")[0]
    pair = EC.signature(text.encode())
    r, s = pair[:32], pair[32:]
    order, zero, one = _ORDER.to_bytes(32, "big"), bytes(32), (1).to_bytes(32, "big")
    der = EC.private.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    for name, forged in {
        "r and s nought": zero + zero,
        "r nought": zero + s,
        "s nought": r + zero,
        "r and s one": one + one,
        "r and s the order": order + order,
        "s the order": r + order,
        "r the order": order + s,
        "all bits set": b"\xff" * 64,
        "r and s exchanged": s + r,
        "DER": der,
        "DER, cut to 64 bytes": der[:64],
        "a byte short": pair[:-1],
        "a byte long": pair + b"\x00",
        "a byte before": b"\x00" + pair,
        "as if on P-384": b"\x00" * 16 + r + b"\x00" * 16 + s,
        "r without its first byte": r[1:] + s,
        "one byte": b"\x00",
        "a bit off": pair[:-1] + bytes([pair[-1] ^ 1]),
    }.items():
        yield f"ES256 {name}", f"{text}.{b64(forged)}", "bad_signature"
    text = signed().rpartition(".")[0]
    data, good, size = text.encode(), RSA.signature(text.encode()), 256
    modulus = RSA.private.public_key().public_numbers().n
    number = int.from_bytes(good, "big")
    for name, forged in {
        "nought": bytes(size),
        "one": (1).to_bytes(size, "big"),
        "the modulus": modulus.to_bytes(size, "big"),
        "the modulus less one": (modulus - 1).to_bytes(size, "big"),
        "negated": (modulus - number).to_bytes(size, "big"),
        "with the modulus added": (modulus + number).to_bytes(size + 1, "big"),
        "a zero before": b"\x00" + good,
        "a zero after": good + b"\x00",
        "a byte short": good[:-1],
        "a bit off": good[:-1] + bytes([good[-1] ^ 1]),
        "over SHA-1": RSA.private.sign(data, padding.PKCS1v15(), hashes.SHA1()),
        "over SHA-512": RSA.signature(data, "RS512"),
        "PSS": RSA.signature(data, "PS256"),
        "over the payload alone": RSA.signature(data.partition(b".")[2]),
        "over the decoded text": RSA.signature(raw(header()) + b"." + raw(claims())),
        "by the EC key": EC.signature(data),
        "text": b"signature",
    }.items():
        yield f"RS256 {name}", f"{text}.{b64(forged)}", "bad_signature"
    text = signed(key=OUR_ED).rpartition(".")[0]
    good = OUR_ED.signature(text.encode())
    group = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(good[32:], "little")
    for name, forged in {
        "nought": bytes(64),
        "the neutral point": b"\x01" + bytes(63),
        "s with the order added": good[:32] + (scalar + group).to_bytes(32, "little"),
        "s alone": good[32:],
        "halves exchanged": good[32:] + good[:32],
        "a byte long": good + b"\x00",
        "a bit off": good[:-1] + bytes([good[-1] ^ 1]),
    }.items():
        yield f"EdDSA {name}", f"{text}.{b64(forged)}", "bad_signature"
    # Parts of good tokens, put together.
    first, second = signed().split("."), signed(claims(jti="j2")).split(".")
    yield "another token's payload", ".".join([first[0], second[1], first[2]]), "bad_signature"
    yield "another token's signature", ".".join([first[0], first[1], second[2]]), "bad_signature"
    plain = b64(raw({"alg": "RS256", "kid": "r1"}))
    yield "another token's header", ".".join([plain, first[1], first[2]]), "bad_signature"
    admin = b64(raw(claims(sub="spiffe://example.org/admin")))
    yield "a changed subject", ".".join([first[0], admin, first[2]]), "bad_signature"
    longer = b64(raw(claims(exp=NOW + 800)))
    yield "a later expiry", ".".join([first[0], longer, first[2]]), "bad_signature"
    yield "an extra space", ".".join([first[0], b64(raw(claims()) + b" "), first[2]]), "bad_signature"


def _issuers() -> Cases:
    for word in (
        *(
            f"{ISSUER}/",
            f"{ISSUER}/tenant",
            f"{ISSUER}//",
            f"{ISSUER}.",
            f"{ISSUER}:443",
            f"{ISSUER}?",
            f"{ISSUER}#",
            f"{ISSUER} ",
        ),
        *(
            f" {ISSUER}",
            f"{ISSUER}\n",
            f"{ISSUER}\x00",
            ISSUER.upper(),
            "https://ISSUER.example.org",
            "HTTPS://issuer.example.org",
        ),
        *(
            "http://issuer.example.org",
            "issuer.example.org",
            "//issuer.example.org",
            f"{ISSUER}.evil.example",
            f"{ISSUER}@evil.example",
        ),
        *(
            "https://evil.example/issuer.example.org",
            "https://issuer.example.org:8443",
            "https://other-tenant.example.org",
            "x",
        ),
        *(
            "https://issuer.ex\u0430mple.org",
            "https://\u0456ssuer.example.org",
            "https://issuer\u3002example.org",
            "https://issuer.example.org\u200b",
        ),
        *(
            "https://issuer%2eexample.org",
            "https://xn--issuer.example.org",
            "https://issuer.example.or",
            "urn:agentguard:local",
            " ",
        ),
    ):
        yield f"{word!r}", signed(claims(iss=word)), "wrong_issuer"
    for value in (None, "", 1, True, [ISSUER], {"iss": ISSUER}, []):
        yield f"{value!r}", signed(claims(iss=value)), "missing_claim"
    yield "absent", signed(without("iss")), "missing_claim"


def _audiences() -> Cases:
    yield "a list of ours alone", signed(claims(aud=[AUDIENCE])), ""
    for value in (
        *(
            [AUDIENCE, "other"],
            ["other", AUDIENCE],
            [AUDIENCE, AUDIENCE],
            [[AUDIENCE]],
            [],
            [None],
            [1],
            [AUDIENCE, None],
            ["*"],
        ),
        *(
            f"{AUDIENCE}/",
            f"{AUDIENCE}/x",
            f"{AUDIENCE}x",
            AUDIENCE[:-1],
            AUDIENCE.upper(),
            "spiffe://Example.org/agentguard",
            "*",
            "",
        ),
        *(
            f" {AUDIENCE}",
            f"{AUDIENCE} ",
            f"{AUDIENCE}\n",
            f"{AUDIENCE}\x00",
            f"{AUDIENCE},other",
            f"{AUDIENCE} other",
            "spiffe://example.org",
        ),
        *(
            "spiffe://example.org.evil.example/agentguard",
            "spiffe://example.org/\u0430gentguard",
            "spiffe://example.org//agentguard",
        ),
        *(
            "spiffe://example.org/%61gentguard",
            "SPIFFE://example.org/agentguard",
            0,
            7,
            True,
            False,
            {AUDIENCE: True},
            {"aud": AUDIENCE},
            {},
        ),
        *(json.dumps([AUDIENCE]), "null", ISSUER, SUBJECT, [f"{AUDIENCE}/"], [AUDIENCE.upper()]),
    ):
        yield f"{value!r}", signed(claims(aud=value)), "wrong_audience"
    yield "null", signed(claims(aud=None)), "missing_claim"
    yield "absent", signed(without("aud")), "missing_claim"


def _subjects() -> Cases:
    for word in (
        f"spiffe://{DOMAIN}/a",
        f"spiffe://{DOMAIN}/A-Z_0.9",
        f"spiffe://{DOMAIN}/a/.b/c..d/...",
        f"spiffe://{DOMAIN}/" + "a" * (2048 - len(f"spiffe://{DOMAIN}/")),
    ):
        yield f"{word[:60]} is one", signed(claims(sub=word)), ""
    for word in (
        *(
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/a//b",
        ),
        *(
            "spiffe://example.org/./a",
            "spiffe://example.org/a/.",
            "spiffe://example.org/../a",
            "spiffe://example.org/a/../b",
            "spiffe://example.org/..",
        ),
        *(
            "spiffe://Example.org/a",
            "spiffe://EXAMPLE.ORG/a",
            "SPIFFE://example.org/a",
            "Spiffe://example.org/a",
            "spiffe:/example.org/a",
        ),
        *(
            "spiffe:///a",
            "spiffe:example.org/a",
            "spiffe//example.org/a",
            "//example.org/a",
            "example.org/a",
            "/a",
            "a",
            " ",
        ),
        *(
            "spiffe://example.org:443/a",
            "spiffe://example.org:/a",
            "spiffe://user@example.org/a",
            "spiffe://user:pw@example.org/a",
            "spiffe://@example.org/a",
        ),
        *(
            "spiffe://example.org/a?x=1",
            "spiffe://example.org/a?",
            "spiffe://example.org?x/a",
            "spiffe://example.org/a#x",
            "spiffe://example.org/a#",
        ),
        *(
            "spiffe://example.org/a%2fb",
            "spiffe://example.org/%61",
            "spiffe://example%2eorg/a",
            "spiffe://example.org/a%00",
            "spiffe://example.org%2fa",
        ),
        *(
            "spiffe://example.org.evil.com/a",
            "spiffe://evil-example.org/a",
            "spiffe://sub.example.org/a",
            "spiffe://example.orgx/a",
            "spiffe://example.or/a",
        ),
        *(
            "spiffe://example.org./a",
            "spiffe://.example.org/a",
            "spiffe://other.example/a",
            "spiffe://evil.example/example.org/a",
            "spiffe://example.org\\/a",
        ),
        *(
            "spiffe://ex\u0430mple.org/a",
            "spiffe://example\u3002org/a",
            "spiffe://example.org/\u00e4",
            "spiffe://example.org/a\u200b",
            "spiffe://example.org/\uff41",
        ),
        *(
            "spiffe://example.org/a\n",
            "\nspiffe://example.org/a",
            "spiffe://example.org/a\x00",
            "spiffe://example.org/a b",
            "spiffe://example.org/a\t",
        ),
        *(
            " spiffe://example.org/a",
            "spiffe://example.org/a ",
            "spiffe://example.org/a\r\n",
            "spiffe://example.org\n/a",
            "spiffe://example.org/\u202eabc",
        ),
        *(
            "spiffe://example.org/a:b",
            "spiffe://example.org/a@b",
            "spiffe://example.org/a;b",
            "spiffe://example.org/a,b",
            "spiffe://example.org/~a",
        ),
        *(
            "spiffe://example.org/a+b",
            "spiffe://example.org/a!b",
            "spiffe://example.org/a'b",
            "spiffe://example.org/(a)",
            "spiffe://example.org/*",
        ),
        *(
            "https://example.org/a",
            "wimse://example.org/a",
            "urn:example.org/a",
            "spiffes://example.org/a",
            "system:serviceaccount:a:b",
        ),
        *(
            "spiffe://example.org/" + "a" * 2048,
            "spiffe://example.org/" + "a" * (2049 - 21),
            "spiffe://" + "a" * 256 + "/a",
            "\ud800",
            "spiffe://example.org/\ud800",
        ),
    ):
        yield f"{ascii(word)[:60]}, {len(word)} long", signed(claims(sub=word)), "wrong_subject"
    for value in (None, "", 0, 1, True, False, [SUBJECT], {"sub": SUBJECT}, [], {}):
        yield f"{value!r}", signed(claims(sub=value)), "missing_claim"
    yield "absent", signed(without("sub")), "missing_claim"


def _times() -> Cases:
    numbers: dict[str, tuple[dict[str, Any], str]] = {
        "exp float": ({"exp": NOW + 100.5}, ""),
        "iat float": ({"iat": NOW - 0.5}, ""),
        "nbf float": ({"nbf": NOW + 29.9}, ""),
        "expired, inside the skew": ({"iat": NOW - 200, "nbf": NOW - 200, "exp": NOW - 29.5}, ""),
        "expired, at the skew": ({"iat": NOW - 200, "nbf": NOW - 200, "exp": NOW - 30}, "expired"),
        "expired a minute ago": ({"iat": NOW - 200, "nbf": NOW - 200, "exp": NOW - 60}, "expired"),
        "expired a year ago": ({"iat": NOW - 31_536_000, "nbf": 0, "exp": NOW - 31_535_900}, "expired"),
        "expired at nought": ({"exp": 0}, "expired"),
        "expired at less than nothing": ({"exp": -0.0}, "expired"),
        "expired at one": ({"exp": 1}, "expired"),
        "expired at a fraction": ({"exp": 1e-300}, "expired"),
        "nbf at the skew": ({"nbf": NOW + 30}, ""),
        "nbf past the skew": ({"nbf": NOW + 31}, "not_yet_valid"),
        "nbf just past the skew": ({"nbf": NOW + 30.5}, "not_yet_valid"),
        "nbf in an hour": ({"nbf": NOW + 3600, "exp": NOW + 800}, "not_yet_valid"),
        "iat at the skew": ({"iat": NOW + 30}, ""),
        "iat past the skew": ({"iat": NOW + 31}, "issued_in_future"),
        "iat in an hour": ({"iat": NOW + 3600, "exp": NOW + 3720}, "issued_in_future"),
        "iat in ten years": ({"iat": NOW + 315_360_000, "exp": NOW + 315_360_060}, "issued_in_future"),
        "as long-lived as may be": ({"exp": NOW + 900}, ""),
        "a second longer": ({"exp": NOW + 901}, "lifetime_too_long"),
        "ten years": ({"exp": NOW + 315_360_000}, "lifetime_too_long"),
        "until the year 9999": ({"exp": 253_402_300_799}, "lifetime_too_long"),
        "two days old": ({"iat": NOW - 172_800, "nbf": NOW - 172_800}, "lifetime_too_long"),
        "since 1970": ({"iat": 0, "nbf": 0}, "lifetime_too_long"),
        "as old as may be": ({"iat": NOW - 300, "nbf": NOW - 300}, ""),
        "a second older": ({"iat": NOW - 301, "nbf": NOW - 301}, "too_old"),
        "ten minutes old": ({"iat": NOW - 600, "nbf": NOW - 600, "exp": NOW + 200}, "too_old"),
        "older, inside what skew would forgive": ({"iat": NOW - 320, "nbf": NOW - 320}, "too_old"),
        "exp before iat": ({"iat": NOW + 20, "exp": NOW + 10}, "invalid_claim"),
        "exp at iat": ({"exp": NOW}, "invalid_claim"),
        "exp before nbf": ({"nbf": NOW + 25, "exp": NOW + 20}, "invalid_claim"),
        "exp at nbf": ({"nbf": NOW + 20, "exp": NOW + 20}, "invalid_claim"),
        "exp huge": ({"exp": 10**30}, "invalid_claim"),
        "exp a second past 9999": ({"exp": 253_402_300_800}, "invalid_claim"),
        "exp in milliseconds": ({"exp": (NOW + 60) * 1000}, "invalid_claim"),
        "iat in milliseconds": ({"iat": NOW * 1000}, "invalid_claim"),
        "exp 2^63": ({"exp": 2**63}, "invalid_claim"),
        "exp 2^64": ({"exp": 2**64}, "invalid_claim"),
        "iat -2^63": ({"iat": -(2**63)}, "invalid_claim"),
    }
    for name, (over, reason) in numbers.items():
        yield name, signed(claims(**over)), reason
    for name in ("exp", "iat", "nbf"):
        for value in (
            -1,
            -NOW,
            True,
            False,
            str(NOW + 60),
            "",
            "never",
            f"{NOW}.0",
            "2026-09-21T14:13:20Z",
            [NOW],
            [],
            {},
            {"$gt": 0},
        ):
            yield f"{name} {value!r}", signed(claims(**{name: value})), "invalid_claim"
        for text in ("1e400", "-1e400", "1e308", "-1e308", "1e12"):
            body = raw(without(name))[:-1] + f', "{name}": {text}}}'.encode()
            yield f"{name} {text}", signed(body), "invalid_claim"
    for name in ("exp", "iat"):
        yield f"{name} absent", signed(without(name)), "missing_claim"
        yield f"{name} null", signed(claims(**{name: None})), "missing_claim"
    yield "nbf null", signed(claims(nbf=None)), "invalid_claim"
    yield "no times", signed(without("iat", "nbf", "exp")), "missing_claim"
    # A number written in another way is the same number.
    yield "exp with an exponent", signed(raw(without("exp"))[:-1] + b', "exp": 1.79000006e9}'), ""


def _identifiers() -> Cases:
    for value in (None, "", 0, 1, True, 1.5, ["j1"], {"jti": "j1"}, []):
        yield f"{value!r}", signed(claims(jti=value)), "missing_claim"
    yield "absent", signed(without("jti")), "missing_claim"
    for value in ("j\n1", "j\x001", "j\u200b1", "j\u202e1", "j\ud8001", "x" * 257, "\x1b[2J", "j\u00a01"):
        yield f"{ascii(value)[:40]}", signed(claims(jti=value)), "invalid_claim"
    for value in ("x" * 256, "j 1", "\u00e4", "../../x", "' OR 1=1 --", "0"):
        yield f"{ascii(value)[:40]}, odd and harmless", signed(claims(jti=value)), ""
    yield "no claims", signed({}), "missing_claim"
    yield "an unrecordable number beside it", signed(claims(x=2**53)), "invalid_claim"
    yield "an unrecordable text beside it", signed(claims(x="\udfff")), "invalid_claim"
