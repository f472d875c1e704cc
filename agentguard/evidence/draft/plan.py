"""From what a source says of its tools to what a draft says of them. Every guess carries what it was guessed from.

1. The worst evidence of an effect counts. `read` needs a reason, and nothing that speaks against it.
2. Whose things a call is about is fixed when the run starts: the guard fills it.
3. How much, and who gets it, is asked of a person in each step that does more than read. So is what sends, deletes,
   runs or administers, what nothing is known of, and what takes arguments that nobody described.
4. A place that a call reaches must be listed, and none is yet; where a person is asked anyway, they see which it is.
5. A tool that cannot be said safely is left out, with the reason. It can then not be wrapped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from agentguard.core.values import Json
from agentguard.evidence.draft import words
from agentguard.evidence.draft.described import MOST_TOOLS, Described, Found
from agentguard.evidence.draft.effects import guessed_effect
from agentguard.evidence.draft.nulls import with_null, without_null
from agentguard.evidence.draft.places import RECEIVES, TELLS, Place, places_of
from agentguard.evidence.draft.samples import sample
from agentguard.evidence.draft.shapes import shape_of
from agentguard.policy.json_schema.shapes import fits

_TOOL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_MOST_ARGUMENTS = 100
_ASKED = {
    "send": "it sends something to somebody",
    "delete": "it deletes",
    "execute": "it runs something",
    "admin": "it changes who may do what",
}
# Calls in one run that change something and ask nobody.
MOST_WRITES = 20


@dataclass(frozen=True, slots=True)
class Choices:
    """What an owner decided before the draft, or the defaults. ``places``: patterns by kind of destination.

    ``observe_until``: the last day on which its runs begin observed; None where they are enforced from the start.
    """

    workflow: str
    owner: str
    subject: str
    approver: str
    review_by: date
    source: str
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dialect: str | None = None
    observe_until: date | None = None


@dataclass(slots=True)
class Argument:
    """One argument as a step lists it, and why."""

    name: str
    schema: dict[str, Json]
    why: str | None = None


@dataclass(slots=True)
class ToolPlan:
    """What the draft says of one tool, and of the one step that calls it."""

    name: str
    step: str
    effect: str
    why: str
    arguments: list[Argument]
    places: list[Place]
    fixed: str | None
    secrets: list[str]
    outsiders: bool
    asks: list[str]
    call: dict[str, Json]
    filled: dict[str, str]
    plain: bool = False  # a near miss that fits every tool, where a better one did not hold


@dataclass(slots=True)
class Plan:
    """The whole draft. ``inputs``: what a run is started with, and an example of each."""

    tools: list[ToolPlan]
    inputs: dict[str, tuple[dict[str, Json], Json]]
    left_out: list[tuple[str, str]]


class _LeftOut(Exception):
    """Says why a tool cannot be in a draft."""


def planned(found: Found, choices: Choices) -> Plan:
    """The draft of all these tools. Raises nothing: what cannot be said is left out."""
    plan = Plan([], {}, [*found.left_out])
    twice = _twice(found.tools)
    steps: set[str] = set()
    for position, tool in enumerate(found.tools):
        try:
            if position >= MOST_TOOLS:
                raise _LeftOut(f"more than {MOST_TOOLS} tools; draw up a policy for those the agent needs")
            if tool.name in twice:
                raise _LeftOut("several tools have this name; a policy could not tell them apart")
            plan.tools.append(_tool(tool, choices, plan.inputs, steps))
        except _LeftOut as why:
            plan.left_out.append((tool.name, str(why)))
    _drop_unused(plan)
    return plan


def without(plan: Plan, left_out: Mapping[str, str]) -> Plan:
    """The same draft without some of its tools, by name, with why."""
    kept = [tool for tool in plan.tools if tool.name not in left_out]
    made = Plan(kept, dict(plan.inputs), [*plan.left_out, *left_out.items()])
    _drop_unused(made)
    return made


def _drop_unused(plan: Plan) -> None:
    used = {name for tool in plan.tools for name in tool.filled.values()}
    for name in plan.inputs.keys() - used:
        del plan.inputs[name]


def _twice(tools: Sequence[Described]) -> set[str]:
    seen: set[str] = set()
    return {tool.name for tool in tools if tool.name in seen or seen.add(tool.name)}  # type: ignore[func-returns-value]


def _tool(
    tool: Described, choices: Choices, inputs: dict[str, tuple[dict[str, Json], Json]], steps: set[str]
) -> ToolPlan:
    if _TOOL_NAME.fullmatch(tool.name) is None:
        raise _LeftOut("a policy cannot write its name; rename it to letters, digits, `_`, `-` and `.`")
    properties = _properties(tool)
    guess = guessed_effect(tool.name, read_only=tool.read_only, destructive=tool.destructive, method=tool.method)
    effect, reads = guess.effect, guess.effect == "read"
    required = tool.parameters.get("required")
    needed = set(required) if isinstance(required, list) and all(isinstance(name, str) for name in required) else set()
    made = ToolPlan(tool.name, "", effect, guess.why, [], [], tool.fixed, [], False, [], {}, {})
    if not guess.told:
        made.asks.append("nothing in its name says what it does")
    elif effect in _ASKED:
        made.asks.append(_ASKED[effect])
    if not reads and words.moves_money(tool.name):
        made.asks.append("its name speaks of money")
    for name, schema in properties.items():
        _argument(made, tool, name, schema, name in needed, choices, inputs)
    made.secrets = [path for path, last in _named(made) if words.is_secret(last)]
    made.outsiders = reads and (
        not words.OUTSIDERS.isdisjoint(words.words(tool.name)) or any(place.kind == "url" for place in made.places)
    )
    made.step = _step_name(tool.name, steps)
    return made


def _properties(tool: Described) -> Mapping[str, Any]:
    parameters = tool.parameters
    if "$ref" in parameters or "allOf" in parameters:
        raise _LeftOut("its arguments stand behind a `$ref` or `allOf` as a whole; write them out")
    properties = parameters.get("properties", {})
    if parameters.get("type", "object") != "object" or not isinstance(properties, Mapping):
        raise _LeftOut("its arguments are not described as an object with `properties`")
    if len(properties) > _MOST_ARGUMENTS:
        raise _LeftOut(f"it has more than {_MOST_ARGUMENTS} arguments")
    for name in properties:
        if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isascii() or not name.isprintable():
            raise _LeftOut(
                "a policy cannot write the name of one of its arguments; use plain ASCII of up to 200 letters"
            )
    return properties


def _argument(
    made: ToolPlan, tool: Described, name: str, given: Any, needed: bool, choices: Choices,
    inputs: dict[str, tuple[dict[str, Json], Json]],
) -> None:  # fmt: skip
    """Add one argument to the step: its schema, what it names, who is asked because of it, and its value in a case."""
    reads = made.effect == "read"
    shape = shape_of(given, tool.root)
    schema = shape.schema
    shown = _shown(given, schema)
    default = given.get("default") if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and "default" in given and not fits(schema, default):
        schema = with_null(schema) if default is None else {"anyOf": [schema, {"enum": [default]}]}
    notes = [f"left open: {', '.join(shape.lost)}"] if shape.lost else []
    inner = [name, *_names(schema)]
    if words.is_tenant(name) or (reads and words.is_of_a_person(name)):
        if _fillable(schema):
            plain = without_null(schema)
            key, _ = _input(name, plain, shown, inputs)
            made.filled[name] = key
            made.arguments.append(
                Argument(name, {**plain, "fill": f"inputs.{key}"}, "guess: whose it is; the guard fills it")
            )
            return
        made.asks.append(f"`{name}` says whose it is")
    elif any(words.is_tenant(each) for each in inner[1:]):
        made.asks.append(f"something in `{name}` says whose it is")
    found = list(places_of(tool.name, name, schema, optional=not needed, dialect=choices.dialect))
    if not reads:
        notes += _asked(made, name, inner, shape.open, found)
    made.places += [place for place in found if not (reads and place.kind in TELLS)]
    if not needed:
        schema = {**schema, "optional": True}
    made.arguments.append(Argument(name, schema, "; ".join(notes) or None))
    placed = next((place for place in found if place.top == name), None)
    if needed or (tool.defaults_are_judged and isinstance(given, Mapping)):
        made.call[name] = _value(name, schema, given, shown, needed, placed, choices)


def _asked(made: ToolPlan, name: str, inner: Sequence[str], is_open: bool, found: Sequence[Place]) -> list[str]:
    """Why a person is asked because of one argument; and as notes."""
    before = len(made.asks)
    if any(map(words.is_money, inner)):
        made.asks.append(f"`{name}` says how much")
    if any(map(words.is_recipient, inner)) or any(place.kind in RECEIVES for place in found):
        made.asks.append(f"`{name}` says who gets it")
    if is_open:
        made.asks.append(f"`{name}` may hold what nobody described")
    return ["guess: a person is asked because of it"] if len(made.asks) > before else []


def _value(
    name: str, schema: Mapping[str, Any], given: Any, shown: tuple[Json, ...], needed: bool, placed: Place | None,
    choices: Choices,
) -> Json:  # fmt: skip
    """The argument's value in the draft's own cases."""
    if not needed:
        return given.get("default") if "default" in given else None
    first: tuple[Json, ...] = shown
    if placed is not None:
        inside = placed.inside(choices.places.get(placed.kind, ()))
        first = (inside, [inside], *_nested(placed, inside))
    value, is_one = sample(schema, first)
    if not is_one:
        raise _LeftOut(f"no example of its argument `{name}` could be made; its schema may let nothing through")
    return value


def _nested(place: Place, inside: str) -> Iterator[Json]:
    """A value for a place that stands deeper: `request.url`, `to[*].address`."""
    parts = re.findall(r"\.[^.\[]+|\[\*\]", place.argument[len(place.top) :])
    value: Json = inside
    for part in reversed(parts):
        value = [value] if part == "[*]" else {part[1:]: value}
    yield value


def _fillable(schema: Mapping[str, Any]) -> bool:
    types = without_null(dict(schema)).get("type")
    return types in ("string", "integer") or (types == "array" and schema["items"].get("type") in ("string", "integer"))


def _input(
    name: str, schema: dict[str, Json], shown: tuple[Json, ...], inputs: dict[str, tuple[dict[str, Json], Json]]
) -> tuple[str, Json]:
    """The input of the run that fills this argument: one for all arguments of one name and one schema."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", name)[:80]
    base = base if not base[0].isdigit() else f"_{base}"
    key, number = base, 1
    while key in inputs and inputs[key][0] != schema:
        number += 1
        key = f"{base}_{number}"
    if key not in inputs:
        value, is_one = sample(schema, shown)
        if not is_one:
            raise _LeftOut(f"no example of its argument `{name}` could be made; its schema may let nothing through")
        inputs[key] = (schema, value)
    return key, inputs[key][1]


def _shown(given: Any, schema: Mapping[str, Any]) -> tuple[Json, ...]:
    """Values that the tool itself gives as examples, where they are short."""
    if not isinstance(given, Mapping):
        return ()
    examples = given.get("examples")
    found = [given.get("example"), *(examples[:5] if isinstance(examples, list) else ()), given.get("default")]
    return tuple(one for one in found if isinstance(one, str | int) and not isinstance(one, bool) and _plain(one))


def _plain(value: str | int) -> bool:
    return not isinstance(value, str) or (0 < len(value) <= 80 and value.isascii() and value.isprintable())


def _names(schema: Mapping[str, Any]) -> Iterator[str]:
    """Every name of a property, at any depth."""
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            properties = node.get("properties")
            if isinstance(properties, Mapping):
                yield from properties
                pending += properties.values()
            pending += [node[key] for key in ("items", "additionalProperties", "anyOf", "oneOf") if key in node]
        elif isinstance(node, list):
            pending += node


def _named(made: ToolPlan) -> Iterator[tuple[str, str]]:
    """The paths of arguments, and of the members of those that are objects, with the last name of each."""
    for argument in made.arguments:
        if argument.name.isidentifier():
            yield argument.name, argument.name
            properties = argument.schema.get("properties")
            for name in properties if isinstance(properties, Mapping) else ():
                if name.isidentifier():
                    yield f"{argument.name}.{name}", name


def _step_name(tool: str, taken: set[str]) -> str:
    base = "-".join(words.words(tool))[:80] or "step"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name
