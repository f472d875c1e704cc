"""A function's signature as data: any way of calling it becomes one JSON object, and back.

Positional, keyword and default arguments look the same to a policy. Real Python types (datetime, Decimal, Enum,
dataclasses, pydantic models, bytes as base64) survive the way to JSON and back because pydantic reads and writes them.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard.contexts import check_context, refuse_contexts, takes_context
from agentguard.guard.reread import Reread
from agentguard.policy.extent import Levels


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function as types. Those that were written as text are read where it was written.

    Raises NameError, TypeError or ValueError where one cannot be read.
    """
    return typing.get_type_hints(inspect.unwrap(getattr(function, "__func__", function)), include_extras=True)


@dataclass(frozen=True, slots=True)
class Signature:
    """One function's parameters. Field names are made by position, so that no parameter's name can collide."""

    signature: inspect.Signature
    model: type[BaseModel]
    fields: Mapping[str, str]
    levels: Levels
    reread: Reread
    contexts: Mapping[str, Any] = field(default_factory=dict)  # parameters for a framework's context, with their hints

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Read a function's signature. Raises ConfigurationError where its arguments could not be judged."""
        name = getattr(function, "__name__", repr(function))
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
            place = f"p{position}"
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[place] = (
                hint,
                Field(default, alias=parameter.name, validate_default=True),
            )
            names[parameter.name] = place
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
        if '"writeOnly": true' in json.dumps(schema):
            raise ConfigurationError(
                f"`{name}` cannot be guarded: SecretStr is written as asterisks, which the tool would get; "
                "use str, and list the argument under `secrets` in Tools"
            )
        return cls(signature, model, names, Levels(schema), Reread.of(name, schema), contexts)

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Json]:
        """The JSON object of one call. Raises TypeError, NestedTooDeep or pydantic's error where it does not fit."""
        bound = self.signature.bind(*args, **kwargs).arguments
        for name in self.contexts:
            bound.pop(name, None)
        refuse_contexts(bound)
        self.levels.check(bound)
        return self._dump(self.model.model_validate(bound))

    def aside(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The contexts among what was given. Raises TypeError where something else was given for one."""
        if not self.contexts:
            return {}
        bound = self.signature.bind(*args, **kwargs).arguments
        given = {name: bound[name] for name in self.contexts if name in bound}
        for name, value in given.items():
            check_context(name, value, self.signature.parameters[name], self.contexts[name])
        return given

    def read(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """As ``arguments``, for a call that comes as JSON."""
        return self._dump(self._load(values))

    def revive(
        self, arguments: Mapping[str, Json], aside: Mapping[str, Any] | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the function, validated again from JSON, and the contexts as they came.

        Raises NestedTooDeep, and ConfigurationError where that makes other values of them than were judged.
        """
        model = self._load(arguments)
        self.reread.check(arguments, self._dump(model))
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            value = (aside or {}).get(name, parameter.default)
            if name in self.fields:
                value = getattr(model, self.fields[name])
            if parameter.kind is parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                kwargs[name] = value
        return args, kwargs

    def _load(self, values: Mapping[str, Json]) -> BaseModel:
        self.levels.check(values)
        return self.model.model_validate_json(json.dumps(values))

    def _dump(self, model: BaseModel) -> dict[str, Json]:
        values = model.model_dump(mode="json", by_alias=True)
        self.levels.check(values)  # objects that code made: they will be read from JSON
        return values

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.model.model_json_schema(by_alias=True)
