"""One guarded call: what runs, what is refused, and what stands in the ledger afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import pickle
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import SecretBytes, SecretStr

from agentguard.approvals import ApprovalStatus, ApprovalView
from agentguard.core.canonical import canonical_bytes
from agentguard.errors import (
    ApprovalPending,
    ApprovalRefused,
    ConfigurationError,
    LedgerError,
    PolicyError,
    ToolCallDenied,
)
from agentguard.guard import Guard
from agentguard.guard.identities import Verification
from agentguard.identity import AssertionRequest, LocalIssuer
from agentguard.ledger import memory_ledger

from .conftest import EXPORTER, FILES, Clock, Tools

GOOD = {"table": "orders", "rows": 10, "target": "https://files.corp.example/x.csv"}
TICKET = {"ticket": "EXP-7"}


def decisions(guard: Guard) -> list[dict[str, Any]]:
    return list(guard.records(kind="decision"))


def test_a_workflow_runs_step_by_step_and_every_call_is_on_record(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        assert export(**GOOD) == "done"

    assert [name for name, _ in tools.ran] == ["get_ticket", "export_orders"]
    assert [(r["effect"], r["step"], r["assurance"]) for r in decisions(guard)] == [
        ("permit", "look-up", "local"),
        ("permit", "export", "local"),
    ]
    assert [r["outcome"] for r in guard.records(kind="outcome")] == ["succeeded", "succeeded"]
    assert all(r["subject"] == EXPORTER for r in decisions(guard))


def test_outside_a_run_nothing_runs(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())

    with pytest.raises(ToolCallDenied) as refused:
        look("EXP-7")

    assert tools.ran == []
    (found,) = decisions(guard)
    assert found["decision_id"] == refused.value.decision_id
    assert found["reasons"] == ["no_run"]


def test_after_the_run_has_been_left_nothing_runs(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")

    with pytest.raises(ToolCallDenied):
        look("EXP-7")

    assert len(tools.ran) == 1


def test_a_refusal_tells_the_model_the_decision_id_and_nothing_else(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied) as refused:
        look("EXP-8")

    assert str(refused.value) == f"this tool call was not allowed (decision `{refused.value.decision_id}`)"
    assert "EXP" not in repr(refused.value)
    assert decisions(guard)[0]["reasons"] == ["condition_false"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"table": "payroll"}, "condition_false"),
        ({"rows": 0}, "arguments_invalid"),
        ({"rows": 50001}, "arguments_invalid"),
        ({"target": "https://evil.example/x"}, "destination_unclassified"),
        ({"target": "https://vault.corp.example/x"}, "destination_too_sensitive"),
        ({"target": "https://files.corp.example@evil.example/"}, "destination_ambiguous"),
    ],
)
def test_a_call_one_field_off_does_not_run(guard: Guard, tools: Tools, change: dict[str, Any], reason: str) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        with pytest.raises(ToolCallDenied):
            export(**(GOOD | change))

    assert [name for name, _ in tools.ran] == ["get_ticket"]
    assert reason in decisions(guard)[-1]["reasons"]


def test_a_step_before_its_turn_does_not_run(guard: Guard, tools: Tools) -> None:
    _, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied):
        export(**GOOD)

    assert tools.ran == []
    assert "step_out_of_order" in decisions(guard)[-1]["reasons"]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("orders", 10, GOOD["target"]), {}),
        (("orders",), {"rows": 10, "target": GOOD["target"]}),
        ((), GOOD),
        ((), GOOD | {"password": "hunter2"}),
    ],
)
def test_every_way_of_calling_looks_the_same_to_the_policy(
    guard: Guard, tools: Tools, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        export(*args, **kwargs)

    assert decisions(guard)[-1]["arguments"] == GOOD | {"password": "[redacted]"}


def test_declared_secrets_never_reach_a_record(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        export(**GOOD, password="s3cr3t-value")
        with pytest.raises(ToolCallDenied):
            export(**(GOOD | {"rows": 0}), password="s3cr3t-value")

    assert "s3cr3t-value" not in json.dumps(list(guard.records()))
    assert decisions(guard)[-1]["redacted"] == ["/password"]


def test_a_finding_names_the_false_part_and_quotes_nothing_that_the_record_must_not_hold(
    tmp_path: Path, tools: Tools
) -> None:
    """The reviewer sees why; secrets, inputs and kept values stay out of every record, and the model hears nothing."""
    more = (
        "      - args.table in kept.tables\n      - args.rows > 0 && args.password == inputs.ticket\n"
        "      - args.rows == 11 && args.table != inputs.ticket\n      - args.password.startsWith(args.table)\n"
    )
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace("      - args.table in kept.tables\n", more))
    with Guard.load(tmp_path, ledger=memory_ledger()) as guard:
        look, export = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs={"ticket": "EXP-4711"}):
            look("EXP-4711")
            with pytest.raises(ToolCallDenied) as refused:
                export(**(GOOD | {"table": "payroll"}), password="s3cr3t-value")
        (last,) = [record for record in decisions(guard) if record["decision_id"] == refused.value.decision_id]
        records = json.dumps([record for record in guard.records() if record["tool"] == "warehouse.export"])
    details = [found["detail"] for found in last["findings"]]
    place = r"\(condition {} of `export`, customer-export\.yaml:\d+\)"
    assert [
        re.fullmatch(pattern + " " + place.format(number), detail) is not None
        for number, (pattern, detail) in enumerate(
            zip(
                (
                    r'`args\.table in kept\.tables` is false: args\.table is "payroll", kept\.tables is not recorded',
                    r"`args\.password == inputs\.ticket` is false: args\.password is a secret, inputs\..*",
                    r"`args\.rows == 11` is false: args\.rows is 10",
                    r"`args\.password\.startsWith\(args\.table\)` is false: args\.password is a secret, args\.table .*",
                ),
                sorted(details, key=lambda detail: detail[detail.rindex("(condition") :]),
                strict=True,
            ),
            1,
        )
    ] == [True] * 4, details
    assert "s3cr3t" not in records and "EXP-4711" not in records and "items" not in records
    assert str(refused.value) == f"this tool call was not allowed (decision `{refused.value.decision_id}`)"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("{type: string, optional: true}", "the default of `note`, `null`, does not fit"),
        ("{type: integer, maximum: 5}", "the default of `note`, `null`, does not fit"),
        ('{type: [string, "null"]}', None),
        (None, "does not list the argument `note`"),
    ],
)
def test_a_default_that_a_step_refuses_is_told_when_the_tool_is_wrapped(
    wanted: str | None, said: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`optional: true` beside a default of `None` is refused at the first call that leaves the argument out."""

    def get_ticket(ticket_id: str, note: str | None = None) -> str:
        return ticket_id

    more = "" if wanted is None else f"\n      note: {wanted}"
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace("ticket_id: {type: string}", "ticket_id: {type: string}" + more))
    with Guard.load(tmp_path, ledger=memory_ledger()) as guard:
        guard.wrap(get_ticket)
    told = [message for message in caplog.messages if "step `look-up` of `customer-export`" in message]
    assert [said in message for message in told if said is not None] == ([] if said is None else [True])
    assert bool(told) is (said is not None)


def test_the_tool_gets_the_canonical_destination(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        export("orders", 10, "HTTPS://FILES.corp.example:443/x.csv")

    assert tools.ran[-1][1][2] == "https://files.corp.example/x.csv"


def test_a_step_and_a_budget_run_out(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        export(**GOOD)
        export(**GOOD)
        with pytest.raises(ToolCallDenied):
            export(**GOOD)

    assert decisions(guard)[-1]["reasons"] == ["step_used_up"]


def test_high_risk_leaves_reading_and_takes_the_rest(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET) as run:
        look("EXP-7")
        guard.operations.set_risk(run.id, "high", by="user:soc", why="odd hours")
        look("EXP-7")
        with pytest.raises(ToolCallDenied):
            export(**GOOD)

    assert "risk_too_high" in decisions(guard)[-1]["reasons"]


def test_a_stopped_run_is_stopped_at_the_next_call(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET) as run:
        guard.operations.stop_run(run.id, by="user:soc", why="stop")
        with pytest.raises(ToolCallDenied):
            look("EXP-7")

    assert tools.ran == []


def test_a_suspended_subject_is_refused_in_every_run(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        guard.operations.suspend_subject(EXPORTER, by="user:soc", why="compromised")
        with pytest.raises(ToolCallDenied):
            look("EXP-7")

    assert "subject_suspended" in decisions(guard)[-1]["reasons"]


def test_a_credential_that_is_not_active_is_not_used(guard: Guard) -> None:
    ran = []

    def read_vault() -> str:
        ran.append(1)
        return "x"

    read = guard.wrap(read_vault)
    with guard.run("customer-export", inputs=TICKET):
        with pytest.raises(ToolCallDenied):
            read()  # never registered
        guard.operations.set_credential("vault-token", "active", by="user:ops", why="issued")
        read()
        guard.operations.set_credential("vault-token", "revoked", by="user:ops", why="leaked")
        with pytest.raises(ToolCallDenied):
            read()

    assert ran == [1]
    assert decisions(guard)[-1]["reasons"] == ["credential_revoked"]


def test_the_tools_own_exception_passes_through_and_is_recorded_as_failed(guard: Guard) -> None:
    def get_ticket(ticket_id: str) -> None:
        raise ZeroDivisionError("theirs")

    look = guard.wrap(get_ticket)
    with guard.run("customer-export", inputs=TICKET), pytest.raises(ZeroDivisionError, match="theirs"):
        look("EXP-7")

    (outcome,) = guard.records(kind="outcome")
    assert (outcome["outcome"], outcome["error"]) == ("failed", "ZeroDivisionError")


def test_a_failed_step_does_not_open_the_next(guard: Guard, tools: Tools) -> None:
    def get_ticket(ticket_id: str) -> None:
        raise ZeroDivisionError

    look, export = guard.wrap([get_ticket, tools.functions()[1]])
    with guard.run("customer-export", inputs=TICKET):
        with pytest.raises(ZeroDivisionError):
            look("EXP-7")
        with pytest.raises(ToolCallDenied):
            export(**GOOD)

    assert tools.ran == []


class Hostile:
    """A result that answers no question."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_result_that_cannot_be_read_is_no_data_and_keeps_nothing(guard: Guard, tools: Tools) -> None:
    def get_ticket(ticket_id: str) -> Any:
        return Hostile()

    look, export = guard.wrap([get_ticket, tools.functions()[1]])
    with guard.run("customer-export", inputs=TICKET):
        with pytest.raises(ConfigurationError, match="no data"):
            look("EXP-7")
        with pytest.raises(ToolCallDenied):
            export(**GOOD)

    (outcome,) = guard.records(kind="outcome")
    assert (outcome["outcome"], outcome["error"]) == ("failed", "ConfigurationError")


def test_what_is_kept_of_a_step_is_of_its_last_call_that_succeeded(guard: Guard, tools: Tools) -> None:
    """Else a result without the value would leave the value of another call standing, beside what it brought itself."""
    answers = iter([{"tables": ["orders"]}, {}])

    def get_ticket(ticket_id: str) -> Any:
        return next(answers)

    look, export = guard.wrap([get_ticket, tools.functions()[1]])
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        export(**GOOD)
        look("EXP-7")
        with pytest.raises(ToolCallDenied):
            export(**GOOD)

    assert len(tools.ran) == 1


def test_async_tools_are_guarded_the_same(guard: Guard) -> None:
    async def get_ticket(ticket_id: str) -> dict[str, Any]:
        return {"tables": ["orders"]}

    look = guard.wrap(get_ticket)

    async def main() -> None:
        async with guard.run("customer-export", inputs=TICKET):
            await look("EXP-7")
            with pytest.raises(ToolCallDenied):
                await look("EXP-8")

    asyncio.run(main())
    assert [r["effect"] for r in decisions(guard)] == ["permit", "deny"]


def test_generators_are_decided_before_their_first_item(guard: Guard) -> None:
    ran = []

    def get_ticket(ticket_id: str) -> Any:
        ran.append(ticket_id)
        yield 1
        yield 2

    look = guard.wrap(get_ticket)
    with guard.run("customer-export", inputs=TICKET):
        assert list(look("EXP-7")) == [1, 2]
        with pytest.raises(ToolCallDenied):
            list(look("EXP-8"))

    assert ran == ["EXP-7"]
    assert [r["outcome"] for r in guard.records(kind="outcome")] == ["succeeded"]


def test_a_generator_left_early_has_an_unknown_outcome(guard: Guard) -> None:
    def get_ticket(ticket_id: str) -> Any:
        yield 1
        yield 2

    look = guard.wrap(get_ticket)
    with guard.run("customer-export", inputs=TICKET):
        stream = look("EXP-7")
        next(stream)
        stream.close()

    assert [r["outcome"] for r in guard.records(kind="outcome")] == ["unknown"]


def test_async_generators_are_guarded(guard: Guard) -> None:
    async def get_ticket(ticket_id: str) -> Any:
        yield 1

    look = guard.wrap(get_ticket)

    async def main() -> None:
        async with guard.run("customer-export", inputs=TICKET):
            assert [item async for item in look("EXP-7")] == [1]
            with pytest.raises(ToolCallDenied):
                [item async for item in look("EXP-8")]

    asyncio.run(main())


def test_a_cancelled_tool_leaves_an_unknown_outcome(guard: Guard) -> None:
    started = asyncio.Event()

    async def get_ticket(ticket_id: str) -> None:
        started.set()
        await asyncio.Event().wait()

    look = guard.wrap(get_ticket)

    async def main() -> None:
        async with guard.run("customer-export", inputs=TICKET):
            task = asyncio.create_task(look("EXP-7"))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert [r["outcome"] for r in guard.records(kind="outcome")] == ["unknown"]


def test_a_call_cancelled_at_any_moment_is_recorded_truly(guard: Guard) -> None:
    """Cancelled after every possible number of loop turns, what ran is what the ledger says ran."""
    ran = []

    async def get_ticket(ticket_id: str) -> None:
        ran.append(ticket_id)

    look = guard.wrap(get_ticket)

    async def main(turns: int) -> None:
        async with guard.run("customer-export", inputs=TICKET):
            task = asyncio.create_task(look("EXP-7"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    for turns in range(40):
        asyncio.run(main(turns))
    permits = [r for r in decisions(guard) if r["effect"] == "permit"]
    outcomes = list(guard.records(kind="outcome"))
    assert len(permits) == len(outcomes)
    assert sum(r["outcome"] == "succeeded" for r in outcomes) == len(ran)


def test_a_call_that_needs_people_waits_for_them_and_runs_once(guard: Guard, tools: Tools, clock: Clock) -> None:
    look, export = guard.wrap(tools.functions())
    big = GOOD | {"rows": 2000}

    with guard.run("customer-export", inputs=TICKET, requester="user:eli"):
        look("EXP-7")
        with pytest.raises(ApprovalPending) as pending:
            export(**big)
        asked = pending.value.approval_id
        with pytest.raises(LedgerError, match="somebody else must answer"):
            guard.operations.answer(asked, approver="user:eli", approve=True)
        guard.operations.answer(asked, approver="user:bob", approve=True)
        with pytest.raises(ApprovalPending):  # one of two
            export(**big)
        with pytest.raises(LedgerError, match="it asks group:data-stewards"):
            guard.operations.answer(asked, approver="user:mallory", approve=True)
        with pytest.raises(ApprovalPending):
            export(**big)
        row = guard.operations.approval(asked)
        assert row is not None
        assert "`args.rows > 1000`" in row.request.shown["because"][0]  # so that whoever is asked knows why
        shown = ApprovalView(row.request, row.answers, row.life, clock.at)
        assert (shown.agreed, shown.status) == (
            1,
            ApprovalStatus.PENDING,
        )  # what people see is what the decision counts

    assert [name for name, _ in tools.ran] == ["get_ticket"]


def two_stewards(guard: Guard, approval_id: str, approve: bool = True) -> None:
    for name in ("user:alice", "user:bob"):
        guard.operations.answer(approval_id, approver=name, approve=approve)
        if not approve:
            return


def test_an_approval_is_for_one_request_once(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())
    big = GOOD | {"rows": 2000}

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        with pytest.raises(ApprovalPending) as pending:
            export(**big)
        two_stewards(guard, pending.value.approval_id)
        with pytest.raises(ApprovalPending):
            export(**(big | {"rows": 2001}))
        assert export(**big) == "done"
        with pytest.raises(ApprovalPending) as again:
            export(**big)

    assert again.value.approval_id != pending.value.approval_id
    assert [call for call in tools.ran if call[0] == "export_orders"] == [
        ("export_orders", ("orders", 2000, GOOD["target"], "hunter2"))
    ]


def test_a_refused_approval_denies_that_request(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        with pytest.raises(ApprovalPending) as pending:
            export(**(GOOD | {"rows": 2000}))
        two_stewards(guard, pending.value.approval_id, approve=False)
        with pytest.raises(ApprovalRefused):
            export(**(GOOD | {"rows": 2000}))

    assert "approval_refused" in decisions(guard)[-1]["reasons"]


def test_risk_that_rises_after_the_approval_stops_the_call(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET) as run:
        look("EXP-7")
        with pytest.raises(ApprovalPending) as pending:
            export(**(GOOD | {"rows": 2000}))
        two_stewards(guard, pending.value.approval_id)
        guard.operations.set_risk(run.id, "high", by="user:soc", why="alarm")
        with pytest.raises(ToolCallDenied):
            export(**(GOOD | {"rows": 2000}))

    assert [name for name, _ in tools.ran] == ["get_ticket"]


def test_an_expired_approval_permits_nothing(guard: Guard, tools: Tools, clock: Clock) -> None:
    look, export = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        with pytest.raises(ApprovalPending) as pending:
            export(**(GOOD | {"rows": 2000}))
        two_stewards(guard, pending.value.approval_id)
        clock.pass_by(1800)
        with pytest.raises(ApprovalPending) as again:
            export(**(GOOD | {"rows": 2000}))

    assert again.value.approval_id != pending.value.approval_id


def test_a_clock_that_falls_back_is_not_believed(guard: Guard, tools: Tools, clock: Clock) -> None:
    look, _ = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET):
        clock.pass_by(-61)
        with pytest.raises(ToolCallDenied):
            look("EXP-7")

    assert "clock_untrusted" in decisions(guard)[-1]["reasons"]


def test_a_bad_bundle_never_replaces_a_good_one(guard: Guard, tools: Tools, bundle: Path) -> None:
    before = guard.bundle.revision
    (bundle / "tools.yaml").write_text("kind: Nonsense\n")

    with pytest.raises(PolicyError):
        guard.reload()

    assert guard.bundle.revision == before
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")


def test_a_run_does_not_outlive_a_change_of_its_workflow(guard: Guard, tools: Tools, bundle: Path) -> None:
    look, _ = guard.wrap(tools.functions())
    file = bundle / "customer-export.yaml"

    with guard.run("customer-export", inputs=TICKET):
        file.write_text(file.read_text().replace("at_most: 5", "at_most: 6"))
        guard.reload()
        with pytest.raises(ToolCallDenied):
            look("EXP-7")

    assert "workflow_changed" in decisions(guard)[-1]["reasons"]


class Repeating:
    """A source of the local issuer's tokens that hands the one of the first call out again."""

    def __init__(self, issuer: LocalIssuer) -> None:
        self.issuer, self.tokens = issuer, list[str]()

    def assertion(self, request: AssertionRequest) -> str:
        if len(self.tokens) < 2:
            moment = datetime.now(UTC)
            self.tokens.append(self.issuer.mint(EXPORTER, request.audience, request.request_digest, moment))
        return self.tokens[-1]


def test_a_replayed_assertion_is_refused(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """The same token twice is a replay, even from the machine's own issuer, judged in another process."""
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home") as guard:
        (trust,) = guard.bundle.issuers
        issuer = LocalIssuer(tmp_path / "home", issuer=trust.issuer)
        verification = Verification(trust, Repeating(issuer), issuer.verifier(trust))
        object.__setattr__(guard._in_force, "verification", verification)
        look, _ = guard.wrap(tools.functions())
        run = guard.run("customer-export", inputs=TICKET)
        with run:
            look("EXP-7")
            with pytest.raises(ToolCallDenied):
                look("EXP-7")
        reasons = decisions(guard)[-1]["reasons"]
        assert "assertion_replayed" in reasons
        assert len(tools.ran) == 1


def test_what_the_process_proved_to_itself_is_said_so_and_remembered_nowhere(guard: Guard, tools: Tools) -> None:
    """Nobody can bring it again, so there is nothing to remember: the decision's id makes the call happen once."""
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        look("EXP-7")

    said = [found["assertion_id"] for found in decisions(guard)]
    assert len(set(said)) == 2
    assert all(text.startswith("process:") for text in said)
    assert not [change for found in decisions(guard) for change in found["changes"] if change[0] == "use"]


@pytest.mark.parametrize(
    "inputs", [{}, {"ticket": "nope"}, {"ticket": "EXP-7\n"}, {"ticket": 7}, {"ticket": "EXP-7", "x": 1}]
)
def test_inputs_that_do_not_fit_start_no_run(guard: Guard, inputs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="do not fit"), guard.run("customer-export", inputs=inputs):
        pass


def test_inputs_that_are_no_mapping_are_named(guard: Guard) -> None:
    """What Python says of `dict([...])` names nothing that its reader wrote."""
    with (
        pytest.raises(ConfigurationError, match="inputs=list: expected a mapping"),
        guard.run("customer-export", inputs=["EXP-7"]),  # type: ignore[arg-type]
    ):
        pass


@pytest.mark.parametrize(
    ("name", "word", "right"),
    [("kind", "decisoin", "decision"), ("effect", "Deny", "deny"), ("reason", "condition_fales", "condition_false")],
)
def test_a_word_that_no_record_holds_is_not_answered_with_no_records(
    guard: Guard, name: str, word: str, right: str
) -> None:
    """Nothing found would be read as: nothing was refused."""
    with pytest.raises(ConfigurationError, match=f"no record has the {name} `{word}`; did you mean `{right}`?"):
        guard.records(**{name: word})


def test_what_cannot_be_guarded_is_refused_when_wrapping(guard: Guard, tools: Tools) -> None:
    def get_ticket(*args: Any) -> None: ...

    def unknown(x: int) -> None: ...

    class Callable_:
        def __call__(self) -> None: ...

        def get_ticket(self, ticket_id: str) -> None: ...

    for bad in (get_ticket, unknown, Callable_(), Callable_.get_ticket, print, 7, {"get_ticket": get_ticket}):
        with pytest.raises(ConfigurationError):
            guard.wrap(bad)
    (good, _) = guard.wrap(tools.functions())
    with pytest.raises(ConfigurationError, match="already"):
        guard.wrap(good)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (SecretStr, "`secrets` in Tools"),
        (list[SecretBytes], "`secrets` in Tools"),
        (dict[str, SecretStr | None], "`secrets` in Tools"),
        (Callable[[int], int], "types that pydantic reads"),
        (Iterator[int], "types that pydantic reads"),
        (threading.Lock, "types that pydantic reads"),
        ("Nowhere", "cannot be read"),
    ],
    ids=str,
)
def test_a_type_that_cannot_be_read_back_is_refused_when_wrapping(guard: Guard, kind: Any, remedy: str) -> None:
    """A secret would reach the tool as asterisks, and a function not at all; the developer learns it at start-up."""

    def get_ticket(ticket_id: Any) -> None: ...

    get_ticket.__annotations__["ticket_id"] = kind
    with pytest.raises(ConfigurationError, match=remedy):
        guard.wrap(get_ticket)


def test_a_guarded_function_offers_no_door_to_the_original(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())

    assert not hasattr(look, "__wrapped__")
    assert look.__name__ == "get_ticket"
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(look)


def test_each_wrapper_proves_that_it_refuses(guard: Guard, tools: Tools) -> None:
    guard.wrap(tools.functions())

    assert [r["tool"] for r in guard.records(kind="canary")] == ["tickets.get", "warehouse.export"]
    assert tools.ran == []


def test_two_guards_do_not_share_a_run(guard: Guard, bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """Not even over one ledger: a run entered with one guard is no permission for tools wrapped by another."""
    other = Guard.load(bundle, ledger=guard.ledger, home=tmp_path / "other")
    look, _ = guard.wrap(tools.functions())

    with other.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied):
        look("EXP-7")

    assert "no_run" in decisions(guard)[-1]["reasons"]


def test_arguments_that_change_later_do_not_change_what_runs(guard: Guard) -> None:
    """The caller's object is read once; the tool gets its own."""
    seen = []

    def get_ticket(ticket_id: list[str]) -> None:
        seen.append(ticket_id)

    look = guard.wrap(get_ticket)
    mine = ["EXP-7"]
    with guard.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied):
        look(mine)

    assert seen == []


def test_the_log_shows_each_record_as_one_json_line(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """Questions to people too, once each: whoever watches the log must see who is asked."""
    with (
        (tmp_path / "log.jsonl").open("w") as stream,
        Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", log=stream) as guard,
    ):
        look, export = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET):
            look("EXP-7")
            for _ in range(2):  # one question, however often the call is repeated
                with pytest.raises(ApprovalPending):
                    export(**GOOD | {"rows": 2000})
        written = list(guard.records())
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines[:4]] == ["canary", "canary", "run", "decision"]
    copies = [{key: value for key, value in line.items() if key != "event"} for line in lines]
    rows = [{key: value for key, value in row.items() if key != "seq"} for row in written]
    assert sorted(copies, key=str) == sorted(rows, key=str)


def test_a_process_without_standard_error_logs_nothing_to_standard_output(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records hold arguments, and a program's output may be a protocol."""
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(ConfigurationError, match="no standard error"):
        Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", log=True)


def test_only_a_bearer_token_that_trust_lets_be_used_again_is_accepted_twice(tmp_path: Path, clock: Clock) -> None:
    """`single_use: false` is the security owner's choice; the record says `bearer`."""
    key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
    directory = tmp_path / "policy"
    directory.mkdir()
    (directory / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    claims = {"iss": "https://idp.example", "sub": EXPORTER, "aud": "guard", "jti": "one"}
    times = {"iat": int(clock.at.timestamp()), "exp": int(clock.at.timestamp()) + 60}
    token = jwt.encode({"alg": "ES256", "kid": "k1", "typ": "JWT"}, claims | times, key)
    for single_use, runs in (("true", 1), ("false", 2)):
        trust = f"""
apiVersion: agentguard/v1
kind: Trust
groups: {{data-stewards: ["user:alice", "user:bob"]}}
issuers:
  - name: idp
    profile: oidc
    issuer: https://idp.example
    audience: guard
    trust_domain: corp.example
    max_age: 60s
    max_lifetime: 60s
    keys_file: keys.json
    single_use: {single_use}
"""
        for name, text in (FILES | {"trust.yaml": trust}).items():
            (directory / name).write_text(text)
        tools = Tools()
        with Guard.load(
            directory, ledger=memory_ledger(), home=tmp_path, identity=lambda _: token, clock=clock
        ) as made:
            look, _ = made.wrap(tools.functions())
            with made.run("customer-export", inputs=TICKET):
                for _ in range(2):
                    with contextlib.suppress(ToolCallDenied):
                        look("EXP-7")
            assert len(tools.ran) == runs, decisions(made)[-1]


@pytest.mark.parametrize(
    "option",
    [
        {"wait": 300}, {"wait": timedelta(seconds=-1)}, {"clock": 5}, {"clock": None}, {"elapsed": 5},
        {"log": "audit.jsonl"}, {"log": 5}, {"ledger": 5}, {"ledger": object()}, {"ledger": ":memory:"},
        {"ledger": "file:x?mode=memory"}, {"ledger": ""}, {"ledger": "a\0b"},
        {"home": 5}, {"home": ""}, {"home": "a\0b"},
        {"directory": None}, {"directory": ""}, {"directory": 5}, {"identity": "eyJ.token"}, {"issuer": 5},
        {"subject": 5},
    ],
    ids=str,
)  # fmt: skip
def test_an_option_of_a_wrong_kind_is_refused_at_once(bundle: Path, tmp_path: Path, option: dict[str, Any]) -> None:
    """`wait=300` would fail in the middle of the first call that needs a person; an empty directory, as of a variable
    that is not set, would be whatever directory the process is in; `:memory:` would be a file of that name."""
    given = {"directory": bundle, "ledger": memory_ledger(), "home": tmp_path / "home"} | option
    with pytest.raises(ConfigurationError, match=f"{next(iter(option))}=.*expected") as refused:
        Guard.load(**given)
    assert "eyJ" not in str(refused.value)


def test_an_async_stream_left_early_has_cleaned_up_before_its_outcome_is_written(guard: Guard) -> None:
    """Otherwise the tool would go on after the record says how it ended."""
    seen: list[list[str | None]] = []

    async def get_ticket(ticket_id: str) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append([record["outcome"] for record in guard.records(kind="outcome")])

    async def main() -> None:
        async with guard.run("customer-export", inputs=TICKET):
            stream = look("EXP-7")
            assert await anext(stream) == 1
            await stream.aclose()

    look = guard.wrap(get_ticket)
    asyncio.run(main())

    assert seen == [[]]
    assert [record["outcome"] for record in guard.records(kind="outcome")] == ["unknown"]


def test_the_annotations_of_a_guarded_function_are_read_where_they_were_written(guard: Guard) -> None:
    """Written as text, a framework would look their names up in the guard's module, and fail or find something else."""

    def get_ticket(ticket_id: Annotated[str, "as written"], until: timedelta | None = None) -> Callable: ...

    guarded = guard.wrap(get_ticket)

    hints = get_type_hints(guarded, include_extras=True)
    assert hints == get_type_hints(get_ticket, include_extras=True)
    assert hints["ticket_id"] == Annotated[str, "as written"]
    assert inspect.signature(guarded) == inspect.signature(get_ticket)


def test_the_bytes_of_every_record_are_canonical(guard: Guard, tools: Tools) -> None:
    """Whatever way they were put together: with secrets, credentials, other letters, numbers, refusals and failures."""
    bodies: list[bytes] = []
    guard.ledger.listen(bodies.append)
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
        look("EXP-7")
        calls: list[dict[str, Any]] = [
            {"target": "https://files.corp.example/é.csv"},
            {"target": "https://user:pw@files.corp.example/x?token=abc"},
            {"table": "Überweisung \U0001f600"},
            {"rows": 10.0},
            {"rows": 2.5},
            {"password": "hunter2 é"},
            {"target": "https://elsewhere.example/x"},
        ]
        for other in calls:
            with contextlib.suppress(Exception):
                export(**{"table": "orders", "rows": 10, "target": "https://files.corp.example/x.csv", **other})

    assert len(bodies) > len(calls)
    for body in bodies:
        assert canonical_bytes(json.loads(body)) == body
