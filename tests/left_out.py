"""Looks for what must not be in a text, without depending on chance.

Records, logs and listings are full of digests, salts and ids: hexadecimal digits that are other ones on each run. A PIN
of four digits is found in them by chance, about once in forty runs.
"""

from __future__ import annotations

_DIGITS = frozenset("0123456789abcdefABCDEF")


def left_out(text: str, *secrets: str) -> bool:
    """Whether none of these is in the text. Each holds a letter or sign that no digest has, or is as long as a salt."""
    for secret in secrets:
        by_chance = set(secret) <= _DIGITS and len(secret) < 16
        assert not by_chance, f"{secret!r} may be in the text by chance: put another letter or sign into it"
    return not any(secret in text for secret in secrets)
