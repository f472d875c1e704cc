"""The keys that verify one issuer's assertions, as its trust names them."""

from __future__ import annotations

import time
from pathlib import Path

from agentguard.core.declarations import IssuerTrust
from agentguard.identity.profiles import PROFILES, uses_of
from agentguard.jose.keys import Clock, JwksStore, published_keys
from agentguard.jose.keyset import SIGNING_USES


def key_source(
    trust: IssuerTrust, directory: str | Path, *, clock: Clock = time.monotonic, before: JwksStore | None = None
) -> JwksStore:
    """The keys an issuer's trust names; a relative file is looked up in ``directory``, the bundle's.

    ``before`` and ConfigurationError are as in ``published_keys``.
    """
    return published_keys(
        f"{trust.source}: issuer `{trust.name}`",
        file=None if trust.keys_file is None else Path(directory) / trust.keys_file,
        url=trust.keys_url,
        algorithms=trust.algorithms,
        uses=uses_of(trust) if trust.profile in PROFILES else SIGNING_USES,
        max_age=trust.keys_max_age,
        clock=clock,
        before=before,
    )
