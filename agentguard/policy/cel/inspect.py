"""What an expression uses, and what in it can never have been meant: checked on its tree, at load.

Reported: members that nothing declares, a literal compared with something of another type or with a word that it can
never be, `<` on words of a scale, patterns that are not anchored, loops inside loops inside loops, loop variables that
hide a name of the language; and what ``literals`` knows of parts that can never work. What works, and means something
else than it seems, is a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import re2

from agentguard.policy.cel.literals import (
    Evaluate,
    call_troubles,
    constant_trouble,
    foregone,
    in_words,
    is_constant,
    limits,
    literal,
    never_fits,
    surprise,
)
from agentguard.policy.cel.scope import ANYTHING, NAMES, SCALE, Known, Scope, element, member, required
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select
from agentguard.policy.words import expected, shown

# Two loops are a join of two lists; three are a way to spend the decision's time.
MAX_LOOPS = 2

_EQUALS = frozenset({"_==_", "_!=_"})
_ORDER = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_JSON_TYPES: Mapping[type, tuple[str, ...]] = {
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("integer", "number"),
    type(None): ("null",),
}
_MULTILINE = re.compile(r"\(\?[a-zA-Z]*m")

# A value of the view: a name and constant members; `*` stands for some element.
ViewPath: TypeAlias = "tuple[str, ...]"


@dataclass(slots=True)
class Inspection:
    """What was found in one expression. ``costs``: what loops' bodies read, with the sources of the loops around it.

    ``notes`` say of what is no mistake that it means something else than it seems; ``over_nothing`` the same of loops
    over lists that may be empty, unless the list is among those whose size is asked for (``sized``).
    """

    troubles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    over_nothing: list[tuple[ViewPath | None, str]] = field(default_factory=list)
    sized: set[ViewPath] = field(default_factory=set)
    reads: set[ViewPath] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)
    tested: set[ViewPath] = field(default_factory=set)
    costs: list[tuple[ViewPath, tuple[ViewPath | None, ...]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Here:
    """The variables of the loops around a node, and what those loops run over (None where that is computed)."""

    variables: Mapping[str, _Variable]
    loops: tuple[ViewPath | None, ...]


@dataclass(frozen=True, slots=True)
class _Variable:
    """What is known of a loop's variable, and which loop it belongs to."""

    known: Known
    loop: int


def inspect(tree: Node, scope: Scope, evaluate: Evaluate) -> Inspection:
    """Walk an expression's tree. ``evaluate`` gives a part of literals its value. Raises nothing of its own."""
    inspector = _Inspector(scope, evaluate)
    inspector.visit(tree, _Here({}, ()))
    if is_constant(tree) and not inspector.found.troubles:
        inspector.note("it is made of literals alone, so it gives the same at every call")
    return inspector.found


class _Inspector:
    def __init__(self, scope: Scope, evaluate: Evaluate) -> None:
        self.scope = scope
        self.evaluate = evaluate
        self.found = Inspection()
        self._visit: Mapping[type, Callable[[Any, _Here], Known]] = {
            Const: self._const,
            Ident: self._ident,
            Select: self._select,
            Call: self._call,
            Items: self._items,
            Loop: self._loop,
        }

    def say(self, message: str) -> None:
        if message not in self.found.troubles:
            self.found.troubles.append(message)

    def note(self, message: str) -> None:
        if message not in self.found.notes:
            self.found.notes.append(message)

    def visit(self, node: Node, here: _Here) -> Known:
        """Everything below the node; what is known of its value."""
        return self._visit[type(node)](node, here)

    def _const(self, _node: Const, _here: _Here) -> Known:
        return ANYTHING

    def _ident(self, node: Ident, here: _Here) -> Known:
        self._uses(node, here)
        return self._known(node.name, here)

    def _known(self, name: str, here: _Here) -> Known:
        if name in here.variables:
            return here.variables[name].known
        if name in NAMES and name not in self.scope.names:
            self.say(f"{shown(name)} is not known here, because the step's tool declares no destinations in Tools")
        return self.scope.names.get(name, ANYTHING)

    def _root(self, name: str) -> None:
        if name in NAMES:  # `int`, `string` ... are names of types, not of the view
            self.found.roots.add(name)

    def _uses(self, node: Node, here: _Here) -> None:
        path = _path(node)
        if path is None:
            return
        variable = here.variables.get(path[0])
        if variable is None:
            self._root(path[0])
            self.found.reads.add(path)
            if here.loops and path[0] in NAMES:
                self.found.costs.append((path, here.loops))
        elif len(here.loops) > variable.loop + 1:
            # Over its own loop, a variable reads each element once, so the whole list; inner loops repeat that.
            others = here.loops[: variable.loop] + here.loops[variable.loop + 1 :]
            self.found.costs.append((here.loops[variable.loop] or (), others))

    def _select(self, node: Select, here: _Here) -> Known:
        return self._member(node, node.operand, node.field, here, node.test_only)

    def _member(self, node: Node, operand: Node, name: str, here: _Here, test_only: bool = False) -> Known:
        owner = self._owner(operand, here)
        if test_only:
            path = _path(operand)
            if required(owner, name):
                self.say(f"{shown(_written(operand, name))} is always there; remove `has(...)`")
            elif path is not None:
                self.found.tested.add((*path, name))
        found = member(owner, name)
        if found is None:
            self.say(_no_member(operand, name, owner))
            return ANYTHING
        self._uses(node, here)
        return found

    def _owner(self, operand: Node, here: _Here) -> Known:
        """What is known of an operand; its own cost is that of the member taken from it."""
        if isinstance(operand, Ident):
            if operand.name not in here.variables:
                self._root(operand.name)
            return self._known(operand.name, here)
        return self.visit(operand, here)

    def _call(self, node: Call, here: _Here) -> Known:
        if node.function == "_[_]" and len(node.arguments) == 2:
            return self._index(node, here)
        before = len(self.found.troubles)
        known = [self.visit(argument, here) for argument in node.arguments]
        if is_constant(node):
            why = self.evaluate(node.raw)[0] if len(self.found.troubles) == before else None
            if why is not None:
                self.say(constant_trouble(node, in_words(why)))
            return ANYTHING
        for trouble in call_troubles(node, known, _words_of):
            self.say(trouble)
        said = surprise(node)
        if said is not None:
            self.note(said)
        self._foregone(node, known)
        if node.function == "!_" and isinstance(node.arguments[0], Loop):
            self._over_nothing(node.arguments[0], "!{}.exists(...)", begins=False)
        if node.function == "size" and (path := _path(node.arguments[0])) is not None:
            self.found.sized.add(path)
        if node.function in _EQUALS and len(known) == 2:
            for one, other in ((0, 1), (1, 0)):
                self._compared(node.arguments[one], known[one], node.arguments[other], function=node.function)
        elif node.function == "@in" and isinstance(node.arguments[1], Items) and node.arguments[1].is_list:
            for value in node.arguments[1].values:
                self._compared(node.arguments[0], known[0], value)
                self._foregone(Call("_==_", (node.arguments[0], value)), [known[0], ANYTHING])
        elif node.function == "@in":
            self._compared(node.arguments[1], element(known[1]), node.arguments[0], " holds")
        elif node.function in _ORDER:
            self._ordered(node.arguments, known)
        elif node.function == "matches":
            self._matched(node.arguments[-1])
        return ANYTHING

    def _index(self, node: Call, here: _Here) -> Known:
        operand, key = node.arguments
        if isinstance(key, Const) and type(key.value) is str:
            return self._member(node, operand, key.value, here)
        if isinstance(key, Const) and type(key.value) is int and key.value < 0:
            name = _words_of(operand)
            self.say(f"a list has no element {key.value}; its last is `{name}[size({name}) - 1]`")
        if is_constant(node):
            why = self.evaluate(node.raw)[0] if isinstance(node, Call) else None
            if why is not None:
                self.say(constant_trouble(node, in_words(why)))
        self.visit(key, here)
        owner = self.visit(operand, here)
        return element(owner) if owner.get("type") == "array" else ANYTHING

    def _items(self, node: Items, here: _Here) -> Known:
        for value in node.values:
            self.visit(value, here)
        return ANYTHING

    def _loop(self, node: Loop, here: _Here) -> Known:
        if len(here.loops) >= MAX_LOOPS:
            self.say(f"more than {MAX_LOOPS} loops inside each other")
            return ANYTHING
        for variable in node.variables:
            if variable in NAMES:
                self.say(f"the loop variable {shown(variable)} hides a name of the language; call it something else")
        source = self.visit(node.source, here)
        self._over_nothing(node, "{}.all(...)", begins=True)
        inside = dict(here.variables)
        depth = len(here.loops)
        inside.update(dict.fromkeys((*node.variables, node.accumulator), _Variable(ANYTHING, depth)))
        inside[node.variables[0]] = _Variable(element(source), depth)
        for part in node.before:
            self.visit(part, here)
        there = _Here(inside, (*here.loops, self._source(node.source, here)))
        for part in node.body:
            self.visit(part, there)
        return ANYTHING

    def _source(self, node: Node, here: _Here) -> ViewPath | None:
        """What a loop runs over, where its length can be looked up in the view."""
        path = _path(node)
        return None if path is None or path[0] in here.variables or "*" in path else path

    def _over_nothing(self, loop: Loop, form: str, *, begins: bool) -> None:
        """A loop that begins with its answer gives it for a list that holds nothing."""
        begin = loop.before[0] if loop.before else None
        if not isinstance(begin, Const) or begin.value is not begins:
            return
        path = _path(loop.source)
        known = self._at(path)
        if known.get("minItems", 0) or known.get("minProperties", 0):
            return
        name = "list" if path is None else ".".join(path)
        written = form.format(name)
        remedy = "" if path is None else f"; add `size({name}) > 0` if an empty one must not pass"
        self.found.over_nothing.append((path, f"`{written}` is true where `{name}` is empty{remedy}"))

    def _at(self, path: ViewPath | None) -> Known:
        """What is declared at a path of the view."""
        known: Known | None = ANYTHING if path is None else self.scope.names.get(path[0], ANYTHING)
        for name in (path or ())[1:]:
            known = member(known or ANYTHING, name)
        return known or ANYTHING

    def _foregone(self, node: Call, known: list[Known]) -> None:
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
            (self.note if gives or not isinstance(side, Call) else self.say)(what)

    def _compared(self, side: Node, known: Known, other: Node, verb: str = " is", *, function: str = "_==_") -> None:
        """A literal that the other side can never be equal to was not meant."""
        if not isinstance(other, Const) or not known:
            return
        what = shown(_words_of(side)) + verb
        types = known.get("type")
        allowed = types if type(types) is list else [types] if types is not None else None
        kinds = _JSON_TYPES.get(type(other.value), ())
        if allowed is not None and not set(kinds) & set(allowed):
            self.say(f"{what} {' or '.join(allowed)}, so it is never equal to {literal(other.value)}")
            return
        words = known.get("enum", [known["const"]] if "const" in known else None)
        if type(words) is list and other.value not in words:
            texts = [word for word in words if type(word) is str]
            self.say(f"{what} never {literal(other.value)}; {expected(str(other.value), texts)}")
        elif never_fits(known, other.value):
            message = f"{what} never {literal(other.value)}, which does not fit its schema"
            (self.note if function == "_!=_" else self.say)(message)

    def _ordered(self, sides: tuple[Node, ...], known: list[Known]) -> None:
        for side, about in zip(sides, known, strict=True):
            if SCALE in about:
                words = ", ".join(f'"{word}"' for word in about["enum"][:2])
                self.say(f"{shown(_words_of(side))} is a word, and `<` compares its letters; write `in [{words} ...]`")

    def _matched(self, pattern: Node) -> None:
        if not isinstance(pattern, Const) or type(pattern.value) is not str:
            self.say("the pattern of `matches` must be written as text, so that it can be checked now")
            return
        trouble = _pattern_trouble(pattern.value)
        if trouble is not None:
            self.say(f"the pattern {shown(pattern.value)} {trouble}")


def _pattern_trouble(pattern: str) -> str | None:
    """What is wrong with a pattern of ``matches``, which looks anywhere in the text unless it is anchored."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        re2.compile(pattern, options)
        if _MULTILINE.search(pattern) is not None:
            return "uses the flag `m`, with which `^` and `$` hold at every line"
        if pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$"):
            # Balanced on its own, so the outer `^` and `$` belong to the whole and not to one branch of `|`.
            re2.compile(f"(?:{pattern[1:-1]})", options)
            if not _has_outer_choice(pattern[1:-1]):
                return None
    except re2.error:
        return "is not a regular expression (RE2)"
    return "also matches in the middle of a text; write `^(...)$`, with `.*` where anything may stand"


def _has_outer_choice(pattern: str) -> bool:
    """Whether a ``|`` stands outside every group and class."""
    depth, index, in_class = 0, 0, False
    while index < len(pattern):
        character = pattern[index]
        if character == "\\":
            if pattern.startswith("\\Q", index):
                end = pattern.find("\\E", index)
                index = len(pattern) if end < 0 else end
            index += 2
            continue
        if in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            index += 1 if pattern.startswith(("[]"), index) else 2 if pattern.startswith("[^]", index) else 0
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "|" and depth == 0:
            return True
        index += 1
    return False


def _path(node: Node) -> ViewPath | None:
    if isinstance(node, Ident):
        return (node.name,)
    if isinstance(node, Select):
        above = _path(node.operand)
        return None if above is None else (*above, node.field)
    if isinstance(node, Call) and node.function == "_[_]" and len(node.arguments) == 2:
        above, key = _path(node.arguments[0]), node.arguments[1]
        name = key.value if isinstance(key, Const) and type(key.value) is str else "*"
        return None if above is None else (*above, name)
    return None


def _words_of(node: Node) -> str:
    if isinstance(node, Const):
        return literal(node.value)
    path = _path(node)
    return ".".join(path) if path is not None else "this"


def _written(operand: Node, name: str) -> str:
    return f"{_words_of(operand)}.{name}"


def _no_member(operand: Node, name: str, owner: Known) -> str:
    known = owner.get("properties", {})
    hint = expected(name, known) if known else "nothing is declared there"
    return f"there is no {shown(_written(operand, name))}; {hint}"
