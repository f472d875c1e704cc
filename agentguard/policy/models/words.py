"""What the values of policy files are made of: names, durations, days, and the words that stand for values of core."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

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


def one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_DURATION_SCHEMA = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,5})[smhd]$"}
_WINDOW_SCHEMA = {"type": "string", "pattern": "^(run|[1-9][0-9]{0,5}[smhd])$"}

Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_positive), WithJsonSchema(_DURATION_SCHEMA)]
Skew: TypeAlias = Annotated[timedelta, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
Window: TypeAlias = Annotated[timedelta | None, BeforeValidator(_window), WithJsonSchema(_WINDOW_SCHEMA)]
Day: TypeAlias = Annotated[date, BeforeValidator(_parse_date), WithJsonSchema({"type": "string", "format": "date"})]

# What an issuer's tokens may call themselves.
Types: TypeAlias = Annotated[
    list[Literal["JWT", "at+jwt", "application/at+jwt"]],
    BeforeValidator(one_or_more),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
# A name that conditions write after a dot.
Word: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
# A name of the owner's own that conditions write as it is.
LetName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
ToolName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}$")]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Line: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20](?:[^\x00-\x1f]{0,998}[^\x00-\x20])?$")]
# What stands before a value that people are shown.
Label: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 _-]{0,39}$")]
APPROVER = r"^(?:(?:user|group):[^\x00-\x20]{1,200}|anyone|requester)$"
Approver: TypeAlias = Annotated[str, StringConstraints(pattern=APPROVER)]
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
# One line that a model reads: no control characters, no invisible ones at its ends.
HintText: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]{0,298}[^\x00-\x20\x7f])?$")
]
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
