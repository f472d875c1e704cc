"""What in a bundle keeps calls from being permitted, or makes their decision worth less."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

from agentguard.core.policy import Workflow
from agentguard.errors import PolicyProblem
from agentguard.evidence.doctor.finding import Finding, Severity
from agentguard.identity import could_assert
from agentguard.policy import Bundle
from agentguard.policy.cases import Case
from agentguard.policy.observing import is_in_force
from agentguard.policy.yaml.files import list_files, read_file

_SOON = timedelta(days=14)
_GUESS = re.compile(rb"# (?:.*\b)?guess: ")
_PLACEHOLDER = b"replace-me"


def problems(found: Iterable[PolicyProblem]) -> Iterator[Finding]:
    """A bundle that does not load decides nothing."""
    for problem in found:
        where, what = (f"{problem.file}:{problem.line}", "the line") if problem.line else (problem.file, "it")
        yield Finding(
            Severity.BLOCKED, problem.message, where, f"put {what} right; `agentguard check` lists all problems"
        )


def bundle_findings(bundle: Bundle, cases: tuple[Case, ...], today: date) -> Iterator[Finding]:
    """Everything about a bundle that loads."""
    where = str(bundle.directory)
    for name, workflow in sorted(bundle.policy.workflows.items()):
        yield from _workflow(name, workflow, bundle, today)
    yield from _issuers(bundle)
    for each in bundle.observed.values():
        if is_in_force(each, today):
            yield Finding(
                Severity.WEAK,
                f"`{each.workflow}` is observed until {each.until}: its calls run whatever is decided",
                f"{each.source.file}:{each.source.line}",
                "read what would have been refused, then remove it from `observe`",
            )
    if not cases:
        yield Finding(
            Severity.WEAK,
            "no decision case stands beside it, so nobody notices a rule that was lost",
            where,
            "write some as NAME.cases.yaml; `agentguard test` judges them",
        )
    yield from _marks(bundle.directory)


def _workflow(name: str, workflow: Workflow, bundle: Bundle, today: date) -> Iterator[Finding]:
    where = f"workflow {name}"
    if workflow.review_by < today:
        yield Finding(
            Severity.BLOCKED,
            f"its review was due on {workflow.review_by}, so it permits nothing",
            where,
            "review it, then set `review_by` and raise `version`",
        )
    elif workflow.review_by - today <= _SOON:
        yield Finding(
            Severity.NOTE,
            f"its review is due on {workflow.review_by}; after that day it permits nothing",
            where,
            "review it, then set `review_by` and raise `version`",
        )
    if workflow.draft and name not in bundle.observed:
        yield Finding(
            Severity.BLOCKED,
            "it is a draft, so it permits nothing",
            where,
            "read it, put it right, and take `status: draft` out",
        )
    nobody = [subject for subject in sorted(workflow.subjects) if not _is_known(subject, bundle)]
    if nobody:
        every = len(nobody) == len(workflow.subjects)
        yield Finding(
            Severity.BLOCKED if every else Severity.WEAK,
            f"no issuer can assert its subject `{nobody[0]}`" + (f" and {len(nobody) - 1} more" if nobody[1:] else ""),
            where,
            "name the subject as an issuer of Trust asserts it, or add the issuer",
        )


def _is_known(subject: str, bundle: Bundle) -> bool:
    return any(could_assert(trust, subject) for trust in bundle.issuers)


def _issuers(bundle: Bundle) -> Iterator[Finding]:
    if not bundle.issuers:
        yield Finding(
            Severity.BLOCKED,
            "Trust names no issuer, so nobody has an identity",
            str(bundle.directory),
            "add one to `issuers`; `profile: local` is enough on one machine",
        )
    for trust in bundle.issuers:
        where = f"{trust.source.file}:{trust.source.line}"
        if trust.profile == "local":
            yield Finding(
                Severity.WEAK,
                "identity is local: whoever can read a key file is the agent (`assurance: local`)",
                where,
                "for production, use SPIFFE, Kubernetes or another issuer; see docs/identity.md",
            )
        elif not trust.single_use:
            yield Finding(
                Severity.WEAK,
                f"assertions of `{trust.name}` may be used again (`single_use: false`)",
                where,
                "remove the line where the issuer can mint one for each call",
            )


def _marks(directory: Path) -> Iterator[Finding]:
    """What `agentguard init` left for an owner to read."""
    guesses: list[str] = []
    placeholders: list[str] = []
    for name in list_files(directory).names:
        raw = read_file(directory, name)
        for number, line in enumerate(raw.split(b"\n") if isinstance(raw, bytes) else (), 1):
            if _GUESS.search(line) is not None:
                guesses.append(f"{directory / name}:{number}")
            if _PLACEHOLDER in line:
                placeholders.append(f"{directory / name}:{number}")
    if guesses:
        yield Finding(
            Severity.WEAK,
            f"{len(guesses)} guesses of `agentguard init` are confirmed by nobody",
            guesses[0],
            "read each, put it right, and take the comment out",
        )
    if placeholders:
        yield Finding(
            Severity.WEAK,
            f"`replace-me` stands in {len(placeholders)} lines for what is real",
            placeholders[0],
            "write the real team, places and identities",
        )
