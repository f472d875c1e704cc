"""Names that nobody can guess and nothing had before: ids of tokens, decisions and questions."""

from __future__ import annotations

import os
from collections import deque

_BYTES = 16
# Asking the system lets other threads run first, which under load takes longer than everything else about a call.
_AT_ONCE = 256

_drawn: deque[str] = deque()
# A forked child must not hand out what its parent will.
os.register_at_fork(after_in_child=_drawn.clear)


def nonce() -> str:
    """128 random bits in hex, from the operating system. Never the same twice, also after a fork."""
    while True:
        try:
            return _drawn.popleft()
        except IndexError:
            _drawn.extend(os.urandom(_BYTES * _AT_ONCE).hex("-", _BYTES).split("-"))
