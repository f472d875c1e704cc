"""Whatever people, agents, owners and the clock do, in any order: no call runs that people did not agree to.

A model keeps who answered which question and when, under which part of the bundle; the guard's tool looks at it when it
runs. The model never asks the guard whether a call may run, and the guard never asks the model.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentguard.core.answers import ApprovalStatus
from agentguard.errors import ApprovalPending, LedgerError, ToolCallRefused
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger

from .conftest import FILES, Clock
from .test_attacks import BIG, TICKET

WITHIN, USE_WITHIN = timedelta(minutes=30), timedelta(minutes=10)
PEOPLE = ("user:alice", "user:bob", "user:Bob", "user:cyd", "user:dave")
GROUPS = ('["user:alice", "user:bob"]', '["user:alice", "user:bob", "user:cyd"]')
OVER = frozenset(ApprovalStatus) - {ApprovalStatus.PENDING, ApprovalStatus.APPROVED, ApprovalStatus.CLAIMED}


@dataclass
class Asked:
    """What was really said of one question."""

    at: datetime
    group: int
    run: str
    yes: dict[str, datetime] = field(default_factory=dict)
    no: set[str] = field(default_factory=set)
    over: bool = False
    last: ApprovalStatus = ApprovalStatus.PENDING


class Requests(RuleBasedStateMachine):
    """One guard, one call that is asked about, and everybody around it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.asked, self.ran = Clock(), dict[str, Asked](), 0
        self.unapproved: list[str] = []
        self.group, self.unrelated = 0, 0
        self.home = tempfile.TemporaryDirectory()

    @initialize()
    def begin(self) -> None:
        self.bundle = Path(self.home.name) / "policy"
        self.bundle.mkdir()
        for name, text in FILES.items():
            text = text.replace("within: 30m", "within: 30m\n      use_within: 10m")
            text = text.replace("at_most: 2", "at_most: 200").replace("at_most: 10000,", "at_most: 1000000,")
            (self.bundle / name).write_text(text)
        self.guard = Guard.load(self.bundle, ledger=memory_ledger(), home=Path(self.home.name), clock=self.clock)

        def get_ticket(ticket_id: str) -> dict[str, Any]:
            return {"tables": ["orders"]}

        def export_orders(table: str, rows: int, target: str, password: str = "x") -> str:
            self.ran += 1
            if not any(self._agreed(each) for each in self.asked.values() if each.run == self.context.id):
                self.unapproved.append(f"call {self.ran} at {self.clock.at}")
            return "done"

        self.look, self.export = self.guard.wrap([get_ticket, export_orders])
        self._enter()

    def _enter(self) -> None:
        self.context = self.guard.run("customer-export", inputs=TICKET, requester="dave")
        self.context.__enter__()
        self.look("EXP-7")

    def _agreed(self, asked: Asked) -> bool:
        """Both people of the group said yes in time, nobody said no, nothing it rests on is otherwise since."""
        times = [asked.yes.get(who) for who in ("user:alice", "user:bob")]
        if asked.group == 1 and "user:cyd" in asked.yes:
            times.append(asked.yes["user:cyd"])
        found = sorted(at for at in times if at is not None)
        return (
            len(found) >= 2 and self.clock.at < found[1] + USE_WITHIN
            and not asked.no and not asked.over and asked.group == self.group
        )  # fmt: skip

    @rule()
    def call(self) -> None:
        before = self.ran
        try:
            self.export(**BIG)
        except ApprovalPending as pending:
            known = self.asked.setdefault(pending.approval_id, Asked(self.clock.at, self.group, self.context.id))
            assert known.group == self.group, "asked on other grounds under the same name"
            for other, each in self.asked.items():
                each.over = each.over or (other != pending.approval_id and each.run == self.context.id)
        except ToolCallRefused:
            pass
        if self.ran > before:
            for each in self.asked.values():
                each.over = each.over or each.run == self.context.id

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 9), who=st.sampled_from(PEOPLE), approve=st.sampled_from([True, True, True, False]))
    def answer(self, which: int, who: str, approve: bool) -> None:
        approval = [*self.asked][which % len(self.asked)]
        with suppress(LedgerError):
            self.guard.operations.answer(approval, approver=who, approve=approve)
            if approve:
                self.asked[approval].yes.setdefault(who, self.clock.at)
            else:
                self.asked[approval].no.add(who)

    @rule()
    def ask_and_agree(self) -> None:
        self.call()
        for who in ("user:alice", "user:bob") if self.asked else ():
            self.answer(len(self.asked) - 1, who, approve=True)

    @rule(change=st.sampled_from(["related", "unrelated", "late", "no", "back", "twice"]))
    def call_after_people_agreed_and_something_changed(self, change: str) -> None:
        """What the steps apart come to too seldom."""
        self.ask_and_agree()
        if change in ("related", "unrelated"):
            self.reload(change == "related")
        elif change == "late":
            self.wait(11)
        elif change == "no" and self.asked:
            self.answer(len(self.asked) - 1, "user:cyd", approve=False)
        elif change == "back" and self.asked:
            self.cancel(len(self.asked) - 1, "user:dave")
        elif change == "twice":
            self.call()
        self.call()

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 9), by=st.sampled_from(["user:dave", "user:alice"]))
    def cancel(self, which: int, by: str) -> None:
        approval = [*self.asked][which % len(self.asked)]
        with suppress(LedgerError):
            self.guard.operations.cancel(approval, by=by, why="")
            assert by == "user:dave"
            self.asked[approval].over = True

    @rule(minutes=st.sampled_from([1, 9, 10, 11, 29, 30]))
    def wait(self, minutes: int) -> None:
        self.clock.pass_by(60 * minutes)

    @rule(related=st.booleans())
    def reload(self, related: bool) -> None:
        if related:
            self.group = 1 - self.group
            (self.bundle / "trust.yaml").write_text(FILES["trust.yaml"].replace(GROUPS[0], GROUPS[self.group]))
        else:
            self.unrelated += 1
            text = FILES["destinations.yaml"] + f'  - {{kind: url, pattern: "https://x{self.unrelated}.example/*", '
            (self.bundle / "destinations.yaml").write_text(text + "sensitivity: public}\n")
        self.guard.reload()

    @rule(stop=st.booleans())
    def over(self, stop: bool) -> None:
        """The run is stopped or ends, and another begins."""
        if stop:
            self.guard.operations.stop_run(self.context.id, by="user:sam", why="enough")
        self.context.end()
        self.context.__exit__(None, None, None)
        for each in self.asked.values():
            each.over = each.over or each.run == self.context.id
        self._enter()

    @invariant()
    def nothing_runs_that_nobody_agreed_to(self) -> None:
        assert not self.unapproved

    @invariant()
    def what_is_over_stays_over(self) -> None:
        for approval, each in self.asked.items():
            row = self.guard.operations.approval(approval)
            assert row is not None
            now = row.status(self.clock.at)
            # A no to the older question is a no to the call, too.
            refused = (each.last, now) == (ApprovalStatus.SUPERSEDED, ApprovalStatus.DENIED)
            assert each.last not in OVER or now is each.last or refused, (each.last, now)
            each.last = now

    def teardown(self) -> None:
        if hasattr(self, "guard"):
            self.context.end()
            self.context.__exit__(None, None, None)
            self.guard.shut()
        self.home.cleanup()


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
