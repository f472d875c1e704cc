"""Decision cases are read strictly, and what they leave out is ordinary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from agentguard.core.facts import RunStatus
from agentguard.core.policy import MICROS
from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Destination, Effect, Risk, Sensitivity
from agentguard.errors import PolicyError
from agentguard.policy import Case, load, load_case_file, load_cases

HEAD = """\
apiVersion: agentguard/v1
kind: Cases
workflow: customer-export
given: {inputs: {ticket: EXP-7}, kept: {tables: [orders]}, done: [look-up], now: 2026-11-24T12:00:00Z}
cases:
"""

SHORT = """\
  - name: a table of the ticket may go out
    call: {tool: warehouse.export, arguments: {table: orders, rows: 10, target: "https://files.corp.example/a"}}
    expect: permit
"""

LONG = """\
  - name: everything said
    given:
      done: []
      counts: {export: 1}
      spent: {rows: 0.5}
      risk: high
      status: stopped
      suspended: true
      high_water: secret
      requester: user:carol
      credential_refused: true
      issued_after: 2026-12-31T00:00:00Z
      revoked_credentials: [warehouse]
      silent_streams: [idp]
      now: 2027-01-01T00:00:00Z
    call:
      tool: warehouse.export
      arguments: {table: orders}
      destinations: [{kind: url, id: "https://a.example/", sensitivity: secret, zone: prod}]
    identity: {subject: spiffe://corp.example/other, age: 61s, assurance: bearer, claims: {team: x}, proof: call}
    approval: {approved_by: [user:alice], refused_by: [user:bob]}
    expect: {effect: deny, reasons: [run_stopped, step_used_up], step: export}
"""


def write(directory: Path, text: str, name: str = "export.cases.yaml") -> Path:
    path = directory / name
    path.write_text(dedent(text))
    return path


def problems(directory: Path) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_cases(directory, load(directory))
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


def test_a_short_case_stands_for_the_ordinary(bundle_dir: Path) -> None:
    """Three lines: an active run, a fresh identity, low risk, nobody asked."""
    path = write(bundle_dir, HEAD + SHORT)

    (case,) = load_cases(bundle_dir, load(bundle_dir))

    assert isinstance(case, Case)
    assert (case.file, case.line, case.workflow) == (str(path), 6, "customer-export")
    assert (case.run.status, case.run.risk, case.run.suspended) == (RunStatus.ACTIVE, Risk.LOW, False)
    assert (case.run.done, dict(case.run.counts), dict(case.run.inputs)) == (
        {"look-up"},
        {"look-up": 1},
        {"ticket": "EXP-7"},
    )
    assert case.identity is not None
    assert (case.identity.subject, case.identity.age, case.identity.assurance) == (None, timedelta(0), None)
    assert (case.answers, case.call.destinations, case.revoked_credentials) == (None, None, ())
    assert (case.silent_streams, case.run.credential_refused, case.run.issued_after) == (frozenset(), False, None)
    assert case.now == datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert (case.expect.effect, case.expect.reasons, case.expect.step) == (Effect.PERMIT, frozenset(), None)
    assert load_case_file(path) == (case,)


def test_a_long_case_says_everything(bundle_dir: Path) -> None:
    """What a case says takes the place of what the file says, key by key."""
    write(bundle_dir, HEAD + LONG)

    (case,) = load_cases(bundle_dir)

    assert (dict(case.run.inputs), case.run.done, dict(case.run.counts)) == (
        {"ticket": "EXP-7"},
        frozenset(),
        {"export": 1},
    )
    assert dict(case.run.spent) == {"rows": MICROS // 2}
    assert (case.run.risk, case.run.status, case.run.suspended) == (Risk.HIGH, RunStatus.STOPPED, True)
    assert (case.run.high_water, case.run.requester) == (Sensitivity.SECRET, "user:carol")
    assert (case.revoked_credentials, case.silent_streams) == (("warehouse",), {"idp"})
    assert (case.run.credential_refused, case.run.issued_after) == (True, datetime(2026, 12, 31, tzinfo=UTC))
    assert case.call.destinations == (Destination("url", "https://a.example/", Sensitivity.SECRET, "prod"),)
    assert case.identity is not None
    assert (case.identity.subject, case.identity.age) == ("spiffe://corp.example/other", timedelta(seconds=61))
    assert (case.identity.assurance, case.identity.bound_to_call) == (Assurance.BEARER, True)
    assert case.answers is not None
    assert [(answer.approver, answer.approve) for answer in case.answers] == [("user:alice", True), ("user:bob", False)]
    assert case.expect.reasons == {Reason.RUN_STOPPED, Reason.STEP_USED_UP}
    assert (case.expect.step, case.now) == ("export", datetime(2027, 1, 1, tzinfo=UTC))


def test_an_identity_can_be_missing(bundle_dir: Path) -> None:
    """The key server is down; what then?"""
    write(bundle_dir, HEAD + SHORT.replace("expect:", "identity: {unavailable: true}\n    expect:"))

    assert load_cases(bundle_dir)[0].identity is None


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("expect: permit", "expect: permitt", 8, "did you mean `permit`?"),
        ("expect: permit", "given: {age: 1h, idle: 2h}\n    expect: permit", 8, "no longer than `age`"),
        ("expect: permit", "given: {age: an hour}\n    expect: permit", 8, "expected a duration"),
        (
            "expect: permit",
            "expect: {effect: deny, reasons: [step_out_of_ordr]}",
            8,
            "did you mean `step_out_of_order`?",
        ),
        ("expect: permit", "expect: {effect: deny, step: exprt}", 6, "did you mean `export`?"),
        ("    expect: permit\n", "", 6, "`expect` is missing"),
        ("tool: warehouse.export", "tool: warehouse.exprt", 6, "did you mean `warehouse.export`?"),
        ("done: [look-up]", "done: [lookup]", 6, "did you mean `look-up`?"),
        ("kept: {tables: [orders]}", "kept: {tabels: [orders]}", 6, "no kept value `tabels`; did you mean `tables`?"),
        ("done: [look-up]", "spent: {row: 1}", 6, "no budget `row`"),
        ("done: [look-up]", "spent: {rows: 0.0000001}", 6, "six decimals"),
        ("done: [look-up]", "doen: [look-up]", 4, "did you mean `done`?"),
        ("now: 2026-11-24T12:00:00Z", "now: 2026-11-24", 4, "a moment in UTC"),
        ("now: 2026-11-24T12:00:00Z", "now: 2026-11-24T25:00:00Z", 4, "a moment in UTC"),
        ("now: 2026-11-24T12:00:00Z", "now: 2026-11-24T12:00:00+01:00", 4, "a moment in UTC"),
        ("workflow: customer-export", "workflow: customer-exprt", 6, "did you mean `customer-export`?"),
        ("workflow: customer-export\n", "", 1, "says no `workflow`"),
        ("kind: Cases", "kind: Case", 2, "`Cases`"),
        ("rows: 10", "rows: 010", 7, "not the same number"),
    ],
)
def test_a_mistake_in_a_case_is_named_with_its_line(bundle_dir: Path, old: str, new: str, line: int, said: str) -> None:
    """A case that tests something else than it says is worse than none."""
    text = HEAD + SHORT
    assert text.count(old) == 1
    write(bundle_dir, text.replace(old, new))

    found = problems(bundle_dir)

    assert any(problem.startswith(f"{line}: ") and said in problem for problem in found), found


def test_a_wrong_name_at_the_top_of_a_file_is_said_once(bundle_dir: Path) -> None:
    """It stands there once, and thirty cases under it would bury every other mistake."""
    more = SHORT.replace("- name: ", "- name: again, ", 1)
    write(bundle_dir, (HEAD + SHORT + more).replace("workflow: customer-export", "workflow: customer-exprt"))

    (found,) = problems(bundle_dir)

    assert " and 1 more: there is no workflow `customer-exprt`" in found


def test_no_cases_is_an_empty_list(bundle_dir: Path) -> None:
    """Having no cases is not an error of the reader; the command that runs them says so."""
    assert load_cases(bundle_dir) == ()


def test_an_empty_or_unreadable_case_file_is_an_error(bundle_dir: Path) -> None:
    """A suite that is not there must not pass."""
    write(bundle_dir, "")
    (bundle_dir / "b.cases.yaml").symlink_to("nowhere")

    empty, unreadable = sorted(problems(bundle_dir), key=lambda problem: "cannot" in problem)
    assert "is empty" in empty
    assert "cannot be read" in unreadable
