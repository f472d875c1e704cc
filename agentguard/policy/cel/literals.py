"""What is known of an expression before any call: what can never work, and what means something else than it seems.

Parts that consist of literals alone are evaluated when the bundle loads, by the runtime that evaluates them at the
call: ``timestamp("2027-01-01")`` errs then as it would err at every call. The rest is tables: what the parts of a time
count from, what a function makes of text in a declared format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from cel_expr_python import cel

from agentguard.policy.cel.scope import DOUBLE, SCALE, Known
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Node
from agentguard.policy.json_schema.shapes import fits
from agentguard.policy.words import shown

_ZONES = cel.NewEnv(variables={"zone": cel.Type.STRING})
_ZONE = _ZONES.compile('timestamp("2027-01-01T00:00:00Z").getHours(zone)')

# Evaluates a node of the expression that is looked at: why it errs (or None), and its value.
Evaluate: TypeAlias = "Callable[[Node], tuple[str | None, Any]]"

_WHOLE = 'write a whole one with its zone, such as `timestamp("2027-01-01T00:00:00Z")`'
_CONVERSIONS: Mapping[str, str] = {
    "timestamp": f"is not a time; {_WHOLE}",
    "duration": 'is not a duration; write hours, minutes or seconds, such as `duration("24h")`',
    "int": "is not a whole number",
    "uint": "is not a whole number of nought or more",
    "double": "is not a number",
    "bool": "is neither true nor false",
}
# What a function can read of text in a format that JSON Schema checks.
_FORMATS: Mapping[tuple[str, str], str] = {
    ("timestamp", "date"): 'is a day, and `timestamp` reads a whole time; write `timestamp(x + "T00:00:00Z")`',
    ("timestamp", "time"): f"is no whole time; {_WHOLE}",
    (
        "duration",
        "duration",
    ): 'is written like `P1D`, and `duration` reads `24h`; declare a `pattern`, "[0-9]+h"',
}
_ARITHMETIC: Mapping[str, str] = {"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%"}
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "_<_": lambda a, b: a < b,
    "_<=_": lambda a, b: a <= b,
    "_>_": lambda a, b: a > b,
    "_>=_": lambda a, b: a >= b,
}
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
_FINDS = frozenset({"contains", "startsWith", "endsWith"})

# The parts of a time: the least, the most, and what is surprising about the count.
_PARTS: Mapping[str, tuple[int, int, str]] = {
    "getMonth": (0, 11, "counts from 0: January is 0 and December is 11"),
    "getDayOfWeek": (0, 6, "counts from 0: Sunday is 0 and Saturday is 6"),
    "getDayOfMonth": (0, 30, "counts from 0: the first day of a month is 0; `getDate` counts from 1"),
    "getDayOfYear": (0, 365, "counts from 0: the first of January is 0"),
    "getDate": (1, 31, ""),
    "getHours": (0, 23, ""),
    "getMinutes": (0, 59, ""),
    "getSeconds": (0, 59, ""),
    "getMilliseconds": (0, 999, ""),
}
# These are of durations, too, and then they have no such limits.
_OF_DURATIONS = frozenset({"getHours", "getMinutes", "getSeconds", "getMilliseconds"})


def is_constant(node: Node) -> bool:
    """Whether nothing in it depends on the call."""
    if isinstance(node, Call):
        return all(map(is_constant, node.arguments))
    if isinstance(node, Items):
        return all(map(is_constant, node.values))
    return isinstance(node, Const)


def constant_trouble(node: Call, why: str) -> str:
    """What to say of a part of literals that errs whenever it is evaluated."""
    first = node.arguments[0] if node.arguments else None
    said = _CONVERSIONS.get(node.function)
    if said is not None and isinstance(first, Const):
        return f"{shown(f'{node.function}({literal(first.value)})')} can never be used: {literal(first.value)} {said}"
    if node.function in _PARTS or node.function == "getFullYear":
        zone = node.arguments[-1]
        return zone_trouble(zone) or f"`{node.function}` can never be used: {why}"
    sign = node.function.replace("_", "").replace("@", "")
    return f"the literals around {shown(sign or node.function)} can never be used: {why}"


def zone_trouble(zone: Node) -> str | None:
    """Why a time zone that stands in the expression cannot be used, or None."""
    if not isinstance(zone, Const) or type(zone.value) is not str or _is_zone(zone.value):
        return None
    return f"there is no time zone {literal(zone.value)}; write one such as `Europe/Berlin`, `UTC` or `+02:00`"


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        return bool(_ZONE.eval(_ZONES.Activation({"zone": name})).type() != cel.Type.ERROR)
    except (RuntimeError, TypeError, ValueError):
        return False


def call_troubles(node: Call, known: list[Known], words: Callable[[Node], str]) -> list[str]:
    """What can never work in a call of which only some arguments are literals, or never does what it says."""
    function, arguments = node.function, node.arguments
    found: list[str | None] = []
    if function in _PARTS or function == "getFullYear":
        found.append(zone_trouble(arguments[-1]))
    elif function in ("_/_", "_%_") and isinstance(arguments[1], Const) and arguments[1].value == 0:
        found.append("divides by nought")
    elif function == "@in" and isinstance(arguments[1], Items) and not arguments[1].values:
        found.append(f"{shown(words(arguments[0]))} is never in an empty list")
    elif function in _FINDS and isinstance(arguments[-1], Const) and arguments[-1].value in ("", b""):
        found.append(f'`{function}("")` is true of every text')
    if function in _ARITHMETIC or function in _ORDER:
        found.append(_mixed(node, known, words))
    if len(known) == 1:
        form = known[0].get("format")
        said = _FORMATS.get((function, form)) if type(form) is str else None
        name = words(arguments[0])
        found.append(None if said is None else f"{shown(name)} {said.replace('(x + ', f'({name} + ')}")
    return [said for said in found if said is not None]


def _mixed(node: Call, known: list[Known], words: Callable[[Node], str]) -> str | None:
    """Numbers of two kinds in arithmetic, and values of types that have no order: an error at every such call."""
    kinds = [_kinds(side, about) for side, about in zip(node.arguments, known, strict=True)]
    if len(kinds) != 2:
        return None
    if node.function in _ARITHMETIC:
        for side, kind in zip(node.arguments, kinds, strict=True):
            if kind == {"integer", "double"}:
                name = words(side)
                return (
                    f"{shown(name)} may be a whole number or one with decimals, and `{_ARITHMETIC[node.function]}` "
                    f"takes two of one kind; write `double({name})`, and `2.0` for `2`"
                )
    one, other = kinds
    if one and other and not _go_together(node.function, one, other):
        sign = _ARITHMETIC.get(node.function) or node.function.strip("_")
        if one | other == {"integer", "double"}:
            kinds_apart = "a whole number and a number with decimals"
            return f"`{sign}` between {kinds_apart}; write `double(...)` around the whole number"
        names = ", ".join(shown(words(side)) for side in node.arguments if not isinstance(side, Const))
        what = " and ".join(" or ".join(_NAMES[word] for word in sorted(kind)) for kind in kinds)
        return f"`{sign}` does not go with {what} ({names})"
    return None


def _go_together(function: str, one: frozenset[str], other: frozenset[str]) -> bool:
    if function in _ORDER:
        number = {"integer", "double"}
        return bool(one & other) or bool(one & number and other & number)
    return bool(one & other)


_NAMES: Mapping[str, str] = {
    "integer": "a whole number",
    "double": "a number with decimals",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}


_LITERALS: Mapping[type, str] = {
    str: "string", bool: "boolean", int: "integer", float: "double", type(None): "null",
}  # fmt: skip


def _kinds(side: Node, known: Known) -> frozenset[str]:
    """What the runtime may find there: empty where that is not known, or is nothing with an order."""
    if isinstance(side, Const):
        kind = _LITERALS.get(type(side.value))
        return frozenset((kind,)) if kind is not None else frozenset()
    if known.get(DOUBLE):
        return frozenset({"double"})
    types = known.get("type")
    found: set[str] = set()
    for word in types if type(types) is list else [types]:
        if word == "number":
            found |= {"integer", "double"}
        elif type(word) is str and word in _NAMES:
            found.add(word)
        else:
            return frozenset()
    return frozenset(found)


def never_fits(known: Known, value: Any) -> bool:
    """Whether a literal breaks a rule of the schema beyond its type: a pattern, a length, a limit, a format."""
    rules = {key: known[key] for key in known if key not in ("enum", "const", SCALE, DOUBLE)}
    return bool(rules.keys() - {"type"}) and not fits(rules, value)


def surprise(node: Call) -> str | None:
    """What is surprising about the count of a part of a time, for a note."""
    part = _PARTS.get(node.function)
    return f"`{node.function}` {part[2]}" if part is not None and part[2] else None


def limits(side: Node, known: Known) -> tuple[Any, Any, str] | None:
    """The least and the most that one side of a comparison can be (None where there is none), and who says so."""
    if isinstance(side, Call) and side.function in _PARTS and _of_a_time(side):
        first, last, _ = _PARTS[side.function]
        return first, last, f"`{side.function}` is {first} to {last}"
    if isinstance(side, Call) and side.function == "size":
        return 0, None, "`size` is 0 or more"
    least, most = known.get("minimum"), known.get("maximum")
    if type(least) in (int, float) or type(most) in (int, float):
        said = [f"at least {least}"] if type(least) in (int, float) else []
        said += [f"at most {most}"] if type(most) in (int, float) else []
        return least, most, f"its schema says {' and '.join(said)}"
    return None


def _of_a_time(node: Call) -> bool:
    target = node.arguments[0]
    if node.function not in _OF_DURATIONS or (isinstance(target, Ident) and target.name == "now"):
        return True
    return isinstance(target, Call) and target.function == "timestamp"


def foregone(function: str, number: Any, least: Any, most: Any, *, literal_first: bool) -> bool | None:
    """What a comparison with a number gives whatever comes, or None where that depends. Both ends None: unbounded."""
    if type(number) not in (int, float):
        return None
    function = _MIRRORED.get(function, function) if literal_first else function
    if function in ("_==_", "_!=_"):
        outside = (least is not None and number < least) or (most is not None and number > most)
        return (function == "_!=_") if outside else None
    holds = _ORDER[function]
    at_least = None if least is None else holds(least, number)
    at_most = None if most is None else holds(most, number)
    if function in ("_<_", "_<=_"):
        return True if at_most else False if at_least is False else None
    return True if at_least else False if at_most is False else None


def literal(value: Any) -> str:
    """A literal as its owner wrote it."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    return f'"{value}"' if type(value) is str else str(value)


def in_words(error: str) -> str:
    """The runtime's error without its code."""
    return error.split(": ", 1)[-1].rstrip(". ") or "an error of the expression's own"
