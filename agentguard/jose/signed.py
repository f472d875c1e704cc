"""Whose signature a compact JWS bears: the type, the key and the algorithm first, then the signature itself.

1. ``typ`` is one of those expected, exactly.
2. ``kid`` is text, not revoked, and names a key of the pinned set.
3. ``alg`` is what that key is for; a symmetric key only where one is expected.
4. The signature, by joserfc. Where it is wrong, the keys are read anew if they may be (an issuer can put another key
   under an old name), and the whole is judged once more by a key that has changed.
"""

from __future__ import annotations

from collections.abc import Container

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.jose.compact import Compact
from agentguard.jose.keyset import KeySource, VerificationKey
from agentguard.jose.refusal import Refused, shown


def signing_key(
    compact: Compact,
    *,
    types: Container[str | None],
    keys: KeySource,
    revoked: frozenset[str],
    symmetric: bool = False,
    may_name_none: bool = False,
) -> VerificationKey:
    """The key that signed it. None among ``types`` means that the header may leave ``typ`` out. Raises Refused.

    ``may_name_none``: a header without ``kid`` means the only key of the set.
    """
    key = _named_key(compact, types, keys, revoked, may_name_none)
    try:
        _judge(compact, key, symmetric)
    except Refused as refusal:
        if refusal.reason is not Reason.ASSERTION_BAD_SIGNATURE:
            raise
        fresh = keys.anew(key)
        if fresh is None:
            raise
        key = fresh
        _judge(compact, key, symmetric)
    return key


def _judge(compact: Compact, key: VerificationKey, symmetric: bool) -> None:
    if key.symmetric is not symmetric:
        raise Refused(Reason.ASSERTION_BAD_ALGORITHM, "only a local issuer's key may be symmetric")
    algorithm = compact.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in key.algorithms:
        raise Refused(
            Reason.ASSERTION_BAD_ALGORITHM, f"`alg` is {shown(algorithm)}, not what key {shown(key.kid)} is for"
        )
    if not key.verifies(algorithm, compact.signing_input, compact.signature):
        raise Refused(Reason.ASSERTION_BAD_SIGNATURE, f"the signature is not by key {shown(key.kid)}")


def _named_key(
    compact: Compact, types: Container[str | None], keys: KeySource, revoked: frozenset[str], may_name_none: bool
) -> VerificationKey:
    kind = compact.header.get("typ")
    if (not isinstance(kind, str) and "typ" in compact.header) or kind not in types:
        raise Refused(Reason.ASSERTION_WRONG_TYPE, f"`typ` is {shown(kind)}")
    kid = compact.header.get("kid")
    if may_name_none and "kid" not in compact.header:
        only = keys.only()
        kid = None if only is None else only.kid
    if not isinstance(kid, str):
        raise Refused(Reason.ASSERTION_UNKNOWN_KEY, "the header names no key: `kid` must be text")
    if kid in revoked:
        raise Refused(Reason.ASSERTION_REVOKED_KEY, f"key {shown(kid)} is revoked")
    key = keys.find(kid)
    if isinstance(key, Unavailable):
        raise Refused(key.reason, key.detail)
    return key
