"""Checks of a bundle that need more than its own YAML: the catalog's ties, the kinds' options, the secrets' paths."""

from __future__ import annotations

from agentguard.destinations import Catalog, declaration_problem, parse_path
from agentguard.errors import PolicyError, PolicyProblem
from agentguard.guard.marks import result_path
from agentguard.policy import Bundle


def check_bundle(bundle: Bundle) -> None:
    """Raise PolicyError with everything that would make this bundle unusable for a guard."""
    problems: list[PolicyProblem] = []
    for tool in bundle.tools.values():
        for declaration in tool.destinations:
            problem = declaration_problem(declaration)
            if problem is not None:
                problems.append(PolicyProblem(declaration.source.file, declaration.source.line, problem))
        for path in tool.secrets:
            try:
                parse_path(path)
            except ValueError as error:
                problems.append(PolicyProblem(tool.source.file, tool.source.line, f"secrets: {error}"))
        for path in tool.untrusted_results:
            try:
                result_path(path)
            except ValueError as error:
                problems.append(PolicyProblem(tool.source.file, tool.source.line, f"untrusted_results: {error}"))
    try:
        Catalog(bundle.catalog)
    except PolicyError as error:
        problems.extend(error.problems)
    if problems:
        raise PolicyError(problems)
