"""What a function gives, and takes: known before any call, from the schemas of what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentguard.policy.cel.functions.table import NAMES as OURS
from agentguard.policy.cel.scope import ANYTHING, DOUBLE, Known, element, member
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select
from agentguard.policy.words import expected, shown

# `map` and `filter` take time and memory that grow with the square of their list: 5,000 elements are half a second.
LIMIT_OF_LISTS = 500

_OPERATORS = frozenset(
    {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_", "!_", "-_", "_&&_", "_||_"}
    | {"_?_:_", "_[_]", "@in", "@not_strictly_false", "_?._", "_[?_]"}
)
# CEL's own functions that conditions may use: each gives no more than it takes, in time that grows with the text.
LIBRARY = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bool", "bytes"}
    | {"timestamp", "duration", "type", "dyn", "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate"}
    | {"getDayOfWeek", "getHours", "getMinutes", "getSeconds", "getMilliseconds"}
    | {"charAt", "indexOf", "join", "lowerAscii", "upperAscii", "replace", "split", "substring", "trim"}
    | {"math.@max", "math.@min", "math.abs", "math.ceil", "math.floor", "math.round", "math.sign", "math.trunc"}
    | {"orValue", "hasValue"}
)
_INSTEAD: Mapping[str, str] = {
    "format": "write `+` and `string(x)`",
    "last": "write `last(list)`",
    "first": "write `list[0]`",
    "lastIndexOf": "write `x.split(...)` and `last(...)`",
    "math.sqrt": "multiply the other side by itself",
    "optMap": "write `x.orValue(...)`",
    "optional.of": "write `x.orValue(...)`",
    "optional.none": "write `!x.hasValue()`",
    "or": "write `x.orValue(...)`",
    "value": "write `x.orValue(...)`",
}
_MAYBE = frozenset({"_?._", "_[?_]"})
_TAKE_MAYBE = frozenset({"orValue", "hasValue"} | _MAYBE)


def unknown_function(node: Call) -> str | None:
    """Why a function may not be used, or None."""
    if node.function in _OPERATORS or node.function in LIBRARY or (node.function in OURS and not node.is_method):
        return None if node.function != "indexOf" or len(node.arguments) == 2 else "`indexOf` takes one text"
    name = node.function.replace("math.@", "math.")
    return f"`{name}` is not used in conditions; {_INSTEAD.get(name, 'docs/policy.md lists the functions')}"


def misplaced(node: Node) -> str | None:
    """Where what may be missing (`args.?note`) is used without saying what it is then, or None."""
    pending = [(node, False)]
    while pending:
        node, may_be = pending.pop()
        if _is_maybe(node) and not may_be:
            return "what begins with `.?` or `[?` ends with `.orValue(...)` or `.hasValue()`"
        match node:
            case Select():
                pending.append((node.operand, _is_maybe(node.operand)))
            case Call(arguments=(first, *rest)):
                takes = node.function in _TAKE_MAYBE
                if takes and node.function not in _MAYBE and not _is_maybe(first):
                    return f"`{node.function}` is of what may be missing, such as `args.?note.{node.function}(...)`"
                pending += [(first, takes), *((part, False) for part in rest)]
            case Items():
                pending += [(part, False) for part in node.values]
            case Loop():
                pending += [(part, False) for part in (node.source, *node.before, *node.body)]
    return None


def _is_maybe(node: Node) -> bool:
    if isinstance(node, Select):
        return _is_maybe(node.operand)
    return isinstance(node, Call) and node.function in _MAYBE


def extent(node: Node, known: Known) -> int | None:
    """How many elements there are at most, or None where nothing says so."""
    if isinstance(node, Items):
        return len(node.values) if node.is_list else len(node.values) // 2
    most = known.get("maxItems", known.get("maxProperties"))
    if type(most) is not int and known.get("additionalProperties") is False:
        most = len(known.get("properties", ()))
    return most if type(most) is int else None


def given_by_loop(loop: Loop, source: Known) -> Known:
    """`map` and `filter` give no more elements than they run over."""
    most = extent(loop.source, source)
    return ANYTHING if most is None else {"maxItems": most}


_TEXT: Known = {"type": "string"}
_NUMBER: Known = {"type": "number", DOUBLE: True}
_YES_OR_NO: Known = {"type": "boolean"}
_SIMPLE: Mapping[str, Known] = {
    "sum": _NUMBER,
    "number": _NUMBER,
    "same_amount": _YES_OR_NO,
    "unchanged": _YES_OR_NO,
    "done_for": _YES_OR_NO,
    "plus": _TEXT,
    "lines": {"type": "array", "items": _TEXT},
    "numbers": {"type": "array", "items": _NUMBER},
}


def given_by(node: Call, known: list[Known], words: Callable[[Node], str]) -> tuple[Known, str | None]:
    """What is known of what a function of ours gives, and what is wrong with what it takes."""
    name, given = node.function, known[0]
    if node.is_method:
        return _SIMPLE["lines"] if name == "split" else ANYTHING, None
    inside, trouble = _element(given), None
    about = inside
    if len(node.arguments) > 1 and name not in ("plus", "same_amount", "unchanged", "done_for"):
        about, trouble = _field(node, inside, words)
    if name == "unchanged" and not _is_argument(node.arguments[0]):
        trouble = "`unchanged` takes an argument and what it was before, such as `unchanged(args.note, kept.note)`"
    elif name == "unchanged" and len(node.arguments) > 2:
        trouble = _left_out(node.arguments[2], given)
    found: Mapping[str, Known] = {
        "max": about,
        "min": about,
        "one": inside,
        "last": inside,
        "sort": {key: value for key, value in given.items() if key != "minItems"},
        "where": {key: value for key, value in given.items() if key != "minItems"},
        "distinct": _list_of(about, given),
    }
    return found.get(name, _SIMPLE.get(name, ANYTHING)), trouble


def _left_out(listed: Node, given: Known) -> str | None:
    """What is wrong with the members that `unchanged` leaves out of an object of which this is known."""
    for node in listed.values if isinstance(listed, Items) else ():
        if isinstance(node, Const) and member(given, str(node.value)) is None:
            return f"`unchanged` leaves out {shown(node.value)}, which is not there; " + expected(
                str(node.value), given.get("properties", {})
            )
    return None


def _element(given: Known) -> Known:
    if given.get("type") != "object":
        return element(given)
    more = given.get("additionalProperties")
    return more if isinstance(more, Mapping) else ANYTHING


def _field(node: Call, inside: Known, words: Callable[[Node], str]) -> tuple[Known, str | None]:
    """What is known of the field that a function looks at, where its path is plain."""
    written = node.arguments[1]
    path = str(written.value) if isinstance(written, Const) else ""
    found = inside
    for part in path.split(".") if path.replace(".", "").isidentifier() else ():
        below = member(found, part)
        if below is None:
            hint = expected(part, found.get("properties", {}))
            return ANYTHING, f"an element of `{words(node.arguments[0])}` has no {shown(part)}; {hint}"
        found = below
    return found if path.replace(".", "").isidentifier() else ANYTHING, None


def _list_of(about: Known, given: Known) -> Known:
    found: dict[str, Any] = {"type": "array", "items": dict(about)} if about else {}
    return {**found, "maxItems": given["maxItems"]} if "maxItems" in given else found


def _is_argument(node: Node) -> bool:
    while isinstance(node, Select) or (isinstance(node, Call) and node.function == "_[_]"):
        node = node.operand if isinstance(node, Select) else node.arguments[0]
    return isinstance(node, Ident) and node.name == "args"
