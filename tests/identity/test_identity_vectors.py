"""The project's attack vectors, through the verifier and through the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from identity_maker import trust, word
from typer.testing import CliRunner

from agentguard.cli import assertion
from agentguard.cli.assertion import app
from agentguard.identity import KeySet, Verifier

SET = json.loads((Path(__file__).parent / "vectors" / "jwt_assertion_attacks.json").read_text())
VECTORS = [pytest.param(vector, id=vector["name"]) for vector in SET["vectors"]]


def _token(vector: dict[str, Any]) -> str:
    # The one token too large to be stored is described instead.
    return str(vector["token"] or "e30." + "A" * 2_700_000 + ".AAAA")


@pytest.mark.parametrize("vector", VECTORS)
def test_each_attack_is_refused_for_its_own_reason(vector: dict[str, Any]) -> None:
    """A reviewer acts on the reason; a right verdict for the wrong one would send them astray."""
    verifier = Verifier(
        trust(
            issuer=SET["issuer"],
            audience=SET["audience"],
            trust_domain=SET["trust_domain"],
            max_age=timedelta(seconds=SET["max_age"]),
            max_lifetime=timedelta(seconds=SET["max_lifetime"]),
            skew=timedelta(seconds=SET["skew"]),
            revoked_keys=tuple(SET["revoked_kids"]),
        ),
        KeySet.parse(json.dumps(SET["jwks"]).encode()),
    )

    answer = word(verifier.verify(_token(vector), now=datetime.fromtimestamp(SET["now"], UTC)))

    assert answer == (vector["reason"] or "accept")


@pytest.mark.parametrize("vector", VECTORS)
def test_the_command_line_gives_the_same_verdicts(vector: dict[str, Any], tmp_path: Path) -> None:
    """`agentguard assertion verify` is how an operator asks why a token was refused."""
    accepted = vector["expected"] == "ACCEPT"
    result = CliRunner().invoke(app, _flags(tmp_path), input=_token(vector))

    assert json.loads(result.stdout) == {
        "verdict": "accept" if accepted else "deny",
        "reason": vector["reason"] or "",
    }
    assert result.exit_code == (0 if accepted else 1)


def test_a_line_end_after_the_token_is_refused_with_a_hint(tmp_path: Path) -> None:
    """`echo TOKEN |` adds one; the vectors say that it is no part of any token, so the remedy is shown instead."""
    result = CliRunner().invoke(app, _flags(tmp_path), input=_token(SET["vectors"][0]) + "\n")

    assert json.loads(result.stdout) == {"verdict": "deny", "reason": "malformed"}
    assert "printf %s" in result.stderr


def test_without_standard_input_the_remedy_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager may have closed it; that is no verdict."""
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(typer.Exit) as ended:
        assertion._token()

    assert ended.value.exit_code == 2


def test_a_reusable_token_may_lack_its_id_and_only_that(tmp_path: Path) -> None:
    """The flag is `single_use: false` of Trust, so that an operator sees what the guard sees."""
    found = {}
    for vector in SET["vectors"]:
        result = CliRunner().invoke(app, [*_flags(tmp_path), "--reusable"], input=_token(vector))
        found[vector["name"]] = json.loads(result.stdout)["reason"]
    expected = {vector["name"]: vector["reason"] or "" for vector in SET["vectors"]} | {"jti missing": ""}

    assert found == expected


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--keys", "missing.json"], "--keys"),
        (["--keys", "."], "--keys"),
        (["--skew", "61"], "skew"),
        (["--skew", "-1"], "skew"),
        (["--skew", "nan"], "--skew"),
        (["--max-age", "inf"], "--max-age"),
        (["--max-age", "0"], "max_age"),
        (["--max-lifetime", "-5"], "max_lifetime"),
        (["--now", "nan"], "--now"),
        (["--now", "1e99"], "--now"),
        (["--trust-domain", "Example.org"], "trust domain"),
        (["--profile", "local"], "--profile"),
        (["--issuer", ""], "issuer"),
    ],
)
def test_a_bad_flag_is_one_clear_line_and_exit_two(flags: list[str], says: str, tmp_path: Path) -> None:
    """A verdict must never come out of a command that was called wrongly."""
    result = CliRunner().invoke(app, [*_flags(tmp_path), *flags], input="x")

    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"not json",
        b"\xff\xfe",
        b'{"keys": 1}',
        b'{"keys": [1]}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [{"kty": "oct", "kid": "x", "k": "AAAA"}]}',
        b'{"keys": [{"kty": "EC", "crv": "P-256", "kid": "x", "x": "AAAA", "y": "AAAA"}]}',
        b'{"keys": [{"kty": "RSA", "kid": "x", "n": 5, "e": []}]}',
        b"[" * 100_000,
        b" " * 600_000,
    ],
)
def test_a_bad_key_file_is_one_clear_line_and_exit_two(content: bytes, tmp_path: Path) -> None:
    """A key set that is wrong in one place cannot be trusted in another."""
    path = tmp_path / "bad.json"
    path.write_bytes(content)

    result = CliRunner().invoke(app, [*_flags(tmp_path), "--keys", str(path)], input="x")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "bad.json" in result.stderr
    assert result.stderr.count("\n") == 1


def _flags(directory: Path) -> list[str]:
    keys = directory / "keys.json"
    keys.write_text(json.dumps(SET["jwks"]))
    words = {
        "--keys": keys,
        "--issuer": SET["issuer"],
        "--audience": SET["audience"],
        "--trust-domain": SET["trust_domain"],
        "--max-age": SET["max_age"],
        "--max-lifetime": SET["max_lifetime"],
        "--skew": SET["skew"],
        "--now": SET["now"],
        "--revoked": "old",
    }
    return ["verify", *(str(word) for pair in words.items() for word in pair)]
