"""Whether a text keeps to what is said of it: where its links lead, and what it carries. See ``core.text.rules``."""

from __future__ import annotations

from collections.abc import Iterator

from agentguard.core.facts import RunState
from agentguard.core.provenance import PLACE, Trail, is_place
from agentguard.core.reasons import Reason
from agentguard.core.text.links import Found, Link, address_key, addresses_of, link_key, links_in
from agentguard.core.text.marks import DISGUISED, mark_of, marks_in, year_marks
from agentguard.core.text.readings import MAX_TEXT
from agentguard.core.text.rules import GIVEN, TextRule, root_of, source_value, texts_of
from agentguard.core.values import Json

# Texts that say where links may lead, looked at for one link. One would do; more are there where somebody tries.
_MOST_ASKED = 8


def leads_elsewhere(rule: TextRule, value: Json, run: RunState, trail: Trail) -> Iterator[tuple[Reason, str]]:
    """What speaks against the links and addresses in a value."""
    links: set[Link] = set()
    for text in texts_of(value):
        found = links_in(text)
        if found is None:
            yield Reason.LINK_NOT_ALLOWED, f"`{rule.argument}` is too long, or holds too many links, to be looked at"
            return
        links.update(found)
    judge = _Judge(rule, run, trail)
    for reason in sorted({reason for link in links if (reason := judge.against(link)) is not None}):
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


class _Sources:
    """Where links and addresses may come from: what these words hold in one run, read once for a whole text.

    What stands in inputs, at a named place, and cleanly in what is kept, may have more below it where it is a host or
    ends in a slash. A link that outsiders wrote, or had first, is that very link and no other.
    """

    def __init__(self, words: frozenset[str], run: RunState, trail: Trail) -> None:
        self._run, self._trail = run, trail
        self._tools = sorted(word for word in words if root_of(word) not in GIVEN)
        self._links: set[str] = set()
        self._addresses: set[str] = set()
        self._below: dict[str, dict[str, str]] = {}
        for word in sorted(words.difference(self._tools)):
            for value in trail.held_at(word) if is_place(word) else [source_value(word, run.inputs, run.kept)]:
                for text in texts_of(value):
                    self._add(text, word)
        self._lengths = {len(start) for start in self._below}

    def _add(self, text: str, word: str) -> None:
        found = links_in(text)
        name = text.strip().casefold()
        if found is not None and name not in _EVERYBODY:  # whose name was given may be mentioned
            self._addresses.add(f"@{name}")
        for link in () if found is None else (*found, Link(Found.URL, f"https://{text}"), Link(Found.URL, text)):
            key = link_key(link.target) if link.found is Found.URL else None
            self._addresses |= {address_key(address) for address in addresses_of(link)}
            self._addresses |= {link.target.casefold()} if link.found is Found.MENTION else set()
            if key is None:
                continue
            self._links.add(key)
            is_host = not any(sign in key for sign in "/?#")
            for sign in "/?#" if is_host else "/" if link.target.endswith("/") else "":
                texts = self._below.setdefault(f"{key}{sign}", {})
                if len(texts) < _MOST_ASKED:
                    texts.setdefault(text, word)

    def hold_link(self, key: str) -> bool:
        """Whether a link is one of these, or below one that others may stand below."""
        if key in self._links or any(_returned(self._run, tool, f"u:{key}") for tool in self._tools):
            return True
        starts = [self._below[key[:length]] for length in self._lengths if key[:length] in self._below]
        return any(self._vouches(text, word) for texts in starts for text, word in texts.items())

    def hold_address(self, address: str) -> bool:
        """Whether an address, or a mention, is one of these."""
        return address in self._addresses or any(_returned(self._run, tool, f"a:{address}") for tool in self._tools)

    def _vouches(self, text: str, word: str) -> bool:
        if root_of(word) == "inputs":
            return True
        known = not self._run.unsettled and not self._run.erased
        return known and (is_place(word) or self._trail.is_clean(text, word))


def _said(rule: TextRule, reason: Reason) -> str:
    what, allowed = ("an address", rule.addresses) if reason is Reason.ADDRESS_NOT_ALLOWED else ("a link", rule.links)
    words = ", ".join(sorted(word.removeprefix(PLACE) for word in allowed or ()))
    return f"`{rule.argument}` holds {what}" + (f" that is not from {words}" if words else "")


class _Judge:
    """What speaks against each link of one text."""

    def __init__(self, rule: TextRule, run: RunState, trail: Trail) -> None:
        self._links = None if rule.links is None else _Sources(rule.links, run, trail)
        self._addresses = None if rule.addresses is None else _Sources(rule.addresses, run, trail)

    def against(self, link: Link) -> Reason | None:
        """What speaks against a link, or None.

        An address that stands by itself is a link, too, for mail clients and GitHub: where nothing is said of
        addresses, it is judged as that; and where nothing is said of links, `mailto:` is judged as an address.
        """
        by_itself = link.found in (Found.EMAIL, Found.MENTION)
        as_link = self._links is not None and not (by_itself and self._addresses is not None)
        if as_link and self._links is not None and not _known(link, self._links):
            return Reason.LINK_NOT_ALLOWED
        writes = by_itself or bool(addresses_of(link))
        if self._addresses is not None and writes and not _known(link, self._addresses):
            return Reason.ADDRESS_NOT_ALLOWED
        return None


def _known(link: Link, sources: _Sources) -> bool:
    """Whether a link, or every address that it writes to, comes from one of these sources."""
    if link.found is Found.MENTION:
        return sources.hold_address(link.target.casefold())
    addresses = [address_key(address) for address in addresses_of(link)]
    if addresses:
        return all(map(sources.hold_address, addresses))
    key = link_key(link.target) if link.found is Found.URL else None
    if key is None:  # no address of the web, or one that can be read in two ways
        return False
    return sources.hold_link(key)


def _returned(run: RunState, tool: str, word: str) -> bool:
    return run.seen.told.returned_by(tool, mark_of(word), sum(run.counts.values()))
