"""What ``Guard.load`` takes, so that an option of a wrong kind is refused at once and not in the middle of a call."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from agentguard.errors import ConfigurationError
from agentguard.ledger import is_address, without_password


def _is_place(value: object) -> bool:
    """Whether it names a place on the disk. An empty text, as of a variable that is not set, is no place."""
    return isinstance(value, str | os.PathLike) and os.fspath(value) not in ("", b"") and "\0" not in str(value)


def _is_ledger(value: object) -> bool:
    """A ledger, or where one is. The address of a database would be taken for the name of a file."""
    if isinstance(value, str | os.PathLike) and is_address(value):
        return False
    return _is_place(value) or callable(getattr(value, "admit", None))


# What each option must be, and how to say so. Anything else would fail in the middle of a call, or be misunderstood.
_OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "directory": (_is_place, "the directory that holds the policy"),
    "home": (_is_place, "a directory"),
    "candidate": (_is_place, "the directory that holds the policy to try out"),
    "ledger": (
        _is_ledger,
        "the path of a file, not an address; a test without one uses `agentguard.testing.in_memory_guard`",
    ),
    "identity": (
        lambda value: callable(value) or callable(getattr(value, "assertion", None)),
        "a source of assertions: a function, FileSource, EnvironmentSource or another with a method `assertion`",
    ),
    "issuer": (lambda value: isinstance(value, str), "the name of an issuer in Trust"),
    "subject": (lambda value: isinstance(value, str), "a subject of the local issuer in Trust"),
    "wait": (
        lambda value: isinstance(value, timedelta) and value >= timedelta(0),
        "a timedelta, such as timedelta(minutes=5), or None",
    ),
    "clock": (callable, "a function that gives the time, with its zone"),
    "elapsed": (callable, "a function that gives the seconds passed, such as time.monotonic"),
    "log": (
        lambda value: isinstance(value, bool) or callable(getattr(value, "write", None)),
        "True, or an open text file",
    ),
}
# None is the default of every other.
_NEEDED = ("directory", "clock")


def check_options(**given: object) -> None:
    """Raises ConfigurationError for the first option that is not what it must be."""
    for name, value in given.items():
        fits, expected = _OPTIONS[name]
        if fits(value) or (value is None and name not in _NEEDED):
            continue
        # A token given in the place of its source is not repeated.
        found = type(value).__name__ if name == "identity" else reprlib.repr(value)
        if name == "ledger" and isinstance(value, str | os.PathLike) and is_address(value):
            found = without_password(value)
        raise ConfigurationError(f"{name}={found}: expected {expected}")
