"""The rules at the head of the decision, each by its nearest miss; the plainest as data in ``decisions.yaml``."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from core_cases import EXPORT, NOW, SUBJECT, Case, Says, good
from decision_generator import DENYING, ESCALATING, a_second_step, place

from agentguard.core.decide import CALL_CHECKS, STEP_CHECKS
from agentguard.core.decision import Decision, Finding
from agentguard.core.facts import Answer, ApprovalState, Family, RunStatus
from agentguard.core.policy import Fault, Policy, RiskRule, View, Zone
from agentguard.core.reasons import Reason
from agentguard.core.spellings import respelt
from agentguard.core.values import (
    Assurance,
    Destination,
    Effect,
    Identity,
    Risk,
    Sensitivity,
    ToolEffect,
    Unavailable,
)

VECTORS = yaml.safe_load((Path(__file__).parents[1] / "vectors" / "decisions.yaml").read_text("utf-8"))


# Cases as data.


def _expression(word: object) -> Says:
    return Says(Fault("no such name")) if word == "error" else Says(word)


def _answer(word: str) -> Answer:
    return Answer("user:" + word.removeprefix("not "), not word.startswith("not "), NOW - timedelta(minutes=1))


def _span(word: str) -> timedelta:
    return timedelta(seconds=int(word.removesuffix("s")))


ABOVE = Family("run-0", "run-0", NOW - timedelta(minutes=5))

READ: dict[str, Callable[[Any], Any]] = {
    "above": tuple,
    "answers": lambda words: tuple(map(_answer, words)),
    "approvers": tuple,
    "arguments": Says,
    "assurance": Assurance.parse,
    "began_at": lambda word: NOW - _span(word),
    "credentials_revoked": tuple,
    "effect": ToolEffect,
    "high_water": Sensitivity.parse,
    "idle": _span,
    "last_call_at": lambda word: NOW - _span(word),
    "lasts": _span,
    "max_age": _span,
    "require": lambda words: tuple(map(_expression, words)),
    "risk": Risk.parse,
    "status": RunStatus,
    "steps": frozenset,
    "subjects": frozenset,
    "succeeded": frozenset,
    "up_to": Sensitivity.parse,
    "when": _expression,
}

CHANGE: dict[str, Callable[..., Case]] = {
    "approval": Case.with_approval,
    "facts": Case.with_facts,
    "family": lambda case, **changes: case.with_run(family=(case.facts.run.family or ABOVE)._replace(**changes)),
    "identity": Case.with_identity,
    "rule": lambda case, **changes: case.with_rule(EXPORT, **changes),
    "run": Case.with_run,
    "step": lambda case, **changes: case.with_step(EXPORT, **changes),
    "tool": Case.with_tool,
    "workflow": Case.with_workflow,
}


def _changed(case: Case, path: str, word: Any) -> Case:
    part, _, name = path.partition(".")
    if isinstance(word, str) and word.startswith("unavailable "):
        value: Any = Unavailable(Reason(word.removeprefix("unavailable ")))
    else:
        value = word if word is None else READ.get(name, lambda same: same)(word)
    return CHANGE[part](case, **{name: value})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["claim"])
def test_a_case_a_policy_owner_can_read(vector: dict[str, Any]) -> None:
    """The file is what we tell owners the guard does; this holds us to it."""
    case = good()
    for path, word in vector.get("with", {}).items():
        case = _changed(case, path, word)

    decision = case.decide()

    assert decision.effect == vector["effect"]
    assert list(map(str, decision.reasons)) == vector.get("reasons", [])


def test_no_case_is_told_twice() -> None:
    """Two claims with one text hide that one of them is gone."""
    claims = [vector["claim"] for vector in VECTORS]

    assert len(claims) == len(set(claims))


# 1. No matching step, no permit. All of nothing is no.


def test_a_workflow_without_steps_permits_nothing() -> None:
    """All of nothing is no."""
    assert good().with_workflow(steps=()).decide().reasons == (Reason.NO_MATCHING_STEP,)


@pytest.mark.parametrize("tool", ["warehouse.expor", "warehouse.export2", "Warehouse.export", "warehouse.export ", ""])
def test_a_tool_is_matched_by_its_whole_name(tool: str) -> None:
    """`read` must not match `read_secrets`."""
    case = good().with_step(EXPORT, tool=tool)

    assert Reason.NO_MATCHING_STEP in case.decide().reasons


def test_an_empty_policy_permits_nothing() -> None:
    """No policy loaded must not mean allow."""
    decision = replace(good(), policy=Policy("sha256:none", {}, {})).decide()

    assert decision.effect is Effect.DENY
    assert {Reason.WORKFLOW_UNKNOWN, Reason.TOOL_UNKNOWN} <= set(decision.reasons)


def test_a_run_without_a_workflow_is_denied_for_that_reason() -> None:
    """Only a call outside any run has no workflow to know; every other denial must say why."""
    made = good().with_request(workflow="").with_run(workflow="")

    assert made.decide().reasons == (Reason.WORKFLOW_UNKNOWN,)


def test_a_quorum_of_nought_is_not_reached_by_nobody() -> None:
    """All of nothing is no, for people too."""
    assert ESCALATING["quorum of nought, nobody"](good()).decide().effect is Effect.ESCALATE


# 2. One deny denies. A deny is never lifted, by anyone, in this call.


@pytest.mark.parametrize("name", sorted(DENYING))
@pytest.mark.parametrize("second", ["a good second step", "everybody agrees", "nobody asked"])
def test_a_deny_is_not_lifted(name: str, second: str) -> None:
    """Neither an approval nor a gap in one may turn a deny into anything else."""
    changes: dict[str, Callable[[Case], Case]] = {
        "a good second step": lambda case: case,
        "everybody agrees": lambda case: case.with_rule(EXPORT, when=None, approvers=("anyone",), quorum=1),
        "nobody asked": lambda case: case.with_facts(approval=None),
    }
    # The break comes last, so that nothing takes it back.
    case = changes[second](good())
    try:
        broken = DENYING[name](case)
    except TypeError:
        pytest.skip("this break is in the answers, which the change took away")

    assert broken.decide().effect is Effect.DENY


def test_a_finding_against_the_call_denies_under_every_step() -> None:
    """A second step must not be a way round a revoked identity."""
    case = a_second_step()(good()).with_run(status=RunStatus.STOPPED)

    assert case.decide().effect is Effect.DENY


def test_a_step_that_denies_and_asks_denies() -> None:
    """Escalating a call that is denied anyway would have a person approve nothing."""
    case = good().with_facts(approval=None).with_step(EXPORT, at_most=1)

    assert case.decide().effect is Effect.DENY
    assert set(case.decide().reasons) == {Reason.STEP_USED_UP, Reason.APPROVAL_REQUIRED}


# 3. What could not be found out never permits.

FACTS = ("now", "identity", "run", "destinations", "approval", "credentials_revoked", "streams")


@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize("reason", list(Reason))
def test_an_unavailable_fact_denies_for_its_own_reason(fact: str, reason: Reason) -> None:
    """The record says why the fact was missing, and nothing runs without it."""
    decision = good().with_facts(**{fact: Unavailable(reason)}).decide()

    assert decision.effect is Effect.DENY
    assert reason in decision.reasons


@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize("lie", [(), [], 0, 1, "", "yes", True, object(), {}, iter(())], ids=repr)
def test_a_fact_of_another_make_denies(fact: str, lie: object) -> None:
    """An object any code can construct is not a fact, whatever attributes it has."""
    if isinstance(lie, tuple) and fact in ("destinations", "credentials_revoked"):
        pytest.skip("an empty tuple is a value here")
    if isinstance(lie, dict) and fact == "streams":
        pytest.skip("an empty mapping is a value here: no stream was ever heard")

    assert good().with_facts(**{fact: lie}).decide().reasons == (Reason.INTERNAL_ERROR,)


@pytest.mark.parametrize("fact", sorted(set(FACTS) - {"approval"}))
def test_a_fact_that_is_none_denies(fact: str) -> None:
    """None means something for the approval only: nobody has been asked."""
    assert good().with_facts(**{fact: None}).decide().reasons == (Reason.INTERNAL_ERROR,)


@pytest.mark.parametrize("now", [NOW.replace(tzinfo=None), NOW.astimezone(timezone(timedelta(hours=1)))], ids=str)
def test_a_clock_not_in_utc_is_untrusted_and_nothing_is_judged_by_it(now: Any) -> None:
    """The reason must name the clock: operations, not the workflow's owner, have to act."""
    decision = good().with_facts(now=now, approval=None).with_workflow(review_by=NOW.date() - timedelta(1)).decide()

    assert set(decision.reasons) == {Reason.CLOCK_UNTRUSTED, Reason.APPROVAL_REQUIRED}


def test_a_limit_for_one_level_holds_above_it() -> None:
    """Whoever demands fresh proof for confidential means it for secret too, listed or not."""
    case = (
        good()
        .with_step(EXPORT, up_to=Sensitivity.SECRET, allow_unclassified=True)
        .with_policy(zones={}, max_age_by_sensitivity={Sensitivity.RESTRICTED: timedelta(seconds=44)})
    )

    assert case.decide().effect is Effect.PERMIT
    for level in (Sensitivity.RESTRICTED, Sensitivity.SECRET, None):
        stale = case.with_workflow(no_write_down=False).with_destination(sensitivity=level)
        assert stale.decide().reasons == (Reason.IDENTITY_STALE,)


def test_a_demand_for_proof_holds_above_its_level() -> None:
    """The same for assurance."""
    case = (
        good()
        .with_policy(assurance_by_sensitivity={Sensitivity.INTERNAL: Assurance.CALL_BOUND})
        .with_facts(
            destinations=good().facts.destinations[:1]  # type: ignore[index]
        )
    )

    assert case.decide().reasons == (Reason.ASSURANCE_TOO_LOW,)


def test_an_unlisted_destination_needs_the_step_to_say_so_by_name() -> None:
    """Unknown is not public: a ceiling of secret does not cover what nobody classified."""
    case = place(None, None)(good().with_step(EXPORT, up_to=Sensitivity.SECRET).with_workflow(no_write_down=False))

    assert case.decide().reasons == (Reason.DESTINATION_UNCLASSIFIED,)


def test_nothing_is_written_to_an_unlisted_destination_after_a_read() -> None:
    """Nobody knows that it is not below what was read."""
    case = place(None, None)(good().with_step(EXPORT, allow_unclassified=True))

    assert case.decide().reasons == (Reason.WRITE_DOWN,)


def test_a_level_of_risk_without_a_rule_denies_for_that_reason() -> None:
    """A rule that is missing takes everything away."""
    case = good().with_workflow(risk={Risk.HIGH: RiskRule(None)})

    assert Reason.RISK_UNAVAILABLE in case.decide().reasons


def test_risk_cannot_raise_a_ceiling() -> None:
    """A slip of sign in a rule of risk must not open anything."""
    with pytest.raises(ValueError, match="0 or more"):
        RiskRule(None, -1)


def test_a_step_that_was_called_but_did_not_succeed_is_not_done() -> None:
    """`after` waits for success; a call that failed or is still under way is none."""
    case = good().with_run(succeeded=frozenset({"ask"}))

    assert case.with_step(EXPORT, after=(), after_any=("ask",)).decide().effect is Effect.PERMIT
    assert case.decide().reasons == (Reason.STEP_OUT_OF_ORDER,)


SIGNALS = {
    "assertions refused": Reason.CREDENTIAL_REVOKED,
    "issued a tick too early": Reason.IDENTITY_OUTDATED,
    "stream silent a tick too long": Reason.SIGNALS_UNAVAILABLE,
    "stream heard from the future": Reason.SIGNALS_UNAVAILABLE,
    "stream never heard": Reason.SIGNALS_UNAVAILABLE,
    "stream unknown": Reason.SIGNALS_UNAVAILABLE,
    "stream heard at another's time": Reason.SIGNALS_UNAVAILABLE,
    "one of two streams silent": Reason.SIGNALS_UNAVAILABLE,
    "silent stream, unlisted and allowed": Reason.SIGNALS_UNAVAILABLE,
    "ceiling one below the place": Reason.RISK_TOO_HIGH,
    "ceiling of a lower risk": Reason.RISK_TOO_HIGH,
    "unlisted and allowed, ceiling below the top": Reason.RISK_TOO_HIGH,
}


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_denies_for_its_own_reason(name: str) -> None:
    """Whoever reads the record must see what was taken away, and by whom it can be given back."""
    assert DENYING[name](good()).decide().reasons == (SIGNALS[name],)


def test_a_silent_stream_is_named() -> None:
    """Operations look after streams by their names."""
    (finding,) = DENYING["one of two streams silent"](good()).decide().findings

    assert finding.detail == "stream `hr` is silent"


# 4. An approval lifts escalate to permit and nothing else.


def test_an_approval_that_is_needed_is_used_up() -> None:
    """Single use starts with naming what is used."""
    decision = good().decide()

    assert (decision.effect, decision.approval, decision.ask) == (Effect.PERMIT, "ap-1", None)


def test_an_approval_that_is_not_needed_is_kept() -> None:
    """Using it up would have the people asked again for nothing."""
    assert good().with_rule(EXPORT, when=Says(False)).decide().approval is None


def test_an_escalation_says_by_which_rule_to_ask() -> None:
    """The people asked are those of the step that escalates, and no other."""
    decision = good().with_facts(approval=None).decide()

    assert decision.effect is Effect.ESCALATE
    assert decision.ask is not None and decision.ask.rules == (good().workflow.steps[EXPORT].approval,)
    assert decision.step is not None
    assert decision.step.name == "export"
    assert decision.approval is None


@pytest.mark.parametrize("requester", ["dave", "user:dave"])
def test_the_requester_does_not_approve_under_any_spelling(requester: str) -> None:
    """Channels write `user:dave`; code that starts a run may write `dave`."""
    case = good().with_run(requester=requester).with_rule(EXPORT, approvers=("user:dave", "user:erin"), quorum=1)
    state = case.facts.approval
    assert isinstance(state, ApprovalState)
    asked = case.with_approval(answers=(Answer("user:dave", True, state.requested_at),))

    assert asked.decide().reasons == (Reason.APPROVAL_PENDING,)


# 5. Same input, same answer; no order matters but that of the steps in the file.


def _shuffled(case: Case, random: Random) -> Case:
    def mixed(items: Any) -> tuple[Any, ...]:
        return tuple(random.sample(list(items), len(items)))

    state = case.facts.approval
    places = case.facts.destinations
    if isinstance(state, ApprovalState):
        case = case.with_approval(answers=mixed(state.answers))
    if isinstance(places, tuple):
        case = case.with_facts(destinations=mixed(places))
    step = case.workflow.steps[EXPORT]
    rule = step.approval
    return case.with_step(
        EXPORT,
        require=mixed(step.require),
        after=mixed(step.after),
        after_any=mixed(step.after_any),
        not_after=mixed(step.not_after),
        approval=None if rule is None else replace(rule, approvers=mixed(rule.approvers)),
    ).with_policy(
        groups={name: frozenset(mixed(members)) for name, members in mixed(case.policy.groups.items())},
        zones=dict(mixed(case.policy.zones.items())),
        tools=dict(mixed(case.policy.tools.items())),
        max_age_by_sensitivity=dict(mixed(case.policy.max_age_by_sensitivity.items())),
        streams=dict(mixed(case.policy.streams.items())),
        risk_ceilings=dict(mixed(case.policy.risk_ceilings.items())),
    )


MANY_REASONS = (
    "used up",
    "condition false",
    "one more, one above",
    "run stopped",
    "tool changed",
    "one more, unlisted",
)


@pytest.mark.parametrize("breaks", [(), ("subject in two zones",), MANY_REASONS])
def test_no_order_changes_the_decision(breaks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings and all, whichever way files, checks, destinations, answers and groups are read."""
    case, random = good(), Random(5)
    for name in breaks:
        case = DENYING[name](case)
    expected = _comparable(case.decide())

    for _ in range(50):
        monkeypatch.setattr("agentguard.core.decide.CALL_CHECKS", tuple(random.sample(CALL_CHECKS, len(CALL_CHECKS))))
        monkeypatch.setattr("agentguard.core.decide.STEP_CHECKS", tuple(random.sample(STEP_CHECKS, len(STEP_CHECKS))))
        assert _comparable(_shuffled(case, random).decide()) == expected


def _comparable(decision: Decision) -> tuple[Any, ...]:
    step = None if decision.step is None else decision.step.name
    return decision.effect, decision.findings, step, decision.approval


def test_the_first_step_that_permits_is_taken_before_one_that_asks() -> None:
    """Nobody is asked about a call that another step allows outright."""
    case = a_second_step()(good().with_facts(approval=None))
    decision = case.decide()

    assert (decision.effect, decision.step and decision.step.name) == (Effect.PERMIT, "export-again")


def test_of_two_steps_that_permit_the_first_in_the_file_is_taken() -> None:
    """An owner can tell from the file which limits a call uses up."""
    step = a_second_step()(good()).decide().step

    assert step is not None
    assert step.name == "export"


@pytest.mark.parametrize("worst", [None, Sensitivity.SECRET, Sensitivity.INTERNAL])
def test_a_condition_sees_the_same_worst_destination_in_any_order(worst: Sensitivity | None) -> None:
    """`destination` is the worst of all, and ties are settled by everything it says."""
    places = [Destination("url", "https://a.example/", worst, "data", owner) for owner in ("ann", "ben", None)] + [
        Destination("host", "https://a.example/", worst, "data"),
        Destination("url", "b", Sensitivity.PUBLIC),
    ]
    seen = []
    for seed in range(20):
        watch = Watch()
        mixed = tuple(Random(seed).sample(places, len(places)))
        good().with_step(EXPORT, require=(watch,)).with_facts(destinations=mixed).decide()
        seen.append(watch.views[0].names["destinations"])

    assert all(view == seen[0] for view in seen)
    assert seen[0][0]["sensitivity"] == ("unclassified" if worst is None else worst.word)


# 6. Every check runs, so the record shows every reason, not the first.


def test_every_reason_is_told() -> None:
    """Whoever repairs the first should not meet the second afterwards."""
    case = good()
    for name in MANY_REASONS:
        case = DENYING[name](case)

    assert set(case.decide().reasons) == {
        Reason.STEP_USED_UP,
        Reason.CONDITION_FALSE,
        Reason.DESTINATION_TOO_SENSITIVE,
        Reason.DESTINATION_UNCLASSIFIED,
        Reason.RUN_STOPPED,
        Reason.TOOL_CHANGED,
        Reason.WRITE_DOWN,
        Reason.ZONE_NOT_REACHABLE,
    }


def test_the_findings_of_all_steps_are_told_under_their_names() -> None:
    """A call denied under three steps was denied three times."""
    case = a_second_step(at_most=0)(good().with_step(EXPORT, at_most=0))

    assert {finding.step for finding in case.decide().findings} == {"export", "export-again"}


# If a check raises, the decision is a deny.


@pytest.mark.parametrize(
    "error", [ValueError("secret"), RecursionError(), MemoryError(), KeyError("x"), StopIteration()]
)
def test_a_check_that_raises_denies_and_keeps_the_error_to_itself(error: Exception) -> None:
    """A bug must not let a call through, nor carry a value into the record."""
    decision = good().with_step(EXPORT, require=(Says(error),)).decide()

    assert decision.effect is Effect.DENY
    assert decision.findings == (Finding(Effect.DENY, Reason.INTERNAL_ERROR, f"a check raised {type(error).__name__}"),)


# What a condition sees, and what a decision is.


class Watch:
    """A condition that holds, and keeps the view it was shown."""

    text = "watch"

    def __init__(self) -> None:
        self.views: list[View] = []

    def holds(self, view: View) -> bool:
        self.views.append(view)
        return True


def test_a_condition_sees_these_names_and_no_others() -> None:
    """The list is a promise to workflow owners; a name more could leak what policy should not depend on."""
    watch = Watch()
    good().with_step(EXPORT, require=(watch, watch)).decide()

    run, identity = {"inputs", "kept", "counts", "risk"}, {"subject", "claims", "assurance"}
    assert set(watch.views[0].names) == {"args", "now", "destination", "destinations"} | run | identity
    assert watch.views[0] is watch.views[1]


def test_a_condition_that_compares_sees_each_place_in_one_spelling() -> None:
    """One that does not sees every text as it was given."""
    watch = Watch()
    run: dict[str, Any] = {"inputs": {"to": "ORDERS", "x": 1}, "kept": {"all": [{"ORDERS": "ORDERS"}, "else"]}}
    good().with_run(**run).with_step(EXPORT, require=(watch,)).with_facts(spellings={"ORDERS": "orders"}).decide()
    seen, compared = watch.views[0].names, watch.views[0].compared
    assert compared is not None
    assert (seen["inputs"], seen["kept"]) == (run["inputs"], run["kept"])
    assert compared.names["inputs"] == {"to": "orders", "x": 1}
    assert compared.names["kept"] == {"all": [{"orders": "orders"}, "else"]}
    assert {name: seen[name] for name in seen if name not in run} == {
        name: compared.names[name] for name in seen if name not in run
    }


def test_two_members_that_become_one_keep_their_names() -> None:
    """Of two entries for one place neither may be lost."""
    assert respelt({"A": 1, "a": 2, "b": "A"}, {"A": "a"}) == {"A": 1, "a": 2, "b": "a"}


@pytest.mark.parametrize(
    ("fact", "hidden"),
    [
        ("now", {"now"}),
        ("run", {"inputs", "kept", "counts", "risk"}),
        ("identity", {"subject", "claims", "assurance"}),
        ("destinations", {"destination", "destinations"}),
    ],
)
def test_a_condition_does_not_see_what_was_not_found_out(fact: str, hidden: set[str]) -> None:
    """A name that is missing faults; an empty value in its place could satisfy a condition."""
    watch = Watch()
    good().with_step(EXPORT, require=(watch,)).with_facts(**{fact: Unavailable(Reason.NO_RUN)}).decide()

    assert not hidden & set(watch.views[0].names)


def test_a_decision_has_no_truth_value() -> None:
    """`if decide(...)` would run an escalated call."""
    for decision in (good().decide(), DENYING["run stopped"](good()).decide()):
        with pytest.raises(TypeError, match="compare the effect"):
            bool(decision)


def test_a_permit_says_what_it_spends() -> None:
    """The ledger takes exactly what was judged, of every budget of the step and of no other."""
    spends = {spend.budget.name: spend.amount for spend in good().decide().spends}

    assert spends == {"rows": 500_000_000, "calls": 1_000_000}


def test_a_subject_in_two_zones_starts_in_neither() -> None:
    """Which file was read last must not decide how far a workload reaches."""
    zones = {name: Zone(name, frozenset({SUBJECT}), {"data": Sensitivity.SECRET}) for name in ("a", "b")}

    assert good().with_policy(zones=zones).decide().reasons == (Reason.ZONE_NOT_REACHABLE,)


@pytest.mark.parametrize("name", ["identity", "run", "approval"])
def test_a_copy_is_an_equal_and_still_frozen_value(name: str) -> None:
    """Facts cross threads and processes; none may change on the way."""
    value = getattr(good().facts, name)
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert copied == value
        with pytest.raises((AttributeError, TypeError)):
            copied.subject = "spiffe://evil.example/"


def test_reason_codes_are_the_ones_that_records_hold() -> None:
    """Codes are for ever: lower-case words, the name and the value alike."""
    for reason in Reason:
        assert reason.value == reason.name.lower()
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.value)
    assert isinstance(good().facts.identity, Identity)


class Looks:
    """A condition that remembers which names it could have seen."""

    text = "looks"

    def __init__(self) -> None:
        self.names: set[str] = set()

    def holds(self, view: View) -> bool:
        self.names = set(view.names)
        return True


@pytest.mark.parametrize("lost", [False, True])
def test_a_condition_does_not_see_what_is_kept_while_the_run_has_lost_track(lost: bool) -> None:
    """Whatever was compiled: what nobody can vouch for is not among the names, so that a condition on it faults."""
    looks = Looks()
    case = good().with_run(unsettled=frozenset({"d-1"} if lost else ())).with_workflow(follows=True)
    case.with_step(EXPORT, require=(looks,), traced=frozenset({"table"})).decide()

    assert {"args", "inputs", "counts", "risk"} <= looks.names
    assert looks.names & {"kept", "origins"} == (set() if lost else {"kept", "origins"})


@pytest.mark.parametrize("erased", [(), ("inputs",), ("kept",), ("inputs", "kept")])
def test_a_condition_does_not_see_what_was_erased(erased: tuple[str, ...]) -> None:
    """Nothing is there is another thing than something was there: `!has(inputs.x)` must fault, not be true."""
    looks = Looks()
    case = good().with_run(erased=frozenset(erased)).with_workflow(follows=True)
    case.with_step(EXPORT, require=(looks,), traced=frozenset({"table"})).decide()

    seen = {"inputs", "kept", "origins"} - set(erased) - ({"origins"} if erased else set())
    assert looks.names & {"inputs", "kept", "origins"} == seen
