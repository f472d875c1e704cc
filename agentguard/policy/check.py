"""Check one document against the model of its kind, and say what is wrong in its owner's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from agentguard.policy import models
from agentguard.policy.words import expected, listed, shown

Path: TypeAlias = "tuple[Any, ...]"
Trouble: TypeAlias = "tuple[Path, str]"
M = TypeVar("M", bound=BaseModel)

_SHAPES: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "model_attributes_type": "a mapping of names to values",
}

# What the patterns of ``models`` mean, for those that people meet.
_PATTERNS: Mapping[str, str] = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$": "a name of up to 100 letters, digits, `.`, `_` or `-`",
    r"^[A-Za-z_][A-Za-z0-9_]{0,99}$": "a name of letters, digits and `_`, so that conditions can write it after a dot",
    r"^[a-z][a-z0-9_]{0,99}$": "a name of small letters, digits and `_`, as conditions write it",
    r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}$": "a tool's name: letters, digits, `_`, `.`, `:`, `/` or `-`",
    r"^(?:(?:user|group):[^\x00-\x20]{1,200}|anyone|requester)$": "`user:NAME`, `group:NAME`, `anyone` or `requester`",
    r"^user:[^\x00-\x20]{1,200}$": "`user:NAME`",
    r"^sha256:[0-9a-f]{64}$": "`sha256:` and 64 hex digits",
    r"^[A-Za-z][A-Za-z0-9 _-]{0,39}$": "a label of up to 40 letters, digits, spaces, `_` or `-`",
    models.ADDRESS: "an https:// address without user name, or http:// on loopback",
    models.ABOUT: "a subject or `user:NAME`, or everything below one: `.../*` or `...#*`",
    models.ENVIRONMENT: "the name of an environment variable, in capitals",
}


def check(model: type[M], data: Any) -> tuple[M | None, list[Trouble]]:
    """The model's value, or every reason why the data is not one, each with the path to it. Never raises."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, [_trouble(model, found) for found in error.errors(include_url=False)]
    except RecursionError:
        return None, [((), "nested too deeply")]


def _trouble(model: type[BaseModel], error: Mapping[str, Any]) -> Trouble:
    path: Path = tuple(part for part in error["loc"] if part not in models.FORMS)
    kind: str = error["type"]
    say = _SAY.get(kind)
    if say is not None:
        return path, say(model, path, error)
    wanted = _SHAPES.get(kind)
    if wanted is not None:
        return path, f"{_at(path)}found {_found(error['input'])}, expected {wanted}{_remedy(kind, error['input'])}"
    return path, f"{_at(path)}found {_found(error['input'])}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _remedy(kind: str, found: Any) -> str:
    """What to write instead, where that is known from what was found."""
    if kind == "list_type" and isinstance(found, str):
        return f", such as `[{found}]`" if _ONE_WORD.fullmatch(found) else "; begin each entry with `- `"
    if kind == "string_type" and not isinstance(found, list):
        return (
            "; put text that holds a colon and a space in quotes" if isinstance(found, dict) else "; put it in quotes"
        )
    if kind in _UNQUOTED and isinstance(found, str) and _UNQUOTED[kind].fullmatch(found):
        return " without quotes"
    return ""


_ONE_WORD = re.compile(r"[A-Za-z0-9_.:/-]{1,60}")
_UNQUOTED: Mapping[str, re.Pattern[str]] = {
    "int_type": re.compile(r"-?[0-9]+"),
    "float_type": re.compile(r"-?[0-9]+(?:\.[0-9]+)?"),
    "bool_type": re.compile(r"true|false"),
}


def _missing(model: type[BaseModel], path: Path, _: Mapping[str, Any]) -> str:
    return f"{_at(path[:-1])}`{path[-1]}` is missing"


def _extra(model: type[BaseModel], path: Path, _: Mapping[str, Any]) -> str:
    return (
        f"{_at(path[:-1])}there is no key {shown(path[-1])} here; {expected(str(path[-1]), _keys_at(model, path[:-1]))}"
    )


def _literal(model: type[BaseModel], path: Path, error: Mapping[str, Any]) -> str:
    words = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    found = error["input"]
    right = expected(found, words) if isinstance(found, str) else f"expected {listed(words)}"
    return f"{_at(path)}found {_found(found)}; {right}"


def _pattern(model: type[BaseModel], path: Path, error: Mapping[str, Any]) -> str:
    pattern = error["ctx"]["pattern"]
    return f"{_at(path)}found {_found(error['input'])}, expected {_PATTERNS.get(pattern, 'one line of text')}"


def _short(model: type[BaseModel], path: Path, _: Mapping[str, Any]) -> str:
    why = _EMPTY.get(str(path[-1]), "") if path else ""
    return f"{_at(path)}is empty; expected at least one entry{why}"


# Empty lists that could be read in two ways, and what to write instead.
_EMPTY: Mapping[str, str] = {
    "after_any": ": of no steps none can have succeeded. Leave the key out if the step waits for none",
}


def _own(model: type[BaseModel], path: Path, error: Mapping[str, Any]) -> str:
    found = error["input"]
    given = f"found {_found(found)}; " if not isinstance(found, dict | list) else ""
    return f"{_at(path)}{given}{error['ctx']['error']}"


_SAY: Mapping[str, Callable[[type[BaseModel], Path, Mapping[str, Any]], str]] = {
    "missing": _missing,
    "extra_forbidden": _extra,
    "literal_error": _literal,
    "string_pattern_mismatch": _pattern,
    "too_short": _short,
    "value_error": _own,
}


def _at(path: Path) -> str:
    words = [str(part) for part in path if isinstance(part, str) and part != "[key]"]
    return f"{'.'.join(words)[-80:]}: " if words else ""


def _found(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    return shown(value) if not isinstance(value, str) or value else "nothing"


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that may be written at this path of the model."""
    here: Any = model
    for part in path:
        here = _step(here, part)
    found = _model_in(here)
    return [] if found is None else [field.alias or name for name, field in found.model_fields.items()]


def _step(annotation: Any, part: Any) -> Any:
    model = _model_in(annotation)
    if model is not None:
        fields = (field for name, field in model.model_fields.items() if part in (field.alias, name))
        return next((field.annotation for field in fields), None)
    for inner in _alternatives(annotation):
        arguments = get_args(inner)
        if get_origin(inner) in (dict, list):
            return arguments[-1]
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for inner in _alternatives(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def _alternatives(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [leaf for part in get_args(annotation) for leaf in _alternatives(part)]
    return [annotation]
