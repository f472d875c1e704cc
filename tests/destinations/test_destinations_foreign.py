"""Other people's kinds, in a distribution that pip installed: they work, and neither take over nor fail open."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = """\
from agentguard.destinations.kinds import Ambiguous, make_place


class Ticket:
    name, options, rewrites_argument, max_per_call = "ticket", frozenset({"project"}), True, 8

    def derive(self, value, options):
        if value == "raise":
            raise RuntimeError("secret value")
        if value == "nothing":
            return ()
        if value == "other":
            return (make_place("url", "https://public.example.com/"),)
        if type(value) is not str or not value.startswith("T-"):
            return Ambiguous("not_a_ticket")
        return (make_place("ticket", value, number=value[2:]),)

    def option_problem(self, options):
        return None

    def pattern_key(self, pattern):
        if pattern == "raise":
            raise RuntimeError
        return pattern

    def place_keys(self, place):
        if place.id == "T-raise":
            raise RuntimeError
        yield place.id
        yield "T-*"


class Named(Ticket):
    def __init__(self, name, **changed):
        self.name = name
        self.__dict__.update(changed)


TICKET = Ticket()
URL = Named("url")
WRONG_NAME = Named("another")
NO_BOUND = Named("no-bound", max_per_call=None)
NO_KEYS = Named("no-keys", place_keys=None)
HANDED = Named("handed", rewrites_argument="yes")
"""
ENTRY_POINTS = """\
[agentguard.destinations]
ticket = tickets:TICKET
url = tickets:URL
wrong-name = tickets:WRONG_NAME
no-bound = tickets:NO_BOUND
no-keys = tickets:NO_KEYS
handed = tickets:HANDED
missing = tickets:MISSING
broken = tickets_broken:KIND
"""
FILES = {
    "tickets.py": MODULE,
    "tickets_broken.py": "raise SystemError('at import')\n",
    "tickets-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tickets\nVersion: 1.0\n",
    "tickets-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tickets-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheel."""
    folder = tmp_path_factory.mktemp("foreign")
    wheel = folder / "tickets-1.0-py3-none-any.whl"
    record = ""
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text)}\n"
        archive.writestr("tickets-1.0.dist-info/RECORD", record + "tickets-1.0.dist-info/RECORD,,\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--target",
        folder / "site",
        wheel,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "site"


def python(installed: Path, code: str) -> list[object]:
    """What a fresh interpreter, with the distribution installed, prints as JSON."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=env, check=True)
    found: list[object] = json.loads(done.stdout)
    return found


SETUP = """\
import json
from agentguard.core.declarations import CatalogEntry, DestinationDeclaration, Source
from agentguard.core.values import Sensitivity, Unavailable
from agentguard.destinations import Catalog, derive, find_kind, kind_names, rewrite
from agentguard.errors import PolicyError
HERE = Source("d.yaml", 1)
def entry(pattern): return CatalogEntry("ticket", pattern, Sensitivity.SECRET, None, None, None, None, HERE)
def judged(kind, value, catalog=Catalog([entry("T-*")])):
    found = derive([DestinationDeclaration(kind, "to", None, {}, False, HERE)], {"to": value}, catalog)
    if isinstance(found, Unavailable):
        return found.detail
    return [[one.kind, one.id, one.sensitivity.word] for one in found]
"""


def test_an_installed_kind_is_used_like_our_own(installed: Path) -> None:
    """Declared, derived, classified, named in messages, and known to the command line."""
    code = SETUP + 'print(json.dumps([judged("ticket", "T-1"), judged("ticket", "X"), "ticket" in kind_names()]))'
    answer, refused, named = python(installed, code)
    assert answer == [["ticket", "T-1", "secret"]]
    assert refused == "not_a_ticket: `to`"
    assert named is True
    cli = "import sys; from agentguard.cli import main; sys.exit(main(['destination', '--kind', 'ticket', 'T-7']))"
    assert python(installed, cli) == {
        "verdict": "ok",
        "destinations": [{"kind": "ticket", "id": "T-7", "sensitivity": "unclassified", "zone": None}],
    }


def test_a_built_in_name_cannot_be_taken_over(installed: Path) -> None:
    """Installing a package must not change what a URL is."""
    code = SETUP + 'print(json.dumps([type(find_kind("url")).__module__, judged("url", "T-1")]))'
    assert python(installed, code) == ["agentguard.destinations.kinds.url", "no_scheme: `to`"]


def test_a_kind_that_fails_refuses(installed: Path) -> None:
    """While a value is read, while a place is looked up, and where it answers for another kind."""
    values = ["raise", "nothing", "other", "T-raise"]
    code = SETUP + f'print(json.dumps([judged("ticket", value) for value in {values}]))'
    assert python(installed, code) == [
        "kind_failed: `to`", "no_destination: `to`", "no_destination: `to`", "kind_failed: `to`",
    ]  # fmt: skip
    cli = "import sys; from agentguard.cli import main; main(['destination', '--kind', 'ticket', 'T-raise'])"
    bundle = "import agentguard.cli.destination as d; from agentguard.destinations import find_kind, Catalog; "
    asked = 'print(json.dumps(d.describe(find_kind("ticket"), "T-raise", {}, Catalog([entry("T-*")]))))'
    assert python(installed, SETUP + bundle + asked) == {"verdict": "refused", "reason": "kind_failed"}
    assert python(installed, cli) == {
        "verdict": "ok",
        "destinations": [{"kind": "ticket", "id": "T-raise", "sensitivity": "unclassified", "zone": None}],
    }


def test_a_kind_that_cannot_be_loaded_does_not_exist(installed: Path) -> None:
    """Wrong name, missing members, members of another type, an import that raises: no half kinds."""
    names = ["wrong-name", "no-bound", "no-keys", "handed", "missing", "broken"]
    code = SETUP + f'print(json.dumps([judged(name, "T-1") for name in {names}]))'
    assert python(installed, code) == ["unknown_kind: `to`"] * len(names)


def test_a_pattern_on_which_a_kind_fails_is_the_owners_error(installed: Path) -> None:
    """Loading a bundle names file and line, and does not break down."""
    code = SETUP + (
        'try:\n    Catalog([entry("raise")])\nexcept PolicyError as error:\n'
        "    print(json.dumps([str(problem) for problem in error.problems]))"
    )
    (message,) = python(installed, code)
    assert str(message).startswith("d.yaml:1: the kind `ticket` failed on this pattern (RuntimeError)")
