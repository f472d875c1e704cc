"""``agentguard explain``: why a call would be, or was, decided so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption
from agentguard.cli.findings import told
from agentguard.core.facts import RunStatus
from agentguard.core.policy import MICROS
from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Effect, Risk, Unavailable
from agentguard.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from datetime import datetime

    from agentguard.guard.dry_run import CaseResult
    from agentguard.policy.cases import Case, CaseSeen

_USER = re.compile(r"user:[^\x00-\x20]{1,200}")

app = common.new_app("Say why a call is, or was, decided so.", group=False)


@app.command()
def explain(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The bundle to judge by.", show_default=False)
    ] = None,
    decision: Annotated[str | None, typer.Option("--decision", help="Explain this decision from its record.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="The workflow of the run.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="The tool, or an alias of it.")] = None,
    args: Annotated[str, typer.Option("--args", help="The arguments, as a JSON object or @FILE.")] = "{}",
    inputs: Annotated[str, typer.Option("--inputs", help="What the run was started with.")] = "{}",
    kept: Annotated[str, typer.Option("--kept", help="What earlier steps have kept.")] = "{}",
    done: Annotated[list[str] | None, typer.Option("--done", help="A step that succeeded; repeatable.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Who calls; else the workflow's first.")] = None,
    age: Annotated[str, typer.Option("--age", help="How old the identity assertion is.")] = "0s",
    assurance: Annotated[str, typer.Option("--assurance", help="How it was proved.")] = "call-bound",
    risk: Annotated[str, typer.Option("--risk", help="The run's risk: low, medium or high.")] = "low",
    at: Annotated[str | None, typer.Option("--at", help="When, as RFC 3339; else now.")] = None,
    seen: Annotated[
        list[str] | None,
        typer.Option("--seen", help="What a tool returned before: TOOL=JSON or TOOL=@FILE; repeatable, in order."),
    ] = None,
    calls: Annotated[
        Path | None,
        typer.Option("--calls", metavar="FILE", help="The run's calls so far, as in `given.calls` of a case."),
    ] = None,
    requester: Annotated[str | None, typer.Option("--requester", help="For whom the run works.")] = None,
    approved_by: Annotated[list[str] | None, typer.Option("--approved-by", help="user:NAME; repeatable.")] = None,
    ledger: LedgerOption = None,
    all_: Annotated[bool, typer.Option("--all", help="The findings of every step, and not of the nearest.")] = False,
    json: JsonOption = False,
) -> None:
    """Show why one call is decided so; of many steps, the one it came nearest to. Nothing runs, nothing is written.

    Either imagine a call and judge it by a bundle. What you do not say is taken to be in order: a fresh identity of
    the workflow's subject, low risk, nothing spent.

    Example: agentguard explain workflows/customer_export
    --workflow customer-export --tool warehouse.export --done look-up
    --inputs '{"ticket": "EXP-7"}' --kept '{"tables": ["orders"]}'
    --args '{"table":"orders", "rows":5, "target":"/exports/EXP-7/orders.csv"}'

    Or tell the run's story: FILE says `calls`, a list of tool, arguments and result. What was done, kept and seen
    follows, and is shown.

    Example: agentguard explain workflows/customer_export --workflow customer-export --tool warehouse.export
    --inputs '{"ticket": "EXP-7"}' --calls so-far.yaml

    Or read a decision from the ledger.

    Example: agentguard explain --decision d-5f0c
    """
    if decision is not None:
        if directory is not None or workflow is not None or tool is not None:
            raise ConfigurationError("--decision explains a record; leave out DIR, --workflow and --tool")
        _show(_recorded(decision, ledger), json, all_)
        return
    if directory is None or workflow is None or tool is None:
        raise ConfigurationError("expected DIR, --workflow and --tool, or --decision ID")
    from agentguard.policy.cases import Case, CaseAnswer, CaseCall, CaseIdentity, CaseRun, Expectation, load_calls

    if calls is not None and (done or seen or kept != "{}"):
        raise ConfigurationError("what is done, kept and seen follows from --calls; leave --done, --kept, --seen out")
    steps = done or []
    now = common.now_utc()
    case = Case(
        file="" if calls is None else str(calls),
        line=0,
        name="explain",
        workflow=workflow,
        run=CaseRun(
            inputs=common.parse_object(inputs, "--inputs"),
            kept=common.parse_object(kept, "--kept"),
            done=frozenset(steps),
            counts={name: steps.count(name) for name in steps},
            spent={},
            risk=Risk.parse(common.choice(risk, Risk.words(), "--risk")),
            status=RunStatus.ACTIVE,
            suspended=False,
            high_water=None,
            requester=requester,
            seen=tuple(map(_seen, seen or ())),
            calls=() if calls is None else load_calls(calls),
        ),
        call=CaseCall(tool, common.parse_object(args, "--args"), None),
        identity=CaseIdentity(
            subject=subject,
            age=common.duration(age, "--age"),
            assurance=Assurance.parse(common.choice(assurance, Assurance.words(), "--assurance")),
            claims={},
            bound_to_call=False,
        ),
        answers=tuple(CaseAnswer(_person(person), True) for person in approved_by) if approved_by else None,
        revoked_credentials=(),
        now=now if at is None else common.moment(at, "--at", now),
        expect=Expectation(Effect.PERMIT, frozenset(), None),
    )
    _show(_imagined(directory, case, now), json, all_)


def _person(name: str) -> str:
    """A name as Trust and the ledger write it. Raises ConfigurationError: another would silently count for nobody."""
    if _USER.fullmatch(name) is None:
        raise ConfigurationError(f"--approved-by: `{name}` is not a person; expected user:NAME, such as user:alice")
    return name


def _seen(text: str) -> CaseSeen:
    from agentguard.policy.cases import CaseSeen

    tool, sign, result = text.partition("=")
    if not sign:
        raise ConfigurationError(f"--seen: found `{text}`, expected TOOL=JSON, such as 'vendors.lookup={{\"id\": 7}}'")
    return CaseSeen(tool, common.parse_value(result, "--seen"))


def _imagined(directory: Path, case: Case, now: datetime) -> dict[str, Any]:
    from agentguard.cli import bundles
    from agentguard.guard.dry_run import evaluate

    usable = bundles.load(directory)
    workflow = usable.bundle.policy.workflows.get(case.workflow)
    for step in sorted(case.run.done):
        if workflow is not None:
            if "," in step:
                raise ConfigurationError(f"--done: `{step}` names several steps; say `--done` once for each of them")
            common.choice(step, (known.name for known in workflow.steps), "--done")
    return described(evaluate(usable, case, now=now))


def described(result: CaseResult) -> dict[str, Any]:
    """An imagined decision in the words of a record."""
    from agentguard.guard.records import rfc3339

    decision, places = result.decision, result.destinations
    return {
        "effect": str(decision.effect),
        "workflow": result.case.workflow,
        "tool": result.request.tool,
        "step": None if decision.step is None else decision.step.name,
        "time": rfc3339(result.at),
        "reasons": [str(reason) for reason in decision.reasons],
        "findings": [
            {"effect": str(f.effect), "reason": str(f.reason), "step": f.step, "detail": f.detail}
            for f in decision.findings
        ],
        "destinations": []
        if isinstance(places, Unavailable)
        else [
            {
                "kind": place.kind,
                "id": place.id,
                "sensitivity": "unclassified" if place.sensitivity is None else place.sensitivity.word,
                "zone": place.zone,
            }
            for place in places
        ],
        "spends": {spend.budget.name: spend.amount / MICROS for spend in decision.spends},
        "arguments": result.shown,
        "origins": dict(result.origins),
        "request_digest": result.request.digest,
        "hint": result.hint,
        "run": None
        if result.run is None
        else {
            "done": sorted(result.run.succeeded),
            "counts": dict(sorted(result.run.counts.items())),
            "kept": dict(sorted(result.run.kept.items())),
        },
        "costs": [{"step": step, "condition": text, "steps": steps} for step, text, steps in result.costs],
    }


def _recorded(decision: str, ledger: LedgerOption) -> dict[str, Any]:
    from agentguard.ledger import RecordFilter

    with common.operations(ledger) as operations:
        wanted = RecordFilter(decision_id=decision)
        for data in operations.records(wanted):
            if data.get("kind") in ("decision", "run"):
                return data
    raise LedgerError(f"there is no decision `{decision}` in this ledger; `agentguard audit list` shows them")


def _show(data: Mapping[str, Any], json: bool, everything: bool) -> None:
    if json:
        common.print_json(dict(data))
        return
    common.rows(_lines(data, everything))


_NOT_ENFORCED = {
    "permit": ", in a run that is observed",
    "escalate": ", not enforced: people would have been asked, and it ran, because its run is observed",
    "deny": ", not enforced: it would have been refused, and ran, because its run is observed",
}


_OF_THE_CALL = (
    "workflow", "step", "tool", "time", "run_id", "parent_run", "subject", "requester", "risk", "assurance",
)  # fmt: skip


def _lines(data: Mapping[str, Any], everything: bool) -> Iterable[tuple[str, str]]:
    from agentguard.audit import reasons

    effect = str(data.get("effect"))
    yield "effect", display.shown(effect) + (_NOT_ENFORCED.get(effect, "") if data.get("enforced") is False else "")
    for name in _OF_THE_CALL:
        if data.get(name) is not None:
            yield name.replace("_", " "), display.shown(str(data[name]))
    for place in data.get("destinations") or []:
        yield "destination", display.value(place)
    for where, what in display.leaves(data.get("arguments")):
        yield f"argument {where}", what
    for name, words in (data.get("origins") or {}).items():
        yield f"origin of {display.shown(name)}", display.shown(", ".join(words))
    run = data.get("run")
    if run is not None:
        counts = ", ".join(f"{name} {count}" for name, count in run["counts"].items())
        yield (
            "steps so far",
            display.shown(counts or "none")
            + ("" if not run["done"] else display.shown(f"; succeeded: {', '.join(run['done'])}")),
        )
        for where, what in display.leaves(run["kept"]):
            yield f"kept {where}", what
    none = True
    for found in told(data.get("findings") or (), data.get("effect"), everything=everything):
        none = False
        if isinstance(found, str):
            yield "other steps", f"{found}; --all shows them"
            continue
        yield display.shown(found.effect), str(found)
        if found.reason in tuple(Reason):
            meant = reasons()[Reason(found.reason)]
            yield "", f"  {meant.means}" + ("" if meant.turn == "nobody" else f" Whose turn it is: {meant.turn}.")
    for cost in data.get("costs") or ():
        from agentguard.policy.cel.cost import MAX_STEPS

        said = f"{cost['steps']:,} of {MAX_STEPS:,} steps: {cost['condition']}"
        yield "cost", f"a condition of {display.shown(cost['step'])} takes {display.shown(said, 1_000)}"
    if data.get("hint") is not None:
        yield "hint", f"the model is told: {display.shown(str(data['hint']), 1_000)}"
    if none:
        yield "findings", "none: every check passed"
