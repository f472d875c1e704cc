"""What one call needs of a guard: the bundle in force and what is made from it, the ledger, the clock, identities."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TextIO

from agentguard.core.facts import Observed, RunState
from agentguard.core.policy import Workflow
from agentguard.core.values import Identity, Unavailable
from agentguard.destinations import Catalog
from agentguard.errors import ConfigurationError, LedgerError
from agentguard.guard.asks import Identify
from agentguard.guard.clock import LONG_AGO, WatchedClock, utc_now
from agentguard.guard.in_force import Holder, InForce, UsableBundle
from agentguard.guard.proceed import Door
from agentguard.guard.records import RecordData
from agentguard.guard.result_paths import ResultPath
from agentguard.ledger import Admission, LogLedger, Promise, RecordFilter
from agentguard.policy import Bundle
from agentguard.policy.observing import is_in_force


class Hears(Protocol):
    """Whoever hears each decision, and judges the call beside it (``candidate.beside``)."""

    def hear(
        self, live: Bundle, gate: Any, judged: Any, admission: Admission, after: RunState | None, fresh: bool
    ) -> None:
        """A call was decided. Never waits, and never raises."""


class Engine:
    """What calls, runs and gates are judged with. ``Guard`` is the face above it."""

    def __init__(
        self,
        reloader: Holder,
        ledger: LogLedger,
        *,
        wait: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] | None = None,
        log: bool | TextIO | None = None,
    ) -> None:
        self._held = reloader
        self.ledger = ledger
        self.wait = wait
        self.clock = clock
        self._watched = WatchedClock(clock, elapsed, recorded=_newest(ledger))
        show = _logger(log)
        self.logs = show is not None
        if show is not None:
            ledger.listen(show)
        self._untold: dict[str, set[str]] = {}
        # By the name under which a tool was wrapped: how it is called by whoever goes on with a call that waited.
        self.doors: dict[str, Door] = {}
        self.beside: Hears | None = None

    @property
    def _in_force(self) -> InForce:
        return self._held.current

    @property
    def bundle(self) -> Bundle:
        """The bundle in force."""
        return self._held.current.usable.bundle

    @property
    def catalog(self) -> Catalog:
        """The catalog of the bundle in force."""
        return self._in_force.usable.catalog

    @property
    def usable(self) -> UsableBundle:
        """The bundle in force, with what is made from it."""
        return self._held.current.usable

    def now(self) -> datetime | Unavailable:
        """The decision's moment, or why the clock cannot be believed."""
        return self._watched.now()

    @property
    def last_known_time(self) -> datetime:
        """Now, or the latest moment that could be believed; for records of calls that are refused anyway."""
        moment = self._watched.now()
        return moment if isinstance(moment, datetime) else self._watched.latest

    def identity_at_once(
        self, digest: str, subject: str | None, now: datetime | Unavailable
    ) -> Identity | Unavailable | None:
        """Who calls at this moment, where nobody must be asked for it; else None."""
        return self._held.current.verification.at_once(digest, subject, now)

    def identify(self, ask: Identify) -> Identity | Unavailable:
        """Who calls, by a fresh assertion; judged by the issuer that was configured for its source."""
        return self._in_force.verification.identify(ask.digest, ask.subject, self.now)

    async def identify_async(self, ask: Identify) -> Identity | Unavailable:
        """As ``identify``, from a task."""
        return await self._in_force.verification.identify_async(ask.digest, ask.subject, self.now)

    def subject_for(self, workflow: Workflow) -> str | None:
        """Whom the local issuer speaks for in a run of this workflow; None where assertions come from outside."""
        return self._in_force.verification.subject_for(workflow)

    def observed_today(self, workflow: str) -> Observed | None:
        """How a run of this workflow begins observed; None: it is enforced, also where the clock cannot be believed."""
        known, moment = self.bundle.observed.get(workflow), self.now()
        if known is None or isinstance(moment, Unavailable) or not is_in_force(known, moment.date()):
            return None
        return Observed(known.until, known.steps)

    def secret_paths(self, tool: str) -> tuple[tuple[str | None, ...], ...]:
        """Where this tool's declared secrets stand in its arguments."""
        return self._in_force.usable.secrets.get(tool, ())

    def hidden_paths(self, tool: str) -> tuple[tuple[str | None, ...], ...]:
        """What of this tool's arguments stands in no record: its secrets, and places that are partly secret."""
        return self._in_force.usable.hidden.get(tool, ())

    def personal_paths(self, tool: str) -> tuple[tuple[str | None, ...], ...]:
        """What of this tool's arguments is personal: it lies beside records, and can be erased."""
        return self._in_force.usable.personal.get(tool, ())

    def personal_kept(self, workflow: str) -> frozenset[str]:
        """The names of what this workflow keeps of personal fields of results."""
        return self._in_force.usable.personal_kept.get(workflow, frozenset())

    def outsiders_paths(self, tool: str) -> tuple[ResultPath, ...]:
        """Where outsiders can write in this tool's results."""
        return self._in_force.usable.outsiders.get(tool, ())

    def note_close(self, closed: Promise[Any], data: RecordData, *, admitted: bool, tree: str) -> None:
        """Where a ledger gives an outcome up, the run has lost track of that call, for as long as this guard lives; and
        so has its whole ``tree``.

        The outcome of a call that was perhaps never ``admitted`` may come to nothing.
        """

        if closed.done and closed.error is None:
            return

        def done(written: Promise[Any]) -> None:
            if admitted and written.exception() is not None:
                self._untold.setdefault(tree, set()).add(data["decision_id"])
                logging.getLogger("agentguard").error("an outcome could not be recorded: %s", written.exception())

        closed.add_done_callback(done)

    def with_untold(self, run: RunState | Unavailable) -> RunState | Unavailable:
        """The run, with the calls whose outcome its ledger never took."""
        if not self._untold or isinstance(run, Unavailable):
            return run
        untold = self._untold.get(run.id if run.family is None else run.family.root)
        return replace(run, unsettled=run.unsettled | untold) if untold else run


def _newest(ledger: LogLedger) -> datetime:
    """When the last record was written, by its own word. Raises LedgerError."""
    for newest in ledger.records(RecordFilter(), limit=1, newest=True):
        try:
            return max(LONG_AGO, datetime.fromisoformat(newest["time"]))
        except (KeyError, TypeError, ValueError):  # no time, or one without a zone
            raise LedgerError("the time of the ledger's newest record cannot be read; was it changed?") from None
    return LONG_AGO


def _logger(log: bool | TextIO | None) -> Callable[[bytes], None] | None:
    if log is None or log is False:
        return None
    stream = sys.stderr if log is True else log
    if stream is None:
        raise ConfigurationError("log=True: this process has no standard error; pass an open text file")

    def show(body: bytes) -> None:
        """A record is a line of its own, byte for byte as it stands in the ledger."""
        stream.write(body.decode() + "\n")
        stream.flush()

    return show
