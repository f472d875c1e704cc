"""Loading a bundle as the guard does: files, catalog, and the verifiers of its issuers and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agentguard.errors import ConfigurationError, PolicyError, PolicyProblem

if TYPE_CHECKING:
    from agentguard.policy import Bundle
    from agentguard.policy.cases import Case


def load(directory: Path, *, on_file: Callable[[int, int], None] | None = None) -> Bundle:
    """The bundle, with everything checked that a guard would refuse. ``on_file`` hears (files done, files in all).

    Raises PolicyError with all problems.
    """
    from agentguard import policy
    from agentguard.guard.parts import check_bundle

    try:
        bundle = policy.load(directory, on_file=on_file)
    except PolicyError as error:
        raise PolicyError([*error.problems, *_perhaps_several(directory)]) from None
    problems: list[PolicyProblem] = []
    try:
        check_bundle(bundle)
    except PolicyError as error:
        problems.extend(error.problems)
    problems.extend(_issuer_problems(bundle))
    problems.extend(_stream_problems(bundle))
    if problems:
        raise PolicyError(sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.message)))
    return bundle


def load_with_cases(
    directory: Path, *, on_file: Callable[[int, int], None] | None = None
) -> tuple[Bundle, tuple[Case, ...]]:
    """The bundle and the decision cases beside it. ``on_file`` as in ``load``.

    Raises PolicyError with all problems of the first that has any.
    """
    from agentguard.policy.cases import load_cases

    bundle = load(directory, on_file=on_file)
    return bundle, load_cases(directory, bundle)


def _perhaps_several(directory: Path) -> Iterator[PolicyProblem]:
    """A hint for a folder whose folders are bundles: what they say twice is no mistake then."""
    names = [path.relative_to(directory).parts for ends in ("*.yaml", "*.yml") for path in directory.rglob(ends)]
    folders = sorted({parts[0] for parts in names if len(parts) > 1})
    if len(folders) > 1 and all(len(parts) > 1 for parts in names):
        remedy = f"if each is a bundle, name one, such as `{directory / folders[0]}`"
        yield PolicyProblem(str(directory), 0, f"its files stand in {len(folders)} folders; {remedy}")


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
