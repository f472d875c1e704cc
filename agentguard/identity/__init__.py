"""Who calls, proved for each call: assertions become verified identities, or a reason why not."""

from agentguard.identity.jose import MAX_TOKEN_BYTES
from agentguard.identity.keys import JwksStore, key_source
from agentguard.identity.keyset import KeySet, KeySource
from agentguard.identity.local import LocalIssuer, local_trust
from agentguard.identity.sources import (
    AssertionRequest,
    AssertionSource,
    CallableSource,
    EnvironmentSource,
    FileSource,
    Source,
    obtain,
)
from agentguard.identity.verify import Assertion, Verifier

__all__ = [
    "MAX_TOKEN_BYTES",
    "Assertion",
    "AssertionRequest",
    "AssertionSource",
    "CallableSource",
    "EnvironmentSource",
    "FileSource",
    "JwksStore",
    "KeySet",
    "KeySource",
    "LocalIssuer",
    "Source",
    "Verifier",
    "key_source",
    "local_trust",
    "obtain",
]
