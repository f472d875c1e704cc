"""Who is whom: whether two names mean one person, or one workload. Pure.

The rule, for taking power away and for whose answer counts (what gives power compares letter for letter):

1. A person is ``user:NAME``, and whoever a run is for is a person also without ``user:``. Of their names counts what
   nobody can mistake: neither case, nor width and other spellings of a letter, nor spaces and what cannot be seen.
   Of an address of e-mail neither a dot at the end counts.
2. A workload by a URI (``spiffe://…``, ``https://ISSUER#SUBJECT``): of scheme and host as of people, and neither a dot
   at the end of the host nor its scheme's own port counts. Path and subject count letter for letter: SPIFFE paths and
   the subjects of OIDC tell case apart, so ``…/agent/a`` and ``…/agent/A`` are two. A subject that is an address of
   e-mail is a mailbox, and compared as one.
3. Any other name of a workload (``agent:exporter``) as a person's, but it is no person's.
"""

from __future__ import annotations

import re
import unicodedata

# Longer than any name of a person or workload. Two that differ only after it are taken for one: normalising takes time
# in the square of a name that is nothing but marks.
MAX_NAME = 4096


def person(name: str) -> str:
    """Who is meant by a name, without what a spelling can change: ``user:``, case, width, spaces, what nobody can see.

    Two people whose names differ in nothing else cannot answer for each other: one of them may well be the other.
    """
    name = _folded(name)
    while name.startswith("user:"):
        name = name.removeprefix("user:")
    return _mailbox(name)


def _folded(text: str) -> str:
    """Without what a spelling can change."""
    text = text[:MAX_NAME]
    if text.isascii() and text.isprintable() and " " not in text:
        return text.lower()
    for _ in range(2):  # folding case can bring in what decomposes, and the other way about (Unicode, D146)
        text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in text if character.isprintable() and not character.isspace())


def same_person(one: str, other: str | None) -> bool:
    """Whether both mean one person; nobody is meant by None."""
    return other is not None and person(one) == person(other)


def who(name: str) -> str:
    """The one name that stands for everybody who may be meant by this one: a workload, or a person by ``user:``."""
    scheme, slashes, rest = name.partition("://")
    if slashes and _SCHEME.fullmatch(plain := _folded(scheme)):
        return _by_uri(plain, rest)
    folded = _folded(name)
    return f"user:{person(folded)}" if folded.startswith("user:") else folded


def who_for(requester: str) -> str:
    """As ``who``, for the person that a run is for: code may write one without ``user:``."""
    named = who(requester)
    return named if "://" in named or named.startswith("user:") else who(f"user:{requester}")


def are_meant(about: str, subject: str, requester: str | None) -> bool:
    """Whether what is said of ``about`` is said of a run of this workload, for this person."""
    return who(about) in who_is_in(subject, requester)


def who_is_in(subject: str, requester: str | None) -> frozenset[str]:
    """Everybody that a run of this workload, for this person, can be taken away by."""
    if requester is None:
        return frozenset({who(subject)})
    return frozenset({who(subject), who_for(requester), who(requester)})


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_OWN_PORT = {"https": ":443", "http": ":80"}


def _by_uri(scheme: str, rest: str) -> str:
    place, mark, subject = rest.partition("#")
    host, slash, path = place.partition("/")
    host = _host(_folded(host).removesuffix(_OWN_PORT.get(scheme, " ")))
    path = _composed(path)
    # Of an issuer's address, the slash after the host says nothing.
    slash = "" if scheme in _OWN_PORT and not path else slash
    return f"{scheme}://{host}{slash}{path}{mark}{_mailbox(_subject(subject))}"


def _subject(text: str) -> str:
    return _folded(text) if _MAILBOX.fullmatch(text) else _composed(text)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text) if len(text) <= MAX_NAME else text


_MAILBOX = re.compile(r"[^@/:|#]+@[^@/:|#]+")


def _mailbox(name: str) -> str:
    local, at, domain = name.rpartition("@")
    return f"{local}@{_host(domain)}" if at else name


def _host(name: str) -> str:
    """A folded host without the dot of the root, an international one as it goes over the wire."""
    name = name.rstrip(".")
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
