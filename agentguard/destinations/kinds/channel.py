"""The kind ``channel``: a chat channel or person, by name or by the service's own id.

Options: ``service`` (required; a word such as ``slack``). ``general`` and ``#general`` are ``slack:#general``;
ids such as ``C0123ABCD`` stay as they are. Words that reach everybody (``@here``) are refused. Services that are known
have their own ids (and, where they tell no case apart, their names have one case); any other has the plain forms.

Patterns: ``slack:#general``, ``slack:C0123ABCD``, ``slack:@alice``, ``sms:+4915112345678``, ``slack:*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind, unknown_options

MAX_LENGTH = 256
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CAPITALS = r"[A-Z][A-Z0-9]{7,20}"
_DIGITS = r"[0-9]{15,20}"
_TEAMS = r"19:[A-Za-z0-9_-]{10,80}@(?:thread\.(?:tacv2|v2|skype)|unq\.gbl\.spaces)"
# International form (E.164), with what people put between the digits.
_PHONE = re.compile(r"\+[1-9](?:[ .-]?\(?[0-9]\)?)*")


@dataclass(frozen=True, slots=True)
class _Forms:
    """How one service names what it sends to."""

    ids: re.Pattern[str]
    names: re.Pattern[str] = re.compile(r"[#@]?[a-z0-9_][a-z0-9._-]{0,79}")
    # Names are the same in any case. For the others, only lower case is read.
    folds: bool = False
    phones: bool = False


_PLAIN = re.compile(rf"{_CAPITALS}|{_DIGITS}|-[0-9]{{5,15}}|{_TEAMS}")
_NO_NAMES = re.compile(r"(?!)")
_NUMBERS = _Forms(re.compile(r"[0-9]{5,20}(?:-[0-9]{5,20})?@(?:c\.us|g\.us|s\.whatsapp\.net)"), _NO_NAMES, phones=True)
_MATRIX = r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[1-9][0-9]{0,4})?"
_OTHER = _Forms(_PLAIN)
_FORMS: Mapping[str, _Forms] = {
    "slack": _Forms(_PLAIN, folds=True),
    "discord": _Forms(re.compile(_DIGITS), folds=True),
    "telegram": _Forms(re.compile(r"-?[0-9]{5,20}"), folds=True),
    "teams": _Forms(
        re.compile(rf"{_TEAMS}|{_GUID}|8:orgid:{_GUID}|(?:28|29):[A-Za-z0-9_-]{{20,120}}"),
        re.compile(r"[#@]?[a-z0-9_](?:[a-z0-9._&-]| (?=[a-z0-9._&-])){0,79}"),
        folds=True,
    ),
    "mattermost": _Forms(_NO_NAMES, re.compile(r"[#@~]?[a-z0-9_][a-z0-9._-]{0,79}"), folds=True),
    "irc": _Forms(_NO_NAMES, folds=True),
    "matrix": _Forms(re.compile(rf"[!#@][A-Za-z0-9._=/+-]{{1,100}}:{_MATRIX}"), _NO_NAMES),
    "google-chat": _Forms(re.compile(r"(?:spaces|users)/[A-Za-z0-9_-]{5,60}"), _NO_NAMES),
    "webex": _Forms(re.compile(r"Y2lzY29[A-Za-z0-9_-]{20,200}={0,2}"), _NO_NAMES),
    "whatsapp": _NUMBERS,
    "signal": _NUMBERS,
    "sms": _NUMBERS,
}
_EVERYBODY = frozenset({"here", "channel", "everyone", "all", "group", "room", "team"})


class _Channel(TextKind):
    name = "channel"
    options = frozenset({"service"})
    max_per_call = 64
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        service = str(options["service"])
        channel = _canonical(service, text)
        if isinstance(channel, Ambiguous):
            return channel
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
        if (
            not colon
            or _SERVICE.fullmatch(service) is None
            or (channel != "*" and _canonical(service, channel) != channel)
        ):
            raise ValueError(f"`{pattern}` is not a channel pattern; expected such as `slack:#general` or `slack:*`")
        return pattern

    def place_keys(self, place: Place) -> Iterable[str]:
        yield place.id
        yield f"{place.parts['service']}:*"


def _canonical(service: str, text: str) -> str | Ambiguous:
    forms = _FORMS.get(service, _OTHER)
    if forms.ids.fullmatch(text):
        return text
    if forms.phones:
        return _phone(text.removeprefix(f"{service}:"))
    name = text.lower() if forms.folds and text.isascii() else text
    # With a `#` it would be a name, and without one an id.
    if forms.names.fullmatch(name) is None or forms.ids.fullmatch(text.lstrip("#@")):
        return Ambiguous("not_a_channel")
    if name.startswith("@") and name[1:] in _EVERYBODY:
        return Ambiguous("reaches_everybody")
    return name if name[0] in "#@" else f"#{name.removeprefix('~')}"


def _phone(text: str) -> str | Ambiguous:
    digits = re.sub(r"[^0-9]", "", text) if _PHONE.fullmatch(text) else ""
    return f"+{digits}" if 7 <= len(digits) <= 15 else Ambiguous("not_a_channel")


CHANNEL = _Channel()
