"""``agentguard doctor``: each finding in a place that has it, and not in one that lacks it; what a CI job sees."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from agentguard import Guard, ToolCallDenied
from agentguard.cli import main
from agentguard.evidence.doctor.finding import Severity
from agentguard.evidence.doctor.ledgers import file_findings, filesystem
from agentguard.evidence.doctor.versions import known_versions, version_findings

ROOT = Path(__file__).parents[2]

TRUST = """apiVersion: agentguard/v1
kind: Trust
issuers:
  - name: corp
    profile: spiffe
    trust_domain: corp.example
    issuer: https://spire.corp.example
    audience: agentguard
    max_age: 60s
    max_lifetime: 5m
    keys_url: https://spire.corp.example/keys
"""
LOCAL = """apiVersion: agentguard/v1
kind: Trust
issuers:
  - name: local
    profile: local
    issuer: urn:agentguard:local
    audience: agentguard
    max_age: 60s
    max_lifetime: 60s
    subjects: [spiffe://corp.example/agent/a]
"""
TOOLS = """apiVersion: agentguard/v1
kind: Tools
tools:
  look: {effect: read}
"""
WORKFLOW = """apiVersion: agentguard/v1
kind: Workflow
metadata: {name: w, version: 1, owner: team, review_by: 2035-01-01}
subjects: [spiffe://corp.example/agent/a]
steps:
  look: {tool: look, arguments: {x: {type: string, maxLength: 3}}}
"""
CASES = """apiVersion: agentguard/v1
kind: Cases
workflow: w
cases:
  - {name: it may look, call: {tool: look, arguments: {x: a}}, expect: permit}
"""


def look(x: str) -> str:
    return x


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bundle that nothing is wrong with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTGUARD_HOME", raising=False)
    (tmp_path / "policy").mkdir()
    for name, text in (("trust", TRUST), ("tools", TOOLS), ("w", WORKFLOW), ("w.cases", CASES)):
        (tmp_path / "policy" / f"{name}.yaml").write_text(text)
    return tmp_path


def used(*, call: str | None = "a", log: bool = True) -> None:
    """A guard with a local identity has run here, and its tool was called."""
    policy = Path("policy")
    (policy / "trust.yaml").write_text(LOCAL)
    with Guard.load("policy", log=io.StringIO() if log else None) as guard:
        wrapped = guard.wrap(look)
        if call is not None:
            with guard.run("w"), contextlib.suppress(ToolCallDenied):
                wrapped(call)
    (policy / "trust.yaml").write_text(TRUST)


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[tuple[str, str]]]:
    capsys.readouterr()
    code = main(["doctor", "--json", *arguments])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert all(each["where"] and each["remedy"] for each in findings), "each says where, and what to do"
    # The disk of a test is what it is, and so is what is installed beside it.
    disk = re.compile("stands in memory|network file system|major release|older than")
    return code, [(each["severity"], each["what"]) for each in findings if not disk.search(each["what"])]


def change(name: str, before: str, after: str) -> Callable[[], None]:
    def do() -> None:
        file = Path("policy") / f"{name}.yaml"
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))

    return do


def mode(name: str, bits: int) -> Callable[[], None]:
    return lambda: Path(name).chmod(bits)


def remove(*names: str) -> Callable[[], None]:
    return lambda: [Path(name).unlink() for name in names] and None


NEAR: list[tuple[str, Callable[[], Any], str, str]] = [
    ("a broken line", change("tools", "effect: read", "efect: read"), "blocked", "efect"),
    ("no workflow", remove("policy/w.yaml", "policy/w.cases.yaml"), "blocked", "holds no workflow"),
    ("an overdue review", change("w", "2035-01-01", "2020-01-01"), "blocked", "its review was due on 2020-01-01"),
    ("a draft", change("w", "subjects:", "status: draft\nsubjects:"), "blocked", "it is a draft"),
    ("an unknown subject", change("w", "//corp.example", "//other.example"), "blocked", "no issuer can assert"),
    ("no issuer", change("trust", TRUST, "apiVersion: agentguard/v1\nkind: Trust\n"), "blocked", "names no issuer"),
    ("a local identity", change("trust", TRUST, LOCAL), "weak", "identity is local"),
    ("assertions used again", change("trust", "keys_url", "single_use: false\n    keys_url"), "weak", "used again"),
    ("no cases", remove("policy/w.cases.yaml"), "weak", "no decision case"),
    ("a guess", change("tools", "{effect: read}", "{effect: read}  # guess: `look`"), "weak", "1 guesses"),
    ("a placeholder", change("w", "owner: team", "owner: replace-me"), "weak", "`replace-me` stands in 1 lines"),
    ("a tool nobody wrapped", change("tools", "read}", "read}\n  b: {effect: read}"), "weak", "wrapped nowhere: `b`"),
    ("a ledger that others can open", mode(".agentguard/ledger.sqlite3", 0o644), "weak", "other users can open it"),
    ("a ledger of a group", mode(".agentguard/ledger.sqlite3", 0o660), "note", "its group can open it"),
    ("a folder where anybody may write", mode(".agentguard", 0o777), "weak", "anybody may replace the ledger"),
    ("a key that others can read", mode(".agentguard/local-identity.key", 0o604), "weak", "other users can open it"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "severity", "what"), NEAR, ids=[name for name, *_ in NEAR])
def test_each_finding_is_made_by_the_one_thing_that_is_off(
    name: str, make: Callable[[], Any], severity: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same place without it has no finding at all, and exit code 0."""
    used()
    assert found(capsys)[1] == []
    make()
    code, findings = found(capsys)
    assert any(level == severity and what in text for level, text in findings), findings
    assert code == 1 or severity == "note"


def test_observing_that_is_still_on_is_weak(capsys: pytest.CaptureFixture[str]) -> None:
    from datetime import UTC, datetime, timedelta

    used()
    until = (datetime.now(UTC) + timedelta(days=5)).date()
    change("trust", TRUST, TRUST + f"observe:\n  - {{workflow: w, until: {until}}}\n")()
    assert [text for _, text in found(capsys)[1]] == [
        f"`w` is observed until {until}: its calls run whatever is decided"
    ]


def test_the_way_to_the_first_permitted_call_is_told_step_by_step(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No policy; no ledger; nothing called; nothing permitted; then nothing stands in the way."""
    for file in (here / "policy").iterdir():
        file.rename(here / file.name)
    assert any("there is no policy" in text for _, text in found(capsys)[1])
    for file in here.glob("*.yaml"):
        file.rename(here / "policy" / file.name)
    assert found(capsys)[1] == [("blocked", "there is no ledger yet: no guard has run here")]
    (here / ".agentguard").mkdir(mode=0o700)
    from agentguard.ledger import open_ledger

    open_ledger(here / ".agentguard" / "ledger.sqlite3").shut()
    texts = [text for _, text in found(capsys)[1]]
    assert any("no tool was wrapped" in text for text in texts) and "no call was decided yet" in texts
    used(call="too long")
    (severity, text), *more = found(capsys)[1]
    assert severity == "blocked" and "the last was refused: arguments_invalid" in text and more == []
    used()
    assert found(capsys) == (0, [])


def test_runs_that_are_over_and_were_not_ended_are_noted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A near miss: one that is not over is no finding."""
    from datetime import UTC, datetime, timedelta

    from agentguard.core.facts import RunState, RunStatus
    from agentguard.ledger import open_ledger

    used()
    ledger = open_ledger(here / ".agentguard" / "ledger.sqlite3")
    for name, hours in (("r-old", 2), ("r-new", 0)):
        began = datetime.now(UTC) - timedelta(hours=hours)
        bounds = {"key": name, "lasts": timedelta(hours=1)}
        run = RunState(name, "w", "sha256:d", "spiffe://corp.example/agent/a", RunStatus.ACTIVE, 1, began, **bounds)
        data = {"kind": "run", "run_id": name}
        ledger.open_run(run, follows=False, started=data, found=data, ended=data).result()
        ledger.let_go(name, data).result()
    ledger.shut()

    said = "runs that last longer than their workflow says, or are idle for longer, and were not ended: `r-old`"
    assert found(capsys) == (0, [("note", said)])


def test_records_that_go_to_no_log_are_weak(capsys: pytest.CaptureFixture[str]) -> None:
    used(log=False)
    assert [text for _, text in found(capsys)[1]] == [
        "records go to no log: whoever can change the ledger's file has the only copy"
    ]


def test_a_file_that_is_no_ledger_is_blocked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "x").write_text("text")
    code, findings = found(capsys, "--ledger", "x")
    assert code == 1 and any(level == "blocked" and "not a ledger" in text for level, text in findings)


def test_the_exit_code_for_ci(capsys: pytest.CaptureFixture[str]) -> None:
    """What is weak fails a job, unless it asks for what is blocked only; a wrong word is a usage error."""
    used()
    assert found(capsys)[0] == 0
    change("w", "2035-01-01", "2020-01-01")()
    code, findings = found(capsys)
    assert code == 1 and {level for level, _ in findings} == {"blocked"}, "what is blocked fails a job by itself, too"
    change("w", "2020-01-01", "2035-01-01")()
    remove("policy/w.cases.yaml")()
    assert found(capsys)[0] == 1
    assert found(capsys, "--fail-on", "blocked")[0] == 0
    change("w", "2035-01-01", "2020-01-01")()
    assert found(capsys, "--fail-on", "blocked")[0] == 1
    assert main(["doctor", "--fail-on", "nothing"]) == 2


def test_doctor_changes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not the files of the policy, nor the records."""
    used()
    before = (here / "policy" / "w.yaml").read_text()
    main(["audit", "list", "--json"])
    records = capsys.readouterr().out
    found(capsys)
    main(["audit", "list", "--json"])
    assert capsys.readouterr().out == records
    assert (here / "policy" / "w.yaml").read_text() == before


MOUNTS = """22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /data rw - nfs4 server:/export rw
31 30 8:2 / /data/local rw - xfs /dev/sdb rw
32 22 0:41 / /with\\040space rw - fuse.sshfs host: rw
33 22 0:42 / /run rw - tmpfs tmpfs rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x", "ext4"), ("/data/x", "nfs4"), ("/data", "nfs4"), ("/database/x", "ext4"), ("/data/local/x", "xfs"),
        ("/with space/x", "fuse.sshfs"), ("/run/x", "tmpfs"),
    ],
)  # fmt: skip
def test_the_file_system_of_a_path_is_that_of_the_deepest_mount(path: str, kind: str) -> None:
    assert filesystem(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    ("kind", "says"), [("nfs4", "network"), ("fuse.sshfs", "network"), ("tmpfs", "memory"), ("ext4", "")]
)
def test_a_ledger_on_a_network_or_in_memory_is_weak(kind: str, says: str) -> None:
    used()
    findings = list(file_findings(Path(".agentguard/ledger.sqlite3"), f"1 1 0:1 / / rw - {kind} x rw\n"))
    assert [says in each.what for each in findings] == ([True] if says else [])


def test_versions_outside_the_tested_range_are_weak() -> None:
    def installed(name: str) -> str:
        versions = {"mcp": "1.9", "openai": "99.0", "rich": known_versions()["rich"][1], "pydantic": "2.11.0rc1"}
        if name in versions:
            return versions[name]
        raise metadata.PackageNotFoundError(name)

    texts = {each.where: each.what for each in version_findings(installed)}
    assert texts.keys() == {"mcp", "openai"}
    assert "older than" in texts["mcp"] and "later major release" in texts["openai"]


def test_the_tested_versions_are_those_of_the_project() -> None:
    """Two lists of the same versions drift apart."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    floors = dict(
        found.groups() for line in lines if (found := re.match(r"([A-Za-z0-9_-]+)(?:\[.*\])?>=([0-9.]+)", line))
    )
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    for name, (low, high) in known_versions().items():
        assert low == floors[name] and high == pins[name], name
    bare = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    assert bare <= known_versions().keys()


def test_hostile_words_of_a_policy_cannot_forge_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    used()
    Path("policy/evil\x1b[2J\nweak: forged.yaml").write_text("a: [")
    main(["doctor"])
    out = capsys.readouterr().out
    assert "\x1b" not in out and not any(line.startswith("weak: forged") for line in out.splitlines())


def test_the_page_names_the_severities_that_there_are() -> None:
    page = (ROOT / "docs" / "start.md").read_text("utf-8")
    assert all(f"`{severity}`" in page for severity in Severity)
