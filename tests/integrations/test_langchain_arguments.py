"""A LangChain call is judged on validated arguments, and the body gets what was judged."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, tool
from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from agentguard.errors import ConfigurationError, ToolCallDenied
from agentguard.guard.arguments.json_schema import is_json
from agentguard.integrations.langchain import wrap
from integrations.conftest import Doorkeeper

SCHEMA = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "cents": {"type": "integer", "maximum": 100}},
    "required": ["to"],
    "additionalProperties": False,
}


def a_call(**args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": "call-7", "name": "t", "args": args}


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class Order(BaseModel):
    id: str
    total: Decimal


def test_real_python_types_survive_the_way_to_bytes_and_back(keeper: Doorkeeper) -> None:
    """The policy judges JSON; the body still gets datetimes, decimals, enums and models."""
    seen: list[Any] = []

    @tool
    def ship(at: datetime, order: Order, colour: Colour, where: Point, note: bytes, tags: set[str]) -> str:
        """Ship."""
        seen.append((at, order, colour, where, note, tags))
        return "ok"

    guarded = wrap(keeper, ship)
    keeper.permit()
    guarded.invoke(
        {"at": "2026-01-02T03:04:05Z", "order": {"id": "o", "total": "1.10"}, "colour": "red", "where": {"x": "3"},
         "note": "hi", "tags": ["a"]}
    )  # fmt: skip

    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert seen == [(at, Order(id="o", total=Decimal("1.10")), Colour.RED, Point(3), b"hi", {"a"})]
    assert keeper.arguments[0]["order"] == {"id": "o", "total": "1.10"}
    assert keeper.arguments[0]["where"] == {"x": 3, "y": 0}


def test_an_alias_looks_like_the_field_it_stands_for(keeper: Doorkeeper) -> None:
    """An alias that the policy does not know would be an argument that it does not see."""

    class Args(BaseModel):
        sender: str = Field(alias="from")

    guarded = wrap(
        keeper, StructuredTool.from_function(lambda sender: sender, name="t", description="d", args_schema=Args)
    )
    keeper.permit()

    assert guarded.invoke({"from": "eve"}) == "eve"
    assert keeper.arguments == [{"sender": "eve"}]


def test_what_a_schema_drops_is_neither_judged_nor_run(keeper: Doorkeeper) -> None:
    """LangChain drops unknown keys; a direct call that names one is an error."""

    @tool
    def pay(to: str) -> str:
        """Pay."""
        return to

    guarded = wrap(keeper, pay)
    keeper.permit()

    assert guarded.invoke({"to": "bob", "admin": True}) == "bob"
    assert keeper.arguments == [{"to": "bob"}]
    with pytest.raises(TypeError, match="takes no argument `admin`"):
        guarded.func("bob", admin=True)
    with pytest.raises(TypeError, match="two values for `to`"):
        guarded.func("bob", to="eve")
    with pytest.raises(TypeError, match="takes 1 positional"):
        guarded.func("bob", "eve")


def test_changing_the_callers_dict_after_the_decision_changes_nothing(keeper: Doorkeeper) -> None:
    """The snapshot was checked and the caller's mutable dict was executed: 5 to bob, a million to eve."""
    given_: dict[str, Any] = {"order": {"to": "bob"}}
    seen: list[Any] = []

    def send(order: dict[str, Any]) -> str:
        """Send."""
        seen.append(dict(order))
        return "ok"

    guarded = wrap(keeper, tool(send))
    keeper.permit()

    class Swap(list[Any]):
        """Changes what the caller holds, at the moment of the decision."""

        def append(self, _: Any) -> None:
            given_["order"]["to"] = "eve"

    keeper.judged = Swap()
    guarded.invoke(given_)

    assert seen == [{"to": "bob"}]


MISFITS: list[dict[str, Any]] = [
    {"to": 5},
    {},
    {"to": "a", "cents": 101},
    {"to": "a", "cents": "5"},
    {"to": "a", "x": 1},
    {"to": "a", "cents": True},
    {"to": "a", "cents": None},
]


@pytest.mark.parametrize("bad", MISFITS)
def test_a_json_schema_is_enforced(bad: dict[str, Any], keeper: Doorkeeper) -> None:
    """LangChain does not validate a dict args_schema (every MCP tool has one)."""
    ran: list[Any] = []
    guarded = wrap(keeper, StructuredTool.from_function(
        lambda **kw: ran.append(kw), name="t", description="d", args_schema=SCHEMA))  # fmt: skip
    keeper.permit()

    for call in (lambda: guarded.invoke(bad), lambda: guarded.func(**bad), lambda: asyncio.run(guarded.ainvoke(bad))):
        with pytest.raises(ValidationError) as error:
            call()
        assert "hunter2" not in str(error.value)
    assert ran == [] and keeper.judged == []


def branching(deep: int) -> dict[str, Any]:
    """Each level has the next in two alternatives."""
    next_one = [{"$ref": f"#/$defs/{level}"} for level in range(1, deep + 1)]
    levels = {str(level): {"oneOf": [one, one]} for level, one in enumerate(next_one)}
    return {
        "type": "object",
        "properties": {"to": {"$ref": "#/$defs/0"}},
        "$defs": levels | {str(deep): {"type": "null"}},
    }


def query() -> dict[str, Any]:
    """A filter as query languages have it: the model decides how deep it goes."""
    inner = {"type": "object", "properties": {"not": {"$ref": "#/$defs/filter"}}}
    alternatives = [inner | {"required": ["not"]}, inner | {"required": ["not"], "additionalProperties": False}]
    return {
        "type": "object",
        "properties": {"to": {"$ref": "#/$defs/filter"}},
        "$defs": {"filter": {"anyOf": [*alternatives, {"type": "null"}]}},
    }


@pytest.mark.parametrize("schema", [branching(11), query()], ids=["alternatives in alternatives", "recursive"])
def test_arguments_that_fit_nowhere_are_refused_at_once(schema: dict[str, Any], keeper: Doorkeeper) -> None:
    """Telling what is wrong under each combination of alternatives would not come back in this test's life."""
    value: Any = 5
    for _ in range(50):
        value = {"not": value}
    guarded = wrap(keeper, StructuredTool.from_function(lambda to: to, name="t", description="d", args_schema=schema))
    keeper.permit()

    with pytest.raises(ValidationError, match="do not fit"):
        guarded.invoke({"to": value})
    assert keeper.judged == []


def test_a_schema_of_more_combinations_than_anybody_can_try_is_refused_when_wrapping(keeper: Doorkeeper) -> None:
    """It is a kilobyte, comes from a tool's server, and every call would take a day."""
    tool = StructuredTool.from_function(lambda to: to, name="t", description="d", args_schema=branching(40))
    with pytest.raises(ConfigurationError, match="more than 10000"):
        wrap(keeper, tool)


def test_what_is_wrong_is_told_where_alternatives_are_few(keeper: Doorkeeper) -> None:
    """A model corrects itself by it; most schemas with alternatives say only that a value may be missing."""
    schema = {
        "type": "object",
        "properties": {"to": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]}, "cents": {"type": "integer"}},
        "$defs": {"Person": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }
    guarded = wrap(keeper, StructuredTool.from_function(lambda **kw: kw, name="t", description="d", args_schema=schema))
    with pytest.raises(ValidationError, match="is not of type"):
        guarded.invoke({"to": None, "cents": "5"})


def test_a_json_schema_tool_shows_its_defaults(keeper: Doorkeeper) -> None:
    """A default that never reaches the policy is an argument the policy does not see."""

    def pay(to: str, cents: int = 7) -> str:
        return f"{cents} to {to}"

    guarded = wrap(keeper, StructuredTool.from_function(pay, name="t", description="d", args_schema=SCHEMA))
    keeper.permit()

    assert guarded.invoke({"to": "bob"}) == "7 to bob"
    assert guarded.func("bob", 8) == "8 to bob"
    assert keeper.arguments == [{"to": "bob", "cents": 7}, {"to": "bob", "cents": 8}]
    with pytest.raises(ValueError, match="not one text"):
        guarded.invoke("bob")


def test_changing_a_json_schema_later_changes_nothing(keeper: Doorkeeper) -> None:
    """The schema was compiled from a copy."""
    schema: dict[str, Any] = {"type": "object", "properties": {"to": {"type": "string"}}}
    guarded = wrap(keeper, StructuredTool.from_function(lambda to: to, name="t", description="d", args_schema=schema))
    schema["properties"]["to"]["type"] = "integer"
    keeper.permit()

    with pytest.raises(ValidationError):
        guarded.invoke({"to": 5})


def test_validation_errors_are_handled_as_langchain_handles_them(keeper: Doorkeeper) -> None:
    """handle_validation_error is the developer's; it is not a refusal."""
    for args_schema in (SCHEMA, None):

        def t(to: str) -> str:
            """Do."""
            return to

        made = StructuredTool.from_function(t, args_schema=args_schema, handle_validation_error="try again")
        guarded = wrap(keeper, made)
        assert guarded.invoke({"to": 5}) == "try again"
        assert guarded.invoke(a_call(to=5)).status == "error"


def test_the_id_of_the_call_is_injected_and_not_judged(keeper: Doorkeeper) -> None:
    """The id names the call; it is in the record already. A model cannot write another one."""

    @tool
    def note(text: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Note."""
        return f"{text} {tool_call_id}"

    guarded = wrap(keeper, note)
    keeper.permit()

    assert guarded.invoke(a_call(text="x", tool_call_id="forged")).content == "x call-7"
    assert guarded.func("x", tool_call_id="mine") == "x mine"
    assert keeper.judged == [("note", {"text": "x"}, "call-7"), ("note", {"text": "x"}, "mine")]
    with pytest.raises(ValueError, match="invoke it with a whole tool call"):
        guarded.invoke({"text": "x"})


def test_an_injected_argument_that_a_model_could_have_written_is_judged(keeper: Doorkeeper) -> None:
    """LangChain accepts an injected argument from the model's own JSON; unseen, it would be a way round the policy."""

    @tool
    def read(path: str, user: Annotated[str, InjectedToolArg], when: Annotated[Any, InjectedToolArg] = None) -> str:
        """Read."""
        return f"{path} as {user}"

    guarded = wrap(keeper, read)
    assert "user" not in guarded.tool_call_schema.model_json_schema()["properties"]
    keeper.permit()

    assert guarded.invoke(a_call(path="p", user="root", when="now")).content == "p as root"
    assert keeper.arguments == [{"path": "p", "user": "root", "when": "now"}]


def test_an_injected_object_is_handed_on_as_it_came(keeper: Doorkeeper) -> None:
    """What is not JSON cannot come from a model: a store, a runtime, a state with messages."""
    seen: list[Any] = []

    class Store:
        pass

    @tool
    def read(path: str, store: Annotated[Any, InjectedToolArg]) -> str:
        """Read."""
        seen.append(store)
        return path

    guarded = wrap(keeper, read)
    keeper.permit()
    store = Store()
    guarded.invoke({"path": "p", "store": store})
    guarded.func("p", store)

    assert all(item is store for item in seen) and len(seen) == 2
    assert keeper.arguments == [{"path": "p"}, {"path": "p"}]


def test_config_and_callbacks_reach_the_body_and_not_the_policy(keeper: Doorkeeper) -> None:
    """They come from LangChain, by annotation and by name."""
    seen: list[Any] = []

    @tool
    def look(at: str, config: RunnableConfig, callbacks: Any = None) -> str:
        """Look."""
        seen.append((config["tags"], callbacks is not None))
        return at

    class Own(BaseTool):
        name: str = "own"
        description: str = "d"

        def _run(self, at: str, cfg: RunnableConfig, run_manager: Any = None) -> str:
            seen.append((cfg["tags"], run_manager is not None))
            return at

    keeper.permit()
    for made in (look, Own()):
        guarded = wrap(keeper, made)
        assert guarded.invoke({"at": "x"}, config={"tags": ["t"]}) == "x"
        assert asyncio.run(guarded.ainvoke({"at": "x"}, config={"tags": ["t"]})) == "x"
        assert "config" not in guarded.args or made is not look
    assert [tags for tags, _ in seen] == [["t"]] * 4 and all(given_ for _, given_ in seen)
    assert keeper.arguments == [{"at": "x"}] * 4


def test_callback_handlers_see_the_call_and_the_refusal(keeper: Doorkeeper) -> None:
    """Tracing keeps working; it learns the decision id and no more."""
    seen: list[Any] = []

    class Handler(BaseCallbackHandler):
        def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
            seen.append(kwargs["inputs"])

        def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
            seen.append(str(error))

    @tool
    def pay(to: str, secret: Annotated[str, InjectedToolArg]) -> str:
        """Pay."""
        return to

    guarded = wrap(keeper, pay)
    assert seen == []
    with pytest.raises(ToolCallDenied):
        guarded.invoke({"to": "bob", "secret": "s"}, config={"callbacks": [Handler()]})

    assert seen == [{"to": "bob"}, "this tool call was not allowed (decision `d-1`)"]


def test_a_validator_that_changes_its_own_output_stops_the_call(keeper: Doorkeeper) -> None:
    """What was checked would not be what runs."""
    ran: list[str] = []

    class Args(BaseModel):
        to: str

        @field_validator("to")
        @classmethod
        def grow(cls, value: str) -> str:
            return value + "!"

    def t(to: str) -> None:
        ran.append(to)

    guarded = wrap(keeper, StructuredTool.from_function(t, description="d", args_schema=Args))
    keeper.permit()

    with pytest.raises(ConfigurationError, match="not what was judged"):
        guarded.invoke({"to": "bob"})
    assert ran == []


def test_a_schema_that_is_changed_afterwards_changes_nothing(keeper: Doorkeeper) -> None:
    """What the guard knows of a tool is what it was when it was wrapped, not what its caller's dict says by now."""
    schema = deepcopy(SCHEMA)
    wrap(keeper, StructuredTool.from_function(lambda **kw: kw, name="t", description="d", args_schema=schema))
    schema["properties"].clear()  # type: ignore[attr-defined]

    assert keeper.definitions["t"]["parameters"] == SCHEMA


def test_a_set_comes_in_any_order(keeper: Doorkeeper) -> None:
    """Sets that are equal are written in the order in which they were filled."""
    ran: list[set[int]] = []

    def as_written(values: Iterable[int]) -> list[int]:
        return [*set(values)]

    @tool
    def label(tags: set[int]) -> None:
        """Put labels on."""
        ran.append(tags)

    guarded = wrap(keeper, label)
    keeper.permit()
    # A pair that changes places each time it is read.
    tags = next(pair for pair in combinations(range(64), 2) if as_written(as_written(pair)) != as_written(pair))
    for start in range(2):
        guarded.invoke({"tags": tags[start:] + tags[:start]})

    assert ran == [set(tags)] * 2


def test_secret_types_are_refused_when_wrapping(keeper: Doorkeeper) -> None:
    """As JSON they are stars, and the tool would be handed the stars."""

    @tool
    def login(password: SecretStr) -> str:
        """Log in."""
        return "ok"

    with pytest.raises(ConfigurationError, match="list the argument under `secrets`"):
        wrap(keeper, login)


def test_arguments_that_hide_behind_stars_need_a_schema(keeper: Doorkeeper) -> None:
    """A body that names nothing shows the policy nothing."""

    class Own(BaseTool):
        name: str = "own"
        description: str = "d"

        def _run(self, *args: Any, **kwargs: Any) -> str:
            return "ok"

    with pytest.raises(ConfigurationError, match="args_schema"):
        wrap(keeper, Own())


def test_a_tool_without_arguments_is_guarded(keeper: Doorkeeper) -> None:
    """Nothing to judge but the call itself; what a model writes into it is dropped, as LangChain does."""

    @tool
    def ping() -> str:
        """Ping."""
        return "pong"

    guarded = wrap(keeper, ping)
    with pytest.raises(ToolCallDenied):
        guarded.invoke({})
    keeper.permit()

    assert guarded.invoke({"x": 1}) == guarded.invoke("") == guarded.func() == "pong"
    assert keeper.arguments == [{}] * 4


def test_too_much_is_not_json_any_more(keeper: Doorkeeper) -> None:
    """NaN and oversized values from an injected argument are judged, and so refused; never set aside."""
    assert is_json({"a": [float("nan"), "x" * 2_000_000]})
    assert not is_json({1: "a"})
    assert not is_json({"a": (1,)})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(codec="utf-8")), children),
    max_leaves=10,
)

_KEEPER = Doorkeeper(refusal=None)


@tool
def _echo(value: Any) -> Any:
    """Say it back."""
    return {"said": value}


_ECHO = wrap(_KEEPER, _echo)  # type: ignore[arg-type]


@given(_JSON)
def test_every_json_value_arrives_as_it_was_judged(value: Any) -> None:
    """Property: judged, run and sent are one value."""
    assert is_json(value)
    assert _ECHO.invoke({"value": value}) == {"said": value}
    assert _KEEPER.arguments[-1] == {"value": value}
