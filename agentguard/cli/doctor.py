"""``agentguard doctor``: what stands before the first permitted call, and what weakens a deployment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption
from agentguard.errors import LedgerError, PolicyError

if TYPE_CHECKING:
    from agentguard.evidence.doctor.finding import Finding
    from agentguard.policy import Bundle

app = common.new_app("Say what stands before the first permitted call, and what weakens a deployment.", group=False)

_USUAL = ("policy", "workflows")


@app.command()
def doctor(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="The bundle. Without it: policy or workflows, where one is here.", show_default=False
        ),
    ] = None,
    ledger: LedgerOption = None,
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="Exit 1 for findings of `blocked`, or also of `weak`.")
    ] = "weak",
    json: JsonOption = False,
) -> None:
    """List what keeps calls from being permitted (blocked), and what a deployment should not stand on (weak).

    Each finding says what, where, and what to do. Exit 0 where nothing is blocked or weak (notes do not count), else 1;
    with --fail-on blocked only what is blocked counts. Nothing is changed.

    Example: agentguard doctor policy
    """
    common.choice(fail_on, ("blocked", "weak"), "--fail-on")
    found = sorted(_found(directory, ledger), key=lambda each: ("blocked", "weak", "note").index(each.severity))
    bad = [each for each in found if each.severity in ("blocked", fail_on)]
    if json:
        listed = [{"severity": str(e.severity), "what": e.what, "where": e.where, "remedy": e.remedy} for e in found]
        common.print_json({"ok": not bad, "findings": listed})
    else:
        for each in found:
            common.line(f"{each.severity}: {each.where}: {each.what}")
            common.line(f"    {each.remedy}")
        counts = [sum(each.severity == word for each in found) for word in ("blocked", "weak", "note")]
        common.line("nothing found" if not found else f"{counts[0]} blocked, {counts[1]} weak, {counts[2]} to know")
    if bad:
        raise typer.Exit(1)


def _found(directory: Path | None, ledger: Path | None) -> Iterator[Finding]:
    from agentguard.evidence.doctor.versions import version_findings

    bundle, findings = _bundle(directory)
    yield from findings
    yield from _ledger(ledger, bundle)
    yield from version_findings()


def _bundle(directory: Path | None) -> tuple[Bundle | None, list[Finding]]:
    """The bundle, where it loads, and what is wrong with it."""
    from agentguard.cli import bundles
    from agentguard.evidence.doctor.bundles import bundle_findings, problems
    from agentguard.evidence.doctor.finding import Finding, Severity

    place = directory or next((Path(name) for name in _USUAL if any(Path(name).glob("*.y*ml"))), None)
    if place is None or not place.exists():
        remedy = "draw one up from your tools: agentguard init MODULE:NAME; or name it: agentguard doctor DIR"
        return None, [
            Finding(Severity.BLOCKED, "there is no policy, so nothing is permitted", str(place or "."), remedy)
        ]
    several = bundles.several(place)
    if several:
        remedy = f"name one, such as `agentguard doctor {several[0]}`"
        return None, [
            Finding(Severity.NOTE, f"it holds {len(several)} bundles, which were not looked at", str(place), remedy)
        ]
    try:
        usable, cases = bundles.load_with_cases(place)
    except PolicyError as error:
        return None, list(problems(error.problems))
    return usable.bundle, list(bundle_findings(usable.bundle, cases, common.now_utc().date()))


def _ledger(given: Path | None, bundle: Bundle | None) -> Iterator[Finding]:
    from agentguard.evidence.doctor.finding import Finding, Severity
    from agentguard.evidence.doctor.ledgers import file_findings, record_findings

    path = common.ledger_named(given)
    try:
        there = path.exists()
        why = "a link that leads nowhere" if path.is_symlink() and not there else None
    except OSError as error:  # no name that a file could have
        there, why = False, str(error.strerror)
    if why is not None:
        yield Finding(Severity.BLOCKED, f"it cannot be used: {why}", str(path), "name the ledger's file: --ledger")
        return
    if not there:
        remedy = (
            "run the program that loads the guard and wraps the tools; or name its ledger: --ledger, AGENTGUARD_HOME"
        )
        yield Finding(Severity.BLOCKED, "there is no ledger yet: no guard has run here", str(path), remedy)
        return
    try:
        common.ledger_path(path)
        yield from file_findings(path)
        with common.operations(path) as operations:
            yield from record_findings(operations, bundle, path)
    except LedgerError as error:
        yield Finding(Severity.BLOCKED, str(error), str(path), "put the ledger right; without it nothing is permitted")
