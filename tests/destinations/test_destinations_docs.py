"""What the documentation shows is what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentguard.cli.destination import app
from agentguard.destinations import find_kind, kind_names
from agentguard.destinations.kinds import is_seen_as_id

TEXT = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text("utf-8")
SHOWN = re.findall(r"^\$ agentguard destination (.*)\n(.*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("command", "output"), SHOWN)
def test_each_command_in_the_docs_prints_what_stands_below_it(command: str, output: str) -> None:
    """Documentation that does not run is a rumour."""
    assert CliRunner().invoke(app, shlex.split(command)).stdout == output + "\n"


def test_the_docs_show_commands_at_all() -> None:
    """The test above would pass over an empty list."""
    assert len(SHOWN) >= 3


@pytest.mark.parametrize("name", kind_names())
def test_each_kind_stands_in_the_table_with_its_options(name: str) -> None:
    """A kind that nobody can find is not there."""
    (row,) = re.findall(rf"^\| `{name}` \|.*$", TEXT, re.MULTILINE)
    kind = find_kind(name)
    assert kind is not None
    assert all(f"`{option}`" in row for option in kind.options)
    assert (row.rstrip(" |").rpartition("| ")[2] == "the id") is kind.rewrites_argument
    assert row.rstrip(" |").endswith("the id") is is_seen_as_id(kind)
