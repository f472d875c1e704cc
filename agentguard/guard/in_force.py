"""The bundle in force, and what is made from it once: its catalog, and where secrets and outsiders' words stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

from agentguard.core.declarations import Source
from agentguard.core.paths import EVERY, may_meet
from agentguard.destinations import Catalog, declaration_problem, parse_path
from agentguard.errors import PolicyError, PolicyProblem
from agentguard.guard.identities import AnyVerification
from agentguard.guard.result_paths import ResultPath, result_path
from agentguard.policy import Bundle

Paths: TypeAlias = "tuple[tuple[str | None, ...], ...]"


@dataclass(frozen=True, slots=True)
class UsableBundle:
    """A bundle that a guard can use, and what is made from it once. Only ``of`` makes one.

    By tool: ``secrets`` in its arguments; what is ``hidden`` of them in records (secrets, and places that are partly
    secret); what is ``personal`` in them; where ``outsiders`` can write in its results. By workflow: the names of kept
    values that are personal. ``filled``: the tools of which some step fills arguments.
    ``plans``: what calls have found out of it so far, and use again (``call.plan``).
    """

    bundle: Bundle
    catalog: Catalog
    secrets: Mapping[str, Paths]
    hidden: Mapping[str, Paths]
    personal: Mapping[str, Paths]
    outsiders: Mapping[str, tuple[ResultPath, ...]]
    personal_kept: Mapping[str, frozenset[str]]
    filled: frozenset[str]
    plans: dict[tuple[str, str, str], Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, bundle: Bundle) -> UsableBundle:
        """Raise PolicyError with everything that would make this bundle unusable for a guard.

        That is what needs more than its own YAML: the catalog's ties, the kinds' options, the secrets' paths.
        """
        problems: list[PolicyProblem] = []
        secrets: dict[str, Paths] = {}
        personal: dict[str, Paths] = {}
        outsiders: dict[str, tuple[ResultPath, ...]] = {}
        results: dict[str, tuple[ResultPath, ...]] = {}
        for name, tool in bundle.tools.items():
            for declaration in tool.destinations:
                problem = declaration_problem(declaration)
                if problem is not None:
                    problems.append(PolicyProblem(declaration.source.file, declaration.source.line, problem))
            secrets[name] = _read("secrets", tool.secrets, parse_path, tool.source, problems)
            personal[name] = _read("personal", tool.personal, parse_path, tool.source, problems)
            results[name] = _read("personal_results", tool.personal_results, result_path, tool.source, problems)
            outsiders[name] = _read("untrusted_results", tool.untrusted_results, result_path, tool.source, problems)
        for step in (step for workflow in bundle.policy.workflows.values() for step in workflow.steps):
            for reach in step.reaches:
                problem = declaration_problem(reach.declaration)
                if problem is not None:
                    source = reach.declaration.source
                    problems.append(PolicyProblem(source.file, source.line, f"reaches: {problem}"))
        try:
            catalog = Catalog(bundle.catalog)
        except PolicyError as error:
            raise PolicyError([*problems, *error.problems]) from None
        if problems:
            raise PolicyError(problems)
        partly = {
            name: tuple(parse_path(place.argument) for place in tool.destinations if place.secret and place.argument)
            for name, tool in bundle.tools.items()
        }
        hidden = {name: secrets[name] + partly[name] for name in secrets}
        filled = frozenset(tool for workflow in bundle.policy.workflows.values() for tool in workflow.fillings)
        kept = _personal_kept(bundle, personal, results)
        return cls(bundle, catalog, secrets, hidden, personal, outsiders, kept, filled)


def _personal_kept(
    bundle: Bundle, arguments: Mapping[str, Paths], results: Mapping[str, tuple[ResultPath, ...]]
) -> Mapping[str, frozenset[str]]:
    """By workflow: what its steps keep of personal arguments, and of the personal fields of results."""
    in_arguments = {name: tuple(map(_steps, paths)) for name, paths in arguments.items()}
    places: Mapping[str, Mapping[str, tuple[ResultPath, ...]]] = {"args": in_arguments, "result": results}
    found: dict[str, frozenset[str]] = {}
    for workflow in bundle.policy.workflows.values():
        names = [
            keep.name
            for step in workflow.steps
            for keep in bundle.keeps.get((workflow.name, step.name), ())
            if any(may_meet(keep.path.steps, path) for path in places[keep.path.root].get(step.tool, ()))
        ]
        if names:
            found[workflow.name] = frozenset(names)
    return found


def _steps(path: tuple[str | None, ...]) -> ResultPath:
    return tuple(EVERY if part is None else part for part in path)


@dataclass(frozen=True, slots=True)
class InForce:
    """A bundle and who verifies identities under it, swapped as one."""

    usable: UsableBundle
    verification: AnyVerification


class Holder(Protocol):
    """Whoever knows which bundle is in force."""

    @property
    def current(self) -> InForce:
        """The bundle in force now."""


_P = TypeVar("_P")


def _read(
    key: str, texts: Iterable[str], read: Callable[[str], _P], source: Source, problems: list[PolicyProblem]
) -> tuple[_P, ...]:
    """The paths of one key, and a problem for each that is none."""
    paths = []
    for text in texts:
        try:
            paths.append(read(text))
        except ValueError as error:
            problems.append(PolicyProblem(source.file, source.line, f"{key}: {error}"))
    return tuple(paths)
