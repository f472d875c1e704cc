"""Moving sideways: where a run has been, what it has read, and zones that its workload has never reached."""

from __future__ import annotations

import contextvars
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, ApprovalRefused, LedgerError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger, open_ledger

from .conftest import EXPORTER, FILES, Clock

BUNDLE = {
    "trust.yaml": FILES["trust.yaml"].replace("groups:", "groups:\n  vault-owners: ['user:vera']"),
    "tools.yaml": """
        apiVersion: agentguard/v1
        kind: Tools
        tools:
          web.get: {effect: read, destinations: [{kind: url, argument: url}]}
          web.post: {effect: send, destinations: [{kind: url, argument: url}]}
        """,
    "destinations.yaml": f"""
        apiVersion: agentguard/v1
        kind: Destinations
        destinations:
          - {{kind: url, pattern: "https://office.example/*", sensitivity: internal, zone: office}}
          - {{kind: url, pattern: "https://lab.example/*", sensitivity: internal, zone: lab}}
          - {{kind: url, pattern: "https://vault.example/*", sensitivity: internal, zone: vault}}
        zones:
          office:
            subjects: ["{EXPORTER}"]
            reaches: {{office: secret, lab: secret, vault: secret}}
          lab:
            then: {{lab: secret, office: internal}}
          vault:
            first_contact: {{from: ["group:vault-owners"], quorum: 1, within: 30m}}
        """,
    "browse.yaml": f"""
        apiVersion: agentguard/v1
        kind: Workflow
        metadata: {{name: browse, version: 1, owner: it, review_by: 2029-12-31}}
        subjects: ["{EXPORTER}"]
        steps:
          get:
            tool: web.get
            arguments: {{url: {{type: string}}}}
            destinations: {{up_to: secret, unclassified: allow}}
          post:
            tool: web.post
            not_above: internal
            arguments: {{url: {{type: string}}}}
            destinations: {{up_to: secret, unclassified: allow}}
        """,
}

OFFICE, LAB, VAULT = (f"https://{name}.example/x" for name in ("office", "lab", "vault"))
ASKS = 'first_contact: {from: ["group:vault-owners"], quorum: 1, within: 30m}'
UNLISTED = "https://elsewhere.example/x"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "zones"
    made.mkdir()
    for name, text in BUNDLE.items():
        (made / name).write_text(textwrap.dedent(text))
    return made


@pytest.fixture
def guard(directory: Path, tmp_path: Path, clock: Clock) -> Iterator[Guard]:
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as made:
        yield made


def tools(guard: Guard) -> tuple[Callable[..., str], Callable[..., str]]:
    def get(url: str) -> str:
        return f"read {url}"

    def post(url: str) -> str:
        return f"sent to {url}"

    get.__name__, post.__name__ = "web.get", "web.post"
    return guard.wrap([get, post])


def reasons(guard: Guard) -> list[str]:
    return list(guard.records(kind="decision"))[-1]["reasons"]


def answer(guard: Guard, person: str, *, approve: bool = True) -> None:
    (asked,) = guard.operations.approvals()
    guard.operations.answer(asked.request.id, approver=person, approve=approve)


def test_after_a_zone_a_run_goes_only_where_the_zone_lets_it(guard: Guard) -> None:
    """The way back out of a zone is closed for the run that has been there, and for no other."""
    get, _ = tools(guard)
    with guard.run("browse"):
        get(LAB)
        assert get(LAB) and get(OFFICE)
        for place in (VAULT, UNLISTED):
            with pytest.raises(ToolCallDenied):
                get(place)
            assert "zone_not_reachable" in reasons(guard)

    with guard.run("browse"):
        assert get(UNLISTED)


def test_the_record_says_which_zone_forbids(guard: Guard) -> None:
    get, _ = tools(guard)
    with guard.run("browse"):
        get(LAB)
        with pytest.raises(ToolCallDenied):
            get(UNLISTED)

    details = [found["detail"] for found in list(guard.records(kind="decision"))[-1]["findings"]]
    assert any("after zone `lab`" in detail for detail in details)


def test_a_refused_call_has_not_been_anywhere(guard: Guard) -> None:
    """Otherwise a model could be locked in by calls that never ran."""
    get, _ = tools(guard)
    with guard.run("browse") as run:
        with pytest.raises(ApprovalPending):
            get(VAULT)
        state = guard.operations.run(run.id)

    assert state is not None
    assert (state.zones, state.contacts) == (frozenset(), frozenset())


def test_what_nobody_listed_may_be_secret(guard: Guard) -> None:
    """A run that has read it sends nothing through a step that is `not_above` less."""
    get, post = tools(guard)
    with guard.run("browse"):
        assert post(OFFICE)
        get(OFFICE)
        assert post(OFFICE)
        get(UNLISTED)
        with pytest.raises(ToolCallDenied):
            post(OFFICE)

    assert reasons(guard) == ["write_down"]


def test_a_first_contact_asks_the_zones_people_once(guard: Guard) -> None:
    """Once one call was permitted, the workload is known there: in this run and in the next."""
    get, _ = tools(guard)
    with guard.run("browse"):
        with pytest.raises(ApprovalPending):
            get(VAULT)
        assert reasons(guard) == ["zone_first_contact"]
        with pytest.raises(LedgerError, match="cannot agree"):
            answer(guard, "user:alice")  # not one of the zone's people
        with pytest.raises(ApprovalPending):
            get(VAULT)
        answer(guard, "user:vera")
        assert get(VAULT)
        assert get("https://vault.example/y")

    with guard.run("browse"):
        assert get(VAULT)


def test_the_question_says_why_it_is_asked(guard: Guard) -> None:
    get, _ = tools(guard)
    with guard.run("browse"), pytest.raises(ApprovalPending):
        get(VAULT)

    (asked,) = guard.operations.approvals()
    assert asked.request.approvers == ("group:vault-owners",)
    assert "first contact with zone `vault`" in asked.request.shown["because"][0]


def test_a_refused_first_contact_stays_refused_when_another_call_made_the_contact(guard: Guard) -> None:
    """The zone asks no more, and the person's no to this very call stands all the same."""
    get, _ = tools(guard)
    with guard.run("browse"):
        with pytest.raises(ApprovalPending):
            get(VAULT)
        answer(guard, "user:vera", approve=False)
        with pytest.raises(ApprovalPending):
            get("https://vault.example/y")
        answer(guard, "user:vera")
        assert get("https://vault.example/y")
        with pytest.raises(ApprovalRefused):
            get(VAULT)
        assert reasons(guard) == ["approval_refused"]


def test_a_step_that_asks_too_needs_both(directory: Path, tmp_path: Path, clock: Clock) -> None:
    """Each rule by its own people and quorum; the question names them all."""
    file = directory / "browse.yaml"
    rule = 'approval: {from: ["group:data-stewards"], quorum: 2, within: 10m}'
    file.write_text(file.read_text().replace("tool: web.get", f"tool: web.get\n    {rule}"))
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as guard:
        get, _ = tools(guard)
        with guard.run("browse"):
            with pytest.raises(ApprovalPending):
                get(VAULT)
            (asked,) = guard.operations.approvals()
            assert set(asked.request.approvers) == {"group:data-stewards", "group:vault-owners"}
            assert asked.request.quorum == 3
            for person in ("user:alice", "user:bob"):
                answer(guard, person)
                with pytest.raises(ApprovalPending):
                    get(VAULT)
            assert reasons(guard) == ["zone_first_contact"]
            answer(guard, "user:vera")
            assert get(VAULT)


def test_a_zone_may_admit_nobody_new(directory: Path, tmp_path: Path, clock: Clock) -> None:
    """What was reached before the rule came stays in reach; a person cannot lift it for others."""
    file = directory / "destinations.yaml"
    known = file.read_text()
    file.write_text(known.replace(ASKS, "first_contact: deny"))
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as guard:
        get, _ = tools(guard)
        with guard.run("browse"), pytest.raises(ToolCallDenied):
            get(VAULT)
        assert reasons(guard) == ["zone_first_contact"]

        file.write_text(
            known.replace(
                'first_contact: {from: ["group:vault-owners"], quorum: 1, within: 30m}', "then: {vault: secret}"
            )
        )
        guard.reload()
        with guard.run("browse"):
            get(VAULT)
        file.write_text(known.replace(ASKS, "first_contact: deny"))
        guard.reload()
        with guard.run("browse"):
            assert get(VAULT)


def test_of_50_first_contacts_at_once_none_slips_through(directory: Path, tmp_path: Path) -> None:
    """Two processes' worth of guards on one file: whoever is permitted was approved, or came after one that was."""
    file = tmp_path / "l.sqlite3"
    with (
        Guard.load(directory, ledger=open_ledger(file), home=tmp_path / "home") as one,
        Guard.load(directory, ledger=open_ledger(file), home=tmp_path / "home") as two,
        ThreadPoolExecutor(25) as pool,
    ):

        def attempt(guard: Guard, get: Callable[..., Any], number: int) -> bool:
            try:
                with guard.run("browse"):
                    get(f"https://vault.example/{number}")
            except ApprovalPending:
                return False  # its run stays open
            return True

        def storm() -> list[bool]:
            pairs = [(guard, tools(guard)[0]) for guard in (one, two)]
            jobs = [
                pool.submit(contextvars.copy_context().run, attempt, *pairs[number % 2], number) for number in range(50)
            ]
            return [job.result() for job in jobs]

        assert not any(storm())
        assert len(one.operations.approvals()) == 50

        asked = one.operations.approvals()[0].request
        one.operations.answer(asked.id, approver="user:vera", approve=True)
        number = int(asked.shown["arguments"]["url"].rpartition("/")[2])
        with one.resume(asked.run_id):
            assert tools(one)[0](f"https://vault.example/{number}")

        assert all(storm())
        permits = one.records(kind="decision", effect="permit")
        assert next(iter(permits))["approved_by"] == ["user:vera"]


@pytest.mark.parametrize("kind", ["zone", "destination"])
def test_somewhere_new_raises_the_runs_risk(directory: Path, tmp_path: Path, clock: Clock, kind: str) -> None:
    """The call itself is decided as before; the record says which rule and why."""
    file = directory / "browse.yaml"
    file.write_text(file.read_text() + f"raise_risk: [{{name: new, to: high, first_use_of: {kind}}}]\n")
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as guard:
        get, post = tools(guard)
        with guard.run("browse"):
            assert post(OFFICE)
            with pytest.raises(ToolCallDenied):
                post(OFFICE)
        assert reasons(guard) == ["risk_too_high"]
        with guard.run("browse") as run:
            assert post(OFFICE) and post(OFFICE)
            assert get(LAB)
            with pytest.raises(ToolCallDenied):
                post(OFFICE)
            assert guard.operations.run(run.id).risk.word == "high"  # type: ignore[union-attr]

        (first, _) = guard.records(kind="signal")
        assert (first["by"], first["risk"], first["why"]) == ("rule:new", "high", f"first use of a {kind}")
