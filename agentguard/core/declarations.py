"""What a policy bundle declares about tools, destinations and issuers, as plain values.

``policy`` reads them from YAML; ``destinations`` and ``identity`` work from them. They live here because those three
never import each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from agentguard.core.values import Assurance, Json, Sensitivity, ToolEffect


@dataclass(frozen=True, slots=True)
class Source:
    """Where in the bundle something was written. ``line`` counts from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class DestinationDeclaration:
    """How one destination of a tool is found: from ``argument`` (a path such as ``to[*].address``), or ``fixed``.

    Exactly one of the two is set. ``in_text``: the argument is a text, and what can be clicked in it leads there.
    ``kind`` names a destination kind; ``options`` are that kind's (``dialect``,
    ``root``, ``default_schema`` …). ``secret``: parts of the place that no record may hold (``id``: none of it).
    """

    kind: str
    argument: str | None
    fixed: str | None
    options: Mapping[str, Json]
    optional: bool
    source: Source
    secret: frozenset[str] = frozenset()
    in_text: bool = False


@dataclass(frozen=True, slots=True)
class ToolDeclaration:
    """What the bundle says about one tool. ``aliases`` are exact names under which code knows it.

    ``secrets``, ``personal``: arguments that stand in no record; personal ones lie beside it and can be erased.
    ``personal_results``: fields of its results whose kept values are personal wherever they are passed on.
    ``strict``: an argument of another type than the tool takes is refused, where the tool's own types would convert it.
    ``failure_did_nothing``: a call of it that failed changed nothing.
    """

    name: str
    aliases: tuple[str, ...]
    effect: ToolEffect
    destinations: tuple[DestinationDeclaration, ...]
    secrets: tuple[str, ...]
    untrusted_results: tuple[str, ...]
    personal: tuple[str, ...]
    personal_results: tuple[str, ...]
    credentials: tuple[str, ...]
    fingerprint: str | None
    source: Source
    strict: bool = False
    failure_did_nothing: bool = False
    keep_answer: bool | None = None

    @property
    def keeps_answers(self) -> bool:
        """Whether what it gives out is kept for whoever makes the same call again; by itself, where nothing in it is
        personal."""
        return not self.personal_results if self.keep_answer is None else self.keep_answer


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One line of the destinations catalog: a pattern of one kind, and what matches it is worth.

    The pattern's grammar is the kind's (see ``destinations``); the most specific match wins. ``promises`` is what the
    owner vouches for, in the kind's own words.
    """

    kind: str
    pattern: str
    sensitivity: Sensitivity
    zone: str | None
    owner: str | None
    category: str | None
    environment: str | None
    source: Source
    promises: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class IssuerTrust:
    """One issuer of identity assertions and how strictly its assertions are read. Durations are exact.

    ``profile`` is one of ``local``, ``spiffe``, ``github-actions``, ``kubernetes``, ``oidc``, ``wimse``.
    ``keys_file``, ``keys_url``: a JWK set; exactly one is set except for ``local``. ``claims`` are values that must be
    equal (or, for a list, one of which must be equal). ``subjects`` lists what a local issuer may assert. ``types``:
    the ``typ`` values its tokens have, in place of the profile's. ``plain_keys``: a SPIFFE issuer's keys come as a
    plain JWK set, without SPIFFE's ``use``.
    """

    name: str
    profile: str
    issuer: str
    audience: str
    max_age: timedelta
    max_lifetime: timedelta
    skew: timedelta
    source: Source
    trust_domain: str | None = None
    keys_file: str | None = None
    keys_url: str | None = None
    keys_max_age: timedelta = timedelta(hours=1)
    algorithms: tuple[str, ...] = ()
    claims: Mapping[str, Json] = field(default_factory=dict)
    subject_from: str | None = None
    subjects: tuple[str, ...] = ()
    revoked_keys: tuple[str, ...] = ()
    proof: str | None = None
    single_use: bool = True
    minimum_assurance: Assurance | None = None
    types: tuple[str, ...] = ()
    plain_keys: bool = False


@dataclass(frozen=True, slots=True)
class LoginTrust:
    """The OpenID provider by which people sign in to the console, and the claim that says who somebody is.

    ``client_secret_env``: the environment variable with the client's secret; None: a client without one, which proves
    by PKCE alone that it began the sign-in.
    """

    issuer: str
    client_id: str
    client_secret_env: str | None
    person_from: str
    source: Source


@dataclass(frozen=True, slots=True)
class ConsoleTrust:
    """Who may do what on the console beside answering what they are asked. None: anyone who signs in.

    ``see``: every request, decision and run; ``search``: the records; ``stop``: runs, and suspend workloads. ``login``
    None: people sign in by a link, on one machine.
    """

    see: frozenset[str] | None
    search: frozenset[str] | None
    stop: frozenset[str] | None
    login: LoginTrust | None
    source: Source


@dataclass(frozen=True, slots=True)
class StreamTrust:
    """One stream of security events (OpenID Shared Signals), and whose events are believed about whom.

    ``keys_file``, ``keys_url``: a JWK set; exactly one is set. ``about``: subjects it may speak of, each exact, or
    everything below one that ends in ``/*`` or ``#*``; empty means all. ``poll_url``: where to poll (RFC 8936); None:
    events are pushed (RFC 8935). ``authorization_env``: the environment variable with the ``Authorization`` value that
    a push must carry, or a poll sends. Silence longer than ``max_silence`` counts as unavailable for ``required_for``.
    ``older``: its tokens may carry ``exp``, and no ``kid``.
    """

    name: str
    issuer: str
    audience: str
    source: Source
    keys_file: str | None = None
    keys_url: str | None = None
    keys_max_age: timedelta = timedelta(hours=1)
    algorithms: tuple[str, ...] = ()
    revoked_keys: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    poll_url: str | None = None
    authorization_env: str | None = None
    skew: timedelta = timedelta(seconds=5)
    max_silence: timedelta | None = None
    required_for: tuple[Sensitivity, ...] = ()
    older: bool = False


@dataclass(frozen=True, slots=True)
class Observe:
    """That runs of a workflow begin observed up to a day (UTC): all of its ``steps`` (None), or these."""

    workflow: str
    steps: frozenset[str] | None
    until: date
    source: Source
