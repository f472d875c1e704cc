"""The types of members, as schemas declare them, in CEL's words.

`args.rows` declared as a name of its own shadows the member of the open map `args`, with a precise type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentguard.policy.cel.checker import expect
from agentguard.policy.cel.inspect import Inspection
from agentguard.policy.cel.runtime import KINDS
from agentguard.policy.cel.scope import Known, Scope

_SCALARS: Mapping[str, str] = {"string": "STRING", "integer": "INT", "boolean": "BOOL"}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def member_types(scope: Scope, found: Inspection) -> tuple[tuple[str, str], ...]:
    # `has(args.x)` on a declared name gives its value instead of a boolean, so those stay members of the open map.
    return tuple(
        sorted(
            (f"{root}.{name}", type_of(scope.names[root]["properties"][name]))
            for root in ("args", "inputs")
            for name in scope.names[root].get("required", ())
            if _WORD.fullmatch(name) is not None and (root, name) not in found.tested
        )
    )


def expect_names(root: str, schemas: Mapping[str, Any]) -> None:
    """Say that conditions over members of these schemas are to come, so that one environment is made for all."""
    expect(
        (f"{root}.{name}", type_of(schema))
        for name, schema in schemas.items()
        if _WORD.fullmatch(name) is not None and _is_plain(schema) and schema.get("optional") is not True
    )


def _is_plain(schema: Any) -> bool:
    """Whether a schema that nobody has looked at yet says what type it is of."""
    return type(schema) is dict and (schema.get("type") != "array" or _is_plain(schema.get("items", {})))


def type_of(known: Known) -> str:
    """The CEL type of a schema; DYN where JSON leaves it open (a `number` may arrive as either kind)."""
    word = known.get("type")
    if word is None and known.get("enum"):
        return "STRING" if all(type(value) is str for value in known["enum"]) else "DYN"
    if type(word) is not str:
        return "DYN"
    if word == "array":
        return f"LIST {type_of(known.get('items', {}))}"
    return _SCALARS.get(word, "MAP" if word == "object" else "DYN")


def kind_of_let(name: str) -> str:
    """A type as the checker names it, as one of those that a name may be declared with."""
    if name.startswith("LIST"):
        return "LIST DYN"
    return name if name in KINDS else "MAP" if name.startswith("MAP") else "DYN"
