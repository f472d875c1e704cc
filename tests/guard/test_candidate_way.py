"""Where a run has been is what the live bundle makes of it: another catalog would have made something else of it."""

from __future__ import annotations

import contextlib
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ToolCallRefused
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger

from .conftest import Clock
from .test_zones import BUNDLE, LAB, OFFICE, VAULT

QUIET = [('first_contact: {from: ["group:vault-owners"], quorum: 1, within: 30m}', "then: {vault: secret}")]
SENSITIVE = [('"https://lab.example/*", sensitivity: internal', '"https://lab.example/*", sensitivity: restricted')]
DULL = [('"https://lab.example/*", sensitivity: internal', '"https://lab.example/*", sensitivity: public')]
MOVED = [
    (
        '"https://lab.example/*", sensitivity: internal, zone: lab',
        '"https://lab.example/*", sensitivity: internal, zone: office',
    )
]
WRITES = [("web.get: {effect: read,", "web.get: {effect: write,")]
OTHER_STEP = [("up_to: secret, unclassified: allow", "up_to: secret")]
HIGH, ZONES = "how sensitive what it read was", "in which zones it has been"
CASES = [
    ("another sensitivity, once something was read", SENSITIVE, [LAB], OFFICE, [HIGH]),
    ("a lower one, too", DULL, [LAB], OFFICE, [HIGH]),
    ("what read then reads no more", WRITES, [LAB], OFFICE, [HIGH]),
    ("another zone", MOVED, [LAB], OFFICE, [ZONES]),
    ("near miss: nothing was called yet", SENSITIVE, [], OFFICE, None),
    ("near miss: no zone yet", MOVED, [], OFFICE, None),
    ("near miss: the places are the same", OTHER_STEP, [LAB], OFFICE, None),
]  # fmt: skip


def judged(tmp_path: Path, clock: Clock, changes: list[tuple[str, str]], reads: list[str], posts: str) -> Any:
    """What a candidate that differs so says of a post, after these reads."""
    live, following = tmp_path / "live", tmp_path / "next"
    live.mkdir()
    for name, text in BUNDLE.items():
        (live / name).write_text(textwrap.dedent(text))
    shutil.copytree(live, following)
    for old, new in changes:
        (file,) = [each for each in following.glob("*.yaml") if old in each.read_text()]
        file.write_text(file.read_text().replace(old, new))

    def get(url: str) -> str:
        return "a page"

    def post(url: str) -> str:
        return "done"

    get.__name__, post.__name__ = "web.get", "web.post"
    guard = Guard.load(live, candidate=following, ledger=memory_ledger(), home=tmp_path / "home", clock=clock)
    try:
        read, write = guard.wrap([get, post])
        with guard.run("browse"):
            for url in reads:
                read(url=url)
            with contextlib.suppress(ToolCallRefused):
                write(url=posts)
        assert guard._candidate is not None
        guard._candidate.shut()
        return [record["candidate"]["verdict"] for record in guard.records(kind="candidate")][-1]
    finally:
        guard.shut()


@pytest.mark.parametrize(("changes", "reads", "posts", "lacks"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_the_live_catalog_made_of_a_run_is_no_fact_of_the_candidate(
    tmp_path: Path, clock: Clock, changes: Any, reads: Any, posts: str, lacks: list[str] | None
) -> None:
    """Where the candidate would have made something else of the calls before, it cannot be judged."""
    said = judged(tmp_path, clock, changes, reads, posts)
    assert (said["effect"], said["lacks"]) == ((None, lacks) if lacks else ("permit", [])), said


def test_what_is_refused_wherever_the_run_has_been_is_refused(tmp_path: Path, clock: Clock) -> None:
    """A near miss: the place itself is too sensitive, whatever was read before."""
    changes = [*SENSITIVE, ("destinations: {up_to: secret, unclassified: allow}\n", "destinations: {up_to: public}\n")]
    said = judged(tmp_path, clock, changes, [LAB], OFFICE)
    assert said["effect"] == "deny" and "destination_too_sensitive" in said["reasons"]


def test_a_zone_that_nobody_knows_the_way_to_cannot_be_judged(tmp_path: Path, clock: Clock) -> None:
    """Not even where the live run's zones would refuse it: under the candidate it has perhaps never been there."""
    said = judged(tmp_path, clock, [*MOVED, *QUIET], [LAB], VAULT)
    assert (said["effect"], said["lacks"]) == (None, [ZONES])
