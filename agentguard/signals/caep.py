"""What each event means here: the eight of CAEP 1.0, those of RISC 1.0 that are about an account, what Okta and
login.gov send beside them, and the two by which a stream speaks of itself (SSF 1.0).

One table, one reader a row. A reader looks at its own event and nothing else, and refuses what is not written as the
specification has it: a guess could take power from the wrong people, or give it back. What only explains (a reason as
one text, an unknown initiator, a time in milliseconds) is no ground to lose a revocation. An event of a type that is
not in the table is recorded, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agentguard.core.declarations import StreamTrust
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Json, Risk
from agentguard.jose.refusal import shown
from agentguard.signals.refusal import SetRefusal, SetRefused
from agentguard.signals.sets import SecurityEvents, numeric_date, plain_text
from agentguard.signals.subjects import NOBODY, Whom, as_written_now, whom

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
OAUTH = "https://schemas.openid.net/secevent/oauth/event-type/"
OKTA = "https://schemas.okta.com/secevent/okta/event-type/"
LOGIN_GOV = "https://schemas.login.gov/secevent/risc/event-type/"

STATUSES = ("enabled", "paused", "disabled")
# What a record holds of somebody else's reason.
_MAX_REASON = 500
# What these take away is whatever began before they happened.
_UP_TO = frozenset({SignalEffect.END_RUNS, SignalEffect.REQUIRE_NEWER})
_REST_OF_A_SECOND = timedelta(microseconds=999_999)
_NOTED = "this type of event has no effect here"

Event = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one event does. ``also``: what it does besides.

    ``opinion``: this source's word of that name stands apart from its others, so that it takes back only itself.
    ``principal``: the part of a complex subject that is meant. ``credential``: the one it names. ``status``: what
    the stream is from now on. ``state``: what a verification was asked for with.
    """

    effect: SignalEffect
    also: SignalEffect | None = None
    risk: Risk | None = None
    opinion: str | None = None
    principal: str | None = None
    credential: str | None = None
    status: str | None = None
    state: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One signal, before it is known whether its stream may speak of whom it is about."""

    signal: Signal
    status: str | None = None
    state: str | None = None


def read(events: SecurityEvents, trust: StreamTrust, *, now: datetime) -> tuple[Statement, ...]:
    """Everything a verified SET says. Raises SetRefused: then none of it counts."""
    return tuple(
        statement for name, event in events.events.items() for statement in _read(events, trust, name, event, now)
    )


def _read(events: SecurityEvents, trust: StreamTrust, name: str, event: Event, now: datetime) -> Iterator[Statement]:
    reader = EVENTS.get(name)
    meaning = Meaning(SignalEffect.NOTE, why=_NOTED) if reader is None else reader(event)
    everybody = _everybody(events.subject, event, meaning.principal)
    when, why = _moment(event, events.issued_at, now + trust.skew), meaning.why or _reason(event)
    for effect in (meaning.effect, *([] if meaning.also is None else [meaning.also])):
        at = when
        if effect in _UP_TO:
            at = _at_the_latest(at, now, trust.skew if effect is SignalEffect.END_RUNS else timedelta(0))
        for one in everybody:
            # A stream speaks of itself by its own id, which is nobody's name here.
            about = NOBODY if name.startswith(SSF) else one
            yield Statement(_signal(trust.name, name, meaning, effect, about, at, why), meaning.status, meaning.state)


def _everybody(subject: Json, event: Event, principal: str | None) -> tuple[Whom, ...]:
    """Whom the token's ``sub_id`` means, and whom the event's own ``subject`` does (RISC, and drafts before SSF 1.0).

    Where both are there and differ, the event counts for both; one that cannot be read is no ground to lose the other.
    """
    inner = event.get("subject")
    if subject is None:
        return whom(as_written_now(inner), principal=principal)
    outer = whom(subject, principal=principal)
    if not isinstance(inner, dict):
        return outer
    try:
        return tuple(dict.fromkeys((*outer, *whom(as_written_now(inner), principal=principal))))
    except SetRefused:
        return outer


def _signal(
    stream: str, name: str, meaning: Meaning, effect: SignalEffect, one: Whom, at: datetime, why: str
) -> Signal:
    if effect is not SignalEffect.NOTE and one == NOBODY:
        effect, why = SignalEffect.NOTE, "it is about nobody here"
    return Signal(
        source=stream if meaning.opinion is None else f"{stream}/{meaning.opinion}",
        event=name.removeprefix(CAEP).removeprefix(SSF),
        effect=effect,
        at=at,
        about=one.about,
        run_id=one.run_id,
        credential=meaning.credential,
        risk=meaning.risk if effect is SignalEffect.SET_RISK else None,
        why=why,
    )


def _at_the_latest(at: datetime, now: datetime, skew: timedelta) -> datetime:
    """When it may have happened, by our clock: what is written in whole seconds, at any time within one.

    ``skew``: how far the stream's clock may be behind the one that it is compared with. Never after it was told.
    """
    return max(at, min(at + skew + (timedelta(0) if at.microsecond else _REST_OF_A_SECOND), now))


def _moment(event: Event, issued: datetime, latest: datetime) -> datetime:
    """When it happened: what the event says, else when it was said."""
    if "event_timestamp" not in event:
        return issued
    seconds = _seconds(event["event_timestamp"])
    if seconds is None:
        raise SetRefused(SetRefusal.INVALID_EVENT, "`event_timestamp` is not a number of seconds since 1970")
    if seconds > latest.timestamp():
        raise SetRefused(SetRefusal.NOT_YET_VALID, "`event_timestamp` lies in the future")
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(stamp: Json) -> float | None:
    """Seconds since 1970. What would lie past the year 9999 is in milliseconds, or in microseconds."""
    seconds = numeric_date(stamp)
    for _ in range(2):
        if seconds is None and isinstance(stamp, int | float) and not isinstance(stamp, bool):
            stamp = stamp / 1000
            seconds = numeric_date(stamp)
    return seconds


def _reason(event: Event) -> str:
    """What the transmitter's administrators are told, in English where it is there."""
    reasons = event.get("reason_admin", {})
    if isinstance(reasons, str):
        return reasons[:_MAX_REASON]
    if not isinstance(reasons, dict) or not all(isinstance(text, str) for text in reasons.values()):
        raise SetRefused(SetRefusal.INVALID_EVENT, "`reason_admin` is not an object of texts by language")
    language = "en" if "en" in reasons else min(reasons, default="")
    return str(reasons.get(language, ""))[:_MAX_REASON]


def _one_of(event: Event, name: str, words: Collection[str]) -> str:
    word = _optional(event, name, words)
    if word is None:
        raise SetRefused(SetRefusal.INVALID_EVENT, f"`{name}` is missing")
    return word


def _optional(event: Event, name: str, words: Collection[str]) -> str | None:
    if name not in event:
        return None
    word = event[name]
    if not isinstance(word, str) or word not in words:
        raise SetRefused(SetRefusal.INVALID_EVENT, f"`{name}` is {shown(word)}, not one of {', '.join(words)}")
    return word


def _text(event: Event, name: str) -> str:
    text = plain_text(event.get(name))
    if text is None:
        raise SetRefused(SetRefusal.INVALID_EVENT, f"`{name}` is missing, or no text that can be shown")
    return text


_INITIATORS = ("admin", "user", "policy", "system")
_COMPLIANCE = {"compliant": Risk.LOW, "not-compliant": Risk.HIGH}
_DIRECTIONS = {"increase": Risk.LOW, "decrease": Risk.MEDIUM}
_LEVELS = {"LOW": Risk.LOW, "MEDIUM": Risk.MEDIUM, "HIGH": Risk.HIGH}
# CAEP 1.0 section 3.8: who is at risk, and the member of a complex subject that names them.
_PRINCIPALS = {
    "USER": "user",
    "DEVICE": "device",
    "SESSION": "session",
    "TENANT": "tenant",
    "ORG_UNIT": "org_unit",
    "GROUP": "group",
}


def _session_revoked(_: Event) -> Meaning:
    return Meaning(SignalEffect.END_RUNS)


def _all_must_be_new(_: Event) -> Meaning:
    """Whoever holds a session or a token now may not be whom it was given to."""
    return Meaning(SignalEffect.END_RUNS, also=SignalEffect.REQUIRE_NEWER)


def _account_disabled(_: Event) -> Meaning:
    return Meaning(SignalEffect.REFUSE_CREDENTIAL, opinion="account")


def _account_enabled(_: Event) -> Meaning:
    return Meaning(SignalEffect.RESTORE_CREDENTIAL, opinion="account")


def _account_purged(_: Event) -> Meaning:
    """It never comes back; an account that is enabled later is another's word."""
    return Meaning(SignalEffect.REFUSE_CREDENTIAL, also=SignalEffect.END_RUNS, opinion="purged")


# Okta's words beside CAEP's, in lower case. A word that nobody knows is the worst: something was said of a risk.
_OKTA_LEVELS = {"none": Risk.LOW, "secure": Risk.LOW, "low": Risk.LOW, "medium": Risk.MEDIUM, "high": Risk.HIGH}


def _okta_risk(principal: str, opinion: str) -> Callable[[Event], Meaning]:
    def meaning(event: Event) -> Meaning:
        level = _OKTA_LEVELS.get(_text(event, "current_level").lower(), Risk.HIGH)
        return Meaning(SignalEffect.SET_RISK, risk=level, opinion=opinion, principal=principal)

    return meaning


def _token_claims_change(event: Event) -> Meaning:
    if not isinstance(event.get("claims"), dict):
        raise SetRefused(SetRefusal.INVALID_EVENT, "`claims` is missing, or no JSON object")
    return Meaning(SignalEffect.REQUIRE_NEWER)


def _credential_change(event: Event) -> Meaning:
    _text(event, "credential_type")
    change = _one_of(event, "change_type", _CHANGES)
    name = _text(event, "friendly_name") if "friendly_name" in event else None
    effect, why = _CHANGES[change], ""
    if change == "create" and _optional(event, "initiating_entity", _INITIATORS) == "user":
        # Whoever has taken over an account can enrol a credential of their own: that gives nothing back.
        effect, why = SignalEffect.NOTE, "a credential that users make themselves restores nothing"
    return Meaning(effect, credential=name, why=why)


_CHANGES = {
    "create": SignalEffect.RESTORE_CREDENTIAL,
    "revoke": SignalEffect.REFUSE_CREDENTIAL,
    "update": SignalEffect.REQUIRE_NEWER,
    "delete": SignalEffect.REFUSE_CREDENTIAL,
}


def _assurance_level_change(event: Event) -> Meaning:
    _text(event, "namespace"), _text(event, "current_level")
    direction = _optional(event, "change_direction", _DIRECTIONS)
    if direction is None:
        return Meaning(SignalEffect.NOTE, why="it does not say whether the level rose or fell")
    return Meaning(SignalEffect.SET_RISK, risk=_DIRECTIONS[direction], opinion="assurance")


def _device_compliance_change(event: Event) -> Meaning:
    _optional(event, "previous_status", _COMPLIANCE)
    status = _one_of(event, "current_status", _COMPLIANCE)
    return Meaning(SignalEffect.SET_RISK, risk=_COMPLIANCE[status], opinion="device")


def _risk_level_change(event: Event) -> Meaning:
    _optional(event, "previous_level", _LEVELS)
    principal = _PRINCIPALS[_one_of(event, "principal", _PRINCIPALS)]
    level = _LEVELS[_one_of(event, "current_level", _LEVELS)]
    reason = f"risk_reason: {_text(event, 'risk_reason')[:_MAX_REASON]}" if "risk_reason" in event else ""
    return Meaning(SignalEffect.SET_RISK, risk=level, opinion="risk", principal=principal, why=reason)


def _note(_: Event) -> Meaning:
    return Meaning(SignalEffect.NOTE)


def _verification(event: Event) -> Meaning:
    state = event.get("state")
    if "state" in event and not isinstance(state, str):
        raise SetRefused(SetRefusal.INVALID_EVENT, "`state` is no text")
    return Meaning(SignalEffect.NOTE, state=state if isinstance(state, str) else None, why="the stream is alive")


def _stream_updated(event: Event) -> Meaning:
    status = _one_of(event, "status", STATUSES)
    reason = f": {_text(event, 'reason')[:_MAX_REASON]}" if "reason" in event else ""
    return Meaning(SignalEffect.NOTE, status=status, why=f"the stream is {status}{reason}")


EVENTS: Mapping[str, Callable[[Event], Meaning]] = {
    f"{CAEP}session-revoked": _session_revoked,
    f"{CAEP}token-claims-change": _token_claims_change,
    f"{CAEP}credential-change": _credential_change,
    f"{CAEP}assurance-level-change": _assurance_level_change,
    f"{CAEP}device-compliance-change": _device_compliance_change,
    f"{CAEP}session-established": _note,
    f"{CAEP}session-presented": _note,
    f"{CAEP}risk-level-change": _risk_level_change,
    f"{RISC}account-credential-change-required": _all_must_be_new,
    f"{RISC}account-disabled": _account_disabled,
    f"{RISC}account-enabled": _account_enabled,
    f"{RISC}account-purged": _account_purged,
    f"{RISC}credential-compromise": _all_must_be_new,
    f"{RISC}identifier-changed": _all_must_be_new,
    f"{RISC}identifier-recycled": _all_must_be_new,
    f"{RISC}sessions-revoked": _session_revoked,
    f"{RISC}tokens-revoked": _all_must_be_new,
    f"{OAUTH}token-revoked": _all_must_be_new,
    f"{OAUTH}tokens-revoked": _all_must_be_new,
    f"{OKTA}user-risk-change": _okta_risk("user", "risk"),
    f"{OKTA}device-risk-change": _okta_risk("device", "device"),
    f"{LOGIN_GOV}password-reset": _all_must_be_new,
    f"{LOGIN_GOV}mfa-limit-account-locked": _session_revoked,
    f"{SSF}verification": _verification,
    f"{SSF}stream-updated": _stream_updated,
}
