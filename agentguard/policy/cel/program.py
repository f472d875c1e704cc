"""A compiled expression, and its value for one call: a Fault wherever there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentguard.core.policy import Fault, View
from agentguard.policy.cel.cost import PASSES_AT_A_TIME, bill
from agentguard.policy.cel.inspect import Inspection
from agentguard.policy.cel.prepared import Prepared
from agentguard.policy.cel.rewrite import rewritten
from agentguard.policy.cel.runtime import ERROR, Frame, evaluated
from agentguard.policy.cel.scope import Scope
from agentguard.policy.cel.tree import Node
from agentguard.policy.words import shown

# Values of the names that a condition reads, past which taking lists apart costs more than going around them.
MUCH = 500
# A condition that reads both compares what the agent wrote with what the run was given: places in one spelling.
_OF_THE_CALL = frozenset({"args", "destination", "destinations"})
_OF_THE_RUN = frozenset({"inputs", "kept"})
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MISSING_KEY = re.compile(r'NOT_FOUND: Key not found in map : "([^"]*)"')
_TWO_KINDS = re.compile(r"No matching overload.*\((?:double, int64|int64, double)\)")
_ERRORS = (
    ("No matching overload", "values of types that do not go together"),
    ("divide by zero", "a division by zero"),
    ("modulus by zero", "a division by zero"),
    ("overflow", "a number too large"),
    ("out of range", "a number too large"),
    ("No value with name", "a name is not known"),
    ("index out of bounds", "a list is too short"),
    ("budget", "a loop is too long"),
)


class Program:
    """A compiled expression and what it reads."""

    __slots__ = (
        "_compares",
        "_for_much",
        "_members",
        "_order",
        "_roots",
        "_runs",
        "_scope",
        "_steps",
        "found",
        "text",
    )

    def __init__(self, text: str, tree: Node, types: Mapping[int, str], found: Inspection, scope: Scope) -> None:
        self.text = text
        self._scope = scope
        self.found = found
        self._runs = rewritten(tree, types)
        self._for_much = rewritten(tree, types, for_much=True)
        self._roots = frozenset(found.roots)
        self._order = tuple(sorted(found.roots))
        self._compares = not (_OF_THE_CALL.isdisjoint(self._roots) or _OF_THE_RUN.isdisjoint(self._roots))
        self._steps = scope.steps
        texts = (text, *(let.text for let in scope.lets.values()))
        self._members = frozenset(word for written in texts for word in _WORD.findall(written))

    @property
    def is_quick(self) -> bool:
        """Whether it is evaluated in one go: nothing in it is counted or carried over."""
        return not self._runs.has_frame and not self.found.costs

    def value(self, view: View) -> Any:
        """The value, or a Fault. Never raises."""
        try:
            prepared = self._prepared(view)
            if type(prepared) is Fault:
                return prepared
            runs, at_a_time = self._runs, 1
            if prepared.held > MUCH and sum(prepared.sizes[root] for root in self._order) > MUCH:
                runs, at_a_time = self._for_much, PASSES_AT_A_TIME
            if self.found.costs:
                cost = bill(self.found.costs, prepared.names)
                if cost.trouble is not None:
                    return Fault(cost.trouble)
                if cost.at_a_time is not None:
                    runs, at_a_time = self._for_much, cost.at_a_time
            said = None
            if not runs.has_frame:
                answer = runs.program.eval(prepared.activation)
            else:
                frame = Frame(runs.plan, prepared.names, at_a_time)
                answer = evaluated(runs.program, prepared.activation, frame)
                if frame.fault is not None or frame.entered:
                    return Fault(frame.fault or self._not_given(answer))
                said = frame.said
            value = answer.value()
            # An error's value is text; no other text is a boolean or a number either.
            return Fault(said or self._why(value)) if type(value) is str and answer.type() == ERROR else value
        except Exception as error:
            return Fault(f"could not be evaluated ({type(error).__name__})")

    def _prepared(self, view: View) -> Any:
        """The values that it reads, in the runtime's form, or a Fault."""
        if self._compares and view.compared is not None:
            view = view.compared
        prepared = view.prepared
        if type(prepared) is not Prepared or prepared.steps is not self._steps:
            prepared = view.prepared = Prepared(self._steps)
        if not prepared.has(self._roots):
            fault = prepared.add(self._order, view.names)
            if fault is not None:
                return fault
        return prepared

    def cost(self, view: View) -> int | None:
        """The steps that its loops take for these values, of at most ``MAX_STEPS``; None where that is not known."""
        prepared = self._prepared(view)
        return bill(self.found.costs, prepared.names).steps if type(prepared) is Prepared else None

    def _not_given(self, answer: Any) -> str:
        """Why a function of ours was entered and never run: what it was to be given is itself an error."""
        value = answer.value()
        if type(value) is str and answer.type() == ERROR:
            return self._why(value)
        return "a function was given what is missing or wrong"

    def _why(self, error: object) -> str:
        """The runtime's error without the values it quotes."""
        text = str(error)
        missing = _MISSING_KEY.match(text)
        if missing is not None:
            return f"{shown(missing[1]) if missing[1] in self._members else 'a member'} is missing"
        if _TWO_KINDS.search(text) is not None:
            return "a whole number and a number with decimals do not go together; write `double(...)` around each"
        return next((said for sign, said in _ERRORS if sign in text), "an error of the expression's own")
