"""Who sits at this terminal, as the operating system says. There is no flag or variable to claim another name."""

from __future__ import annotations

import os
import re

from agentguard.errors import ConfigurationError

# POSIX portable names, and what directory services add to them (`corp.alice`, `alice@corp.example`).
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}")


def account() -> str:
    """``user:NAME`` of the account this process was started by. Raises ConfigurationError where there is none."""
    try:
        import pwd
    except ImportError:
        raise ConfigurationError(
            "this system has no account database, so nobody can be identified here; answer on a POSIX host"
        ) from None
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        raise ConfigurationError(f"no account has the user id {uid}; sign in with an account that has a name") from None
    if _ACCOUNT.fullmatch(name) is None:
        raise ConfigurationError(
            f"the account of user id {uid} has a name that cannot be recorded; expected letters, digits and . _ @ -"
        )
    return f"user:{name}"
