"""What a model is told beside a refusal: an owner's fixed words, by the tool and the run's progress alone.

The rules:

1. Progress is which steps have succeeded, how often each was called, which values are kept, and whether a condition
   that reads nothing but these holds. Neither arguments, inputs, destinations, identity, risk nor any finding chooses a
   hint: whoever varies a call learns nothing.
2. A hint is told while what it belongs to may still lack something. A condition that reads kept values lacks nothing
   once they are there, unless one of them grows: then another part of it may be what is missing. Of one that reads no
   kept value, nobody knows. A step lacks what its conditions and arguments lack, and the steps that it comes after.
3. Of the steps that name the tool, in the order of the file, the first that waits for something and has a hint for that
   tells it. Where none waits, the first that has a hint to tell tells all of those. A step that can never be taken
   again in this run has its say only where no other has.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentguard.core.facts import RunState
from agentguard.core.policy import Condition, Hint, Step, View, Workflow
from agentguard.core.tallies import NEVER


def hint_for(workflow: Workflow | None, tool: str, run: RunState | None) -> str | None:
    """The hint that goes with every refusal of this tool in a run that has come so far; None where there is none."""
    if workflow is None or run is None or not workflow.hints:
        return None
    spent: list[str] = []
    ready: list[str] = []
    for step in workflow.steps_by_tool.get(tool, ()):
        if not step.hints:
            continue
        if _is_over(step, run):
            spent = spent or _texts(step.hints)
            continue
        missing = [hint for hint in step.hints if not hint.reads <= run.kept.keys()]
        whole = [hint for hint in step.hints if hint.of_step] if missing or _waits(step, run) else []
        waiting = [hint for hint in missing if not hint.of_step] or whole
        if waiting:
            return "; ".join(_texts(waiting))
        ready = ready or _texts([hint for hint in step.hints if _may_lack(hint, step, run)])
    return "; ".join(ready or spent) or None


def _is_over(step: Step, run: RunState) -> bool:
    """Whether nothing that may still happen in the run opens this step again."""
    if any(run.counts.get(name, 0) > 0 for name in step.not_after):
        return True
    if step.at_most is None or step.per is not None:  # what is counted by a value is over for some arguments only
        return False
    back = run.tallies.get(step.name, NEVER).back if step.counts_successes else 0
    return run.counts.get(step.name, 0) - back >= step.at_most


def _may_lack(hint: Hint, step: Step, run: RunState) -> bool:
    """Whether what a hint belongs to may still lack something, in a step whose kept values are all there."""
    if hint.may_lack or not all(_holds(condition, run) for condition in hint.of_progress):
        return True
    needs = hint.reads or hint.of_progress or (hint.of_step and (step.after or step.after_any))
    return not needs


def _holds(condition: Condition, run: RunState) -> bool:
    if run.unsettled or "kept" in run.erased:
        return False
    return condition.holds(View({"kept": run.kept, "counts": run.counts})) is True


def _waits(step: Step, run: RunState) -> bool:
    if any(name not in run.succeeded for name in step.after):
        return True
    return bool(step.after_any) and run.succeeded.isdisjoint(step.after_any)


def _texts(hints: Sequence[Hint]) -> list[str]:
    """Each once."""
    return list(dict.fromkeys(hint.text for hint in hints))
