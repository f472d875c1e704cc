"""The embedded local issuer: its key file, and what its assertions are good for."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from identity_maker import DIGEST, ED_KEY, at, judge, trust, word

from agentguard.core.values import Assurance, Identity
from agentguard.errors import ConfigurationError
from agentguard.identity import LocalIssuer, local_trust
from agentguard.identity.local import KEY_FILE

TRUST = local_trust(("agent:exporter",))


def _mint(issuer: LocalIssuer, subject: str = "agent:exporter", audience: str = "agentguard") -> str:
    return issuer.mint(subject, audience, DIGEST, at())


def test_a_local_assertion_is_bound_to_its_call_and_says_that_it_is_local(tmp_path: Path) -> None:
    """Weaker than production, and every record says so."""
    issuer = LocalIssuer(tmp_path)
    answer = issuer.verifier(TRUST).verify(_mint(issuer), now=at(), request_digest=DIGEST)

    assert isinstance(answer, Identity)
    assert (answer.subject, answer.bound_to, answer.assurance) == ("agent:exporter", DIGEST, Assurance.LOCAL)
    assert answer.expires_at - answer.issued_at == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("subject", "audience", "seconds", "digest", "expected"),
    [
        ("agent:exporter", "agentguard", 0, DIGEST, "accept"),
        ("agent:exporter", "agentguard", 59, DIGEST, "accept"),
        ("agent:exporter", "agentguard", 60, DIGEST, "expired"),
        ("agent:exporter", "agentguard", -1, DIGEST, "issued_in_future"),
        ("agent:exporter", "agentguard", 0, DIGEST + "0", "proof_invalid"),
        ("agent:other", "agentguard", 0, DIGEST, "wrong_subject"),
        ("", "agentguard", 0, DIGEST, "missing_claim"),
        ("agent:exporter", "other", 0, DIGEST, "wrong_audience"),
    ],
)
def test_a_local_assertion_one_step_off_is_refused(
    subject: str, audience: str, seconds: float, digest: str, expected: str, tmp_path: Path
) -> None:
    """Only the subjects that Trust lists, for this call, now."""
    issuer = LocalIssuer(tmp_path)
    answer = issuer.verifier(TRUST).verify(_mint(issuer, subject, audience), now=at(seconds), request_digest=digest)

    assert word(answer) == expected


def test_each_local_assertion_has_its_own_id(tmp_path: Path) -> None:
    """Single use needs ids that never repeat."""
    issuer = LocalIssuer(tmp_path)
    checker = issuer.verifier(TRUST)
    answers = [checker.verify(_mint(issuer), now=at()) for _ in range(100)]

    assert len({answer.assertion_id for answer in answers if isinstance(answer, Identity)}) == 100


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    """A second process must understand the first one's assertions."""
    home = tmp_path / "new" / "home"
    first = LocalIssuer(home)
    second = LocalIssuer(home)

    assert word(second.verifier(TRUST).verify(_mint(first), now=at())) == "accept"
    assert (home / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == [KEY_FILE]


def test_threads_that_make_the_key_together_agree_on_one(tmp_path: Path) -> None:
    """Two keys, one kept: half of the agent's calls would be refused."""
    start, issuers = threading.Barrier(8), []

    def make() -> None:
        start.wait()
        issuers.append(LocalIssuer(tmp_path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    checker = issuers[0].verifier(TRUST)
    assert [word(checker.verify(_mint(issuer), now=at())) for issuer in issuers] == ["accept"] * 8


def test_another_directory_is_another_issuer(tmp_path: Path) -> None:
    """Whoever cannot read the key cannot speak."""
    ours, theirs = LocalIssuer(tmp_path / "a"), LocalIssuer(tmp_path / "b")

    assert word(ours.verifier(TRUST).verify(_mint(theirs), now=at())) == "bad_signature"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    """It may have been copied; using it on would hide that."""
    LocalIssuer(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)

    with pytest.raises(ConfigurationError, match="can be read by others"):
        LocalIssuer(tmp_path)


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could mint identities for us."""
    LocalIssuer(tmp_path)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)

    with pytest.raises(ConfigurationError, match="another user"):
        LocalIssuer(tmp_path)


def test_a_pipe_in_the_keys_place_is_no_key(tmp_path: Path) -> None:
    """Whoever holds its other end would choose the key, and another one at each start."""
    path = tmp_path / KEY_FILE
    os.mkfifo(path, 0o600)
    end = os.open(path, os.O_RDWR)
    try:
        os.write(end, b"x" * 32)
        with pytest.raises(ConfigurationError, match="not a regular file"):
            LocalIssuer(tmp_path)
    finally:
        os.close(end)


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_key_is_refused_and_not_overwritten(content: bytes, tmp_path: Path) -> None:
    """An empty key would let anybody sign; a new one would hide what happened."""
    path = tmp_path / KEY_FILE
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ConfigurationError, match="instead of 32"):
        LocalIssuer(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "dangling link", "directory", "pipe"])
def test_what_is_no_plain_file_is_refused(kind: str, tmp_path: Path) -> None:
    """A link may lead to a file that somebody else chose; a pipe would hang."""
    path, real = tmp_path / KEY_FILE, tmp_path / "real"
    if kind == "directory":
        path.mkdir(mode=0o700)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        if kind == "link":
            real.write_bytes(b"x" * 32)
            real.chmod(0o600)
        path.symlink_to(real)

    with pytest.raises(ConfigurationError):
        LocalIssuer(tmp_path)


def test_a_home_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    """The message says what to do."""
    (tmp_path / "home").write_text("x")

    with pytest.raises(ConfigurationError, match="pass another directory"):
        LocalIssuer(tmp_path / "home")


def test_the_local_key_serves_no_other_profile(tmp_path: Path) -> None:
    """Else a file on this machine could speak for the company's issuer."""
    issuer = LocalIssuer(tmp_path)

    with pytest.raises(ConfigurationError, match="profile `local` only"):
        issuer.verifier(trust())
    with pytest.raises(ConfigurationError, match="max_lifetime"):
        issuer.verifier(replace(TRUST, max_lifetime=timedelta(seconds=59)))


def test_an_asymmetric_key_cannot_stand_in_for_the_local_one() -> None:
    """The local profile trusts its own file and nothing that was published."""
    token = ED_KEY.sign({}, typ="agentguard-local+jwt")

    assert judge(token, profile="local", subjects=("x",)) == "bad_algorithm"
