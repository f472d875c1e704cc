"""What proves that the entries of a wrapped tool refuse must not itself be what lets one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentguard.errors import ConfigurationError
from agentguard.guard.canary import CanaryGate, prove


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def refused(canary: CanaryGate) -> Any:
    return canary.call(None, None)


def unguarded(canary: CanaryGate) -> Any:
    raise Unsayable


def broken(outcome: object) -> bool:
    return outcome.is_error  # type: ignore[attr-defined, no-any-return]


def test_entries_that_refuse_are_proved() -> None:
    assert prove("tool", lambda canary: {"call": lambda: refused(canary)}) == ["call"]


@pytest.mark.parametrize(
    ("entry", "refuses", "said"),
    [
        (unguarded, None, r"the proof of its entries broke off \(RuntimeError\)"),
        (refused, broken, r"the proof of its entries broke off \(AttributeError\)"),
    ],
)
def test_a_proof_that_breaks_off_proves_nothing(
    entry: Callable[[CanaryGate], Any], refuses: Callable[[object], bool] | None, said: str
) -> None:
    """It runs on a thread of its own, and what a thread raises nobody hears."""
    more = {} if refuses is None else {"refuses": refuses}
    with pytest.raises(ConfigurationError, match=said):
        prove("tool", lambda canary: {"call": lambda: entry(canary)}, **more)


def test_a_tool_without_an_entry_is_not_guarded() -> None:
    with pytest.raises(ConfigurationError, match="it has no entry"):
        prove("tool", lambda canary: {})
