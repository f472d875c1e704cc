"""Whom a subject identifier (RFC 9493, and the complex subjects of SSF 1.0) means here.

Nothing is looked up; two spellings of one name are one, as ``core.people`` says. A format that names
nobody here (a phone number, a tenant, a token's id) is no error; one that is written wrongly is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agentguard.core.people import who
from agentguard.core.values import Json
from agentguard.jose.refusal import shown
from agentguard.signals.refusal import SetRefusal, SetRefused
from agentguard.signals.sets import plain_text

# One person has a handful of names.
_MAX_ALIASES = 32
# As the guard makes them: other opaque ids are subjects' names.
_RUN_ID = re.compile(r"r-[0-9a-f]{32}")
# Which part of a complex subject an event is about, narrowest first. Tenants and groups are nobody's run.
_NARROWEST_FIRST = ("session", "user", "application", "device")


@dataclass(frozen=True, slots=True)
class Whom:
    """One run, or a subject or person by name; neither: nobody here."""

    about: str | None = None
    run_id: str | None = None


NOBODY = Whom()


def whom(identifier: Json, *, principal: str | None = None) -> tuple[Whom, ...]:
    """Everybody an identifier means. ``principal`` is the part of a complex one that is meant, where it has it.

    Raises SetRefused (``invalid_subject``).
    """
    kind, members = _read(identifier)
    if kind == "aliases":
        return tuple(dict.fromkeys(_simple(one) for one in _aliases(members)))
    if kind == "complex":
        return (_complex(members, principal),)
    return (_simple(identifier),)


def as_written_now(identifier: Json) -> Json:
    """An identifier of the drafts before RFC 9493, as Google, Okta and login.gov write it, in today's form.

    ``subject_type`` in place of ``format``, hyphens in place of underscores, a complex one that does not say so.
    """
    if not isinstance(identifier, dict) or "format" in identifier:
        return identifier
    kind = identifier.get("subject_type")
    members = {name: value for name, value in identifier.items() if name != "subject_type"}
    if kind is None and members and all(isinstance(value, dict) for value in members.values()):
        return {"format": "complex", **{name: as_written_now(value) for name, value in members.items()}}
    if not isinstance(kind, str):
        return identifier
    kind = kind.replace("-", "_")
    if kind == "id_token_claims":
        return {"format": "aliases", "identifiers": _claims_of_an_id_token(members)}
    return {"format": kind, **members}


def _claims_of_an_id_token(members: Mapping[str, Json]) -> list[Json]:
    parts = (("iss_sub", ("iss", "sub")), ("email", ("email",)))
    return [
        {"format": kind, **{name: members[name] for name in names}}
        for kind, names in parts
        if members.keys() >= set(names)
    ]


def may_speak_of(about: Iterable[str], name: str) -> bool:
    """Whether a stream whose Trust lists these may speak of ``name``: as ``core.people`` says who is whom, or below
    ``…/*`` or ``…#*``."""
    meant = who(name)
    return any(meant == who(one) or (one.endswith(("/*", "#*")) and _is_below(meant, one[:-1])) for one in about)


def _is_below(meant: str, parent: str) -> bool:
    above = who(f"{parent}x")[:-1]
    return meant.startswith(above) and meant != above


def _read(identifier: Json) -> tuple[str, Mapping[str, Json]]:
    if not isinstance(identifier, dict):
        raise SetRefused(SetRefusal.INVALID_SUBJECT, "a subject identifier is not a JSON object")
    kind = plain_text(identifier.get("format"))
    if kind is None:
        raise SetRefused(SetRefusal.INVALID_SUBJECT, "a subject identifier names no `format`")
    return kind, {name: value for name, value in identifier.items() if name != "format"}


def _simple(identifier: Json) -> Whom:
    kind, members = _read(identifier)
    if kind in {"complex", "aliases"}:
        raise SetRefused(SetRefusal.INVALID_SUBJECT, f"format `{kind}` inside another identifier")
    known = _FORMATS.get(kind)
    if known is None:
        return NOBODY
    names, read = known
    # RFC 9493 section 3: an identifier has the members of its format and no others.
    values = [plain_text(members.get(name)) for name in names]
    texts = [value for value in values if value is not None]
    if members.keys() != set(names) or len(texts) != len(names):
        raise SetRefused(SetRefusal.INVALID_SUBJECT, f"format `{kind}` has exactly the texts {', '.join(names)}")
    return read(*texts)


def _complex(members: Mapping[str, Json], principal: str | None) -> Whom:
    if not members:
        raise SetRefused(SetRefusal.INVALID_SUBJECT, "a complex subject names nobody")
    found = {name: _simple(one) for name, one in members.items()}
    if principal in found and principal != "session":
        return found[principal]
    # A session that is none of our runs still says whose it was.
    if "session" in found and found["session"].run_id is None and len(found) > 1:
        del found["session"]
    return next((found[name] for name in _NARROWEST_FIRST if found.get(name, NOBODY) != NOBODY), NOBODY)


def _aliases(members: Mapping[str, Json]) -> list[Json]:
    aliases = members.get("identifiers")
    if members.keys() != {"identifiers"} or not isinstance(aliases, list) or not 0 < len(aliases) <= _MAX_ALIASES:
        raise SetRefused(SetRefusal.INVALID_SUBJECT, f"format `aliases` has 1 to {_MAX_ALIASES} `identifiers`")
    return aliases


def _issuer_and_subject(issuer: str, subject: str) -> Whom:
    if "#" in issuer:
        raise SetRefused(
            SetRefusal.INVALID_SUBJECT, f"{shown(issuer)} is no issuer: `#` stands between it and a subject"
        )
    return Whom(f"{issuer}#{subject}")


def _opaque(name: str) -> Whom:
    return Whom(run_id=name) if _RUN_ID.fullmatch(name) is not None else Whom(name)


def _account(uri: str) -> Whom:
    scheme, _, name = uri.partition(":")
    if scheme != "acct" or not name:
        raise SetRefused(SetRefusal.INVALID_SUBJECT, f"{shown(uri)} is not an `acct:` URI")
    return Whom(f"user:{name}")


# Each format we know by its members, and what they mean together.
_FORMATS: Mapping[str, tuple[tuple[str, ...], Callable[..., Whom]]] = {
    "iss_sub": (("iss", "sub"), _issuer_and_subject),
    "uri": (("uri",), Whom),
    "opaque": (("id",), _opaque),
    "email": (("email",), lambda address: Whom(f"user:{address}")),
    "account": (("uri",), _account),
}
