"""Events in the shapes that transmitters really send: what takes power away does so, whatever is odd about the rest.

The shapes are those of Okta's, Google's and login.gov's own documentation and source in 2026; names and keys are ours.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from identity.identity_maker import key_set

from agentguard.core.facts import RunState, RunStatus
from agentguard.jose.keyset import KeySet
from agentguard.signals import Received, RefusedSet, SetVerifier
from signals.signals_maker import CAEP, ISSUER, KEY, NOW, OTHER, RUN, SUBJECT, URI, Bench, at, claims, signed, trust

RISC = "https://schemas.openid.net/secevent/risc/event-type/"
OAUTH = "https://schemas.openid.net/secevent/oauth/event-type/"
OKTA = "https://schemas.okta.com/secevent/okta/event-type/"
LOGIN_GOV = "https://schemas.login.gov/secevent/risc/event-type/"
IDP = "https://idp.example"
JANE = {"format": "iss_sub", "iss": IDP, "sub": "jane"}
KIM = {"format": "iss_sub", "iss": IDP, "sub": "kim"}
OLD_JANE = {"subject_type": "iss-sub", "iss": IDP, "sub": "jane"}
MAIL = {"subject_type": "email", "email": "jane@corp.example"}
END, NEWER, REFUSE, RESTORE = "end_runs", "require_newer", "refuse_credential", "restore_credential"
A_RUN = RunState(RUN, "export", "sha256:0", SUBJECT, RunStatus.ACTIVE, 1, at(), requester="user:eli")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, A_RUN)


def said(bench: Bench, name: str, event: dict[str, Any], **over: Any) -> list[tuple[str, str | None]]:
    """What one event, with its subject inside, does to whom."""
    payload = {**claims(events={name: event}), **over}
    payload.pop("sub_id", None) if "sub_id" not in over else None
    answer = bench.receiver.receive("idp", KEY.sign(payload, typ="secevent+jwt"))
    assert isinstance(answer, Received), answer
    return [(str(signal.effect), signal.about) for signal in answer.signals]


# Transmitter, event, what it says, what must happen.
EVENTS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("Okta", CAEP + "session-revoked", {"subject": JANE, "event_timestamp": NOW}, [END]),
    (
        "Okta",
        CAEP + "session-revoked",
        {"subject": {"user": JANE, "tenant": KIM}, "event_timestamp": NOW * 1000},
        [END],
    ),
    ("Okta", CAEP + "session-revoked", {"subject": {"user": OLD_JANE}, "reason_admin": "x"}, [END]),
    (
        "Okta",
        CAEP + "credential-change",
        {"subject": JANE, "credential_type": "password", "change_type": "revoke"},
        [REFUSE],
    ),
    ("Okta", OKTA + "user-risk-change", {"subject": {"user": JANE}, "current_level": "high"}, ["set_risk"]),
    ("Google", RISC + "sessions-revoked", {"subject": OLD_JANE}, [END]),
    ("Google", OAUTH + "tokens-revoked", {"subject": OLD_JANE}, [END, NEWER]),
    ("Google", RISC + "tokens-revoked", {"subject": OLD_JANE}, [END, NEWER]),
    ("Google", RISC + "account-disabled", {"subject": OLD_JANE, "reason": "hijacking"}, [REFUSE]),
    ("Google", RISC + "account-disabled", {"subject": OLD_JANE}, [REFUSE]),
    ("Google", RISC + "account-enabled", {"subject": OLD_JANE}, [RESTORE]),
    ("Google", RISC + "account-credential-change-required", {"subject": OLD_JANE}, [END, NEWER]),
    ("Google", RISC + "account-purged", {"subject": {**OLD_JANE, "subject_type": "iss_sub"}}, [REFUSE, END]),
    ("login.gov", RISC + "account-purged", {"subject": OLD_JANE}, [REFUSE, END]),
    ("login.gov", LOGIN_GOV + "password-reset", {"subject": OLD_JANE}, [END, NEWER]),
    ("login.gov", LOGIN_GOV + "mfa-limit-account-locked", {"subject": OLD_JANE}, [END]),
    ("any (RISC 1.0)", RISC + "credential-compromise", {"subject": JANE, "credential_type": "password"}, [END, NEWER]),
    ("any (RISC 1.0)", RISC + "identifier-changed", {"subject": JANE, "new-value": "x"}, [END, NEWER]),
]


@pytest.mark.parametrize(("who", "name", "event", "effects"), EVENTS)
def test_what_a_transmitter_sends_takes_power_away(
    bench: Bench, who: str, name: str, event: dict[str, Any], effects: list[str]
) -> None:
    assert said(bench, name, event) == [(effect, f"{IDP}#jane") for effect in effects]


@pytest.mark.parametrize("name", ["identifier-changed", "identifier-recycled"])
def test_an_address_that_is_somebody_elses_now(bench: Bench, name: str) -> None:
    """login.gov names the address alone."""
    assert said(bench, RISC + name, {"subject": MAIL}) == [
        (END, "user:jane@corp.example"),
        (NEWER, "user:jane@corp.example"),
    ]


def test_the_claims_of_an_id_token_name_a_subject_and_a_mailbox(bench: Bench) -> None:
    """Google's third form of a subject."""
    subject = {"subject_type": "id_token_claims", "iss": IDP, "sub": "jane", "email": "jane@corp.example"}
    found = said(bench, RISC + "account-disabled", {"subject": subject})
    assert found == [(REFUSE, f"{IDP}#jane"), (REFUSE, "user:jane@corp.example")]


@pytest.mark.parametrize(
    ("level", "risk"),
    [
        ("high", "high"),
        ("HIGH", "high"),
        ("medium", "medium"),
        ("low", "low"),
        ("none", "low"),
        ("secure", "low"),
        ("critical", "high"),
    ],
)
def test_a_risk_of_okta_is_its_word_and_an_unknown_word_is_the_worst(bench: Bench, level: str, risk: str) -> None:
    payload = claims(events={OKTA + "user-risk-change": {"subject": {"user": JANE}, "current_level": level}})
    answer = bench.receiver.receive("idp", KEY.sign(payload, typ="secevent+jwt"))
    assert isinstance(answer, Received)
    assert {signal.risk.word for signal in answer.signals if signal.risk is not None} == {risk}


@pytest.mark.parametrize(
    "odd",
    [
        {"event_timestamp": NOW * 1000}, {"event_timestamp": NOW * 1_000_000}, {"event_timestamp": NOW * 1000 + 0.5},
        {"reason_admin": "x"}, {"reason_admin": ""}, {"initiating_entity": "robot"}, {"initiating_entity": 5},
        {"reason_user": 7}, {"reason_admin": "x" * 9000},
    ],
)  # fmt: skip
def test_nothing_is_lost_for_a_cosmetic_fault(bench: Bench, odd: dict[str, Any]) -> None:
    assert said(bench, CAEP + "session-revoked", {"subject": JANE, **odd}) == [(END, f"{IDP}#jane")]


def test_two_subjects_that_differ_are_both_meant(bench: Bench) -> None:
    """Which of them is right nobody knows: losing one is worse."""
    found = said(bench, CAEP + "session-revoked", {"subject": KIM}, sub_id=JANE)
    assert found == [(END, f"{IDP}#jane"), (END, f"{IDP}#kim")]
    assert said(bench, CAEP + "session-revoked", {"subject": JANE}, sub_id=JANE, jti="2") == [(END, f"{IDP}#jane")]
    assert said(bench, CAEP + "session-revoked", {"subject": {"format": 5}}, sub_id=JANE, jti="3") == [
        (END, f"{IDP}#jane")
    ]


@pytest.mark.parametrize(
    "events",
    [
        {CAEP + "session-revoked": {}},
        {CAEP + "session-revoked": {"subject": "jane"}},
        {CAEP + "session-revoked": {"subject": JANE}, CAEP + "token-claims-change": {"claims": {}}},
    ],
)
def test_a_token_that_names_nobody_is_refused(bench: Bench, events: dict[str, Any]) -> None:
    """Half of a token would be acknowledged as all of it."""
    payload = claims(events=events)
    del payload["sub_id"]
    answer = bench.receiver.receive("idp", KEY.sign(payload, typ="secevent+jwt"))
    assert isinstance(answer, RefusedSet)
    assert str(answer.code) == "missing_claim"


@pytest.mark.parametrize("subject", [{}, {"subject_type": 5}, {"subject_type": "iss-sub", "iss": IDP}, {"user": {}}])
def test_a_subject_of_an_older_form_is_written_whole(bench: Bench, subject: dict[str, Any]) -> None:
    payload = claims(events={CAEP + "session-revoked": {"subject": subject}})
    del payload["sub_id"]
    answer = bench.receiver.receive("idp", KEY.sign(payload, typ="secevent+jwt"))
    assert isinstance(answer, RefusedSet)
    assert str(answer.code) == "invalid_subject"


@pytest.mark.parametrize(
    ("older", "over", "header", "expected"),
    [
        (True, {"exp": NOW + 43_200}, {"kid": None}, "accept"),
        (True, {"exp": NOW - 43_200}, {}, "accept"),
        (True, {"sub": "jane"}, {}, "has_subject"),
        (True, {"exp": NOW + 60}, {"typ": "JWT"}, "wrong_type"),
        (True, {}, {"kid": "x"}, "unknown_key"),
        (False, {"exp": NOW + 43_200}, {}, "has_expiry"),
        (False, {}, {"kid": None}, "unknown_key"),
    ],
)
def test_a_stream_that_follows_older_drafts_says_so(
    older: bool, over: dict[str, Any], header: dict[str, Any], expected: str
) -> None:
    """login.gov's tokens carry `exp` and no `kid`. Their type alone tells them from assertions, and one key signs."""
    checker = SetVerifier(trust(older=older), KeySet.parse(key_set(KEY)))
    answer = checker.verify(signed(header=header, **over), now=at())
    assert (str(answer.code) if isinstance(answer, RefusedSet) else "accept") == expected


def test_without_a_key_id_there_is_one_key_or_none() -> None:
    checker = SetVerifier(trust(older=True), KeySet.parse(key_set(KEY, OTHER)))
    answer = checker.verify(signed(header={"kid": None}), now=at())
    assert isinstance(answer, RefusedSet)
    assert str(answer.code) == "unknown_key"


def test_the_events_that_were_found_do_what_is_right(bench: Bench) -> None:
    """The file is outside the project; its events are above, too."""
    file = Path(__file__).parents[3] / "shared" / "found" / "events.json"
    if not file.is_file():
        pytest.skip("the collection of found events is not beside this checkout")
    for number, found in enumerate(json.loads(file.read_text("utf-8"))):
        payload = {
            "iss": ISSUER,
            "aud": bench.receiver.streams()[0].audience,
            "iat": NOW,
            "jti": str(number),
            **found["claims"],
        }
        answer = bench.receiver.receive("idp", KEY.sign(payload, typ="secevent+jwt"))
        assert isinstance(answer, Received), found["as"]
        expected = REFUSE if "suspended" in found["right"] else END
        names = {f"{IDP}#jane"} | ({f"{IDP}#kim"} if "both" in found["right"] else set())
        assert {(str(signal.effect), signal.about) for signal in answer.signals} == {(expected, name) for name in names}


def test_an_event_of_a_run_by_its_uri_is_still_read(bench: Bench) -> None:
    assert said(bench, CAEP + "session-revoked", {"subject": URI}) == [(END, SUBJECT)]


@pytest.mark.parametrize("name", sorted({name.rpartition("/")[2] for _, name, _, _ in EVENTS}))
def test_the_page_says_what_was_tried(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "signals.md").read_text("utf-8")
    assert re.search(rf"^\\|.*`{name}`", page, re.MULTILINE)
