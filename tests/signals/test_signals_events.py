"""What each event does, and to whom; and that what is not written as specified does nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from identity.identity_maker import key_set
from starlette.responses import Response

from agentguard.core.declarations import Source
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk
from agentguard.jose.keyset import KeySet
from agentguard.signals import Received, RefusedSet, SetVerifier
from agentguard.signals.caep import EVENTS, read
from signals.conftest import Stage
from signals.signals_maker import CAEP, GOOD, KEY, NOW, OTHER, RUN, SSF, SUBJECT, URI, Bench, at, signed, trust

VECTORS = json.loads((Path(__file__).parent / "vectors" / "ssf_caep_sets.json").read_text())
PAYLOADS = [pytest.param(p, id=f"{part}-{n}") for part in ("caep", "ssf") for n, p in enumerate(VECTORS[part])]
A_RUN = RunState(RUN, "export", "sha256:0", SUBJECT, RunStatus.ACTIVE, 1, at(), requester="user:eli")
IDP = "https://idp.example.com/123456789/"
ADMIN, BY_USER = {"initiating_entity": "admin"}, {"initiating_entity": "user"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, A_RUN)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_example_of_the_specifications_is_understood(payload: dict[str, Any]) -> None:
    """Signed by its own issuer, for its own audience, and read when it is past."""
    audience = payload["aud"][-1] if isinstance(payload["aud"], list) else payload["aud"]
    declared = trust(issuer=payload["iss"], audience=audience)
    token = KEY.sign(payload, typ="secevent+jwt")
    now = at(max(0, payload["iat"] - NOW))

    events = SetVerifier(declared, KeySet.parse(key_set(KEY))).verify(token, now=now)

    assert not isinstance(events, RefusedSet), events
    (statement,) = read(events, declared, now=now)
    (name,) = payload["events"]
    expected = EXPECTED[name.rpartition("/")[2]](payload)
    signal = statement.signal
    assert (str(signal.effect), signal.about, signal.risk) == expected


def _whom(payload: dict[str, Any]) -> str | None:
    """Whom each subject of the examples means, written down once more."""
    subject = payload["sub_id"]
    subject = subject.get("user", subject.get("device", subject))
    match subject["format"]:
        case "iss_sub":
            return f"{subject['iss']}#{subject['sub']}"
        case "email":
            return f"user:{subject['email']}"
        case "opaque":
            return str(subject["id"])
    return None


def _takes(effect: str, risk: Risk | None = None) -> Any:
    def expected(payload: dict[str, Any]) -> Any:
        about = _whom(payload)
        return (effect, about, risk) if about is not None else ("note", None, None)

    return expected


def _assurance(payload: dict[str, Any]) -> Any:
    (event,) = payload["events"].values()
    told = "change_direction" in event
    return ("set_risk", _whom(payload), Risk.LOW) if told else ("note", _whom(payload), None)


EXPECTED = {
    "session-revoked": _takes("end_runs"),
    "token-claims-change": _takes("require_newer"),
    "credential-change": _takes("note"),  # made by the user
    "assurance-level-change": _assurance,
    "device-compliance-change": _takes("set_risk", Risk.HIGH),
    "session-established": _takes("note"),
    "session-presented": _takes("note"),
    "risk-level-change": _takes("set_risk", Risk.LOW),
    "verification": lambda _: ("note", None, None),
    "stream-updated": lambda _: ("note", None, None),
    "account-enabled": _takes("restore_credential"),
    "account-disabled": lambda _: ("note", None, None),
}


def test_there_are_twenty_two_examples() -> None:
    """So that the test above cannot pass by finding nothing."""
    assert len(PAYLOADS) == 22


@pytest.mark.parametrize(
    ("event", "said", "effect", "risk", "source"),
    [
        ("session-revoked", {}, "end_runs", None, "idp"),
        ("token-claims-change", {}, "require_newer", None, "idp"),
        ("credential-change", {"change_type": "revoke"}, "refuse_credential", None, "idp"),
        ("credential-change", {"change_type": "delete"}, "refuse_credential", None, "idp"),
        ("credential-change", {"change_type": "update"}, "require_newer", None, "idp"),
        ("credential-change", {"change_type": "create"}, "restore_credential", None, "idp"),
        ("credential-change", ADMIN | {"change_type": "create"}, "restore_credential", None, "idp"),
        ("credential-change", BY_USER | {"change_type": "create"}, "note", None, "idp"),
        ("credential-change", BY_USER | {"change_type": "revoke"}, "refuse_credential", None, "idp"),
        ("assurance-level-change", {"change_direction": "decrease"}, "set_risk", Risk.MEDIUM, "idp/assurance"),
        ("assurance-level-change", {"change_direction": "increase"}, "set_risk", Risk.LOW, "idp/assurance"),
        ("assurance-level-change", {"change_direction": None}, "note", None, "idp"),
        ("device-compliance-change", {}, "set_risk", Risk.HIGH, "idp/device"),
        ("device-compliance-change", {"current_status": "compliant"}, "set_risk", Risk.LOW, "idp/device"),
        ("session-established", {}, "note", None, "idp"),
        ("session-presented", {}, "note", None, "idp"),
        ("risk-level-change", {"current_level": "LOW"}, "set_risk", Risk.LOW, "idp/risk"),
        ("risk-level-change", {"current_level": "MEDIUM"}, "set_risk", Risk.MEDIUM, "idp/risk"),
        ("risk-level-change", {"current_level": "HIGH"}, "set_risk", Risk.HIGH, "idp/risk"),
    ],
)  # fmt: skip
def test_each_event_has_its_effect(
    bench: Bench, event: str, said: dict[str, Any], effect: str, risk: Risk | None, source: str
) -> None:
    """The table of docs/signals.md, as the receiver applies it."""
    signal = bench.signal(event, said=said)

    assert (str(signal.effect), signal.risk, signal.source, signal.about) == (effect, risk, source, SUBJECT)
    assert signal.event == event
    assert bench.hand.applied == [signal]


def test_every_caep_event_is_tested_above_and_there_are_eight() -> None:
    """A ninth row in the table needs its tests."""
    assert {CAEP + event for event in GOOD} == {name for name in EVENTS if name.startswith(CAEP)}
    assert len(GOOD) == 8


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("session-revoked", {"event_timestamp": str(NOW)}),
        ("session-revoked", {"event_timestamp": True}),
        ("session-revoked", {"reason_admin": {"en": 5}}),
        ("token-claims-change", {"claims": None}),
        ("token-claims-change", {"claims": ["role"]}),
        ("credential-change", {"credential_type": None}),
        ("credential-change", {"credential_type": 7}),
        ("credential-change", {"change_type": None}),
        ("credential-change", {"change_type": "REVOKE"}),
        ("credential-change", {"change_type": ["revoke"]}),
        ("credential-change", {"friendly_name": 7}),
        ("credential-change", {"friendly_name": "a\u202eb"}),
        ("credential-change", {"change_type": "create", "initiating_entity": "root"}),
        ("assurance-level-change", {"namespace": None}),
        ("assurance-level-change", {"current_level": None}),
        ("assurance-level-change", {"change_direction": "up"}),
        ("device-compliance-change", {"current_status": None}),
        ("device-compliance-change", {"current_status": "noncompliant"}),
        ("device-compliance-change", {"previous_status": 1}),
        ("risk-level-change", {"principal": None}),
        ("risk-level-change", {"principal": "user"}),
        ("risk-level-change", {"current_level": None}),
        ("risk-level-change", {"current_level": "high"}),
        ("risk-level-change", {"current_level": 2}),
        ("risk-level-change", {"previous_level": "NONE"}),
        ("risk-level-change", {"risk_reason": {}}),
        (f"{SSF}verification", {"state": 5}),
        (f"{SSF}stream-updated", {}),
        (f"{SSF}stream-updated", {"status": "off"}),
        (f"{SSF}stream-updated", {"status": "paused", "reason": []}),
    ],
)
def test_an_event_that_is_not_written_as_specified_is_refused_and_changes_nothing(
    bench: Bench, event: str, said: dict[str, Any]
) -> None:
    """A guess could take power from the wrong people, or give it back."""
    answer = bench.take(event, said=said)

    assert isinstance(answer, RefusedSet)
    assert (str(answer.code), answer.error) == ("invalid_event", "invalid_request")
    assert bench.hand.heard == set()


def test_one_bad_event_spoils_the_whole_token(bench: Bench) -> None:
    """Half of a token would be acknowledged as all of it."""
    events = {CAEP + "session-revoked": {}, CAEP + "token-claims-change": {}}

    assert isinstance(bench.take(events=events), RefusedSet)
    assert bench.hand.applied == []


def test_several_events_of_one_token_are_applied_together(bench: Bench) -> None:
    """SSF 1.0 wants one; RFC 8417 allows several."""
    events = {CAEP + event: said for event, said in GOOD.items()}

    assert len(bench.signals(events=events)) == 8
    assert len(bench.hand.heard) == 1


def test_an_unknown_event_is_recorded_and_changes_nothing(bench: Bench) -> None:
    """A transmitter may know more events than we do."""
    signal = bench.signal("https://schemas.openid.net/secevent/risc/event-type/opt-in")

    assert signal.effect is SignalEffect.NOTE
    assert signal.event == "https://schemas.openid.net/secevent/risc/event-type/opt-in"
    assert "no effect" in signal.why


def test_when_it_happened_is_what_the_event_says_else_when_it_was_said(bench: Bench) -> None:
    """A run that began after the session was revoked is another session."""
    assert bench.signal("session-presented", said={"event_timestamp": NOW - 100}).at == at(-100)
    assert bench.signal("session-presented", jti="j-2", iat=NOW - 7).at == at(-7)
    assert bench.signal("session-presented", jti="j-3", said={"event_timestamp": NOW + 5}).at == at(5)


@pytest.mark.parametrize(
    ("stamp", "moment"), [(-100, -99.000001), (-100.5, -100.5), (0, 0.25), (-1, -0.000001), (3, 3)]
)
def test_what_is_written_in_whole_seconds_happened_by_the_end_of_that_second(
    bench: Bench, stamp: float, moment: float
) -> None:
    """An assertion of the very second in which its claims changed may be the old one. Ours is a quarter past."""
    bench.now = at(0.25)

    assert bench.signal("token-claims-change", said={"event_timestamp": NOW + stamp}).at == at(moment)


@pytest.mark.parametrize(
    ("stamp", "moment"), [(-100, -94.000001), (-100.5, -95.5), (0, 0.25), (-4, 0.25), (-5.5, -0.5), (3, 3)]
)
def test_a_run_may_have_begun_before_its_session_was_revoked_by_as_much_as_clocks_may_differ(
    bench: Bench, stamp: float, moment: float
) -> None:
    """Runs begin by our clock: one begun by a thief four seconds ago is not spared by another that is behind."""
    bench.now = at(0.25)

    assert bench.signal("session-revoked", said={"event_timestamp": NOW + stamp}).at == at(moment)


@pytest.mark.parametrize(
    ("reasons", "kept"),
    [
        ({"en": "English", "de": "Deutsch"}, "English"),
        ({"it": "Italiano", "de": "Deutsch"}, "Deutsch"),
        ({}, ""),
        ({"en": "x" * 1000}, "x" * 500),
    ],
)
def test_the_transmitters_reason_stands_in_the_record(bench: Bench, reasons: dict[str, str], kept: str) -> None:
    """A reviewer wants to know why; a record wants an end."""
    assert bench.signal(said={"reason_admin": reasons}).why == kept


@pytest.mark.parametrize("status", ["enabled", "paused", "disabled"])
def test_a_stream_says_what_it_is(bench: Bench, status: str) -> None:
    """A stream that is paused says nothing, and silence must not look like peace."""
    subject = {"format": "opaque", "id": "stream-1"}
    signal = bench.signal(f"{SSF}stream-updated", subject=subject, said={"status": status})

    assert bench.hand.statuses == [status]
    assert (signal.effect, signal.about, signal.event) == (SignalEffect.NOTE, None, "stream-updated")


def test_a_verification_shows_that_the_stream_is_alive(bench: Bench) -> None:
    """It is about the stream itself, whatever its id looks like, and about nobody's run."""
    signal = bench.signal(
        f"{SSF}verification", subject={"format": "opaque", "id": RUN}, said={"state": "abc"}, iat=NOW - 3
    )

    assert (signal.effect, signal.about, signal.run_id) == (SignalEffect.NOTE, None, None)
    assert (bench.hand.heard_at, bench.hand.statuses) == ([at(-3)], [None])


def test_a_verification_that_was_asked_for_must_answer_the_question(bench: Bench) -> None:
    """An old answer is no answer. One that bears no state is a sign of life like any other."""

    def verification(jti: str, state: str | None) -> bool:
        opaque = {"format": "opaque", "id": "stream-1"}
        said = {} if state is None else {"state": state}
        return isinstance(bench.take(f"{SSF}verification", subject=opaque, said=said, jti=jti), Received)

    assert verification("1", "anything")
    bench.receiver.expect("idp", "first")
    bench.receiver.expect("idp", "second")
    assert [verification(f"2{state}", state) for state in ("first", "second", None, "", "second ")] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert isinstance(bench.take("session-revoked", jti="3"), Received)


def iss_sub(subject: str) -> dict[str, str]:
    return {"format": "iss_sub", "iss": IDP, "sub": subject}


JANE, PHONE = iss_sub("jane"), {"format": "phone_number", "phone_number": "+1 206 555 0123"}
OURS, THEIRS = {"format": "opaque", "id": RUN}, {"format": "opaque", "id": "dMTlD|16"}
NAMED_JANE = (f"{IDP}#jane", None)
NOBODY = (None, None)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (URI, (SUBJECT, None)),
        (JANE, NAMED_JANE),
        (OURS, (None, RUN)),
        (THEIRS, ("dMTlD|16", None)),
        ({"format": "opaque", "id": "r-5f0c"}, ("r-5f0c", None)),
        ({"format": "opaque", "id": RUN.upper()}, (RUN.upper(), None)),
        ({"format": "email", "email": "eli@corp.example"}, ("user:eli@corp.example", None)),
        ({"format": "account", "uri": "acct:eli@corp.example"}, ("user:eli@corp.example", None)),
        (PHONE, NOBODY),
        ({"format": "jwt_id", "iss": IDP, "jti": "x"}, NOBODY),
        ({"format": "complex", "session": OURS, "user": JANE}, (None, RUN)),
        ({"format": "complex", "session": THEIRS, "user": JANE}, NAMED_JANE),
        ({"format": "complex", "session": THEIRS}, ("dMTlD|16", None)),
        ({"format": "complex", "session": PHONE, "user": JANE}, NAMED_JANE),
        ({"format": "complex", "user": PHONE, "application": URI}, (SUBJECT, None)),
        ({"format": "complex", "application": URI, "device": JANE}, (SUBJECT, None)),
        ({"format": "complex", "device": JANE, "tenant": THEIRS}, NAMED_JANE),
        ({"format": "complex", "tenant": THEIRS}, NOBODY),
    ],
)
def test_whom_a_subject_identifier_means(bench: Bench, subject: dict[str, Any], expected: Any) -> None:
    """Exactly whom it names, the narrowest part of a complex one, and nobody where we know no such kind."""
    signal = bench.signal(subject=subject)

    assert (signal.about, signal.run_id) == expected
    assert signal.effect is (SignalEffect.NOTE if expected == NOBODY else SignalEffect.END_RUNS)


def test_every_alias_is_meant(bench: Bench) -> None:
    """One person under several names is still to be stopped under each."""
    aliases = {"format": "aliases", "identifiers": [JANE, PHONE, JANE, {"format": "email", "email": "jane@x.example"}]}
    signals = bench.signals(subject=aliases)

    assert [(s.about, str(s.effect)) for s in signals] == [
        (f"{IDP}#jane", "end_runs"),
        (None, "note"),
        ("user:jane@x.example", "end_runs"),
    ]


@pytest.mark.parametrize(
    "subject",
    [
        {},
        {"format": 5},
        {"format": "uri"},
        {"format": "uri", "uri": ""},
        {"format": "uri", "uri": SUBJECT, "url": "x"},
        {"format": "uri", "uri": "spiffe://corp.example/\u200bx"},
        {"format": "uri", "uri": "x" * 2049},
        {"format": "iss_sub", "iss": IDP},
        {"format": "iss_sub", "iss": IDP + "#x", "sub": "y"},
        {"format": "iss_sub", "iss": IDP, "sub": ["jane"]},
        {"format": "email", "email": {"a": 1}},
        {"format": "account", "uri": "mailto:eli@corp.example"},
        {"format": "account", "uri": "acct:"},
        {"format": "aliases", "identifiers": []},
        {"format": "aliases", "identifiers": [JANE] * 33},
        {"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [JANE]}]},
        {"format": "aliases", "identifiers": [{"format": "complex", "user": JANE}]},
        {"format": "aliases", "identifiers": JANE},
        {"format": "aliases", "identifiers": [JANE], "more": 1},
        {"format": "complex"},
        {"format": "complex", "user": "jane"},
        {"format": "complex", "user": {"format": "complex", "user": JANE}},
        {"format": "complex", "user": JANE, "device": {"format": "iss_sub"}},
    ],
)
def test_a_subject_identifier_that_is_written_wrongly_is_refused(bench: Bench, subject: dict[str, Any]) -> None:
    """Members that do not belong there are how two readers come to see two subjects."""
    answer = bench.take(subject=subject)

    assert isinstance(answer, RefusedSet)
    assert str(answer.code) == "invalid_subject"
    assert bench.hand.applied == []


@pytest.mark.parametrize(
    ("principal", "about"),
    [
        ("USER", f"{IDP}#jane"),
        ("DEVICE", f"{IDP}#laptop"),
        ("SESSION", None),
        ("TENANT", f"{IDP}#corp"),
        ("GROUP", None),
    ],
)
def test_the_principal_of_a_risk_says_which_part_of_the_subject_is_at_risk(
    bench: Bench, principal: str, about: str | None
) -> None:
    """A laptop at risk is not its owner at risk everywhere. A part that is not named falls back to the narrowest."""
    subject = {
        "format": "complex", "session": OURS, "user": JANE, "device": iss_sub("laptop"), "tenant": iss_sub("corp"),
    }  # fmt: skip
    signal = bench.signal("risk-level-change", subject=subject, said={"principal": principal})

    assert (signal.about, signal.run_id) == (about, RUN if about is None else None)


@pytest.mark.parametrize(
    ("about", "subject", "believed"),
    [
        ((), URI, True),
        ((SUBJECT,), URI, True),
        ((SUBJECT + "/x",), URI, False),
        ((SUBJECT[:-1],), URI, False),
        (("spiffe://corp.example/agent/*",), URI, True),
        (("spiffe://corp.example/agent/exporter/*",), URI, False),
        (("spiffe://corp.example/ag*",), URI, False),
        (("spiffe://corp.example/*",), {"format": "uri", "uri": "spiffe://corp.example/"}, False),
        (("spiffe://corp.example/*",), {"format": "uri", "uri": "spiffe://corp.example.evil/x"}, False),
        ((IDP + "#*",), JANE, True),
        ((IDP + "#*",), URI, False),
        (("user:jane",), JANE, False),
        (("user:eli",), JANE, False),
        (("user:eli",), {"format": "opaque", "id": "r-" + "0b" * 16}, False),
        ((SUBJECT,), OURS, True),
        (("user:eli",), OURS, True),
        (("user:jane",), OURS, False),
        ((SUBJECT,), {"format": "opaque", "id": "r-" + "0b" * 16}, False),
    ],
)
def test_a_stream_is_believed_about_those_that_trust_lists(
    tmp_path: Path, about: tuple[str, ...], subject: dict[str, Any], believed: bool
) -> None:
    """A run is spoken of by whoever may speak of its subject or of the person it is for; a stranger's run never is."""
    bench = Bench(tmp_path, A_RUN, about=about)
    signal = bench.signal("risk-level-change", subject=subject)

    assert (signal.effect is SignalEffect.SET_RISK) is believed
    assert ("may not speak" in signal.why) is not believed
    assert (signal.risk is not None) is believed


STORE = "https://store.example"
AT_STORE = {"format": "iss_sub", "iss": STORE, "sub": "deploy"}


def _changed(bench: Bench, change: str, name: str | None = "deploy-store", **over: Any) -> Signal:
    return bench.signal("credential-change", said={"change_type": change, "friendly_name": name}, **over)


@pytest.mark.parametrize(
    ("change", "effect", "credential"),
    [
        ("revoke", "refuse_credential", "deploy-store"),
        ("delete", "refuse_credential", "deploy-store"),
        ("create", "restore_credential", "deploy-store"),
        ("update", "note", None),
    ],
)
def test_a_credential_that_tools_use_is_named_by_a_stream_that_may_speak_of_it(
    tmp_path: Path, change: str, effect: str, credential: str | None
) -> None:
    """A new value of a credential refuses nothing: tools read it from where it is kept."""
    bench = Bench(tmp_path, about=(STORE + "#*", "credential:deploy-store"))
    signal = _changed(bench, change, subject=AT_STORE)

    assert (str(signal.effect), signal.credential) == (effect, credential)


@pytest.mark.parametrize(
    ("about", "name", "subject", "expected"),
    [
        ((), "deploy-store", AT_STORE, ("refuse_credential", None)),
        ((STORE + "#*",), "deploy-store", AT_STORE, ("refuse_credential", None)),
        ((STORE + "#*", "credential:deploy-store"), "deploy-store2", AT_STORE, ("refuse_credential", None)),
        ((STORE + "#*", "credential:deploy-store"), None, AT_STORE, ("refuse_credential", None)),
        ((STORE + "#*", "credential:*"), "deploy-store", AT_STORE, ("refuse_credential", None)),
        ((STORE + "#*", "credential:deploy-store"), "deploy-store", JANE, ("note", None)),
        ((STORE + "#*", "credential:deploy-store"), "deploy-store", PHONE, ("note", None)),
        (("credential:deploy-store",), "deploy-store", AT_STORE, ("note", None)),
    ],
)
def test_a_friendly_name_alone_names_nothing_of_ours(
    tmp_path: Path, about: tuple[str, ...], name: str | None, subject: dict[str, Any], expected: Any
) -> None:
    """A user may call a key `deploy-store` and delete it: what is refused then is the user, not the pipeline."""
    signal = _changed(Bench(tmp_path, about=about), "revoke", name, subject=subject)

    assert (str(signal.effect), signal.credential) == expected


def test_a_token_counts_once_and_is_acknowledged_twice(bench: Bench) -> None:
    """A transmitter that lost our answer sends it again, and must be told that all is well."""
    first, second = bench.take(), bench.take()

    assert isinstance(first, Received) and first.fresh
    assert isinstance(second, Received) and not second.fresh
    assert len(bench.hand.applied) == 1


def test_what_was_held_back_on_the_way_proves_nothing_about_now(bench: Bench) -> None:
    """A stream counts as heard when its token was issued, and never in the future."""
    bench.take(jti="late", iat=NOW - 3600)
    bench.take(jti="ahead", iat=NOW + 5)

    assert bench.hand.heard_at == [at(-3600), at()]


def test_a_stream_that_trust_does_not_name_is_nobody(bench: Bench) -> None:
    """The stream is the address it came to; the token cannot choose one."""
    answer = bench.receiver.receive("other", signed())

    assert isinstance(answer, RefusedSet)
    assert bench.hand.applied == []


def test_a_bundle_that_is_reloaded_counts_for_the_next_token(bench: Bench) -> None:
    """A revoked key must not sign on until the receiver is started again."""
    assert isinstance(bench.take(jti="before"), Received)
    bench.streams = type(bench.streams)((trust(revoked_keys=("s1",)),), bench.streams.directory)
    refused = bench.take(jti="after")
    bench.streams = type(bench.streams)((trust(keys_file="gone.json"),), bench.streams.directory)
    later = bench.take(jti="later")

    assert isinstance(refused, RefusedSet) and str(refused.code) == "revoked_key"
    assert isinstance(later, RefusedSet) and later.try_again


@pytest.mark.parametrize("over", [{"iat": NOW + 30}, {"nbf": NOW + 30}, {"said": {"event_timestamp": NOW + 30}}])
def test_a_signal_from_the_future_is_asked_for_again_and_counts_when_its_time_has_come(
    bench: Bench, over: dict[str, Any]
) -> None:
    """The transmitter's clock is half a minute ahead, or ours is behind: either way its revocations must arrive."""
    early = bench.take(**over)
    bench.now = at(25)
    later = bench.take(**over)

    assert isinstance(early, RefusedSet) and early.try_again
    assert isinstance(later, Received) and later.fresh


@pytest.mark.parametrize(("use", "believed"), [("sig", True), (None, True), ("enc", False), ("jwt-svid", False)])
def test_a_streams_key_is_for_signing_or_does_not_say(use: str | None, believed: bool, tmp_path: Path) -> None:
    """`use` is optional (RFC 7517): a transmitter that leaves it out would be refused for ever."""
    bench = Bench(tmp_path)
    published = {**{name: value for name, value in KEY.jwk.items() if name != "use"}, **({"use": use} if use else {})}
    (tmp_path / "idp.jwks.json").write_bytes(key_set(published))

    assert isinstance(bench.take(), Received) is believed


def test_a_reload_does_not_make_a_streams_keys_unknown(tmp_path: Path, stage: Stage) -> None:
    """Its key server may be down just then, and a signal that is not believed takes nothing away."""
    asked: list[str] = []

    async def keys(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await Response(key_set(KEY), 200 if len(asked) == 1 else 500)(scope, receive, send)

    stage.app = keys
    bench = Bench(tmp_path, keys_file=None, keys_url=f"http://127.0.0.1:{stage.port}/keys")
    assert isinstance(bench.take(jti="before"), Received)
    moved = dataclasses.replace(bench.streams.trusts[0], source=Source("trust.yaml", 9))
    bench.streams = type(bench.streams)((moved,), bench.streams.directory)

    assert isinstance(bench.take(jti="after"), Received)
    assert asked == ["/keys"]


def test_a_signal_by_a_new_key_is_asked_for_again_while_the_key_server_is_down(tmp_path: Path, stage: Stage) -> None:
    """Refused for good, it would be lost for good: whose key it is could not be found out."""
    status = [200]

    async def keys(scope: Any, receive: Any, send: Any) -> None:
        await Response(key_set(KEY), status[0])(scope, receive, send)

    stage.app = keys
    passed = [0.0]
    bench = Bench(tmp_path, keys_file=None, keys_url=f"http://127.0.0.1:{stage.port}/keys", monotonic=lambda: passed[0])
    assert isinstance(bench.take(), Received)
    found = []
    for status[0], passed[0] in ((500, 20.0), (200, 40.0)):
        answer = bench.receiver.receive("idp", signed(key=OTHER))
        assert isinstance(answer, RefusedSet)
        found.append((str(answer.code), answer.try_again))

    assert found == [("keys_unavailable", True), ("unknown_key", False)]


def test_a_refusal_is_told_to_our_own_people(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An event that takes no effect is one that somebody meant to have one."""
    bench.take(aud="https://other.example/\u202e")

    assert "stream `idp` was refused: wrong_audience" in caplog.text
    assert "\u202e" not in caplog.text
