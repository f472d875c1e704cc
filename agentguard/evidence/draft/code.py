"""Tools from code: ``module:name``. The module is imported, which runs it; no tool is called."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from agentguard.errors import ConfigurationError
from agentguard.evidence.draft.described import MOST_TOOLS, Described, Found, parameters_of
from agentguard.guard.wrapping import definition_of


def from_code(named: str) -> Found:
    """The tools that stand under this name: functions, tools of frameworks with an adapter, or definitions as dicts.

    Raises ConfigurationError where there are none.
    """
    module_name, _, attribute = named.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"`{named}` names no tools; write MODULE:NAME, such as `shop:tools`")
    module = _module(module_name)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise ConfigurationError(f"`{module_name}` has no `{attribute}`; {_instead(module)}")
        value = getattr(value, part)
    found = Found()
    for position, tool in enumerate(_several(value)):
        if position > MOST_TOOLS:
            break
        _add(found, tool, position)
    if not found.tools and not found.left_out:
        raise ConfigurationError(f"`{named}` is empty; name a list of the agent's tools, such as `tools = [get_order]`")
    return found


def _module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(f"`{name}` cannot be imported: {_where(error)}; install what it needs") from None
        raise ConfigurationError(
            f"there is no module `{name}` here; run the command in the folder that holds `{name.partition('.')[0]}.py`"
        ) from None
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"`{name}` cannot be imported: {_where(error)}; put the tools into a module that only defines them, and "
            "load the guard elsewhere"
        ) from None


def _where(error: BaseException) -> str:
    """What was raised, and the last line of the user's own that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    place = f"{Path(error.filename).name}:{line}: " if isinstance(error, SyntaxError) and error.filename else ""
    if not place and own:
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}: "
    return f"{place}{type(error).__name__}: {str(error)[:300]}"


def _instead(module: ModuleType) -> str:
    lists = [
        name for name, value in vars(module).items() if not name.startswith("_") and isinstance(value, list | tuple)
    ]
    if lists:
        return f"it has the lists {', '.join(f'`{name}`' for name in lists[:5])}"
    return "put the agent's tools into a list there, such as `tools = [get_order]`"


def _several(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping) and not _is_definition(value):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    return [value]


def _is_definition(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("name", value.get("type")), str)


def _add(found: Found, tool: Any, position: int) -> None:
    name = getattr(tool, "name", None) or getattr(tool, "__name__", None) or f"number {position + 1}"
    found.defined |= isinstance(tool, Mapping)
    try:
        found.tools.append(_defined(tool) if isinstance(tool, Mapping) else _wrapped(tool))
    except (ConfigurationError, ValueError) as error:
        found.left_out.append((str(name), str(error)))


def _wrapped(tool: Any) -> Described:
    """A tool as `guard.wrap` would see it."""
    definition: Any = definition_of(tool)
    parameters = parameters_of(definition.get("parameters"))
    return Described(str(definition["name"]), parameters, parameters, defaults_are_judged=True)


def _defined(tool: Mapping[str, Any]) -> Described:
    """A definition of a provider's API: OpenAI's (of both APIs) or one with `input_schema`. Raises ValueError."""
    inner = tool.get("function")
    definition = inner if isinstance(inner, Mapping) else tool
    if tool.get("type") not in (None, "function", "custom") or not isinstance(definition.get("name"), str):
        raise ValueError("it is no function; a tool that the provider runs itself never passes the guard")
    found = next((definition[key] for key in ("parameters", "input_schema", "inputSchema") if key in definition), None)
    parameters = parameters_of(found)
    return Described(definition["name"], parameters, parameters)
