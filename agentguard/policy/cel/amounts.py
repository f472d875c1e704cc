"""Amounts: CEL expressions for a number, exact in millionths."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from agentguard.core.policy import MICROS, Fault, View
from agentguard.policy.cel.compiling import NotCompiled, compiled
from agentguard.policy.cel.program import Program
from agentguard.policy.cel.scope import Scope
from agentguard.policy.words import shown

MAX_MICROS = 2**62


class CompiledAmount(Program):
    """An expression for a number."""

    __slots__ = ()

    def of(self, view: View) -> int | Fault:
        """The amount in millionths, exact and not negative, or a Fault. Never raises."""
        value = self.value(view)
        return value if type(value) is Fault else to_micros(value)


def compile_amount(text: str, scope: Scope) -> CompiledAmount:
    """An expression for a number in this scope. Raises NotCompiled."""
    tree, types, found = compiled(text, scope, ("INT", "UINT", "DOUBLE", "DYN"), "a number")
    try:
        return CompiledAmount(text, tree, types, found, scope)
    except ValueError as error:
        raise NotCompiled([f"{shown(text)}: {error}"]) from None


def to_micros(value: Any) -> int | Fault:
    """A number in millionths: exact by its shortest decimal text, not negative, at most 2^62 millionths."""
    if type(value) is int:
        micros = value * MICROS
    elif type(value) is float:
        try:
            exact = Decimal(repr(value)) * MICROS
            micros = int(exact)
        except (InvalidOperation, OverflowError, ValueError):
            return Fault("the amount is not a finite number")
        if micros != exact:
            return Fault("the amount has more than six decimals")
    else:
        return Fault(f"the amount is {type(value).__name__}, not a number")
    if micros < 0:
        return Fault("the amount is negative")
    return micros if micros <= MAX_MICROS else Fault("the amount is too large")
