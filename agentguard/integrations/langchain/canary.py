"""Every public entry of a LangChain tool, for the guard to prove that each refuses."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langsmith import tracing_context
from pydantic import BaseModel

from agentguard.errors import ToolCallRefused
from agentguard.guard import CanaryGate, Gate
from agentguard.integrations.langchain.arguments import Arguments
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


def prove(tool: BaseTool, gate: Gate, arguments: Arguments) -> None:
    """Raises ConfigurationError if an entry did not refuse, or reached the body."""

    def entries(canary: CanaryGate) -> dict[str, Callable[[], Any]]:
        door = shut_doors(_stand_in(tool, canary), canary, arguments)
        door.callbacks = None
        found: dict[str, Callable[[], Any]] = {name: partial(_untraced, call, door) for name, call in SYNC.items()}
        found |= {name: partial(_auntraced, call, door) for name, call in ASYNC.items()}
        for name in ("func", "coroutine"):
            if getattr(door, name, None) is None:
                del found[name]
        return found

    gate.prove(entries, refuses=_is_refusal)


def _is_refusal(outcome: object) -> bool:
    return (isinstance(outcome, ToolMessage) and outcome.status == "error") or isinstance(outcome, ToolCallRefused)


def _untraced(call: Callable[[Any], Any], door: BaseTool) -> Any:
    with tracing_context(enabled=False):
        return call(door)


async def _auntraced(call: Callable[[Any], Awaitable[Any]], door: BaseTool) -> Any:
    with tracing_context(enabled=False):
        return await call(door)


def _stand_in(tool: BaseTool, canary: CanaryGate) -> BaseTool:
    """The same class and fields, with bodies that only say that they were reached."""
    body, abody = canary.stand_in(BaseTool._run), canary.stand_in(BaseTool._arun)
    made = subclass(type(tool), {"_run": body, "_arun": abody})
    stand_in = BaseModel.__copy__(tool)
    for name, trap in (("func", body), ("coroutine", abody)):
        if stand_in.__dict__.get(name) is not None:
            stand_in.__dict__[name] = trap
    object.__setattr__(stand_in, "__class__", made)
    return stand_in


async def _drain(items: Any) -> list[Any]:
    return [item async for item in items]


async def _one() -> Any:
    yield {}
