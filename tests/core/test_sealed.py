"""Values that fill themselves quickly are as frozen, equal and complete as any other."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentguard.core.facts import Facts, RunState
from agentguard.core.request import Request
from agentguard.core.sealed import sealed
from agentguard.core.values import Destination, Identity
from agentguard.ledger import Admission, Closing


@sealed
@dataclass(frozen=True, slots=True)
class Quick:
    a: int
    b: list[int] = field(default_factory=list)
    c: str = "c"


@pytest.mark.parametrize("cls", [Quick, RunState, Facts, Request, Identity, Destination, Admission, Closing])
def test_nobody_changes_a_sealed_value(cls: Any) -> None:
    fields = [each.name for each in dataclasses.fields(cls)]
    value = cls(**dict.fromkeys(fields, 1))

    assert type(value) is cls
    for name in fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 2)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(value, name)
    assert dataclasses.astuple(value) == (1,) * len(fields)


def test_it_is_made_as_its_class_says() -> None:
    assert Quick(1) == Quick(a=1, b=[], c="c")
    assert Quick(1).b is not Quick(1).b
    assert dataclasses.replace(Quick(1), c="d") == Quick(1, [], "d") == copy.copy(Quick(1, [], "d"))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        Quick(1, d=2)  # type: ignore[call-arg]
