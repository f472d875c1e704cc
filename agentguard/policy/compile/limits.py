"""``per`` and ``counting`` beside ``at_most``: by whose value calls are counted, and which of them are given back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from agentguard.core.declarations import ToolDeclaration
from agentguard.core.paths import Every, Path, parse
from agentguard.core.values import ToolEffect
from agentguard.policy import models
from agentguard.policy.words import shown, unknown

Trouble: TypeAlias = "tuple[tuple[Any, ...], str]"


def per_of(step: models.StepEntry) -> Path | None:
    """The argument by whose value the calls of a step are counted. Raises ValueError for what is no such path."""
    return None if step.per is None else parse(step.per, ("args",))


def limit_troubles(step: models.StepEntry) -> Iterator[Trouble]:
    """Everything wrong with what the calls of a step are counted by."""
    if step.counting is not None and step.at_most is None:
        yield ("counting",), "counting: there is no `at_most` that could count anything; add it, or remove `counting`"
    if step.per is None:
        return
    try:
        path = per_of(step)
    except ValueError as error:
        yield ("per",), f"per: {error}"
        return
    for part in () if path is None else path.references():
        name = part.steps[0] if part.steps else None
        if part.root != "args" or not isinstance(name, str):
            yield ("per",), f"per: {shown(part.text)} is no argument; expected such as `args.recipient`"
        elif name not in step.arguments:
            yield ("per",), f"per: {unknown('argument', name, step.arguments)}"
        elif step.arguments[name].get("optional") or step.arguments[name].get("null_is_absent"):
            yield (
                ("per",),
                f"per: {shown(name)} may be left out, and then there is nothing to count by; make it required",
            )
        else:
            yield from _uncountable(part.text, step.arguments[name], part.steps[1:])


def _uncountable(text: str, schema: Any, rest: Sequence[Any]) -> Iterator[Trouble]:
    """Why what stands there is no text or number, nor a list of them: whoever writes another field of an object, or
    one more list around it, has another value."""
    pending = [(schema, tuple(rest), False)]
    while pending:
        part, steps, in_list = pending.pop()
        if not isinstance(part, Mapping):
            continue
        pending += [(each, steps, in_list) for key in ("anyOf", "oneOf") for each in part.get(key) or ()]
        types = part.get("type")
        words = types if isinstance(types, list) else [types]
        if steps:
            step, inside = steps[0], part.get("properties")
            if isinstance(step, str) and isinstance(inside, Mapping):
                pending.append((inside.get(step), steps[1:], False))
            elif isinstance(step, Every | int):
                pending.append((part.get("items"), steps[1:], isinstance(step, Every)))
        elif "object" in words or ("array" in words and in_list):
            what = "an object" if "object" in words else "a list of lists"
            yield ("per",), f"per: {shown(text)} is {what}; name the text or number in it that is counted by"
            return
        elif "array" in words:
            pending.append((part.get("items"), (), True))


def gives_nothing_back(tool: ToolDeclaration) -> str | None:
    """What to note of ``counting: successes`` for a tool of which no failure is known to have done nothing."""
    if tool.effect is ToolEffect.READ or tool.failure_did_nothing:
        return None
    return (
        f"counting: a failure of {shown(tool.name)} may have done something, so it counts, too; where its failures do "
        "nothing, its developers say `failure_did_nothing: true` in Tools"
    )


_DONE_FOR = re.compile(r"""\bdone_for\(\s*(?:"([^"]*)"|'([^']*)')""")


def done_for_troubles(text: str, steps: Mapping[str, models.StepEntry]) -> Iterator[str]:
    """What `done_for` asks of a step that is not there, or is not counted by a value."""
    for found in _DONE_FOR.finditer(text):
        step = found[1] if found[1] is not None else found[2]
        if step not in steps:
            yield f"done_for: {unknown('step', step, steps)}"
        elif steps[step].per is None:
            yield f"done_for: step {shown(step)} is counted by no value; add `per: args.NAME` to it"


def waits_too_long(workflow: models.Workflow) -> Iterator[Trouble]:
    """Questions that stand for longer than a run may wait for their answer."""
    for word, bound in (("idle", workflow.idle), ("lasts", workflow.lasts)):
        for name, step in workflow.steps.items():
            if bound is not None and step.approval is not None and step.approval.within > bound:
                yield (
                    ("steps", name, "approval", "within"),
                    f"{shown(name)} waits for a person for longer than a run may (`{word}`); an answer that comes "
                    "after that permits nothing",
                )
