"""The platform sections of the identity page, followed word for word, but for addresses that are not on this machine.

Each section's Trust, subjects and code go into a fresh directory; real servers on loopback stand for the platform. A
call runs as the page says, and the same call by somebody else does not.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from identity_maker import Key, key_set
from identity_servers import Script, serving
from identity_workload_api import SVID_KEY, workload_api
from typer.testing import CliRunner

from agentguard.cli.assertion import app
from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard
from agentguard.identity.platforms import KUBERNETES_TOKEN

PAGE = (Path(__file__).parents[2] / "docs" / "identity.md").read_text()
PLATFORM = Key("k1", "RS256")


class Section:
    """One section of the page, taken apart."""

    def __init__(self, title: str) -> None:
        text = PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0]
        assert text, title
        self.blocks: dict[str, list[str]] = {}
        for kind, block in re.findall(r"```([a-z]+)\n(.*?)```", text, re.DOTALL):
            self.blocks.setdefault(kind, []).append(block)
        self.trust = next(block for block in self.blocks["yaml"] if block.startswith("issuers:"))
        self.code = self.blocks["python"][0]
        listed = re.findall(r"`subjects: (\[[^`]*\])`", text)
        self.subjects = [subject for words in listed for subject in yaml.safe_load(words)]
        self.subjects += re.findall(r"^\| `[a-z-]+` \| `([^`]+)` \|$", text, re.MULTILINE)

    def issuer(self, name: str) -> dict[str, Any]:
        return next(issuer for issuer in yaml.safe_load(self.trust)["issuers"] if issuer["name"] == name)

    def write(self, directory: Path, keys: dict[str, str]) -> None:
        """The bundle of a reader who does what the page says. ``keys``: address on the page → address here."""
        policy = directory / "policy"
        policy.mkdir()
        trust = self.trust
        for there, here in keys.items():
            assert there in trust
            trust = trust.replace(there, here)
        head = "apiVersion: agentguard/v1\nkind: "
        (policy / "trust.yaml").write_text(f"{head}Trust\n{trust}")
        (policy / "tools.yaml").write_text(
            f"{head}Tools\ntools: {{files.read: {{effect: read, aliases: [read_file]}}}}\n"
        )
        (policy / "workflow.yaml").write_text(
            f"{head}Workflow\nmetadata: {{name: read-files, version: 1, owner: data, review_by: 2029-12-31}}\n"
            f"subjects: {self.subjects!r}\nsteps: {{read: {{tool: files.read, arguments: {{}}}}}}\n"
        )


def read_file() -> str:
    """Read the file."""
    return "text"


def _calls(guard: Guard) -> tuple[str, str]:
    """One call in one run: who called, and how strongly that was proved. Raises ToolCallDenied."""
    with guard:
        read = guard.wrap(read_file)
        with guard.run("read-files"):
            assert read() == "text"
        (decision,) = guard.records(kind="decision")
    return decision["subject"], decision["assurance"]


def _claims(issuer: dict[str, Any], **over: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": issuer["issuer"], "aud": issuer["audience"], "iat": now, "exp": now + 240, **over}


def _run(code: str, name: str = "guard") -> Any:
    names: dict[str, Any] = {}
    exec(compile(code, "identity.md", "exec"), names)
    return names[name]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's own directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTGUARD_HOME", str(tmp_path / "home"))


SPIFFE = Section("SPIFFE")
SPIRE_SOCKET, SPIRE_KEYS = "unix:///run/spire/agent/public/api.sock", "https://spire.corp.example/bundle"


@pytest.mark.parametrize("path", ["exporter", "other"])
def test_the_spiffe_section(path: str, tmp_path: Path) -> None:
    """A Workload API server and a bundle endpoint of ours in the place of SPIRE's."""
    agent_id = f"spiffe://corp.example/agent/{path}"
    token = SVID_KEY.sign({k: v for k, v in _claims(SPIFFE.issuer("corp"), sub=agent_id).items() if k != "iss"})
    with workload_api(tmp_path) as (agent, socket), serving(Script(key_set(SVID_KEY))) as address:
        agent.token = lambda request: token if list(request.audience) == ["spiffe://corp.example/agentguard"] else None
        SPIFFE.write(tmp_path, {SPIRE_KEYS: f"{address}/bundle"})
        assert SPIRE_SOCKET in SPIFFE.code
        guard = _run(SPIFFE.code.replace(SPIRE_SOCKET, socket))
        if path == "exporter":
            assert _calls(guard) == (agent_id, "bearer")
        else:
            with pytest.raises(ToolCallDenied):
                _calls(guard)

    (tmp_path / "bundle.json").write_bytes(key_set(SVID_KEY))
    command, _, _ = SPIFFE.blocks["sh"][1].replace("\\\n", "").partition("<")
    program, group, *words = shlex.split(command)
    result = CliRunner().invoke(app, words, input=token)
    assert (program, group, result.exit_code) == ("agentguard", "assertion", 0), result.output
    assert "-spiffeID spiffe://corp.example/agent/exporter" in SPIFFE.blocks["sh"][0]


GITHUB = Section("GitHub Actions")
GITHUB_KEYS = "https://token.actions.githubusercontent.com/.well-known/jwks"


@pytest.mark.parametrize(
    "over",
    [{}, {"repository_id": "43"}, {"ref": "refs/heads/x"}, {"environment": "test"}, {"event_name": "pull_request"}],
)
def test_the_github_section(over: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner of ours, whose tokens look like GitHub's; each is asked for with its own id."""
    issuer = GITHUB.issuer("github")
    pinned = {name: value if isinstance(value, str) else value[0] for name, value in issuer["claims"].items()}
    runner, asked = Script(), []

    def token() -> None:
        asked.append(1)
        stated = {"sub": "repo:corp/app:environment:production", **pinned, **over, "jti": f"j-{len(asked)}"}
        runner.body = b'{"value": "%s"}' % PLATFORM.sign(_claims(issuer, **stated)).encode()

    runner.before = token
    with serving(runner) as address, serving(Script(key_set(PLATFORM))) as keys:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{address}/token?api-version=2.0")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret")
        GITHUB.write(tmp_path, {GITHUB_KEYS: f"{keys}/jwks"})
        guard = _run(GITHUB.code)
        if over:
            with pytest.raises(ToolCallDenied):
                _calls(guard)
        else:
            assert _calls(guard) == (GITHUB.subjects[0], "bearer-single-use")

    assert yaml.safe_load(GITHUB.blocks["yaml"][0])["permissions"]["id-token"] == "write"
    assert runner.seen[0][0].endswith("&audience=https%3A%2F%2Fguard.corp.example")


KUBERNETES = Section("Kubernetes")


def _projected(issuer: dict[str, Any], account: str) -> str:
    details = {"namespace": "agents", "serviceaccount": {"name": account, "uid": "u-1"}, "pod": {"name": "exporter-0"}}
    stated = {"sub": f"system:serviceaccount:agents:{account}", "kubernetes.io": details}
    return PLATFORM.sign(_claims(issuer, **stated), typ=None)


@pytest.mark.parametrize("account", ["exporter", "other"])
def test_the_kubernetes_section(account: str, tmp_path: Path) -> None:
    """A token as the API server projects it, in the file that the pod of the page would have."""
    KUBERNETES.write(tmp_path, {})
    (tmp_path / "policy" / "cluster-jwks.json").write_bytes(key_set(PLATFORM))
    (tmp_path / "token").write_text(_projected(KUBERNETES.issuer("cluster"), account))
    guard = _run(KUBERNETES.code.replace("KubernetesSource()", f'KubernetesSource("{tmp_path}/token")'))

    if account == "exporter":
        assert _calls(guard) == (KUBERNETES.subjects[0], "bearer")
    else:
        with pytest.raises(ToolCallDenied):
            _calls(guard)


def test_the_pod_of_the_page_mounts_the_token_where_it_is_read() -> None:
    """Path, audience and account are the same on both sides."""
    pod = yaml.safe_load(KUBERNETES.blocks["yaml"][0])
    (container,), (volume,) = pod["spec"]["containers"], pod["spec"]["volumes"]
    (mount,), (source,) = container["volumeMounts"], volume["projected"]["sources"]
    token = source["serviceAccountToken"]

    assert mount["name"] == volume["name"]
    assert f"{mount['mountPath']}/{token['path']}" == KUBERNETES_TOKEN
    assert token["audience"] == KUBERNETES.issuer("cluster")["audience"]
    namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
    assert KUBERNETES.subjects[0].endswith(f"#system:serviceaccount:{namespace}:{account}")


CLOUDS = Section("AWS, Google, Azure and other OIDC issuers")
# Name in Trust → (the program whose place ours takes, what its token states, what another's would state).
CLOUD: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "google": (
        "curl",
        {"sub": "1234567890", "email": "exporter@project.iam.gserviceaccount.com", "email_verified": True},
        {"email_verified": False},
    ),
    "azure": ("az", {"sub": "OBJECT-ID", "tid": "TENANT"}, {"tid": "OTHER"}),
}


@contextmanager
def _keys(section: Section, tmp_path: Path) -> Iterator[None]:
    with serving(Script(key_set(PLATFORM))) as keys:
        addresses = [issuer["keys_url"] for issuer in yaml.safe_load(section.trust)["issuers"]]
        section.write(tmp_path, {address: f"{keys}/{number}" for number, address in enumerate(addresses)})
        yield


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("name", CLOUD)
def test_a_cloud_whose_client_prints_the_token(
    name: str, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's command, run as it stands; a program of ours has the client's name and prints what it would print."""
    program, stated, others = CLOUD[name]
    token = PLATFORM.sign({**_claims(CLOUDS.issuer(name), **stated), **({} if own else others)})
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / program
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/arguments\necho {token}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    with _keys(CLOUDS, tmp_path):
        guard = Guard.load("policy", identity=_run(CLOUDS.code, name), issuer=name)
        if own:
            assert _calls(guard) == (next(s for s in CLOUDS.subjects if CLOUDS.issuer(name)["issuer"] in s), "bearer")
        else:
            with pytest.raises(ToolCallDenied):
                _calls(guard)

    assert len((tmp_path / "arguments").read_text().splitlines()) >= 4


def test_a_cloud_that_signs_projected_tokens(tmp_path: Path) -> None:
    """EKS: the Kubernetes profile, under the cluster's own issuer."""
    token = _projected(CLOUDS.issuer("aws-eks"), "exporter")
    (tmp_path / "token").write_text(token)
    code = CLOUDS.code.replace("KubernetesSource()", f'KubernetesSource("{tmp_path}/token")')
    with _keys(CLOUDS, tmp_path):
        guard = Guard.load("policy", identity=_run(code, "aws_eks"), issuer="aws-eks")
        assert _calls(guard) == (CLOUDS.subjects[2], "bearer")


PROOF = Section("A proof for this call")


@pytest.mark.parametrize("own", [True, False])
def test_the_section_on_proof(own: bool, tmp_path: Path) -> None:
    """The page's private key makes the proof; the issuer's token names its public half, or another's."""
    code = PROOF.code.replace("/run/workload/wit", f"{tmp_path}/wit")
    assert code != PROOF.code
    names: dict[str, Any] = {}
    exec(compile(code, "identity.md", "exec"), names)
    public = {name: value for name, value in names["private_jwk"].items() if name != "d"}
    confirmed = public if own else {**Key("h", "EdDSA").jwk, "alg": "EdDSA"}
    claims = _claims(PROOF.issuer("wimse"), sub="wimse://corp.example/agent", cnf={"jwk": confirmed})
    del claims["aud"]
    (tmp_path / "wit").write_text(PLATFORM.sign(claims, typ="wit+jwt"))
    PROOF.subjects = ["wimse://corp.example/agent"]
    with _keys(PROOF, tmp_path):
        guard = Guard.load("policy", identity=names["source"], issuer="wimse")
        if own:
            assert _calls(guard) == ("wimse://corp.example/agent", "call-bound")
        else:
            with pytest.raises(ToolCallDenied):
                _calls(guard)
