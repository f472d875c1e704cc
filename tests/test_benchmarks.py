"""The benchmarks run. How fast anything is, no test says: a busy machine would make it lie."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentguard.destinations import kind_names

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("agentguard, in memory", "agentguard, durable", "cedarpy + a log line", "pycasbin + a log line",
         "guardian-angel", "ctrlrun")  # fmt: skip


@pytest.mark.timeout(700)  # some seconds where nothing else runs
def test_the_quick_form_gives_every_key(tmp_path: Path) -> None:
    """A benchmark that is broken is found out here, and not on the day it is needed."""
    out, tables = tmp_path / "found.json", tmp_path / "found.md"
    given = ["--quick", "--json", str(out), "--markdown", str(tables), "--directory", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", *given], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(out.read_text())
    parts = {
        "calls",
        "start",
        "peers",
        "conditions",
        "decision",
        "durable",
        "processes",
        "large",
        "identity",
        "destinations",
        "revocation",
    }
    assert found.keys() == parts | {"machine", "aims"}
    assert found["peers"].keys() == {"bare", *PEERS}
    assert min(found["start"].values()) > 0
    assert found["calls"].keys() == {
        "function", "async_function", "langchain_tool", "langchain_tool_with_everything",
    }  # fmt: skip
    ledgers = {"bare", "guarded_in_memory", "guarded_unsynced", "guarded_durable"}
    assert all(row.keys() == ledgers and min(row.values()) > 0 for row in found["calls"].values())
    columns = {"load_s", "plain", "three_conditions", "cedarpy", "cedarpy_parsed_once", "pycasbin"}
    assert [row.keys() for row in found["decision"].values()] == [columns]
    durable = found["durable"]
    assert durable.keys() == {"threads", "tasks", "in_turn"}
    assert durable["in_turn"].keys() == {"raw_fdatasync", "bare_sqlite_commit", "guarded_call"}
    assert durable["threads"].keys() == durable["tasks"].keys() == {"1", "4"}
    columns = {"per_second", "share", "p50_ms", "p999_ms"}
    assert {name: row.keys() for name, row in found["processes"].items()} == {
        f"{processes} x {callers}": columns for processes in (1, 2) for callers in (1, 16)
    }
    assert len(found["large"]) == 18
    identity = found["identity"]
    assert identity.keys() == {"verify", "proof"}
    assert identity["verify"].keys() == {"RS256", "PS256", "ES256", "ES384", "EdDSA", "HS256, local"}
    assert all(row.keys() == {"cold", "cached", "joserfc", "pyjwt"} for row in identity["verify"].values())
    assert identity["proof"].keys() == {"wpt", "dpop"}
    assert all(len(row) == 6 and min(row.values()) > 0 for row in identity["proof"].values())
    places = found["destinations"]
    assert places.keys() == set(kind_names())
    assert all(row.keys() == {"p50_us", "p99_us", "refused_p50_us", "refused_p99_us"} for row in places.values())
    assert all(by.keys() == {"100"} for by in found["conditions"].values())
    assert all(cell.keys() == {"ms", "mib", "wait_ms"} for by in found["conditions"].values() for cell in by.values())
    assert found["revocation"].keys() == {"signals", "p50_ms", "p99_ms"}
    assert len(found["aims"]) == 22
    assert "| Aim |" in tables.read_text()


@pytest.mark.timeout(300)
def test_one_part_can_be_measured_alone(tmp_path: Path) -> None:
    out, tables = tmp_path / "found.json", tmp_path / "found.md"
    given = ["--quick", "--only", "calls", "--json", str(out), "--markdown", str(tables), "--directory", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", *given], cwd=ROOT, capture_output=True, text=True, timeout=250
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(out.read_text())
    assert found.keys() == {"machine", "calls", "aims"}
    assert [aim["aim"].split()[0] for aim in found["aims"]] == ["a", "the", "with", "a"]
    assert "SQLite, no sync" in tables.read_text()
    assert "Cedar" not in tables.read_text()
