"""A draft becomes a folder: written beside its place, tried as a guard would try it, and moved there as a whole.

Nothing is overwritten, and whoever stops half-way leaves nothing behind. A tool whose part of the draft a guard would
not take is left out, with the reason; the rest holds.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agentguard.core.values import Effect
from agentguard.errors import ConfigurationError, PolicyError
from agentguard.evidence.draft.pages import Page, pages
from agentguard.evidence.draft.plan import Choices, Plan, ToolPlan, without
from agentguard.guard.dry_run import evaluate
from agentguard.guard.in_force import UsableBundle
from agentguard.policy import load
from agentguard.policy.cases import Case, load_cases

# Each time at least one tool is left out; honest tools need one time.
_MOST_TRIES = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was written: the plan that held, its files, and how many cases were judged as expected."""

    plan: Plan
    files: tuple[str, ...]
    cases: int
    revision: str


def check_free(place: Path) -> None:
    """Raises ConfigurationError where something is in the way, before anybody is asked anything."""
    try:
        taken = place.exists() or place.is_symlink()
    except OSError as error:
        raise ConfigurationError(f"--to: no folder can have this name ({error.strerror}); name another") from None
    if taken:
        raise ConfigurationError(
            f"`{place}` is there already, and nothing is overwritten; name another folder with --to, or move it away"
        )
    parent = place.absolute().parent
    if not parent.is_dir():
        raise ConfigurationError(f"`{parent}` is not a folder that is there; make it, or name another with --to")


def write(plan: Plan, choices: Choices, place: Path, now: datetime, on_case: Progress | None = None) -> Drafted:
    """Write the draft to a folder that is not there yet. Raises ConfigurationError where no tool is left."""
    check_free(place)
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name[:50]}.", suffix=".draft", dir=place.absolute().parent))
    except OSError as error:
        raise ConfigurationError(
            f"`{place}` cannot be written ({error.strerror}); name a folder that you may write to with --to"
        ) from None
    try:
        drafted = _tried(plan, choices, beside, now, on_case)
        beside.chmod(0o755)
        # Another one that came in between stays: only an empty folder could be replaced.
        beside.rename(place)
    except OSError as error:
        raise ConfigurationError(f"`{place}` cannot be written ({error.strerror}); nothing was left there") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return drafted


def _tried(plan: Plan, choices: Choices, beside: Path, now: datetime, on_case: Progress | None) -> Drafted:
    last: dict[str, str] = {}
    for _ in range(_MOST_TRIES):
        if not plan.tools:
            break
        written = pages(plan, choices)
        _put(written, beside)
        last, drafted = _judged(plan, written, beside, now, on_case)
        if drafted is not None:
            return drafted
        softened = [tool for tool in plan.tools if tool.name in last and not tool.plain]
        for tool in softened:
            tool.plain = True
        left_out = {name: why for name, why in last.items() if all(tool.name != name for tool in softened)}
        if left_out:
            plan = without(plan, left_out)
    reasons = "; ".join(f"`{name}`: {why}" for name, why in [*plan.left_out, *last.items()][:5])
    raise ConfigurationError(f"no tool is left of which a policy could be drawn up ({reasons or 'there is none'})")


def _put(written: list[Page], beside: Path) -> None:
    for old in beside.iterdir():
        old.unlink()
    for page in written:
        (beside / page.name).write_text(page.text, "utf-8")


def _judged(
    plan: Plan, written: list[Page], beside: Path, now: datetime, on_case: Progress | None
) -> tuple[dict[str, str], Drafted | None]:
    """Why tools cannot stay, by name; or the draft where all can."""
    try:
        usable = UsableBundle.of(load(beside))
        cases = load_cases(beside, usable.bundle)
    except PolicyError as error:
        return _blamed(written, error), None
    bad: dict[str, str] = {}
    for number, case in enumerate(cases):
        if on_case is not None:
            on_case(number, len(cases))
        why = _unexpected(usable, case, now)
        if why is not None:
            bad.setdefault(case.call.tool, why)
    if bad:
        return bad, None
    return {}, Drafted(plan, tuple(page.name for page in written), len(cases), usable.bundle.revision)


def _unexpected(usable: UsableBundle, case: Case, now: datetime) -> str | None:
    try:
        result = evaluate(usable, case, now=now)
    except ConfigurationError as error:
        return str(error)
    if result.passed:
        return None
    if case.expect.effect is Effect.DENY:
        return f"its near miss is not refused: {'; '.join(result.problems)}"
    found = next((finding.detail or str(finding.reason) for finding in result.decision.findings), "")
    return f"its own example is not decided as it should be: {'; '.join(result.problems)} ({found})"


def _blamed(written: list[Page], error: PolicyError) -> dict[str, str]:
    """The tools whose lines a bundle's problems stand in. Raises ConfigurationError for a problem of no tool."""
    by_name = {page.name: page for page in written}
    found: dict[str, str] = {}
    for problem in error.problems:
        page = by_name.get(Path(problem.file).name)
        tool = page.tool_at(problem.line) if page is not None else None
        if tool is not None:
            found.setdefault(tool, problem.message)
    if not found:
        raise ConfigurationError(
            f"the draft would not load ({error.problems[0].message}); nothing was written. "
            "Put the names that you gave right, or report the command"
        )
    return found


def steps_that_ask(plan: Plan) -> list[ToolPlan]:
    """The tools that are called once a person agreed."""
    return [tool for tool in plan.tools if tool.asks]
