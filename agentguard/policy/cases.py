"""Decision cases: what an owner expects of a workflow, written beside it in ``*.cases.yaml``. Read, not judged, here.

A case says what has happened in the run so far, one call, and the decision expected. What it leaves out is ordinary:
an active run, a fresh identity of the workflow's first subject, low risk, nobody asked. Cases are not part of the
bundle and not of its revision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from agentguard.core.facts import RunStatus
from agentguard.core.policy import Fault
from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Destination, Effect, Json, Risk, Sensitivity
from agentguard.errors import PolicyError, PolicyProblem
from agentguard.policy import models
from agentguard.policy.bundle import Bundle
from agentguard.policy.cel.conditions import to_micros
from agentguard.policy.check import check
from agentguard.policy.words import expected, shown, unknown
from agentguard.policy.yaml.files import CASES, list_files, read_file
from agentguard.policy.yaml.parse import Document, parse

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")


# What a case is, once read.


@dataclass(frozen=True, slots=True)
class CaseSeen:
    """What one earlier call returned."""

    tool: str
    result: Json


@dataclass(frozen=True, slots=True)
class CaseRun:
    """The run before the call. ``counts`` holds one for each step done that the case does not count itself.

    ``spent`` is in millionths, by budget. ``contacts`` None means that the subject has been in every zone before.
    """

    inputs: Mapping[str, Json]
    kept: Mapping[str, Json]
    done: frozenset[str]
    counts: Mapping[str, int]
    spent: Mapping[str, int]
    risk: Risk
    status: RunStatus
    suspended: bool
    high_water: Sensitivity | None
    requester: str | None
    zones: frozenset[str] = frozenset()
    contacts: frozenset[str] | None = None
    credential_refused: bool = False
    issued_after: datetime | None = None
    seen: tuple[CaseSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseIdentity:
    """The caller's identity. ``subject`` None means the workflow's own; ``assurance`` None what the step demands."""

    subject: str | None
    age: timedelta
    assurance: Assurance | None
    claims: Mapping[str, Json]
    bound_to_call: bool


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """One person's answer to the approval request for exactly this call."""

    approver: str
    approve: bool


@dataclass(frozen=True, slots=True)
class CaseCall:
    """The call. ``destinations`` None means: derive them from the arguments, as the bundle says."""

    tool: str
    arguments: Mapping[str, Json]
    destinations: tuple[Destination, ...] | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """The decision expected. ``reasons`` must all be among those given; empty means any."""

    effect: Effect
    reasons: frozenset[Reason]
    step: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One decision case. ``identity`` None means that none could be had; ``now`` None means the present.

    ``answers`` None means that nobody has been asked. Streams of signals were heard just now, but for the silent ones.
    """

    file: str
    line: int
    name: str
    workflow: str
    run: CaseRun
    call: CaseCall
    identity: CaseIdentity | None
    answers: tuple[CaseAnswer, ...] | None
    revoked_credentials: tuple[str, ...]
    now: datetime | None
    expect: Expectation
    silent_streams: frozenset[str] = frozenset()


# How it is written.


def _moment(value: Any) -> datetime:
    if isinstance(value, str) and _MOMENT.fullmatch(value) is not None:
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            pass
    raise ValueError("expected a moment in UTC such as 2026-11-24T12:00:00Z")


def _as_expected(value: Any) -> Any:
    return {"effect": value} if isinstance(value, str) else value


def _reason(value: Any) -> Reason:
    words = [reason.value for reason in Reason]
    if value in words:
        return Reason(value)
    raise ValueError(f"there is no such reason; {expected(str(value), words)}")


EffectWord: TypeAlias = Literal["permit", "escalate", "deny"]
Moment: TypeAlias = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
ReasonWord: TypeAlias = Annotated[
    Reason, BeforeValidator(_reason), WithJsonSchema({"enum": [reason.value for reason in Reason]})
]


class SeenEntry(models.StrictModel):
    """What one earlier call returned, in its JSON form; calls in order, the first first."""

    tool: models.ToolName
    result: models.AnyJson


class GivenEntry(models.StrictModel):
    """The run before the call."""

    inputs: dict[str, models.AnyJson] | None = None
    kept: dict[str, models.AnyJson] | None = None
    done: list[models.Name] | None = None
    counts: dict[models.Name, Annotated[int, Field(ge=0)]] | None = None
    spent: dict[models.Name, int | float] | None = None
    risk: models.RiskWord | None = None
    status: Literal["active", "stopped", "ended"] | None = None
    suspended: bool | None = None
    high_water: models.SensitivityWord | None = None
    requester: models.Line | None = None
    zones: list[models.Name] | None = None
    contacts: list[models.Name] | None = None
    credential_refused: bool | None = None
    issued_after: Moment | None = None
    seen: list[SeenEntry] | None = None
    revoked_credentials: list[models.Name] | None = None
    silent_streams: list[models.Name] | None = None
    now: Moment | None = None


class CaseDestination(models.StrictModel):
    """A destination given outright, instead of derived."""

    kind: models.Name
    id: models.Line
    sensitivity: models.SensitivityWord | None = None
    zone: models.Name | None = None
    owner: models.Text | None = None
    category: models.Text | None = None


class CallEntry(models.StrictModel):
    """The call."""

    tool: models.ToolName
    arguments: dict[str, models.AnyJson] = Field(default_factory=dict)
    destinations: list[CaseDestination] | None = None


class IdentityEntry(models.StrictModel):
    """How the caller's identity differs from the ordinary."""

    subject: models.Line | None = None
    age: models.Skew = timedelta(0)
    assurance: models.AssuranceWord | None = None
    claims: dict[str, models.AnyJson] = Field(default_factory=dict)
    proof: Literal["call"] | None = None
    unavailable: bool = False


class ApprovalEntry(models.StrictModel):
    """Who has answered, and how."""

    approved_by: list[models.UserName] = Field(default_factory=list)
    refused_by: list[models.UserName] = Field(default_factory=list)


class ExpectEntry(models.StrictModel):
    """The decision expected."""

    effect: EffectWord
    reasons: list[ReasonWord] = Field(default_factory=list)
    step: models.Name | None = None


class CaseEntry(models.StrictModel):
    """One case."""

    name: models.Text
    workflow: models.Name | None = None
    given: GivenEntry = GivenEntry()
    call: CallEntry
    identity: IdentityEntry = IdentityEntry()
    approval: ApprovalEntry | None = None
    expect: Annotated[ExpectEntry, BeforeValidator(_as_expected, json_schema_input_type=EffectWord | ExpectEntry)]


class Cases(models.PolicyFile):
    """Decision cases. ``workflow`` and ``given`` at the top hold for every case that does not say otherwise."""

    kind: Literal["Cases"]
    workflow: models.Name | None = None
    given: GivenEntry = GivenEntry()
    cases: Annotated[list[CaseEntry], Field(min_length=1)]

    @model_validator(mode="after")
    def _workflow_is_said(self) -> Cases:
        for case in self.cases:
            if case.workflow is None and self.workflow is None:
                raise ValueError(
                    f"case {shown(case.name)} says no `workflow`; write it there or at the top of the file"
                )
        return self


# Reading.


def load_cases(directory: str | Path, bundle: Bundle | None = None) -> tuple[Case, ...]:
    """Every case in ``*.cases.yaml`` below a directory, in the order of files and lines.

    With ``bundle`` the workflows, tools, steps, kept values and budgets that cases name must exist in it.
    Raises PolicyError with every problem.
    """
    root = Path(directory)
    listing = list_files(root, CASES, ())
    problems = list(listing.problems)
    cases = [case for name in listing.names for case in _read(root, name, problems)]
    _check_names(cases, bundle, problems)
    if problems:
        raise PolicyError(sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.message)))
    return tuple(cases)


def load_case_file(path: str | Path, bundle: Bundle | None = None) -> tuple[Case, ...]:
    """The cases of one file. Raises PolicyError."""
    file = Path(path)
    problems: list[PolicyProblem] = []
    cases = _read(file.parent, file.name, problems)
    _check_names(cases, bundle, problems)
    if problems:
        raise PolicyError(problems)
    return tuple(cases)


def _read(root: Path, name: str, problems: list[PolicyProblem]) -> list[Case]:
    file = str(root / name)
    raw = read_file(root, name)
    if isinstance(raw, str):
        problems.append(PolicyProblem(file, 0, raw))
        return []
    documents, troubles = parse(raw)
    problems.extend(PolicyProblem(file, line, message) for line, message in troubles)
    if troubles:
        return []
    if not documents:
        problems.append(PolicyProblem(file, 0, "is empty; begin with `apiVersion: agentguard/v1` and `kind: Cases`"))
    return [case for document in documents for case in _document(file, document, problems)]


def _document(file: str, document: Document, problems: list[PolicyProblem]) -> list[Case]:
    model, troubles = check(Cases, document.data)
    problems.extend(PolicyProblem(file, document.line(*where), message) for where, message in troubles)
    if model is None:
        return []
    cases = []
    for index, entry in enumerate(model.cases):
        try:
            cases.append(_case(file, document.line("cases", index), entry, model))
        except ValueError as error:
            problems.append(PolicyProblem(file, document.line("cases", index, "given", "spent"), str(error)))
    return cases


def _case(file: str, line: int, entry: CaseEntry, model: Cases) -> Case:
    given = _merged(model.given, entry.given)
    call = entry.call
    places = None if call.destinations is None else tuple(map(_destination, call.destinations))
    return Case(
        file=file,
        line=line,
        name=entry.name,
        workflow=entry.workflow or model.workflow or "",
        run=_run(given),
        call=CaseCall(call.tool, MappingProxyType(call.arguments), places),
        identity=_identity(entry.identity),
        answers=_answers(entry.approval),
        revoked_credentials=tuple(given.revoked_credentials or ()),
        now=given.now,
        expect=Expectation(Effect(entry.expect.effect), frozenset(entry.expect.reasons), entry.expect.step),
        silent_streams=frozenset(given.silent_streams or ()),
    )


def _merged(common: GivenEntry, own: GivenEntry) -> GivenEntry:
    """What a case says takes the place of what the file says, key by key."""
    return GivenEntry.model_construct(**{**dict(common), **{key: value for key, value in own if value is not None}})


def _run(given: GivenEntry) -> CaseRun:
    done = frozenset(given.done or ())
    return CaseRun(
        inputs=MappingProxyType(given.inputs or {}),
        kept=MappingProxyType(given.kept or {}),
        done=done,
        counts=MappingProxyType({**dict.fromkeys(sorted(done), 1), **(given.counts or {})}),
        spent=MappingProxyType({name: _micros(name, value) for name, value in (given.spent or {}).items()}),
        risk=Risk.parse(given.risk or "low"),
        status=RunStatus(given.status or "active"),
        suspended=given.suspended or False,
        high_water=None if given.high_water is None else Sensitivity.parse(given.high_water),
        requester=given.requester,
        zones=frozenset(given.zones or ()),
        contacts=None if given.contacts is None else frozenset(given.contacts),
        credential_refused=given.credential_refused or False,
        issued_after=given.issued_after,
        seen=tuple(CaseSeen(entry.tool, entry.result) for entry in given.seen or ()),
    )


def _micros(name: str, value: float) -> int:
    micros = to_micros(value)
    if isinstance(micros, Fault):
        raise ValueError(f"spent.{name}: {micros.detail}")
    return micros


def _destination(entry: CaseDestination) -> Destination:
    sensitivity = None if entry.sensitivity is None else Sensitivity.parse(entry.sensitivity)
    return Destination(entry.kind, entry.id, sensitivity, entry.zone, entry.owner, entry.category)


def _identity(entry: IdentityEntry) -> CaseIdentity | None:
    if entry.unavailable:
        return None
    assurance = None if entry.assurance is None else Assurance.parse(entry.assurance)
    return CaseIdentity(entry.subject, entry.age, assurance, MappingProxyType(entry.claims), entry.proof == "call")


def _answers(entry: ApprovalEntry | None) -> tuple[CaseAnswer, ...] | None:
    if entry is None:
        return None
    yes = (CaseAnswer(person, True) for person in entry.approved_by)
    return (*yes, *(CaseAnswer(person, False) for person in entry.refused_by))


# Names.


def _check_names(cases: Iterable[Case], bundle: Bundle | None, problems: list[PolicyProblem]) -> None:
    """Names that the bundle does not have, each said once in a file: most stand at its top, for all cases."""
    if bundle is None:
        return
    found: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        for message in _unknown_names(case, bundle):
            found.setdefault((case.file, message), []).append(case)
    for (file, message), (case, *more) in found.items():
        also = f" and {len(more)} more" if more else ""
        problems.append(PolicyProblem(file, case.line, f"{shown(case.name)}{also}: {message}"))


def _unknown_names(case: Case, bundle: Bundle) -> list[str]:
    policy = bundle.policy
    workflow = policy.workflows.get(case.workflow)
    if workflow is None:
        return [unknown("workflow", case.workflow, policy.workflows)]
    tools = dict.fromkeys((case.call.tool, *(entry.tool for entry in case.run.seen)))
    steps = {step.name for step in workflow.steps}
    kept = {keep.name for step in steps for keep in bundle.keeps.get((workflow.name, step), ())}
    done = {*case.run.done, *case.run.counts, *([case.expect.step] if case.expect.step is not None else ())}
    named: tuple[tuple[str, Iterable[str], Iterable[str]], ...] = (
        ("tool", tools, policy.tools),
        ("zone", sorted(case.run.zones | (case.run.contacts or frozenset())), policy.zones),
        ("stream", sorted(case.silent_streams), policy.streams),
        ("step", sorted(done), steps),
        ("kept value", sorted(case.run.kept), kept),
        ("budget", sorted(case.run.spent), [budget.name for budget in workflow.budgets]),
    )
    return [unknown(what, name, known) for what, names, known in named for name in names if name not in set(known)]
