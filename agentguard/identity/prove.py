"""The caller's side of proof of possession: sign, for each call, a proof that covers the call's digest."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from inspect import isawaitable
from typing import Any

from agentguard.core.values import Json, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity.proof import DPOP_METHOD, encoded, hash_of
from agentguard.identity.sources import AssertionRequest, AssertionSource
from agentguard.identity.verify import Assertion
from agentguard.jose.keyset import public_key, signing_method
from agentguard.jose.nonce import nonce

# A proof is made for one call that is under way.
LIFETIME_SECONDS = 60.0
_SECRET = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class Prover:
    """Makes ``wpt`` or ``dpop`` proofs with one private JWK, which must name its ``alg``.

    Raises ConfigurationError for a key that cannot sign.
    """

    def __init__(self, private_jwk: Mapping[str, Json], kind: str = "wpt") -> None:
        from joserfc.errors import JoseError
        from joserfc.jwk import JWKRegistry

        public = {name: value for name, value in private_jwk.items() if name not in _SECRET}
        algorithm = private_jwk.get("alg")
        usable = public_key(public, default_kid="proof")
        if usable is None or not isinstance(algorithm, str) or "d" not in private_jwk:
            raise ConfigurationError("a proof needs a private JWK (RSA, EC or OKP) that names its `alg`")
        if kind not in {"wpt", "dpop"}:
            raise ConfigurationError(f"`{kind}` is not a kind of proof; expected wpt or dpop")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._key: Any = JWKRegistry.import_key(dict(private_jwk))  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError) as error:
            raise ConfigurationError(f"the private JWK cannot be used: {type(error).__name__}") from None
        self._algorithm, self._public, self._kind = algorithm, public, kind
        self._sign = signing_method(algorithm).sign

    def prove(self, token: str | bytes, request: AssertionRequest, now: datetime) -> str:
        """A proof for this token and this call."""
        # Rounded down: a proof from half a millisecond ahead is refused where no skew is granted.
        issued = math.floor(now.timestamp() * 1000) / 1000
        hashed = hash_of(token.encode() if isinstance(token, str) else token)
        claims: dict[str, Json] = {
            "iat": issued,
            "jti": nonce(),
            "request_digest": request.request_digest,
        }
        header: dict[str, Json] = {"alg": self._algorithm, "typ": f"{self._kind}+jwt"}
        if self._kind == "wpt":
            claims |= {"aud": request.audience, "exp": issued + LIFETIME_SECONDS, "wth": hashed}
        else:
            claims |= {"htm": DPOP_METHOD, "htu": request.audience, "ath": hashed}
            header |= {"jwk": self._public}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{encoded(self._sign(signed.encode(), self._key))}"


class ProvingSource:
    """Adds a fresh proof to each token that another source obtains."""

    def __init__(self, source: AssertionSource, prover: Prover, now: Callable[[], datetime]) -> None:
        self.may_block = getattr(source, "may_block", False) is True
        self._source = source
        self._prover = prover
        self._now = now

    def assertion(self, request: AssertionRequest) -> Assertion | Unavailable | Awaitable[Assertion | Unavailable]:
        """The token and its proof."""
        answer = self._source.assertion(request)
        return self._later(answer, request) if isawaitable(answer) else self._with_proof(answer, request)

    async def _later(
        self, answer: Awaitable[str | Assertion | Unavailable], request: AssertionRequest
    ) -> Assertion | Unavailable:
        return self._with_proof(await answer, request)

    def _with_proof(self, answer: str | Assertion | Unavailable, request: AssertionRequest) -> Assertion | Unavailable:
        if isinstance(answer, Unavailable):
            return answer
        token = answer.token if isinstance(answer, Assertion) else answer
        return Assertion(token, self._prover.prove(token, request, self._now()))
