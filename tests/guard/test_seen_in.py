"""Where values stood before, as a run that is observed remembers it: bounds, and what is no place."""

from __future__ import annotations

from typing import Any

import pytest

from agentguard.guard.seen_in import SeenIn


def folded(times: int) -> Any:
    """As YAML with aliases makes it: one small list, held twice by the next, and so on."""
    inside: Any = ["EXP-7"]
    for _ in range(times):
        inside = [inside, inside]
    return inside


@pytest.mark.parametrize("outsiders", [(), (("all",),)], ids=["clean", "outsiders"])
def test_what_holds_one_list_a_million_times_is_not_walked_through(outsiders: Any) -> None:
    """Past its bounds nothing is known: a record says null. The near miss below it is looked at."""
    seen = SeenIn()
    seen.remember("find", {"all": folded(5)}, {}, outsiders)
    found = seen.of({"id": "EXP-7"}, {})
    assert found is not None and len(found["id"]) == 1

    seen.remember("find", {"all": folded(18)}, {}, outsiders)
    assert seen.of({"id": "EXP-7"}, {}) is None


def test_what_can_be_read_once_is_not_read() -> None:
    """The tool's caller reads it."""
    once = iter(["EXP-7"])
    SeenIn().remember("find", {"all": once}, {}, (("all",),))

    assert list(once) == ["EXP-7"]
