"""A run that another one delegates: what is asked for, and what the caller is told where it is not to be had."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from typing import Any, NamedTuple

from agentguard.core.canonical import canonical_bytes, sha256
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.policy import Workflow
from agentguard.core.values import Identity, Json
from agentguard.errors import ConfigurationError
from agentguard.guard.asks import Ask, Wait
from agentguard.guard.engine import Engine
from agentguard.guard.records import record
from agentguard.ledger import NotOpened, Opened, WhyNot


class Below(NamedTuple):
    """Where a run stands below another. ``tree``: the first of its tree. ``steps``: those that it is given; None: as
    its parent. ``subject``: whose it is; None: as its parent."""

    parent: str
    tree: str
    steps: tuple[str, ...] | None = None
    subject: str | None = None


def as_it_was(state: RunState) -> Below | None:
    """Of a run that is gone on with: where it stands; None where nobody delegated it."""
    family = state.family
    if family is None or family.parent is None:
        return None
    steps = None if family.steps is None else tuple(sorted(family.steps))
    return Below(family.parent, family.root, steps, state.subject)


def checked_steps(steps: Collection[str] | None) -> tuple[str, ...] | None:
    """The names of steps, each once. Raises ConfigurationError for what is no list of names."""
    if steps is None:
        return None
    if isinstance(steps, str) or not isinstance(steps, Iterable):
        raise ConfigurationError(f'steps={type(steps).__name__}: expected a list of names, such as ["look-up"]')
    found = tuple(steps)
    if not all(isinstance(step, str) for step in found):
        raise ConfigurationError("steps holds what is no text; expected names of steps")
    return tuple(sorted({str.__str__(step) for step in found}))


class Asked(NamedTuple):
    """A run to begin below another, as far as it is known before its parent's subject proved itself. ``subject``: whose
    it is to be, who proves itself at each call. ``digest``: what the parent's proof is for."""

    below: Below
    workflow: Workflow
    parent: RunState
    subject: str
    digest: str


def asked(guard: Engine, run_id: str, name: str, below: Below) -> Generator[Ask, Any, Asked]:
    """What is to begin. Raises ConfigurationError for a workflow, run or step that there is not."""
    workflow = guard.bundle.policy.workflows.get(name)
    if workflow is None:
        raise ConfigurationError(f"there is no workflow `{name}` any more")
    known = [step.name for step in workflow.steps]
    unknown = [step for step in below.steps or () if step not in known]
    if unknown:
        named = ", ".join(f"`{step}`" for step in unknown)
        raise ConfigurationError(f"`{name}` has no step {named}; it has {', '.join(known)}")
    parent = yield Wait(guard.ledger.run(below.parent, at=guard.last_known_time, windows={}))
    if not isinstance(parent, RunState):
        raise ConfigurationError(f"there is no run `{below.parent}` in this ledger")
    steps: Json = None if below.steps is None else list[Json](below.steps)
    subject = parent.subject if below.subject is None else below.subject
    covered: dict[str, Json] = {"parent": below.parent, "run": run_id, "steps": steps, "subject": subject, "v": 1}
    covered["workflow"] = name
    return Asked(below, workflow, parent, subject, sha256(canonical_bytes(covered)))


def begun(guard: Engine, run_id: str, what: Asked, identity: Identity) -> Generator[Ask, Any, Opened | NotOpened]:
    """Begin it, in one step with what its parent is then; or why not."""
    at, below, workflow, parent = guard.last_known_time, what.below, what.workflow, what.parent
    state = RunState(
        id=run_id,
        workflow=workflow.name,
        workflow_digest=workflow.digest,
        subject=what.subject,
        status=RunStatus.ACTIVE,
        version=1,
        started_at=at,
    )
    own = what.subject == identity.subject  # another one proves itself when it calls
    given = "all" if below.steps is None else ", ".join(below.steps) or "none"
    data = record(
        "run",
        at,
        run_id=run_id,
        parent_run=below.parent,
        workflow=workflow.name,
        workflow_version=workflow.version,
        policy_revision=guard.bundle.revision,
        subject=what.subject,
        issuer=identity.issuer if own else None,
        assurance=identity.assurance.word if own else None,
        requester=parent.requester,
        enforced=parent.observed is None,
        outcome="started",
        why=f"delegated by {below.parent} of {identity.subject}; of its steps: {given}",
    )
    opened: Opened | NotOpened = yield Wait(
        guard.ledger.delegate(state, parent=below.parent, steps=below.steps, record=data)
    )
    return opened


def not_delegated(found: NotOpened) -> ConfigurationError:
    """What is said to whoever wanted a run below one that delegates nothing more."""
    what = f"run `{found.run_id}`"
    match found.why:
        case WhyNot.WIDER:
            return ConfigurationError(f"{what} was not given all of these steps itself; it gives only what it has")
        case WhyNot.TOO_DEEP:
            return ConfigurationError(f"{what} stands too far below the first of its tree to delegate anything more")
        case WhyNot.TOO_MANY:
            return ConfigurationError(f"{what} has as many runs open below it as it may have; end one of them first")
        case _:
            return ConfigurationError(f"{what} is not open; only a run that goes on delegates")
