"""Whether a text keeps to what is said of it: where its links lead, and what it carries. See ``core.text.rules``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentguard.core.facts import RunState
from agentguard.core.reasons import Reason
from agentguard.core.text.links import Found, Link, address_key, addresses_of, link_key, links_in
from agentguard.core.text.marks import DISGUISED, mark_of, marks_in, year_marks
from agentguard.core.text.readings import MAX_TEXT
from agentguard.core.text.rules import GIVEN, TextRule, source_value, texts_of
from agentguard.core.values import Json


def leads_elsewhere(rule: TextRule, value: Json, run: RunState) -> Iterator[tuple[Reason, str]]:
    """What speaks against the links and addresses in a value."""
    links: set[Link] = set()
    for text in texts_of(value):
        found = links_in(text)
        if found is None:
            yield Reason.LINK_NOT_ALLOWED, f"`{rule.argument}` is too long, or holds too many links, to be looked at"
            return
        links.update(found)
    for reason in sorted({reason for link in links if (reason := _against(link, rule, run)) is not None}):
        yield reason, _said(rule, reason)


def carried(rule: TextRule, value: Json, run: RunState, year: int | None) -> str | None:
    """What of a listed tool a value carries, without saying it; None where it carries nothing."""
    texts = list(texts_of(value))
    if sum(map(len, texts)) > MAX_TEXT:
        return f"`{rule.argument}` is too long to be looked at"
    known = set() if year is None else set(year_marks(year))
    known |= {mark for mark, _ in marks_in(texts_of(dict(run.inputs)))}
    told, admitted = run.seen.told, sum(run.counts.values())
    found = {
        what
        for mark, what in set(marks_in(texts, written=True))
        if mark not in known and told.out_of(rule.nothing_of, mark, admitted, certainly=what in DISGUISED)
    }
    if not found:
        return None
    tools = ", ".join(sorted(rule.nothing_of))
    return f"`{rule.argument}` carries {' and '.join(sorted(found))} that only {tools} returned"


# A mention of these tells a whole room, and is nobody's name.
_EVERYBODY = frozenset({"all", "channel", "everyone", "here", "team"})


@dataclass(frozen=True, slots=True)
class Known:
    """The links and addresses that trusted code gave: each by its key, and those that others may stand below."""

    links: frozenset[str] = frozenset()
    below: tuple[str, ...] = ()
    addresses: frozenset[str] = frozenset()

    @classmethod
    def of(cls, value: Json) -> Known | None:
        """What stands in an input or a kept value; None where it could not be looked at."""
        links: set[str] = set()
        below: set[str] = set()
        addresses: set[str] = set()
        for text in texts_of(value):
            found = links_in(text)
            if found is None:
                return None
            name = text.strip().casefold()
            addresses |= set() if name in _EVERYBODY else {f"@{name}"}  # whose name was given may be mentioned
            for link in (*found, Link(Found.URL, f"https://{text}"), Link(Found.URL, text)):
                key = link_key(link.target) if link.found is Found.URL else None
                addresses |= {address_key(address) for address in addresses_of(link)}
                addresses |= {link.target.casefold()} if link.found is Found.MENTION else set()
                if key is not None:
                    links.add(key)
                    whole = not any(sign in key for sign in "/?#")
                    below |= {f"{key}{sign}" for sign in ("/?#" if whole else "/" if link.target.endswith("/") else "")}
        return cls(frozenset(links), tuple(sorted(below)), frozenset(addresses))

    def covers(self, key: str) -> bool:
        """Whether a link is one of these, or below one that is a host or ends in a slash."""
        return key in self.links or any(key.startswith(start) for start in self.below)


def _said(rule: TextRule, reason: Reason) -> str:
    what, allowed = ("an address", rule.addresses) if reason is Reason.ADDRESS_NOT_ALLOWED else ("a link", rule.links)
    return f"`{rule.argument}` holds {what}" + (f" that is not from {', '.join(sorted(allowed))}" if allowed else "")


def _against(link: Link, rule: TextRule, run: RunState) -> Reason | None:
    """What speaks against a link, or None.

    An address that stands by itself is a link, too, for mail clients and GitHub: where nothing is said of addresses, it
    is judged as that; and where nothing is said of links, `mailto:` is judged as an address.
    """
    by_itself = link.found in (Found.EMAIL, Found.MENTION)
    if rule.links is not None and not (by_itself and rule.addresses is not None) and not _known(link, rule.links, run):
        return Reason.LINK_NOT_ALLOWED
    writes = by_itself or bool(addresses_of(link))
    if rule.addresses is not None and writes and not _known(link, rule.addresses, run):
        return Reason.ADDRESS_NOT_ALLOWED
    return None


def _known(link: Link, sources: frozenset[str], run: RunState) -> bool:
    """Whether a link, or every address that it writes to, comes from one of these sources."""
    if link.found is Found.MENTION:
        return _address_known(link.target.casefold(), sources, run)
    addresses = [address_key(address) for address in addresses_of(link)]
    if addresses:
        return all(_address_known(address, sources, run) for address in addresses)
    key = link_key(link.target) if link.found is Found.URL else None
    if key is None:  # no address of the web, or one that can be read in two ways
        return False
    for word in sources:
        if word.partition(".")[0] in GIVEN:
            known = Known.of(source_value(word, run.inputs, run.kept))
            if known is not None and known.covers(key):
                return True
        elif _returned(run, word, f"u:{key}"):
            return True
    return False


def _address_known(address: str, sources: frozenset[str], run: RunState) -> bool:
    for word in sources:
        if word.partition(".")[0] in GIVEN:
            known = Known.of(source_value(word, run.inputs, run.kept))
            if known is not None and address in known.addresses:
                return True
        elif _returned(run, word, f"a:{address}"):
            return True
    return False


def _returned(run: RunState, tool: str, word: str) -> bool:
    return run.seen.told.returned_by(tool, mark_of(word), sum(run.counts.values()))
