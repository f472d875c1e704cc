"""``let``: expressions that have a name in all of a workflow's conditions. No ring, no name with another meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from agentguard.policy.cel.compiling import NotCompiled, compile_let
from agentguard.policy.cel.lets import name_trouble
from agentguard.policy.cel.scope import Let, Scope
from agentguard.policy.cel.why import without_texts
from agentguard.policy.words import shown

_WORD = re.compile(r"(?<![\w.])[a-z][a-z0-9_]*\b")


def _words(text: str) -> list[str]:
    return _WORD.findall(without_texts(text))


def named_in(texts: Iterable[str], lets: Mapping[str, str]) -> list[str]:
    """The names that stand in these expressions, and in what those name; in an order in which each comes after what
    it names. By the word alone: a loop's variable may be one, which is refused."""
    if not lets:
        return []
    found: dict[str, None] = {}

    def look(text: str, above: tuple[str, ...]) -> None:
        for word in _words(text):
            if word in lets and word not in found and word not in above:
                look(lets[word], (*above, word))
                found[word] = None

    for text in texts:
        look(text, ())
    return [*found]


def let_troubles(lets: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the names, whatever they stand for."""
    for name in lets:
        said = name_trouble(name)
        if said is not None:
            yield name, said
        elif name in _below(name, lets):
            yield name, f"{shown(name)} is named by itself, or by what it names"


def _below(name: str, lets: Mapping[str, str]) -> set[str]:
    """Every name that stands in an expression, and in what those name."""
    found: set[str] = set()
    pending = [name]
    while pending:
        named = {word for word in _words(lets[pending.pop()]) if word in lets} - found
        found |= named
        pending += named
    return found


def with_lets(scope: Scope, names: Iterable[str], lets: Mapping[str, str]) -> tuple[Scope, list[tuple[str, str]]]:
    """The scope in which these names mean their expressions, and what is wrong with those there."""
    if not lets:
        return scope, []
    known: dict[str, Let] = {}
    troubles: list[tuple[str, str]] = []
    for name in names:
        try:
            known[name] = compile_let(lets[name], replace(scope, lets=dict(known)))
        except NotCompiled as error:
            troubles += [(name, message) for message in error.messages]
            break
    return replace(scope, lets=known), troubles
