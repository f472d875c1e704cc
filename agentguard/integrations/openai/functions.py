"""One guarded function that a model may call by name: its definition, and the one door to its body."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from agentguard.core.canonical import NotCanonical, parse_json
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard.arguments.given import Codec, Given
from agentguard.guard.arguments.json_schema import JsonShape
from agentguard.guard.arguments.late import Change
from agentguard.guard.arguments.misfits import Misfit, binder
from agentguard.guard.arguments.signature import Signature
from agentguard.guard.functions import is_guarded
from agentguard.guard.gate import Gate
from agentguard.policy.json_schema.extent import NestedTooDeep
from agentguard.policy.json_schema.shown import shown_schema

if TYPE_CHECKING:
    from agentguard.guard import CanaryGate, Guard


# Reads the arguments as they came; raises BadArguments. Called at the door, so that a failure is on record.
Read: TypeAlias = Callable[[], Mapping[str, Any]]


class BadArguments(ValueError):
    """The model's arguments cannot be read. The text may be shown to it."""


class ArgumentShape(Protocol):
    """How arguments are read, and handed to the body."""

    def given(self, values: Mapping[str, Any]) -> Given:
        """One call's arguments, defaults included. Raises pydantic's ValidationError."""

    def call(self, body: Callable[..., Any], ready: Any) -> Any:
        """Call the body with what the arguments made ready."""


class SignatureShape:
    """A Python function's own parameters."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature

    def given(self, values: Mapping[str, Any]) -> Given:
        return self._signature.given_json(values)

    def call(self, body: Callable[..., Any], ready: Any) -> Any:
        args, kwargs = ready
        return body(*args, **kwargs)


class DefinedShape:
    """A definition written by hand, with a body that takes its properties by keyword."""

    def __init__(self, shape: JsonShape, body: Callable[..., Any]) -> None:
        self._shape = shape
        self._body = body
        self._bind = binder(body)

    def given(self, values: Mapping[str, Any]) -> Given:
        return Given(self._shape.for_body(values, self._body), self._bind)

    def call(self, body: Callable[..., Any], ready: Any) -> Any:
        return body(**ready)


class WholeShape:
    """A definition with a body that takes all its arguments as one dict."""

    def __init__(self, shape: JsonShape) -> None:
        self._shape = shape

    def given(self, values: Mapping[str, Any]) -> Given:
        return Given(self._shape.check(values))

    def call(self, body: Callable[..., Any], ready: Any) -> Any:
        return body(ready)


class ModelShape:
    """A definition that the client made of a model, which the body takes. What its validators make is judged."""

    def __init__(self, shape: JsonShape, model: type[BaseModel]) -> None:
        self._shape = shape
        self._codec = Codec(shape.name, model, shape.schema, by_alias=True)

    def given(self, values: Mapping[str, Any]) -> Given:
        reading = self._codec.read_json(self._shape.check(values), by_name=True)
        return Given(reading.values, reading.again, reading.coerced, reading.retyped)

    def call(self, body: Callable[..., Any], ready: Any) -> Any:
        return body(ready)


def as_json(model: BaseModel) -> dict[str, Json]:
    """What a model holds, under the names that its schema shows."""
    return model.model_dump(mode="json", by_alias=True)


class GuardedFunction:
    """The gate, the definition, and the body in a closure."""

    def __init__(
        self,
        gate: Gate | CanaryGate,
        name: str,
        definition: dict[str, Any],
        shape: ArgumentShape,
        body: Callable[..., Any],
    ) -> None:
        self.name = name
        self.asynchronous = inspect.iscoroutinefunction(body)
        parameters = definition["parameters"]
        strict = definition.get("strict") is True
        self._definition = {
            **definition, "parameters": shown_schema(parameters, gate.hidden, gate.optional, strict=strict)
        }  # fmt: skip

        def run(ready: Any) -> Any:
            return shape.call(body, ready)

        async def arun(ready: Any) -> Any:
            return await (run(ready) if self.asynchronous else asyncio.to_thread(run, ready))

        def call(read: Read, call_id: str | None) -> Any:
            return gate.call(lambda change: _fitting(shape, read, change), run, call_id=call_id)

        async def acall(read: Read, call_id: str | None) -> Any:
            return await gate.acall(lambda change: _fitting(shape, read, change), arun, call_id=call_id)

        self.call = call
        self.acall = acall
        if isinstance(gate, Gate):
            gate.opens(
                None if self.asynchronous else lambda values: call(lambda: values, None),
                lambda values: acall(lambda: values, None),
            )

    @property
    def definition(self) -> dict[str, Any]:
        """Name, description, parameters (and ``strict`` where it was given). A fresh copy each time."""
        return copy.deepcopy(self._definition)


def read_arguments(text: str) -> dict[str, Json]:
    """A call's raw arguments. Raises BadArguments."""
    try:
        # Models write an empty text for a function that takes nothing.
        values = parse_json(text or "{}")
    except NotCanonical as error:
        raise BadArguments(f"the arguments cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise BadArguments("the arguments are not a JSON object")
    return values


def _fitting(shape: ArgumentShape, read: Read, change: Change | None) -> Given:
    try:
        return shape.given(read() if change is None else change(read()))
    except ValidationError as error:
        raise BadArguments(_said_plainly(error)) from None
    except (NestedTooDeep, Misfit) as error:
        raise BadArguments(f"the arguments do not fit: {error}") from None
    except PydanticSerializationError:
        raise BadArguments("the arguments cannot be written as JSON") from None


def _said_plainly(error: ValidationError) -> str:
    """What is wrong with the arguments, without their values."""
    lines = [
        f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "the arguments do not fit: " + "; ".join(lines[:5])


def guard_entry(guard: Guard, entry: object) -> tuple[Gate, dict[str, Any], ArgumentShape, Callable[..., Any]]:
    """What a plain function, or a definition with its implementation, is made of. Raises ConfigurationError."""
    if isinstance(entry, tuple) and len(entry) == 2:
        definition, body = entry
        function, model = read_definition(definition)
        _check_body(function["name"], body)
        shape: ArgumentShape = defined_shape(function, model, body)
    elif isinstance(entry, Mapping):
        read_definition(entry)
        raise ConfigurationError("a definition alone runs nothing; pass (definition, implementation)")
    elif inspect.isroutine(entry):
        body = entry
        name = getattr(body, "__name__", "")
        _check_body(name, body)
        signature = Signature.of(body)
        for context in signature.contexts:
            if signature.signature.parameters[context].default is inspect.Parameter.empty:
                raise ConfigurationError(
                    f"`{name}` cannot be guarded: nobody would fill in its context `{context}`; give it a default, or "
                    "hand the guarded function to the framework that fills it in"
                )
        function = {"name": name, "description": inspect.getdoc(body) or "", "parameters": signature.schema()}
        shape = SignatureShape(signature)
    else:
        raise ConfigurationError(
            f"`{type(entry).__name__}` cannot be guarded; pass a function, or (definition, implementation)"
        )
    return open_gate(guard, function), function, shape, body


def defined_shape(
    function: Mapping[str, Any], model: type[BaseModel] | None, body: Callable[..., Any]
) -> ArgumentShape:
    """How the arguments of a definition are read: by its JSON Schema, and by the model it was made of."""
    shape = JsonShape(function["name"], function["parameters"])
    return DefinedShape(shape, body) if model is None else ModelShape(shape, model)


def open_gate(guard: Guard, function: Mapping[str, Any]) -> Gate:
    """The gate for one definition."""
    judged = {name: function.get(name, "") for name in ("name", "description", "parameters")}
    return guard.gate(function["name"], definition=judged, framework="openai")


def read_definition(definition: object) -> tuple[dict[str, Any], type[BaseModel] | None]:
    """The function inside a tool definition of either API. Raises ConfigurationError for any other tool."""
    kind = definition.get("type") if isinstance(definition, Mapping) else None
    if not isinstance(definition, Mapping) or kind != "function":
        raise ConfigurationError(
            f"a tool of type `{kind}` is executed outside the guard or takes free text; offer a function instead"
        )
    inner = definition.get("function", definition)
    model = getattr(inner, "model", None)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise ConfigurationError("a function definition without a `name`")
    function = {
        key: copy.deepcopy(inner[key]) for key in ("name", "description", "parameters", "strict") if key in inner
    }
    function.setdefault("parameters", {"type": "object", "properties": {}, "additionalProperties": False})
    if not isinstance(function["parameters"], dict):
        raise ConfigurationError(f"`{function['name']}` cannot be guarded: its `parameters` are not a JSON Schema")
    return function, model


def _check_body(name: str, body: object) -> None:
    if not callable(body):
        raise ConfigurationError(f"`{name}` cannot be guarded: its implementation cannot be called")
    if is_guarded(body):
        raise ConfigurationError(f"`{name}` is guarded already; pass the original function here")
    target = body.func if isinstance(body, functools.partial) else body
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise ConfigurationError(f"`{name}` is a generator; a model is answered once, so return the whole result")
