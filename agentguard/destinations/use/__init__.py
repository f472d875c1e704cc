"""At the time of use: HTTP clients and a file opener that go only where the decision said.

``GuardedTransport`` and ``AsyncGuardedTransport`` need the extra ``http`` (or ``httpx2``, for clients that use that),
``guarded_session`` and ``GuardedAdapter`` the extra ``requests``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentguard.destinations.use.files import open_under
from agentguard.destinations.use.refusal import DestinationRefused
from agentguard.errors import ConfigurationError

if TYPE_CHECKING:
    from agentguard.destinations.use.httpx_transport import AsyncGuardedTransport, GuardedTransport
    from agentguard.destinations.use.requests_adapter import GuardedAdapter, guarded_session

__all__ = [
    "AsyncGuardedTransport",
    "DestinationRefused",
    "GuardedAdapter",
    "GuardedTransport",
    "guarded_session",
    "open_under",
]

# What is imported only when asked for, and the extra that brings its library.
_LAZY = {
    "AsyncGuardedTransport": ("httpx_transport", "http"),
    "GuardedAdapter": ("requests_adapter", "requests"),
    "GuardedTransport": ("httpx_transport", "http"),
    "guarded_session": ("requests_adapter", "requests"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, extra = _LAZY[name]
    try:
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`{name}` needs the package `{error.name}`: pip install 'agentguard[{extra}]'"
        ) from error
