"""Where the values of a call stood before, by path: what somebody needs who learns a policy from records.

A record holds no results. So while a run is observed, the process that makes its calls remembers where the texts and
numbers of each result stood, and the record of a later call says of each argument in which places exactly it was seen:
``inputs.payee``, ``list_files[*].id``. It says paths and never a value. A path that begins with ``~`` is one that
outsiders can write. What a tool only gives back of what it was asked is no place.

Nothing of this stands in the ledger: a run that another process goes on with has lost it, and its records say
so by null.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agentguard.core.credentials import without_credentials
from agentguard.core.values import Json
from agentguard.guard.names import MAX_VALUES, names_in
from agentguard.guard.result_paths import ResultPath

# Of so many values a run remembers where they stood, and so many paths; past it a record says null: not known.
MAX_PATHS = 500
# Parts of one argument, and places named for it.
_MOST_PARTS = 100
_MOST_PLACES = 20


class SeenIn:
    """What one run has seen so far, as this process knows it."""

    __slots__ = ("_at", "_full", "_values")

    def __init__(self) -> None:
        self._at: dict[str, set[tuple[bool, Any]]] = {}
        self._values = 0
        self._full = False

    def remember(
        self,
        tool: str,
        result: Any,
        given: Mapping[str, Json],
        outsiders: Sequence[ResultPath] = (),
        *,
        whole: bool = True,
    ) -> None:
        """What a call returned that was given these arguments. Not ``whole``: the result was not seen. Never raises."""
        if not whole:
            self._full = True
            return
        # What reads results of any kind takes long to import, and only observed runs need it.
        from agentguard.guard.result_places import places_in

        echoed = {_key(leaf) for leaf in names_in(dict(given), _MOST_PARTS)}
        try:
            for path, leaf in places_in(tool, result, tuple(outsiders)):
                key = _key(leaf)
                if key not in echoed:
                    self._put(path, key)
        except Exception:  # a result of any kind
            self._full = True

    def _put(self, path: str, key: tuple[bool, Any]) -> None:
        held = self._at.get(path)
        if held is None:
            if len(self._at) >= MAX_PATHS:
                self._full = True
                return
            held = self._at[path] = set()
        if key in held:
            return
        if self._values >= MAX_VALUES:
            self._full = True
            return
        held.add(key)
        self._values += 1

    def of(
        self, arguments: Mapping[str, Json], inputs: Mapping[str, Json], hidden: Collection[str] = ()
    ) -> dict[str, list[str]] | None:
        """In which places each argument was seen: of a list or an object, all of it. None: not everything is known.

        ``hidden``: arguments that no record holds, of which nothing is said here either.
        """
        if self._full:
            return None
        given = {f"inputs.{name}": set(map(_key, names_in(value, MAX_VALUES))) for name, value in inputs.items()}
        places = {**given, **self._at}
        found: dict[str, list[str]] = {}
        for name, value in arguments.items():
            keys = {_key(leaf) for leaf in names_in(value, _MOST_PARTS + 1)}
            if not keys or len(keys) > _MOST_PARTS or name in hidden or without_credentials(name) != name:
                continue
            holding = [path for path, held in places.items() if keys <= held]
            if holding:
                found[name] = holding[:_MOST_PLACES]
        return found


def _key(leaf: Json) -> tuple[bool, Any]:
    """One text or number, so that ``5`` is ``5.0`` and neither is ``"5"``."""
    return isinstance(leaf, str), leaf
