"""Checks: what the text of an argument carries: links, addresses, and anything out of what a tool returned.

What reads texts is loaded with the first rule that asks for it: most workflows have none.
"""

from __future__ import annotations

from agentguard.core.case import Case, StepResult, refuse
from agentguard.core.plan import speaks_where
from agentguard.core.policy import Step
from agentguard.core.reasons import Reason


@speaks_where(lambda policy, workflow, step: step.texts)
def texts_lead_where_they_may(case: Case, step: Step, result: StepResult) -> None:
    """Links and addresses in a text come from where its owner says, or there are none."""
    for rule in step.texts:
        if case.run is None or rule.argument not in case.request.arguments:
            continue
        if rule.links is not None or rule.addresses is not None:
            from agentguard.core.checks.text_rules import leads_elsewhere

            value = case.request.arguments[rule.argument]
            for reason, detail in leads_elsewhere(rule, value, case.run, case.trail(case.run)):
                refuse(result, step, reason, detail)


@speaks_where(lambda policy, workflow, step: step.texts)
def texts_carry_nothing_of(case: Case, step: Step, result: StepResult) -> None:
    """Nothing in a text is out of a listed tool alone."""
    for rule in step.texts:
        if case.run is None or not rule.nothing_of or rule.argument not in case.request.arguments:
            continue
        from agentguard.core.checks.text_rules import carried

        year = None if case.now is None else case.now.year
        detail = carried(rule, case.request.arguments[rule.argument], case.run, year)
        if detail is not None:
            refuse(result, step, Reason.TEXT_CARRIES, detail)
