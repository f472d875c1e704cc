"""What the tool's types made of what was given: where they made another value, or one of another type."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from numbers import Number
from typing import Any

from pydantic import BaseModel, RootModel
from pydantic_core import TzInfo

from agentguard.guard.arguments.misfits import Misfit
from agentguard.guard.arguments.parts import ABSENT, DEEPEST, beside, fields, members, state
from agentguard.guard.arguments.same import JSON_KINDS, same, same_json

# A record names this many changed values and no more: what is given may hold thousands.
MOST_NAMED = 20


class Changes:
    """Finds what the tool's types changed. ``instances``: some of it were objects of classes, made by code."""

    def __init__(self) -> None:
        self.coerced: list[str] = []
        self.retyped: list[str] = []
        self.instances = False

    def visit(self, given: Any, read: Any, written: Any, where: str, depth: int) -> None:
        if depth > DEEPEST:
            raise Misfit(_top(where), "is nested too deep")
        if isinstance(read, RootModel) and not isinstance(given, BaseModel):
            self.visit(given, read.root, written, where, depth + 1)
        elif isinstance(given, BaseModel) or (dataclasses.is_dataclass(given) and not isinstance(given, type)):
            self.instances = True
            if given is not read and not same(given, read):
                raise Misfit(_top(where), f"is of a class ({type(given).__name__}) whose values would be lost")
        elif isinstance(given, Mapping) and isinstance(read, BaseModel):
            self._members(given, read, written, where, depth)
        elif isinstance(given, Mapping) and (isinstance(read, dict) or dataclasses.is_dataclass(read)):
            self._items(given, read, written, where, depth)
        elif isinstance(given, _ROWS) and isinstance(read, list | tuple | deque) and len(given) == len(read):
            if type(given) is not list and type(given) is not type(read):
                self._note(where, True)
            items = written if isinstance(written, list) and len(written) == len(read) else [ABSENT] * len(read)
            for index, (before, after, item) in enumerate(zip(given, read, items, strict=True)):
                self.visit(before, after, item, f"{where}/{index}", depth + 1)
        elif isinstance(given, (*_ROWS, set, frozenset)) and isinstance(read, set | frozenset):
            for before in given:
                if type(before) is bool and not any(after is before for after in read):
                    raise Misfit(_top(where), "holds true or false where numbers belong")
        else:
            self._scalar(given, read, written, where)

    def _members(self, given: Mapping[Any, Any], read: BaseModel, written: Any, where: str, depth: int) -> None:
        known: set[str] = set()
        held = members(read)
        items = written if isinstance(written, dict) else {}
        for name, keys, _ in fields(type(read)):
            known.update(keys)
            key = next((key for key in keys[::-1] if key in given), None)
            if key is not None and name in held:
                item = next((items[key] for key in keys if key in items), ABSENT)
                self.visit(given[key], held[name], item, f"{where}/{_escaped(key)}", depth + 1)
        for key in given:
            if key in known:
                continue
            if key in held:
                self.visit(given[key], held[key], items.get(key, ABSENT), f"{where}/{_escaped(key)}", depth + 1)
            else:
                self._note(f"{where}/{_escaped(key)}", True)  # the type takes no notice of it

    def _items(self, given: Mapping[Any, Any], read: Any, written: Any, where: str, depth: int) -> None:
        inside = read if isinstance(read, dict) else state(read)
        if isinstance(read, dict) and type(given) is not dict and type(given) is not type(read):
            self._note(where, True)
        if isinstance(read, dict) and len(given) != len(read):
            self._note(where, False)
        items = {key: item for _, key, item in beside(read, written)}
        for key, before in given.items():
            place = f"{where}/{_escaped(key)}"
            if key in inside:
                self.visit(before, inside[key], items.get(key, ABSENT), place, depth + 1)
            else:
                self._note(place, True)

    def _scalar(self, given: Any, read: Any, written: Any, where: str) -> None:
        kind = type(given)
        if kind is bool and type(read) is not bool and isinstance(read, Number | date | timedelta):
            raise Misfit(_top(where), "is true or false where a number belongs")
        if kind not in JSON_KINDS:
            self.instances = True
            if not same(given, read):
                self._note(where, True)
            elif isinstance(read, datetime | time) and not isinstance(read.tzinfo, timezone | TzInfo | None):
                self._note(where, False)  # JSON has the distance from UTC, not the zone
        elif written is ABSENT:
            if not same(given, read):
                self._note(where, type(read) in JSON_KINDS and JSON_KINDS[kind] != JSON_KINDS[type(read)])
        elif not same_json(given, written):
            exact = isinstance(read, Decimal) and JSON_KINDS[kind] == "number" and Decimal(str(given)) == read
            if not exact:
                self._note(where, JSON_KINDS[kind] != JSON_KINDS.get(type(written)))

    def _note(self, where: str, retyped: bool) -> None:
        for changed in (self.coerced, self.retyped) if retyped else (self.coerced,):
            if len(changed) < MOST_NAMED:
                changed.append(where)


_ROWS = (list, tuple, deque)


def _escaped(key: Any) -> str:
    """One step of a JSON pointer (RFC 6901). Names are the model's, so they are cut."""
    text = str(key)[:64].encode("utf-8", "backslashreplace").decode()
    return text.replace("~", "~0").replace("/", "~1")


def _top(where: str) -> str:
    return where.split("/")[1] if "/" in where else "(all)"
