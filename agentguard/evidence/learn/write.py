"""A draft as YAML for its owner: each line with what stands behind it, and each question where it is answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from agentguard import display
from agentguard.evidence.learn.arguments import Learnt
from agentguard.evidence.learn.learnt import OWNER, LearntStep, LearntWorkflow, Together, Tooling
from agentguard.policy.yaml.write import as_yaml, in_line

# Behind a line of policy, at this column where there is room.
_COLUMN = 72


@dataclass(frozen=True, slots=True)
class Head:
    """What the traffic cannot say of a workflow."""

    name: str
    version: int
    owner: str
    review_by: date
    subjects: Sequence[str]
    inputs: Mapping[str, Any]
    approvers: Sequence[str]


def workflow_yaml(draft: LearntWorkflow, head: Head) -> str:
    """The file of a drafted workflow."""
    return "".join(f"{line}\n" for line in _lines(draft, head))


def _lines(draft: LearntWorkflow, head: Head) -> Iterator[str]:
    questions = sum(len(step.questions) for step in draft.steps)
    behind = f"{of(draft.runs, 'run')} of {of(draft.requesters, 'requester')} on {of(draft.days, 'day')}"
    yield f"# Drafted from {behind}."
    yield f"# {of(len(draft.set_aside), 'run')} broke what most runs agree on; nothing was learnt from them."
    yield f"# {of(questions, 'question')} for an owner, each marked {OWNER}. Until they are answered and the step's"
    yield "# `approval` is taken out, a person is asked at every call. Values in comments are an agent's, and perhaps"
    yield "# an attacker's: they are shown, not proposed."
    yield "apiVersion: agentguard/v1"
    yield "kind: Workflow"
    yield "metadata:"
    yield from _block({"name": head.name, "version": head.version, "owner": head.owner}, "  ")
    yield f"  review_by: {head.review_by.isoformat()}"
    yield "status: draft  # permits nothing until this line is taken out"
    yield from _block({"subjects": [*head.subjects]}, "")
    if head.inputs:
        yield "inputs:"
        yield from _block(head.inputs, "  ")
    yield "steps:"
    for step in draft.steps:
        yield from _step(step, head)
    yield from _budgets(draft.steps)
    for tool, why in sorted(draft.left_out.items()):
        yield f"# left out: {display.shown(tool, 80)}: {display.shown(why, 120)}"


def _step(step: LearntStep, head: Head) -> Iterator[str]:
    support = f"{of(step.runs, 'run')} of {of(step.requesters, 'requester')} on {of(step.days, 'day')}"
    yield _said(f"  {step.name}:", f"{support}; {step.breaks} more were set aside")
    yield from _block({"tool": step.tool}, "    ")
    if step.after:
        yield _said(_one({"after": [*step.after]}, "    "), "; ".join(sorted(set(step.after.values()))))
    yield _said(f"    at_most: {step.at_most}", step.most_calls)
    if step.per is not None:
        yield from _block({"per": step.per}, "    ")
    yield "    arguments: {}" if not step.arguments else "    arguments:"
    for name, learnt in step.arguments.items():
        yield from _argument(name, learnt)
    if step.reach is not None and step.reach.up_to is not None:
        more = ", unclassified: allow" if step.questions and step.reach.unlisted else ""
        why = "whoever is asked sees the place; take it out with `approval`"
        yield _said(f"    destinations: {{up_to: {step.reach.up_to.word}{more}}}", why if more else "")
    for one in step.together:
        yield from _together(one)
    if step.questions:
        yield from (f"    # {OWNER}: {display.plain(question)}" for question in step.questions)
        yield "    approval:"
        because = "nobody has said yet what this step may do; see the draft"
        yield from _block({"because": because, "from": [*head.approvers], "quorum": 1, "within": "4h"}, "      ")


def _together(one: Together) -> Iterator[str]:
    """Shown and not proposed: no record says what would have been kept, so nothing could try it out."""
    tool = display.plain(one.tool)
    name = re.sub("[^A-Za-z0-9]+", "_", one.tool).strip("_") or "kept"
    names = ", ".join(f"`{display.plain(each)}`" for each in one.paths)
    sources = ", ".join(f"from: kept.{name}{display.plain(path)}" for path in one.paths.values())
    seen = f"{one.runs} of {one.of} runs"
    yield f"    # drafted: {names} came from one call of {tool} ({seen} looked one thing up before)."
    yield f"    # So that they are always of the same one: `keep: {{{name}: result}}` in its step, and here"
    yield f"    # {sources}"


def _budgets(steps: Sequence[LearntStep]) -> Iterator[str]:
    """Sums of what steps move. Only those of one run are lines."""
    found = [budget for step in steps for budget in step.budgets]
    lines: list[str] = []
    for budget in found:
        name, total = f"{budget.step}-{budget.argument}", f"args.{budget.argument}"
        shown = f"at most {budget.in_run:g} in one run, and {budget.on_day:g} on one of {of(budget.days, 'day')}"
        if budget.at_most is not None:
            entry = {"sum": total, "of": budget.step, "at_most": budget.at_most, "per": "run"}
            lines.append(_said(f"  {in_line(name)}: {in_line(entry)}", f"drafted; {OWNER}: {shown}"))
        else:
            lines.append(
                f"  # drafted: {display.plain(budget.step)}: {shown} were seen. A limit for all runs of a day:"
            )
            lines.append(
                f"  #   {in_line(name)}: {in_line({'sum': total, 'of': budget.step, 'at_most': 0, 'per': '1d'})}"
            )
    if any(budget.at_most is not None for budget in found):
        yield "budgets:"
    yield from lines


def _argument(name: str, learnt: Learnt) -> Iterator[str]:
    first, *more = _block({name: dict(learnt.schema)}, "      ")
    mark = f"{OWNER}: " if learnt.question is not None else ""
    yield _said(first, mark + learnt.says)
    yield from more


def _block(data: Mapping[str, Any], margin: str) -> list[str]:
    return as_yaml(data, margin).splitlines()


def _one(data: Mapping[str, Any], margin: str) -> str:
    lines = _block(data, margin)
    return lines[0] if len(lines) == 1 else "\n".join(lines)


def _said(line: str, comment: str) -> str:
    if not comment or "\n" in line:
        return line
    return f"{line.ljust(_COLUMN)}  # {display.plain(comment)}"


def of(count: int, what: str) -> str:
    """A number and what it counts."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def tools_yaml(tools: Mapping[str, Tooling]) -> str:
    """A file of tools that nobody has declared yet: what each does is guessed, and marked as a guess."""
    return "".join(f"{line}\n" for line in _tools(tools))


def _tools(tools: Mapping[str, Tooling]) -> Iterator[str]:
    yield "# Drafted from transcripts. Nobody has declared these tools. What each does was guessed from its name: read"
    yield "# each `guess`, put it right, and take the word out. `read` is the guess that matters most: such a tool is"
    yield "# called without asking. All that a tool returns counts as outsiders' text, until somebody says less."
    yield "apiVersion: agentguard/v1"
    yield "kind: Tools"
    yield "tools:"
    for name, known in tools.items():
        yield f"  {in_line(name)}:"
        yield _said(f"    effect: {known.effect}", f"guess: {known.guess}" if known.guess is not None else "")
        for argument in sorted(known.places):
            yield f"    # guess: `{display.shown(argument, 80)}` names a place; declare it under `destinations`"
        secrets = sorted(name for name in known.secrets if name.isidentifier())
        if secrets:
            yield _said(f"    secrets: {in_line(secrets)}", "guess: its name; never in a record")
        yield '    untrusted_results: ["*"]'


def trust_yaml(subjects: Iterable[str]) -> str:
    """A file that lets this process speak for the subjects of a draft."""
    local = {"name": "local", "profile": "local", "issuer": "urn:agentguard:local", "audience": "agentguard"}
    issuer = {**local, "max_age": "60s", "max_lifetime": "60s", "subjects": [*subjects]}
    return as_yaml({"apiVersion": "agentguard/v1", "kind": "Trust", "issuers": [issuer]})
