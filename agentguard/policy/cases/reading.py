"""Files of decision cases, read and checked against the bundle beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from agentguard.core.canonical import parse_json
from agentguard.core.facts import RunStatus
from agentguard.core.policy import Fault, Workflow
from agentguard.core.values import Assurance, Destination, Effect, Risk, Sensitivity
from agentguard.errors import PolicyError, PolicyProblem
from agentguard.policy.bundle import Bundle
from agentguard.policy.cases.values import (
    Case,
    CaseAnswer,
    CaseCall,
    CaseCalled,
    CaseIdentity,
    CaseRun,
    CaseSeen,
    Expectation,
)
from agentguard.policy.cases.written import (
    FOLLOWS,
    ApprovalEntry,
    CalledEntry,
    CaseDestination,
    Cases,
    GivenEntry,
    IdentityEntry,
    Story,
)
from agentguard.policy.cel.amounts import to_micros
from agentguard.policy.check import check
from agentguard.policy.words import shown, unknown
from agentguard.policy.yaml.files import CASES, list_files, read_file
from agentguard.policy.yaml.parse import Document, parse


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


def load_calls(path: str | Path) -> tuple[CaseCalled, ...]:
    """The story in one file: `calls`, each written as in `given.calls` of a case. Raises PolicyError."""
    file = Path(path)
    raw = read_file(file.parent, file.name)
    documents, troubles = ([], [(0, raw)]) if isinstance(raw, str) else parse(raw)
    if not troubles and len(documents) != 1:
        troubles = [(0, "expected one document: `calls`, a list as in `given.calls` of a case")]
    problems = [PolicyProblem(str(file), line, message) for line, message in troubles]
    if problems:
        raise PolicyError(problems)
    model, wrong = check(Story, documents[0].data)
    if model is None:
        raise PolicyError([PolicyProblem(str(file), documents[0].line(*at), message) for at, message in wrong])
    return _called(model.calls, lambda index: documents[0].line("calls", index))


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
    for index in range(len(model.cases)):
        try:
            cases.append(_case(file, document, index, model))
        except ValueError as error:
            problems.append(PolicyProblem(file, document.line("cases", index, "given", "spent"), str(error)))
    return cases


def _case(file: str, document: Document, index: int, model: Cases) -> Case:
    entry = model.cases[index]
    given = _merged(model.given, entry.given)
    story = ("given", "calls") if entry.given.calls is None else ("cases", index, "given", "calls")
    call = entry.call
    places = None if call.destinations is None else tuple(map(_destination, call.destinations))
    return Case(
        file=file,
        line=document.line("cases", index),
        name=entry.name,
        workflow=entry.workflow or model.workflow or "",
        run=_run(given, lambda number: document.line(*story, number)),
        call=CaseCall(call.tool, MappingProxyType(call.arguments), places),
        identity=_identity(entry.identity),
        answers=_answers(entry.approval),
        revoked_credentials=tuple(given.revoked_credentials or ()),
        now=given.now,
        expect=Expectation(Effect(entry.expect.effect), frozenset(entry.expect.reasons), entry.expect.step),
        silent_streams=frozenset(given.silent_streams or ()),
    )


def _merged(common: GivenEntry, own: GivenEntry) -> GivenEntry:
    """What a case says takes the place of what the file says, key by key; a story takes that of all it tells."""
    said = {key: value for key, value in own if value is not None}
    told = {*FOLLOWS, "calls"} if "calls" in said else {"calls"} if not said.keys().isdisjoint(FOLLOWS) else set()
    return GivenEntry.model_construct(**{**{key: value for key, value in common if key not in told}, **said})


def _called(calls: Iterable[CalledEntry], lines: Callable[[int], int]) -> tuple[CaseCalled, ...]:
    return tuple(
        CaseCalled(
            tool=entry.tool,
            arguments=MappingProxyType(entry.arguments),
            result=entry.result if entry.result_json is None else parse_json(entry.result_json),
            error=entry.error,
            approved_by=tuple(entry.approved_by),
            line=lines(index),
        )
        for index, entry in enumerate(calls)
    )


def _run(given: GivenEntry, lines: Callable[[int], int]) -> CaseRun:
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
        age=given.age,
        idle=given.idle,
        high_water=None if given.high_water is None else Sensitivity.parse(given.high_water),
        requester=given.requester,
        zones=frozenset(given.zones or ()),
        contacts=None if given.contacts is None else frozenset(given.contacts),
        credential_refused=given.credential_refused or False,
        issued_after=given.issued_after,
        seen=tuple(CaseSeen(entry.tool, entry.result) for entry in given.seen or ()),
        calls=_called(given.calls or (), lines),
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


def _check_names(cases: Iterable[Case], bundle: Bundle | None, problems: list[PolicyProblem]) -> None:
    """Names that the bundle does not have, each said once in a file: most stand at its top, for all cases."""
    if bundle is None:
        return
    found: dict[tuple[str, str], list[Case]] = {}
    declared: dict[str, _Names] = {}
    for case in cases:
        for message in _unknown_names(case, bundle, declared):
            found.setdefault((case.file, message), []).append(case)
    for (file, message), (case, *more) in found.items():
        also = f" and {len(more)} more" if more else ""
        problems.append(PolicyProblem(file, case.line, f"{shown(case.name)}{also}: {message}"))


class _Names(NamedTuple):
    """What the steps of one workflow are called, and what they keep: the same for all of its cases."""

    steps: frozenset[str]
    kept: frozenset[str]

    @classmethod
    def of(cls, workflow: Workflow, bundle: Bundle) -> _Names:
        steps = frozenset(step.name for step in workflow.steps)
        keeps = (keep.name for step in steps for keep in bundle.keeps.get((workflow.name, step), ()))
        return cls(steps, frozenset(keeps))


def _unknown_names(case: Case, bundle: Bundle, declared: dict[str, _Names]) -> list[str]:
    policy = bundle.policy
    workflow = policy.workflows.get(case.workflow)
    if workflow is None:
        return [unknown("workflow", case.workflow, policy.workflows)]
    tools = dict.fromkeys((case.call.tool, *(e.tool for e in case.run.seen), *(e.tool for e in case.run.calls)))
    if workflow.name not in declared:
        declared[workflow.name] = _Names.of(workflow, bundle)
    steps, kept = declared[workflow.name]
    done = {*case.run.done, *case.run.counts, *([case.expect.step] if case.expect.step is not None else ())}
    named: tuple[tuple[str, Iterable[str], Collection[str]], ...] = (
        ("tool", tools, policy.tools),
        ("zone", sorted(case.run.zones | (case.run.contacts or frozenset())), policy.zones),
        ("stream", sorted(case.silent_streams), policy.streams),
        ("step", sorted(done), steps),
        ("kept value", sorted(case.run.kept), kept),
        ("budget", sorted(case.run.spent), [budget.name for budget in workflow.budgets]),
    )
    return [unknown(what, name, known) for what, names, known in named for name in names if name not in known]
