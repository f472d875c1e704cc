"""Conditions: CEL, compiled and checked at load; at run time only ``true`` itself is true.

The rules:

1. An expression is compiled once and checked twice: against the types that the workflow declares (an unknown name or a
   type that does not fit is an error with a line), and on its tree (see ``inspect``).
2. At run time an error, a missing name or a value of another type is a ``Fault``. CEL returns an error as a *value*
   whose ``.value()`` is a non-empty string, so truthy: only the booleans themselves are answers.
3. What a function of ours refuses makes the whole a ``Fault``, wherever in the expression it stands (see ``runtime``).
4. Only values that the runtime takes as they are reach it (see ``prepared``).
5. What the loops of an expression cost is added up first, and past ``MAX_STEPS`` the condition faults instead of
   holding every thread up (see ``cost``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agentguard.core.policy import Fault, View
from agentguard.policy.cel import why
from agentguard.policy.cel.compiling import NotCompiled, compiled, read
from agentguard.policy.cel.inspect import Inspection
from agentguard.policy.cel.program import Program
from agentguard.policy.cel.scope import Scope
from agentguard.policy.cel.tree import Node
from agentguard.policy.words import shown

# Each is compiled to find the one that a loop was false of: about 2 ms for all.
_MOST_LOOKED_AT = 50


class CompiledCondition(Program):
    """A yes-or-no expression. ``place``: where it stands, for reviewers."""

    __slots__ = ("_parts", "place")

    def __init__(
        self, text: str, tree: Node, types: Mapping[int, str], found: Inspection, scope: Scope, place: str = ""
    ) -> None:
        super().__init__(text, tree, types, found, scope)
        self.place = place
        self._parts: tuple[Program, ...] | None = None

    def at(self, scope: Scope, place: str) -> CompiledCondition:
        """The same condition in another step, whose scope is equal."""
        other = object.__new__(CompiledCondition)
        for name in Program.__slots__:
            setattr(other, name, getattr(self, name))
        other._scope, other._steps, other.place, other._parts = scope, scope.steps, place, None
        return other

    def holds(self, view: View) -> bool | Fault:
        """True or False, and nothing else; any error is a Fault. Never raises."""
        value = self.value(view)
        if value is True or value is False or type(value) is Fault:
            return value
        return Fault(f"gave {type(value).__name__}, not true or false")

    def explain(self, view: View, quotable: Mapping[str, Any]) -> str:
        """The part that decided, what it read of what may be quoted, and where it stands. Never raises."""
        try:
            return self._explained(view, quotable)
        except Exception as error:  # an explanation is worth no refused record
            return f"{why.source(self.text)} could not be explained ({type(error).__name__}){self._at()}"

    def _explained(self, view: View, quotable: Mapping[str, Any]) -> str:
        if self._parts is None:
            self._parts = tuple(self._part(text) for text in why.conjuncts(self.text))
        answers = [(part, part.value(view)) for part in self._parts]
        # As everywhere in CEL, one false part makes the whole false, whatever errs beside it.
        part, value = next((found for found in answers if found[1] is False), (self, True))
        if value is True:
            part, value = next((found for found in answers if found[1] is not True), (self, True))
        text, extra = part.text, ""
        if value is False:
            gave, extra = "is false", self._element(part, view, quotable)
        elif value is True:
            gave = "is true"
        else:
            gave = f"cannot be worked out: {value.detail if type(value) is Fault else 'neither true nor false'}"
        read = "" if "is missing" in gave else why.values(part.found.reads, text, quotable)
        return f"{why.source(text)} {gave}{extra}{': ' if read else ''}{read}{self._at()}"

    def _at(self) -> str:
        return f" ({self.place})" if self.place else ""

    def _part(self, text: str) -> Program:
        return Program(text, *read(text, self._scope), self._scope)

    def _element(self, part: Program, view: View, quotable: Mapping[str, Any]) -> str:
        """Of `list.all(...)`, which element is the first that it is false of."""
        loop = why.each(part.text)
        for index in range(_MOST_LOOKED_AT) if loop is not None else ():
            one = self._part(f"[({loop[0]})[{index}]].all({loop[1]}, {loop[2]})") if loop is not None else part
            value = one.value(view)
            if value is False:
                return f" of element {index}{why.element(loop[0], index, quotable)}" if loop is not None else ""
            if value is not True:
                break
        return ""


def compile_condition(text: str, scope: Scope, place: str = "") -> CompiledCondition:
    """A yes-or-no expression in this scope. Raises NotCompiled."""
    return _condition(text, scope).at(scope, place)


# In a bundle of many workflows, most conditions stand in many of them; compiling one takes a millisecond.
@lru_cache(maxsize=4096)
def _condition(text: str, scope: Scope) -> CompiledCondition:
    tree, types, found = compiled(text, scope, ("BOOL",), "true or false")
    try:
        return CompiledCondition(text, tree, types, found, scope)
    except ValueError as error:
        raise NotCompiled([f"{shown(text)}: {error}"]) from None
