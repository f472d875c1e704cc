"""Types whose values nobody could judge, or hand on as they were judged: refused when a tool is wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from agentguard.errors import ConfigurationError
from agentguard.guard.arguments.parts import shown_name


def refuse_types(name: str, model: type[BaseModel], by_alias: bool, aside: frozenset[str]) -> None:
    """Raises ConfigurationError for a type whose values nobody could judge, or hand on as they were judged."""
    schema = model.__pydantic_core_schema__
    seen: set[int] = set()
    pending: list[tuple[Any, str]] = [(schema, "")]
    while pending:
        node, field = pending.pop()
        if isinstance(node, list | tuple):
            pending += [(part, field) for part in node if isinstance(part, dict | list | tuple)]
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        problem = _problem(node, field, by_alias)
        if problem is not None:
            shown = f"`{shown_name(model, field)}` " if field else "a parameter "
            raise ConfigurationError(f"`{name}` cannot be guarded: {shown}{problem}")
        for key, part in node.items():
            if key == "fields" and isinstance(part, Mapping):
                pending += [(each, of) for of, each in part.items() if field or of not in aside]
            elif key not in _NO_TYPES and isinstance(part, Mapping | list | tuple):
                pending.append((part, field))


# Members of a core schema that hold no schemas.
_NO_TYPES = frozenset({"metadata", "config", "default", "expected", "ref"})


def _problem(node: Mapping[str, Any], field: str, by_alias: bool) -> str | None:
    kind = node.get("type")
    if kind == "generator":
        return "can be read only once, by the check or by the tool: use list[...], not Iterable, Iterator or Generator"
    if node.get("serialization_exclude"):
        return "is left out of what is judged (exclude=True), and the tool would get its default: take exclude out"
    function = node.get("function") if kind == "function-plain" else None
    if getattr(function, "__module__", "") == "pydantic.types" and "secret" in getattr(function, "__name__", ""):
        return (
            "is written as asterisks, which the tool would get: use str instead of SecretStr, SecretBytes or Secret, "
            "and list the argument under `secrets` in Tools"
        )
    written = node.get("serialization_alias")
    if by_alias and written is not None and written != field and written not in _keys(node.get("validation_alias")):
        return f"is written as `{written}` and not read under that name: give it one `alias` for both"
    return None


def _keys(alias: Any) -> set[Any]:
    """The names under which a field is read, as a core schema has them."""
    whole = alias if isinstance(alias, list) else [alias]
    paths = whole if whole and isinstance(whole[0], list) else [whole]
    return {path[0] for path in paths if len(path) == 1}
