"""The kind ``email``: one mailbox.

One address, perhaps with a name for display (``Jane Long <jane@example.com>``): no comment, quoted part, address
literal, source route or second recipient. The domain
becomes ASCII (international names ``xn--``), the whole address lower case, as every large provider treats it. That form
is for the catalog and for comparing. A mailbox may tell case apart, so the tool is given the address as it came.

Patterns: ``ceo@example.com`` (with every ``+tag`` of it), ``*@example.com``, ``*@*.example.com``. At Gmail, dots in the
name mean nothing, and its two domains are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind
from agentguard.destinations.kinds.hosts import canonical_name, host_pattern, is_address, wildcards
from agentguard.destinations.text import is_plain_text

# RFC 5321 section 4.5.3.1.
MAX_ADDRESS = 254
# With a display name.
MAX_LENGTH = 400
# RFC 5322's atoms without `%` and `!`, which old relays take for a route, and what shells and lists cut at. A slash and
# a hash (`name_corp.example#EXT#@`, guests in Entra) never come first: there, they are a file to some.
_LOCAL = re.compile(r"[A-Za-z0-9_+~'&=][A-Za-z0-9_+~'&=#/-]*(?:\.[A-Za-z0-9_+~'&=#/-]+)*")
# A name that holds nothing which could be an address, a list, a comment or an encoded word. A comma only in quotes.
_NAME = r"[^\W_][\w .'&+-]*"
_WITH_NAME = re.compile(rf"(?:({_NAME}|\"[^\W_][\w .,'&+()/-]*\") *)?<([^<>\s]+)>")
# The largest provider delivers `a.b@` to `ab@`, at either of its domains.
_GMAIL = frozenset({"gmail.com", "googlemail.com"})


class _Email(TextKind):
    name = "email"
    seen_as_id = True
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        shown = _WITH_NAME.fullmatch(text)
        if shown is not None:
            if not is_plain_text(shown[1] or ""):
                return Ambiguous("compatibility_character")
            text = shown[2]
        if len(text) > MAX_ADDRESS:
            return Ambiguous("too_long")
        local, at, raw_domain = text.rpartition("@")
        if not at or _LOCAL.fullmatch(local) is None:
            return Ambiguous("not_one_address")
        domain = canonical_name(raw_domain)
        if isinstance(domain, Ambiguous):
            return domain
        if is_address(domain):
            return Ambiguous("address_literal")
        identity = f"{local.lower()}@{domain}"
        if not _second_reader_agrees(text, identity):
            return Ambiguous("parsers_disagree")
        return self.place(identity, local=local.lower(), domain=domain)

    def pattern_key(self, pattern: str) -> str:
        local, at, domain = pattern.rpartition("@")
        if not at or not (local == "*" or (_LOCAL.fullmatch(local) and local == local.lower() and "+" not in local)):
            raise ValueError(f"`{pattern}` is not an address pattern; expected `ceo@example.com` or `*@example.com`")
        host_pattern(domain)
        if domain.startswith("*") and local != "*":
            raise ValueError(f"`{pattern}` names a person at a wildcard domain; name the domain, or write `*@`")
        return _mailbox(local, domain)

    def place_keys(self, place: Place) -> Iterable[str]:
        local, domain = place.parts["local"], place.parts["domain"]
        # `ceo+x@` is delivered to `ceo@`.
        yield _mailbox(local.partition("+")[0], domain)
        yield _mailbox("*", domain)
        for wildcard in wildcards(domain):
            yield f"*@{wildcard}"


def _mailbox(local: str, domain: str) -> str:
    """The key of a mailbox, or of all of a domain (``*``)."""
    return f"{local.replace('.', '')}@gmail.com" if domain in _GMAIL else f"{local}@{domain}"


@lru_cache(maxsize=4096)  # the library takes as long as the rest of a decision
def _second_reader_agrees(value: str, identity: str) -> bool:
    """Whether an e-mail library reads the same single address."""
    from email_validator import EmailNotValidError, validate_email

    try:
        read = validate_email(
            value, allow_smtputf8=False, check_deliverability=False, globally_deliverable=False, strict=True
        )
    except (EmailNotValidError, UnicodeError, ValueError):
        return False
    return (read.ascii_email or "").lower() == identity


EMAIL = _Email()
