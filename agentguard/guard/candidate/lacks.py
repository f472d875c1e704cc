"""What a run under the live policy lacks for a step of the candidate: then what the step would say is not known.

The rules:

1. Steps are the same where name and tool are the same. Of a step that only the candidate knows, nobody knows whether it
   was done, or how often.
2. A kept value is the same where the same steps keep it in the same way.
3. What tools returned was followed as the live workflow asks for it, and no further.
4. A budget holds what it holds by its live name; where it counts other calls, or in another way, that is not known.
5. What the guard filled in, the model did not write: under a step that does not fill it, nobody knows what it would be.
6. Where a run has been, and how sensitive what it read was, is what the live tools and the live catalog make of its
   calls. Where the candidate's would make something else of them, that is not known, once there is a call.

Pure, and looked up once for each step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentguard.core.policy import Budget, Step, Workflow
from agentguard.core.reasons import Reason
from agentguard.core.values import ToolEffect
from agentguard.policy import Bundle

_CONDITIONS = frozenset({
    Reason.CONDITION_FALSE, Reason.CONDITION_FAILED, Reason.BUDGET_UNAVAILABLE, Reason.BUDGET_EXCEEDED,
})  # fmt: skip
_VALUES = frozenset({
    Reason.ARGUMENTS_INVALID, Reason.FILL_UNAVAILABLE, Reason.ARGUMENT_IS_FILLED, Reason.DESTINATION_UNCLASSIFIED,
    Reason.DESTINATION_NOT_ALLOWED, Reason.DESTINATION_TOO_SENSITIVE, Reason.PROVENANCE_UNMET,
    Reason.LINK_NOT_ALLOWED, Reason.ADDRESS_NOT_ALLOWED, Reason.TEXT_CARRIES, Reason.STEP_USED_UP,
})  # fmt: skip
_HIGH = frozenset({Reason.WRITE_DOWN})
_ZONES = frozenset({Reason.ZONE_NOT_REACHABLE, Reason.ZONE_FIRST_CONTACT})
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is not known. ``of``: the reasons that may be other ones where it is."""

    what: str
    of: frozenset[Reason]


def lacks_of(live: Bundle, candidate: Bundle, workflow: Workflow, step: Step) -> tuple[Lack, ...]:
    """What a run under the live bundle lacks for this step of the candidate's workflow."""
    known = live.policy.workflows.get(workflow.name)
    return () if known is None else tuple(_lacks(live, candidate, known, workflow, step))


def _lacks(live: Bundle, candidate: Bundle, known: Workflow, workflow: Workflow, step: Step) -> Iterator[Lack]:
    tools = {each.name: each.tool for each in known.steps}
    theirs = {each.name: each.tool for each in workflow.steps}
    words = frozenset(_WORD.findall(repr(_written(candidate, workflow.name, step.name))))

    def is_new(name: str) -> bool:
        return tools.get(name) != theirs.get(name)

    for name in (*step.after, *step.after_any, *step.not_after):
        if is_new(name):
            yield Lack(f"whether `{name}` was done", frozenset({Reason.STEP_OUT_OF_ORDER, Reason.STEP_EXCLUDED}))
    before = next((each for each in known.steps if each.name == step.name), None)
    if step.at_most is not None and (before is None or is_new(step.name) or _counting(before) != _counting(step)):
        yield Lack(f"how often `{step.name}` was called", frozenset({Reason.STEP_USED_UP}))
    if words & {"counts", "calls"} and any(map(is_new, theirs)):
        yield Lack("how often each step was called", _CONDITIONS)
    for name in sorted(_kept_otherwise(live, candidate, workflow.name) & words):
        if step.rests_on_run:
            yield Lack(f"`kept.{name}`", _CONDITIONS | _VALUES)
    if (step.sources or step.traced or step.texts) and _follows_more(live, candidate, known, workflow):
        yield Lack("where its values came from", _CONDITIONS | _VALUES)
    for budget in workflow.budgets:
        if step.name in budget.steps and not any(_is_same(budget, other) for other in known.budgets):
            yield Lack(f"what budget `{budget.name}` holds", frozenset({Reason.BUDGET_EXCEEDED}))
    for name in sorted(_filled(known, step.tool) - step.fills.keys()):
        yield Lack(f"what the model would write in `{name}`", _CONDITIONS | _VALUES)


def lacks_of_the_way(live: Bundle, candidate: Bundle, workflow: Workflow, tool: str) -> tuple[Lack, ...]:
    """What is not known of where a run under the live bundle has been, for a call of this tool."""
    found: list[Lack] = []
    declared = candidate.tools.get(tool)
    reaches = declared is not None and bool(declared.destinations)
    writes = reaches and declared is not None and declared.effect is not ToolEffect.READ
    stops = any(step.not_above is not None for step in workflow.steps_by_tool.get(tool, ()))
    if (stops or (workflow.no_write_down and writes)) and _places(live, "sensitivity") != _places(
        candidate, "sensitivity"
    ):
        found.append(Lack("how sensitive what it read was", _HIGH))
    asks = any(zone.then is not None or zone.first_contact is not None for zone in candidate.policy.zones.values())
    if reaches and asks and _places(live, "zone") != _places(candidate, "zone"):
        found.append(Lack("in which zones it has been", _ZONES))
    return tuple(found)


def _places(bundle: Bundle, what: str) -> Any:
    """All that decides what a bundle makes of where calls went: its tools' destinations, and its catalog."""
    reached = {
        name: (
            tool.effect is ToolEffect.READ if what == "sensitivity" else None,
            [(place.kind, place.argument, place.fixed, place.options, place.optional) for place in tool.destinations],
        )
        for name, tool in bundle.tools.items()
        if tool.destinations
    }
    listed = {(entry.kind, entry.pattern): (getattr(entry, what), entry.promises) for entry in bundle.catalog}
    return reached, listed


def lacks_of_the_call(live: Bundle, candidate: Bundle, workflow: Workflow, tool: str) -> tuple[str, ...]:
    """What is not known of any call of this tool, whatever its step."""
    found: list[str] = []
    declared, before = candidate.tools.get(tool), live.tools.get(tool)
    used = set(() if declared is None else declared.credentials)
    if new := used - set(() if before is None else before.credentials):
        found.append(f"whether {', '.join(f'`{name}`' for name in sorted(new))} is in force")
    if declared is not None and declared.destinations:
        if new := candidate.policy.streams.keys() - live.policy.streams.keys():
            found.append(f"whether {', '.join(f'`{name}`' for name in sorted(new))} was heard")
        seen = {entry.zone for entry in live.catalog}
        new = {name for name, zone in candidate.policy.zones.items() if zone.then or zone.first_contact} - seen
        if new:
            found.append(f"who has been in {', '.join(f'`{name}`' for name in sorted(new))}")
        known = live.policy.workflows.get(workflow.name)
        reads = declared.effect is ToolEffect.READ
        if reads and known is not None and workflow.follows and not known.follows:
            found.append("whether outsiders chose where it leads")
    return tuple(found)


def lacks_of_idling(live: Bundle, workflow: Workflow) -> tuple[Lack, ...]:
    """What is not known of a run that the candidate counts as idle since it began, though it was permitted calls: under
    a live workflow without ``idle``, nobody notes when."""
    known = live.policy.workflows.get(workflow.name)
    noted = known is not None and known.idle is not None
    return () if noted else (Lack("when its run was last permitted a call", frozenset({Reason.RUN_IDLE})),)


def _written(bundle: Bundle, workflow: str, step: str) -> Any:
    """All that a step says, with the names that its workflow gives to expressions."""
    full = bundle.full[workflow]
    return [full.steps.get(step), full.content.get("let"), full.content.get("budgets")]


def _counting(step: Step) -> tuple[Any, ...]:
    return step.per is not None and step.per.text, step.counts_successes


def _kept_otherwise(live: Bundle, candidate: Bundle, workflow: str) -> frozenset[str]:
    """What is kept under one of the two bundles alone, or in another way."""
    ours, theirs = _keeps(live, workflow), _keeps(candidate, workflow)
    return frozenset(name for name in theirs if ours.get(name) != theirs[name])


def _keeps(bundle: Bundle, workflow: str) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for step in bundle.policy.workflows[workflow].steps:
        full = bundle.full[workflow].steps.get(step.name)
        written = full.get("keep") if isinstance(full, Mapping) else None
        for name, entry in (written or {}).items():
            found.setdefault(str(name), []).append(f"{step.name} {step.tool} {entry!r}")
    return {name: sorted(ways) for name, ways in found.items()}


def _follows_more(live: Bundle, candidate: Bundle, known: Workflow, workflow: Workflow) -> bool:
    if (workflow.follows and not known.follows) or (workflow.tells and not known.tells):
        return True
    if not workflow.places.keys() <= known.places.keys():
        return True
    outsiders = {name: tool.untrusted_results for name, tool in live.tools.items()}
    theirs = {name: tool.untrusted_results for name, tool in candidate.tools.items()}
    return any(outsiders.get(name, theirs[name]) != theirs[name] for name in theirs)


def _is_same(one: Budget, other: Budget) -> bool:
    """Whether two count the same, whatever they allow."""
    return _key(one) == _key(other)


def _key(budget: Budget) -> tuple[Any, ...]:
    amount = None if budget.amount is None else budget.amount.text
    return budget.name, budget.steps, amount, budget.per, budget.counts_successes


def _filled(workflow: Workflow, tool: str) -> frozenset[str]:
    return frozenset(name for step in workflow.steps_by_tool.get(tool, ()) for name in step.fills)
