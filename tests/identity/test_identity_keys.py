"""Keys from files and URLs: how long they serve, and what a bad key server can do to us (nothing)."""

from __future__ import annotations

import dataclasses
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from identity_maker import KEY, OTHER, Key, at, claims, key_set, trust, word
from identity_servers import Script, serving, within

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import JwksStore, KeySet, Verifier, key_source
from agentguard.jose.fetch import Address, ReadFailed, get
from agentguard.jose.keys import url_reader
from agentguard.jose.keyset import MAX_SET_BYTES, symmetric_key

UNKNOWN, GONE = "unknown_key", "keys_unavailable"


@dataclass
class World:
    """A clock that stands still and a key server that counts."""

    time: float = 1000.0
    body: bytes = field(default_factory=lambda: key_set(KEY))
    fails: Exception | None = None
    reads: int = 0

    def read(self) -> bytes:
        self.reads += 1
        if self.fails is not None:
            raise self.fails
        return self.body

    def store(self, max_age: float = 100.0) -> JwksStore:
        return JwksStore(self.read, KeySet.parse, max_age=max_age, clock=lambda: self.time, min_interval=10.0)


def _find(store: JwksStore, kid: str) -> str:
    answer = store.find(kid)
    return word(answer) if isinstance(answer, Unavailable) else answer.kid


def test_a_known_key_is_served_from_memory() -> None:
    """A guarded call must not wait for the issuer each time."""
    world = World()
    store = world.store()

    assert [_find(store, "k1") for _ in range(50)] == ["k1"] * 50
    assert world.reads == 1


def test_an_unknown_key_causes_one_read_and_then_none_for_a_while() -> None:
    """Made-up key ids must not make us hammer the issuer."""
    world = World()
    store = world.store()
    _find(store, "k1")
    world.time += 10

    assert {_find(store, f"made-up-{n}") for n in range(50)} == {UNKNOWN}
    assert world.reads == 2


def test_a_new_key_is_found_by_that_one_read() -> None:
    """Issuers rotate; the first token under a new key works without a restart."""
    world = World()
    store = world.store()
    _find(store, "k1")
    world.body = key_set(KEY, OTHER)

    assert _find(store, "k2") == UNKNOWN
    world.time += 9.9
    assert _find(store, "k2") == UNKNOWN
    world.time += 0.1
    assert _find(store, "k2") == "k2"


@pytest.mark.parametrize(
    "failure", [ReadFailed("down"), ConfigurationError("garbage"), RuntimeError("bug"), TimeoutError()]
)
def test_known_keys_outlive_a_broken_server_until_their_maximum_age(failure: Exception) -> None:
    """A short outage stops nobody; a long one must not keep a withdrawn key alive."""
    world = World()
    store = world.store(max_age=100)
    _find(store, "k1")
    world.fails = failure

    world.time += 99.9
    assert (_find(store, "k1"), _find(store, "k2")) == ("k1", GONE)
    world.time += 0.1
    assert (_find(store, "k1"), _find(store, "k2")) == (GONE, GONE)
    world.fails = None
    world.time += 10
    assert (_find(store, "k1"), _find(store, "k2")) == ("k1", UNKNOWN)


def test_a_withdrawn_key_is_gone_after_half_the_maximum_age() -> None:
    """The set is read again before it expires, so the issuer's change takes hold in time."""
    world = World()
    store = world.store(max_age=100)
    _find(store, "k1")
    world.body = key_set(OTHER)

    world.time += 49.9
    assert _find(store, "k1") == "k1"
    world.time += 0.1
    assert _find(store, "k1") == UNKNOWN


def test_a_key_that_was_replaced_under_its_name_is_found_by_one_read() -> None:
    """Some issuers keep a `kid` and change the key; a wrong signature is how one learns of it."""
    world = World()
    store = world.store()
    checker = Verifier(trust(), store)
    replaced = Key("k1")
    token = replaced.sign(claims())
    _find(store, "k1")
    world.body = key_set(replaced)

    assert word(checker.verify(token, now=at())) == "bad_signature"  # it was read a moment ago
    world.time += 10
    assert word(checker.verify(token, now=at())) == "accept"
    assert world.reads == 2
    assert word(checker.verify(KEY.sign(claims()), now=at())) == "bad_signature"


def test_wrong_signatures_cannot_make_us_hammer_the_issuer() -> None:
    """Anybody can send them."""
    world = World()
    store = world.store()
    checker = Verifier(trust(), store)
    _find(store, "k1")
    world.time += 10

    assert {word(checker.verify(Key("k1").sign(claims()), now=at())) for _ in range(5)} == {"bad_signature"}
    assert world.reads == 2
    assert word(checker.verify(KEY.sign(claims()), now=at())) == "accept"


@pytest.mark.parametrize("failure", [ReadFailed("down"), ConfigurationError("garbage"), RuntimeError("bug")])
def test_a_wrong_signature_while_the_issuer_is_down_takes_no_key_away(failure: Exception) -> None:
    world = World()
    store = world.store()
    checker = Verifier(trust(), store)
    _find(store, "k1")
    world.time, world.fails = world.time + 10, failure

    assert word(checker.verify(Key("k1").sign(claims()), now=at())) == "bad_signature"
    assert word(checker.verify(KEY.sign(claims()), now=at())) == "accept"


def test_a_replaced_key_is_judged_by_every_rule_again() -> None:
    """The new key is for another algorithm than the header says."""
    world = World()
    store = world.store()
    _find(store, "k1")
    world.body, world.time = key_set(Key("k1", "ES384")), world.time + 10

    assert word(Verifier(trust(), store).verify(Key("k1").sign(claims()), now=at())) == "bad_algorithm"


def test_a_slow_answer_is_not_younger_for_being_slow() -> None:
    """The age counts from the question: that is the last moment we know the issuer stood by the set."""
    world = World()

    def slowly() -> bytes:
        world.time += 60
        return world.read()

    store = JwksStore(slowly, KeySet.parse, max_age=200, clock=lambda: world.time)
    assert _find(store, "k1") == "k1"
    world.fails = ReadFailed("down")
    world.time += 139
    store._read = world.read
    assert _find(store, "k1") == "k1"
    world.time += 1

    assert _find(store, "k1") == GONE


def test_many_callers_cause_one_read() -> None:
    """A burst of calls after start-up asks the issuer once."""
    world = World()
    store = world.store()
    start, found = threading.Barrier(16), []

    def ask() -> None:
        start.wait()
        found.append(_find(store, "k1"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (found, world.reads) == (["k1"] * 16, 1)


def test_a_caller_without_keys_waits_for_the_read_under_way() -> None:
    """The second call after start-up must not be refused because the first is still asking."""
    world, reading, release, found = World(), threading.Event(), threading.Event(), []

    def slowly() -> bytes:
        reading.set()
        assert release.wait(5)
        return world.body

    store = JwksStore(slowly, KeySet.parse, max_age=100, clock=lambda: world.time)
    callers = [threading.Thread(target=lambda: found.append(_find(store, "k1"))) for _ in range(2)]
    callers[0].start()
    assert reading.wait(5)
    callers[1].start()
    callers[1].join(0.2)  # long enough to give up, if it were to give up
    release.set()
    for caller in callers:
        caller.join()

    assert found == ["k1", "k1"]


def test_a_caller_with_a_known_key_does_not_wait_for_another_callers_read() -> None:
    """Else one made-up key id would stall every call for as long as the issuer takes."""
    world, reading, release = World(), threading.Event(), threading.Event()
    store = world.store()
    _find(store, "k1")
    world.time += 60

    def slowly() -> bytes:
        reading.set()
        assert release.wait(5)
        return world.body

    world.read = slowly  # type: ignore[method-assign]
    store._read = slowly
    other = threading.Thread(target=lambda: _find(store, "made-up"))
    other.start()
    try:
        assert reading.wait(5)
        assert _find(store, "k1") == "k1"
    finally:
        release.set()
        other.join()


def _down(script: Script) -> None:
    script.status = 503


def _not_found(script: Script) -> None:
    script.status = 404


def _redirecting(script: Script) -> None:
    script.status, script.headers = 302, {"Location": "/elsewhere"}


def _huge(script: Script) -> None:
    script.body = b" " * 600_000


def _garbage(script: Script) -> None:
    script.body = b"<html>"


def _dripping(script: Script) -> None:
    script.drip = 0.2


@pytest.mark.parametrize("misbehave", [_down, _not_found, _redirecting, _huge, _garbage, _dripping])
def test_a_misbehaving_key_server_costs_us_nothing_but_the_unknown_key(misbehave: Callable[[Script], None]) -> None:
    """Down, gone, redirecting, huge, garbage, one byte at a time; and nobody says that the key is not the issuer's."""
    script, time = Script(key_set(KEY)), [0.0]
    with serving(script) as address:
        store = JwksStore(url_reader(f"{address}/keys", deadline=0.6), KeySet.parse, max_age=100, clock=lambda: time[0])
        assert _find(store, "k1") == "k1"
        misbehave(script)
        time[0] = 20

        assert (_find(store, "k2"), _find(store, "k1")) == (GONE, "k1")
        assert all(path == "/keys" for path, _ in script.seen)
        time[0] = 100
        assert _find(store, "k1") == GONE


def test_a_slow_server_keeps_no_thread_of_ours() -> None:
    """Else every refresh would leave one behind, for as long as the server likes."""
    script = Script(b"x" * 1000)
    script.drip = 0.1
    with serving(script) as address:
        before = {thread for thread in threading.enumerate() if thread.name.startswith("agentguard")}
        with pytest.raises(ReadFailed, match="too slow"):
            get(Address(address), limit=5000, deadline=0.2)
        assert within(2, lambda: {t for t in threading.enumerate() if t.name.startswith("agentguard")} == before)


def test_a_server_that_was_given_up_before_it_was_reached_is_not_asked() -> None:
    """A slow name lookup cannot be interrupted; what comes of it later must not hold a thread or send our headers."""
    script, reached = Script(), threading.Event()
    connect = http.client.HTTPConnection.connect

    def late(self: http.client.HTTPConnection) -> None:
        reached.wait(10)
        connect(self)

    with serving(script) as address, pytest.MonkeyPatch.context() as patch:
        before = set(threading.enumerate())
        patch.setattr(http.client.HTTPConnection, "connect", late)
        with pytest.raises(ReadFailed, match="too slow"):
            get(Address(address), limit=100, deadline=0.05)
        asking = [thread for thread in threading.enumerate() if thread not in before]
        reached.set()
        for thread in asking:
            thread.join(10)

    assert len(asking) == 1 and not asking[0].is_alive()
    assert script.seen == []


@pytest.mark.parametrize(("kid", "known"), [("k", True), ("k" * 256, True), ("k" * 257, False), ("", False)])
def test_a_key_has_a_name_that_can_be_recorded_or_is_left_out(kid: str, known: bool) -> None:
    """An empty name is what a careless signer's tokens all have; an endless one would fill the records."""
    assert (kid in KeySet.parse(key_set({**KEY.jwk, "kid": kid}))) is known


@pytest.mark.parametrize(
    "over", [{"kty": ["EC"]}, {"kty": None}, {"crv": {"P-256": 1}}, {"crv": ["P-256"]}, {"crv": 7}]
)
def test_a_key_whose_kind_is_no_text_is_left_out(over: dict[str, Any]) -> None:
    """It is a key for something else; the other keys of its set go on serving."""
    known = KeySet.parse(key_set({**KEY.jwk, **over}, OTHER))

    assert ("k1" in known, "k2" in known) == (False, True)


def test_a_symmetric_key_has_at_least_256_bits() -> None:
    """HS256 is no stronger than its key (RFC 7518 section 3.2)."""
    assert symmetric_key("local", b"x" * 32).symmetric
    with pytest.raises(ConfigurationError, match="256 bits"):
        symmetric_key("local", b"x" * 31)


def test_the_size_limit_of_a_key_set_is_exact() -> None:
    """The command line reads sets from files of any size."""
    good = key_set(KEY)
    full = good + b" " * (MAX_SET_BYTES - len(good))

    assert "k1" in KeySet.parse(full)
    with pytest.raises(ConfigurationError, match="longer than"):
        KeySet.parse(full + b" ")


def test_the_size_limit_of_an_answer_is_exact() -> None:
    """At the limit it is read, one byte past it is not."""
    with serving(Script(b"x" * 100)) as address:
        assert len(get(Address(address), limit=100, deadline=5)) == 100
        with pytest.raises(ReadFailed, match="more than 99 bytes"):
            get(Address(address), limit=99, deadline=5)


def test_a_server_that_fails_once_is_asked_again() -> None:
    """One hiccup of the issuer is no outage of ours."""
    script = Script(b"fine")
    script.status = 503

    def recover() -> None:
        if len(script.seen) == 2:
            script.status = 200

    script.before = recover
    with serving(script) as address:
        assert get(Address(address), limit=10, deadline=5) == b"fine"


def test_nothing_listening_is_a_failure_and_not_a_crash() -> None:
    """The port of a server that has just gone."""
    with serving(Script()) as address:
        pass

    with pytest.raises(ReadFailed):
        get(Address(address), limit=10, deadline=2)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "http://127.0.0.1.evil.example/keys",
        "http://localhost.evil.example/keys",
        "https://user@issuer.example/keys",
        "https://user:pw@issuer.example/keys",
        "https://",
        "https:///keys",
        "https://issuer.example:99999/",
        "https://issuer.example:0/",
        "https://[::1/",
        "file:///etc/passwd",
        "ftp://issuer.example/",
        "https://issuer.example/a b",
        "https://issuer.example/\n",
        "https://issuér.example/",
        "",
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str) -> None:
    """Whoever can answer for the key server can be anybody."""
    with pytest.raises(ConfigurationError):
        Address(url)


def test_a_key_file_is_checked_when_the_bundle_loads_and_read_again_later(tmp_path: Path) -> None:
    """Rotation by replacing the file needs no restart."""
    path, time = tmp_path / "keys.json", [0.0]
    path.write_bytes(key_set(KEY))
    declared = trust(keys_file="keys.json", keys_max_age=timedelta(seconds=100))
    verifier = Verifier(declared, key_source(declared, tmp_path, clock=lambda: time[0]))

    assert word(verifier.verify(KEY.sign(claims()), now=at())) == "accept"
    path.write_bytes(key_set(OTHER))
    time[0] = 50
    assert word(verifier.verify(OTHER.sign(claims()), now=at())) == "accept"
    assert word(verifier.verify(KEY.sign(claims()), now=at())) == UNKNOWN
    path.unlink()
    time[0] = 151
    assert word(verifier.verify(OTHER.sign(claims()), now=at())) == GONE


@pytest.mark.parametrize(
    "over",
    [
        {"keys_url": "https://issuer.example/other"},
        {"keys_max_age": timedelta(minutes=1)},
        {"algorithms": ("ES256",)},
        {"profile": "spiffe"},
        {"keys_url": None, "keys_file": "keys.json"},
    ],
)
def test_known_keys_outlive_a_reload_of_the_same_address_only(over: dict[str, Any], tmp_path: Path) -> None:
    """Other keys, or the same ones for something else, are read anew; so is a file, which may be somebody's remedy."""
    (tmp_path / "keys.json").write_bytes(key_set(KEY))
    first = trust(keys_url="https://issuer.example/keys")
    known = key_source(first, tmp_path)
    changed = dataclasses.replace(first, **over)
    other = key_source(changed, tmp_path, before=known)

    assert key_source(dataclasses.replace(first, revoked_keys=("k9",)), tmp_path, before=known) is known
    assert other is not known
    assert (key_source(changed, tmp_path, before=other) is other) is (changed.keys_url is not None)


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({}, "name one of"),
        ({"keys_file": "a", "keys_url": "https://a.example/"}, "name one of"),
        ({"keys_file": "missing.json"}, "missing.json"),
        ({"keys_file": "bad.json"}, "strict JSON"),
        ({"keys_url": "http://issuer.example/keys"}, "https"),
    ],
)
def test_wrong_keys_are_said_when_the_bundle_loads(over: dict[str, Any], says: str, tmp_path: Path) -> None:
    """The owner hears of it then, with file and line, not at the first call."""
    (tmp_path / "bad.json").write_text("x")

    with pytest.raises(ConfigurationError, match=says):
        key_source(trust(**over), tmp_path)


def test_a_verifier_says_whether_it_may_wait() -> None:
    """An event loop verifies on a thread then."""
    declared = trust(keys_url="https://issuer.example/keys")

    assert Verifier(declared, key_source(declared, ".")).may_block is True
    assert Verifier(trust(), KeySet({})).may_block is False


def test_keys_that_cannot_be_had_are_their_own_reason() -> None:
    """Operations' turn, not the caller's."""
    with serving(Script()) as address:
        declared = trust(keys_url=f"{address}/keys")
    answer = Verifier(declared, key_source(declared, ".")).verify(KEY.sign(claims()), now=at())

    assert isinstance(answer, Unavailable)
    assert answer.reason is Reason.ASSERTION_KEYS_UNAVAILABLE
