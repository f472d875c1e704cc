"""How deep arguments may nest where a parameter's type tries several alternatives at each level: pydantic tries all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

from agentguard.guard.arguments.signature import Signature
from agentguard.integrations.langchain import wrap
from agentguard.integrations.openai import OpenAITools
from agentguard.policy.json_schema.extent import Levels, NestedTooDeep
from integrations.conftest import Doorkeeper


class Leaf(BaseModel):
    leaf: str


class And(BaseModel):
    items: list[And | Or | Leaf]


class Or(BaseModel):
    items: list[And | Or | Leaf]


class Not(BaseModel):
    item: Not | Leaf


class Both(BaseModel):
    kind: Literal["both"] = "both"
    items: list[Named]


class Either(BaseModel):
    kind: Literal["either"] = "either"
    items: list[Named]


class End(BaseModel):
    kind: Literal["end"] = "end"


Named = Annotated[Both | Either | End, Field(discriminator="kind")]
for _model in (Both, Either):
    _model.model_rebuild()


def search(query: And | Or | Leaf) -> str:
    """Search."""
    return "found"


def find(query: Not | Leaf) -> str:
    """Search, with one alternative that goes on."""
    return "found"


def look(query: Named) -> str:
    """Search, by alternatives that say which they are."""
    return "found"


def deep(levels: int, end: Any = None) -> dict[str, Any]:
    """So many objects in each other."""
    value: Any = {"leaf": "x"} if end is None else end
    for _ in range(levels - 1):
        value = {"items": [value]}
    return dict(value)


MOST = Levels(And.model_json_schema()).most or 0
# The argument object itself is a level, too.
FITS, TOO_DEEP = MOST - 1, MOST


def by_function(query: Any) -> Any:
    return Signature.of(search).given([query], {}).values["query"]


def by_json(query: Any) -> Any:
    return Signature.of(search).given_json({"query": query}).values["query"]


def test_two_alternatives_may_nest_as_deep_as_ten_thousand_tries_take() -> None:
    """Doubled at each level, that is 13."""
    assert MOST == 13


@pytest.mark.parametrize("read", [by_function, by_json])
def test_what_nests_as_deep_as_may_be_is_read_and_one_level_more_is_not(read: Callable[[Any], Any]) -> None:
    """At forty levels the process would stand still for days, whatever the arguments say."""
    assert read(deep(FITS))
    with pytest.raises(NestedTooDeep, match="discriminator"):
        read(deep(TOO_DEEP))
    with pytest.raises(NestedTooDeep):
        read(deep(TOO_DEEP, {"leaf": 1}))


def test_objects_that_code_made_are_bounded_too() -> None:
    """They are validated already, and would be read again from JSON."""
    query: And | Leaf = Leaf(leaf="x")
    for _ in range(60):
        query = And(items=[query])
    with pytest.raises(NestedTooDeep):
        by_function(query)


@pytest.mark.parametrize(("function", "value"), [
    (find, {"leaf": "x"}),
    (look, {"kind": "end"}),
])  # fmt: skip
def test_one_way_to_go_on_may_go_as_deep_as_any_argument(function: Any, value: Any) -> None:
    """One alternative, or one that is named, is tried once."""
    for _ in range(20):
        value = {"item": value} if function is find else {"kind": "both", "items": [value]}

    assert Signature.of(function).given([value], {}).values == {"query": value}


def test_a_langchain_tool_is_bounded(keeper: Doorkeeper) -> None:
    """Nothing is judged; the model reads why."""
    guarded = wrap(keeper, StructuredTool.from_function(search))
    keeper.permit()
    assert guarded.invoke({"query": deep(FITS)}) == "found"
    with pytest.raises(NestedTooDeep):
        guarded.invoke({"query": deep(TOO_DEEP)})
    with pytest.raises(NestedTooDeep):
        guarded.invoke({"query": deep(TOO_DEEP, {"leaf": 1})})

    assert len(keeper.judged) == 1 and keeper.misread == [("search", None)] * 2


def test_an_openai_function_is_bounded(keeper: Doorkeeper) -> None:
    """The model is told, and may try again."""
    tools = OpenAITools(keeper, [search])
    keeper.permit()
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": "search", "arguments": json.dumps({"query": deep(n)})}
        for n in (FITS, TOO_DEEP)
    ]
    found, told = (answer["output"] for answer in tools.answer(calls))

    assert found == "found" and "nest deeper than 13" in json.loads(told)["error"]
    assert keeper.misread == [("search", f"c{TOO_DEEP}")]
