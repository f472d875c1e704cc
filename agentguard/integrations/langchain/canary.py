"""Proves at wrapping time that every public entry refuses: the same doors, over a gate that always says no.

The body behind those doors is a tripwire, never the tool. A framework release that opens a way round is found here,
when the program starts, and not after something ran.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langsmith import tracing_context
from pydantic import BaseModel

from agentguard.errors import ConfigurationError, ToolCallRefused
from agentguard.guard import CanaryGate, Gate
from agentguard.integrations.langchain.arguments import AnyArguments, Arguments
from agentguard.integrations.langchain.guarded_class import shut_doors, subclass

_CALL = {"type": "tool_call", "id": "canary", "name": "canary", "args": {}}

SYNC: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda tool: tool.invoke({}),
    "invoke(tool call)": lambda tool: tool.invoke(dict(_CALL)),
    "run": lambda tool: tool.run({}),
    "_run": lambda tool: tool._run(),
    "batch": lambda tool: tool.batch([{}]),
    "batch_as_completed": lambda tool: list(tool.batch_as_completed([{}])),
    "stream": lambda tool: list(tool.stream({})),
    "transform": lambda tool: list(tool.transform(iter([{}]))),
    "bind": lambda tool: tool.bind().invoke({}),
    "with_config": lambda tool: tool.with_config(tags=["canary"]).invoke({}),
    "with_retry": lambda tool: tool.with_retry(stop_after_attempt=1).invoke({}),
    "with_fallbacks": lambda tool: tool.with_fallbacks([]).invoke({}),
    "map": lambda tool: tool.map().invoke([{}]),
    "copy": lambda tool: copy.copy(tool).invoke({}),
    "deepcopy": lambda tool: copy.deepcopy(tool).invoke({}),
    "model_copy": lambda tool: tool.model_copy().invoke({}),
    "func": lambda tool: tool.func(),
}
ASYNC: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "ainvoke": lambda tool: tool.ainvoke({}),
    "ainvoke(tool call)": lambda tool: tool.ainvoke(dict(_CALL)),
    "arun": lambda tool: tool.arun({}),
    "_arun": lambda tool: tool._arun(),
    "abatch": lambda tool: tool.abatch([{}]),
    "abatch_as_completed": lambda tool: _drain(tool.abatch_as_completed([{}])),
    "astream": lambda tool: _drain(tool.astream({})),
    "astream_events": lambda tool: _drain(tool.astream_events({}, version="v2")),
    "atransform": lambda tool: _drain(tool.atransform(_one())),
    "coroutine": lambda tool: tool.coroutine(),
}


def prove(tool: BaseTool, gate: Gate) -> list[str]:
    """The entries that were seen to refuse. Raises ConfigurationError if one did not, or reached the body."""
    tripped: list[str] = []
    stand_in = _trapped(tool, tripped)
    canary = shut_doors(stand_in, gate.canary, AnyArguments(Arguments.of(tool)))
    canary.callbacks = None
    proof = _Proof(tool.name, canary, gate.canary, tripped)
    # A thread of its own: the caller may be inside an event loop, and inside a traced call.
    thread = threading.Thread(target=proof.run, name="agentguard-canary")
    thread.start()
    thread.join()
    for problem in proof.problems:
        raise ConfigurationError(
            f"`{tool.name}` cannot be guarded: {problem}; this release of langchain-core is not one agentguard knows"
        )
    return proof.proved


class _Proof:
    def __init__(self, name: str, canary: BaseTool, gate: CanaryGate, tripped: list[str]) -> None:
        self.name = name
        self.canary = canary
        self.gate = gate
        self.tripped = tripped
        self.proved: list[str] = []
        self.problems: list[str] = []

    def run(self) -> None:
        try:
            with tracing_context(enabled=False):
                for entry, call in SYNC.items():
                    if entry != "func" or getattr(self.canary, "func", None) is not None:
                        self._judge(entry, self.gate.refused, _outcome(call, self.canary))
                asyncio.run(self._run_async())
        except BaseException as error:
            self.problems.append(f"its canary calls failed with {type(error).__name__}")

    async def _run_async(self) -> None:
        for entry, call in ASYNC.items():
            if entry == "coroutine" and getattr(self.canary, "coroutine", None) is None:
                continue
            before = self.gate.refused
            try:
                outcome: object = await call(self.canary)
            except Exception as error:
                outcome = error
            self._judge(entry, before, outcome)

    def _judge(self, entry: str, before: int, outcome: object) -> None:
        message = isinstance(outcome, ToolMessage) and outcome.status == "error"
        if self.tripped:
            self.problems.append(f"its entry `{entry}` reached the tool unguarded")
        elif self.gate.refused == before or not (message or isinstance(outcome, ToolCallRefused)):
            self.problems.append(f"its entry `{entry}` did not refuse a canary call")
        else:
            self.proved.append(entry)


def _outcome(call: Callable[[Any], Any], tool: BaseTool) -> object:
    try:
        outcome: object = call(tool)
    except Exception as error:
        return error
    return outcome


def _trapped(tool: BaseTool, tripped: list[str]) -> BaseTool:
    """The same class and fields, with bodies that only say that they were reached."""

    def trap(*_: Any, **__: Any) -> None:
        tripped.append("reached")

    async def atrap(*_: Any, **__: Any) -> None:
        tripped.append("reached")

    made = subclass(type(tool), {"_run": trap, "_arun": atrap})
    stand_in = BaseModel.__copy__(tool)
    for name, body in (("func", trap), ("coroutine", atrap)):
        if stand_in.__dict__.get(name) is not None:
            stand_in.__dict__[name] = body
    object.__setattr__(stand_in, "__class__", made)
    return stand_in


async def _drain(items: Any) -> list[Any]:
    return [item async for item in items]


async def _one() -> Any:
    yield {}
