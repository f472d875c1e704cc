"""`kind: Trust`: issuers, streams of security events, groups of approvers, and what is only observed."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from agentguard.core.values import Sensitivity
from agentguard.policy.models.words import (
    About,
    Address,
    AnyJson,
    Approver,
    AssuranceWord,
    Day,
    Duration,
    Environment,
    Line,
    Name,
    PolicyFile,
    ProfileWord,
    SensitivityWord,
    Skew,
    StrictModel,
    Types,
    UserName,
)


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


class Observe(StrictModel):
    """A workflow, or one step of it, whose decisions are recorded and not enforced in runs begun up to a day."""

    workflow: Name
    step: Name | None = None
    until: Day


class Login(StrictModel):
    """The OpenID provider by which people sign in to the console."""

    issuer: Address
    client_id: Line
    client_secret_env: Environment | None = None
    person_from: Name


class Console(StrictModel):
    """Who may do what on the console beside answering what they are asked, and how people sign in to it."""

    see: list[Approver] = []
    search: list[Approver] = []
    stop: list[Approver] = []
    login: Login | None = None


class Trust(PolicyFile):
    """Whose identity assertions count, whose signals are believed, who belongs to which group, who watches over it."""

    kind: Literal["Trust"]
    groups: dict[Name, Annotated[list[UserName], Field(min_length=1)]] = {}
    issuers: list[Issuer] = []
    streams: list[Stream] = []
    observe: list[Observe] = []
    console: Console | None = None
