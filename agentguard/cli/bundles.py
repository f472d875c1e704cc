"""Loading a bundle as the guard does: files, catalog, and the verifiers of its issuers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agentguard.errors import ConfigurationError, PolicyError, PolicyProblem

if TYPE_CHECKING:
    from agentguard.policy import Bundle


def load(directory: Path) -> Bundle:
    """The bundle, with everything checked that a guard would refuse. Raises PolicyError with all problems."""
    from agentguard.guard.parts import check_bundle
    from agentguard.policy import Reloader

    bundle = Reloader(directory).current
    problems: list[PolicyProblem] = []
    try:
        check_bundle(bundle)
    except PolicyError as error:
        problems.extend(error.problems)
    problems.extend(_issuer_problems(bundle))
    if problems:
        raise PolicyError(sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.message)))
    return bundle


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
