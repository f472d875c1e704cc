"""No value that somebody writes on a command line ends in a traceback, a defect, or more than one line of ours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentguard.cli.app import command
from cli.conftest import ROOT, Call

WRONG = [
    "x" * 5000, "", "/proc/x", "loop", "not-utf8", "empty", "bundle", "/dev/zero", "nul\0in", "-1",
    "99999999999999999999", '{"a":', "é\x1b[31m", "2026-13-45T00:00:00Z",
]  # fmt: skip
# What is written for the others meanwhile.
USUAL = {"directory": "bundle", "out": "new", "workflow": "customer-export", "tool": "tickets.get", "why": "because"}


class Place(NamedTuple):
    """One place of a command where a value is written."""

    words: tuple[str, ...]
    name: str
    others: tuple[Any, ...]

    def written(self, value: str) -> list[str]:
        """The command line with that value there, and usual ones where others are needed."""
        options, arguments = [*self.words], []
        for each in self.others:
            text = value if each.name == self.name else USUAL.get(each.name, "x")
            if each.name != self.name and not each.required:
                continue
            if each.param_type_name == "argument":
                arguments.append(text)
            else:
                options.append(f"{max(each.opts, key=len)}={text}")
        return [*options, "--", *arguments] if arguments else options


def _places(found: Any, words: tuple[str, ...] = ()) -> Iterator[Place]:
    if hasattr(found, "list_commands"):
        for name in found.list_commands(None):
            yield from _places(found.get_command(None, name), (*words, name))
        return
    takes = tuple(each for each in found.params if not getattr(each, "is_flag", False))
    for each in takes:
        yield Place(words, each.name, takes)


PLACES = list(_places(command()))


def test_every_command_is_walked() -> None:
    assert len({place.words for place in PLACES}) > 30
    assert len(PLACES) > 100


@pytest.mark.parametrize("place", PLACES, ids=lambda place: " ".join((*place.words, place.name)))
def test_a_wrong_value_is_said_in_one_line(
    place: Place, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTGUARD_HOME", str(tmp_path / "home"))
    (tmp_path / "not-utf8").write_bytes(b"\xff\xfe\x00\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    shutil.copytree(ROOT / "workflows" / "customer_export", tmp_path / "bundle")
    for value in WRONG:
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        ended = call(*place.written(value))
        asks = ended.code == 130 and place.words == ("ledger", "erase")  # it asks back, and nobody is there
        assert asks or ended.code in (0, 1, 2, 3), (value[:40], ended)
        assert "Traceback" not in ended.err + ended.out, value[:40]
        assert sum(line.startswith("agentguard: ") for line in ended.err.splitlines()) <= 1, (value[:40], ended.err)
        assert ended.err or ended.out, value[:40]
