"""The page on adapters shows the shortest one. It runs as it stands there, and forgets nothing that a gate does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guard.conftest import FILES, Clock
from pydantic import ValidationError

from agentguard.errors import ConfigurationError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger

PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"
SCHEMA = {
    "type": "object",
    "properties": {"ticket_id": {"type": "string"}},
    "required": ["ticket_id"],
    "additionalProperties": False,
}
TICKET = {"ticket": "EXP-7"}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text)
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=Clock()) as made:
        yield made


@pytest.fixture
def page() -> dict[str, Any]:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "acme"}
    exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
    return names


def test_the_shortest_adapter_guards(guard: Guard, page: dict[str, Any]) -> None:
    """What is permitted runs, what is not does not, and what cannot be read is on record, by the gate alone."""
    ran: list[Any] = []
    tool = page["Tool"]("get_ticket", SCHEMA, ran.append)
    guarded = page["wrap"](guard, tool)

    with guard.run("customer-export", inputs=TICKET):
        guarded.run({"ticket_id": "EXP-7"})
        for wrong in ({"ticket_id": 7}, {}, {"ticket_id": "EXP-7", "more": 1}):
            with pytest.raises(ValidationError):
                guarded.run(wrong)
        with pytest.raises(ToolCallDenied):
            guarded.run({"ticket_id": "EXP-8"})

    assert ran == [{"ticket_id": "EXP-7"}]
    (canary,) = guard.records(kind="canary")
    assert canary["why"] == "refused through run" and canary["framework"] == "acme"
    decisions = list(guard.records(kind="decision"))
    assert [each["effect"] for each in decisions] == ["permit"] + ["deny"] * 4
    assert ["arguments_invalid" in each["reasons"] for each in decisions] == [False, True, True, True, False]


def test_an_entry_that_leads_past_the_gate_is_noticed_when_wrapping(guard: Guard) -> None:
    """Reached, answered by itself, swallowed, or not there at all: nothing of it counts as refused."""
    gate = guard.gate("get_ticket", definition={}, framework="acme")

    def swallowed(canary: Any) -> Any:
        with pytest.raises(ToolCallDenied):
            canary.call(None, None)
        return "fine"

    for entries, says in (
        (lambda canary: {"run": canary.stand_in(print)}, "reached the tool"),
        (lambda canary: {"run": lambda: "done"}, "did not refuse"),
        (lambda canary: {"run": lambda: swallowed(canary)}, "did not refuse"),
        (lambda canary: {"run": lambda: canary.deny("unread")}, "did not refuse"),
        (lambda canary: {"run": lambda: 1 / 0}, "did not refuse a canary call .ZeroDivisionError"),
        (lambda canary: {}, "has no entry"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            gate.prove(entries)

    assert list(guard.records(kind="canary")) == []


def test_each_kind_of_entry_is_proved(guard: Guard) -> None:
    """Called, awaited, yielded: one runner drives them all, and none needs a loop of the caller's."""
    gate = guard.gate("get_ticket", definition={}, framework="acme")
    gate.prove(
        lambda canary: {
            "call": lambda: canary.call(None, None),
            "acall": lambda: canary.acall(None, None),
            "stream": lambda: canary.stream(None, None),
            "astream": lambda: canary.astream(None, None),
        }
    )
    (canary,) = guard.records(kind="canary")
    assert canary["why"] == "refused through call, acall, stream, astream"


def test_a_stand_in_is_of_the_kind_of_what_it_stands_for(guard: Guard) -> None:
    """A door that asks whether a body is awaited or yields must go the same way with both."""
    gate = guard.gate("get_ticket", definition={}, framework="acme")

    async def coroutine() -> None: ...

    def generator() -> Iterator[None]:
        yield

    async def asyncgen() -> Any:
        yield

    for function in (print, coroutine, generator, asyncgen):
        with pytest.raises(ConfigurationError, match="reached the tool"):
            gate.prove(lambda canary, function=function: {"run": canary.stand_in(function)})


def test_the_gate_of_a_filled_tool_reads_what_the_workflow_fills(tmp_path: Path, page: dict[str, Any]) -> None:
    """The shortest adapter fills arguments, too: it only hands over how it reads."""
    files = dict(FILES)
    whole = "      ticket_id: {type: string}"
    assert files["customer-export.yaml"].count(whole) >= 1
    files["customer-export.yaml"] = files["customer-export.yaml"].replace(
        whole, "      ticket_id: {type: string, fill: inputs.ticket}", 1
    )
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    ran: list[Any] = []
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=Clock()) as guard:
        guarded = page["wrap"](guard, page["Tool"]("get_ticket", SCHEMA, ran.append))
        with guard.run("customer-export", inputs=TICKET):
            guarded.run({})
            with pytest.raises(ToolCallDenied):
                guarded.run({"ticket_id": "EXP-8"})

    assert ran == [{"ticket_id": "EXP-7"}]
