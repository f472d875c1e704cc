"""Who may do what on the console is what Trust says, letter for letter, now; and nobody may anything by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_bundle import small_bundle

from agentguard.errors import PolicyError
from agentguard.policy import Bundle, load
from agentguard.server.console.roles import May, may

from .conftest import Place

NOTHING = May()


def bundle(directory: Path, console: str | None, **more: str) -> Bundle:
    files = small_bundle({"look": {}})
    files["trust.yaml"] += "" if console is None else f"console: {console}\n"
    for name, text in {**files, **more}.items():
        (directory / name).write_text(text, "utf-8")
    return load(directory)


@pytest.mark.parametrize(("console", "person", "expected"), [
    (None, "user:dana", NOTHING),
    ("{}", "user:dana", NOTHING),
    ("{see: [group:leads]}", "user:dana", May(see=True)),
    ("{see: [group:leads]}", "user:Dana", NOTHING),
    ("{see: [group:leads]}", "dana", NOTHING),
    ("{see: [group:leads]}", "user:dana ", NOTHING),
    ("{see: [group:leads]}", "user:rita", NOTHING),
    ('{see: ["user:rita"]}', "user:rita", May(see=True)),
    ("{see: [anyone]}", "user:nobody-knows", May(see=True)),
    ("{search: [anyone]}", "user:rita", May(see=True, search=True)),
    ('{stop: ["user:rita"]}', "user:rita", May(see=True, stop=True)),
    ('{stop: ["user:rita"], search: [group:leads]}', "user:kim", May(see=True, search=True)),
])  # fmt: skip
def test_what_trust_says(tmp_path: Path, console: str | None, person: str, expected: May) -> None:
    assert may(bundle(tmp_path, console), person) == expected


def test_without_a_bundle_nobody_may_anything() -> None:
    assert may(None, "user:dana") == NOTHING


def test_the_console_is_described_once_wherever_its_groups_stand(tmp_path: Path) -> None:
    more = "apiVersion: agentguard/v1\nkind: Trust\ngroups: {late: ['user:late']}\n"
    assert may(bundle(tmp_path, "{see: [group:late]}", **{"a.yaml": more, "z.yaml": more.replace("late", "z")}),
               "user:late").see  # fmt: skip
    with pytest.raises(PolicyError, match="described once"):
        bundle(tmp_path, "{see: [group:leads]}", **{"z.yaml": more.replace("late", "z") + "console: {}\n"})


ROLES: Mapping[str, Mapping[str, int]] = {
    "{}": {"/runs": 404, "/decisions": 404, "/records": 404, "/requests/a-1": 404, "/requests": 200},
    '{see: ["user:rita"]}': {"/runs": 200, "/decisions": 200, "/records": 404, "/requests/a-1": 200},
    '{search: ["user:rita"]}': {"/runs": 200, "/records": 200, "/records/1": 200, "/requests/a-1": 200},
    '{stop: ["user:rita"]}': {"/runs": 200, "/records": 404},
}


@pytest.mark.parametrize("console", ROLES)
def test_pages_go_by_the_role_that_somebody_has_now(tmp_path: Path, place: Place, console: str) -> None:
    rita = place.visitor("user:rita")
    place.bundle = bundle(tmp_path, console)
    assert {address: rita.get(address).status_code for address in ROLES[console]} == ROLES[console]
    assert ("/runs/r-1/stop" in rita.get("/runs/r-1").text) is ("stop" in console)
    place.bundle = bundle(tmp_path, "{}")
    assert rita.get("/runs").status_code == 404, "who has lost a role has lost it at once"


def test_a_role_to_see_is_none_to_agree(tmp_path: Path, place: Place) -> None:
    """Who may answer is the workflow's rule, which no role of the console changes."""
    place.bundle = bundle(tmp_path, "{see: [anyone], search: [anyone], stop: [anyone]}")
    rita: Any = place.visitor("user:rita")
    page = rita.get("/requests/a-1").text
    assert "/approve" not in page
    assert "cannot agree" in page


def test_whoever_signed_in_by_a_provider_has_no_rights_of_the_machine(place: Place) -> None:
    assert place.visitor("user:ann", "provider").get("/runs").status_code == 404
    assert place.visitor("user:ann", "link").get("/runs").status_code == 200
