"""The arguments of a tool that is described by a JSON Schema and by nothing else.

Frameworks do not validate these (every MCP tool, a dict ``args_schema``, OpenAI function definitions), so we do.
Regular expressions run in linear time and no reference is fetched from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.policy.extent import MOST_SCHEMAS, Extent

__all__ = ["JsonShape"]


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


def _not_fitting(name: str, message: str, path: tuple[str | int, ...] = ()) -> ValidationError:
    kind = PydanticCustomError("json_schema", "{message}", {"message": message})
    return ValidationError.from_exception_data(name, [{"type": kind, "loc": path, "input": None}])
