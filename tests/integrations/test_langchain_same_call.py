"""The body of a guarded tool is called as LangChain calls it, though its annotations are read once, not each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool

from agentguard.integrations.langchain import wrap


class Watch(BaseCallbackHandler):
    """Notes what a tracer would see."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any, Any]] = []
        self.runs: dict[str, Any] = {}

    def on_tool_start(self, serialized: Any, input_str: str, **more: Any) -> None:
        self.seen.append(("tool", serialized["name"], more["inputs"]))
        self.runs["tool"] = more["run_id"]

    def on_tool_end(self, output: Any, **more: Any) -> None:
        self.seen.append(("end", str(output), None))

    def on_chain_start(self, serialized: Any, inputs: Any, **more: Any) -> None:
        self.runs["parent of what it runs"] = more["parent_run_id"]


def plain(word: str, times: int = 2) -> str:
    """Say a word."""
    return word * times


def told_config(word: str, config: RunnableConfig) -> str:
    """Say a word, and who asked for it."""
    return f"{word} {config['configurable']['who']} {sorted(config.get('tags', []))}"


def told_callbacks(word: str, callbacks: Any = None) -> str:
    """Say a word, and what watches."""
    assert isinstance(callbacks, CallbackManager)
    return f"{word} {[type(handler).__name__ for handler in callbacks.handlers]}"


def told_both(word: str, callbacks: Any, config: RunnableConfig) -> str:
    """Say both."""
    return f"{told_config(word, config)} {told_callbacks(word, callbacks)}"


def runs_something(word: str) -> str:
    """Run a chain, which is a child of this call."""
    return str(RunnableLambda(lambda x: x).invoke(word))


CALL = {"word": "hey"}


def made(function: Callable[..., Any], *, awaited: bool) -> BaseTool:
    if not awaited:
        return StructuredTool.from_function(function, name="say", infer_schema=True)

    async def say(**arguments: Any) -> str:
        return str(function(**arguments))

    say.__annotations__ = function.__annotations__
    say.__signature__ = __import__("inspect").signature(function)  # type: ignore[attr-defined]
    return StructuredTool.from_function(None, say, name="say", description="say")


def ask(tool: BaseTool, *, awaited: bool) -> tuple[Any, list[Any], bool]:
    watch = Watch()
    config: RunnableConfig = {"callbacks": [watch], "tags": ["t"], "configurable": {"who": "ann"}}
    given: Any = {"name": "say", "args": dict(CALL), "id": "c-1", "type": "tool_call"}
    answer = asyncio.run(tool.ainvoke(given, config)) if awaited else tool.invoke(given, config)
    return answer, watch.seen, watch.runs.get("parent of what it runs", watch.runs["tool"]) == watch.runs["tool"]


@pytest.mark.parametrize("function", [plain, told_config, told_callbacks, told_both, runs_something])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_guarded_body_is_given_what_the_bare_one_is(function: Any, awaited: bool, keeper: Any) -> None:
    """Callbacks, tags, the configuration and the parent of what it runs: all as without a guard."""
    if awaited and "callbacks" in function.__annotations__:
        pytest.skip("its callbacks are asynchronous there")
    keeper.permit()
    bare, guarded = made(function, awaited=awaited), wrap(keeper, made(function, awaited=awaited))

    assert ask(guarded, awaited=awaited) == ask(bare, awaited=awaited)
    assert ask(guarded, awaited=awaited)[2]


def test_a_body_of_its_own_is_called_by_its_own_class(keeper: Any) -> None:
    """A subclass may do more in `_run` than call the function."""

    class Louder(StructuredTool):
        def _run(self, *args: Any, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None,
                 **kwargs: Any) -> Any:  # fmt: skip
            return super()._run(*args, config=config, run_manager=run_manager, **kwargs).upper()

    keeper.permit()
    tool = Louder.from_function(plain, name="say")

    assert wrap(keeper, tool).invoke(CALL) == tool.invoke(CALL) == "HEYHEY"


def test_an_awaited_body_of_its_own_is_called_by_its_own_class(keeper: Any) -> None:
    class Louder(StructuredTool):
        async def _arun(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
            return (await super()._arun(*args, config=config, run_manager=run_manager, **kwargs)).upper()

    async def say(word: str) -> str:
        """Say a word."""
        return word

    keeper.permit()
    tool = Louder.from_function(None, say, name="say")

    assert asyncio.run(wrap(keeper, tool).ainvoke(CALL)) == asyncio.run(tool.ainvoke(CALL)) == "HEY"
