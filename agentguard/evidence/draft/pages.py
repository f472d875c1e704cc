"""The files of a draft as text. Whatever a tool is called, it cannot step out of its line.

Values are written by the same writer as `agentguard show`; comments are printable ASCII, one line. Files stay
below what a policy file may hold: where there are many tools, there are several of each kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentguard import display
from agentguard.core.values import Json
from agentguard.evidence.draft.plan import MOST_WRITES, Choices, Plan, ToolPlan
from agentguard.evidence.draft.samples import misfit
from agentguard.policy.yaml.write import in_line

# A file may hold 1 MiB and 50,000 values.
_MOST_BYTES = 400_000
_MOST_IN_A_FILE = 250
_GROUP = "owners"
_HEAD = "apiVersion: agentguard/v1\nkind: {kind}\n"
_MOST_COMMENT = 300


@dataclass(frozen=True, slots=True)
class Page:
    """One file: its name, its text, and the tool that each line from a number on is about."""

    name: str
    text: str
    starts: tuple[tuple[int, str | None], ...]

    def tool_at(self, line: int) -> str | None:
        """The tool that a line is about; None where it is about none alone."""
        found: str | None = None
        for start, tool in self.starts:
            if start > line:
                break
            found = tool
        return found


# The files that hold no workflow.
_OF_ALL = re.compile(r"trust|destinations|tools(?:-[0-9]+)?")


def pages(plan: Plan, choices: Choices) -> list[Page]:
    """Every file of the draft."""
    chunks = list(_chunks(plan.tools, lambda tool: _tool(tool) + _step(tool)))
    # A module is often called `tools`; two files of one name would be one.
    home = f"{choices.workflow}-workflow" if _OF_ALL.fullmatch(choices.workflow) else choices.workflow
    made = [_page("trust.yaml", _trust(choices), [])]
    for number, chunk in enumerate(chunks):
        suffix = "" if number == 0 else f"-{number + 1}"
        head = _note(plan, choices) if number == 0 else []
        tools = [(tool.name, _tool(tool)) for tool in chunk]
        made.append(_page(f"tools{suffix}.yaml", [*head, _HEAD.format(kind="Tools") + "tools:"], tools))
        steps = [(tool.name, _step(tool)) for tool in chunk]
        if number == 0:
            made.append(_page(f"{home}.yaml", _workflow(plan, choices, len(chunks)), steps))
        else:
            made.append(_page(f"{home}-steps{suffix}.yaml", _shared(choices, number), steps))
        given = {name: value for name, (_, value) in plan.inputs.items()}
        cases = [(tool.name, list(_cases(tool, choices, given))) for tool in chunk]
        made.append(_page(f"{home}{suffix}.cases.yaml", _cases_head(choices, given), cases))
    if _catalog(plan, choices):
        made.append(_page("destinations.yaml", _destinations(plan, choices), []))
    return made


def _chunks(tools: Sequence[ToolPlan], lines: Any) -> Iterator[list[ToolPlan]]:
    chunk: list[ToolPlan] = []
    size = 0
    for tool in tools:
        more = sum(map(len, lines(tool)))
        if chunk and (len(chunk) >= _MOST_IN_A_FILE or size + more > _MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(tool)
        size += more
    yield chunk


def _page(name: str, head: Iterable[str], parts: Iterable[tuple[str, Sequence[str]]]) -> Page:
    lines = [line for text in head for line in text.split("\n")]
    starts: list[tuple[int, str | None]] = [(1, None)]
    for tool, part in parts:
        starts.append((len(lines) + 1, tool))
        lines += part
    return Page(name, "".join(f"{line}\n" for line in lines), tuple(starts))


def comment(text: str) -> str:
    """A comment that stays in its line, whatever it quotes."""
    plain = display.plain(text[:_MOST_COMMENT])
    return f"# {plain}"


def _note(plan: Plan, choices: Choices) -> list[str]:
    lines = [
        comment(f"Drawn up by `agentguard init` from {choices.source}."),
        "# Each `guess` was made from names, verbs and schemas, never from descriptions. Read it, put it right, and",
        "# take the word out. `read` is the guess that matters most: such a tool is called without asking.",
    ]
    if plan.left_out:
        lines.append(f"# Left out, so they cannot be wrapped ({len(plan.left_out)}):")
        lines += [comment(f"  {name[:100]}: {why}") for name, why in plan.left_out[:50]]
    return lines


def _trust(choices: Choices) -> list[str]:
    return [
        comment(
            "Whose identity counts: here whoever can read the key in .agentguard. For production see docs/identity.md."
        ),
        _HEAD.format(kind="Trust") + "groups:",
        f"  {_GROUP}: {in_line([choices.approver])}",
        "issuers:",
        "  - name: local",
        "    profile: local",
        "    issuer: urn:agentguard:local",
        "    audience: agentguard",
        "    max_age: 60s",
        "    max_lifetime: 60s",
        f"    subjects: {in_line([choices.subject])}",
        *_observed(choices),
    ]


def _observed(choices: Choices) -> list[str]:
    if choices.observe_until is None:
        return []
    entry = f"{{workflow: {in_line(choices.workflow)}, until: {choices.observe_until.isoformat()}}}"
    return ["observe:  # decided and recorded, and run all the same, until that day", f"  - {entry}"]


def _tool(tool: ToolPlan) -> list[str]:
    lines = [f"  {in_line(tool.name)}:", f"    effect: {tool.effect}  {comment('guess: ' + tool.why)}"]
    if tool.fixed is not None or tool.places:
        lines.append("    destinations:")
    if tool.fixed is not None:
        lines.append(f"      - {in_line({'kind': 'url', 'fixed': tool.fixed})}")
    for place in tool.places:
        entry: dict[str, Json] = {"kind": place.kind, "argument": place.argument}
        entry |= {"optional": True} if place.optional else {}
        lines.append(f"      - {in_line(entry | dict(place.options))}  {comment(f'guess: {place.why}')}")
    if tool.secrets:
        lines.append(f"    secrets: {in_line(tool.secrets)}  # guess: its name; never in a record")
    if tool.outsiders:
        lines.append(
            '    untrusted_results: ["*"]  # guess: outsiders write some of it; name the fields that they write'
        )
    return lines


def _workflow(plan: Plan, choices: Choices, files: int) -> list[str]:
    lines = [
        comment("What the agent may do. A call that is no step here is refused; so is an argument that is not listed."),
        _HEAD.format(kind="Workflow") + "metadata:",
        f"  name: {in_line(choices.workflow)}",
        "  version: 1",
        f"  owner: {in_line(choices.owner)}",
        f"  review_by: {choices.review_by.isoformat()}  # after that day it permits nothing",
        f"subjects: {in_line([choices.subject])}",
    ]
    if plan.inputs:
        lines.append("inputs:  # fixed by your code when a run starts, never by the model")
        lines += [f"  {name}: {in_line(schema)}" for name, (schema, _) in plan.inputs.items()]
    if files > 1:
        lines.append(f"include: {in_line([_shared_name(choices, number) for number in range(1, files)])}")
    return [*lines, "steps:"]


def _shared_name(choices: Choices, number: int) -> str:
    return f"{choices.workflow}-{number + 1}"


def _shared(choices: Choices, number: int) -> list[str]:
    name = in_line(_shared_name(choices, number))
    return [_HEAD.format(kind="Steps") + f"metadata: {{name: {name}}}", "steps:"]


def _step(tool: ToolPlan) -> list[str]:
    lines = [f"  {in_line(tool.step)}:", f"    tool: {in_line(tool.name)}"]
    if tool.effect != "read" and not tool.asks:
        lines.append(f"    at_most: {MOST_WRITES}  # guess: in one run")
    lines.append("    arguments: {}" if not tool.arguments else "    arguments:")
    for argument in tool.arguments:
        why = "" if argument.why is None else "  " + comment(argument.why)
        lines.append(f"      {in_line(argument.name)}: {in_line(argument.schema)}{why}")
    if tool.places:
        more = {"unclassified": "allow"} if tool.asks else {}
        why = "  # the person who is asked sees the place" if tool.asks else "  # of the places in destinations.yaml"
        lines.append(f"    destinations: {in_line({'up_to': 'internal', **more})}{why}")
    elif tool.fixed is not None:
        lines.append("    destinations: {up_to: internal}")
    if tool.asks:
        lines += [
            "    approval:  # a person is asked each time, until an owner says otherwise",
            f"      from: {in_line([f'group:{_GROUP}'])}",
            "      within: 1h",
            f"      because: {in_line(_because(tool))}",
        ]
    return lines


def _because(tool: ToolPlan) -> str:
    text = "; ".join(dict.fromkeys(tool.asks))
    return text if len(text) <= 300 else text[:297] + "..."


def _catalog(plan: Plan, choices: Choices) -> dict[tuple[str, str], str]:
    """Each pattern that the draft's tools need, with what it is."""
    listed: dict[tuple[str, str], str] = {}
    for tool in plan.tools:
        if tool.fixed is not None:
            listed.setdefault(("url", tool.fixed.rstrip("/") + "/*"), "where every call of some tools goes")
        for place in tool.places:
            given = choices.places.get(place.kind, ())
            for pattern in given or [place.pattern()]:
                listed.setdefault((place.kind, pattern), "" if given else "stands for nothing: list the real places")
    return listed


def _destinations(plan: Plan, choices: Choices) -> list[str]:
    lines = [
        "# Which places there are. A place that is not listed is refused, or a person is asked.",
        _HEAD.format(kind="Destinations") + "destinations:",
    ]
    for (kind, pattern), why in _catalog(plan, choices).items():
        entry = in_line({"kind": kind, "pattern": pattern, "sensitivity": "internal"})
        lines.append(f"  - {entry}" + (f"  {comment(why)}" if why else ""))
    return lines


def _cases_head(choices: Choices, given: Mapping[str, Json]) -> list[str]:
    return [
        "# What the draft decides. `agentguard test` judges these; change them with the workflow.",
        _HEAD.format(kind="Cases") + f"workflow: {in_line(choices.workflow)}",
        f"given: {in_line({'inputs': dict(given)})}" if given else "given: {}",
        "cases:",
    ]


def _cases(tool: ToolPlan, choices: Choices, given: Mapping[str, Json]) -> Iterator[str]:
    call = in_line({"tool": tool.name, "arguments": tool.call})
    if tool.asks:
        yield from _case(f"{tool.step} asks a person", call, {"effect": "escalate", "step": tool.step})
        yield from _case(
            f"{tool.step} runs once a person agreed", call, {"effect": "permit", "step": tool.step}, choices.approver
        )
    else:
        yield from _case(f"{tool.step} runs", call, {"effect": "permit", "step": tool.step})
    name, arguments, reason = _near_miss(tool, given)
    call = in_line({"tool": tool.name, "arguments": arguments})
    yield from _case(
        f"{tool.step} is refused {name}",
        call,
        {"effect": "deny", "reasons": [reason]},
        choices.approver if tool.asks else None,
    )


def _case(name: str, call: str, expect: Mapping[str, Json], approver: str | None = None) -> Iterator[str]:
    yield f"  - name: {in_line(name)}"
    yield f"    call: {call}"
    if approver is not None:
        yield f"    approval: {in_line({'approved_by': [approver]})}"
    yield f"    expect: {in_line(dict(expect))}"


def _near_miss(tool: ToolPlan, given: Mapping[str, Json]) -> tuple[str, dict[str, Json], str]:
    """The same call with one thing off: somebody else's, somewhere else, of another type, or one argument more."""
    if not tool.plain:
        for name, key in tool.filled.items():
            value = given[key]
            other: Json = value + 1 if isinstance(value, int) else f"{value}-2" if isinstance(value, str) else None
            if other is not None:
                return f"for another {name}", {**tool.call, name: other}, "argument_is_filled"
        for place in () if tool.asks else tool.places:
            outside = place.outside()
            if outside is not None and tool.call.get(place.argument) is not None:
                return "at a place nobody listed", {**tool.call, place.argument: outside}, "destination_unclassified"
        for argument in tool.arguments:
            value, is_one = misfit(argument.schema)
            if is_one and argument.name in tool.call:
                return (
                    f"where {argument.name} is no {_type(argument.schema)}",
                    {**tool.call, argument.name: value},
                    "arguments_invalid",
                )
    return "with an argument that is not listed", {**tool.call, "not_listed": 1}, "arguments_invalid"


def _type(schema: Mapping[str, Any]) -> str:
    types = schema.get("type")
    return types if isinstance(types, str) else "such value"
