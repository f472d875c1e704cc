"""A function's signature as data: any way of calling it becomes one JSON object, and back.

Positional, keyword and default arguments look the same to a policy. Real Python types (datetime, Decimal, Enum,
dataclasses, pydantic models, bytes as base64) survive the way to JSON and back because pydantic reads and writes them.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PydanticUserError, create_model
from pydantic.fields import FieldInfo

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard.arguments.contexts import check_context, refuse_contexts, takes_context
from agentguard.guard.arguments.given import Codec, Given, Reading
from agentguard.guard.arguments.late import Change
from agentguard.guard.arguments.misfits import Misnamed, misnamed
from agentguard.guard.results import makes_context_manager


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function as types. Those that were written as text are read where it was written.

    What it returns is left out where only a type checker can read it. Raises NameError, TypeError or ValueError where a
    parameter's cannot be read.
    """
    target = inspect.unwrap(getattr(function, "__func__", function))
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError:
        parameters = {name: hint for name, hint in target.__annotations__.items() if name != "return"}
        alone = SimpleNamespace(__annotations__=parameters, __type_params__=getattr(target, "__type_params__", ()))
        return typing.get_type_hints(alone, globalns=getattr(target, "__globals__", {}), include_extras=True)


@dataclass(frozen=True, slots=True)
class Signature:
    """One function's parameters. Field names are made by position, so that no parameter's name can collide."""

    signature: inspect.Signature
    fields: Mapping[str, str]
    codec: Codec
    contexts: Mapping[str, Any] = field(default_factory=dict)  # parameters for a framework's context, with their hints
    binder: Binder = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "binder", Binder(self.signature))

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Read a function's signature. Raises ConfigurationError where its arguments could not be judged."""
        name = getattr(function, "__name__", repr(function))
        if makes_context_manager(function):
            raise ConfigurationError(
                f"`{name}` cannot be guarded: it makes a context manager, and its work would begin after the call; "
                "guard the function that does the work, and enter the context inside of it"
            )
        try:
            signature = inspect.signature(function)
            hints = hints_of(function)
        except (TypeError, ValueError, NameError) as error:
            raise ConfigurationError(f"`{name}` cannot be guarded: its signature cannot be read ({error})") from None
        fields: dict[str, Any] = {}
        names: dict[str, str] = {}
        contexts: dict[str, Any] = {}
        for position, parameter in enumerate(signature.parameters.values()):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ConfigurationError(
                    f"`{name}` cannot be guarded: `{parameter}` hides arguments from the policy; name each parameter"
                )
            if position == 0 and parameter.name in ("self", "cls") and parameter.name not in hints:
                raise ConfigurationError(
                    f"`{name}` cannot be guarded: it is the method of a class, and `{parameter.name}` no argument that "
                    f"could be judged; wrap the method of an object, such as `thing.{name}`"
                )
            hint = hints.get(parameter.name, Any)
            if takes_context(name, parameter, hint):
                contexts[parameter.name] = hint
                continue
            names[parameter.name] = str(position)
            fields[str(position)] = _field(parameter, hint)
        config = ConfigDict(
            extra="forbid",
            ser_json_bytes="base64",
            val_json_bytes="base64",
            ser_json_inf_nan="constants",  # refused later: NaN is not JSON, and must not become null
            strict=False,
            hide_input_in_errors=True,  # the text goes to models and logs, and a value may be a secret
        )
        try:
            model = create_model(f"{name}_arguments", __config__=config, **fields)
            schema = model.model_json_schema(by_alias=True)
        except PydanticUserError as error:
            hint = "annotate its parameters with types that pydantic reads"
            raise ConfigurationError(f"`{name}` cannot be guarded: {error.message.splitlines()[0]}; {hint}") from None
        return cls(signature, names, Codec(name, model, schema, by_alias=True), contexts)

    def given(self, args: Sequence[Any], kwargs: Mapping[str, Any], change: Change | None = None) -> Given:
        """The arguments of one call, with what is filled in; contexts are set aside, and handed on as they came.

        Raises Misnamed, TypeError for a context that is none, NestedTooDeep or pydantic's error where they do not fit.
        """
        bound = self.binder.bind(args, kwargs, partly=change is not None)
        if change is not None:
            bound = self._whole(change(bound))
        if not self.contexts:
            refuse_contexts(bound)
            return self._given(self.codec.read(bound), {})
        aside = {name: bound.pop(name) for name in self.contexts if name in bound}
        for name, value in aside.items():
            check_context(name, value, self.signature.parameters[name], self.contexts[name])
        refuse_contexts(bound)
        return self._given(self.codec.read(bound), aside)

    def _whole(self, bound: dict[str, Any]) -> dict[str, Any]:
        """What is filled in belongs to the call like any other argument. Raises Misnamed for what is still missing."""
        missing = [name for name, p in self.signature.parameters.items() if p.default is p.empty and name not in bound]
        if missing:
            said = "; ".join(f"`{name}` is missing" for name in missing)
            raise Misnamed(said, dict.fromkeys(missing, "missing"))
        return bound

    def given_json(self, values: Mapping[str, Json]) -> Given:
        """As ``given``, for a call that comes as JSON."""
        return self._given(self.codec.read_json(values), {})

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.codec.model.model_json_schema(by_alias=True)

    def _given(self, reading: Reading, aside: Mapping[str, Any]) -> Given:
        def ready(judged: dict[str, Json]) -> tuple[list[Any], dict[str, Any]]:
            return self._call(reading.held_again(judged), aside)

        return Given(reading.values, ready, reading.coerced, reading.retyped)

    def _call(self, held: Mapping[str, Any], aside: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the function."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        if self.binder.by_name_alone and not aside:
            return args, {name: held[at] for name, at in self.fields.items()}
        for name, parameter in self.signature.parameters.items():
            value = aside.get(name, parameter.default)
            if name in self.fields:
                value = held[self.fields[name]]
            if parameter.kind is parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                kwargs[name] = value
        return args, kwargs


class Binder:
    """``Signature.bind`` of one signature without ``*`` and ``**``, made ready once: what stands under which name."""

    def __init__(self, signature: inspect.Signature) -> None:
        parameters = list(signature.parameters.values())
        kinds = inspect.Parameter
        self._signature = signature
        self._names = [p.name for p in parameters]
        self._by_position = [
            p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        ]
        self._by_name = {p.name for p in parameters if p.kind in (kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD)}
        self._needed = {p.name for p in parameters if p.default is p.empty}
        self.by_name_alone = all(p.kind is not p.POSITIONAL_ONLY for p in parameters)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, partly: bool = False) -> dict[str, Any]:
        """The arguments by name, in the order of the parameters. ``partly``: some may be missing. Raises Misnamed."""
        if len(args) <= len(self._by_position) and kwargs.keys() <= self._by_name:
            bound = dict(zip(self._by_position, args, strict=False))
            if bound.keys().isdisjoint(kwargs):
                bound.update(kwargs)
                if partly or self._needed <= bound.keys():
                    ordered: dict[str, Any] = {}
                    for name in self._names:
                        if name in bound:
                            ordered[name] = bound[name]
                    return ordered
        raise misnamed(self._signature, args, kwargs)


def _field(parameter: inspect.Parameter, hint: Any) -> tuple[Any, Any]:
    """A parameter as a field of its name. A default is the function's own, whatever its annotation says."""
    names: dict[str, Any] = dict.fromkeys(("alias", "validation_alias", "serialization_alias"), parameter.name)
    if isinstance(parameter.default, FieldInfo):
        return Annotated[hint, parameter.default], Field(**names)
    return hint, Field(... if parameter.default is parameter.empty else parameter.default, **names)
