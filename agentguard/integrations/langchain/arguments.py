"""A LangChain tool's arguments as data: one JSON object for every way of calling it, and back.

Rules:
1. Everything a model can send is judged. A model can send only JSON, so an injected argument that holds JSON is judged
   like any other; only objects (a store, a runtime, a state with messages) are set aside and handed on as they came.
2. The judged object is keyed by field name. Positional, keyword, alias and default arguments look the same.
3. Given = judged = run, as ``guard.arguments.given`` has it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, Tool
from langchain_core.tools.base import (
    FILTERED_ARGS,
    create_schema_from_function,
    get_all_basemodel_annotations,
)
from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard.arguments.contexts import contexts_in
from agentguard.guard.arguments.given import Codec, Given
from agentguard.guard.arguments.json_schema import JsonShape, is_data, is_json
from agentguard.guard.arguments.late import Change
from agentguard.guard.arguments.misfits import Misfit
from agentguard.integrations.langchain.hints import (
    annotations_of,
    config_parameter,
    is_injected,
    parameters_of,
)

# Synthetic fields that LangChain's schema maker adds for *args and **kwargs; passed on only where they were given.
_SYNTHETIC = ("args", "kwargs")


class Read(NamedTuple):
    """One call: what is judged, what is handed on as it came, and the call's id.

    ``given`` makes the judged values ready as keyword arguments of the body, without those that were set ``aside``.
    """

    given: Given
    aside: Mapping[str, Any] = MappingProxyType({})
    call_id: str | None = None

    def for_body(self, fits: Callable[[dict[str, Any]], dict[str, Any]]) -> Given:
        """As ``given``, with what was set aside. ``fits`` raises for what the body does not take."""
        given, aside, ready = self.given, self.aside, self.given.ready
        return Given(
            given.values, lambda judged: fits({**ready(judged), **aside}), given.coerced, given.retyped, self.call_id
        )


class ArgumentShape(ABC):
    """How one kind of schema reads a call."""

    schema: dict[str, Any]
    names: frozenset[str]
    open: bool
    first: str | None

    @abstractmethod
    def given(self, given: Mapping[str, Any], aside: Mapping[str, Any]) -> Given:
        """What is judged, and how it becomes Python values by name. Raises pydantic's ValidationError."""

    def changed(self, given: Mapping[str, Any], change: Change) -> dict[str, Any]:
        """The arguments as they came, with what is filled in, under the names by which they are judged."""
        return change(given)


class ModelShape(ArgumentShape):
    """A pydantic model."""

    def __init__(self, name: str, model: type[BaseModel], shown: dict[str, Any], injected: Collection[str]) -> None:
        self.model = model
        self.schema = shown
        self._codec = Codec(name, model, shown, by_alias=False, aside=injected, hidden=_SYNTHETIC)
        self.names = frozenset(model.model_fields) | {
            alias for info in model.model_fields.values() if (alias := info.alias) is not None
        }
        self.open = model.model_config.get("extra") == "allow"
        self.first = next(iter(model.model_fields), None)
        self._aliases = {name: info.alias for name, info in model.model_fields.items() if info.alias is not None}

    def changed(self, given: Mapping[str, Any], change: Change) -> dict[str, Any]:
        if not self._aliases:
            return change(given)
        names = {alias: name for name, alias in self._aliases.items()}
        changed = change({names.get(key, key): value for key, value in given.items()})
        return {self._aliases.get(name, name): value for name, value in changed.items()}

    def given(self, given: Mapping[str, Any], aside: Mapping[str, Any]) -> Given:
        reading = self._codec.read(given, aside)

        def ready(judged: dict[str, Json]) -> dict[str, Any]:
            found = reading.held_again(judged)
            return {name: found[name] for name in judged}

        return Given(reading.values, ready, reading.coerced, reading.retyped)


class SchemaShape(ArgumentShape):
    """A JSON Schema, which LangChain does not validate. Defaults come from the function's signature."""

    def __init__(self, name: str, schema: Mapping[str, Any], function: Callable[..., Any] | None) -> None:
        self._shape = JsonShape(name, schema)
        self.schema = self._shape.schema
        self.names = self._shape.properties
        self.open = True
        self.first = None
        self._function = function

    def given(self, given: Mapping[str, Any], aside: Mapping[str, Any]) -> Given:
        return Given(self._shape.for_body(given, self._function))


class TextShape(ArgumentShape):
    """A ``Tool`` without a schema: one value, whatever name it is given under. The policy sees ``tool_input``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.schema = {
            "type": "object",
            "properties": {"tool_input": {"type": "string"}},
            "required": ["tool_input"],
        }
        self.names = frozenset({"tool_input"})
        self.open = True
        self.first = "tool_input"

    def given(self, given: Mapping[str, Any], aside: Mapping[str, Any]) -> Given:
        if len(given) != 1:
            raise ValueError(f"`{self._name}` takes one argument, {len(given)} were given; use StructuredTool for more")
        return Given({"tool_input": next(iter(given.values()))})


class Arguments:
    """Reads every call of one tool, and hands its body what was judged."""

    def __init__(
        self, name: str, shape: ArgumentShape, body: Callable[..., Any] | None, injected: frozenset[str], single: bool
    ) -> None:
        self.name = name
        # A ``Tool`` has one argument, and LangChain passes it by position, whatever its function calls it.
        self.single = next(iter(sorted(shape.names)), None) if single else None
        self.schema = shape.schema
        self.shape = shape
        self.injected = injected
        self._call_ids = frozenset(
            key
            for key, hint in _annotations(shape.model if isinstance(shape, ModelShape) else None, body).items()
            if is_injected(hint, InjectedToolCallId)
        )
        config = config_parameter(body)
        self.runtime = frozenset((*FILTERED_ARGS, *([config] if config else [])))
        self._positional = tuple(
            parameter.name
            for parameter in parameters_of(body)
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            and parameter.name not in self.runtime
        )
        if self.single is not None:
            self._positional = (self.single,)

    @classmethod
    def of(cls, tool: BaseTool) -> Arguments:
        """The arguments of a tool. Raises ConfigurationError where they could not be judged."""
        body = body_of(tool)
        injected = frozenset(tool._injected_args_keys) | frozenset(
            key for key, hint in _annotations(tool.args_schema, body).items() if is_injected(hint)
        )
        shape = _shape_of(tool, body, injected)
        return cls(tool.name, shape, body, injected, isinstance(tool, Tool))

    def from_framework(self, given: object, call_id: str | None, change: Change | None = None) -> Read:
        """A call as LangChain hands it over: one text, or a dict of what the model wrote."""
        if isinstance(given, str):
            if isinstance(self.shape, SchemaShape):
                raise ValueError(f"`{self.name}` takes an object of arguments, not one text")
            given = {} if self.shape.first is None else {self.shape.first: given}
        if not isinstance(given, dict):
            raise TypeError(f"`{self.name}` takes a text or a dict of arguments, not {type(given).__name__}")
        return self._read(given, call_id, {}, change)

    def from_code(self, args: Sequence[Any], kwargs: Mapping[str, Any], change: Change | None = None) -> Read:
        """A call as Python code makes it. Raises TypeError for arguments the tool does not take."""
        if len(args) > len(self._positional):
            raise TypeError(f"`{self.name}` takes {len(self._positional)} positional arguments, {len(args)} were given")
        named = dict(zip(self._positional, args, strict=False))
        for twice in named.keys() & kwargs.keys():
            raise TypeError(f"`{self.name}` got two values for `{twice}`")
        named.update(kwargs)
        runtime = {name: named.pop(name) for name in self.runtime if name in named}
        if self.single is not None and len(named) == 1:
            named = dict(zip((self.single,), named.values(), strict=True))
        for unknown in () if self.shape.open else named.keys() - self.shape.names - self.injected:
            raise TypeError(f"`{self.name}` takes no argument `{unknown}`")
        return self._read(named, None, runtime, change)

    def _read(self, given: dict[str, Any], call_id: str | None, runtime: dict[str, Any], change: Change | None) -> Read:
        aside = dict(runtime)
        given = given if change is None else self.shape.changed(given, change)
        given = dict(given)
        for key in contexts_in(given):
            aside[key] = given.pop(key)
        if self.injected:
            for key in self.injected & given.keys():
                if not is_data(given[key]):
                    aside[key] = given.pop(key)
                elif key not in self.shape.names and not is_json(given[key]):
                    raise Misfit(
                        key, "is no JSON, and the tool's schema does not name it; name it there, with its type"
                    )
            for key in self._call_ids:
                written = given.pop(key, None)
                call_id = written if call_id is None else call_id
                if not isinstance(call_id, str):
                    raise ValueError(
                        f"`{self.name}` takes the id of its call: invoke it with a whole tool call, "
                        "{'type': 'tool_call', 'id': ..., 'name': ..., 'args': {...}}"
                    )
                aside[key] = call_id
        known = {key: value for key, value in aside.items() if key in self.shape.names} if aside else aside
        return Read(self._with_unnamed(given, known), aside, call_id)

    def _with_unnamed(self, given: dict[str, Any], known: Mapping[str, Any]) -> Given:
        """Injected arguments that the schema does not name reach the body, so they are judged, too: as they came."""
        if not self.injected:
            return self.shape.given(given, known)
        unnamed = {key: given.pop(key) for key in (self.injected - self.shape.names) & given.keys()}
        found = self.shape.given(given, known)
        if not unnamed:
            return found

        def ready(judged: dict[str, Json]) -> dict[str, Any]:
            rest = {key: value for key, value in judged.items() if key not in unnamed}
            return {**found.ready(rest), **{key: judged[key] for key in unnamed}}

        return replace(found, values={**found.values, **unnamed}, ready=ready)


def body_of(tool: BaseTool) -> Callable[..., Any] | None:
    """The function whose parameters are the tool's."""
    if isinstance(tool, StructuredTool | Tool):
        own = type(tool)._run not in (StructuredTool._run, Tool._run)
        body: Callable[..., Any] | None = tool._run if own else tool.func or tool.coroutine
        return body
    for method in (tool._run, tool._arun):
        kinds = {parameter.kind for parameter in parameters_of(method)}
        if not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}:
            return method
    return None


def _shape_of(tool: BaseTool, body: Callable[..., Any] | None, injected: Collection[str]) -> ArgumentShape:
    schema = tool.args_schema
    if isinstance(schema, dict):
        return SchemaShape(tool.name, schema, body)
    if schema is None and isinstance(tool, Tool):
        return TextShape(tool.name)
    try:
        model = schema if schema is not None else _model_from(tool, body)
        shown = _shown(tool)
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError) as error:
        text = str(error).splitlines()[0]
        raise ConfigurationError(
            f"`{tool.name}` cannot be guarded: its arguments have no JSON Schema: {text}"
        ) from None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigurationError(
            f"`{tool.name}` cannot be guarded: its args_schema is not a pydantic 2 model or a dict"
        )
    return ModelShape(tool.name, model, shown, injected)


def _shown(tool: BaseTool) -> dict[str, Any]:
    """The JSON Schema that models are shown."""
    schema: Any = tool.tool_call_schema
    return schema if isinstance(schema, dict) else schema.model_json_schema()


def _model_from(tool: BaseTool, body: Callable[..., Any] | None) -> Any:
    if body is None:
        raise ConfigurationError(
            f"`{tool.name}` cannot be guarded: its `_run` names no arguments; give it an args_schema"
        )
    config = config_parameter(body)
    return create_schema_from_function(tool.name, body, filter_args=[*FILTERED_ARGS, *([config] if config else [])])


def _annotations(schema: Any, body: Callable[..., Any] | None) -> dict[str, Any]:
    found = annotations_of(body)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        found.update(get_all_basemodel_annotations(schema))
    return found


__all__ = ["Arguments", "Read", "RunnableConfig", "body_of"]
