"""The pytest plugin and the fakes, as another project would use them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli.bundle import FILES, ROOT, write

from agentguard.errors import ConfigurationError, PolicyError, ToolCallDenied
from agentguard.testing import FakeClock, in_memory_guard

CASES = FILES["customer-export.cases.yaml"]


def pytest_run(directory: Path, *more: str) -> tuple[int, str]:
    """pytest in a project of its own, with the plugin loaded as the entry point loads it."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "agentguard.testing", "-p", "no:cacheprovider", "--rootdir", ".", *more],
        capture_output=True, text=True, timeout=60, check=False, cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_every_case_is_a_test(tmp_path: Path) -> None:
    """One item a case, named as its owner named it; cases may stand in a folder below the bundle."""
    write(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "customer-export.cases.yaml").rename(tmp_path / "more" / "customer-export.cases.yaml")
    code, out = pytest_run(tmp_path, "-v")
    assert code == 0, out
    assert "10 passed" in out
    assert "a small export runs without asking PASSED" in out


def test_a_failure_reads_as_its_owner_would_say_it(tmp_path: Path) -> None:
    """File and line, what was expected, what was found, every finding; no stack of ours."""
    write(tmp_path, customer_export_cases=CASES.replace("rows: 1000,", "rows: 1001,"))
    code, out = pytest_run(tmp_path)
    assert code == 1
    assert "1 failed, 9 passed" in out
    assert "expected permit, found escalate" in out
    assert "approval_required (step export)" in out
    assert "customer-export.cases.yaml:" in out
    assert "Traceback" not in out
    assert "runtest" not in out


@pytest.mark.parametrize(
    "changed",
    [
        {"tools": "kind: Toolz\n"},
        {"customer_export_cases": CASES.replace("[look-up]", "[lookup]")},
        {"tools": FILES["tools.yaml"].replace("kind: url,", "kind: urll,")},
    ],
)
def test_a_bundle_or_a_file_of_cases_that_is_wrong_is_an_error(changed: dict[str, str], tmp_path: Path) -> None:
    """Never a file that is skipped: that would be green."""
    write(tmp_path, **changed)
    code, out = pytest_run(tmp_path)
    assert code == 2, out
    assert "1 error" in out
    assert ".yaml:" in out
    assert "Traceback" not in out


def test_a_case_that_could_not_be_fails(tmp_path: Path) -> None:
    """Inputs that no run could be started with prove nothing."""
    write(tmp_path, customer_export_cases=CASES.replace("{ticket: EXP-7}", "{ticket: WRONG}"))
    code, out = pytest_run(tmp_path)
    assert code == 1
    assert "could be started" in out
    assert "Traceback" not in out


def test_files_of_other_projects_are_left_alone(tmp_path: Path) -> None:
    """The plugin is loaded wherever agentguard is installed."""
    (tmp_path / "http.cases.yaml").write_text("- get: /\n  expect: 200\n")
    (tmp_path / "test_x.py").write_text("def test_x(): pass\n")
    code, out = pytest_run(tmp_path)
    assert code == 0, out
    assert "1 passed" in out


def test_the_plugin_costs_nothing_where_it_is_not_used() -> None:
    """It is imported at every start of pytest on the machine."""
    heavy = "{'joserfc','cryptography','sqlglot','pydantic','jsonschema_rs','ada_url','cel_expr_python','yaml'}"
    code = (
        f"import sys, pytest, agentguard.testing; print(sorted({{m.partition('.')[0] for m in sys.modules}} & {heavy}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# the fakes

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_the_clock_moves_only_when_told() -> None:
    """And knows its zone."""
    clock = FakeClock(T0)
    assert clock() == clock() == T0
    clock.forward(seconds=61)
    clock.forward(timedelta(hours=1))
    assert clock() == T0 + timedelta(hours=1, seconds=61)
    clock.set(T0)
    assert clock() == T0
    for wrong in (lambda: FakeClock(datetime(2026, 1, 1)), lambda: clock.set(datetime(2026, 1, 1))):
        with pytest.raises(ConfigurationError, match="zone"):
            wrong()


def get_ticket(ticket_id: str) -> dict[str, object]:
    return {"tables": ["orders"]}


def test_a_guard_in_memory_decides_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permits, denies, records; and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    bundle = {name: text for name, text in FILES.items() if not name.endswith(".cases.yaml")}
    with in_memory_guard(bundle, clock=FakeClock(T0)) as guard:
        tool = guard.wrap(get_ticket)
        with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
            assert tool("EXP-7") == {"tables": ["orders"]}
            with pytest.raises(ToolCallDenied):
                tool("EXP-8")
        with pytest.raises(ToolCallDenied):
            tool("EXP-7")
        effects = [record["effect"] for record in guard.records(kind="decision")]
    assert effects == ["permit", "deny", "deny"]
    assert list(tmp_path.iterdir()) == []


def test_a_guard_in_memory_takes_a_directory_and_refuses_a_bad_bundle(tmp_path: Path) -> None:
    """What ``Guard.load`` raises, it raises."""
    with in_memory_guard(write(tmp_path / "exports")) as guard:
        assert "customer-export" in guard.bundle.policy.workflows
    with pytest.raises(PolicyError), in_memory_guard({"a.yaml": "kind: Toolz\n"}):
        pass


def test_nothing_that_allows_everything_is_public() -> None:
    """There is no switch that turns checks off, not even here."""
    import agentguard.testing

    assert agentguard.testing.__all__ == ["FakeClock", "in_memory_guard"]
