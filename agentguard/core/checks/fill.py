"""Checks: arguments that the guard fills hold what their source holds, and nothing else."""

from __future__ import annotations

from agentguard.core.case import Case, StepResult, refuse
from agentguard.core.fill import Missing, same_json, value_of
from agentguard.core.plan import speaks_where
from agentguard.core.policy import Step
from agentguard.core.reasons import Reason
from agentguard.core.spellings import respelt


@speaks_where(lambda policy, workflow, step: step.fills)
def arguments_are_filled(case: Case, step: Step, result: StepResult) -> None:
    """Whatever filled the call: what is judged is the source's value, or the step is refused."""
    run = case.run
    if not step.fills or run is None:
        return
    arguments, spellings = case.request.arguments, case.facts.spellings
    for name, source in step.fills.items():
        value = value_of(source, run.inputs, run.kept, arguments)
        if isinstance(value, Missing):
            refuse(result, step, Reason.FILL_UNAVAILABLE, f"`{name}` is filled from `{source}`: {value.detail}")
        elif name not in arguments:
            refuse(result, step, Reason.ARGUMENT_IS_FILLED, f"`{name}` was not filled from `{source}`")
        elif not same_json(respelt(arguments[name], spellings), respelt(value, spellings)):
            refuse(result, step, Reason.ARGUMENT_IS_FILLED, f"`{name}` is not what `{source}` holds")
