"""How often a step was called, where it is counted for each value of an argument, or by what came of the calls.

The rules:

1. A call counts from its admission. One that is under way, or whose outcome nobody knows, counts as one that succeeded.
2. Where successes are counted, a call that failed is given back, and only where a failure did nothing: of a tool that
   reads, or whose declaration says so.
3. Values are counted by digests under the run's salt: what was counted can be read from no record.
4. A text counts without case, width, spaces and what nobody sees, so that no spelling makes another value.
   Destinations have their canonical form already. A whole number may be written with decimals, and as text.
5. So many different values are counted for a step of one run, and no more: past that, nothing new is permitted.

Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agentguard.core.canonical import canonical_bytes, commitment
from agentguard.core.text.readings import is_unseen
from agentguard.core.values import Json

# A run that changes a thousand different orders is no single task; each digest is kept while the run is.
MOST_VALUES = 1_000
# Values of one call.
MOST_AT_ONCE = 100
_DIGITS = 32
# Spaces of every kind, and control characters.
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class Tally(NamedTuple):
    """Calls of a step, or of a step for one value: ``taken`` by admission, ``done`` with success, given ``back`` by a
    failure that did nothing."""

    taken: int = 0
    back: int = 0
    done: int = 0

    @property
    def standing(self) -> int:
        """Those that happened or may have happened."""
        return self.taken - self.back

    @property
    def is_certain(self) -> bool:
        """Whether it is known of each call what came of it."""
        return self.taken == self.back + self.done


NEVER = Tally()
# Where the run's salt stands among the tallies that conditions look up: no key is empty.
SALT = ""


def key_of(step: str, value: Json, salt: str) -> str:
    """What stands for a step and one value of the argument that it is counted by."""
    if isinstance(value, str):
        value = _folded(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = canonical_bytes(value).decode()
    found = commitment(salt, canonical_bytes([step, value]))
    return f"{step} {found.removeprefix('sha256:')[:_DIGITS]}"


def _folded(text: str) -> str:
    """Without case, width, spaces, and what nobody sees."""
    if not text.isascii():
        text = "".join(sign for sign in unicodedata.normalize("NFKC", text) if not is_unseen(ord(sign)))
        text = unicodedata.normalize("NFKC", text.casefold())
    return _SPACES.sub("", text.casefold())


def keys_of(step: str, value: Json, salt: str) -> Sequence[str] | None:
    """One for each different value; of a list, each element is one. None where there is nothing to count by, or too
    much. Raises NotCanonical for what is not JSON."""
    values = value if isinstance(value, list) else [value]
    if not values or len(values) > MOST_AT_ONCE:
        return None
    return sorted({key_of(step, each, salt) for each in values})


def is_full(step: str, tallies: Mapping[str, Tally]) -> bool:
    """Whether so many different values of a step were counted that no new one is."""
    return len(tallies) >= MOST_VALUES and sum(key.startswith(f"{step} ") for key in tallies) >= MOST_VALUES
