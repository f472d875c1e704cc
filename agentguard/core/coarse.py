"""Outsiders' text past what is kept letter by letter: a set of its short pieces, which can only say "may hold".

A text holds a value only if it holds every piece of six letters of that value. The pieces stand as bits in a set of
fixed size, so two pieces can share a bit: the answer "no" is always true, the answer "yes" may be false. A value that
is shorter than a piece may be held by any text. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

# Letters and digits in one piece, and bits in the set: measured in docs/policy.md.
PIECE = 6
BITS = 1 << 21


@dataclass(frozen=True, slots=True)
class Coarse:
    """What outsiders wrote, in pieces. ``first``: for each tool, the first call whose text is in it."""

    first: Mapping[str, int]
    bits: bytes

    def after(self, tool: str, order: int, bits: bytes) -> Coarse:
        """With one more text."""
        first = {**self.first, tool: min(order, self.first.get(tool, order))}
        both = int.from_bytes(self.bits, "little") | int.from_bytes(bits, "little")
        return Coarse(first, both.to_bytes(BITS // 8, "little"))

    def may_hold(self, tool: str, spelling: str) -> bool:
        """Whether a text of this tool holds this, or may. A spelling as ``core.provenance`` compares them."""
        if tool not in self.first:
            return False
        if len(spelling) < PIECE:
            return True
        salt = crc32(tool.encode())
        places = (_bit(spelling[at : at + PIECE], salt) for at in range(len(spelling) - PIECE + 1))
        return all(self.bits[place >> 3] >> (place & 7) & 1 for place in places)


NOTHING_COARSE = Coarse({}, bytes(BITS // 8))


def pieces_of(tool: str, text: str) -> bytes:
    """The bits of every piece of a text."""
    salt, bits = crc32(tool.encode()), bytearray(BITS // 8)
    for line in text.split("\n"):
        for piece in {line[at : at + PIECE] for at in range(len(line) - PIECE + 1)}:
            place = _bit(piece, salt)
            bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


def _bit(piece: str, salt: int) -> int:
    return crc32(piece.encode("utf-8", "surrogatepass"), salt) % BITS
