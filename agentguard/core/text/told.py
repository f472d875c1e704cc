"""What the tools of one run returned and were given, as marks; and which marks are one tool's alone.

Pure. A mark of a text is *out of* a listed tool if that tool returned it, and

- the run's inputs do not hold it, and
- no tool was given it before, or in, the call that first returned it: who wrote that knew it already. Only the first
  marks that a run gives count, so that nobody gives every name there is; and
- no other tool returned it, unless that may be what it was given (an echo): then some call until then had it in its
  arguments, or one had not ended, so that nobody knows.

Past the bounds the exact marks of what came last are given up for a filter that can only say "may hold". What may be
out of a listed tool counts as out of it, and what may be another tool's does not count as that.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

# Bytes of one mark.
SIZE = 8
# Marks of one run that are held exactly, of eight bytes each; some 3 MiB of ordinary mail.
MAX_MARKS = 60_000
# The filter for what comes after: with 100,000 more marks 1 of 100 unknown words may be held, with 250,000 1 of 7.
FILTER_BITS = 1 << 20
_PROBES = 4
# Calls of one run. Past it nothing more is told apart.
MAX_CALLS = 5_000

# So many marks, the first that were given to tools in a run, may be what the model knew before it read anything.
MAX_KNOWN = 200

_GIVEN = ""


@dataclass(frozen=True, slots=True)
class Returned:
    """One call's result, when so many calls had been admitted. ``own``: the call succeeded."""

    tool: str
    call: int
    ended: int
    returned: frozenset[bytes]
    given: frozenset[bytes]
    own: bool = True


@dataclass(frozen=True, slots=True)
class Telling:
    """What one call brings. ``lost``: what it returned could not be read."""

    tool: str
    call: int
    returned: frozenset[bytes] = frozenset()
    given: frozenset[bytes] = frozenset()
    own: bool = True
    lost: bool = False

    def gone(self) -> Telling:
        """The same call, when what it brought could not be stored."""
        return Telling(self.tool, self.call, own=False, lost=True)


@dataclass(frozen=True, slots=True)
class Told:
    """Everything so far, oldest first. ``coarse``: the filter, empty while there is none. ``lost``: tools of which
    something could not be read. ``ended``: the numbers of the calls that have ended."""

    calls: tuple[Returned, ...] = ()
    coarse: bytes = b""
    lost: frozenset[str] = frozenset()
    ended: frozenset[int] = frozenset()

    def after(self, telling: Telling, admitted: int) -> Told:
        """With one more call that ended when so many had been admitted."""
        if len(self.ended) >= MAX_CALLS:
            return Told(self.calls, self.coarse, self.lost | {telling.tool}, self.ended)
        ended = self.ended | {telling.call}
        lost = self.lost | {telling.tool} if telling.lost else self.lost
        one = Returned(telling.tool, telling.call, admitted, telling.returned, telling.given, telling.own)
        held = sum(len(call.returned) + len(call.given) for call in self.calls)
        if held + len(one.returned) + len(one.given) <= MAX_MARKS:
            calls = (*self.calls, one) if one.returned or one.given else self.calls
            return Told(calls, self.coarse, lost, ended)
        coarse = bytearray(self.coarse or bytes(FILTER_BITS // 8))
        for source, marks in ((one.tool, one.returned), (_GIVEN, one.given)):
            for bit in (bit for mark in marks for bit in _bits(source, mark)):
                coarse[bit >> 3] |= 1 << (bit & 7)
        return Told(self.calls, bytes(coarse), lost, ended)

    def out_of(self, listed: frozenset[str], mark: bytes, admitted: int, *, certainly: bool = False) -> bool:
        """Whether this mark is, or may be, out of a listed tool and from nowhere else. Inputs are not known here."""
        first = self._first(listed, mark, certainly)
        if first is None:
            return False
        if self._was_known(mark, first):
            return False
        others = [call for call in self.calls if call.tool not in listed and call.own and mark in call.returned]
        return not any(self._is_own(call, mark, admitted) for call in others)

    def _was_known(self, mark: bytes, first: int) -> bool:
        """Whether the mark was given to a tool until then, among the first that were."""
        given = 0
        for call in sorted((call for call in self.calls if call.given), key=lambda call: call.call):
            given += len(call.given)
            if call.call > first or given > MAX_KNOWN:
                return False
            if mark in call.given:
                return True
        return False

    def returned_by(self, tool: str, mark: bytes, admitted: int) -> bool:
        """Whether this tool certainly returned the mark, not only said again what it was given."""
        mine = [call for call in self.calls if call.tool == tool and call.own and mark in call.returned]
        return any(self._is_own(call, mark, admitted) for call in mine)

    def _is_own(self, returned: Returned, mark: bytes, admitted: int) -> bool:
        """Whether nothing that was given to a tool until then can be what this one says again."""
        if self._may_hold(_GIVEN, mark) or any(
            call.call <= returned.ended and mark in call.given for call in self.calls
        ):
            return False
        return all(call in self.ended for call in range(1, min(returned.ended, admitted) + 1))

    def _first(self, listed: frozenset[str], mark: bytes, certainly: bool) -> int | None:
        """The first call of a listed tool that returned it, or may have; None where none did. What is not known to be
        later was first of all."""
        if not certainly and (
            self.lost & (listed | {_EVERY_TOOL}) or any(self._may_hold(tool, mark) for tool in listed)
        ):
            return 0
        return min((call.call for call in self.calls if call.tool in listed and mark in call.returned), default=None)

    def _may_hold(self, source: str, mark: bytes) -> bool:
        return bool(self.coarse) and all(self.coarse[bit >> 3] >> (bit & 7) & 1 for bit in _bits(source, mark))


NOTHING_TOLD = Told()
_EVERY_TOOL = "*"
EVERYTHING_LOST = Told(lost=frozenset({_EVERY_TOOL}))


def _bits(source: str, mark: bytes) -> list[int]:
    """Where a mark of one source stands in the filter."""
    drawn = blake2b(mark, digest_size=4 * _PROBES, key=source.encode()[:64]).digest()
    return [int.from_bytes(drawn[at : at + 4]) % FILTER_BITS for at in range(0, len(drawn), 4)]
