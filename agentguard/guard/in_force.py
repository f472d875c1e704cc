"""The bundle in force, and what is made from it once: its catalog, and where secrets and outsiders' words stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentguard.destinations import Catalog, declaration_problem, parse_path
from agentguard.errors import PolicyError, PolicyProblem
from agentguard.guard.identities import Verification
from agentguard.guard.provenance import ResultPath, result_path
from agentguard.policy import Bundle


@dataclass(frozen=True, slots=True)
class InForce:
    """A bundle and what is made from it, swapped as one."""

    bundle: Bundle
    catalog: Catalog
    secrets: Mapping[str, tuple[tuple[str | None, ...], ...]]
    hidden: Mapping[str, tuple[tuple[str | None, ...], ...]]
    outsiders: Mapping[str, tuple[ResultPath, ...]]
    verification: Verification

    @classmethod
    def of(cls, bundle: Bundle, verification: Verification) -> InForce:
        secrets = {name: tuple(map(parse_path, tool.secrets)) for name, tool in bundle.tools.items()}
        partly = {
            name: tuple(parse_path(place.argument) for place in tool.destinations if place.secret and place.argument)
            for name, tool in bundle.tools.items()
        }
        hidden = {name: secrets[name] + partly[name] for name in secrets}
        outsiders = {name: tuple(map(result_path, tool.untrusted_results)) for name, tool in bundle.tools.items()}
        return cls(bundle, Catalog(bundle.catalog), secrets, hidden, outsiders, verification)


def check_bundle(bundle: Bundle) -> None:
    """Raise PolicyError with everything that would make this bundle unusable for a guard.

    That is what needs more than its own YAML: the catalog's ties, the kinds' options, the secrets' paths.
    """
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
