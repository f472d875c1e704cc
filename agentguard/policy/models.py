"""The four kinds of policy file as strict models: what may be written, before anything is looked up.

They also give editors their JSON Schema. Unknown keys, wrong types and missing keys are refused here; what needs other
files (a tool, a group, a step) is looked up in ``compile``.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from agentguard.core.values import Assurance, Risk, Sensitivity, ToolEffect

API_VERSION = "agentguard/v1"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(0|[1-9][0-9]{0,5})([smhd])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Ten years: past this a limit limits nothing.
_LONGEST = timedelta(days=3660)


def parse_duration(value: Any) -> timedelta:
    """Read ``60s``, ``30m``, ``12h`` or ``1d``. Raises ValueError."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a duration such as 60s, 30m, 12h or 1d")
    length = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if length > _LONGEST:
        raise ValueError(f"longer than {_LONGEST.days}d")
    return length


def _positive(value: Any) -> timedelta:
    length = parse_duration(value)
    if not length:
        raise ValueError("expected a duration longer than nothing")
    return length


def _window(value: Any) -> timedelta | None:
    return None if value == "run" else _positive(value)


def _parse_date(value: Any) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value) is not None:
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("expected a day such as 2027-06-30")


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_DURATION_SCHEMA = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,5})[smhd]$"}
_WINDOW_SCHEMA = {"type": "string", "pattern": "^(run|[1-9][0-9]{0,5}[smhd])$"}

Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_positive), WithJsonSchema(_DURATION_SCHEMA)]
Skew: TypeAlias = Annotated[timedelta, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
Window: TypeAlias = Annotated["timedelta | None", BeforeValidator(_window), WithJsonSchema(_WINDOW_SCHEMA)]
Day: TypeAlias = Annotated[date, BeforeValidator(_parse_date), WithJsonSchema({"type": "string", "format": "date"})]

# What an issuer's tokens may call themselves.
Types: TypeAlias = Annotated[
    list[Literal["JWT", "at+jwt", "application/at+jwt"]],
    BeforeValidator(_one_or_more),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
# A name that conditions write after a dot.
Word: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
ToolName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}$")]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Line: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20](?:[^\x00-\x1f]{0,998}[^\x00-\x20])?$")]
Approver: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(?:(?:user|group):[^\x00-\x20]{1,200}|anyone)$")]
UserName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^user:[^\x00-\x20]{1,200}$")]
# Read over TLS; plainly only where nobody can listen in or answer instead.
ADDRESS = r"^(?:https://[A-Za-z0-9._-]+|http://(?:localhost|127\.0\.0\.1|\[::1\]))(?::[0-9]{1,5})?(?:/[!-~]{0,1999})?$"
Address: TypeAlias = Annotated[str, StringConstraints(pattern=ADDRESS)]
# A subject, exactly, or everything below it.
ABOUT = r"^[^\x00-\x20*]{1,1000}(?:[/#]\*)?$"
About: TypeAlias = Annotated[str, StringConstraints(pattern=ABOUT)]
ENVIRONMENT = r"^[A-Z_][A-Z0-9_]{0,99}$"
Environment: TypeAlias = Annotated[str, StringConstraints(pattern=ENVIRONMENT)]
Fingerprint: TypeAlias = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Expression: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
# What strict YAML gives is JSON already; pydantic cannot build a model of a type that names itself.
AnyJson: TypeAlias = Any
Schema: TypeAlias = dict[str, AnyJson]

SensitivityWord: TypeAlias = Literal["public", "internal", "confidential", "restricted", "secret"]
AssuranceWord: TypeAlias = Literal["local", "bearer", "bearer-single-use", "call-bound"]
RiskWord: TypeAlias = Literal["low", "medium", "high"]
EffectWord: TypeAlias = Literal["read", "write", "send", "delete", "execute", "admin"]
ProfileWord: TypeAlias = Literal["local", "spiffe", "github-actions", "kubernetes", "oidc", "wimse"]

# The words people write are the words of core; the tests compare the two.
WORDS: dict[Any, tuple[str, ...]] = {
    SensitivityWord: Sensitivity.words(),
    AssuranceWord: Assurance.words(),
    RiskWord: Risk.words(),
    EffectWord: tuple(effect.value for effect in ToolEffect),
}


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)


class PolicyFile(StrictModel):
    api_version: Literal["agentguard/v1"] = Field(alias="apiVersion")


# Trust


class Issuer(StrictModel):
    """One issuer of identity assertions, and how strictly its assertions are read."""

    name: Name
    profile: ProfileWord
    issuer: Line
    audience: Line
    max_age: Duration
    max_lifetime: Duration
    skew: Skew = timedelta(seconds=5)
    trust_domain: Line | None = None
    keys_file: Line | None = None
    keys_url: Line | None = None
    keys_max_age: Duration = timedelta(hours=1)
    algorithms: list[Name] = []
    claims: dict[str, AnyJson] = {}
    subject_from: Line | None = None
    subjects: list[Line] = []
    revoked_keys: list[Line] = []
    proof: Name | None = None
    single_use: bool = True
    minimum_assurance: AssuranceWord | None = None
    typ: Types = []
    plain_keys: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Issuer:
        if self.typ and self.profile != "oidc":
            raise ValueError(f"`typ` is for profile `oidc`; what tokens of profile `{self.profile}` are is fixed")
        if self.plain_keys and self.profile != "spiffe":
            raise ValueError("`plain_keys` is for profile `spiffe`; elsewhere every key set is a plain one")
        keys = [place for place in (self.keys_file, self.keys_url) if place is not None]
        if self.profile == "local":
            if not self.subjects:
                raise ValueError("profile `local` needs `subjects`: whom it may speak for")
            if keys:
                raise ValueError("profile `local` makes its own keys; remove `keys_file` and `keys_url`")
        elif len(keys) != 1:
            raise ValueError(f"profile `{self.profile}` needs `keys_file` or `keys_url`, and not both")
        elif self.subjects:
            raise ValueError("`subjects` is for profile `local`; workflows say which subjects may run them")
        if self.profile == "spiffe" and self.trust_domain is None:
            raise ValueError("profile `spiffe` needs `trust_domain`")
        return self


# A stream's clock may differ from ours by as much as an issuer's.
_MOST_SKEW = timedelta(seconds=60)


class Stream(StrictModel):
    """One stream of security events, whose events are believed about whom, and what waits for it when it is silent."""

    name: Name
    issuer: Line
    audience: Line
    keys_file: Line | None = None
    keys_url: Address | None = None
    keys_max_age: Duration = timedelta(hours=1)
    algorithms: list[Name] = []
    revoked_keys: list[Line] = []
    about: list[About] = []
    poll_url: Address | None = None
    authorization_env: Environment | None = None
    skew: Skew = timedelta(seconds=5)
    max_silence: Duration | None = None
    required_for: list[SensitivityWord] = []
    older: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Stream:
        if (self.keys_file is None) is (self.keys_url is None):
            raise ValueError("a stream needs `keys_file` or `keys_url`, and not both")
        if self.skew > _MOST_SKEW:
            raise ValueError(f"`skew` is at most {_MOST_SKEW.seconds}s")
        if not self.required_for:
            return self
        if self.max_silence is None:
            raise ValueError("`required_for` needs `max_silence`: how long the stream may be silent")
        named = {Sensitivity.parse(word) for word in self.required_for}
        left_out = [level.word for level in Sensitivity if level > min(named) and level not in named]
        if left_out:
            raise ValueError(f"`required_for` leaves out what is more sensitive; add {', '.join(left_out)}")
        return self


class Trust(PolicyFile):
    """Whose identity assertions count, whose signals are believed, and who belongs to which group of approvers."""

    kind: Literal["Trust"]
    groups: dict[Name, Annotated[list[UserName], Field(min_length=1)]] = {}
    issuers: list[Issuer] = []
    streams: list[Stream] = []


# Tools


class ToolDestination(BaseModel):
    """Where a call leads: an argument that names it, or a fixed place. Other keys are options of the kind."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, AnyJson] = Field(init=False)

    kind: Name
    argument: Line | None = None
    fixed: Line | None = None
    optional: bool = False
    secret: list[Name] = []

    @model_validator(mode="after")
    def _one_of(self) -> ToolDestination:
        if (self.argument is None) is (self.fixed is None):
            raise ValueError("expected `argument` (where in the call it stands) or `fixed` (the place), and not both")
        return self


class ToolEntry(StrictModel):
    """What one tool does to the world, and which of its arguments matter to whom."""

    effect: EffectWord
    aliases: list[ToolName] = []
    destinations: list[ToolDestination] = []
    secrets: list[Line] = []
    untrusted_results: list[Line] = []
    credentials: list[Name] = []
    fingerprint: Fingerprint | None = None
    strict: bool = False


class Tools(PolicyFile):
    """The tools of an agent, as their developers and security declared them."""

    kind: Literal["Tools"]
    tools: Annotated[dict[ToolName, ToolEntry], Field(min_length=1)]


# Destinations


class DestinationEntry(StrictModel):
    """One pattern of one kind, and what a place that matches it is worth."""

    kind: Name
    pattern: Line
    sensitivity: SensitivityWord
    zone: Name | None = None
    owner: Text | None = None
    category: Text | None = None
    environment: Text | None = None
    promises: list[Name] = []


class FirstContact(StrictModel):
    """Who is asked before a workload reaches a zone for the first time, how many, and how long the question stands."""

    approvers: Annotated[list[Approver], Field(min_length=1)] = Field(alias="from")
    quorum: Annotated[int, Field(ge=1, le=100)] = 1
    within: Duration


def _first_contact(value: Any) -> Any:
    if value != "deny" and not isinstance(value, dict):
        raise ValueError("expected `deny`, or who is asked: `{from: [group:NAME], quorum: 1, within: 30m}`")
    return value


class ZoneEntry(StrictModel):
    """A zone: whose workloads start in it, and how sensitive a place they may reach in each zone."""

    subjects: list[Line] = []
    reaches: dict[Name, SensitivityWord] = {}
    then: dict[Name, SensitivityWord] | None = None
    first_contact: Annotated[
        Literal["deny"] | FirstContact | None,
        BeforeValidator(_first_contact, json_schema_input_type=Literal["deny"] | FirstContact | None),
    ] = None


class RiskCeiling(StrictModel):
    """How sensitive a place any call may reach at a level of risk, whatever its workflow says."""

    up_to: SensitivityWord


class Destinations(PolicyFile):
    """Which places there are, how sensitive each is, and which zone may reach which."""

    kind: Literal["Destinations"]
    destinations: list[DestinationEntry] = []
    zones: dict[Name, ZoneEntry] = {}
    freshness: dict[SensitivityWord, Duration] = {}
    assurance: dict[SensitivityWord, AssuranceWord] = {}
    risk: dict[RiskWord, RiskCeiling] = {}


# Workflow


class Metadata(StrictModel):
    """What a workflow is called, whose it is, and until when it holds."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    owner: Text
    purpose: Text | None = None
    review_by: Day


class WorkflowIdentity(StrictModel):
    """How old an assertion may be in this workflow."""

    max_age: Duration


class StepIdentity(StrictModel):
    """What this step asks of the caller's identity."""

    max_age: Duration | None = None
    assurance: AssuranceWord | None = None
    proof: Literal["call"] | None = None


class StepDestinations(StrictModel):
    """How sensitive a place this step may reach, and whether it may reach places that nobody has listed."""

    up_to: SensitivityWord | None = None
    unclassified: Literal["allow"] | None = None

    @model_validator(mode="after")
    def _something(self) -> StepDestinations:
        if self.up_to is None and self.unclassified is None:
            raise ValueError("expected `up_to: ...`, `unclassified: allow` or both")
        return self


class Approval(FirstContact):
    """When a person is asked, who, how many, and for how long the question stands."""

    when: Expression | None = None


class KeepEntry(StrictModel):
    """A value for later steps: a path into the result, or the first group of a pattern in the text at that path."""

    source: Line = Field(alias="from")
    match: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None


def _as_keep(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


Keep: TypeAlias = Annotated[KeepEntry, BeforeValidator(_as_keep, json_schema_input_type=str | KeepEntry)]


class StepEntry(StrictModel):
    """One step: a tool, when it may be called, with what, and to where."""

    tool: ToolName
    after: list[Name] = []
    # Of no steps none can have succeeded, so an empty list says never; whoever writes one means always.
    after_any: Annotated[list[Name], Field(min_length=1)] = []
    not_after: list[Name] = []
    at_most: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    not_above: SensitivityWord | None = None
    arguments: dict[str, Schema]
    require: list[Expression] = []
    keep: dict[Word, Keep] = {}
    destinations: StepDestinations | None = None
    identity: StepIdentity | None = None
    approval: Approval | None = None


class BudgetEntry(StrictModel):
    """A limit over several calls: a sum of amounts, or a number of calls."""

    total: Expression | None = Field(default=None, alias="sum")
    count: Literal[True] | None = None
    of: Annotated[
        list[Name],
        Field(min_length=1),
        BeforeValidator(_one_or_more),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ]
    at_most: int | float
    per: Window = None

    @model_validator(mode="after")
    def _one_of(self) -> BudgetEntry:
        if (self.total is None) is (self.count is None):
            raise ValueError("expected `sum: EXPRESSION` or `count: true`, and not both")
        return self


class RiskEntry(StrictModel):
    """What a level of risk takes away; what is not written stays as the default has it."""

    effects: list[EffectWord] | None = None
    lower_ceiling_by: Annotated[int, Field(ge=0, le=5)] | None = None


# The times of that many are kept for each run under way.
_MOST_COUNTED = 10_000


class RaiseAfter(StrictModel):
    """So many of something, within a time."""

    denials: Annotated[int, Field(ge=1, le=_MOST_COUNTED)] | None = None
    calls: Annotated[int, Field(ge=1, le=_MOST_COUNTED)] | None = None
    within: Duration

    @model_validator(mode="after")
    def _one_of(self) -> RaiseAfter:
        if (self.denials is None) is (self.calls is None):
            raise ValueError("expected `denials: NUMBER` or `calls: NUMBER`, and not both")
        return self


class RaiseRisk(StrictModel):
    """A rule that raises a run's risk by itself. Its name stands in the record; without one, its place in the list."""

    name: Name | None = None
    to: Literal["medium", "high"]
    after: RaiseAfter | None = None
    first_use_of: Literal["zone", "destination"] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> RaiseRisk:
        if (self.after is None) is (self.first_use_of is None):
            raise ValueError("expected `after: {...}` or `first_use_of: zone` (or `destination`), and not both")
        return self


class Workflow(PolicyFile):
    """One approved workflow."""

    kind: Literal["Workflow"]
    metadata: Metadata
    subjects: Annotated[list[Line], Field(min_length=1)]
    identity: WorkflowIdentity | None = None
    inputs: dict[Word, Schema] = {}
    steps: Annotated[dict[Name, StepEntry], Field(min_length=1)]
    budgets: dict[Name, BudgetEntry] = {}
    risk: dict[RiskWord, RiskEntry] = {}
    raise_risk: list[RaiseRisk] = []
    no_write_down: bool = False


KINDS: dict[str, type[PolicyFile]] = {
    "Trust": Trust,
    "Tools": Tools,
    "Destinations": Destinations,
    "Workflow": Workflow,
}
