"""What the CEL compiler's complaints mean for whoever wrote the condition, and what to write instead.

Owners bring the signs of other languages: `and`, `=`, `len(x)`, `not in`. The compiler sees a stray word; the tables
here know what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentguard.policy.cel.functions.table import NAMES as OURS
from agentguard.policy.cel.scope import Scope
from agentguard.policy.words import expected, nearest, shown

_ERROR = re.compile(r"ERROR: <input>:(-?[0-9]+):(-?[0-9]+): ([^\n]*)")
_UNREADABLE = ("Syntax error: ", "reserved identifier", "<<nil>>")
_STRAY = re.compile(r"'((?:[^']|'(?!$))*)'$")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '([^']*)'")
_SELECT = re.compile(r"expression of type '([^']*)' cannot be the operand of a select operation")
_TEXTS = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""")

# Signs of other languages, looked for outside texts where an expression cannot be read. The first that is there counts.
_FOREIGN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(sign, re.IGNORECASE), hint)
    for sign, hint in (
        (r"[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb`]", "write plain quotes: `\"` or `'`"),
        (r"['\"]", "a text in quotes is not closed; YAML cuts a line at ` #` unless all of it is in quotes"),
        (r"\{\{|\$", "write names as they are, such as `args.rows`"),
        (r"\bnot\s+in\b", 'write `!(x in ["A", "B"])` for `not in`'),
        (r"\bin\s*\(", 'write a list with `[` and `]`: `x in ["A", "B"]`'),
        (r"\bbetween\b", "write `x >= 1 && x <= 5` for `between`"),
        (r"\blike\b", 'write `x.startsWith("...")`, `x.endsWith("...")` or `x.contains("...")` for `like`'),
        (r"\bis\b", "write `==` or `!=` for `is`; `has(args.x)` says whether something is there"),
        (r"\b(?:contains|startsWith|endsWith|matches)\s+[^\s(]", 'write `x.contains("...")`, with brackets'),
        (r"=~|~", 'write `x.matches("^...$")` to compare with a pattern'),
        (r"\b(?:if|then|else)\b", "write `condition ? value : other` for `if`"),
        (r"\band\b", "write `&&` for `and`"),
        (r"\bor\b", "write `||` for `or`"),
        (r"\bnot\b", "write `!` for `not`"),
        (r"[=!]==", "write `==` or `!=`, with one sign less"),
        ("=<", "write `<=`"),
        ("=>", "write `>=`"),
        ("<>", "write `!=` for `<>`"),
        (r"(?<![=!<>])=(?!=)", "write `==` to compare"),
        (r"(?<!&)&(?!&)", "write `&&`"),
        (r"(?<!\|)\|(?!\|)", "write `||`"),
        (r"[0-9][_,][0-9]", "write numbers without separators"),
        (r"[0-9]\s*[a-z%\u20ac]", "write numbers without a unit"),
        (r"\?(?!.*:)", "write `condition ? value : other`"),
        (r";", "nothing stands at the end of a condition"),
        (r"#", "a comment stands behind the condition in YAML, and not inside of its quotes"),
        (r"\((?!.*\))", "a `(` is not closed"),
    )
)

# Functions of other languages, and what is written here.
_ELSEWHERE: Mapping[str, str] = {
    "len": "size(x)",
    "length": "size(x)",
    "count": "size(x)",
    "includes": 'x.contains("...")',
    "regex": 'x.matches("^...$")',
    "match": 'x.matches("^...$")',
    "any": "list.exists(x, ...)",
    "some": "list.exists(x, ...)",
    "every": "list.all(x, ...)",
    "str": "string(x)",
    "float": "double(x)",
    "date": 'time("2027-01-01")',
    "datetime": 'time("2027-01-01 17:00")',
    "average": "double(sum(x)) / double(size(x))",
    "find": 'one(list, "field", value)',
    "sorted": "sort(list)",
    "unique": "distinct(list)",
    "abs": "math.abs(x)",
    "round": "math.round(x)",
    "lower": "x.lowerAscii()",
    "upper": "x.upperAscii()",
    "hour": 'now.getHours("Europe/Berlin")',
}
_FUNCTIONS: tuple[str, ...] = (
    *(*OURS, "split", "join", "replace", "substring", "trim", "lowerAscii", "orValue"),
    *("has", "size", "matches", "startsWith", "endsWith", "contains", "all", "exists", "exists_one", "filter", "map"),
    *("int", "double", "string", "timestamp", "duration", "getFullYear", "getHours", "getDayOfWeek"),
)


def explain(error: str, text: str, scope: Scope) -> list[str]:
    """The compiler's complaints in words, each with its column; of what cannot be read, only the first place."""
    found = sorted((int(line), int(column), said) for line, column, said in _ERROR.findall(error))
    unreadable = [entry for entry in found if entry[2].startswith(_UNREADABLE)]
    stray = next((entry for entry in unreadable if entry[1] > 0), None) or next(iter(unreadable), None)
    if stray is not None:
        return [_unreadable(stray[2], text) + _place(stray[0], stray[1], text)]
    return [_message(said, text, scope) + _place(line, column, text) for line, column, said in found[:5]] or [
        "not an expression"
    ]


def _place(line: int, column: int, text: str) -> str:
    if column <= 0:
        return ""
    return f" (line {line}, column {column})" if "\n" in text else f" (column {column})"


def _message(said: str, text: str, scope: Scope) -> str:
    undeclared = _UNDECLARED.match(said)
    if undeclared is not None:
        return _undeclared(undeclared[1], text, scope)
    overload = _OVERLOAD.match(said)
    if overload is not None:
        return _no_overload(overload[1], overload[2])
    select = _SELECT.match(said)
    if select is not None:
        return _no_member(type_word(select[1]), text)
    return said


def _unreadable(said: str, text: str) -> str:
    outside = _TEXTS.sub("x", text)
    hint = next((hint for sign, hint in _FOREIGN if sign.search(outside)), None)
    if hint is not None:
        return f"cannot be read; {hint}"
    stray = _STRAY.search(said.split(" expecting ", 1)[0])
    at = "its end" if stray is None or stray[1] == "<EOF>" else shown(stray[1])
    return f"cannot be read at {at}"


def _undeclared(name: str, text: str, scope: Scope) -> str:
    for step in scope.steps:
        if "-" in step and f"counts.{step}" in text:
            return f'a name with `-` in it is written `counts["{step}"]`'
    name = name.split(".", 1)[0]
    if name.lower() in ("true", "false", "null", "none"):
        return f"there is no name {shown(name)}; write {shown(name.lower().replace('none', 'null'))}"
    if re.search(rf"\b{re.escape(name)}\s*\(", text):
        return _no_function(name)
    for root in ("args", "inputs", "kept"):
        if name in scope.names[root].get("properties", ()):
            return f"there is no name {shown(name)}; did you mean `{root}.{name}`?"
    if re.search(rf"(?:==|!=|[\[,])\s*{re.escape(name)}\b", text):
        return f'there is no name {shown(name)}; text stands in quotes, such as `"{name}"`'
    known = [*scope.names, *scope.lets]
    hint = expected(name, known) if nearest(name, known) else f"expected {', '.join(known)}"
    return f"there is no name {shown(name)}; {hint}"


def _no_function(name: str) -> str:
    if name in OURS:
        return f"{shown(name)} stands in front of what it is about: `{name}(x, ...)`"
    if name in _FUNCTIONS:
        return f"{shown(name)} stands behind what it is about: `x.{name}(...)`"
    meant = _ELSEWHERE.get(name.lower())
    hint = f"write `{meant}`" if meant else expected(name, _FUNCTIONS)
    return f"there is no function {shown(name)}; {hint}"


def _no_member(what: str, text: str) -> str:
    members = [name.lower() for name in re.findall(r"\.([A-Za-z_]+)", _TEXTS.sub("x", text))]
    meant = next((_ELSEWHERE[name] for name in members if name in _ELSEWHERE), None)
    return f"{what} has no members" + (f"; write `{meant}`" if meant else "")


def _no_overload(operator: str, types: str) -> str:
    words = [type_word(part) for part in _top_level(types[1:-1]) if part]
    sign = operator.replace("_", "").replace("@", "") or operator
    if set(words) == {"a whole number", "a number with decimals"}:
        return f"{shown(sign)} between {words[0]} and {words[1]}; write `double(...)` around the whole number"
    hint = next((hint for signs, wrong, hint in _MIXED if sign in signs and wrong in words), "")
    return f"{shown(sign)} does not go with {' and '.join(words) or 'nothing'}{hint}"


def _top_level(types: str) -> list[str]:
    """What stands between the commas outside of brackets: `map(string, int), string` is two types."""
    while (bare := _INNERMOST.sub("", types)) != types:
        types = bare
    return types.split(", ")


_INNERMOST = re.compile(r"\([^()]*\)")
# An operator, a type that it does not take, and what to write instead. The first that fits counts.
_MIXED: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("in",), "text", '; `in` looks into a list, `x in ["A", "B"]`; into a text looks `x.contains("...")`'),
    (("in",), "true or false", "; write `!(x in [...])`"),
    (("&&", "||"), "text", '; write the comparison on both sides: `x == "A" || x == "B"`'),
    (("<", "<=", ">", ">="), "true or false", "; write `1 <= x && x <= 5` for two limits"),
    (("<", "<=", ">", ">=", "==", "!="), "a time", '; write `timestamp("2027-01-01T00:00:00Z")`'),
    (("same_amount",), "text", "; write `number(...)` around the text"),
    (("==", "!="), "a mapping", "; compare one of its members"),
)


_TYPE_WORDS: Mapping[str, str] = {
    "string": "text",
    "int": "a whole number",
    "uint": "a whole number",
    "double": "a number with decimals",
    "bool": "true or false",
    "dyn": "a value of unknown type",
    "null_type": "null",
    "google.protobuf.timestamp": "a time",
    "timestamp": "a time",
    "google.protobuf.duration": "a duration",
    "duration": "a duration",
}


def type_word(name: str) -> str:
    """A type of the language in an owner's words."""
    lower = name.lower()
    if lower.startswith(("list", "map")):
        return "a list" if lower.startswith("list") else "a mapping"
    return _TYPE_WORDS.get(lower, lower)
