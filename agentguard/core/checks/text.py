"""Checks: what the text of an argument carries: links, addresses, and anything out of what a tool returned."""

from __future__ import annotations

from agentguard.core.case import Case, StepResult, refuse
from agentguard.core.facts import RunState
from agentguard.core.policy import Step
from agentguard.core.reasons import Reason
from agentguard.core.text.links import Found, Link, address_key, addresses_of, link_key, links_in
from agentguard.core.text.marks import DISGUISED, mark_of, marks_in, year_marks
from agentguard.core.text.readings import MAX_TEXT
from agentguard.core.text.rules import Known, TextRule, source_value, texts_of

_GIVEN = ("inputs", "kept")


def texts_lead_where_they_may(case: Case, step: Step, result: StepResult) -> None:
    """Links and addresses in a text come from where its owner says, or there are none."""
    for rule in step.texts:
        if case.run is None or rule.argument not in case.request.arguments:
            continue
        if rule.links is None and rule.addresses is None:
            continue
        links: set[Link] = set()
        for text in texts_of(case.request.arguments[rule.argument]):
            found = links_in(text)
            if found is None:
                detail = f"`{rule.argument}` is too long, or holds too many links, to be looked at"
                refuse(result, step, Reason.LINK_NOT_ALLOWED, detail)
                return
            links.update(found)
        reasons = {reason for link in links if (reason := _against(link, rule, case.run)) is not None}
        for reason in sorted(reasons):
            refuse(result, step, reason, _said(rule, reason))


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
        if word.partition(".")[0] in _GIVEN:
            known = Known.of(source_value(word, run.inputs, run.kept))
            if known is not None and known.covers(key):
                return True
        elif _returned(run, word, f"u:{key}"):
            return True
    return False


def _address_known(address: str, sources: frozenset[str], run: RunState) -> bool:
    for word in sources:
        if word.partition(".")[0] in _GIVEN:
            known = Known.of(source_value(word, run.inputs, run.kept))
            if known is not None and address in known.addresses:
                return True
        elif _returned(run, word, f"a:{address}"):
            return True
    return False


def _returned(run: RunState, tool: str, word: str) -> bool:
    return run.seen.told.returned_by(tool, mark_of(word), sum(run.counts.values()))


def texts_carry_nothing_of(case: Case, step: Step, result: StepResult) -> None:
    """Nothing in a text is out of a listed tool alone."""
    run = case.run
    for rule in step.texts:
        if run is None or not rule.nothing_of or rule.argument not in case.request.arguments:
            continue
        texts = list(texts_of(case.request.arguments[rule.argument]))
        if sum(map(len, texts)) > MAX_TEXT:
            refuse(result, step, Reason.TEXT_CARRIES, f"`{rule.argument}` is too long to be looked at")
            continue
        known = set(year_marks(case.now.year)) if case.now is not None else set()
        known |= {mark for mark, _ in marks_in(texts_of(dict(run.inputs)))}
        admitted = sum(run.counts.values())
        carried = {
            what
            for mark, what in set(marks_in(texts, written=True))
            if mark not in known and run.seen.told.out_of(rule.nothing_of, mark, admitted, certainly=what in DISGUISED)
        }
        if carried:
            what = " and ".join(sorted(carried))
            detail = f"`{rule.argument}` carries {what} that only {', '.join(sorted(rule.nothing_of))} returned"
            refuse(result, step, Reason.TEXT_CARRIES, detail)
