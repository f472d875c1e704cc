"""Which arguments belong together: several that one call of a reading tool returned.

`from: find_order.iban` and `from: find_order.total` let the account of one order meet the total of another. What a step
keeps is of its last call, so both are of one. Traffic cannot try that out, for no record says what would have been
kept: it is drafted as a comment, which an owner makes a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentguard.core.canonical import canonical_bytes
from agentguard.evidence.learn.learnt import LearntStep, Together
from agentguard.evidence.traffic import PastRun, Ran

# Of the runs that call the step, so many must have looked one thing up before.
ONE_LOOKED_UP = 0.95


def put_together(steps: Sequence[LearntStep], runs: Sequence[PastRun]) -> None:
    """Find what belongs together, for each step that does more than read."""
    for step in steps:
        by_tool: dict[str, dict[str, str]] = {}
        for name, learnt in step.arguments.items() if not step.reads else ():
            word = learnt.schema.get("from")
            tool = next((other.tool for other in steps if isinstance(word, str) and _is_field(word, other.tool)), None)
            if tool is not None:
                by_tool.setdefault(tool, {})[name] = str(word)[len(tool) :]
        for tool, paths in sorted(by_tool.items()):
            if len(paths) > 1:
                _weigh(step, tool, paths, runs)


def _is_field(word: str, tool: str) -> bool:
    """Whether it is one field of what the tool returns, and not one of many."""
    return word.startswith(f"{tool}.") and "[" not in word and "*" not in word


def _weigh(step: LearntStep, tool: str, paths: Mapping[str, str], runs: Sequence[PastRun]) -> None:
    looked = [_looked_up(run, step.tool, tool) for run in runs]
    using = [number for number in looked if number is not None]
    ones = using.count(1)
    if using and ones >= ONE_LOOKED_UP * len(using):
        step.together.append(Together(tool, paths, ones, len(using)))


def _looked_up(run: PastRun, user: str, tool: str) -> int | None:
    """How many different calls of ``tool`` had succeeded when ``user`` was last called; None where it never was."""
    asked: set[bytes] = set()
    found: int | None = None
    for call in run.calls:
        if call.ran is Ran.SUCCEEDED and call.tool == tool:
            asked.add(canonical_bytes(dict(call.arguments)))
        elif call.ran is Ran.SUCCEEDED and call.tool == user:
            found = len(asked)
    return found
