"""Who calls, proved for each call: assertions become verified identities, or a reason why not."""

from agentguard.identity.in_process import InProcessIssuer
from agentguard.identity.keys import key_source
from agentguard.identity.local import LocalIssuer, local_trust
from agentguard.identity.platforms import CommandSource, GitHubActionsSource, KubernetesSource, SpiffeSource
from agentguard.identity.profiles import could_assert
from agentguard.identity.prove import Prover, ProvingSource
from agentguard.identity.sources import (
    AssertionRequest,
    AssertionSource,
    CallableSource,
    EnvironmentSource,
    FileSource,
    obtain,
    obtain_async,
)
from agentguard.identity.verify import IN_PROCESS, Assertion, Verifier
from agentguard.jose.compact import MAX_TOKEN_BYTES
from agentguard.jose.keys import JwksStore
from agentguard.jose.keyset import KeySet, KeySource

__all__ = [
    "IN_PROCESS",
    "MAX_TOKEN_BYTES",
    "Assertion",
    "AssertionRequest",
    "AssertionSource",
    "CallableSource",
    "CommandSource",
    "EnvironmentSource",
    "FileSource",
    "GitHubActionsSource",
    "InProcessIssuer",
    "JwksStore",
    "KeySet",
    "KeySource",
    "KubernetesSource",
    "LocalIssuer",
    "Prover",
    "ProvingSource",
    "SpiffeSource",
    "Verifier",
    "could_assert",
    "key_source",
    "local_trust",
    "obtain",
    "obtain_async",
]
