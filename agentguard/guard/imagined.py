"""The world of an imagined call: a clock that stands, a ledger in memory, an identity and a run as a case says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import cast

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical
from agentguard.core.decide import best_of
from agentguard.core.decision import Decision
from agentguard.core.facts import Answer, ApprovalState, Facts, RunState
from agentguard.core.paths import leaves_at
from agentguard.core.policy import Policy, Workflow
from agentguard.core.provenance import NOTHING_SEEN, Brought, Seen, digest, digests
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.values import Assurance, Destination, Identity, Json, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.guard.arguments.late import Late, as_raised, json_as_it_is
from agentguard.guard.call.fill import filled
from agentguard.guard.call.judge import judge
from agentguard.guard.call.prepare import Call, prepare
from agentguard.guard.engine import Engine
from agentguard.guard.identities import Verification
from agentguard.guard.in_force import InForce, UsableBundle
from agentguard.guard.provenance import brought
from agentguard.guard.run import RunContext
from agentguard.guard.telling import telling
from agentguard.jose.nonce import nonce
from agentguard.ledger import memory_ledger
from agentguard.policy.cases import Case, CaseAnswer

_IMAGINED = "imagined"
# Past any limit that a policy can set, so that only what the case says decides.
_LONG = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class ImaginedTool:
    """A tool as it is declared; nothing is behind it."""

    tool: str
    name: str
    definition: str
    framework: str = _IMAGINED


@dataclass(frozen=True, slots=True)
class _InForce:
    current: InForce


class World:
    """Everything around the calls of one case. Raises ConfigurationError where there can be no such world."""

    def __init__(self, usable: UsableBundle, case: Case, at: datetime) -> None:
        self.usable = usable
        self.case = case
        self.at = at
        self.workflow = _workflow(usable.bundle.policy, case.workflow)
        self.policy: Policy = usable.bundle.policy
        if self.workflow.draft:  # tried out here as if it were in force
            self.workflow = replace(self.workflow, draft=False)
            self.policy = replace(self.policy, workflows={**self.policy.workflows, case.workflow: self.workflow})

    @cached_property
    def engine(self) -> Engine:
        """What a guard's calls are judged with. No assertion is ever asked for: identities are imagined, too."""
        in_force = InForce(self.usable, cast("Verification", None))
        return Engine(_InForce(in_force), memory_ledger(), clock=lambda: self.at)

    @cached_property
    def context(self) -> RunContext:
        """The run, as calls find it."""
        return RunContext(self.engine, self.workflow.name, self.case.run.inputs, self.case.run.requester, _IMAGINED)

    def gate(self, tool: str) -> ImaginedTool:
        """A tool under one of its names."""
        name = self.usable.bundle.tool_by_alias.get(tool, tool)
        known = self.policy.tools.get(name)
        return ImaginedTool(name, name, "" if known is None else known.fingerprint or "")

    def judged(
        self,
        tool: str,
        arguments: Mapping[str, Json],
        run: RunState,
        *,
        as_said: bool,
        answers: Callable[[Decision], Sequence[CaseAnswer] | None],
        destinations: tuple[Destination, ...] | None = None,
    ) -> tuple[Call, Facts, Decision]:
        """A call, filled as the steps of its tool want it, what is known of it, and the decision.

        ``answers``: what people say to a first decision; None where nobody was asked.
        """
        gate = self.gate(tool)
        given = Late(json_as_it_is(_json(arguments, "the arguments")), as_raised)
        found: list[tuple[Call, Facts, Decision]] = []
        for reading in filled(self.policy, self.workflow.name, gate.tool, given, run):
            call = prepare(
                self.engine, gate, reading.arguments, None, self.context, run, reading.filling, reading.names
            )
            if destinations is not None:
                call = call._replace(destinations=destinations)
            facts = self.facts(call, run, as_said=as_said)
            decision, _ = judge(call, self.policy, facts)
            said = answers(decision)
            if said is not None:
                facts = replace(facts, approval=self.answered(call.request, decision, said))
                decision, _ = judge(call, self.policy, facts)
            found.append((call, facts, decision))
        if len(found) == 1:
            return found[0]
        best, decision = best_of([each[2] for each in found], self.workflow)
        return found[best][0], found[best][1], decision

    def facts(self, call: Call, run: RunState, *, as_said: bool) -> Facts:
        """What is known of a call. ``as_said``: identity and streams are the case's; else they are in order."""
        case, bundle = self.case, self.usable.bundle
        declaration = bundle.tools.get(call.request.tool)
        used = declaration.credentials if declaration is not None else ()
        silent = case.silent_streams if as_said else frozenset[str]()
        revoked = case.revoked_credentials if as_said else ()
        claims = {} if case.identity is None else dict(case.identity.claims)
        return Facts(
            now=self.at,
            identity=self._identity(call.request.digest) if as_said else self._in_order(call.request.digest),
            run=run,
            destinations=call.destinations,
            definition=self.gate(call.request.tool).definition or None,
            credentials_revoked=tuple(name for name in used if name in revoked),
            streams={name: None if name in silent else self.at for name in self.policy.streams},
            as_called=call.as_called,
            spellings=call.spellings,
            quotable={"args": call.told.shown, "inputs": dict(run.inputs), "kept": dict(run.kept), "claims": claims},
            unread=call.unread,
        )

    def answered(self, request: Request, first: Decision, answers: Sequence[CaseAnswer]) -> ApprovalState:
        """The question that the first decision asks, or the first step that could ask one, with these answers."""
        steps = self.workflow.steps_by_tool.get(request.tool, ())
        asking = first.step or next((step for step in steps if step.approval is not None), None)
        return ApprovalState(
            id=_IMAGINED,
            request_digest=request.digest,
            policy_revision=self.policy.revision,
            run_id=request.run_id,
            subject=self.run().subject,
            requester=self.run().requester,
            step="" if asking is None else asking.name,
            requested_at=self.at,
            expires_at=self.at + _LONG,
            answers=tuple(Answer(answer.approver, answer.approve, self.at) for answer in answers),
        )

    def run(self) -> RunState:
        """The run with all that the case says of it outright."""
        said = self.case.run
        state = replace(
            self.first_state(),
            kept=_json(said.kept, "the kept values"),
            counts=dict(said.counts),
            succeeded=said.done,
            spent=dict(said.spent),
            seen=self._seen(),
        )
        return self.with_what_is_said(state)

    def first_state(self) -> RunState:
        """The run as it begins."""
        said = self.case.run
        inputs = _json(said.inputs, "the inputs")
        shape = self.usable.bundle.workflows_inputs.get(self.workflow.name)
        # A case may leave out inputs that do not matter to it; what it does say must be possible.
        refusal = shape.refusal(inputs) if shape is not None and inputs else None
        if refusal is not None:
            raise ConfigurationError(f"no run of `{self.workflow.name}` could be started with these inputs: {refusal}")
        return RunState(
            id=_IMAGINED,
            workflow=self.workflow.name,
            workflow_digest=self.workflow.digest,
            # The run is the workflow's own: a case with another caller is one in which somebody took it over.
            subject=self._run_subject(),
            status=said.status,
            version=1,
            started_at=self.at,
            requester=said.requester,
            inputs=inputs,
            salt=_IMAGINED,
        )

    def with_what_is_said(self, run: RunState) -> RunState:
        """The run, and over it how the case says that it stands when the call comes."""
        said = self.case.run
        levels = [level for level in (run.high_water, said.high_water) if level is not None]
        return replace(
            self.with_contacts(run),
            status=said.status,
            risk=max(run.risk, said.risk),
            high_water=max(levels, default=None),
            subject_suspended=said.suspended,
            zones=run.zones | said.zones,
            credential_refused=said.credential_refused,
            issued_after=said.issued_after,
            started_at=self.at - max(said.age or timedelta(0), said.idle or timedelta(0)),
            last_call_at=None if said.idle is None else self.at - said.idle,
        )

    def with_contacts(self, run: RunState) -> RunState:
        """The run of a subject that has been where the case says, and where the run has been since."""
        said = self.case.run.contacts
        return replace(run, contacts=run.contacts | (frozenset(self.policy.zones) if said is None else said))

    def _identity(self, digest: str) -> Identity | Unavailable:
        """The identity as the case says; where it says no assurance, the strongest: that is enough for any step."""
        said = self.case.identity
        if said is None:
            return Unavailable(Reason.IDENTITY_UNAVAILABLE, "the case says that no identity could be had")
        assurance = Assurance.CALL_BOUND if said.assurance is None else said.assurance
        bound = said.bound_to_call or assurance is Assurance.CALL_BOUND
        ordinary = self._in_order(digest)
        return replace(
            ordinary,
            subject=_subject(self.case, self.workflow),
            issued_at=self.at - said.age,
            assurance=assurance,
            bound_to=digest if bound else None,
        )

    def _in_order(self, digest: str) -> Identity:
        said = self.case.identity
        return Identity(
            subject=self._run_subject(),
            issuer=_IMAGINED,
            profile=_IMAGINED,
            issued_at=self.at,
            expires_at=self.at + _LONG,
            assertion_id=nonce(),
            key_id=_IMAGINED,
            assurance=Assurance.CALL_BOUND,
            claims=MappingProxyType({}) if said is None else _json(said.claims, "the claims"),
            bound_to=digest,
        )

    def _run_subject(self) -> str:
        """The caller where the workflow lists it, else the workflow's own subject."""
        caller = _subject(self.case, self.workflow)
        return caller if caller in self.workflow.subjects else min(self.workflow.subjects)

    def _seen(self) -> Seen:
        """What the case's earlier calls brought. What is kept counts from the first result that holds all of it."""
        seen, unplaced = NOTHING_SEEN, dict(self.case.run.kept)
        for number, entry in enumerate(self.case.run.seen, 1):
            name = self.usable.bundle.tool_by_alias.get(entry.tool, entry.tool)
            paths = self.usable.outsiders.get(name, ())
            held = digests(entry.result)
            kept = {name: value for name, value in unplaced.items() if digests(value) and digests(value) <= held}
            unplaced = {name: value for name, value in unplaced.items() if name not in kept}
            one = brought(name, paths, number, entry.result, kept)
            if self.workflow.tells:
                one = replace(one, telling=telling(name, number, None, entry.result))
            seen = seen.after(one, number)
        return seen.after(Brought("", 0, self._said_to_be_kept(unplaced)), len(self.case.run.seen))

    def _said_to_be_kept(self, unplaced: Mapping[str, Json]) -> dict[str, frozenset[bytes]]:
        """What the case says is kept, and no result that it tells of brought: it was there when the call came, and a
        named place in it held what it says."""
        found = {f"kept.{name}": digests(value) for name, value in unplaced.items()}
        for source, path in self.workflow.places.items():
            if path.root == "kept" and path.steps[0] in self.case.run.kept:
                leaves = leaves_at(path.steps[1:], self.case.run.kept[str(path.steps[0])])
                found[source] = frozenset(key for key in map(digest, leaves) if key is not None)
        return found


def _workflow(policy: Policy, name: str) -> Workflow:
    found = policy.workflows.get(name)
    if found is None:
        known = ", ".join(sorted(policy.workflows)) or "none"
        raise ConfigurationError(f"there is no workflow `{name}`; this bundle has {known}")
    return found


def _json(value: Mapping[str, Json], what: str) -> dict[str, Json]:
    try:
        read: dict[str, Json] = read_canonical(canonical_bytes(dict(value)))
    except NotCanonical as error:
        raise ConfigurationError(f"{what} are not JSON: {error}") from None
    return read


def _subject(case: Case, workflow: Workflow) -> str:
    """Whom the case names, else the workflow's own: the first by name, so that it is always the same one."""
    said = case.identity.subject if case.identity is not None else None
    return said if said is not None else min(workflow.subjects)
