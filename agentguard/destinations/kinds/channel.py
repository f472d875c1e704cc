"""The kind ``channel``: a chat channel or person, by name or by the service's own id.

Options: ``service`` (required; a word such as ``slack``). ``general`` and ``#general`` are ``slack:#general``;
ids such as ``C0123ABCD`` stay as they are. Words that reach everybody (``@here``) are refused.

Patterns: ``slack:#general``, ``slack:C0123ABCD``, ``slack:@alice``, ``slack:*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind, unknown_options

MAX_LENGTH = 120
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NAME = re.compile(r"[#@]?[a-z0-9_][a-z0-9._-]{0,79}")
# Slack's, Discord's, groups of Telegram, and conversations of Teams.
_ID = re.compile(
    r"[A-Z][A-Z0-9]{7,20}|[0-9]{15,20}|-[0-9]{5,15}|19:[A-Za-z0-9_-]{10,80}@(?:thread\.(?:tacv2|v2|skype)|unq\.gbl\.spaces)"
)
_EVERYBODY = frozenset({"here", "channel", "everyone", "all", "group"})


class _Channel(TextKind):
    name = "channel"
    options = frozenset({"service"})
    most = 64
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        channel = _canonical(text)
        if isinstance(channel, Ambiguous):
            return channel
        service = str(options["service"])
        return self.place(f"{service}:{channel}", service=service, channel=channel)

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        unknown = unknown_options(options, self.options)
        if unknown is not None:
            return unknown
        service = options.get("service")
        if type(service) is not str or _SERVICE.fullmatch(service) is None:
            return "`service` must be a word such as `slack`"
        return None

    def place_from_id(self, identity: str) -> Place | None:
        service, _, channel = identity.partition(":")
        derived = self.derive(channel, {"service": service})
        return None if isinstance(derived, Ambiguous) else derived[0]

    def pattern_key(self, pattern: str) -> str:
        service, colon, channel = pattern.partition(":")
        if not colon or _SERVICE.fullmatch(service) is None or (channel != "*" and _canonical(channel) != channel):
            raise ValueError(f"`{pattern}` is not a channel pattern; expected such as `slack:#general` or `slack:*`")
        return pattern

    def place_keys(self, place: Place) -> Iterable[str]:
        yield place.id
        yield f"{place.parts['service']}:*"


def _canonical(text: str) -> str | Ambiguous:
    if _ID.fullmatch(text):
        return text
    # With a `#` it would be a name, and without one an id.
    if _NAME.fullmatch(text) is None or _ID.fullmatch(text.lstrip("#@")):
        return Ambiguous("not_a_channel")
    if text.startswith("@") and text[1:] in _EVERYBODY:
        return Ambiguous("reaches_everybody")
    return text if text[0] in "#@" else f"#{text}"


CHANNEL = _Channel()
