"""Keys of runs: what is one, and what the caller is told where the run of a key is not theirs to go on with."""

from __future__ import annotations

from agentguard.core.credentials import without_credentials
from agentguard.errors import ConfigurationError
from agentguard.guard.records import MAX_NAME
from agentguard.ledger import NotOpened, WhyNot


def checked_key(key: object) -> str:
    """The key, if it is one. Raises ConfigurationError, without the key itself."""
    if not isinstance(key, str):
        raise ConfigurationError(f"key={type(key).__name__}: expected text, such as `thread-42`")
    key = str.__str__(key)
    if not key or len(key) > MAX_NAME:
        raise ConfigurationError(f"the key has {len(key)} characters; expected 1 to {MAX_NAME}")
    # Two keys that look alike are two runs: what nobody can see would make a second one of the same key.
    if not key.isprintable() or key != key.strip():
        raise ConfigurationError("the key holds what nobody can see: control characters, or spaces around it")
    if without_credentials(key) != key:
        raise ConfigurationError("the key looks like a credential, and stands in records; use an id of your own")
    return key


def differs(found: NotOpened) -> ConfigurationError:
    """What is said to whoever opened the key with something else."""
    if found.why is WhyNot.OTHER_INPUTS:
        return ConfigurationError(
            f"the run of this key, `{found.run_id}`, was opened with other inputs; give the same ones, end that run "
            "first, or use another key"
        )
    return ConfigurationError(
        f"the run of this key, `{found.run_id}`, was opened for the same subject and requester in another spelling; "
        "write them as it was opened"
    )
