"""The table of kinds.

Third parties add kinds through the entry-point group ``agentguard.destinations``; a built-in name cannot be
taken over. Everything here is loaded when first used, so importing this package costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from agentguard.destinations.kinds.base import Kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "agentguard.destinations"

_BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "channel": "agentguard.destinations.kinds.channel:CHANNEL",
        "command": "agentguard.destinations.kinds.command:COMMAND",
        "dsn": "agentguard.destinations.kinds.dsn:DSN",
        "email": "agentguard.destinations.kinds.email:EMAIL",
        "git": "agentguard.destinations.kinds.git:GIT",
        "host": "agentguard.destinations.kinds.host:HOST",
        "iban": "agentguard.destinations.kinds.iban:IBAN",
        "ip": "agentguard.destinations.kinds.ip:IP",
        "object": "agentguard.destinations.kinds.object_store:OBJECT",
        "path": "agentguard.destinations.kinds.path:PATH",
        "pattern": "agentguard.destinations.kinds.pattern:PATTERN",
        "sql": "agentguard.destinations.kinds.sql.kind:SQL",
        "url": "agentguard.destinations.kinds.url:URL_KIND",
    }
)
_MEMBERS = ("derive", "option_problem", "pattern_key", "place_keys")

_loaded: dict[str, Kind] = {}
_lock = threading.Lock()


def find_kind(name: str) -> Kind | None:
    """The kind of this name, loaded on first use; None where there is none or it cannot be loaded."""
    found = _loaded.get(name)
    return found if found is not None else _load(name)


def kind_names() -> tuple[str, ...]:
    """Every name ``find_kind`` knows, for messages."""
    return tuple(sorted({*_BUILT_IN, *_foreign()}))


def _load(name: str) -> Kind | None:
    with _lock:
        if name in _loaded:
            return _loaded[name]
        target = _BUILT_IN.get(name)
        if target is not None:
            module, _, attribute = target.partition(":")
            loaded = getattr(import_module(module), attribute)
        else:
            loaded = _load_foreign(name)
        if loaded is None:
            return None
        _loaded[name] = cast(Kind, loaded)
        return _loaded[name]


def _foreign() -> Mapping[str, EntryPoint]:
    from importlib import metadata

    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}


def _load_foreign(name: str) -> object | None:
    """Somebody else's kind, or None: one that fails to load, or is called otherwise, does not exist."""
    point = _foreign().get(name)
    if point is None:
        return None
    try:
        loaded: object = point.load()
        return loaded if _fits(loaded, name) else None
    except Exception:
        return None


def _fits(kind: object, name: str) -> bool:
    """Whether somebody else's object has every member of a kind, each of its type."""
    options, most = getattr(kind, "options", None), getattr(kind, "max_per_call", None)
    return (
        getattr(kind, "name", None) == name
        and isinstance(options, frozenset)
        and type(getattr(kind, "rewrites_argument", None)) is bool
        and type(most) is int
        and most > 0
        and all(callable(getattr(kind, member, None)) for member in _MEMBERS)
    )
