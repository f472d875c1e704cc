"""Once per person, order or reservation; and limits that count successes: through a guard, under threads."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from small_bundle import TEXT, small_bundle

from agentguard.errors import PolicyError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.testing import in_memory_guard

MAIL = {"kind": "email", "argument": "to"}
LISTED = {"kind": "email", "pattern": "*@corp.example", "sensitivity": "internal"}


def guard_with(step: dict[str, Any], tool: dict[str, Any] | None = None, **workflow: Any) -> Any:
    """One step that cancels an order, and one that sends a mail."""
    entry = {"args": {"order": TEXT}, "effect": "delete", **step}
    files = small_bundle({"cancel": {**entry, "tool": tool or {}}})
    made = json.loads(files["w.yaml"].replace("2029-12-31", '"@"'))
    files["w.yaml"] = json.dumps({**made, **workflow}).replace('"@"', "2029-12-31")
    return in_memory_guard(files)


class Shop:
    """Cancels orders; fails where it is told to."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.fails: Exception | None = None

    def cancel(self, order: str) -> str:
        if self.fails is not None:
            raise self.fails
        self.cancelled.append(order)
        return "cancelled"


def permitted(call: Any, *orders: str) -> list[str]:
    """Those of the calls that ran."""
    ran = []
    for order in orders:
        try:
            call(order)
        except (ToolCallDenied, OSError):
            continue
        ran.append(order)
    return ran


def reasons(guard: Guard) -> list[str]:
    return list(guard.records(kind="decision"))[-1]["reasons"]


def test_once_per_order_is_once_for_each_order_however_it_is_spelt() -> None:
    """Another order is not used up, another spelling is no other order."""
    shop = Shop()
    with guard_with({"at_most": 1, "per": "args.order"}) as guard, guard.run("w"):
        cancel = guard.wrap(shop.cancel)
        ran = permitted(cancel, "ORD-1", "ORD-1", "ord-1", " ORD-1", "ORD-2", "ORD-1", "ORD-2")

        assert ran == ["ORD-1", "ORD-2"] and reasons(guard) == ["step_used_up"]
        assert "ORD-1" not in json.dumps([record["changes"] for record in guard.records()])


def test_a_destination_is_counted_in_its_canonical_form() -> None:
    """One person has one address, however it is written."""
    sent: list[str] = []

    def send(to: str) -> str:
        sent.append(to)
        return "sent"

    files = small_bundle({"send": {"args": {"to": TEXT}, "effect": "send", "at_most": 1, "per": "args.to",
                                   "tool": {"destinations": [MAIL]}}})  # fmt: skip
    made = json.loads(files["w.yaml"].replace("2029-12-31", '"@"'))
    made["steps"]["send"]["destinations"] = {"up_to": "internal"}
    files["w.yaml"] = json.dumps(made).replace('"@"', "2029-12-31")
    listed = {"apiVersion": "agentguard/v1", "kind": "Destinations", "destinations": [LISTED]}
    with in_memory_guard({**files, "d.yaml": json.dumps(listed)}) as guard, guard.run("w"):
        call = guard.wrap(send)
        ran = permitted(call, "ann@corp.example", "ann@CORP.example", "ann@corp.example.", "bob@corp.example")

    assert ran == ["ann@corp.example", "bob@corp.example"] and len(sent) == 2


def test_under_threads_each_order_is_cancelled_once() -> None:
    """Forty calls at once for four orders."""
    shop = Shop()
    with guard_with({"at_most": 1, "per": "args.order"}) as guard, guard.run("w") as run:
        cancel = run.carry(guard.wrap(shop.cancel))
        with ThreadPoolExecutor(8) as pool:
            ran = list(pool.map(lambda n: permitted(cancel, f"ORD-{n % 4}"), range(40)))

    assert sum(map(len, ran)) == 4 and sorted(shop.cancelled) == [f"ORD-{n}" for n in range(4)]


@pytest.mark.parametrize(
    ("counting", "effect", "tool", "again"),
    [
        (True, "delete", {"failure_did_nothing": True}, True),
        (True, "read", {}, True),
        (True, "delete", {}, False),
        (False, "read", {"failure_did_nothing": True}, False),
    ],
)
@pytest.mark.parametrize("per", [True, False])
def test_a_failure_is_given_back_where_it_did_nothing_and_successes_are_counted(
    counting: bool, effect: str, tool: dict[str, Any], again: bool, per: bool
) -> None:
    """A read did nothing by itself; of any other tool its developers must say so."""
    shop = Shop()
    step: dict[str, Any] = {"at_most": 1, "effect": effect, **({"per": "args.order"} if per else {})}
    step |= {"counting": "successes"} if counting else {}
    with guard_with(step, tool) as guard, guard.run("w"):
        cancel = guard.wrap(shop.cancel)
        shop.fails = OSError()
        assert permitted(cancel, "ORD-1") == []
        shop.fails = None
        ran = permitted(cancel, "ORD-1", "ORD-1")

    assert ran == (["ORD-1"] if again else [])


def test_a_call_under_way_counts() -> None:
    """A call inside of a call must not get past a limit that counts successes."""
    inner: list[list[str]] = []

    class Nested(Shop):
        def cancel(self, order: str) -> str:
            if not inner:
                inner.append([])
                inner[0] = permitted(cancel, "ORD-2")
            return super().cancel(order)

    shop = Nested()
    step = {"at_most": 1, "counting": "successes"}
    with guard_with(step, {"failure_did_nothing": True}) as guard, guard.run("w"):
        cancel = guard.wrap(shop.cancel)
        assert permitted(cancel, "ORD-1") == ["ORD-1"]

    assert inner == [[]] and shop.cancelled == ["ORD-1"]


@pytest.mark.parametrize("per", ["run", "1d"])
def test_a_budget_that_counts_successes_gets_a_failure_back(per: str) -> None:
    """Reserved at admission; given back once it is known that nothing happened."""
    shop = Shop()
    budgets = {"orders": {"count": True, "of": "cancel", "at_most": 1, "per": per, "counting": "successes"}}
    with guard_with({}, {"failure_did_nothing": True}, budgets=budgets) as guard, guard.run("w"):
        cancel = guard.wrap(shop.cancel)
        shop.fails = OSError()
        permitted(cancel, "ORD-1", "ORD-2")
        shop.fails = None

        assert permitted(cancel, "ORD-1", "ORD-2") == ["ORD-1"] and reasons(guard) == ["budget_exceeded"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"at_most": 1, "per": "args.ordr"}, "did you mean `order`"),
        ({"at_most": 1, "per": "inputs.order"}, "is not a path here"),
        ({"at_most": 1, "per": "args"}, "is no argument"),
        ({"at_most": 1, "per": "args.order[inputs.x]"}, "is no argument"),
        ({"at_most": 1, "per": "args.order", "args": {"order": {**TEXT, "optional": True}}}, "make it required"),
        ({"at_most": 1, "counting": "failures"}, "counting"),
        ({"counting": "successes"}, "there is no `at_most`"),
    ],
)
def test_what_counts_nothing_is_refused_when_the_bundle_loads(step: dict[str, Any], said: str) -> None:
    """With the remedy."""
    with pytest.raises(PolicyError, match=said), guard_with(step):
        pass


@pytest.mark.parametrize(("tool", "noted"), [({}, True), ({"failure_did_nothing": True}, False)])
def test_counting_successes_of_a_tool_that_gives_nothing_back_is_noted(tool: dict[str, Any], noted: bool) -> None:
    """It would count like any other limit."""
    budgets = {"orders": {"count": True, "of": "cancel", "at_most": 1, "counting": "successes"}}
    with guard_with({"at_most": 1, "counting": "successes"}, tool, budgets=budgets) as guard:
        notes = [str(note) for note in guard.bundle.notes if "failure_did_nothing" in str(note)]

    assert len(notes) == (2 if noted else 0)


FOR_ORDER = {
    "cancel": {"args": {"order": TEXT}, "effect": "delete", "per": "args.order"},
    "refund": {"args": {"order": TEXT}, "effect": "send", "require": ['done_for("cancel", args.order)']},
    "keep": {"args": {"order": TEXT}, "effect": "send", "require": ['false || !done_for("cancel", args.order)']},
}


@pytest.mark.parametrize(
    ("fails", "nothing", "refund", "keep"),
    [(False, False, True, False), (True, True, False, True), (True, False, False, False)],
)
def test_done_for_asks_what_came_of_the_calls_for_one_value(
    fails: bool, nothing: bool, refund: bool, keep: bool
) -> None:
    """What may have happened, or not, is neither done nor not done, also inside of `||`."""
    shop = Shop()
    shop.fails = OSError() if fails else None

    def refund_(order: str) -> str:
        return order

    def keep_(order: str) -> str:
        return order

    refund_.__name__, keep_.__name__ = "refund", "keep"
    cancelling = {**FOR_ORDER["cancel"], "tool": {"failure_did_nothing": nothing}}
    with in_memory_guard(small_bundle({**FOR_ORDER, "cancel": cancelling})) as guard, guard.run("w"):
        cancel, refunding, keeping = guard.wrap([shop.cancel, refund_, keep_])
        assert permitted(refunding, "ORD-1") == [] and permitted(keeping, "ORD-1") == ["ORD-1"]
        permitted(cancel, "ORD-1")

        assert permitted(refunding, "ord-1", "ORD-2") == (["ord-1"] if refund else [])
        assert permitted(keeping, "ORD-1", "ORD-2") == (["ORD-1", "ORD-2"] if keep else ["ORD-2"])


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ('done_for("cancl", args.order)', "did you mean `cancel`"),
        ('done_for("keep", args.order)', "is counted by no value"),
        ("done_for(args.order, args.order)", "written as text"),
        ('done_for("cancel")', "done_for"),
        ('tallies["x"] == 1', "tallies"),
    ],
)
def test_done_for_of_what_nobody_counts_is_refused_when_the_bundle_loads(condition: str, said: str) -> None:
    """It would be false for ever."""
    entry = {**FOR_ORDER["refund"], "require": [condition]}
    with pytest.raises(PolicyError, match=said), in_memory_guard(small_bundle({**FOR_ORDER, "refund": entry})):
        pass


@pytest.mark.parametrize(
    ("order", "per", "loads"),
    [
        ({"type": "object", "properties": {"id": TEXT, "note": TEXT}}, "args.order", False),
        ({"type": "object", "properties": {"id": TEXT, "note": TEXT}}, "args.order.id", True),
        ({"type": "array", "items": {"type": "object", "properties": {"id": TEXT}}}, "args.order", False),
        ({"type": "array", "items": {"type": "object", "properties": {"id": TEXT}}}, "args.order[*].id", True),
        ({"type": "array", "items": {"type": "array", "items": TEXT}}, "args.order", False),
        ({"type": "array", "items": {"type": "array", "items": TEXT}}, "args.order[*]", False),
        ({"type": "array", "items": {"type": "array", "items": TEXT}}, "args.order[*][*]", True),
        ({"anyOf": [TEXT, {"type": "object", "properties": {"id": TEXT}}]}, "args.order", False),
        ({"type": ["string", "integer"]}, "args.order", True),
    ],
)
def test_what_is_counted_by_is_text_or_a_number(order: dict[str, Any], per: str, loads: bool) -> None:
    """Of an object, another field would make another value."""
    step = {"at_most": 1, "per": per, "args": {"order": order}}
    if loads:
        with guard_with(step):
            return
    with pytest.raises(PolicyError, match="name the text or number in it"), guard_with(step):
        pass
