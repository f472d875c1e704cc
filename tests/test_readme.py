"""The README runs: its bundle loads, its Python does what it says, its files and commands exist."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import agentguard

sys.path.insert(0, str(Path(__file__).parent))
from readme import README, blocks
from tested_sources import wrong_sources

ROOT = README.parent


FIRST = README.read_text("utf-8").partition("## First steps")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str, str]]]:
    """A fresh folder in which the first steps were typed: each command, what it printed, and what the page shows."""
    folder = tmp_path_factory.mktemp("shop")
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None, "each block says which file it is"
        (folder / name[1]).write_text(block)
    done = []
    for block in blocks("console"):
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", block, re.MULTILINE):
            if "pip install" in command or command.startswith("mkdir"):
                continue
            done.append((command, ran(folder, *command.split()), shown))
    return folder, done


CLI = "import sys; from agentguard.cli import main; sys.exit(main())"


def ran(folder: Path, program: str, *words: str) -> str:
    """What a newcomer's command printed there."""
    paths = os.pathsep.join([str(Path(agentguard.__file__ or "").parents[1]), os.environ.get("PYTHONPATH", "")])
    # A newcomer has set neither; with the second, a program does not find what lies beside it.
    unset = ("AGENTGUARD_HOME", "PYTHONSAFEPATH")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(unset)}
    start = {"python": [sys.executable], "agentguard": [sys.executable, "-c", CLI]}[program]
    ended = subprocess.run(
        [*start, *words],
        cwd=folder, capture_output=True, text=True, env=environment | {"PYTHONPATH": paths}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 0, f"{program} {words}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def test_the_first_steps_print_what_the_page_shows(typed: tuple[Path, list[tuple[str, str, str]]]) -> None:
    """A newcomer types exactly this and compares letter by letter; an id is another one each time."""
    _, done = typed
    assert [command for command, _, shown in done if shown] == ["agentguard init shop:tools --yes", "python main.py"]
    for command, printed, shown in done:
        if shown:
            said = [re.sub(r"`d-[0-9a-f]{32}`", "`d-…`", line.rstrip()) for line in printed.splitlines()]
            assert said == shown.splitlines(), command


def test_the_first_steps_reach_a_permit_a_refusal_and_a_wait_within_eight_hundred_words() -> None:
    """Judged as a newcomer reads: everything that stands there counts, code and output too."""
    assert len(FIRST.split()) < 800
    assert README.read_text("utf-8").index("## First steps") < README.read_text("utf-8").index("## Two commands")


def test_the_piece_of_policy_that_is_shown_is_what_was_drawn_up(
    typed: tuple[Path, list[tuple[str, str, str]]],
) -> None:
    folder, _ = typed
    (block,) = blocks("yaml")
    name, _, piece = block.partition("\n")
    assert piece in (folder / name.removeprefix("# ")).read_text("utf-8")


def test_the_first_steps_leave_a_draft_that_checks_without_a_note(
    typed: tuple[Path, list[tuple[str, str, str]]],
) -> None:
    printed = {command: text for command, text, _ in typed[1]}
    assert printed["agentguard check policy"].startswith("ok: ") and "note:" not in printed["agentguard check policy"]
    assert "12 of 12 as expected" in printed["agentguard test policy"]
    assert printed["agentguard doctor --fail-on blocked"].splitlines()[-1].startswith("0 blocked, ")


AGAIN = """
import sys
from shop import refund_order
from agentguard import ApprovalPending, Guard

with Guard.load("policy") as guard:
    refund_order = guard.wrap(refund_order)
    with guard.run("shop", inputs={"customer_id": "C-7"}, requester="user:eli"):
        try:
            refund_order("ORD-1", 4_900)
        except ApprovalPending:
            print("asked anew")
    with guard.resume(sys.argv[1]):
        print(refund_order("ORD-1", 4_900))
"""


def test_a_yes_is_for_the_run_that_waited_as_the_page_says(typed: tuple[Path, list[tuple[str, str, str]]]) -> None:
    """The page said only "when it is made again": a newcomer started `main.py` again, and was asked anew."""
    folder, _ = typed
    said = " ".join(FIRST.split())
    assert "(`with guard.resume(run.id)`); a new run asks anew" in said
    listed = ran(folder, "agentguard", "approvals", "list")
    (asked,) = re.findall(r"\ba-[0-9a-f]{32}", listed)
    ran(folder, "agentguard", "approvals", "approve", asked, "--yes")
    (run,) = re.findall(r"\br-[0-9a-f]{32}", ran(folder, "agentguard", "runs", "list"))
    assert ran(folder, "python", "-c", AGAIN, run).splitlines() == ["asked anew", "paid 4900 back for ORD-1"]


@pytest.mark.parametrize("folder", ["agentguard", "docs", "tests", "examples", "benchmarks", "."])
def test_nothing_refers_to_a_page_that_is_not_in_the_repository(folder: str) -> None:
    """Who reads it has only what is here: say the thing itself, or link a page of docs."""
    pages = re.compile("|".join((r"\bDES" + "IGN\\b", r"\bPIT" + "FALLS\\b", r"\bSTY" + "LE\\b", r"\bHOU" + "SE\\b")))
    names = (ROOT / folder).glob("*") if folder == "." else (ROOT / folder).rglob("*")
    files = [name for name in names if name.suffix in (".py", ".md", ".yaml", ".toml") and name.is_file()]
    assert [str(name) for name in files if pages.search(name.read_text("utf-8"))] == []


def test_the_commands_of_contributing_are_those_of_the_makefile() -> None:
    """Two lists of the same commands drift apart."""
    page, make = ((ROOT / name).read_text("utf-8") for name in ("CONTRIBUTING.md", "Makefile"))
    for target, commands in re.findall(r"^\| `make (\w+)` \| (.*?)(?::.*)? \|$", page, re.MULTILINE):
        recipe = re.search(rf"^{target}:\n((?:\t.*\n)+)", make, re.MULTILINE)
        assert recipe is not None, target
        made = [line.strip().removeprefix("$(BIN)/") for line in recipe[1].splitlines()]
        assert made == re.findall(r"`([^`]+)`", commands)


def test_the_readme_begins_with_its_two_commands() -> None:
    """One that installs everything and runs the main job, one that installs and passes the tests."""
    first, second = blocks("sh")
    assert "pip install" in first and "examples.database_export" in first
    assert "pip install" in second and "pytest" in second
    assert all("\n" not in command.rstrip("\n") for command in (first, second))


@pytest.mark.parametrize(
    "name", ["database_export", "deployment_pipeline", "payments_service", "incident_response", "first_policy"]
)
def test_every_example_the_readme_names_is_there(name: str) -> None:
    """A name in a list is easily forgotten when a folder is renamed."""
    assert f"examples.{name}" in README.read_text("utf-8")
    assert (ROOT / "examples" / name / "__main__.py").is_file()


PAGES = [path for pattern in ("*.md", "*/README.md", "docs/*.md") for path in sorted(ROOT.glob(pattern))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """A link into the repository that is broken, or to a heading that is gone, is worse than none."""
    broken = []
    text = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", page.read_text("utf-8"))  # what stands there as code is no link
    for target, _, heading in (link.partition("#") for link in re.findall(r"\]\(([^) :]+)\)", text)):
        to = (page.parent / target).resolve() if target else page
        if not to.exists() or (heading and heading not in _headings(to)):
            broken.append(f"{target}#{heading}")
    assert broken == []


# Pages for those who change the package name its files.
@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/style.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    """A table of where to change what is worth nothing once a file has moved."""
    named = re.findall(r"`((?:agentguard|tests|docs)/[\w./-]+|pyproject\.toml)`", (ROOT / page).read_text("utf-8"))

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def _headings(page: Path) -> set[str]:
    """The anchors that a page's headings get where repositories are read."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_constraints_pin_versions_and_name_no_place() -> None:
    """Exact versions, and neither an index, a file nor a hash: where packages come from is the installer's business."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line)] == []


def test_a_run_that_would_test_another_copy_of_the_sources_is_refused(tmp_path: Path) -> None:
    """After a plain install, a fault put into the checkout passed every test."""
    own, copy = ROOT / "agentguard" / "__init__.py", tmp_path / "site-packages" / "agentguard" / "__init__.py"
    assert wrong_sources(own, {}) is None
    assert wrong_sources(copy, {"AGENTGUARD_TEST_INSTALLED": "1"}) is None
    assert "pip install" in (wrong_sources(copy, {}) or "")
    assert "pip install" in (wrong_sources(copy, {"AGENTGUARD_TEST_INSTALLED": "0"}) or "")
    assert "tests the installed package" in (wrong_sources(own, {"AGENTGUARD_TEST_INSTALLED": "1"}) or "")


@pytest.mark.skipif("AGENTGUARD_TEST_INSTALLED" not in os.environ, reason="only where CI tests the built wheel")
def test_what_is_tested_is_the_installed_package() -> None:
    """A file that is missing from the wheel is found only where the checkout is out of reach."""
    assert "site-packages" in Path(agentguard.__file__ or "").parts
    assert importlib.util.find_spec("agentguard.guard") is not None


@pytest.mark.skipif("AGENTGUARD_TEST_INSTALLED" not in os.environ, reason="only where CI tests the built wheel")
def test_every_file_of_the_package_is_in_the_wheel_as_it_is() -> None:
    """Then what passes on the checkout passes on the wheel, and only few tests need to run on both."""
    own, installed = ROOT / "agentguard", Path(agentguard.__file__ or "").parent
    names = [file.relative_to(own) for file in own.rglob("*") if file.is_file() and file.suffix != ".pyc"]

    assert len(names) > 150
    assert [str(name) for name in names if not (installed / name).is_file()] == []
    assert [str(name) for name in names if (installed / name).read_bytes() != (own / name).read_bytes()] == []


@pytest.mark.parametrize("name", ["on_the_wheel.txt", "langchain_before.txt"])
def test_the_lists_of_ci_name_tests_that_are_there(name: str) -> None:
    """And each file that meets LangChain is in the list of those."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / ".ci" / name).read_text("utf-8").splitlines()]
    listed = [line for line in lines if line]

    assert listed
    assert [path for path in listed if not (ROOT / path).exists()] == []
    if name == "langchain_before.txt":
        ours = re.compile(r"^\s*(from|import) lang(chain|graph)", re.MULTILINE)
        files = (ROOT / "tests" / "integrations").glob("test_*.py")
        meets = {file.name for file in files if ours.search(file.read_text("utf-8"))}
        assert meets == {Path(path).name for path in listed}
