"""6 and 7. The tool runs once, and its outcome is written, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from agentguard.core.paths import Path
from agentguard.core.policy import Policy
from agentguard.core.provenance import Brought
from agentguard.core.request import Request
from agentguard.core.values import Json
from agentguard.guard.answers import as_kept
from agentguard.guard.asks import Ask, Look, RunTool
from agentguard.guard.call.keeping import NOTHING_KEPT, Kept, keep_all
from agentguard.guard.call.prepare import Call
from agentguard.guard.engine import Engine
from agentguard.guard.failures import says_failed
from agentguard.guard.provenance import Asked, brought, brought_by_error, lost
from agentguard.guard.records import outcome_record, storable, suspension_record
from agentguard.guard.run import RunContext
from agentguard.guard.seen_in import SeenIn
from agentguard.guard.telling import not_run, telling, unread
from agentguard.ledger import Admission, Admitted, Closing, MadeCall, Outcome, Promise, Suspension, Unstorable
from agentguard.policy import Bundle
from agentguard.policy.keeps import Keep

# Whether what a tool raised says that it interrupted itself.
Suspends: TypeAlias = Callable[[BaseException], bool]


def never(error: BaseException) -> bool:
    """Of a framework whose tools cannot."""
    return False


@dataclass(slots=True)
class Attempt:
    """How far a call has come, so that a permit gets its outcome whatever interrupts it, and wherever.

    ``admission`` is the permit that the ledger was asked to make durable, ``keeps`` what its step keeps by the bundle
    that permitted it, ``roots`` what their paths may read beside the result. ``call`` is its number in a run in which
    values are followed, else None; ``given`` its arguments where its workflow asks what a text carries, else None.
    ``watching``: what remembers where its values stand, while its run is observed. ``suspends``: whether what the tool
    raised says that it goes on when the same call is made again; ``made``: how that call is known, None where it is
    like no other; ``keeps_answer``: what it gives out is kept for it.
    """

    guard: Engine
    context: RunContext | None
    streamed: bool
    admission: Admission | None = None
    keeps: tuple[Keep, ...] = ()
    roots: Mapping[str, Any] = field(default_factory=dict)
    tool: str = ""
    places: Mapping[str, Path] = field(default_factory=dict)
    room: int = 0
    call: int | None = None
    given: Mapping[str, Json] | None = None
    watching: SeenIn | None = None
    started: bool = False
    returned: bool = False
    suspends: Suspends = never
    made: MadeCall | None = None
    keeps_answer: bool = False

    def broke(self, error: BaseException) -> None:
        """Write how the call ended. An exception is a failure; a cancellation leaves what happened unknown."""
        name = storable(type(error).__name__)
        if self.returned:
            self.close(Outcome.SUCCEEDED, name, brought=None if self.call is None else self._lost(self.call))
        elif self.made is not None and (self.suspends(error) if self.started else self.made.continues):
            self.suspend()
        elif self.started:
            outcome = Outcome.FAILED if isinstance(error, Exception) else Outcome.UNKNOWN
            self.close(outcome, name, brought=self._brought_by(error))
        else:
            # The ledger does things in the order they were asked: if it still admits the call, this comes after; if
            # it does not, this comes to nothing.
            self.close(Outcome.FAILED, f"{name} before the tool started", brought=self._not_run())

    @property
    def tree(self) -> str:
        """The first run of its tree."""
        return "" if self.context is None else self.context.tree

    def suspend(self) -> None:
        """Write that the tool interrupted itself. It goes on under this admission when the same call is made again."""
        if self.admission is not None:
            data = suspension_record(self.admission.record, self.guard.last_known_time)
            written = self.guard.ledger.suspend(Suspension(self.admission.decision_id, data))
            self.guard.note_close(written, data, admitted=self.started, tree=self.tree)
            self.admission = None

    def answer(self, result: object) -> str | None:
        """What the result is kept as, for whoever makes the same call again."""
        return as_kept(result) if self.keeps_answer and self.made is not None and not self.streamed else None

    def saw(self, answer: Admitted) -> None:
        """Remember the run for the next call in it."""
        if self.context is not None:
            self.context.remember(answer)

    def follow(self, policy: Policy, request: Request, answer: Admitted) -> None:
        """Remember what its step's paths may read, and which call of its run this is, where values are followed."""
        workflow = policy.workflows.get(request.workflow)
        follows = workflow is not None and workflow.follows
        run = answer.run if self.keeps or follows else None  # most calls need not look at it
        if self.keeps and run is not None:
            known = {} if run.unsettled else {"kept": run.kept}
            self.roots = {"args": request.arguments, "inputs": run.inputs, **known}
        if self.context is not None and self.admission is not None and self.admission.record["enforced"] is False:
            self.watching, self.tool = self.context.seen_in, request.tool
        if workflow is not None and follows and run is not None:
            self.tool, self.call = request.tool, sum(run.counts.values())
            self.given = dict(request.arguments) if workflow.tells else None
            self.places, self.room = workflow.places, run.seen.room

    def brought(self, result: Any, kept: Mapping[str, Json], *, failed: bool = False) -> Brought | None:
        """What the result brings into the run."""
        if self.call is None:
            return None
        if self.streamed:
            return self._lost(self.call)
        paths = self.guard.outsiders_paths(self.tool)
        asked = Asked(self.places, self.keeps if kept else (), self.roots) if self.places else None
        one = brought(self.tool, paths, self.call, result, kept, asked=asked, room=self.room)
        if self.given is None:
            return one
        return replace(one, telling=telling(self.tool, self.call, dict(self.given), result, failed=failed))

    def _brought_by(self, error: BaseException) -> Brought | None:
        """What came of a call that broke: parts of a stream, or an error with outsiders' words in it."""
        if self.call is None:
            return None
        if self.streamed:
            return self._lost(self.call)
        one = brought_by_error(self.tool, self.guard.outsiders_paths(self.tool), self.call, error)
        if self.given is None:
            return one
        words = _words_of(error)
        if words is None:
            return self._lost(self.call)
        said = telling(self.tool, self.call, dict(self.given), words, failed=True)
        return replace(one or Brought(self.tool, self.call, {}), telling=said)

    def _lost(self, call: int) -> Brought:
        one = lost(self.tool, call)
        return one if self.given is None else replace(one, telling=unread(self.tool, call, dict(self.given)))

    def _not_run(self) -> Brought | None:
        if self.call is None or self.given is None:
            return None
        return Brought(self.tool, self.call, {}, telling=not_run(self.tool, self.call, dict(self.given)))

    def close(
        self,
        outcome: Outcome,
        error: str | None,
        kept: Kept = NOTHING_KEPT,
        brought: Brought | None = None,
        answer: str | None = None,
    ) -> None:
        """Write the outcome, once."""
        if self.admission is not None:
            dropped = _NOTHING_DROPPED
            if self.keeps:
                dropped = frozenset(keep.name for keep in self.keeps if keep.form == "set") - kept.values.keys()
            closed = _close(
                self.guard,
                self.admission,
                outcome,
                error=error,
                kept=kept,
                dropped=dropped,
                brought=brought,
                admitted=self.started,
                answer=answer,
                tree=self.tree,
            )
            if self.context is not None:
                self.context.expect(closed)
            self.admission = None


_NOTHING_DROPPED = frozenset[str]()


def _words_of(error: BaseException) -> list[str] | None:
    """What an error says; None where asking it breaks."""
    try:
        return [str(error), repr(error)]
    except Exception:
        return None


def perform(attempt: Attempt, call: Call) -> Generator[Ask, Any, Any]:
    """Run the tool once."""
    attempt.started = True
    result = yield RunTool(call.ready)
    failed = says_failed(result, call.request.call_id)
    if failed is not None:
        seen = attempt.brought(result, {}, failed=True)
        said = f"the tool returned a failure ({failed})"
        attempt.close(Outcome.FAILED, said, brought=seen, answer=attempt.answer(result))
        return result
    attempt.returned = True
    if not attempt.keeps and attempt.call is None and attempt.watching is None:
        attempt.close(Outcome.SUCCEEDED, None, answer=attempt.answer(result))
        return result

    def look() -> tuple[Kept, Brought | None]:
        kept = keep_all(attempt.keeps, result, attempt.roots)
        if attempt.watching is not None:
            outsiders = attempt.guard.outsiders_paths(attempt.tool)
            attempt.watching.remember(
                attempt.tool, result, call.request.arguments, outsiders, whole=not attempt.streamed
            )
        return kept, attempt.brought(result, kept.all_values)

    kept, seen = (yield Look(look)) if _is_large(result) else look()
    attempt.close(Outcome.SUCCEEDED, kept.trouble, kept, seen, attempt.answer(result))
    return result


# Past these a result takes more than a millisecond to look at.
_LARGE_TEXT = 16 * 1024
_LARGE_PARTS = 200


def _is_large(result: Any) -> bool:
    """Whether to look at this takes long. Of what is no plain container nobody knows without looking."""
    pending, parts = [result], 0
    while pending:
        value = pending.pop()
        parts += 1
        if isinstance(value, str | bytes):
            parts += len(value) * _LARGE_PARTS // _LARGE_TEXT
        elif type(value) in (dict, list, tuple):
            if len(value) > _LARGE_PARTS:
                return True
            pending += value.values() if isinstance(value, dict) else value
        elif value is not None and not isinstance(value, bool | int | float):
            return True
        if parts > _LARGE_PARTS:
            return True
    return False


def keeps_of(bundle: Bundle, admission: Admission) -> tuple[Keep, ...]:
    """What the step that permitted this keeps of its result."""
    return bundle.keeps.get((admission.workflow or "", admission.step or ""), ())


def _close(
    guard: Engine,
    admission: Admission,
    outcome: Outcome,
    *,
    error: str | None,
    kept: Kept,
    dropped: frozenset[str],
    brought: Brought | None,
    admitted: bool,
    answer: str | None,
    tree: str,
) -> Promise[Any]:
    at = guard.last_known_time
    names = () if kept is NOTHING_KEPT else sorted(kept.all_values)
    data = outcome_record(admission.record, at, str(outcome), error, names)
    # By position, in the order of the class.
    closing = Closing(
        admission.decision_id,
        admission.run_id or "",
        admission.step or "",
        outcome,
        at,
        data,
        kept.values,
        kept.grown,
        dropped,
        brought,
        answer,
        admitted,
    )
    future = guard.ledger.close(closing)
    if future.done and isinstance(future.error, Unstorable):
        gone = None if brought is None else brought.gone()
        data = {**data, "outcome": str(Outcome.UNKNOWN), "error": "its outcome could not be stored", "kept": []}
        plain = replace(closing, outcome=Outcome.UNKNOWN, record=data, kept={}, grown=(), brought=gone, answer=None)
        future = guard.ledger.close(plain)
    guard.note_close(future, data, admitted=admitted, tree=tree)
    return future
