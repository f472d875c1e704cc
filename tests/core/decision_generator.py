"""Random cases for the decision: a permitted call, varied where it does no harm, then broken in nought to two places.

On uniformly random input almost everything is denied and a test proves nothing; so every break moves one field by the
least amount that should matter, and every *nudge* moves one by the most that should not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

from core_cases import EXPORT, FINGERPRINT, NOW, SUBJECT, TICK, Case, For, Says, good

from agentguard.core.answers import Need
from agentguard.core.basis import basis_of
from agentguard.core.case import unpack
from agentguard.core.coarse import NOTHING_COARSE, pieces_of
from agentguard.core.facts import Answer, CallStatus, Family, MadeBefore, Observed, RunState, RunStatus
from agentguard.core.fill import Listed
from agentguard.core.paths import EVERY, parse
from agentguard.core.policy import ApprovalRule, Budget, Fault, RiskRule, StreamRule, Tool, Zone
from agentguard.core.provenance import Mark, Seen, digest, outsiders_text
from agentguard.core.reasons import Reason
from agentguard.core.tallies import Tally, key_of
from agentguard.core.text.marks import marks_in
from agentguard.core.text.rules import TextRule
from agentguard.core.text.told import NOTHING_TOLD, Telling
from agentguard.core.values import Assurance, Destination, Risk, Sensitivity, ToolEffect, Unavailable
from agentguard.policy.refers import Reference

Change = Callable[[Case], Case]

OTHER = "sha256:" + "0" * 64
ASKED = NOW - timedelta(minutes=10)


def yes(who: str, at: object = NOW - timedelta(minutes=1)) -> Answer:
    return Answer(who, True, at)  # type: ignore[arg-type]


def on_its_part(c: Case) -> Case:
    """The approval rests on what the policy said of its call when people were asked, and not on the whole revision."""
    case = unpack(c.request, c.policy, c.facts)
    return c.with_approval(basis=basis_of(case, c.workflow.steps[EXPORT]), policy_revision=OTHER)


def after_asking(change: Change) -> Change:
    return lambda c: change(on_its_part(c))


def both(*names: str) -> Change:
    """Of a second group somebody is needed, too, besides one of the stewards."""
    need = Need(("group:second",), 1)
    return lambda c: c.with_rule(EXPORT, approvers=("group:data-stewards",), quorum=1, also=(need,)).with_policy(
        groups={**c.policy.groups, "second": frozenset(names)}
    )


def confirmed_by(*approvers: str) -> Change:
    return lambda c: answers(*map(yes, approvers))(c.with_rule(EXPORT, approvers=("requester",), quorum=1))


def answers(*given: Answer) -> Change:
    return lambda c: c.with_approval(answers=given)


def a_second_step(**changes: object) -> Change:
    """Another step of the same tool after the first, good in itself."""

    def change(c: Case) -> Case:
        plain = replace(c.workflow.steps[EXPORT], name="export-again", approval=None, **changes)  # type: ignore[arg-type]
        return c.with_workflow(steps=(*c.workflow.steps, plain))

    return change


def stream(heard: object, *, rule: StreamRule | None = None) -> Change:
    """The one stream heard at this time, the rule as it was or another."""

    def change(c: Case) -> Case:
        known = c.with_facts(streams={"idp": heard})
        return known if rule is None else known.with_policy(streams={"idp": rule})

    return change


def place(sensitivity: Sensitivity | None, zone: str | None) -> Change:
    def change(c: Case) -> Case:
        more = Destination("url", "https://more.example/", sensitivity, zone)
        return c.with_facts(destinations=(*c.facts.destinations, more))  # type: ignore[misc]

    return change


def zone(name: str, **changes: object) -> Change:
    """The good case with one of its zones changed."""

    def change(c: Case) -> Case:
        changed = replace(c.policy.zones[name], **changes)  # type: ignore[arg-type]
        return c.with_policy(zones={**c.policy.zones, name: changed})

    return change


def asks(*people: str, quorum: int = 1) -> ApprovalRule:
    return ApprovalRule(None, people, quorum, timedelta(minutes=5))


def came(*words: str) -> Change:
    """The step says where `table` must come from."""
    return lambda c: c.with_step(EXPORT, sources={("table",): frozenset(words)})


def attached(*ids: str) -> Change:
    """`table` is a list of objects, and each `id` in it must come from a tool; what stands beside it need not."""

    def change(c: Case) -> Case:
        asked = c.with_step(EXPORT, sources={("table", EVERY, "id"): frozenset({"tickets.get"})})
        return asked.with_request(arguments={"rows": 500, "table": [{"id": one, "type": "file"} for one in ids]})

    return change


def named(*words: str) -> Change:
    """The step says at which named places `table` must have stood."""
    places = {f"@{word}": parse(word, ("tickets.get", "inputs", "kept")) for word in words}
    return after(came(*places), lambda c: c.with_workflow(places=places))


def long_ago(tool: str, order: int, text: str) -> Change:
    """Outsiders' text that is known in pieces only."""

    def change(c: Case) -> Case:
        if not isinstance(c.facts.run, RunState):
            return c
        plain = outsiders_text([text]) or ""
        coarse = NOTHING_COARSE.after(tool, order, pieces_of(tool, plain))
        return c.with_run(seen=replace(c.facts.run.seen, coarse=coarse))

    return change


def marks(*seen: Mark, **run: object) -> Change:
    """What the run has seen, and anything else of the run."""
    return lambda c: c.with_run(seen=Seen(seen), **run)


def returned(tool: str, order: int, *values: object) -> Mark:
    return Mark(tool, order, frozenset(filter(None, map(digest, values))))  # type: ignore[arg-type]


def outsiders(order: int, text: str) -> Mark:
    return Mark("mail.read", order, text=outsiders_text([text]) or "")


def made_before(step: str = "export", digest: str | None = None, status: CallStatus = CallStatus.SUCCEEDED) -> Change:
    """The same call was made before, under the same run, message and id."""
    return lambda c: c.with_facts(made=MadeBefore("d-1", digest or c.request.digest, step, status))


def after(*changes: Change) -> Change:
    def change(c: Case) -> Case:
        for each in changes:
            c = each(c)
        return c

    return change


def filled(path: str, given: object = "orders", **run: object) -> Change:
    """The guard fills `table` from there; the call has this value, and the run holds what is said."""

    def change(c: Case) -> Case:
        source = Listed("orders") if path == "catalog" else parse(path, ("inputs", "kept"))
        arguments = {**c.request.arguments, "table": given}
        return c.with_step(EXPORT, fills={"table": source}).with_request(arguments=arguments).with_run(**run)

    return change


def written(text: str, **rule: object) -> Change:
    """The table's name is a text under a rule."""
    said = TextRule("table", **rule)  # type: ignore[arg-type]
    return lambda c: c.with_request(arguments={"rows": 500, "table": text}).with_step(EXPORT, texts=(said,))


def refers(listed: str = "", pattern: tuple[str, ...] = (), table: object = "orders", **run: object) -> Change:
    """The table is one of a list that the run holds, or fits a pattern with something of it: every second part."""
    roots = ("inputs", "kept")
    parts = tuple(parse(part, roots) if at % 2 else part for at, part in enumerate(pattern))
    rule = Reference(("table",), "", parse(listed, roots) if listed else None, parts)
    return after(
        lambda c: c.with_request(arguments={"rows": 500, "table": table}).with_step(EXPORT, refers=(rule,)),
        lambda c: c.with_run(**run) if isinstance(c.facts.run, RunState) else c,
    )


# Marks that a call was given, so many that what comes after them is not what the model knew before.
MANY = " ".join(f"zq{chr(97 + at // 26)}{chr(97 + at % 26)}x" for at in range(201))


def told(*calls: tuple[str, str, str], ended: int = 2, own: bool = True, **run: object) -> Change:
    """What tools returned, and were given, call by call; so many calls have ended."""
    so_far = NOTHING_TOLD
    for number, (tool, returned, given) in enumerate(calls, 1):
        marks = [frozenset(mark for mark, _ in marks_in([text])) for text in (returned, given)]
        so_far = so_far.after(Telling(tool, number, *marks, own=own), number)
    so_far = replace(so_far, ended=frozenset(range(1, ended + 1)))

    def change(c: Case) -> Case:
        if not isinstance(c.facts.run, RunState):
            return c
        return c.with_run(seen=replace(c.facts.run.seen, telling=so_far), **run)

    return change


INBOX = frozenset({"mail.read"})
SITE = frozenset({"inputs.site", "tickets.get"})
SHOP = {"site": "https://shop.example"}


def counted(*tally: int, step: str = "export", key: object = "orders", **changes: object) -> Change:
    """The step is counted by `table`, and was called so often for this value."""

    def change(c: Case) -> Case:
        salt = getattr(c.facts.run, "salt", "")  # of a run that another change has taken away: none
        known = {key_of(step, key, salt): Tally(*tally)}  # type: ignore[arg-type]
        return c.with_step(EXPORT, per=parse("args.table", ("args",)), **changes).with_run(tallies=known)

    return change


UNSETTLED = frozenset({"d-1"})
ERASED = frozenset({"inputs", "kept"})
OTHER_AGENT = "spiffe://corp.example/agent/other"
ONE = frozenset({SUBJECT})


def below(**changes: Any) -> Change:
    """Of a run that another one delegated."""
    family = Family("run-0", "run-0", NOW - timedelta(minutes=5))._replace(**changes)
    return lambda c: c.with_run(family=family) if isinstance(c.facts.run, RunState) else c


def known_agents(change: Change) -> Change:
    """Where both agents have a way to the data."""
    both = Zone("agents", frozenset({SUBJECT, OTHER_AGENT}), {"data": Sensitivity.CONFIDENTIAL})
    return lambda c: change(c.with_policy(zones={**c.policy.zones, "agents": both}))


READING: Change = lambda c: c.with_tool(effect=ToolEffect.READ)  # noqa: E731


# Each moves one thing by the most that must not matter, or adds something for the breaks to bite on.
# What counts, orders or is answered, each past its limit: of a call that was made before nobody asks.
SPENT: dict[str, Change] = {
    "used up": lambda c: c.with_run(counts={"look-up": 1, "export": 2}),
    "out of order": lambda c: c.with_run(succeeded=frozenset()),
    "excluded since": lambda c: c.with_run(counts={"look-up": 1, "export": 1, "purge": 1}),
    "spent": lambda c: c.with_run(spent={"rows": 10**9, "calls": 2_000_000}),
    "a condition false by now": lambda c: c.with_step(EXPORT, require=(Says(False),)),
    "its approval used up": lambda c: c.with_approval(consumed=True),
    "its approval gone": lambda c: c.with_facts(approval=None),
    "approvals not found out": lambda c: c.with_facts(approval=Unavailable(Reason.APPROVAL_UNAVAILABLE)),
    "a no since": answers(Answer("user:alice", False, NOW)),
    "more sensitive things read since": lambda c: c.with_run(high_water=Sensitivity.SECRET),
    "a zone entered since": lambda c: zone("agents", then=Sensitivity.PUBLIC)(c.with_run(zones=frozenset({"agents"}))),
    "track lost since": lambda c: came("inputs")(c.with_run(unsettled=frozenset({"d-2"}))),
}

NUDGES: dict[str, Change] = {
    **{f"made before: {name}": after(change, made_before()) for name, change in SPENT.items()},
    **{f"made before, {status}": made_before(status=status) for status in CallStatus},
    "nothing": lambda c: c,
    "delegated, with this step": below(steps=frozenset({"export"})),
    "delegated, with every step": below(),
    "delegated by another who has a way there, too": known_agents(below(above=(OTHER_AGENT,))),
    "has delegated": below(parent=None, children=("run-2",)),
    "delegated, and as old as its tree may be": lambda c: below(began_at=NOW - timedelta(hours=1))(
        c.with_workflow(lasts=timedelta(hours=1))
    ),
    "no destinations": lambda c: c.with_facts(destinations=()),
    "one destination": lambda c: c.with_facts(destinations=c.facts.destinations[:1]),  # type: ignore[index]
    "one more destination": place(Sensitivity.CONFIDENTIAL, "data"),
    "an unlisted destination that is allowed": lambda c: place(None, None)(
        c.with_step(EXPORT, allow_unclassified=True).with_workflow(no_write_down=False)
    ),
    "resting on its part of the policy": on_its_part,
    "an unrelated change of the policy after asking": after_asking(
        lambda c: c.with_policy(groups={**c.policy.groups, "others": frozenset({"user:x"})})
    ),
    "two groups, a person of each": both("user:alice"),
    "two groups, two people in both": both("user:alice", "user:bob"),
    "used in the last moment": lambda c: c.with_rule(EXPORT, use_within=timedelta(minutes=1) + TICK),
    "used after the time to decide": lambda c: c.with_rule(EXPORT, use_within=timedelta(hours=1)).with_approval(
        expires_at=NOW
    ),
    "one no, where two are final": lambda c: answers(
        yes("user:alice"), yes("user:bob"), Answer("user:x", False, ASKED)
    )(c.with_approval(deny_quorum=2)),
    "confirmed by whom it is for": confirmed_by("user:dave"),
    "confirmed by whom it is for, spelt otherwise": confirmed_by("user:DAVE"),
    "no approval needed": lambda c: c.with_rule(EXPORT, when=Says(False)),
    "no approval needed, none asked": lambda c: c.with_rule(EXPORT, when=Says(False)).with_facts(approval=None),
    "approval always": lambda c: c.with_rule(EXPORT, when=None),
    "no approval rule": lambda c: c.with_step(EXPORT, approval=None),
    "anyone may approve": lambda c: answers(yes("user:mallory"), yes("user:alice"))(
        c.with_rule(EXPORT, approvers=("anyone",))
    ),
    "a third person agrees": answers(yes("user:alice"), yes("user:bob"), yes("user:carol")),
    "the requester agrees too": answers(yes("user:dave"), yes("user:alice"), yes("user:bob")),
    "no requester": lambda c: c.with_run(requester=None),
    "answer at the very opening": answers(yes("user:alice", ASKED), yes("user:bob")),
    "no zones": lambda c: c.with_policy(zones={}),
    "no limits by sensitivity": lambda c: c.with_policy(max_age_by_sensitivity={}, assurance_by_sensitivity={}),
    "no limits of age": lambda c: c.with_step(EXPORT, max_age=None).with_workflow(max_age=None),
    "an unbound bearer": lambda c: c.with_identity(bound_to=None),
    "demands a bound proof": lambda c: c.with_step(EXPORT, bound_to_call=True),
    "issued a skew ahead": lambda c: c.with_identity(issued_at=NOW + timedelta(seconds=60)),
    "expires a skew ago, less a tick": lambda c: c.with_identity(expires_at=NOW - timedelta(seconds=60) + TICK),
    "last tick of the last day": lambda c: c.with_facts(now=NOW).with_approval(expires_at=NOW + timedelta(hours=1)),
    "nothing pinned": lambda c: c.with_tool(fingerprint=None).with_facts(definition=None),
    "a reading tool": lambda c: c.with_tool(effect=ToolEffect.READ),
    "high risk, reading tool": lambda c: c.with_tool(effect=ToolEffect.READ).with_run(risk=Risk.HIGH),
    "medium risk, one level of room": lambda c: c.with_run(risk=Risk.MEDIUM).with_step(
        EXPORT, up_to=Sensitivity.RESTRICTED
    ),
    "no at_most": lambda c: c.with_step(EXPORT, at_most=None),
    "no budgets": lambda c: c.with_workflow(budgets=()),
    "spends nothing": lambda c: c.with_budget(0, amount=Says(0)),
    "nothing read yet": lambda c: c.with_run(high_water=None),
    "write down allowed": lambda c: c.with_workflow(no_write_down=False),
    "read as high as it writes": lambda c: c.with_run(high_water=Sensitivity.CONFIDENTIAL).with_facts(
        destinations=c.facts.destinations[:1]  # type: ignore[index]
    ),
    "a second good step": a_second_step(),
    "a second step out of order": a_second_step(after=("never",)),
    "a second step for less": a_second_step(up_to=Sensitivity.PUBLIC),
    "no conditions": lambda c: c.with_step(EXPORT, require=()),
    "has been where it goes, which allows that": lambda c: zone("data", then={"data": Sensitivity.CONFIDENTIAL})(
        c.with_run(zones=frozenset({"data"}))
    ),
    "goes where afterwards nothing is allowed": zone("data", then={}),
    "has been where nothing follows from": lambda c: c.with_run(zones=frozenset({"data", "agents", "gone"})),
    "reads no more than the step may follow": lambda c: c.with_step(EXPORT, not_above=Sensitivity.INTERNAL),
    "a zone it knows asks about the first contact": lambda c: zone("data", first_contact=asks("user:erin"))(
        c.with_run(contacts=frozenset({"data"}))
    ),
    "a zone it knows admits nobody new": lambda c: zone("data", first_contact="deny")(
        c.with_run(contacts=frozenset({"agents", "data"}))
    ),
    "a zone it does not go to admits nobody new": zone("agents", first_contact="deny"),
    "first contact, and those asked agree": lambda c: answers(yes("user:alice"), yes("user:bob"), yes("user:erin"))(
        zone("data", first_contact=asks("user:erin"))(c)
    ),
    "counted by a value, one call left": counted(1),
    "counted by a value, called for others only": counted(9, key="orders2"),
    "counted by a value, another step was called": counted(9, step="look-up"),
    "counted by a value, given back": counted(2, 1, counts_successes=True),
    "counted by a value, without a limit": counted(9, at_most=None),
    "counts successes, one was given back": after(
        lambda c: c.with_step(EXPORT, counts_successes=True),
        lambda c: c.with_run(counts={**c.facts.run.counts, "export": 2}, tallies={"export": Tally(2, 1)}),  # type: ignore[union-attr]
    ),
    "filled from the inputs": filled("inputs.t", inputs={"t": "orders"}),
    "filled with what is kept": filled("kept.t", kept={"t": "orders"}),
    "filled with the listed place": filled("catalog"),
    "filled with a place in another spelling": after(
        filled("inputs.t", inputs={"t": "Orders"}), lambda c: c.with_facts(spellings={"Orders": "orders"})
    ),
    "these arguments are those of this step": lambda c: c.with_request(steps=frozenset({"export", "look-up"})),
    "comes from the inputs, outsiders had it after": after(
        came("inputs"), marks(outsiders(1, "the Orders"), inputs={"t": "orders"})
    ),
    "observed, on its last day": lambda c: c.with_run(observed=Observed(NOW.date())),
    "a draft that is observed": lambda c: c.with_workflow(draft=True).with_run(observed=Observed(NOW.date())),
    "nobody knows how a call ended, and the step rests on nothing of it": lambda c: c.with_run(unsettled=UNSETTLED),
    "nobody knows how a call ended, and what must come from somewhere is not given": lambda c: c.with_run(
        unsettled=UNSETTLED
    ).with_step(EXPORT, sources={("absent",): frozenset({"inputs"})}),
    "all was erased, and the step rests on nothing of it": lambda c: c.with_run(erased=ERASED),
    "the inputs were erased, and the step rests on what was kept": lambda c: c.with_run(
        erased=frozenset({"inputs"})
    ).with_step(EXPORT, rests_on_run=True),
    "rests on what was kept, and nothing is unknown": lambda c: c.with_step(EXPORT, rests_on_run=True),
    "a text without links, and none may be": written("orders", links=frozenset(), addresses=frozenset()),
    "a text with a link, of which nothing is said": written("see https://evil.example", addresses=frozenset()),
    "a link that an input holds": after(
        written("see https://shop.example", links=SITE), lambda c: c.with_run(inputs=SHOP)
    ),
    "a link below an input that is a host": after(
        written("see https://shop.example/a/b", links=SITE), lambda c: c.with_run(inputs=SHOP)
    ),
    "a link that a tool returned": after(
        written("see https://evil.example/a", links=SITE), told(("tickets.get", "https://evil.example/a", ""))
    ),
    "an address that an input holds, and no link": after(
        written("write eve@evil.example", links=frozenset(), addresses=frozenset({"inputs.site"})),
        lambda c: c.with_run(inputs={"site": "eve@evil.example"}),
    ),
    "common words out of the inbox": after(
        written("see the orders and write", nothing_of=INBOX), told(("mail.read", "see the orders and write", ""))
    ),
    "a word out of the inbox that the inputs hold": after(
        written("zephyrion 4711", nothing_of=INBOX),
        told(("mail.read", "zephyrion 4711", ""), inputs={"t": "zephyrion 4711"}),
    ),
    "a word out of the inbox that another tool returned before": after(
        written("zephyrion", nothing_of=INBOX), told(("tickets.get", "zephyrion", ""), ("mail.read", "zephyrion", ""))
    ),
    "a word out of the inbox that another tool returned after": after(
        written("zephyrion", nothing_of=INBOX), told(("mail.read", "zephyrion", ""), ("tickets.get", "zephyrion", ""))
    ),
    "a word out of the inbox that the model knew before": after(
        written("zephyrion", nothing_of=INBOX), told(("tickets.get", "", "zephyrion"), ("mail.read", "zephyrion", ""))
    ),
    "in a list that was kept": refers("kept.ids", kept={"ids": ["a", "orders"]}),
    "the one value that an input holds": refers("inputs.t", inputs={"t": "orders"}),
    "null, where a list was kept": refers("kept.ids", table=None, kept={"ids": ["a"]}),
    "a number in a list, whole and with decimals": refers("kept.ids", table=5, kept={"ids": [5.0, "6"]}),
    "as a pattern says with an input": refers(pattern=("a", "inputs.t", "(b|c)+"), table="a.xbc", inputs={"t": ".x"}),
    "a link below a host that was kept": after(
        written("see https://shop.example/a", links=frozenset({"kept.s"})),
        lambda c: c.with_run(kept={"s": "https://shop.example"}),
        marks(returned("kept.s", 1, "https://shop.example")),
    ),
    "the very link that outsiders wrote, and that was kept": after(
        written("see https://evil.example/a", links=frozenset({"kept.s"})),
        marks(outsiders(1, "https://evil.example/a"), kept={"s": "https://evil.example/a"}),
    ),
    "a word that is the first that was given, and many after it": after(
        written("zephyrion", nothing_of=INBOX),
        told(("tickets.get", "", "zephyrion"), ("tickets.get", "", MANY), ("mail.read", "zephyrion", ""), ended=3),
    ),
    "a word that the inbox was asked for": after(
        written("zephyrion", nothing_of=INBOX), told(("mail.read", "zephyrion", "zephyrion"))
    ),
    "a word of another tool, after something of the inbox was lost": after(
        written("zephyrion", nothing_of=INBOX),
        told(("mail.read", "", ""), ("tickets.get", "zephyrion", "")),
        lambda c: c.with_run(
            seen=replace(c.facts.run.seen, telling=replace(c.facts.run.seen.told, lost=INBOX))  # type: ignore[union-attr]
        ),
    ),
    "this year": after(written("2026", nothing_of=INBOX), told(("mail.read", "the code 2026", ""))),
    "stood at a named place, whatever outsiders wrote": after(
        named("tickets.get[*].table"), marks(outsiders(1, "orders"), returned("@tickets.get[*].table", 2, "orders"))
    ),
    "stands at a named place of the inputs": after(
        named("inputs.all[*].t"), marks(outsiders(1, "orders"), inputs={"all": [{"t": "x"}, {"t": "orders"}]})
    ),
    "stands at a named place of what is kept, and stood there": after(
        named("kept.all[*].t"),
        marks(outsiders(1, "orders"), returned("@kept.all[*].t", 2, "orders"), kept={"all": [{"t": "orders"}]}),
    ),
    "stood at one of two places": after(
        named("tickets.get.a", "tickets.get.b"), marks(returned("@tickets.get.b", 1, "orders"))
    ),
    "stood at a named place, and later something was lost": after(
        named("tickets.get.a"), lambda c: c.with_run(seen=Seen((returned("@tickets.get.a", 1, "orders"),), True))
    ),
    "an input, after something was lost": lambda c: came("inputs")(
        c.with_run(seen=Seen((), True), inputs={"t": "orders"})
    ),
    "comes from a tool before outsiders wrote pieces of it": after(
        came("tickets.get"), marks(returned("tickets.get", 1, "orders")), long_ago("mail.read", 2, "the orders")
    ),
    "comes from a tool, outsiders wrote other pieces": after(
        came("tickets.get"), marks(returned("tickets.get", 2, "orders")), long_ago("mail.read", 1, "the order")
    ),
    "comes from one input": after(came("inputs.t"), marks(inputs={"s": "x", "t": "orders"})),
    "comes from a tool": after(came("tickets.get"), marks(returned("tickets.get", 1, "orders"))),
    "ids in a list come from a tool, what stands beside them does not": after(
        attached("orders", "others"), marks(returned("tickets.get", 1, "orders", "others"), outsiders(2, "orders"))
    ),
    "there are no ids in the list": attached(),
    "comes from a tool, outsiders had it one call later": after(
        came("tickets.get"), marks(returned("tickets.get", 1, "orders"), outsiders(2, "ORDERS"))
    ),
    "comes from a tool, outsiders had something else first": after(
        came("tickets.get"), marks(outsiders(1, "orderly"), returned("tickets.get", 2, "orders"))
    ),
    "comes from one of several": after(
        came("inputs", "kept.t", "tickets.get"), marks(returned("tickets.get", 1, "orders"))
    ),
    "comes from what is kept": after(
        came("kept.t"), marks(returned("kept.t", 1, "orders"), outsiders(2, "orders"), kept={"t": "orders"})
    ),
    "comes from what code gave to keep, outsiders said nothing": after(came("kept.t"), marks(kept={"t": "orders"})),
    "is in the catalog": came("catalog"),
    "comes from a tool in another spelling": after(
        came("tickets.get"),
        marks(returned("tickets.get", 1, "Orders/")),
        lambda c: c.with_facts(as_called={"rows": 500, "table": "Orders/"}),
    ),
    "a number comes from a tool": lambda c: after(
        marks(returned("tickets.get", 1, 500.0)),
        lambda c: c.with_step(EXPORT, sources={("rows",): frozenset({"tickets.get"})}),
    )(c),
    "an argument that is not given must come from somewhere": lambda c: c.with_step(
        EXPORT, sources={("note",): frozenset({"inputs"})}
    ),
    "reads where an outsider did not say, at high risk": after(
        READING, marks(outsiders(1, "see https://else.example/orders")), lambda c: c.with_run(risk=Risk.HIGH)
    ),
    "reads its fixed place, which an outsider said, at high risk": after(
        READING,
        marks(outsiders(1, "dw.example")),
        lambda c: c.with_run(risk=Risk.HIGH).with_destination(0, chosen=False).with_destination(1, chosen=False),
    ),
    "reads where an outsider said, at low risk and nothing below": after(
        READING, marks(outsiders(1, "dw.example"), high_water=Sensitivity.INTERNAL)
    ),
    "first contact, asked of the same people": zone("data", first_contact=asks("group:data-stewards", quorum=2)),
    "no signals": lambda c: c.with_policy(streams={}).with_facts(streams={}),
    "stream heard a skew ahead": stream(NOW + timedelta(seconds=60)),
    "silent stream, for other places": stream(None, rule=StreamRule(TICK, frozenset({Sensitivity.RESTRICTED}))),
    "silent stream, no destinations": lambda c: c.with_facts(streams={}, destinations=()),
    "issued at the very moment": lambda c: c.with_run(issued_after=NOW - timedelta(seconds=45)),
    "token of the very moment, proved since": lambda c: c.with_identity(
        issued_at=NOW, token_issued_at=NOW - timedelta(minutes=2)
    ),
    "any assertion": lambda c: c.with_run(issued_after=None),
    "risk below its ceiling": lambda c: c.with_policy(risk_ceilings={Risk.MEDIUM: Sensitivity.PUBLIC}),
    "no ceilings": lambda c: c.with_policy(risk_ceilings={}),
    "ceiling at the place": lambda c: c.with_policy(risk_ceilings={Risk.LOW: Sensitivity.CONFIDENTIAL}),
    "unlisted and allowed, ceiling at the top": lambda c: place(None, None)(
        c.with_step(EXPORT, allow_unclassified=True)
        .with_workflow(no_write_down=False)
        .with_policy(risk_ceilings={Risk.LOW: Sensitivity.SECRET})
    ),
}

ESCALATING: dict[str, Change] = {
    "approval needed for whoever delegated": after(
        lambda c: c.with_rule(EXPORT, when=For(frozenset({OTHER_AGENT}))).with_facts(approval=None),
        known_agents(below(above=(OTHER_AGENT,))),
    ),
    "nobody asked": lambda c: c.with_facts(approval=None),
    "nobody answered": answers(),
    "one short": answers(yes("user:alice")),
    "the same person twice": answers(yes("user:alice"), yes("user:alice", ASKED)),
    "self approval": lambda c: answers(yes("user:dave"), yes("user:alice"))(c.with_rule(EXPORT, approvers=("anyone",))),
    "self approval, bare requester": lambda c: answers(yes("user:dave"), yes("user:alice"))(
        c.with_rule(EXPORT, approvers=("anyone",)).with_run(requester="dave")
    ),
    **{
        f"self approval, the requester spelt {spelt!a}": lambda c, spelt=spelt: answers(
            yes("user:dave"), yes("user:alice")
        )(c.with_rule(EXPORT, approvers=("anyone",)).with_run(requester=spelt))
        for spelt in ("user:Dave", "DAVE", " dave\n", "user:user:dave", "user:\uff44ave", "user:da\u200bve")
    },
    "the same person twice, spelt otherwise": lambda c: answers(yes("user:alice"), yes("user:Alice"))(
        c.with_rule(EXPORT, approvers=("anyone",))
    ),
    "the workload approves": lambda c: answers(yes("user:agent"), yes("user:alice"))(
        c.with_rule(EXPORT, approvers=("anyone",))
        .with_run(subject="user:agent")
        .with_identity(subject="user:agent")
        .with_workflow(subjects=frozenset({"user:agent"}))
        .with_policy(zones={})
    ),
    "an approver not named": answers(yes("user:mallory"), yes("user:alice")),
    "an approver of another case": answers(yes("user:Bob"), yes("user:alice")),
    "an approver called as the group": answers(yes("group:data-stewards"), yes("user:alice")),
    "an approver called anyone": lambda c: answers(yes("anyone"), yes("user:alice"))(
        c.with_rule(EXPORT, approvers=("anyone",))
    ),
    "quorum of nought, nobody": lambda c: answers()(c.with_rule(EXPORT, quorum=0)),
    "quorum one more": lambda c: c.with_rule(EXPORT, quorum=3),
    "answer at the expiry": answers(yes("user:alice"), yes("user:bob", NOW + TICK)),
    "answer before the question": answers(yes("user:alice"), yes("user:bob", ASKED - TICK)),
    "expired now": lambda c: c.with_approval(expires_at=NOW),
    "approved another request": lambda c: c.with_approval(request_digest=OTHER),
    "approved under another revision": lambda c: c.with_approval(policy_revision=OTHER),
    "approved another step": lambda c: c.with_approval(step="look-up"),
    "approval used": lambda c: c.with_approval(consumed=True),
    "approved for another run": lambda c: c.with_approval(run_id="run-2"),
    "approved for another workload": lambda c: c.with_approval(subject="spiffe://corp.example/agent/other"),
    "approved for another person": lambda c: c.with_approval(requester="user:erin"),
    "approved for nobody": lambda c: c.with_approval(requester=None),
    "people had longer than the rule gives": after_asking(
        lambda c: c.with_approval(expires_at=ASKED + timedelta(minutes=30) + TICK)
    ),
    "approved on other grounds": lambda c: c.with_approval(basis=OTHER),
    "a place in another class since": after_asking(lambda c: c.with_destination(sensitivity=Sensitivity.INTERNAL)),
    "a place of another owner since": after_asking(lambda c: c.with_destination(owner="somebody-else")),
    "somebody new in the group since": after_asking(
        lambda c: c.with_policy(groups={name: people | {"user:z"} for name, people in c.policy.groups.items()})
    ),
    "a tool that does otherwise since": after_asking(lambda c: c.with_tool(failure_did_nothing=True)),
    "two groups, one person for both": lambda c: answers(yes("user:alice"))(both("user:alice", "user:bob")(c)),
    "two groups, nobody of the second": both("user:erin"),
    "whoever changed the call agrees": lambda c: c.with_approval(editors=("user:Alice",)),
    "used one moment late": lambda c: c.with_rule(EXPORT, use_within=timedelta(minutes=1)),
    "to be confirmed, approved by another": confirmed_by("user:alice"),
    "confirmed, where a group is asked besides": lambda c: answers(yes("user:dave"))(
        c.with_rule(EXPORT, approvers=("requester",), quorum=1, also=(Need(("group:data-stewards",), 1),))
    ),
    "first contact, the zone's people not among those who agreed": zone("data", first_contact=asks("user:erin")),
    "first contact, one short": zone("data", first_contact=asks("group:data-stewards", "user:erin", quorum=3)),
    "first contact, nobody asked": lambda c: zone("data", first_contact=asks("anyone"))(
        c.with_step(EXPORT, approval=None).with_facts(approval=None)
    ),
    "first contact, the step's people not among those who agreed": lambda c: answers(yes("user:erin"))(
        zone("data", first_contact=asks("user:erin"))(c)
    ),
    "first contact, another subject's zones known": lambda c: zone("data", first_contact=asks("user:erin"))(
        c.with_run(contacts=frozenset({"agents"}))
    ),
}

# Nobody is left who could agree, so nobody is asked. Each leaves the given answers short of what is needed.
IN_VAIN: dict[str, Change] = {
    "no approvers": lambda c: c.with_rule(EXPORT, approvers=()),
    "no approvers, a quorum of nought": lambda c: c.with_rule(EXPORT, approvers=(), quorum=0),
    "a group nobody knows": lambda c: c.with_policy(groups={}),
    "quorum of more than there are": lambda c: c.with_rule(EXPORT, quorum=4),
    "quorum of two, one of them asks": lambda c: c.with_rule(EXPORT, approvers=("user:dave", "user:alice")),
    "quorum of two, one of them asks in a group": lambda c: c.with_run(requester="BOB").with_rule(
        EXPORT, approvers=("group:data-stewards",)
    ),
    "quorum of two, one of them is the workload": lambda c: (
        c.with_rule(EXPORT, approvers=("user:agent", "user:alice"))
        .with_run(subject="user:agent")
        .with_identity(subject="user:agent")
        .with_workflow(subjects=frozenset({"user:agent"}))
        .with_policy(zones={})
    ),
    "quorum of two, one person spelt twice": lambda c: c.with_rule(EXPORT, approvers=("user:alice", "user:ALICE")),
    "quorum of two, a name without its kind": lambda c: c.with_rule(EXPORT, approvers=("bob", "user:alice")),
    "only the requester may approve, nobody asked": lambda c: c.with_rule(
        EXPORT, approvers=("user:dave",), quorum=1
    ).with_facts(approval=None),
    "two groups that are one person": lambda c: both("user:alice")(answers()(c)).with_policy(
        groups={"data-stewards": frozenset({"user:alice"}), "second": frozenset({"user:ALICE", "user:alice"})}
    ),
    "to be confirmed, by nobody": lambda c: confirmed_by()(c.with_run(requester=None)),
    "first contact, no approvers": zone("data", first_contact=asks()),
    "first contact, only the requester": zone("data", first_contact=asks("user:dave")),
}


def last_called(ago: timedelta) -> Change:
    return lambda c: c.with_run(last_call_at=NOW - ago) if isinstance(c.facts.run, RunState) else c


DENYING: dict[str, Change] = {
    "a step that was not delegated": below(steps=frozenset({"look-up"})),
    "no step delegated": below(steps=frozenset()),
    "delegated by somebody who has no way there": below(above=(OTHER_AGENT,)),
    "a condition that whoever delegated does not meet": after(
        lambda c: c.with_step(EXPORT, require=(For(frozenset({SUBJECT})),)), known_agents(below(above=(OTHER_AGENT,)))
    ),
    "an amount that is too much for whoever delegated": after(
        lambda c: c.with_workflow(budgets=(Budget("rows", frozenset({"export"}), For(ONE, 10**9), 10**9, None),)),
        known_agents(below(above=(OTHER_AGENT,))),
    ),
    "an amount that nobody knows for whoever delegated": after(
        lambda c: c.with_workflow(budgets=(Budget("rows", frozenset({"export"}), For(ONE, None), 10**9, None),)),
        known_agents(below(above=(OTHER_AGENT,))),
    ),
    "the first of its tree began too long ago": lambda c: below(began_at=NOW - timedelta(hours=1))(
        c.with_workflow(lasts=timedelta(minutes=59))
    ),
    "made before with other arguments": made_before(digest=OTHER),
    "made before under a step that is gone": made_before("export-once"),
    "made before under a step of another tool": made_before("look-up"),
    "made before, of another make": lambda c: c.with_facts(made=SimpleNamespace(step="export")),
    "made before, and stopped since": lambda c: made_before()(c.with_run(status=RunStatus.STOPPED)),
    "made before, and suspended since": lambda c: made_before()(c.with_run(subject_suspended=True)),
    "made before, and revoked since": lambda c: made_before()(c.with_run(credential_refused=True)),
    "made before, with a proof a tick too old": lambda c: made_before()(
        c.with_identity(issued_at=NOW - timedelta(seconds=45) - TICK)
    ),
    "made before, with too little assurance": lambda c: made_before()(c.with_identity(assurance=Assurance.LOCAL)),
    "made before, at a higher risk": lambda c: made_before()(
        c.with_run(risk=Risk.HIGH).with_policy(risk_ceilings={Risk.HIGH: Sensitivity.PUBLIC})
    ),
    "two people refused, where that is final": lambda c: answers(
        yes("user:alice"), yes("user:bob"), Answer("user:x", False, NOW), Answer("user:y", False, NOW)
    )(c.with_approval(deny_quorum=2)),
    "a person refused": answers(yes("user:alice"), yes("user:bob"), Answer("user:carol", False, NOW)),
    "an answer that is not a boolean": answers(yes("user:alice"), Answer("user:bob", "no", NOW)),  # type: ignore[arg-type]
    "arguments that could not be read": lambda c: c.with_facts(unread=Unavailable(Reason.ARGUMENTS_INVALID, "no")),
    "clock in another zone": lambda c: c.with_facts(now=NOW.astimezone(timezone(timedelta(hours=1)))),
    "clock in no zone": lambda c: c.with_facts(now=NOW.replace(tzinfo=None)),
    "the day after review": lambda c: c.with_workflow(review_by=NOW.date() - timedelta(days=1)),
    "a draft": lambda c: c.with_workflow(draft=True),
    "a draft of which one step is observed": lambda c: c.with_workflow(draft=True).with_run(
        observed=Observed(NOW.date(), frozenset({"export"}))
    ),
    "observed, the day after": lambda c: c.with_run(observed=Observed(NOW.date() - timedelta(days=1))),
    "run stopped": lambda c: c.with_run(status=RunStatus.STOPPED),
    "run ended": lambda c: c.with_run(status=RunStatus.ENDED),
    "run too old": lambda c: c.with_workflow(lasts=timedelta(minutes=5) - TICK),
    "run idle": lambda c: c.with_workflow(lasts=timedelta(hours=8), idle=timedelta(minutes=5) - TICK),
    "run idle since a call": after(
        lambda c: c.with_workflow(idle=timedelta(minutes=2)), last_called(timedelta(minutes=2) + TICK)
    ),
    "another run": lambda c: c.with_run(id="run-2"),
    "run of another workflow": lambda c: c.with_run(workflow="other"),
    "run of another version": lambda c: c.with_run(workflow_digest=OTHER),
    "workflow gone": lambda c: c.with_policy(workflows={}),
    "step gone": lambda c: c.with_workflow(steps=c.workflow.steps[:EXPORT]),
    "no steps at all": lambda c: c.with_workflow(steps=()),
    "step for a longer name": lambda c: c.with_step(EXPORT, tool="warehouse.export_all"),
    "tool gone": lambda c: c.with_policy(tools={"tickets.get": Tool("tickets.get", ToolEffect.READ)}),
    "tool changed": lambda c: c.with_facts(definition=FINGERPRINT[:-1] + "0"),
    "tool unmeasured": lambda c: c.with_facts(definition=None),
    "subject not listed": lambda c: c.with_workflow(subjects=frozenset({SUBJECT + "s"})),
    "nobody listed": lambda c: c.with_workflow(subjects=frozenset()),
    "run of another subject": lambda c: c.with_run(subject=SUBJECT + "2"),
    "subject suspended": lambda c: c.with_run(subject_suspended=True),
    "proof for another call": lambda c: c.with_identity(bound_to=OTHER),
    "no proof where one is demanded": lambda c: c.with_identity(bound_to=None).with_step(EXPORT, bound_to_call=True),
    "assertion expired": lambda c: c.with_identity(expires_at=NOW - timedelta(seconds=60)),
    "assertion from the future": lambda c: c.with_identity(issued_at=NOW + timedelta(seconds=60) + TICK),
    "assertion time in no zone": lambda c: c.with_identity(issued_at=NOW.replace(tzinfo=None)),
    "stale for the destination": lambda c: c.with_identity(issued_at=NOW - timedelta(seconds=45) - TICK),
    "stale for the step": lambda c: c.with_step(EXPORT, max_age=timedelta(seconds=45) - TICK),
    "stale for the workflow": lambda c: c.with_workflow(max_age=timedelta(seconds=45) - TICK),
    "weaker than the destination asks": lambda c: c.with_identity(assurance=Assurance.BEARER),
    "weaker than the step asks": lambda c: c.with_step(EXPORT, minimum_assurance=Assurance.CALL_BOUND),
    "a credential revoked": lambda c: c.with_facts(credentials_revoked=("dw",)),
    "a destination one above the step": lambda c: c.with_step(EXPORT, up_to=Sensitivity.INTERNAL),
    "no destinations allowed": lambda c: c.with_step(EXPORT, up_to=None),
    "one more, one above": place(Sensitivity.RESTRICTED, "data"),
    "one more, unlisted": place(None, None),
    "one more, listed without a level": place(None, "data"),
    "one more, in no zone": place(Sensitivity.INTERNAL, None),
    "one more, in a zone out of reach": place(Sensitivity.INTERNAL, "agents"),
    "one more, below what was read": place(Sensitivity.PUBLIC, "data"),
    "zone reaches one less": lambda c: c.with_policy(
        zones={"agents": Zone("agents", frozenset({SUBJECT}), {"data": Sensitivity.INTERNAL})}
    ),
    "subject in no zone": lambda c: c.with_policy(zones={"data": Zone("data", frozenset(), {})}),
    "subject in two zones": lambda c: c.with_policy(
        zones={**c.policy.zones, "more": Zone("more", frozenset({SUBJECT}), {"data": Sensitivity.SECRET})}
    ),
    "been where what it reaches is one too much": lambda c: zone("data", then={"data": Sensitivity.INTERNAL})(
        c.with_run(zones=frozenset({"data"}))
    ),
    "been where nothing may follow": lambda c: zone("data", then={})(c.with_run(zones=frozenset({"data"}))),
    "been where only elsewhere may follow": lambda c: zone("agents", then={"agents": Sensitivity.SECRET})(
        c.with_run(zones=frozenset({"agents"}))
    ),
    "been somewhere, then an unlisted place": lambda c: place(None, None)(
        zone("data", then={"data": Sensitivity.SECRET})(
            c.with_run(zones=frozenset({"data"})).with_step(EXPORT, allow_unclassified=True)
        ).with_workflow(no_write_down=False)
    ),
    "one call reaches a zone and what may not follow it": lambda c: place(Sensitivity.CONFIDENTIAL, "vault")(
        c.with_policy(
            zones={
                "agents": Zone("agents", frozenset({SUBJECT}), dict.fromkeys(("data", "vault"), Sensitivity.SECRET)),
                "data": Zone("data", frozenset(), {}),
                "vault": Zone("vault", frozenset(), {}, then={"vault": Sensitivity.SECRET}),
            }
        )
    ),
    "read one above the step": lambda c: c.with_step(EXPORT, not_above=Sensitivity.PUBLIC),
    "counted by a value, used up": counted(2),
    "counted by a value, used up in another spelling": counted(2, key=" ORDERS"),
    "counted by a value, given back where that does not count": counted(2, 1),
    "counted by a value, one given back too few": counted(3, 1, counts_successes=True),
    "counted by a value that is not there": after(counted(), lambda c: c.with_request(arguments={"rows": 500})),
    "counted by no value": after(counted(), lambda c: c.with_request(arguments={"rows": 500, "table": []})),
    "counts successes, and all may have happened": after(
        lambda c: c.with_step(EXPORT, counts_successes=True),
        lambda c: c.with_run(counts={**c.facts.run.counts, "export": 2}, tallies={"export": Tally(2, 0, 1)}),  # type: ignore[union-attr]
    ),
    "filled from an input that is not there": filled("inputs.t", inputs={"s": "orders"}),
    "filled with what is not kept yet": filled("kept.t", inputs={"t": "orders"}),
    "another value than is filled": filled("inputs.t", "orders2", inputs={"t": "orders"}),
    "another spelling than is filled": filled("inputs.t", "orders ", inputs={"t": "orders"}),
    "another place than is listed": filled("catalog", "orders2"),
    "filled, and nothing there": after(
        filled("inputs.t", inputs={"t": "orders"}), lambda c: c.with_request(arguments={"rows": 500})
    ),
    "these arguments are those of another step": lambda c: c.with_request(steps=frozenset({"look-up"})),
    "these arguments are those of no step": lambda c: c.with_request(steps=frozenset()),
    "a link where none may be": written("see https://evil.example", links=frozenset()),
    "an address where no link may be": written("write eve@evil.example", links=frozenset()),
    "an address where none may be": written("write eve@evil.example", addresses=frozenset()),
    "a link beside the input's": after(
        written("see https://shop.example.evil/a", links=SITE), lambda c: c.with_run(inputs=SHOP)
    ),
    "not in the list that was kept": refers("kept.ids", kept={"ids": ["a", "b"]}),
    "in a list that was not kept": refers("kept.ids", kept={"others": ["orders"]}),
    "null for something else in a list": refers("kept.ids", table=[None], kept={"ids": [["x"]]}),
    "a number that a list holds as text": refers("kept.ids", table=5, kept={"ids": ["5", True]}),
    "as a pattern says, and an input is a sign of one": refers(
        pattern=("a", "inputs.t", ""), table="axy", inputs={"t": ".."}
    ),
    "a pattern with an input that is a list": refers(pattern=("", "inputs.t", ""), inputs={"t": ["orders"]}),
    "a link below a host that outsiders wrote and that was kept": after(
        written("see https://evil.example/a", links=frozenset({"kept.s"})),
        marks(
            outsiders(1, "see https://evil.example"),
            returned("kept.s", 2, "https://evil.example"),
            kept={"s": "https://evil.example"},
        ),
    ),
    "a word that was given behind two hundred others": after(
        written("zephyrion", nothing_of=INBOX),
        told(("tickets.get", "", MANY), ("tickets.get", "", "zephyrion"), ("mail.read", "zephyrion", ""), ended=3),
    ),
    "a link that a tool was given": after(
        written("see https://evil.example/a", links=SITE),
        told(("tickets.get", "https://evil.example/a", "https://evil.example/a")),
    ),
    "a link that another tool returned": after(
        written("see https://evil.example/a", links=SITE), told(("mail.read", "https://evil.example/a", ""))
    ),
    "a link that a failure returned": after(
        written("see https://evil.example/a", links=SITE),
        told(("tickets.get", "https://evil.example/a", ""), own=False),
    ),
    "a word out of the inbox": after(
        written("the zephyrion", nothing_of=INBOX), told(("mail.read", "see zephyrion", ""))
    ),
    "a number out of the inbox": after(written("the code 4711", nothing_of=INBOX), told(("mail.read", "see 4711", ""))),
    "an address out of the inbox": after(
        written("write eve@evil.example", nothing_of=INBOX), told(("mail.read", "eve@evil.example", ""))
    ),
    "a word out of the inbox that another tool said again": after(
        written("zephyrion", nothing_of=INBOX),
        told(("mail.read", "zephyrion", ""), ("tickets.get", "zephyrion", "zephyrion")),
    ),
    "a word out of the inbox that another tool may have been given by a call that has not ended": after(
        written("zephyrion", nothing_of=INBOX),
        told(("mail.read", "zephyrion", ""), ("tickets.get", "zephyrion", ""), ended=1),
    ),
    "any word, after something of the inbox was lost": after(
        written("zephyrion", nothing_of=INBOX),
        lambda c: c.with_run(seen=Seen((), True)),
    ),
    "comes from nowhere": came("inputs", "inputs.t", "kept.t", "tickets.get"),
    "stood at another place": after(
        named("tickets.get.a"), marks(returned("@tickets.get.b", 1, "orders"), returned("tickets.get", 1, "orders"))
    ),
    "stood at a named place in another type": after(named("tickets.get.a"), marks(returned("@tickets.get.a", 1, 1))),
    "stood at a named place, and is kept no more": after(
        named("kept.all[*].t"), marks(returned("@kept.all[*].t", 2, "orders"), kept={"all": [{"t": "others"}]})
    ),
    "is kept at a named place that outsiders wrote": after(
        named("kept.all[*].t"), marks(kept={"all": [{"t": "orders"}]})
    ),
    "stands at another place of the inputs": after(
        named("inputs.all[*].t"), marks(inputs={"all": [{"s": "orders"}], "t": "orders"})
    ),
    "was kept, and something was lost": after(
        came("kept.t"), lambda c: c.with_run(seen=Seen((returned("kept.t", 1, "orders"),), True), kept={"t": "orders"})
    ),
    "comes from a tool after outsiders wrote pieces of it": after(
        came("tickets.get"), marks(returned("tickets.get", 2, "orders")), long_ago("mail.read", 1, "the OR-DERS")
    ),
    "comes from another tool": after(came("tickets.get"), marks(returned("warehouse.export", 1, "orders"))),
    "comes from another input": after(came("inputs.t"), marks(inputs={"s": "orders", "t": "Orders"})),
    "comes from a tool that had it longer": after(came("tickets.get"), marks(returned("tickets.get", 1, "orders2"))),
    "one id in a list comes from nowhere": after(
        attached("orders", "others"), marks(returned("tickets.get", 1, "orders"))
    ),
    "an outsider had the last id in a list first": after(
        attached("orders", "others"), marks(outsiders(1, "take others"), returned("tickets.get", 2, "orders", "others"))
    ),
    "comes from a tool, outsiders had it in the same call": after(
        came("tickets.get"), marks(outsiders(2, "or-ders"), returned("tickets.get", 2, "orders"))
    ),
    "comes from a tool, outsiders had it first": after(
        came("tickets.get"), marks(outsiders(1, "pay: O R D E R S!"), returned("tickets.get", 2, "orders"))
    ),
    "was kept once, and no more": after(came("kept.t"), marks(returned("kept.t", 1, "orders"), kept={"t": "invoices"})),
    "comes from what code gave to keep, outsiders said it": after(
        came("kept.t"), marks(outsiders(9, "orders"), kept={"t": "orders"})
    ),
    "a number that a tool returned as text": after(
        marks(returned("tickets.get", 1, "500")),
        lambda c: c.with_step(EXPORT, sources={("rows",): frozenset({"tickets.get"})}),
    ),
    "comes from a tool in another spelling, which an outsider had": after(
        came("tickets.get"),
        marks(outsiders(1, "the table called X-Files"), returned("tickets.get", 2, "xfiles")),
        lambda c: c.with_facts(as_called={"rows": 500, "table": "xfiles"}),
    ),
    "comes from a tool, but not as it was given": after(
        came("tickets.get"),
        marks(returned("tickets.get", 1, "Orders/")),
        lambda c: c.with_facts(as_called={"rows": 500, "table": "orders"}),
    ),
    "in the catalog, and an outsider said it": after(came("catalog"), marks(outsiders(3, "orders"))),
    "in the catalog, and something was lost in which outsiders may have said it": after(
        came("catalog"), lambda c: c.with_run(seen=Seen((), True))
    ),
    "in the catalog, but not all of it": after(
        came("catalog"),
        place(None, None),
        lambda c: c.with_step(EXPORT, allow_unclassified=True).with_workflow(no_write_down=False),
    ),
    "comes from no word at all": came(),
    "reads where an outsider said, at high risk": after(
        READING, marks(outsiders(1, "try HTTPS://DW.example/index")), lambda c: c.with_run(risk=Risk.HIGH)
    ),
    "reads from a host that an outsider said, at high risk": after(
        READING, marks(outsiders(1, "dw (dot) ... dw . example")), lambda c: c.with_run(risk=Risk.HIGH)
    ),
    "reads below what was read, where an outsider said": after(
        READING, marks(outsiders(1, "dw.example"), high_water=Sensitivity.CONFIDENTIAL)
    ),
    "reads anywhere after something was lost, at high risk": after(
        READING, lambda c: c.with_run(risk=Risk.HIGH, seen=Seen((), True))
    ),
    "reads anywhere after a call that nobody knows of, at high risk": after(
        READING, lambda c: c.with_run(risk=Risk.HIGH, unsettled=UNSETTLED).with_workflow(follows=True)
    ),
    "nobody knows how a call ended, and the step rests on what was kept": lambda c: c.with_run(
        unsettled=UNSETTLED
    ).with_step(EXPORT, rests_on_run=True),
    "nobody knows how a call ended, and an argument must come from the inputs": lambda c: came("inputs")(
        c.with_run(unsettled=UNSETTLED, inputs={"t": "orders"})
    ),
    "what was kept was erased, and the step rests on it": lambda c: c.with_run(erased=frozenset({"kept"})).with_step(
        EXPORT, rests_on_run=True
    ),
    "the inputs were erased, and an argument must come from them": lambda c: came("inputs")(
        c.with_run(erased=frozenset({"inputs"}), inputs={"t": "orders"})
    ),
    "reads anywhere after something was erased, at high risk": after(
        READING, lambda c: c.with_run(risk=Risk.HIGH, erased=ERASED).with_workflow(follows=True)
    ),
    "a zone that admits nobody new": zone("data", first_contact="deny"),
    "read one above": lambda c: c.with_run(high_water=Sensitivity.CONFIDENTIAL),
    "risk high": lambda c: c.with_run(risk=Risk.HIGH),
    "risk medium": lambda c: c.with_run(risk=Risk.MEDIUM),
    "risk without a rule": lambda c: c.with_workflow(risk={Risk.HIGH: RiskRule(None)}),
    "risk takes the effect": lambda c: c.with_workflow(risk={Risk.LOW: RiskRule(frozenset({ToolEffect.SEND}))}),
    "risk takes all effects": lambda c: c.with_workflow(risk={Risk.LOW: RiskRule(frozenset())}),
    "risk takes every level": lambda c: c.with_workflow(risk={Risk.LOW: RiskRule(None, 3)}),
    "not after what it needs": lambda c: c.with_run(succeeded=frozenset()),
    "after only": lambda c: c.with_run(succeeded=frozenset({"ask"})),
    "after_any missing": lambda c: c.with_step(EXPORT, after_any=("ask", "beg")),
    "after what excludes it": lambda c: c.with_run(counts={"look-up": 1, "export": 1, "purge": 1}),
    "used up": lambda c: c.with_step(EXPORT, at_most=1),
    "used up from the start": lambda c: c.with_step(EXPORT, at_most=0).with_run(counts={}),
    "arguments do not fit": lambda c: c.with_step(EXPORT, arguments=Says("no")),
    "arguments do not fit, no reason": lambda c: c.with_step(EXPORT, arguments=Says("")),
    "condition false": lambda c: c.with_step(EXPORT, require=(Says(True), Says(False))),
    "condition faults": lambda c: c.with_step(EXPORT, require=(Says(Fault("no such name")), Says(True))),
    "condition gives a text": lambda c: c.with_step(EXPORT, require=(Says("true"),)),
    "condition gives one": lambda c: c.with_step(EXPORT, require=(Says(1),)),
    "condition gives nothing": lambda c: c.with_step(EXPORT, require=(Says(None),)),
    "condition raises": lambda c: c.with_step(EXPORT, require=(Says(RecursionError("deep")),)),
    "shape raises": lambda c: c.with_step(EXPORT, arguments=Says(ValueError("shape"))),
    "amount raises": lambda c: c.with_budget(0, amount=Says(OverflowError())),
    "approval condition raises": lambda c: c.with_rule(EXPORT, when=Says(KeyError("x"))),
    "approval condition faults": lambda c: c.with_rule(EXPORT, when=Says(Fault("type"))),
    "approval condition gives nought": lambda c: c.with_rule(EXPORT, when=Says(0)),
    "approval condition gives nothing": lambda c: c.with_rule(EXPORT, when=Says(None)),
    "budget one micro short": lambda c: c.with_budget(0, at_most=999_999_999),
    "budget one micro more": lambda c: c.with_budget(0, amount=Says(500_000_001)),
    "calls used up": lambda c: c.with_budget(1, at_most=1_999_999),
    "budget spent one micro more": lambda c: c.with_run(spent={"rows": 500_000_001, "calls": 0}),
    "amount below nought": lambda c: c.with_budget(0, amount=Says(-1)),
    "amount not a number": lambda c: c.with_budget(0, amount=Says(float("nan"))),
    "amount a boolean": lambda c: c.with_budget(0, amount=Says(True)),
    "amount a float": lambda c: c.with_budget(0, amount=Says(1.0)),
    "amount faults": lambda c: c.with_budget(0, amount=Says(Fault("overflow"))),
    "no clock": lambda c: c.with_facts(now=Unavailable(Reason.CLOCK_UNAVAILABLE)),
    "no identity": lambda c: c.with_facts(identity=Unavailable(Reason.ASSERTION_EXPIRED)),
    "no run": lambda c: c.with_facts(run=Unavailable(Reason.NO_RUN)),
    "outside any run": lambda c: c.with_request(run_id="", workflow="").with_facts(run=Unavailable(Reason.NO_RUN)),
    "a run without a workflow": lambda c: c.with_request(workflow="").with_run(workflow=""),
    "a workflow without a name, no run found": lambda c: c.with_request(workflow="").with_facts(
        run=Unavailable(Reason.RUN_UNAVAILABLE)
    ),
    "no destinations found out": lambda c: c.with_facts(destinations=Unavailable(Reason.DESTINATION_AMBIGUOUS)),
    "no approvals found out": lambda c: c.with_facts(approval=Unavailable(Reason.APPROVAL_UNAVAILABLE)),
    "no credentials found out": lambda c: c.with_facts(credentials_revoked=Unavailable(Reason.SIGNALS_UNAVAILABLE)),
    "identity of another make": lambda c: c.with_facts(identity=SimpleNamespace(subject=SUBJECT)),
    "run of another make": lambda c: c.with_facts(
        run=SimpleNamespace(
            id="run-1", workflow="customer-export", status=RunStatus.ACTIVE, subject=SUBJECT, subject_suspended=False
        )
    ),
    "destinations of another make": lambda c: c.with_facts(destinations=None),
    "destinations that run dry": lambda c: c.with_facts(destinations=iter(())),
    "approval of another make": lambda c: c.with_facts(approval=SimpleNamespace(answers=())),
    "credentials of another make": lambda c: c.with_facts(credentials_revoked=""),
    "assertions refused": lambda c: c.with_run(credential_refused=True),
    "issued a tick too early": lambda c: c.with_run(issued_after=NOW - timedelta(seconds=45) + TICK),
    "token a tick too old, proved since": lambda c: c.with_identity(
        issued_at=NOW, token_issued_at=NOW - timedelta(minutes=2) - TICK
    ),
    "stream silent a tick too long": stream(NOW - timedelta(minutes=5) - TICK),
    "stream heard from the future": stream(NOW + timedelta(seconds=60) + TICK),
    "stream never heard": stream(None),
    "stream unknown": lambda c: c.with_facts(streams={"idp2": NOW}),
    "stream heard at another's time": lambda c: c.with_facts(streams={"hr": NOW}),
    "one of two streams silent": lambda c: c.with_policy(
        streams={**c.policy.streams, "hr": StreamRule(timedelta(days=1), frozenset({Sensitivity.INTERNAL}))}
    ),
    "silent stream, unlisted and allowed": lambda c: place(None, None)(
        stream(None, rule=StreamRule(TICK, frozenset({Sensitivity.SECRET})))(
            c.with_step(EXPORT, allow_unclassified=True).with_workflow(no_write_down=False)
        )
    ),
    "stream time in no zone": stream(NOW.replace(tzinfo=None)),
    "stream time of another make": stream(1_800_000_000.0),
    "no streams found out": lambda c: c.with_facts(streams=Unavailable(Reason.SIGNALS_UNAVAILABLE)),
    "streams of another make": lambda c: c.with_facts(streams=[("idp", NOW)]),
    "ceiling one below the place": lambda c: c.with_policy(risk_ceilings={Risk.LOW: Sensitivity.INTERNAL}),
    "ceiling of a lower risk": lambda c: (
        c.with_run(risk=Risk.MEDIUM)
        .with_step(EXPORT, up_to=Sensitivity.SECRET)
        .with_policy(risk_ceilings={Risk.LOW: Sensitivity.INTERNAL, Risk.MEDIUM: Sensitivity.SECRET})
    ),
    "unlisted and allowed, ceiling below the top": lambda c: place(None, None)(
        c.with_step(EXPORT, allow_unclassified=True)
        .with_workflow(no_write_down=False)
        .with_policy(risk_ceilings={Risk.LOW: Sensitivity.RESTRICTED})
    ),
    "clock of another make": lambda c: c.with_facts(now=1_800_000_000.0),
}

_NUDGES, _ESCALATING, _DENYING = list(NUDGES.items()), list(ESCALATING.items()), list((DENYING | IN_VAIN).items())


@cache
def _start() -> Case:
    return good()


def case(random: Random) -> Case:
    """One case: up to three nudges, then no break, one or two, in any order."""
    changes = random.choices(_NUDGES, k=random.randrange(4))
    for _ in range(random.choice((0, 0, 1, 1, 1, 2))):
        changes.append(random.choice(_ESCALATING if random.random() < 0.55 else _DENYING))
    made, applied = _start(), []
    for name, change in changes:
        try:
            made = change(made)
        except (AttributeError, TypeError, KeyError, IndexError):
            continue  # an earlier change took away what this one would change
        applied.append(name)
    return replace(made, notes=tuple(applied))
