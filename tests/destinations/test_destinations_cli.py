"""The command: one JSON object, and an exit code that says the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentguard.cli import main
from agentguard.cli.destination import app

RUN = CliRunner()


def test_an_unambiguous_value_prints_its_place_and_exits_0() -> None:
    """Scripts read one object, without a catalog everything is unclassified."""
    result = RUN.invoke(app, ["--kind", "url", "HTTPS://A.example.com"])
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        {
            "verdict": "ok",
            "destinations": [
                {"kind": "url", "id": "https://a.example.com/", "sensitivity": "unclassified", "zone": None}
            ],
        },
    )


@pytest.mark.parametrize("value", ["https://x@y/", "", "-x", "--kind", "\udcff", "https://a.example.com/\n"])
def test_an_ambiguous_value_prints_its_reason_and_exits_1(value: str) -> None:
    """Any text at all can be asked about, the empty one and one that looks like a flag included."""
    result = RUN.invoke(app, ["--kind", "url", "--", value])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["verdict"]) == (1, "refused")
    assert set(answer) == {"verdict", "reason"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--kind", "nonsense", "x"],
        ["x"],
        ["--kind", "url"],
        ["--kind", "url", "--dialect", "postgres", "https://a.example.com/"],
        ["--kind", "path", "--option", "root", "x"],
        ["--kind", "path", "--option", "root=data", "x"],
        ["--kind", "path", "--option", "root=/a", "--option", "root=/b", "x"],
    ],
)
def test_a_wrong_use_exits_2_and_prints_no_object(arguments: list[str]) -> None:
    """A mistake in the command is not an answer about a destination."""
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"), [([], "no_dialect"), (["--dialect", "klingon"], "bad_option")], ids=["none", "unknown"]
)
def test_a_statement_in_no_known_dialect_is_refused_like_any_that_cannot_be_read(
    arguments: list[str], reason: str
) -> None:
    """Whoever asks about many statements gets an answer to each, and is told which dialects there are."""
    result = RUN.invoke(app, ["--kind", "sql", *arguments, "select 1 from t"])
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"verdict": "refused", "reason": reason})
    assert "`dialect` must be one of" in result.stderr


def test_options_reach_the_kind() -> None:
    """What a declaration can say, the command can say."""
    result = RUN.invoke(app, ["--kind", "path", "--option", "root=/srv", "x"])
    assert json.loads(result.stdout)["destinations"][0]["id"] == "/srv/x"


BUNDLE = """\
apiVersion: agentguard/v1
kind: Destinations
destinations:
  - {kind: url, pattern: "https://a.example.com/*", sensitivity: SENSITIVITY, zone: office}
zones:
  office: {}
"""
SHIPPED = Path(__file__).parents[2] / "workflows" / "payments_service"


def test_a_bundle_says_what_the_place_is_worth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The owner of a catalog can ask it."""
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    (tmp_path / "more.yaml").write_text(BUNDLE.replace("SENSITIVITY", "internal"))
    assert main(["destination", "--kind", "url", "--policy", str(tmp_path), "https://a.example.com/x"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["destinations"]
    assert (found["sensitivity"], found["zone"]) == ("internal", "office")


def test_a_broken_bundle_is_the_owners_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File and line on standard error, no object, no traceback."""
    (tmp_path / "destinations.yaml").write_text(BUNDLE.replace("SENSITIVITY", "harmless"))
    assert main(["destination", "--kind", "url", "--policy", str(tmp_path), "https://a.example.com/x"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "destinations.yaml:4" in shown.err
