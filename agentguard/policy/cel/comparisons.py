"""Comparisons that can never have been meant: with what the other side can never be, or always is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from agentguard.policy.cel.literals import foregone, limits, literal, never_fits
from agentguard.policy.cel.paths import words_of
from agentguard.policy.cel.scope import ANYTHING, SCALE, Known, element
from agentguard.policy.cel.tree import Call, Const, Items, Node
from agentguard.policy.words import expected, shown

_EQUALS = frozenset({"_==_", "_!=_"})
_ORDER = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_JSON_TYPES: Mapping[type, tuple[str, ...]] = {
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("integer", "number"),
    type(None): ("null",),
}


class Finding(NamedTuple):
    """What is to be said of a comparison: a mistake, or a note on what means something else than it seems."""

    message: str
    is_note: bool


def comparison_findings(node: Call, known: list[Known]) -> Iterator[Finding]:
    """What is wrong with a comparison; nothing for any other call. ``known`` are the schemas of the arguments."""
    yield from _foregone(node, known)
    if node.function in _EQUALS and len(known) == 2:
        for one, other in ((0, 1), (1, 0)):
            yield from _compared(node.arguments[one], known[one], node.arguments[other], function=node.function)
    elif node.function == "@in" and isinstance(node.arguments[1], Items) and node.arguments[1].is_list:
        for value in node.arguments[1].values:
            yield from _compared(node.arguments[0], known[0], value)
            yield from _foregone(Call("_==_", (node.arguments[0], value)), [known[0], ANYTHING])
    elif node.function == "@in":
        yield from _compared(node.arguments[1], element(known[1]), node.arguments[0], " holds")
    elif node.function in _ORDER:
        yield from _ordered(node.arguments, known)


def _foregone(node: Call, known: list[Known]) -> Iterator[Finding]:
    """A comparison with a number that is beyond what the other side can be."""
    if node.function not in _ORDER | _EQUALS or len(known) != 2:
        return
    for index, side in enumerate(node.arguments):
        other = node.arguments[1 - index]
        found = limits(side, known[index]) if isinstance(other, Const) else None
        if found is None or not isinstance(other, Const):
            continue
        least, most, why = found
        gives = foregone(node.function, other.value, least, most, literal_first=index == 1)
        if gives is None or (node.function in _EQUALS and not isinstance(side, Call)):
            continue
        what = f"a comparison with {literal(other.value)} is always {literal(gives)}: {why}"
        yield Finding(what, is_note=gives or not isinstance(side, Call))


def _compared(side: Node, known: Known, other: Node, verb: str = " is", *, function: str = "_==_") -> Iterator[Finding]:
    """A literal that the other side can never be equal to was not meant."""
    if not isinstance(other, Const) or not known:
        return
    what = shown(words_of(side)) + verb
    types = known.get("type")
    allowed = types if type(types) is list else [types] if types is not None else None
    kinds = _JSON_TYPES.get(type(other.value), ())
    if allowed is not None and not set(kinds) & set(allowed):
        yield Finding(f"{what} {' or '.join(allowed)}, so it is never equal to {literal(other.value)}", is_note=False)
        return
    words = known.get("enum", [known["const"]] if "const" in known else None)
    if type(words) is list and other.value not in words:
        texts = [word for word in words if type(word) is str]
        yield Finding(f"{what} never {literal(other.value)}; {expected(str(other.value), texts)}", is_note=False)
    elif never_fits(known, other.value):
        message = f"{what} never {literal(other.value)}, which does not fit its schema"
        yield Finding(message, is_note=function == "_!=_")


def _ordered(sides: tuple[Node, ...], known: list[Known]) -> Iterator[Finding]:
    for side, about in zip(sides, known, strict=True):
        if SCALE in about:
            words = ", ".join(f'"{word}"' for word in about["enum"][:2])
            message = f"{shown(words_of(side))} is a word, and `<` compares its letters; write `in [{words} ...]`"
            yield Finding(message, is_note=False)
