"""What people say when they take or give back power, checked once for every channel that takes their word."""

from __future__ import annotations

import re

from agentguard.core.people import who as whom
from agentguard.errors import ConfigurationError

MAX_WHY = 2_000
MAX_NAME = 2_048
_CREDENTIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
# Control characters, and spaces around a name: nobody is called so, and a terminal would obey them.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f]|\A\s|\s\Z")
_WHO = re.compile(r"[a-z][a-z0-9-]*:\S.*")


def reason(why: str, named: str = "why") -> str:
    """What stands in the record. Raises ConfigurationError where it is no text, or too long to be a reason."""
    if not isinstance(why, str):
        raise ConfigurationError(f"{named}: expected a text, found {type(why).__name__}")
    if len(why) > MAX_WHY:
        raise ConfigurationError(f"{named}: at most {MAX_WHY} characters, found {len(why)}")
    return why


def who(by: str) -> str:
    """Who does it, with the kind of their name. Raises ConfigurationError."""
    if not _is_name(by) or _WHO.fullmatch(by) is None:
        raise ConfigurationError(f"by: {_quoted(by)} does not say who does it; expected such as user:dana")
    return by


def subject(name: str) -> str:
    """A workload or person, in any spelling that means them. Raises ConfigurationError."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or _ODD.search(name) or not _is_name(whom(name)):
        raise ConfigurationError(f"{_quoted(name)} is not a subject; expected such as spiffe://corp.example/agent/x")
    return name


def credential(name: str) -> str:
    """A credential, as Tools writes it. Raises ConfigurationError."""
    if not isinstance(name, str) or _CREDENTIAL.fullmatch(name) is None:
        raise ConfigurationError(f"{_quoted(name)} is not a credential's name; expected letters, digits and . _ / -")
    return name


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name == name.strip() and name.isprintable()


def _quoted(name: object) -> str:
    return f"`{name[:100]}`" if isinstance(name, str) else type(name).__name__
