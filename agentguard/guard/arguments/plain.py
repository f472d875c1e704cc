"""Models whose every field is plain, and values that are plain: they are read by a shorter way, to the same verdict.

Plain is what JSON and Python write alike: text, numbers, truth, null, and lists and objects of these. Such a field has
no code of its own, neither to read nor to write. Whatever is not plain, or not the same after pydantic read it, goes
the long way of ``given``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_SCALARS = frozenset({"str", "int", "float", "bool", "none", "any"})
# Deeper values go the long way, which says what is wrong with them.
_DEEPEST = 32
# Of these pydantic makes nothing else, where a field says no more than its type. (A float may be no number; it is
# looked at.)
_TYPES: Mapping[str, frozenset[type]] = {
    "str": frozenset({str}),
    "int": frozenset({int}),
    "bool": frozenset({bool}),
    "float": frozenset({float}),
    "none": frozenset({type(None)}),
    "any": frozenset({str, int, bool, float, type(None)}),
}
_NO_TYPES = frozenset[type]()
# What a model's configuration may say without changing a plain value of the right type.
_NO_CHANGE = frozenset({
    "title", "extra_fields_behavior", "strict", "ser_json_bytes", "val_json_bytes", "ser_json_inf_nan",
    "ser_json_timedelta", "hide_input_in_errors", "from_attributes", "validate_by_name", "validate_by_alias",
    "serialize_by_alias", "loc_by_alias", "populate_by_name", "validate_default", "revalidate_instances",
})  # fmt: skip
# What a model may do with all of its fields at once.
_OF_ITS_OWN = ("serialization", "post_init", "root_model", "custom_init", "generic_origin")


class NotPlain(Exception):
    """A value that has to go the long way."""


class PlainFields:
    """The fields of a plain model: under which name each is given, and judged."""

    def __init__(
        self, names: Mapping[str, str], defaults: Mapping[str, Any], types: Mapping[str, frozenset[type]]
    ) -> None:
        self.names = names
        """By the name it is given under: the field."""
        self._defaults = defaults
        self._types = types
        self._sorted = sorted(names)

    @classmethod
    def of(cls, model: type[BaseModel], *, by_alias: bool) -> PlainFields | None:
        """None where a field, or the model, is not plain."""
        schema: Mapping[str, Any] = model.__pydantic_core_schema__
        inner = schema.get("schema", {})
        if schema.get("type") != "model" or inner.get("type") != "model-fields" or not _untouched(model):
            return None
        if any(schema.get(key) for key in _OF_ITS_OWN) or schema.get("config", {}).get("validate_default"):
            return None
        if inner.get("computed_fields") or "serialization" in inner or "extras_schema" in inner:
            return None
        names: dict[str, str] = {}
        defaults: dict[str, Any] = {}
        types: dict[str, frozenset[type]] = {}
        as_it_is = schema.get("config", {}).keys() <= _NO_CHANGE
        for name, field in inner["fields"].items():
            aliases = [field.get(key, name) for key in ("validation_alias", "serialization_alias")]
            node = field["schema"]
            if field["type"] != "model-field" or "serialization_exclude" in field or not _is_plain(node):
                return None
            if (aliases != [aliases[0]] * 2 if by_alias else aliases[0] != name) or not isinstance(aliases[0], str):
                return None
            names[aliases[0]] = name
            types[aliases[0]] = _left_alone(node) if as_it_is else _NO_TYPES
            if node["type"] == "default":
                defaults[aliases[0]] = node["default"]
        return cls(names, defaults, types)

    def copy(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The values that were given, copied; and whether each is of a type that pydantic leaves alone. Raises
        NotPlain."""
        copied: dict[str, Any] = {}
        alone, types = True, self._types
        for key, value in given.items():
            kinds = types.get(key)
            if kinds is None:
                raise NotPlain
            kind = type(value)
            if kind not in kinds:
                alone = False
            copied[key] = value if kind is int or (kind is str and value.isascii()) else plain(value)
        return copied, alone

    def whole(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The same values by name, with copies of the defaults. Raises NotPlain."""
        whole: dict[str, Any] = {}
        for key in self._sorted:
            whole[key] = given[key] if key in given else self._default(key)
        return whole

    def _default(self, key: str) -> Any:
        return plain(self._defaults.get(key, NotPlain))


def plain(value: Any, depth: int = 0) -> Any:
    """A copy of a plain value. Raises NotPlain."""
    kind = type(value)
    if kind is str:
        if not value.isascii() and any(0xD800 <= ord(mark) <= 0xDFFF for mark in value):
            raise NotPlain
        return value
    if value is None or kind is int or kind is bool or (kind is float and math.isfinite(value)):
        return value
    if depth < _DEEPEST and kind is list:
        return [plain(item, depth + 1) for item in value]
    if depth < _DEEPEST and kind is dict and all(type(key) is str for key in value):
        return {plain(key): plain(item, depth + 1) for key, item in value.items()}
    raise NotPlain


def _is_plain(node: Mapping[str, Any]) -> bool:
    """Whether a core schema reads and writes what JSON has, by no code of its own."""
    kind = node.get("type")
    if "serialization" in node:
        return False
    if kind == "default":
        return "default" in node and not node.get("validate_default") and _is_plain(node["schema"])
    if kind == "nullable":
        return _is_plain(node["schema"])
    if kind == "list":
        return "items_schema" not in node or _is_plain(node["items_schema"])
    if kind == "dict":
        return all(key not in node or _is_plain(node[key]) for key in ("keys_schema", "values_schema"))
    if kind == "literal":
        return all(type(value) is str for value in node["expected"])
    return kind in _SCALARS


def _left_alone(node: Mapping[str, Any]) -> frozenset[type]:
    """The types of which a plain field takes every value as it is: none where it limits them, or makes others."""
    kind = node["type"]
    if kind in ("default", "nullable"):
        inner = _left_alone(node["schema"])
        return inner | _TYPES["none"] if inner and kind == "nullable" else inner
    return _TYPES.get(kind, _NO_TYPES) if node.keys() <= {"type", "metadata"} else _NO_TYPES


def _untouched(model: type[BaseModel]) -> bool:
    """Whether a model is read and written as pydantic does it."""
    reads = getattr(model.model_validate, "__func__", None), getattr(model.model_validate_json, "__func__", None)
    plain_reads = BaseModel.model_validate.__func__, BaseModel.model_validate_json.__func__  # type: ignore[attr-defined]
    return reads == plain_reads and model.model_dump is BaseModel.model_dump
