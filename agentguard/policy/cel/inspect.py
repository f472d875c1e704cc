"""What an expression uses, and what in it can never have been meant: checked on its tree, at load.

Reported: members that nothing declares, a literal compared with something of another type or with a word that it can
never be, `<` on words of a scale, patterns that are not anchored, loops inside loops inside loops, `map` and `filter`
over lists without an end, loop variables that hide a name of the language; and what ``literals`` knows of parts that
can never work. What works, and means something else than it seems, is a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentguard.policy.cel.comparisons import comparison_findings
from agentguard.policy.cel.cost import ASSUMED, Cost, How, Over, ViewPath, estimate
from agentguard.policy.cel.functions.table import bind
from agentguard.policy.cel.known import extent, given_by, given_by_loop, misplaced, unknown_function
from agentguard.policy.cel.literals import Evaluate, call_troubles, constant_trouble, in_words, is_constant, surprise
from agentguard.policy.cel.loop_findings import copies_too_much, true_of_nothing
from agentguard.policy.cel.loops import bound_variable
from agentguard.policy.cel.outside_runtime import pure
from agentguard.policy.cel.paths import MEMBERS, member_words, path_of, words_of
from agentguard.policy.cel.patterns import pattern_trouble
from agentguard.policy.cel.places import Looked, places_in
from agentguard.policy.cel.scope import ANYTHING, NAMES, TALLIES, Known, Scope, element, member, required
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select
from agentguard.policy.words import expected, shown

# Two loops are a join of two lists; three are a way to spend the decision's time.
MAX_LOOPS = 2
# What an element costs of which nothing is known.
_UNKNOWN = 100

# Functions that look at each character of a text, or at the place of a list only.
_READS: Mapping[str, How] = dict.fromkeys(
    ("matches", "size", "trim", "charAt", "substring", "lowerAscii", "upperAscii", "split", "replace", "indexOf"),
    "text",
)


@dataclass(slots=True)
class Inspection:
    """What was found in one expression. ``costs``: what happens in loops, and how often.

    ``notes`` say of what is no mistake that it means something else than it seems; ``over_nothing`` the same of loops
    over lists that may be empty, unless the list is among those whose size is asked for (``sized``). ``kept``: where in
    what is kept it looks.
    """

    troubles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    over_nothing: list[tuple[ViewPath | None, str]] = field(default_factory=list)
    sized: set[ViewPath] = field(default_factory=set)
    reads: set[ViewPath] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)
    tested: set[ViewPath] = field(default_factory=set)
    costs: list[Cost] = field(default_factory=list)
    kept: Looked = field(default_factory=Looked)


@dataclass(frozen=True, slots=True)
class _Here:
    """The variables of the loops around a node, what those loops run over (None where that is computed), and how
    the node is read."""

    variables: Mapping[str, _Variable]
    loops: tuple[Over, ...]
    how: How = "whole"


@dataclass(frozen=True, slots=True)
class _Variable:
    """What is known of a loop's variable, and which loop it belongs to; None for the name of a `cel.bind`."""

    known: Known
    loop: int | None


def inspect(tree: Node, scope: Scope, evaluate: Evaluate) -> Inspection:
    """Walk an expression's tree. ``evaluate`` gives a part of literals its value. Raises nothing of its own."""
    inspector = _Inspector(scope, evaluate)
    said = misplaced(tree)
    if said is not None:
        inspector.say(said)
        return inspector.found
    inspector.visit(tree, _Here({}, ()))
    inspector.found.kept = places_in(tree, "kept")
    said = estimate(inspector.found.costs, inspector.extents)
    if said is not None:
        inspector.note(said)
    if is_constant(tree) and not inspector.found.troubles:
        inspector.note("it is made of literals alone, so it gives the same at every call")
    return inspector.found


class _Inspector:
    def __init__(self, scope: Scope, evaluate: Evaluate) -> None:
        self.scope = scope
        self.evaluate = evaluate
        self.found = Inspection()
        self.extents: dict[ViewPath, int] = {}
        self._operations = self._calls = 0
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
        self._uses(node, here, known := self._known(node.name, here))
        return known

    def _known(self, name: str, here: _Here) -> Known:
        if name in here.variables:
            return here.variables[name].known
        if name in NAMES and name not in self.scope.names:
            self.say(f"{shown(name)} is not known here, because the step's tool declares no destinations in Tools")
        return self.scope.names.get(name, ANYTHING)

    def _root(self, name: str) -> None:
        if name in NAMES:  # `int`, `string` ... are names of types, not of the view
            self.found.roots.add(name)

    def _uses(self, node: Node, here: _Here, known: Known) -> None:
        path = path_of(node)
        if path is None:
            return
        variable = here.variables.get(path[0])
        if variable is None:
            self._root(path[0])
            self.found.reads.add(path)
            if here.loops and path[0] in NAMES:
                self._costs(Cost(here.loops, path, here.how))
                if known.get("type") == "array" and here.how == "whole":
                    self.extents[path] = known.get("maxItems", ASSUMED)
        elif variable.loop is not None and (len(here.loops) > variable.loop + 1 or here.how == "text"):
            source = here.loops[variable.loop]
            read = (*source, "*", *path[1:]) if isinstance(source, tuple) else None
            self._costs(Cost(here.loops, read, here.how, _UNKNOWN))

    def _costs(self, cost: Cost) -> None:
        if cost not in self.found.costs:
            self.found.costs.append(cost)

    def _select(self, node: Select, here: _Here) -> Known:
        return self._member(node, node.operand, node.field, here, node.test_only)

    def _member(self, node: Node, operand: Node, name: str, here: _Here, test_only: bool = False) -> Known:
        owner = self._owner(operand, here)
        if test_only:
            path = path_of(operand)
            if required(owner, name):
                self.say(f"{shown(member_words(operand, name))} is always there; remove `has(...)`")
            elif path is not None:
                self.found.tested.add((*path, name))
        found = member(owner, name)
        if found is None:
            self.say(_no_member(operand, name, owner))
            return ANYTHING
        self._uses(node, here, found)
        return found

    def _owner(self, operand: Node, here: _Here) -> Known:
        """What is known of an operand; its own cost is that of the member taken from it."""
        if isinstance(operand, Ident):
            if operand.name not in here.variables:
                self._root(operand.name)
            return self._known(operand.name, here)
        return self.visit(operand, here)

    def _call(self, node: Call, here: _Here) -> Known:
        if node.function in MEMBERS and len(node.arguments) == 2:
            return self._index(node, here)
        self._operations += 1
        self._calls += self._runs_outside(node, here)
        before = len(self.found.troubles)
        if (said := unknown_function(node)) is not None:
            self.say(said)
            return ANYTHING
        known = [self.visit(argument, self._reading(node, argument, here)) for argument in node.arguments]
        if is_constant(node):
            why = self.evaluate(node)[0] if len(self.found.troubles) == before else None
            if why is not None:
                self.say(constant_trouble(node, in_words(why)))
            return ANYTHING
        for trouble in call_troubles(node, known, words_of):
            self.say(trouble)
        said = surprise(node)
        if said is not None:
            self.note(said)
        if node.function == "!_" and isinstance(node.arguments[0], Loop):
            self._over_nothing(node.arguments[0], "!{}.exists(...)", begins=False)
        if node.function == "size" and (path := path_of(node.arguments[0])) is not None:
            self.found.sized.add(path)
        for finding in comparison_findings(node, known):
            (self.note if finding.is_note else self.say)(finding.message)
        if node.function == "matches":
            self._matched(node.arguments[-1])
        return self._given(node, known)

    def _runs_outside(self, node: Call, here: _Here) -> bool:
        """Whether each pass of a loop leaves the runtime for this call."""
        if not here.loops:
            return False
        try:
            bound = bind(node)
        except ValueError:
            return False
        return node.function in ("@in", "matches") or bound is not None

    def _reading(self, node: Call, argument: Node, here: _Here) -> _Here:
        """How an argument is read. What is the same at each pass of a loop, a function of ours reads once."""
        ours = node.function == "@in" and argument is node.arguments[-1]
        try:
            ours = ours or bind(node) is not None
        except ValueError:
            return here
        if here.loops and ours and pure(argument, frozenset(here.variables)) is not None:
            return replace(here, loops=())
        return replace(here, how=_READS.get(node.function, "whole"))

    def _given(self, node: Call, known: list[Known]) -> Known:
        try:
            bound = bind(node)
        except ValueError as error:
            self.say(str(error))
            return ANYTHING
        if bound is None:
            return ANYTHING
        if node.function == "done_for":
            self._root(TALLIES)
        found, said = given_by(node, known, words_of)
        if said is not None:
            self.say(said)
        return found

    def _index(self, node: Call, here: _Here) -> Known:
        operand, key = node.arguments
        if isinstance(key, Const) and type(key.value) is str:
            return self._member(node, operand, key.value, here)
        if isinstance(key, Const) and type(key.value) is int and key.value < 0:
            name = words_of(operand)
            self.say(f"a list has no element {key.value}; its last is `{name}[size({name}) - 1]`")
        if is_constant(node):
            why = self.evaluate(node)[0]
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
        for variable in node.variables if bound_variable(node) is None else (node.accumulator,):
            if variable in NAMES or variable in self.scope.lets:
                self.say(f"the loop variable {shown(variable)} hides a name of the language; call it something else")
        if bound_variable(node) is not None:
            known = self.visit(node.before[0], here)
            path = path_of(node.before[0])
            bound = here.variables.get(path[0]) if path is not None else None
            inside = {**here.variables, node.accumulator: _Variable(known, None if bound is None else bound.loop)}
            return self.visit(node.body[2], replace(here, variables=inside))
        if len(here.loops) >= MAX_LOOPS:
            self.say(f"more than {MAX_LOOPS} loops inside each other")
            return ANYTHING
        source = self.visit(node.source, replace(here, how="place"))
        if (said := copies_too_much(node, source)) is not None:
            self.say(said)
        self._over_nothing(node, "{}.all(...)", begins=True)
        inside = dict(here.variables)
        depth = len(here.loops)
        inside.update(dict.fromkeys((*node.variables, node.accumulator), _Variable(ANYTHING, depth)))
        inside[node.variables[0]] = _Variable(element(source), depth)
        for part in node.before:
            self.visit(part, here)
        over = self._source(node.source, here)
        if isinstance(over, tuple) and (size := extent(node.source, source)) is not None:
            self.extents[over] = size
        there = _Here(inside, (*here.loops, over))
        outside, self._operations, self._calls = (self._operations, self._calls), 0, 0
        for part in node.body:
            self.visit(part, there)
        self.found.costs.append(Cost.of_operations(there.loops, self._operations, self._calls))
        self._operations, self._calls = outside
        return given_by_loop(node, source)

    def _source(self, node: Node, here: _Here) -> Over:
        """What a loop runs over, where its length can be looked up in the view."""
        path = path_of(node)
        if isinstance(node, Items):
            return extent(node, ANYTHING)
        if path is None or path[0] not in here.variables:
            return None if path is None or "*" in path else path
        loop = here.variables[path[0]].loop
        source = here.loops[loop] if loop is not None else None
        return (*source, "*", *path[1:]) if isinstance(source, tuple) else None

    def _over_nothing(self, loop: Loop, form: str, *, begins: bool) -> None:
        found = true_of_nothing(loop, form, self.scope, begins=begins)
        if found is not None:
            self.found.over_nothing.append(found)

    def _matched(self, pattern: Node) -> None:
        if not isinstance(pattern, Const) or type(pattern.value) is not str:
            self.say("the pattern of `matches` must be written as text, so that it can be checked now")
            return
        trouble = pattern_trouble(pattern.value)
        if trouble is not None:
            self.say(f"the pattern {shown(pattern.value)} {trouble}")


def _no_member(operand: Node, name: str, owner: Known) -> str:
    known = owner.get("properties", {})
    hint = expected(name, known) if known else "nothing is declared there"
    return f"there is no {shown(member_words(operand, name))}; {hint}"
