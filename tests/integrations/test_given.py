"""Given = judged = run, in value and in type: at every front door, or the call is refused and takes nothing."""

from __future__ import annotations

import asyncio
import enum
import json
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from langchain_core.tools import InjectedToolArg, StructuredTool, tool
from langgraph.graph import MessagesState
from langgraph.prebuilt import InjectedState
from openai.lib.responses_tool_runner import RegisteredFunction
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    PrivateAttr,
    Secret,
    field_serializer,
    model_serializer,
)
from small_bundle import TEXT, WHOLE, guard_of

from agentguard.errors import ConfigurationError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.integrations.openai import OpenAITools

ANY: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
for _ in range(3):
    ANY = {
        "type": ["string", "number", "boolean", "object", "array", "null"],
        "items": ANY,
        "additionalProperties": ANY,
    }
_Model = TypeVar("_Model", bound=BaseModel)


def by_function(guard: Guard, function: Callable[..., Any], given: dict[str, Any]) -> None:
    guard.wrap(function)(**given)


def by_langchain(guard: Guard, function: Callable[..., Any], given: dict[str, Any]) -> None:
    guard.wrap(StructuredTool.from_function(function, description="Do.")).invoke(given)


def by_openai(guard: Guard, function: Callable[..., Any], given: dict[str, Any]) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "act", "arguments": json.dumps(given)}
    OpenAITools(guard, [function]).answer([call])


DOORS = pytest.mark.parametrize("door", [by_function, by_langchain, by_openai])
PYTHON = pytest.mark.parametrize("door", [by_function, by_langchain])
Door = Callable[[Guard, Callable[..., Any], dict[str, Any]], None]


def taking(hint: Any, got: list[Any], default: Any = ...) -> Callable[..., Any]:
    def act(x: Any) -> str:
        """Act."""
        got.append(x)
        return "ok"

    act.__annotations__["x"] = hint
    if default is not ...:
        act.__defaults__ = (default,)
    return act


def outcome(door: Door, hint: Any, given: dict[str, Any], **options: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """What the tool got, and the decisions on record."""
    got: list[Any] = []
    default = options.pop("default", ...)
    policy = {"act": {"args": {"x": ANY}, "at_most": 1, **options}}
    with guard_of(policy) as guard, guard.run("w"):
        try:
            door(guard, taking(hint, got, default), given)
        except (ConfigurationError, ToolCallDenied, ValueError, TypeError):
            assert got == []
        return got, list(guard.records(kind="decision"))


# What can be known when a tool is wrapped


class Excluded(BaseModel):
    path: str
    dry_run: bool = Field(False, exclude=True)


class Holding(BaseModel):
    rows: Iterable[int]


class WrittenOtherwise(BaseModel):
    dry_run: bool = Field(False, serialization_alias="dryRun")


@DOORS
@pytest.mark.parametrize(
    ("hint", "remedy"),
    [
        (Iterable[str], "use list"),
        (Iterator[str], "use list|types that pydantic reads|no JSON Schema"),
        (Generator[str, None, None], "use list"),
        (dict[str, Iterable[int]], "use list"),
        (Holding, "`x`|`rows`"),
        (Excluded, "take exclude out"),
        (list[Excluded], "take exclude out"),
        (Secret[str], "`secrets` in Tools"),
    ],
    ids=str,
)
def test_a_type_that_cannot_be_judged_and_handed_on_is_refused_when_wrapping(
    door: Door, hint: Any, remedy: str
) -> None:
    """Read once, the values of an Iterable were used up by the check, and `purge(keep=["prod"])` deleted prod."""
    with guard_of({"act": {"args": {"x": ANY}}}) as guard, pytest.raises(ConfigurationError, match=remedy):
        door(guard, taking(hint, []), {})


@pytest.mark.parametrize("door", [by_function, by_openai])
def test_a_name_that_is_written_and_not_read_is_refused_when_wrapping(door: Door) -> None:
    """What the model holds would be judged under a name under which it cannot be read again."""
    with guard_of({"act": {"args": {"x": ANY}}}) as guard, pytest.raises(ConfigurationError, match="one `alias`"):
        door(guard, taking(WrittenOtherwise, []), {})


# What is given and would be lost, or turn into something else


class Written(BaseModel):
    path: str
    dry_run: bool = False

    @model_serializer
    def short(self) -> dict[str, Any]:
        return {"path": self.path}


class FieldWritten(BaseModel):
    cents: int = 0

    @field_serializer("cents")
    def rounded(self, cents: int) -> int:
        return cents // 100 * 100


class Private(BaseModel):
    path: str
    _dry_run: bool = PrivateAttr(False)


class Request(BaseModel):
    path: str


class DryRequest(Request):
    dry_run: bool = False


@dataclass
class Place:
    name: str


@dataclass
class NarrowPlace(Place):
    street: str = ""


def private() -> Private:
    made = Private(path="/srv")
    made._dry_run = True
    return made


def extended() -> Place:
    made = Place("a")
    made.street = "b"  # type: ignore[attr-defined]
    return made


@DOORS
@pytest.mark.parametrize(
    ("hint", "given"),
    [
        (Written, {"path": "/srv", "dry_run": True}),
        (FieldWritten, {"cents": 250}),
        (Annotated[int, PlainSerializer(str)], 7),
        (Annotated[int, PlainSerializer(lambda value: value + 1)], 7),
        (Annotated[list[str], BeforeValidator(lambda value: value.split(","))], "a,b"),
        (Annotated[str, AfterValidator(lambda value: value + "!")], "a"),
        (Annotated[list[str], AfterValidator(lambda value: value[::-1])], ["a", "b"]),
    ],
    ids=str,
)
def test_what_would_not_come_back_is_denied_and_takes_no_step(door: Door, hint: Any, given: Any) -> None:
    """Judged, permitted, then unreadable: the step, the budget and a person's yes were gone, and nothing had run."""
    got, decisions = outcome(door, hint, {"x": given})

    assert got == []
    assert [(d["effect"], d["reasons"]) for d in decisions] == [("deny", ["arguments_invalid"])]


@PYTHON
@pytest.mark.parametrize(
    ("hint", "given"),
    [
        (Private, private()),
        (Request, DryRequest(path="/srv", dry_run=True)),
        (list[Request], [DryRequest(path="/srv", dry_run=True)]),
        (Place, NarrowPlace("a", "b")),
        (Place, extended()),
        *((hint, given) for hint in (Any, dict, object) for given in [{1: "a"}, {"a": (1,)}]),
        (Any, OrderedDict(a=1)),
        *((Any, given) for given in [b"\x00", (1, 2), {1, 2}, date(2026, 1, 2), Decimal("1.10"), Path("/srv")]),
        *((Any, given) for given in [UUID(int=1), datetime(2026, 1, 2, tzinfo=UTC), iter([1]), (i for i in (1,))]),
        (list, [(1, 2)]),
        (list, [b"a"]),
        (list[Any], [{1}]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_code_gives_is_handed_on_as_it_is_or_refused(door: Door, hint: Any, given: Any) -> None:
    """It changed its type in silence, or the body got the default of what the type left out."""
    got, decisions = outcome(door, hint, {"x": given})

    assert got in ([], [given]) and [type(item) for item in got] in ([], [type(given)])
    assert len(decisions) == 1


@PYTHON
def test_what_can_be_read_only_once_is_left_unread(door: Door) -> None:
    """A refusal takes nothing from the caller, who may still give the tool a list of it."""
    items = iter(["a", "b"])
    got, _ = outcome(door, Any, {"x": items})

    assert (got, list(items)) == ([], ["a", "b"])


class Kind(enum.Enum):
    A = "a"


class Aliased(BaseModel):
    sender: str = Field(alias="from")
    copies: list[str] = Field([], validation_alias=AliasChoices("cc", "copies"))


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    path: str


class Implicit(BaseModel):
    text: str
    after: str = None  # type: ignore[assignment]


class Tagged(BaseModel):
    kind: Literal["tagged"] = "tagged"
    at: datetime


HONEST: list[tuple[Any, Any, Any]] = [
    (datetime, "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (Decimal, "1.10", Decimal("1.10")),
    (set[str], ["b", "a"], {"a", "b"}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (bytes, "aGk=", b"hi"),
    (Kind, "a", Kind.A),
    (Json[dict[str, int]], '{"a":1}', {"a": 1}),
    (Any, {"b": [1.0, None], "a": 2}, {"b": [1.0, None], "a": 2}),
    (Aliased, {"from": "eve", "cc": ["bob"]}, Aliased.model_validate({"from": "eve", "cc": ["bob"]})),
    (Loose, {"path": "/srv", "copy": 1, "json": "x"}, Loose(path="/srv", copy=1, json="x")),  # type: ignore[call-arg]
    (Implicit, {"text": "x"}, Implicit(text="x")),
    (list[Tagged], [{"at": "2026-01-02T03:04:05Z"}], [Tagged(at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))]),
    (dict[str, Place], {"a": {"name": "b"}}, {"a": Place("b")}),
]


@DOORS
@pytest.mark.parametrize(("hint", "given", "right"), HONEST, ids=str)
def test_ordinary_types_come_as_they_were_given(door: Door, hint: Any, given: Any, right: Any) -> None:
    if hint is bytes and door is not by_openai:
        pytest.skip("Python gives bytes as bytes")
    got, decisions = outcome(door, hint, {"x": given})

    assert got == [right] and [type(item) for item in got] == [type(right)], decisions[-1]["findings"]


def test_what_nobody_gave_stays_not_given() -> None:
    """`model_dump(exclude_unset=True)` is how a body sends a patch; members that were filled in would be sent, too."""

    class Patch(BaseModel):
        name: str = "old"
        tags: list[str] = Field(default_factory=list)

    got, _ = outcome(by_function, Patch, {"x": {"name": "new"}})

    assert [item.model_dump(exclude_unset=True) for item in got] == [{"name": "new"}]


@DOORS
@pytest.mark.parametrize(
    ("hint", "default", "right"),
    [(str, None, None), (int, Field(default=3), 3), (int, "auto", "auto"), (list[int], (), ())],
    ids=str,
)
def test_a_default_is_the_functions_own_whatever_its_annotation_says(
    door: Door, hint: Any, default: Any, right: Any
) -> None:
    """`after: str = None` is how people write it; every call without it was refused, or took its step for nothing."""
    got, decisions = outcome(door, hint, {}, default=default)

    assert got == [right], decisions[-1]["findings"]


def test_an_extra_argument_with_the_name_of_a_method_is_itself() -> None:
    """The body got `BaseModel.copy` where somebody had said what to copy."""
    got: list[Any] = []
    made = StructuredTool.from_function(lambda **kw: got.append(kw), name="act", description="d", args_schema=Loose)
    policy = {"act": {"args": {"path": TEXT, "copy": ANY, "json": ANY}}}
    with guard_of(policy) as guard, guard.run("w"):
        guard.wrap(made).invoke({"path": "/srv", "copy": "all", "json": 1})

    assert got == [{"path": "/srv", "copy": "all", "json": 1}]


# What the tool's own types make of a value


@DOORS
@pytest.mark.parametrize(
    ("hint", "given", "right", "coerced"),
    [
        (int, "7", 7, ["/x"]),
        (int, 7, 7, []),
        (list[int], [1, "2"], [1, 2], ["/x/1"]),
        (float, 5, 5.0, []),
        (Decimal, 1.1, Decimal("1.1"), []),
        (int, 7.0, 7, []),
        (Annotated[str, AfterValidator(str.strip)], " a ", "a", ["/x"]),
        (Request, {"path": "/srv", "dry_run": True}, Request(path="/srv"), ["/x/dry_run"]),
    ],
    ids=str,
)
def test_the_record_says_where_the_tools_types_made_another_value(
    door: Door, hint: Any, given: Any, right: Any, coerced: list[str]
) -> None:
    """As the framework does; what came of it is what is judged, and what runs."""
    got, (decision,) = outcome(door, hint, {"x": given})

    assert got == [right] and decision["coerced"] == coerced


@PYTHON
def test_the_record_says_where_a_time_lost_its_zone(door: Door) -> None:
    """JSON has the distance from UTC and no zone: half a year later it is an hour off."""
    there = datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Berlin"))
    got, (decision,) = outcome(door, datetime, {"x": there})

    assert got == [there] and decision["coerced"] == ["/x"]


@DOORS
@pytest.mark.parametrize(
    ("hint", "given", "permitted"),
    [(int, "7", False), (int, 7, True), (list[int], ["7"], False), (str, "7", True), (datetime, "2026-01-02", True),
     (Decimal, 5, True), (Request, {"path": "a", "also": 1}, False)],
    ids=str,
)  # fmt: skip
def test_a_strict_tool_takes_no_value_of_another_type(door: Door, hint: Any, given: Any, permitted: bool) -> None:
    got, (decision,) = outcome(door, hint, {"x": given}, tool={"strict": True})

    assert (len(got) == 1) is permitted
    assert (decision["reasons"] == ["arguments_invalid"]) is not permitted


@DOORS
@pytest.mark.parametrize(
    ("hint", "given"),
    [(int, True), (float, False), (list[int], [1, True]), (dict[str, float], {"a": True}), (set[int], [True]),
     (int | None, True), (Annotated[int, Field(ge=0)], True)],
    ids=str,
)  # fmt: skip
def test_true_is_no_amount(door: Door, hint: Any, given: Any) -> None:
    """For Python it is 1, and an approval of 1 ran True."""
    got, decisions = outcome(door, hint, {"x": given})

    assert got == [] and [d["effect"] for d in decisions] == ["deny"]
    assert outcome(door, bool, {"x": True})[0] == [True]


# The order of members


@DOORS
def test_members_come_in_the_order_in_which_they_were_given(door: Door) -> None:
    """An index, a sort or a command document means something else in another order."""
    got, (decision,) = outcome(door, dict[str, Any], {"x": {"b": 1, "a": {"d": 1, "c": 2}}})

    assert json.dumps(got) == '[{"b": 1, "a": {"d": 1, "c": 2}}]'
    assert decision["order"] == {"/x": ["b", "a"], "/x/a": ["d", "c"]}


def test_another_order_is_another_request() -> None:
    def digest(given: Any) -> str:
        _, (decision,) = outcome(by_function, dict[str, Any], {"x": given})
        return str(decision["request_digest"])

    with guard_of({"act": {"args": {"x": ANY}, "approval": True}}) as guard, guard.run("w"):
        call = guard.wrap(taking(dict[str, Any], []))
        for given in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"b": 2, "a": 1.0}):
            with pytest.raises(Exception, match="waits"):
                call(given)
        digests = [record["request_digest"] for record in guard.records(kind="decision")]
        shown = [row.request.shown["order"] for row in guard.operations.approvals()]

    assert len(set(digests)) == 3
    assert {} in shown and {"/x": ["b", "a"]} in shown


def test_a_body_that_takes_the_whole_object_gets_it_in_order() -> None:
    got: list[str] = []
    schema = {"type": "object", "properties": {"a": WHOLE, "b": WHOLE}}
    definition: Any = {"type": "function", "name": "act", "parameters": schema, "strict": False}
    registered = RegisteredFunction(definition, lambda values: got.append(json.dumps(values)) or "ok")
    with guard_of({"act": {"args": {"a": WHOLE, "b": WHOLE}}}) as guard, guard.run("w"):
        guard.wrap(registered).execute({"b": 1, "a": 2})

    assert got == ['{"b": 1, "a": 2}']


# Injected arguments


class Folder(BaseModel):
    path: str


@pytest.mark.parametrize(
    ("value", "judged", "run"),
    [(True, True, True), ({"b": 1, "a": 2}, {"a": 2, "b": 1}, {"b": 1, "a": 2}), (date(2026, 1, 2), ..., ...)],
)
def test_an_injected_value_that_args_schema_does_not_name_is_judged_and_run(value: Any, judged: Any, run: Any) -> None:
    """`dry_run=True` was given, and False ran. What is no JSON has no form to be judged in, so it is refused."""
    got: list[Any] = []

    @tool("act", args_schema=Folder)
    def act(path: str, extra: Annotated[Any, InjectedToolArg] = False) -> str:
        """Act."""
        got.append(extra)
        return "ok"

    with guard_of({"act": {"args": {"path": TEXT, "extra": {**ANY, "optional": True}}}}) as guard, guard.run("w"):
        guarded = guard.wrap(act)
        if judged is ...:
            with pytest.raises(ValueError, match="name it there"):
                guarded.invoke({"path": "a", "extra": value})
        else:
            guarded.invoke({"path": "a", "extra": value})
        (decision,) = guard.records(kind="decision")

    assert got == ([] if run is ... else [run])
    assert judged is ... or decision["arguments"] == {"path": "a", "extra": judged}


def test_injected_state_is_handed_on_as_it_came() -> None:
    """It holds messages, which no model can write; a field of it that is text is judged."""
    got: list[Any] = []

    class State(MessagesState):
        tenant: str

    @tool("act", args_schema=Folder)
    def act(
        path: str, tenant: Annotated[str, InjectedState("tenant")], state: Annotated[dict[str, Any], InjectedState]
    ) -> str:
        """Act."""
        got.append((tenant, state))
        return "ok"

    state = {"messages": [object()], "tenant": "blue"}
    with guard_of({"act": {"args": {"path": TEXT, "tenant": TEXT}}}) as guard, guard.run("w"):
        guard.wrap(act).invoke({"path": "a", "tenant": "blue", "state": state})
        (decision,) = guard.records(kind="decision")

    assert got == [("blue", state)] and got[0][1] is state
    assert decision["arguments"] == {"path": "a", "tenant": "blue"}


# Everything that can fail fails before the admission


def test_a_body_that_does_not_take_what_its_schema_names_takes_no_step() -> None:
    definition = {"type": "function", "name": "act", "parameters": {"type": "object", "properties": {"x": ANY}}}

    def act() -> str:
        return "ok"

    with guard_of({"act": {"args": {"x": ANY}, "at_most": 1}}) as guard, guard.run("w"):
        call = {"type": "function_call", "call_id": "c", "name": "act", "arguments": '{"x": 1}'}
        OpenAITools(guard, [(definition, act)]).answer([call])
        (decision,) = guard.records(kind="decision")

    assert decision["reasons"] == ["arguments_invalid"]


def test_a_default_of_a_defined_functions_body_is_judged() -> None:
    """The model leaves `cents` out, and a hundred run past the ceiling."""
    schema = {"type": "object", "properties": {"cents": WHOLE}, "additionalProperties": False}
    ran: list[int] = []

    def act(cents: int = 100) -> str:
        ran.append(cents)
        return "ok"

    policy = {"act": {"args": {"cents": {**WHOLE, "maximum": 50, "optional": True}}}}
    with guard_of(policy) as guard, guard.run("w"):
        call = {"type": "function_call", "call_id": "c", "name": "act", "arguments": "{}"}
        OpenAITools(guard, [({"type": "function", "name": "act", "parameters": schema}, act)]).answer([call])

    assert ran == []


def test_a_tool_that_can_only_be_awaited_is_not_used_up_by_a_call_that_cannot_be_made() -> None:
    async def act(x: int) -> str:
        return "ok"

    made = StructuredTool.from_function(coroutine=act, name="act", description="d")
    with guard_of({"act": {"args": {"x": WHOLE}, "at_most": 1}}) as guard, guard.run("w"):
        guarded = guard.wrap(made)
        with pytest.raises(NotImplementedError):
            guarded.invoke({"x": 1})
        assert asyncio.run(guarded.ainvoke({"x": 1})) == "ok"
        effects = [record["effect"] for record in guard.records(kind="decision")]

    assert effects == ["deny", "permit"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"recipient": "bob", "to": "eve"}, "Misnamed at `to` (unexpected)"),
        ({}, "Misnamed at `recipient` (missing)"),
        ({"recipient": 5}, "ValidationError at `recipient` (string_type)"),
        ({"recipient": True}, "ValidationError at `recipient` (string_type)"),
    ],
)
def test_the_record_of_wrong_arguments_names_them_and_no_other(given: dict[str, Any], says: str) -> None:
    """It said that `recipient` was missing when it was given. A loop that catches refusals goes on."""

    def act(recipient: str) -> str:
        return "ok"

    policy = {"act": {"args": {"recipient": TEXT}, "require": ['args.recipient == "bob"']}}
    with guard_of(policy) as guard, guard.run("w"):
        with pytest.raises(ToolCallDenied) as refused:
            guard.wrap(act)(**given)
        (decision,) = guard.records(kind="decision")

    assert refused.value.decision_id == decision["decision_id"]
    assert [finding["detail"] for finding in decision["findings"]] == [f"could not be read: {says}"]


def test_a_return_annotation_that_only_a_type_checker_can_read_does_no_harm() -> None:
    text = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from frames import Frame\n"
        "def act(x: int) -> Frame:\n    return [x]\n"
    )
    module = types.ModuleType("for_checkers")
    sys.modules["for_checkers"] = module
    exec(text, module.__dict__)
    with guard_of({"act": {"args": {"x": WHOLE}}}) as guard, guard.run("w"):
        guarded = guard.wrap(module.act)
        assert guarded(1) == [1] and guarded.__annotations__ == {"x": int}
