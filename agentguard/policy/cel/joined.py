"""All conditions of a step as one expression, so that a permitted call crosses into the runtime once.

It says one thing only: that every condition is true. ``&&`` takes an error beside a false for false, never one beside a
true, so it is true where all are. Whatever else it gives, each condition is asked by itself, for the findings.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentguard.core.policy import Fault, View
from agentguard.policy.cel.conditions import CompiledCondition, compile_condition
from agentguard.policy.cel.scope import Scope

_ASK_EACH = Fault("each condition is asked by itself")


class JoinedConditions:
    """See the module. Compiled when it is first asked, because most steps of a bundle are not."""

    __slots__ = ("_conditions", "_scope", "_whole", "text")

    def __init__(self, conditions: Sequence[CompiledCondition], scope: Scope) -> None:
        self._conditions = tuple(conditions)
        self._scope = scope
        # Each on lines of its own: one may end in a comment.
        self.text = " && ".join(f"(\n{condition.text}\n)" for condition in conditions)
        self._whole: CompiledCondition | None = None
        if not all(condition.is_quick for condition in self._conditions):
            self._conditions = ()

    def holds(self, view: View) -> bool | Fault:
        """True where every condition is; a Fault where each is to be asked by itself. Never raises."""
        # Conditions that compare may see other spellings than the others do: one expression cannot see both.
        if not self._conditions or view.compared is not None:
            return _ASK_EACH
        whole = self._whole
        if whole is None:
            try:
                whole = self._whole = compile_condition(self.text, self._scope)
            except Exception:  # too long together, or of types that go together only apart
                self._conditions = ()
                return _ASK_EACH
        return True if whole.holds(view) is True else _ASK_EACH
