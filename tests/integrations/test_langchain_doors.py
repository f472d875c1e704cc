"""Every way into a wrapped LangChain tool passes the guard, and the tool is still what it was."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool
from pydantic import BaseModel

from agentguard.errors import ApprovalPending, ApprovalRefused, ConfigurationError, LedgerError, ToolCallDenied
from agentguard.integrations.langchain import wrap

CALL = {"type": "tool_call", "id": "call-7", "name": "pay", "args": {"to": "bob"}}


class Reached:
    """Counts how often a body really ran."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []


def structured(reached: Reached) -> BaseTool:
    def pay(to: str, cents: int = 5) -> str:
        """Pay somebody."""
        reached.calls.append((to, cents))
        return f"paid {cents} to {to}"

    async def apay(to: str, cents: int = 5) -> str:
        return pay(to, cents)

    return StructuredTool.from_function(pay, apay)


def sync_only(reached: Reached) -> BaseTool:
    made = structured(reached)
    assert isinstance(made, StructuredTool)
    return StructuredTool.from_function(made.func)


def own_class(reached: Reached) -> BaseTool:
    class Pay(BaseTool):
        name: str = "pay"
        description: str = "Pay somebody."

        def _run(self, to: str, cents: int = 5) -> str:
            reached.calls.append((to, cents))
            return f"paid {cents} to {to}"

    return Pay()


def own_async_class(reached: Reached) -> BaseTool:
    class Parent(BaseTool):
        name: str = "pay"
        description: str = "Pay somebody."

        def _run(self, to: str, cents: int = 5, run_manager: Any = None) -> str:
            reached.calls.append((to, cents))
            return f"paid {cents} to {to}"

    class Child(Parent):
        async def _arun(self, to: str, cents: int = 5, run_manager: Any = None) -> str:
            reached.calls.append((to, cents))
            return f"paid {cents} to {to}"

    return Child()


KINDS = [structured, sync_only, own_class, own_async_class]


async def _drain(items: Any) -> list[Any]:
    return [item async for item in items]


async def _one(item: Any) -> Any:
    yield item


DOORS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda t: t.invoke({"to": "bob"}),
    "run": lambda t: t.run({"to": "bob"}),
    "_run by keyword": lambda t: t._run(to="bob"),
    "_run by position": lambda t: t._run("bob"),
    "batch": lambda t: t.batch([{"to": "bob"}])[0],
    "batch_as_completed": lambda t: next(iter(t.batch_as_completed([{"to": "bob"}])))[1],
    "stream": lambda t: next(iter(t.stream({"to": "bob"}))),
    "transform": lambda t: next(iter(t.transform(iter([{"to": "bob"}])))),
    "bind": lambda t: t.bind().invoke({"to": "bob"}),
    "with_config": lambda t: t.with_config(tags=["x"]).invoke({"to": "bob"}),
    "with_retry": lambda t: t.with_retry(stop_after_attempt=1).invoke({"to": "bob"}),
    "with_types": lambda t: t.with_types().invoke({"to": "bob"}),
    "with_listeners": lambda t: t.with_listeners().invoke({"to": "bob"}),
    "with_fallbacks": lambda t: t.with_fallbacks([]).invoke({"to": "bob"}),
    "map": lambda t: t.map().invoke([{"to": "bob"}])[0],
    "pipe": lambda t: (t | (lambda x: x)).invoke({"to": "bob"}),
    "as_tool": lambda t: t.as_tool(name="other", description="d").invoke({"to": "bob"}),
    "copy.copy": lambda t: copy.copy(t).invoke({"to": "bob"}),
    "copy.deepcopy": lambda t: copy.deepcopy(t).invoke({"to": "bob"}),
    "model_copy": lambda t: t.model_copy().invoke({"to": "bob"}),
    "model_copy deep": lambda t: t.model_copy(deep=True).invoke({"to": "bob"}),
    "copy()": lambda t: t.copy().invoke({"to": "bob"}),
    "configurable_fields": lambda t: t.configurable_fields().invoke({"to": "bob"}),
    "made of its class": lambda t: type(t)(**{**t.__dict__}).invoke({"to": "bob"}),
    "subclass": lambda t: type("Sub", (type(t),), {})(**{**t.__dict__}).invoke({"to": "bob"}),
    "ainvoke": lambda t: asyncio.run(t.ainvoke({"to": "bob"})),
    "arun": lambda t: asyncio.run(t.arun({"to": "bob"})),
    "_arun": lambda t: asyncio.run(t._arun(to="bob")),
    "abatch": lambda t: asyncio.run(t.abatch([{"to": "bob"}]))[0],
    "abatch_as_completed": lambda t: asyncio.run(_drain(t.abatch_as_completed([{"to": "bob"}])))[0][1],
    "astream": lambda t: asyncio.run(_drain(t.astream({"to": "bob"})))[0],
    "atransform": lambda t: asyncio.run(_drain(t.atransform(_one({"to": "bob"}))))[0],
    "astream_events": lambda t: asyncio.run(_drain(t.astream_events({"to": "bob"}, version="v2")))[-1]["data"][
        "output"
    ],
    "async copy": lambda t: asyncio.run(copy.deepcopy(t).ainvoke({"to": "bob"})),
}
FUNCTION_DOORS: dict[str, Callable[[Any], Any]] = {
    "func by position": lambda t: t.func("bob"),
    "func by keyword": lambda t: t.func(to="bob"),
    "func of a copy": lambda t: copy.deepcopy(t).func("bob"),
    "coroutine": lambda t: asyncio.run(t.coroutine("bob")),
    "coroutine of a copy": lambda t: asyncio.run(t.model_copy(deep=True).coroutine(to="bob")),
}


def doors_of(kind: Any) -> dict[str, Callable[[Any], Any]]:
    if kind is structured:
        return {**DOORS, **FUNCTION_DOORS}
    if kind is sync_only:
        return {**DOORS, **{name: call for name, call in FUNCTION_DOORS.items() if name.startswith("func")}}
    return DOORS


pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
CASES = [
    pytest.param(kind, call, id=f"{kind.__name__}-{name}") for kind in KINDS for name, call in doors_of(kind).items()
]


@pytest.mark.parametrize(("kind", "call"), CASES)
def test_no_door_reaches_a_refused_tool(kind: Any, call: Any, keeper: Any) -> None:
    """Other doors to the same tool were the holes of other guards."""
    reached = Reached()
    guarded = wrap(keeper, kind(reached))

    with pytest.raises(ToolCallDenied):
        call(guarded)

    assert reached.calls == []


@pytest.mark.parametrize(("kind", "call"), CASES)
def test_every_door_shows_the_guard_the_same_call(kind: Any, call: Any, keeper: Any) -> None:
    """Positional, keyword and default arguments look the same to a policy, and the tool still works."""
    reached = Reached()
    guarded = wrap(keeper, kind(reached))
    keeper.permit()

    assert call(guarded) == "paid 5 to bob"

    assert keeper.arguments == [{"to": "bob", "cents": 5}]
    assert reached.calls == [("bob", 5)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_tool_is_what_it_was(kind: Any, keeper: Any) -> None:
    """Drop-in: frameworks look at class, name, schema and signature."""
    original = kind(Reached())
    guarded = wrap(keeper, original)

    assert isinstance(guarded, type(original))
    assert type(guarded).__name__ == type(original).__name__
    for name in ("name", "description", "args_schema", "args", "response_format", "return_direct", "is_single_input"):
        assert getattr(guarded, name) == getattr(original, name), name
    assert guarded.tool_call_schema.model_json_schema() == original.tool_call_schema.model_json_schema()
    assert guarded.get_input_schema().model_json_schema() == original.get_input_schema().model_json_schema()
    assert inspect.signature(guarded.run) == inspect.signature(original.run)
    if getattr(original, "func", None) is not None:
        assert inspect.signature(guarded.func) == inspect.signature(original.func)


@pytest.mark.parametrize("kind", KINDS)
def test_the_body_hangs_on_no_attribute(kind: Any, keeper: Any) -> None:
    """`__wrapped__` and friends lead back to the tool in other guards."""
    guarded = wrap(keeper, kind(Reached()))

    for holder in (guarded, getattr(guarded, "func", None), getattr(guarded, "coroutine", None)):
        assert not hasattr(holder, "__wrapped__")


def test_the_original_is_left_alone(keeper: Any) -> None:
    """Wrapping gives a new tool; the old one still belongs to whoever made it."""
    reached = Reached()
    original = structured(reached)
    wrap(keeper, original)

    assert original.invoke({"to": "bob"}) == "paid 5 to bob"


def test_what_was_wrapped_is_what_runs(keeper: Any) -> None:
    """Changing the original afterwards does not put another body behind the gate."""
    reached = Reached()
    original = structured(reached)
    guarded = wrap(keeper, original)
    keeper.permit()
    original.func = lambda to, cents: "something else"  # type: ignore[attr-defined]

    assert guarded.invoke({"to": "bob"}) == "paid 5 to bob"


@pytest.mark.parametrize("name", ["func", "coroutine", "name", "description", "args_schema", "response_format"])
def test_what_was_judged_cannot_be_swapped(name: str, keeper: Any) -> None:
    """A tool whose definition changed after it was approved is another tool."""
    guarded = wrap(keeper, structured(Reached()))

    with pytest.raises(ConfigurationError, match="cannot be changed once it is guarded"):
        setattr(guarded, name, None)
    with pytest.raises(ConfigurationError, match="cannot be changed once it is guarded"):
        guarded.model_copy(update={name: None})
    with pytest.raises(ConfigurationError, match="cannot be changed once it is guarded"):
        guarded.copy(update={name: None})


def test_how_it_is_watched_may_change(keeper: Any) -> None:
    """Frameworks set callbacks and tags on tools."""
    guarded = wrap(keeper, structured(Reached()))
    guarded.tags = ["t"]
    guarded.callbacks = []

    assert guarded.model_copy(update={"tags": ["u"]}).tags == ["u"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_refuses_with_the_remedy(kind: Any, protocol: int, keeper: Any) -> None:
    """An unpickled tool would have no guard; it is refused before it leaves."""
    guarded = wrap(keeper, kind(Reached()))

    with pytest.raises(ConfigurationError, match="wrap it where it will be used"):
        pickle.dumps(guarded, protocol)
    for door in (getattr(guarded, "func", None), getattr(guarded, "coroutine", None)):
        if door is not None:
            with pytest.raises((pickle.PicklingError, AttributeError)):
                pickle.dumps(door, protocol)


async def alook(ticket_id: str) -> None:
    """Look a ticket up."""


def look(ticket_id: str) -> None:
    """Look a ticket up."""


def test_a_door_in_the_place_of_the_original_is_not_pickled_as_that_place(
    keeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker process would import the module, and find the original there."""
    guarded = wrap(keeper, StructuredTool.from_function(look, alook))
    for door in (guarded.func, guarded.coroutine):
        monkeypatch.setitem(globals(), door.__name__, door)
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(door)


@pytest.mark.parametrize("handler", [False, True, "custom text", lambda error: "handled"])
@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
def test_handle_tool_error_does_not_touch_a_refusal(handler: Any, call: str, keeper: Any) -> None:
    """Its text would be the tool's word, and look like success."""
    original = structured(Reached())
    original.handle_tool_error = handler
    guarded = wrap(keeper, original)

    def say(given: Any) -> Any:
        return guarded.invoke(given) if call == "invoke" else asyncio.run(guarded.ainvoke(given))

    answer = say(dict(CALL))
    assert isinstance(answer, ToolMessage)
    assert (answer.status, answer.tool_call_id, answer.name) == ("error", "call-7", "pay")
    assert answer.content == "this tool call was not allowed (decision `d-1`)"
    assert keeper.judged[-1] == ("pay", {"to": "bob", "cents": 5}, "call-7")
    with pytest.raises(ToolException) as refused:
        say({"to": "bob"})
    assert str(refused.value) == "this tool call was not allowed (decision `d-1`)"


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (ToolCallDenied("d-1"), "this tool call was not allowed (decision `d-1`)"),
        (ApprovalRefused("d-1"), "this tool call was not allowed (decision `d-1`)"),
        (ApprovalPending("d-1", "a-1"), "this tool call waits for a person (decision `d-1`)"),
    ],
)
def test_each_refusal_is_itself_and_a_tool_exception(refusal: Any, text: str, keeper: Any) -> None:
    """Code that knows agentguard and code that knows LangChain both catch it; it can be pickled like any refusal."""
    guarded = wrap(keeper, structured(Reached()))
    keeper.refusal = refusal

    with pytest.raises(type(refusal)) as raised:
        guarded.invoke({"to": "bob"})

    assert isinstance(raised.value, ToolException)
    assert str(raised.value) == text
    assert pickle.loads(pickle.dumps(raised.value)).__dict__ == refusal.__dict__
    assert guarded.invoke(dict(CALL)).content == text


def test_a_ledger_that_fails_is_not_shown_to_the_model(keeper: Any) -> None:
    """That is operations' turn: nothing ran, and it raises through every setting."""
    original = structured(Reached())
    original.handle_tool_error = True
    guarded = wrap(keeper, original)
    keeper.refusal = LedgerError("the disk is full")

    with pytest.raises(LedgerError):
        guarded.invoke(dict(CALL))


def test_the_tools_own_errors_are_handled_as_before(keeper: Any) -> None:
    """Only refusals are ours."""

    @tool
    def fail() -> str:
        """Fail."""
        raise ToolException("out of stock")

    fail.handle_tool_error = True
    guarded = wrap(keeper, fail)
    keeper.permit()

    assert guarded.invoke({}) == fail.invoke({}) == "out of stock"


def test_content_and_artifact_still_come_apart(keeper: Any) -> None:
    """response_format belongs to the drop-in; a refusal has its own artifact."""

    @tool(response_format="content_and_artifact")
    def look(at: str) -> tuple[str, dict[str, int]]:
        """Look."""
        return at, {"n": 1}

    guarded = wrap(keeper, look)
    call = {"type": "tool_call", "id": "c", "name": "look", "args": {"at": "x"}}
    assert guarded.invoke(dict(call)).artifact == {"status": "denied", "decision_id": "d-1", "approval_id": None}
    keeper.permit()

    assert (guarded.invoke(dict(call)).content, guarded.invoke(dict(call)).artifact) == ("x", {"n": 1})


def test_wrapping_proves_each_entry_with_a_canary(keeper: Any) -> None:
    """A wrapper that silently does nothing after a framework release must not get past start-up."""
    reached = Reached()
    wrap(keeper, structured(reached))

    proved = set(keeper.proved["pay"])
    assert {"invoke", "run", "_run", "batch", "stream", "func", "copy", "deepcopy", "model_copy", "bind"} <= proved
    assert {"ainvoke", "arun", "_arun", "abatch", "astream", "coroutine"} <= proved
    assert reached.calls == [] and keeper.judged == []


def test_wrapping_inside_a_running_loop_works(keeper: Any) -> None:
    """The canary needs a loop of its own, wherever it is called."""

    async def start() -> Any:
        return wrap(keeper, structured(Reached()))

    asyncio.run(start())
    assert "ainvoke" in keeper.proved["pay"]


@pytest.mark.parametrize(
    ("entry", "broken"),
    [
        ("invoke", lambda self, given, config=None, **kw: "done"),
        ("batch", lambda self, inputs, config=None, **kw: [None for _ in inputs]),
    ],
)
def test_a_framework_release_that_goes_another_way_is_noticed(
    entry: str, broken: Any, keeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an entry no longer comes to the gate, wrapping fails."""
    monkeypatch.setattr(BaseTool, entry, broken)

    with pytest.raises(ConfigurationError, match="did not refuse a canary call"):
        wrap(keeper, structured(Reached()))
    assert keeper.proved == {}


def test_a_framework_release_that_calls_the_body_itself_is_noticed(
    keeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tripwire tells, and the real body never ran."""
    reached = Reached()
    original = structured(reached)
    monkeypatch.setattr(StructuredTool, "invoke", lambda self, *a, **k: super(type(self), self)._run(config={}))

    with pytest.raises(ConfigurationError, match="cannot be guarded"):
        wrap(keeper, original)
    assert reached.calls == []


def test_a_refusal_swallowed_on_the_way_is_noticed(keeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that turns exceptions into results would hand a refusal on as success."""

    def swallow(self: Any, given: Any, config: Any = None, **kw: Any) -> Any:
        try:
            return self.run(given)
        except Exception:
            return "fine"

    monkeypatch.setattr(BaseTool, "invoke", swallow)

    with pytest.raises(ConfigurationError, match="did not refuse a canary call"):
        wrap(keeper, structured(Reached()))


# What cannot be guarded


class _Args(BaseModel):
    to: str


class _Overrides(BaseTool):
    name: str = "pay"
    description: str = "d"

    def _run(self, to: str) -> str:
        return to


def _subclass(**members: Any) -> BaseTool:
    made: Any = type("Mine", (_Overrides,), {**members, "__module__": __name__})
    return made()


def _subclass_with(**fields: Any) -> BaseTool:
    return _Overrides(**fields)


def _patched() -> BaseTool:
    made = _Overrides()
    object.__setattr__(made, "invoke", lambda *a: "done")
    return made


def _generator(to: str) -> Any:
    """Yield."""
    yield to


async def _coroutine(to: str) -> str:
    """Say."""
    return to


UNGUARDABLE: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        f"overrides {entry}": (lambda e=entry: _subclass(**{e: lambda self, *a, **k: "done"}), f"overrides `{entry}`")
        for entry in ("invoke", "run", "batch", "stream", "bind", "model_copy", "_to_args_and_kwargs", "_parse_input",
                      "with_config", "transform", "_call_with_config")
    },
    "overrides ainvoke": (lambda: _subclass(ainvoke=_coroutine), "overrides `ainvoke`"),
    "__call__": (lambda: _subclass(__call__=lambda self, to: to), "defines `__call__`"),
    "__getattr__": (lambda: _subclass(__getattr__=lambda self, name: None), "`__getattr__`"),
    "patched": (_patched, "was replaced on this object"),
    "metadata that can be called": (lambda: _subclass_with(metadata={"a": print}), "`metadata` can be called"),
    "generator": (lambda: StructuredTool.from_function(_generator), "it is a generator"),
    "async as func": (lambda: StructuredTool.from_function(_coroutine), "pass it as `coroutine`"),
    "no body": (lambda: StructuredTool(name="pay", description="d", args_schema=_Args), "neither `func` nor"),
    "bad schema": (
        lambda: StructuredTool.from_function(lambda **k: k, name="pay", description="d", args_schema={"type": "objec"}),
        "JSON Schema is wrong",
    ),
    "remote schema": (
        lambda: StructuredTool.from_function(
            lambda **k: k, name="pay", description="d",
            args_schema={"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/s"}}},
        ),
        "JSON Schema is wrong",
    ),
    "not a tool": (lambda: print, "not a LangChain tool"),
    "a built-in tool": (lambda: {"type": "web_search"}, "not a LangChain tool"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "says"), UNGUARDABLE.values(), ids=UNGUARDABLE.keys())
def test_what_cannot_be_guarded_is_refused_when_wrapping(make: Any, says: str, keeper: Any) -> None:
    """Better no tool than one with an open door. Nothing is proved and nothing ran."""
    with pytest.raises(ConfigurationError, match=says):
        wrap(keeper, make())
    assert keeper.proved == {} and keeper.judged == []


def test_wrapping_twice_is_refused(keeper: Any) -> None:
    """Two gates would count one call twice."""
    guarded = wrap(keeper, structured(Reached()))

    for again in (guarded, copy.deepcopy(guarded)):
        with pytest.raises(ConfigurationError, match="guarded already"):
            wrap(keeper, again)


def test_a_harmless_subclass_is_guarded(keeper: Any) -> None:
    """The near miss of the rules above: data, private helpers, validators, properties and descriptions are fine."""
    from pydantic import field_validator

    class Mine(_Overrides):
        """Fine."""

        region: str = "eu"
        limits: tuple[int, ...] = (1, 2)
        _client: Any = None

        @field_validator("region")
        @classmethod
        def lower(cls, value: str) -> str:
            return value.lower()

        def _helper(self) -> str:
            return self.region

        def _run(self, to: str) -> str:
            return f"{to} in {self._helper()}"

    guarded = wrap(keeper, Mine(region="US"))
    keeper.permit()

    assert guarded.region == "us"
    assert guarded.invoke("bob") == "bob in us"


@pytest.mark.parametrize(
    "schema", [_Args, {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}]
)
def test_a_tool_of_one_argument_with_a_schema_is_guarded(schema: Any, keeper: Any) -> None:
    """LangChain passes the one value by position, whatever the function calls it; the policy sees the schema's name."""
    guarded = wrap(keeper, Tool("say", lambda q: f"said {q}", "Say.", args_schema=schema))
    for call in (lambda: guarded.invoke({"to": "hi"}), lambda: guarded.func("hi"), lambda: guarded._run("hi")):
        with pytest.raises(ToolCallDenied):
            call()
    keeper.permit()

    said = [guarded.invoke({"to": "hi"}), guarded.func("hi"), guarded.func(q="hi"), guarded.func(to="hi")]
    assert [*said, guarded._run("hi")] == ["said hi"] * 5
    assert keeper.arguments == [{"to": "hi"}] * 8


def test_a_tool_of_one_text_is_guarded(keeper: Any) -> None:
    """The policy sees one name, `tool_input`, whatever the model called it."""
    said: list[str] = []
    guarded = wrap(keeper, Tool("say", lambda q: said.append(q) or q, "Say."))
    for call in (lambda: guarded.invoke("hi"), lambda: guarded.invoke({"x": "hi"}), lambda: guarded.func("hi")):
        with pytest.raises(ToolCallDenied):
            call()
    assert said == []
    keeper.permit()

    assert [guarded.invoke("hi"), guarded.invoke({"x": "hi"}), guarded.func("hi"), guarded.func(q="hi")] == ["hi"] * 4
    assert keeper.arguments == [{"tool_input": "hi"}] * 7
