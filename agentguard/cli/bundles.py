"""Loading a bundle as the guard does: files, catalog, and the verifiers of its issuers and streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agentguard.cli import common
from agentguard.errors import ConfigurationError, PolicyError, PolicyProblem

if TYPE_CHECKING:
    from agentguard.guard.in_force import UsableBundle
    from agentguard.policy import Bundle
    from agentguard.policy.cases import Case


_WORKFLOW = re.compile(rb"""^kind:\s*["']?Workflow["']?\s*(?:#|$)""", re.MULTILINE)


def load(directory: Path, *, on_file: Callable[[int, int], None] | None = None) -> UsableBundle:
    """The bundle, with everything checked that a guard would refuse. ``on_file`` hears (files done, files in all).

    Raises PolicyError with all problems.
    """
    from agentguard import policy

    try:
        bundle = policy.load(directory, on_file=on_file)
    except PolicyError as error:
        raise PolicyError([*error.problems, *_perhaps_several(directory)]) from None
    return usable(bundle)


def usable(bundle: Bundle) -> UsableBundle:
    """The bundle as a guard uses it, if what it names can be verified, too. Raises PolicyError with all problems."""
    from agentguard.guard.in_force import UsableBundle
    from agentguard.policy.observing import observing_problems

    today = common.now_utc().date()
    problems = [*_issuer_problems(bundle), *_stream_problems(bundle), *observing_problems(bundle, today)]
    try:
        made = UsableBundle.of(bundle)
    except PolicyError as error:
        raise PolicyError(_in_order([*problems, *error.problems])) from None
    if problems:
        raise PolicyError(_in_order(problems))
    return made


def _in_order(problems: Iterable[PolicyProblem]) -> list[PolicyProblem]:
    return sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.message))


def load_with_cases(
    directory: Path, *, on_file: Callable[[int, int], None] | None = None
) -> tuple[UsableBundle, tuple[Case, ...]]:
    """The bundle and the decision cases beside it. ``on_file`` as in ``load``.

    Raises PolicyError with all problems of the first that has any.
    """
    from agentguard.policy.cases import load_cases

    loaded = load(directory, on_file=on_file)
    return loaded, load_cases(directory, loaded.bundle)


def folders(directory: Path) -> list[Path]:
    """The folders of a directory, where nothing stands beside them and each holds a workflow of its own; else none."""
    found = [directory / name for name in _top_folders(directory)]
    return found if len(found) > 1 and all(map(_has_workflow, found)) else []


def several(directory: Path) -> list[Path]:
    """The folders of a directory where each is a bundle of its own and all together are none; else none."""
    from agentguard import policy

    found = folders(directory)
    try:
        if found:
            policy.load(directory)
    except PolicyError:
        return found
    return []


def _has_workflow(folder: Path) -> bool:
    from agentguard.policy.yaml.files import list_files, read_file

    read = (read_file(folder, name) for name in list_files(folder).names)
    return any(isinstance(text, bytes) and _WORKFLOW.search(text) for text in read)


def _top_folders(directory: Path) -> list[str]:
    """The folders that all policy files of a directory stand in; none where some stand beside them."""
    from agentguard.policy.yaml.files import list_files

    names = [name.split("/") for name in list_files(directory, without=()).names]
    return sorted({parts[0] for parts in names}) if all(len(parts) > 1 for parts in names) else []


def unreachable(usable: UsableBundle) -> Iterator[PolicyProblem]:
    """Steps whose tool goes to one fixed place that is too sensitive for them, or listed nowhere."""
    from agentguard.core.values import Unavailable
    from agentguard.destinations import derive

    bundle, catalog = usable.bundle, usable.catalog
    for workflow in bundle.policy.workflows.values():
        for step in workflow.steps:
            for declared in bundle.tools[step.tool].destinations:
                found = derive((declared,), {}, catalog) if declared.fixed is not None else ()
                for place in () if isinstance(found, Unavailable) else found:
                    level, up_to = place.sensitivity, step.up_to
                    if (level is None and not step.allow_unclassified) or (
                        level is not None and (up_to is None or level > up_to)
                    ):
                        what = "listed in no `Destinations`" if level is None else f"`{level.word}`"
                        message = (
                            f"step `{step.name}` of `{workflow.name}` never permits a call: `{place.id}` is {what}"
                        )
                        yield PolicyProblem(declared.source.file, declared.source.line, message)


def _perhaps_several(directory: Path) -> Iterator[PolicyProblem]:
    """A hint for a folder whose folders are bundles: what they say twice is no mistake then."""
    found = _top_folders(directory)
    if len(found) > 1:
        remedy = f"if each is a bundle, name one, such as `{directory / found[0]}`"
        yield PolicyProblem(str(directory), 0, f"its files stand in {len(found)} folders; {remedy}")


def _issuer_problems(bundle: Bundle) -> Iterator[PolicyProblem]:
    """What would keep the guard from verifying an issuer's assertions. The local issuer's key is not made here."""
    from agentguard.identity import Verifier, key_source

    for trust in bundle.issuers:
        if trust.profile == "local":
            continue
        try:
            Verifier(trust, key_source(trust, bundle.directory))
        except ConfigurationError as error:
            yield PolicyProblem(trust.source.file, trust.source.line, str(error))


def _stream_problems(bundle: Bundle) -> Iterator[PolicyProblem]:
    """What would keep a receiver from verifying a stream's events."""
    from agentguard.signals import stream_verifier

    for trust in bundle.streams:
        try:
            stream_verifier(trust, bundle.directory)
        except ConfigurationError as error:
            yield PolicyProblem(trust.source.file, trust.source.line, str(error))
