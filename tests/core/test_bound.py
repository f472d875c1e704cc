"""A yes is for what people saw: whatever differs when the call is made, in one field, it does not run by that yes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from core_cases import EXPORT, NOW, Case, good
from decision_generator import on_its_part

from agentguard.core.answers import Need
from agentguard.core.canonical import canonical_bytes, read_canonical
from agentguard.core.request import Request
from agentguard.core.values import Effect, Sensitivity, ToolEffect

Mutation = Callable[[Case, Random], Case]


def other(random: Random) -> str:
    return f"sha256:{random.getrandbits(256):064x}"


def name(random: Random) -> str:
    return f"user:x{random.getrandbits(64):x}"


def with_arguments(case: Case, arguments: dict[str, Any], **changed: Any) -> Case:
    """The same call with something else in it, as the guard would ask about it."""
    canonical = canonical_bytes(arguments)
    made: dict[str, Any] = {
        "run_id": "run-1", "workflow": "customer-export", "tool": "warehouse.export", "canonical": canonical,
        "arguments": read_canonical(canonical), "definition": case.facts.definition, "salt": "5a17",
    }  # fmt: skip
    return replace(case, request=Request.make(**made | changed))


def a_value(random: Random, before: Any) -> Any:
    near = [before + 1, before - 1, -before, str(before), [before], None, True] if isinstance(before, int) else []
    near += [f"{before} ", f"{before}\u200b", str(before).upper(), {"is": before}, before * 2]
    return random.choice([*near, random.getrandbits(40), name(random)])


def another_argument(case: Case, random: Random) -> Case:
    arguments: dict[str, Any] = dict(case.request.arguments)
    key = random.choice([*arguments])
    value = a_value(random, arguments[key])
    return with_arguments(case, {**arguments, key: value})


def one_more_argument(case: Case, random: Random) -> Case:
    return with_arguments(case, {**case.request.arguments, name(random)[5:]: random.getrandbits(20)})


def one_less_argument(case: Case, random: Random) -> Case:
    gone = random.choice([*case.request.arguments])
    return with_arguments(case, {key: value for key, value in case.request.arguments.items() if key != gone})


def of_the_request(field: str) -> Mutation:
    return lambda case, random: with_arguments(case, dict(case.request.arguments), **{field: other(random)})


def in_another_order(case: Case, random: Random) -> Case:
    return with_arguments(case, dict(case.request.arguments), in_order=b'{"table":"orders","rows":500}')


def of_the_approval(field: str, value: Callable[[Random], Any]) -> Mutation:
    return lambda case, random: case.with_approval(**{field: value(random)})


def of_the_run(field: str) -> Mutation:
    return lambda case, random: case.with_facts(run=replace(case.facts.run, **{field: name(random)}))  # type: ignore[type-var]


def of_a_place(field: str, value: Callable[[Random], Any]) -> Mutation:
    def change(case: Case, random: Random) -> Case:
        places: Any = case.facts.destinations
        at, found = random.randrange(len(places)), value(random)
        if getattr(places[at], field) == found:
            return case.with_destination(at, owner=name(random))
        return case.with_destination(at, **{field: found})

    return change


def places_in_number(case: Case, random: Random) -> Case:
    places: Any = case.facts.destinations
    return case.with_facts(destinations=random.choice([places[:1], places[1:], (*places, places[0]), ()]))


def members(case: Case, random: Random) -> Case:
    before = case.policy.groups["data-stewards"]
    after = random.choice([before | {name(random)}, before - {random.choice(sorted(before))}])
    return case.with_policy(groups={**case.policy.groups, "data-stewards": after})


def of_the_rule(field: str, value: Callable[[Random], Any]) -> Mutation:
    return lambda case, random: case.with_rule(EXPORT, **{field: value(random)})


MUTATIONS: dict[str, Mutation] = {
    "an argument": another_argument,
    "one argument more": one_more_argument,
    "one argument less": one_less_argument,
    "the order of arguments": in_another_order,
    **{
        f"the {field} of the call": of_the_request(field)
        for field in ("run_id", "workflow", "tool", "definition", "salt")
    },
    **{f"the {field} asked about": of_the_approval(field, other) for field in ("request_digest", "basis")},
    "the run asked for": of_the_approval("run_id", name),
    "the workload asked for": of_the_approval("subject", name),
    "the person asked for": of_the_approval("requester", lambda random: random.choice([None, name(random)])),
    "the step asked for": of_the_approval("step", name),
    "the time to decide": of_the_approval("expires_at", lambda random: NOW + timedelta(hours=1 + random.random())),
    "whoever changed it": of_the_approval("editors", lambda random: (random.choice(["user:alice", "user:BOB"]),)),
    **{f"the {field} of the run": of_the_run(field) for field in ("id", "subject", "requester", "workflow_digest")},
    "the salt of the run": of_the_run("salt"),
    "the kind of a place": of_a_place("kind", name),
    "a place": of_a_place("id", name),
    "the class of a place": of_a_place("sensitivity", lambda random: random.choice([None, *Sensitivity])),
    "the zone of a place": of_a_place("zone", lambda random: random.choice([None, name(random)])),
    "the owner of a place": of_a_place("owner", name),
    "the category of a place": of_a_place("category", name),
    "how many places": places_in_number,
    "who is in a group": members,
    "who is asked": of_the_rule("approvers", lambda random: ("group:data-stewards", name(random))),
    "who is asked besides": of_the_rule("also", lambda random: (Need((random.choice(["user:alice", "anyone"]),)),)),
    "how many are asked": of_the_rule("quorum", lambda random: random.choice([0, 1, 3, 4])),
    "how long people have": of_the_rule("within", lambda random: timedelta(seconds=1_801 + random.randrange(10**6))),
    "how long a yes is good": of_the_rule("use_within", lambda random: timedelta(seconds=1 + random.randrange(10**6))),
    "how many noes are final": of_the_rule("deny_quorum", lambda random: random.randint(2, 99)),
    "what the tool does": lambda case, random: case.with_tool(
        effect=random.choice(
            [effect for effect in ToolEffect if effect is not case.policy.tools[case.request.tool].effect]
        )
    ),
    "the definition of the tool": lambda case, random: case.with_facts(definition=other(random)),
    "the text of the workflow": lambda case, random: case.with_workflow(digest=other(random)),
}


def check(each: int) -> None:
    approved = on_its_part(good())
    assert approved.decide().effect is Effect.PERMIT
    for title, mutation in MUTATIONS.items():
        random = Random(title)
        for _ in range(each):
            assert mutation(approved, random).decide().effect is not Effect.PERMIT, title


def test_whatever_differs_in_one_field_does_not_run_by_that_yes() -> None:
    check(50)


@pytest.mark.nightly
def test_none_of_a_hundred_thousand_calls_that_differ_in_one_field_runs_by_that_yes() -> None:
    check(-(-100_000 // len(MUTATIONS)))
