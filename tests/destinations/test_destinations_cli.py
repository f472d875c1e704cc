"""The command: one JSON object, and an exit code that says the same."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

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


def test_options_reach_the_kind() -> None:
    """What a declaration can say, the command can say."""
    result = RUN.invoke(app, ["--kind", "path", "--option", "root=/srv", "x"])
    assert json.loads(result.stdout)["destinations"][0]["id"] == "/srv/x"
