"""``agentguard destinations``: what the catalog leaves open, and what other catalogs bring."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agentguard.ledger import open_ledger

from .bundle import write
from .conftest import NASTY, Call, decide

DOCS = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text("utf-8")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "ledger.sqlite3"
    opened = open_ledger(path)
    for number in range(3):
        decide(opened, f"d-{number}", destinations=[{"kind": "url", "id": "https://new.example.com/x?q=1"}])
    decide(opened, "d-3", destinations=[{"kind": "host", "id": "other.example.com"}, {"kind": "host", "id": NASTY}])
    opened.shut()
    return path


def test_coverage_lists_the_most_used_first_and_what_to_write(tmp_path: Path, ledger: Path, call: Call) -> None:
    """An owner copies the lines, says how sensitive each is, and is done."""
    ended = call("destinations", "coverage", write(tmp_path / "b"), "--ledger", ledger)
    assert ended.code == 1
    assert ended.out.startswith("3 places in the records, 3 of them unclassified\n")
    assert ended.out.index("https://new.example.com/x?q=1") < ended.out.index("other.example.com")
    assert '  - {kind: url, pattern: "https://new.example.com/x", sensitivity: }\n' in ended.out
    assert "2 entries that nothing in the records answers to:\n" in ended.out
    assert len(re.findall(r"^  \S*destinations\.yaml:\d+: url \S+$", ended.out, re.MULTILINE)) == 2
    assert ended.out.replace("\n", "").isprintable()


def test_coverage_as_json_says_the_same(tmp_path: Path, ledger: Path, call: Call) -> None:
    """A pipeline reads this."""
    ended = call("destinations", "coverage", write(tmp_path / "b"), "--ledger", ledger, "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["places"], len(found["never_seen"])) == (1, 3, 2)
    assert [(one["decisions"], one["kind"]) for one in found["unclassified"]] == [(3, "url"), (1, "host"), (1, "host")]
    assert {"file", "line", "kind", "pattern"} == set(found["never_seen"][0])


def test_a_catalog_that_covers_everything_exits_0(tmp_path: Path, ledger: Path, call: Call) -> None:
    """Nothing since tomorrow: nothing is unclassified."""
    bundle = write(tmp_path / "b")
    ended = call("destinations", "coverage", bundle, "--ledger", ledger, "--since", "2999-01-01T00:00:00Z")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "0 places in the records, 0 of them unclassified")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "tlp", "missing.csv"], "cannot be read"),
        (["--from", "nonsense", "shared.csv"], "--from: `nonsense` is not one of fips199, tlp"),
        (["--from", "tlp", "--map", "x", "shared.csv"], "--map: `x` is not WORD=LEVEL"),
        (["--from", "tlp", "--map", "x=secret", "--map", "x=public", "shared.csv"], "--map: `x=public` is not"),
        (["--from", "tlp", "--map", "x=harmless", "shared.csv"], "--map"),
        (["--from", "tlp", "--ignore", "TLP:RED", "shared.csv"], "has a meaning already"),
        (["--from", "fips199", "shared.csv"], "shared.csv:1: expected the columns"),
        (["--from", "tlp", "binary.csv"], "not UTF-8"),
    ],
)
def test_a_wrong_import_prints_no_catalog(
    arguments: list[str], says: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a catalog would be put into a bundle."""
    (tmp_path / "shared.csv").write_text("kind,pattern,tlp\nhost,a.example.com,TLP:RED\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    monkeypatch.chdir(tmp_path)
    ended = call("destinations", "import", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_the_import_in_the_docs_prints_what_stands_there_and_loads(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documentation that does not run is a rumour."""
    ((command, output),) = re.findall(r"^\$ agentguard (destinations import .*)\n((?:.+\n)+)```", DOCS, re.MULTILINE)
    ((text),) = re.findall(r"```csv\n(.*?)```", DOCS, re.DOTALL)
    (tmp_path / "shared.csv").write_text(text, "utf-8-sig")
    monkeypatch.chdir(tmp_path)
    ended = call(*command.split())
    assert (ended.code, ended.out) == (0, output)
    bundle = write(tmp_path / "b")
    (bundle / "imported.yaml").write_text(ended.out)
    assert call("check", bundle).code == 0
