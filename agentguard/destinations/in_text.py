"""Places that stand in a text: what a reader of it could click, or what a program that shows it would load.

Every link that is found is a place, and one that names no single place spoils the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentguard.core.reasons import Reason
from agentguard.core.values import Json, Unavailable

if TYPE_CHECKING:
    from agentguard.core.text.links import Link

# The kinds of place that can be found in a text.
KINDS = ("email", "host", "url")
# Links that open no page, and load none: what they write to are addresses of e-mail, or telephones.
_NOT_OF_THE_WEB = ("mailto:", "tel:", "sms:", "smsto:", "mms:")


def found_in_text(kind: str, value: Json, where: str) -> Iterator[str | Unavailable]:
    """What a text holds of this kind, as its kind reads it."""
    from agentguard.core.text.links import links_in  # loaded with the first text that is looked at

    if not isinstance(value, str):
        yield _ambiguous("not_a_string", where)
        return
    links = links_in(value)
    if links is None:
        yield _ambiguous("too_many_or_too_long", where)
        return
    for link in links:
        yield from _of_kind(kind, link, where)


def _of_kind(kind: str, link: Link, where: str) -> Iterator[str | Unavailable]:
    from agentguard.core.text.links import Found, addresses_of

    if kind == "email":
        yield from addresses_of(link)
    elif link.found is Found.URL:
        yield _host(link.target) if kind == "host" else link.target
    elif link.found is Found.OTHER and not link.target.casefold().startswith(_NOT_OF_THE_WEB):
        yield _ambiguous("no_address_of_the_web", where)


def _host(address: str) -> str:
    """The host of an address, and what else stands there: that is for the kind to refuse."""
    authority = address.partition(":")[2].lstrip("/\\")
    for end in "/?#\\":
        authority = authority.partition(end)[0]
    return authority


def _ambiguous(reason: str, where: str) -> Unavailable:
    return Unavailable(Reason.DESTINATION_AMBIGUOUS, f"{reason}: `{where}`")
