"""The values of one decision in the runtime's form, taken in as conditions ask for them.

The runtime cuts text at a NUL, so that ``"a\\0b" == "a"`` holds there, and raises on lone surrogates. Values that hold
either, or that are not JSON, never reach it: a condition that reads their name faults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from agentguard.core.policy import Fault
from agentguard.policy.cel.runtime import RUNTIME

_MAX_INTEGER = 2**63 - 1


class Prepared:
    """Those names of one view that its conditions have read so far. All of them are clean."""

    __slots__ = ("activation", "held", "names", "sizes", "steps")

    def __init__(self, steps: tuple[str, ...]) -> None:
        self.steps = steps
        self.names: dict[str, Any] = {}
        # How many values each name holds, and all of them.
        self.sizes: dict[str, int] = {}
        self.held = 0
        self.activation: Any = None

    def add(self, roots: Iterable[str], view: Mapping[str, Any]) -> Fault | None:
        """Take in what is not there yet, or say why that cannot be used."""
        self.activation = None  # made again from all the names, also after a name that could not be used
        for root in roots:
            if root in self.names:
                continue
            if root not in view:
                return Fault(f"{root} is not known")
            size = _looked_through(root, view[root])
            if isinstance(size, str):
                return Fault(size)
            self.sizes[root] = size
            self.held += size
            self.names[root] = _plain(root, view[root], self.steps)
        self.activation = RUNTIME.Activation(self.names)
        return None

    def has(self, roots: frozenset[str]) -> bool:
        """Whether all of them were taken in, and stand in the activation."""
        return self.activation is not None and roots <= self.names.keys()


def _plain(root: str, value: Any, steps: tuple[str, ...]) -> Any:
    """A value as the runtime takes it: real dicts; a step that was not called yet counts nought."""
    if root == "counts":
        return {**dict.fromkeys(steps, 0), **value}
    return dict(value) if type(value) is not dict and isinstance(value, Mapping) else value


def _looked_through(root: str, value: Any) -> int | str:
    """How many values there are, or why they must not reach the runtime. Walks without recursion."""
    if root == "now":
        return 1 if type(value) is datetime and value.utcoffset() == timedelta(0) else "now is not a time in UTC"
    pending = [value]
    count = 0
    while pending:
        item = pending.pop()
        count += 1
        kind = type(item)
        if kind is str:
            if not item.isascii() and not is_encodable(item):
                return f"{root} holds a lone surrogate"
            if "\0" in item:
                return f"{root} holds a NUL character"
        elif kind is int:
            if not -_MAX_INTEGER <= item <= _MAX_INTEGER:
                return f"{root} holds an integer beyond 64 bits"
        elif kind is dict:
            try:
                pending.append("".join(item))  # what holds for all its keys together holds for each
            except TypeError:
                return f"{root} holds a key that is not text"
            pending += item.values()
        elif kind is list:
            pending += item
        elif kind is float:
            if item - item != 0.0:
                return f"{root} holds a number that is not finite"
        elif item is not None and kind is not bool:
            return f"{root} holds {kind.__name__}, which is not JSON"
    return count


def is_encodable(text: str) -> bool:
    """Whether a text has a form in UTF-8."""
    try:
        text.encode("utf-8", "strict")
    except UnicodeEncodeError:
        return False
    return True
