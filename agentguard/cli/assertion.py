"""``agentguard assertion``: judge one identity assertion from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.core.declarations import IssuerTrust, Source
from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import MAX_TOKEN_BYTES, KeySet, Verifier
from agentguard.identity.profiles import PROFILES, uses_of
from agentguard.jose.keyset import MAX_SET_BYTES

app = common.new_app("Judge one identity assertion.")

_PREFIX = "assertion_"


@app.command()
def verify(
    keys: Annotated[Path, typer.Option(help="The issuer's JWK set.")],
    issuer: Annotated[str, typer.Option(help="Exactly what `iss` must be.")],
    audience: Annotated[str, typer.Option(help="Exactly what `aud` must be.")],
    trust_domain: Annotated[
        str | None, typer.Option(help="SPIFFE trust domain whose workloads `sub` may name.")
    ] = None,
    max_age: Annotated[float, typer.Option(help="Seconds since `iat`, at most.")] = 300.0,
    max_lifetime: Annotated[float, typer.Option(help="Seconds from `iat` to `exp`, at most.")] = 900.0,
    skew: Annotated[float, typer.Option(help="Seconds two clocks may differ, at most 60.")] = 30.0,
    now: Annotated[float | None, typer.Option(help="Judge at this time, in seconds since 1970.")] = None,
    revoked: Annotated[list[str] | None, typer.Option(help="A `kid` that is revoked; repeatable.")] = None,
    profile: Annotated[str, typer.Option(help="The issuer's profile.")] = "oidc",
    reusable: Annotated[bool, typer.Option("--reusable", help="As `single_use: false`: `jti` may be absent.")] = False,
    typ: Annotated[list[str] | None, typer.Option(help="As `typ` in Trust, such as `at+jwt`; repeatable.")] = None,
    plain_keys: Annotated[bool, typer.Option("--plain-keys", help="As `plain_keys: true` in Trust.")] = False,
) -> None:
    """Verify the assertion on standard input; print {"verdict", "reason"}; exit 0 for accept, 1 for deny.

    Example: agentguard assertion verify --keys keys.json --issuer https://idp.example
    --audience agentguard < token.jwt
    """
    try:
        trust = IssuerTrust(
            name="--issuer",
            profile=profile,
            issuer=issuer,
            audience=audience,
            max_age=common.seconds(max_age, "--max-age"),
            max_lifetime=common.seconds(max_lifetime, "--max-lifetime"),
            skew=common.seconds(skew, "--skew"),
            source=Source("command line", 1),
            trust_domain=trust_domain,
            revoked_keys=tuple(revoked or ()),
            single_use=not reusable,
            types=tuple(typ or ()),
            plain_keys=plain_keys,
        )
        verifier = Verifier(trust, _key_set(keys, trust))
        moment = common.point_in_time(now, "--now")
    except ConfigurationError as error:
        _stop(str(error))
    verdict = verifier.verify(_token(), now=moment)
    accepted = not isinstance(verdict, Unavailable)
    reason = verdict.reason.value.removeprefix(_PREFIX) if isinstance(verdict, Unavailable) else ""
    typer.echo(json.dumps({"verdict": "accept" if accepted else "deny", "reason": reason}))
    raise typer.Exit(0 if accepted else 1)


def _token() -> bytes:
    if sys.stdin is None:  # closed by whoever started us
        _stop('no standard input; pass the token in: `printf %s "$TOKEN" | agentguard assertion verify ...`')
    # One byte past the limit is enough to know that a token is too large.
    data = sys.stdin.buffer.read(MAX_TOKEN_BYTES + 1)
    if data.endswith(b"\n"):
        # Judged as it is: a verifier that forgives a line end would forgive it in a replayed token too.
        typer.echo(
            "note: the input ends in a line end, which no token does; use `printf %s` instead of `echo`", err=True
        )
    return data


def _key_set(path: Path, trust: IssuerTrust) -> KeySet:
    if trust.profile not in PROFILES or trust.profile in {"local", "wimse"}:
        usable = ", ".join(sorted(PROFILES.keys() - {"local", "wimse"}))
        raise ConfigurationError(f"--profile: `{trust.profile}` cannot be used here; expected one of {usable}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SET_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(f"--keys: `{path}` cannot be read: {why}") from None
    try:
        return KeySet.parse(data, uses=uses_of(trust))
    except ConfigurationError as error:
        raise ConfigurationError(f"--keys: `{path}`: {error}") from None


def _stop(message: str) -> NoReturn:
    typer.echo(f"agentguard: {display.plain(message)}", err=True)
    raise typer.Exit(2)
