"""The arguments of a tool that is described by a JSON Schema and by nothing else.

Frameworks do not validate these (every MCP tool, a dict ``args_schema``, OpenAI function definitions), so we do.
Regular expressions run in linear time and no reference is fetched from elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import jsonschema_rs
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.policy.json_schema.extent import MOST_SCHEMAS, Extent

__all__ = ["JsonShape", "is_data", "is_json"]


class JsonShape:
    """A compiled JSON Schema of one tool's arguments."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        """Compile it. Raises ConfigurationError for what is not a JSON Schema of an object."""
        self.name = name
        try:
            # Read back from bytes: later changes to the caller's dict change nothing here.
            self.schema: dict[str, Any] = read_canonical(canonical_bytes(dict(schema)))
            self._validator = jsonschema_rs.validator_for(
                self.schema, mask="the value", pattern_options=jsonschema_rs.RegexOptions(), offline=True
            )
        except (NotCanonical, jsonschema_rs.ValidationError) as error:
            text = str(error).splitlines()[0]
            raise ConfigurationError(
                f"`{name}` cannot be guarded: its arguments' JSON Schema is wrong: {text}"
            ) from None
        self._extent = Extent.of(self.schema)
        if self._extent.schemas > MOST_SCHEMAS:
            raise ConfigurationError(
                f"`{name}` cannot be guarded: its arguments' JSON Schema judges one value by more than {MOST_SCHEMAS} "
                "schemas, each counted as often as it is referred to; take alternatives out of it"
            )
        if self.schema.get("type", "object") != "object":
            raise ConfigurationError(f"`{name}` cannot be guarded: its arguments' JSON Schema is not of an object")

    @property
    def properties(self) -> frozenset[str]:
        """The arguments that the schema names."""
        return frozenset(self.schema.get("properties", {}))

    def for_body(self, values: Mapping[str, Any], body: Callable[..., Any] | None) -> dict[str, Json]:
        """The same values for a body that takes them by name, with its own defaults for what the schema names.

        Nobody who leaves a value out leaves it unjudged. The order of the names says nothing, except to ``**kwargs``.
        Raises as ``check`` does.
        """
        try:
            parameters = list(inspect.signature(body).parameters.values()) if body is not None else []
        except (TypeError, ValueError):
            parameters = []
        named = {p.name: p.default for p in parameters if p.name in self.properties and p.default is not p.empty}
        found = {name: default for name, default in named.items() if is_json(default)} | self.check(values)
        free = not parameters or any(p.kind is p.VAR_KEYWORD for p in parameters)
        return found if free else dict(sorted(found.items()))

    def check(self, values: Mapping[str, Any]) -> dict[str, Json]:
        """The same values, known to fit. Raises pydantic's ValidationError, which frameworks know how to answer."""
        plain = dict(values)
        try:
            if self._validator.is_valid(plain):
                return plain
            if self._extent.explains(plain):
                self._validator.validate(plain)
        except jsonschema_rs.ValidationError as error:
            raise _not_fitting(self.name, error.message, tuple(error.instance_path)) from None
        except (ValueError, TypeError):
            raise _not_fitting(self.name, "not JSON") from None
        raise _not_fitting(self.name, "they do not fit the tool's JSON Schema")


def is_json(value: object) -> bool:
    """Whether a model could have sent this: JSON types and nothing else, at any depth."""
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is dict and isinstance(item, dict):
            if not all(type(key) is str for key in item):
                return False
            pending.extend(item.values())
        elif kind is list and isinstance(item, list):
            pending.extend(item)
        elif item is not None and kind not in (str, int, float, bool):
            return False
    return True


def is_data(value: object) -> bool:
    """Whether this is plain data, in Python's types or JSON's: no object of a class that an application made."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            pending.extend(item)
        elif not isinstance(item, _PLAIN):
            return False
    return True


_PLAIN = (str, int, float, bytes, Decimal, date, time, timedelta, UUID, PurePath, Enum, type(None))


def _not_fitting(name: str, message: str, path: tuple[str | int, ...] = ()) -> ValidationError:
    kind = PydanticCustomError("json_schema", "{message}", {"message": message})
    return ValidationError.from_exception_data(name, [{"type": kind, "loc": path, "input": None}])
