"""Help that teaches, wrong use that is told clearly, and output that cannot attack a terminal."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import json
import os
import re
import shlex
import sqlite3
import stat
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import agentguard
from agentguard.cli import run as runner
from agentguard.cli.app import COMMANDS
from agentguard.errors import ConfigurationError, LedgerError
from agentguard.ledger import open_ledger
from cli.bundle import write
from cli.conftest import NASTY, ROOT, Call, Ended, ask, decide, real, start

GROUPS = {
    "approvals": ("list", "show", "approve", "deny"),
    "audit": ("list", "show", "follow"),
    "runs": ("list", "show", "stop", "free", "risk", "sweep"),
    "subjects": ("suspend", "restore", "stop", "risk"),
    "credentials": ("revoke", "activate"),
    "assertion": ("verify",),
    "signals": ("serve", "poll", "verify", "status"),
    "destinations": ("coverage", "import"),
    "ledger": ("upgrade", "rebuild", "erase"),
}
PATHS = [[name] for name in COMMANDS] + [[group, name] for group, names in GROUPS.items() for name in names]


def is_clear(ended: Ended) -> bool:
    """One line on standard error, ours, without a traceback or a raw control character."""
    lines = ended.err.splitlines()
    return len(lines) == 1 and lines[0].startswith("agentguard: ") and ended.err.strip("\n").isprintable()


# help


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_explains_itself(path: list[str], call: Call) -> None:
    """Without a ledger, a bundle or anything else in place."""
    ended = call(*path, "--help")
    assert ended.code == 0
    assert "Usage: agentguard " + " ".join(path) in ended.out
    assert len(ended.out.split()) > 12


@pytest.mark.parametrize("path", [p for p in PATHS if p not in [[g] for g in GROUPS]], ids=" ".join)
def test_every_command_gives_an_example(path: list[str], call: Call) -> None:
    """An example says more than a list of flags."""
    shown = call(*path, "--help").out
    assert "Example: agentguard " + " ".join(path) in " ".join(shown.split())
    assert shown.isascii() and "completion" not in shown


@pytest.mark.parametrize("command", ["check", "test", "explain", "schema", "destination"])
def test_an_example_that_needs_no_ledger_works_when_pasted(
    command: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a clone, as the page on which it stands is read there."""
    monkeypatch.chdir(ROOT)
    example = call(command, "--help").out.split("Example: agentguard ")[1].split("\n\n")[0].split(" > ")[0]

    assert call(*shlex.split(example.replace("\\\n", ""))).code == 0


BUNDLED = [
    ["check"],
    ["test"],
    ["explain"],
    ["destinations", "coverage"],
    ["signals", "serve"],
    ["signals", "poll"],
    [],
]


@pytest.mark.parametrize("path", BUNDLED, ids=" ".join)
@pytest.mark.parametrize("place", ["workflows", "policy", ""])
def test_help_names_the_bundle_that_is_there_where_it_is_read(
    path: list[str], place: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside a clone of the repository its folders are not there, and an example that fails teaches nothing."""
    if place:
        write(tmp_path / place)
    monkeypatch.chdir(tmp_path)
    shown = " ".join(call(*path, "--help").out.split())
    named = re.findall(
        r"agentguard (?:(?:check|test|explain|coverage|serve|poll|signals|destinations) )++([A-Za-z]\S*)", shown
    )
    assert set(named) - {"COMMAND"} == {place or "DIR"}


def test_the_list_of_commands_is_whole_and_its_summaries_are_not_cut(call: Call) -> None:
    """Help is printed from a table; the table and the modules must agree."""
    ended = call("--help")
    assert ended.code == 0
    assert all(f"\n  {name} " in ended.out and f" {entry.summary}\n" in ended.out for name, entry in COMMANDS.items())


def test_help_is_quick_because_it_loads_nothing() -> None:
    """Not the time but its cause: no command, no cryptography, no parser is imported."""
    code = (
        "import sys; from agentguard.cli import main; main(['--help']);"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'joserfc','cryptography','sqlglot','pydantic',"
        "'yaml','jsonschema_rs','ada_url','sqlite3'}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == "[]\n"


def test_no_command_at_all_shows_help_and_exits_2(call: Call) -> None:
    """A script that forgot its command must notice."""
    assert call().code == 2


def test_the_version_is_told(call: Call) -> None:
    """For reports."""
    ended = call("--version")
    assert ended.code == 0
    assert ended.out.startswith("agentguard ")


# wrong use


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "there is no command `nonsense`; init, doctor, check, test, "),
        (["chek"], "did you mean `check`?"),
        (["audit", "lst"], "did you mean `list`?"),
        (["audit", "list\n"], "did you mean `list`?"),
        (["--nonsense"], "--nonsense"),
        (["approvals", "nonsense"], "nonsense"),
        (["approvals", "show"], "APPROVAL"),
        (["approvals", "approve"], "APPROVAL"),
        (["runs", "stop"], "RUN"),
        (["runs", "risk", "r-1"], "LEVEL"),
        (["audit", "list", "--last", "0"], "--last"),
        (["audit", "list", "--last", "many"], "--last"),
        (["audit", "list", "--effect", "Deny"], "did you mean `deny`?"),
        (["audit", "list", "--kind", "x"], "decision"),
        (["audit", "list", "--reason", "condition_flase"], "did you mean `condition_false`"),
        (["audit", "list", "--since", "yesterday"], "2026-11-24T12:00:00Z"),
        (["audit", "list", "--since", "2026-11-24"], "--since"),
        (["audit", "list", "--since", "2026-11-24T12:00:00"], "--since"),
        (["audit", "list", "--since", "999999999d"], "--since"),
        (["audit", "list", "--since", "1m", "--until", "1h"], "nothing can match"),
        (["audit", "list", "--nonsense"], "--nonsense"),
        (["subjects", "suspend", ""], "not a subject"),
        (["subjects", "suspend", " x"], "not a subject"),
        (["subjects", "suspend", "x\x1b[2J"], "not a subject"),
        (["subjects", "suspend", "x" * 2_049], "not a subject"),
        (["credentials", "revoke", "a b"], "not a credential"),
        (["credentials", "revoke", "x\n"], "not a credential"),
        (["runs", "stop", "r-1", "--why", "x" * 2_001], "--why"),
    ],
    ids=str,
)
def test_wrong_use_gives_one_clear_line_and_exit_code_2(
    arguments: list[str], words: str, store: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found, what was expected; no traceback and no box drawing."""
    monkeypatch.setenv("AGENTGUARD_HOME", str(store.parent))
    ended = call(*arguments)
    assert ended.code == 2
    assert is_clear(ended), ended.err
    assert words in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["approvals", "show", "a-2"], ["approvals", "approve", "a-2", "--yes"], ["approvals", "deny", "", "--yes"],
        ["audit", "show", "d-9"], ["audit", "show", "0"], ["audit", "show", "99999"], ["audit", "show", "9" * 400],
        ["audit", "show", "٣"], ["runs", "show", "r-9"], ["runs", "stop", "r-9"], ["runs", "risk", "r-9", "low"],
        ["runs", "show", "\udcff"], ["approvals", "show", "x" * 100_000],
    ],
    ids=lambda a: str(a)[:60],
)  # fmt: skip
def test_what_is_not_there_is_said_to_be_missing(arguments: list[str], store: Path, call: Call) -> None:
    """Never a traceback, never a silent success."""
    ended = call(*arguments, "--ledger", store)
    assert ended.code == 3
    assert is_clear(ended), ended.err


READS = [["approvals", "list"], ["approvals", "show", "a"], ["audit", "list"], ["audit", "show", "d"],
         ["audit", "follow"], ["runs", "list"], ["runs", "stop", "r"], ["subjects", "suspend", "s"],
         ["credentials", "revoke", "c"], ["approvals", "approve", "a", "--yes"]]  # fmt: skip


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
def test_a_missing_ledger_is_an_error_and_is_not_created(arguments: list[str], tmp_path: Path, call: Call) -> None:
    """An empty ledger made by reading would say `no records` about the wrong place."""
    ended = call(*arguments, "--ledger", tmp_path / "none" / "ledger.sqlite3")
    assert ended.code == 3
    assert is_clear(ended)
    assert "--ledger" in ended.err
    assert list(tmp_path.iterdir()) == []


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"hello, I am a letter, not a ledger" * 10)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE addresses (a)")
    connection.commit()
    connection.close()


def _directory(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("spoil", [_not_sqlite, _empty, _truncated, _foreign, _directory, _pipe])
def test_what_is_not_a_ledger_is_refused_and_left_as_it_was(spoil: object, tmp_path: Path, call: Call) -> None:
    """Somebody else's file must survive a wrong --ledger."""
    path = tmp_path / "ledger.sqlite3"
    spoil(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else None
    ended = call("audit", "list", "--ledger", path)
    assert ended.code == 3
    assert is_clear(ended), ended.err
    assert before is None or path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger.sqlite3"]


@pytest.mark.parametrize("body", [b"\x00\xff", b"[]", b"5", b"[" * 5_000])
@pytest.mark.parametrize("arguments", [["audit", "list"], ["audit", "show", "1"], ["audit", "list", "--json"]], ids=str)
def test_a_damaged_record_is_named_with_the_remedy(store: Path, call: Call, body: bytes, arguments: list[str]) -> None:
    """It is no defect of the command, and a reader must not take the rest for everything."""
    connection = sqlite3.connect(store)
    connection.execute("UPDATE records SET body = ? WHERE seq = 1", (body,))
    connection.commit()
    connection.close()
    ended = call(*arguments, "--ledger", store)
    assert ended.code == 3
    assert is_clear(ended), ended.err
    assert "record 1 is damaged" in ended.err and "backup" in ended.err


def test_a_record_whose_fields_are_of_another_kind_is_still_shown(store: Path, call: Call) -> None:
    """Whoever can write the file can write anything into it."""
    connection = sqlite3.connect(store)
    odd = '{"kind": 5, "time": [], "reasons": 7, "effect": {}, "tool": null, "decision_id": 1.5}'
    connection.execute("UPDATE records SET body = ? WHERE seq = 1", (odd,))
    connection.commit()
    connection.close()
    ended = call("audit", "list", "--ledger", store)
    assert ended.code == 0 and "1.5" in ended.out


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_an_unreadable_ledger_is_said_to_be_unreadable(store: Path, call: Call) -> None:
    """The remedy differs from a missing one's."""
    store.chmod(0)
    ended = call("audit", "list", "--ledger", store)
    store.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert ended.code == 3
    assert "cannot be read" in ended.err


@pytest.mark.parametrize("home", ["", "/nowhere/at/all", "\udcff", "x" * 5_000])
def test_an_odd_home_is_an_error_and_not_a_traceback(
    home: str, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Environment values are input too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTGUARD_HOME", home)
    ended = call("runs", "list")
    assert ended.code == 3
    assert is_clear(ended), ended.err


def test_the_home_variable_names_the_ledger(store: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same one that the guard uses."""
    monkeypatch.setenv("AGENTGUARD_HOME", str(store.parent))
    assert "r-1" in call("runs", "list").out


# the last line of defence


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LedgerError("x"), 3),
        (ConfigurationError("x"), 2),
        (FileNotFoundError(2, "No such file", "f"), 2),
        (OSError("strange"), 2),
        (KeyError("a secret"), 70),
        (RecursionError(), 70),
        (ZeroDivisionError("a secret"), 70),
        (KeyboardInterrupt(), 130),
    ],
    ids=repr,
)
def test_every_exception_ends_in_one_line(
    error: BaseException, code: int, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is named by its type alone: its text may hold private values."""

    def explode() -> object:
        raise error

    monkeypatch.setattr(runner, "command", explode)
    ended = call("check", ".")
    assert ended.code == code
    assert is_clear(ended)
    assert "a secret" not in ended.err


def test_an_interrupt_while_the_command_line_loads_is_one_line() -> None:
    """It loads for longer than most commands take, so that is when people press Ctrl-C."""
    code = """
import sys
from agentguard.cli import main
class Interrupt:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
sys.exit(main(["check", "."]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert is_clear(Ended(done.returncode, done.stdout, done.stderr)) and done.returncode == 130


def test_a_message_that_quotes_an_attack_is_escaped(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Error texts quote what was found, and that is where attacks come from."""

    def explode() -> object:
        raise ConfigurationError(f"found `{NASTY}`")

    monkeypatch.setattr(runner, "command", explode)
    assert is_clear(call("check", "."))


def shell(line: str, store: Path, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """A line of shell in which `agentguard` is the real command, in a process of its own."""
    command = f"{sys.executable} -c 'from agentguard.cli import main; raise SystemExit(main())'"
    script = f"""
        export AGENTGUARD_HOME={store.parent}
        agentguard() {{ {command} "$@"; }}
        {line}
    """
    return subprocess.run(
        ["bash", "-c", script], stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
    )


@pytest.mark.parametrize("arguments", ["audit list", "schema Workflow", "--help", "test workflows/customer_export"])
def test_a_reader_that_leaves_hears_no_noise_and_no_yes(arguments: str, store: Path) -> None:
    """`agentguard audit list | head -1` must not end in noise; and where the verdict was not read, 0 would be a yes."""
    reader, writer = os.pipe()
    os.close(reader)
    done = shell(f"agentguard {arguments}", store, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_keeps_nothing_from_being_done(closed: str, store: Path) -> None:
    """A stop from a job without a terminal must stop the run."""
    stop = f"agentguard runs stop r-1 --why found {closed}; code=$?"
    done = shell(f"{stop}; agentguard runs list --json; exit $code", store)
    (run,) = [run for run in json.loads(done.stdout.splitlines()[-1]) if run["id"] == "r-1"]
    assert (done.returncode, run["status"]) == (0, "stopped")
    assert "Traceback" not in done.stderr and "itself failed" not in done.stderr


def test_a_full_disk_behind_the_output_is_said(store: Path) -> None:
    """Whoever redirects an answer must not take half of one for all of it."""
    done = shell("agentguard audit list > /dev/full", store)
    assert done.returncode == 2 and "could not be written: No space left on device" in done.stderr


# terminal injection

SHOWING = [
    ["approvals", "list"], ["approvals", "show", "a-1"], ["approvals", "show", "a-1", "--full"],
    ["approvals", "approve", "a-1", "--yes"], ["audit", "list"], ["audit", "show", "d-1"], ["runs", "list"],
    ["runs", "show", "r-1" + NASTY], ["runs", "stop", "r-1" + NASTY], ["explain", "--decision", "d-1"],
    ["destinations", "coverage"], ["destinations", "coverage", "--json"],
    ["approvals", "list", "--json"], ["approvals", "show", "a-1", "--json"], ["audit", "list", "--json"],
    ["audit", "show", "d-1", "--json"], ["runs", "list", "--json"], ["runs", "show", "r-1" + NASTY, "--json"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", SHOWING, ids=lambda a: " ".join(a)[:40].encode("ascii", "replace").decode())
def test_nothing_that_is_stored_can_attack_a_terminal(
    arguments: list[str], nasty: Path, tmp_path: Path, call: Call
) -> None:
    """Every text in this ledger tries: escape sequences, bidirectional overrides, new lines, markup, C1 controls."""
    bundle = [str(write(tmp_path / "bundle"))] if arguments[0] == "destinations" else []
    ended = call(*arguments, *bundle, "--ledger", nasty)
    printed = ended.out + ended.err
    assert ended.code == (1 if bundle else 0), ended.err  # a place is unclassified
    assert {c for c in printed if not (c.isascii() and c.isprintable()) and c != "\n"} == set()
    assert not any(text.startswith("forged: line") for text in printed.splitlines())
    assert "Traceback" not in printed


def test_markup_is_not_interpreted(nasty: Path, call: Call) -> None:
    """`[red]` in a value is five characters; were it a colour, a value could colour itself green."""
    assert "[red]" in call("audit", "show", "d-1", "--ledger", nasty).out


def test_a_terminal_gets_our_colours_and_nothing_of_theirs(nasty: Path) -> None:
    """The same over a real pseudo-terminal, where colours are on."""
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from agentguard.cli import main; sys.exit(main())",
         "audit", "list", "--ledger", str(nasty)],
        stdout=child, stderr=child, cwd=ROOT, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(child)
    out = b""
    while True:
        try:
            got = os.read(parent, 65536)
        except OSError:
            break
        if not got:
            break
        out += got
    os.close(parent)
    assert process.wait(timeout=20) == 0
    assert b"\x1b[2J" not in out
    assert b"\x1b]0;" not in out
    assert out.isascii()


def test_as_a_real_process_too(store: Path) -> None:
    """Not only in ours: exit code and streams as a shell sees them."""
    assert real("runs", "list", "--ledger", store).code == 0
    missing = real("runs", "list", "--ledger", store.parent / "none")
    assert missing.code == 3
    assert missing.out == ""
    assert is_clear(missing)


def on_a_terminal(columns: int, *arguments: object) -> list[str]:
    """The lines that a real terminal of this width shows."""
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    started = subprocess.Popen(
        [sys.executable, "-c", "from agentguard.cli import main; raise SystemExit(main())", *map(str, arguments)],
        stdin=child, stdout=child, stderr=child, cwd=ROOT, env=environment | {"TERM": "dumb"},
    )  # fmt: skip
    os.close(child)
    shown = b""
    with contextlib.suppress(OSError):  # the other end was closed
        while piece := os.read(parent, 65_536):
            shown += piece
    os.close(parent)
    assert started.wait() == 0
    return shown.decode("ascii").replace("\r", "").splitlines()


LONG_ID = "a-" + "5" * 32


@pytest.mark.parametrize("arguments", [("approvals", "list"), ("runs", "list"), ("audit", "list")], ids=" ".join)
def test_ids_can_be_copied_from_a_narrow_terminal(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """An id broken over four lines cannot be given to the next command."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    start(ledger, LONG_ID)
    ask(ledger, LONG_ID)
    decide(ledger, LONG_ID)
    ledger.shut()

    lines = on_a_terminal(80, *arguments, "--ledger", path)

    assert any(LONG_ID in line for line in lines), lines
    assert all(len(line.rstrip()) <= 80 for line in lines), lines


def test_our_own_words_are_ascii() -> None:
    """Messages are shown by an allow-list of ASCII: an ellipsis of ours would come out as an escape."""
    # Of look-alike and invisible characters, and of domains in every script.
    tables = {f"destinations/{name}.py" for name in ("kinds/hosts", "kinds/sql/text", "text")}
    tables |= {f"core/text/{name}.py" for name in ("domains", "links", "marks")}
    tables |= {"approvals/looks.py", "policy/cel/functions/numbers.py"}
    root = Path(agentguard.__file__).parent
    found = [
        f"{file.relative_to(root)}:{node.lineno}"
        for file in sorted(root.rglob("*.py"))
        if file not in {root / table for table in tables}
        for node in _texts(ast.parse(file.read_text("utf-8")))
        if not node.value.isascii()
    ]
    assert found == []


def _texts(tree: ast.Module) -> list[ast.Constant]:
    """Every text that is no docstring."""
    homes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, homes) and node.body]
    docstrings = {id(statement.value) for statement in first if isinstance(statement, ast.Expr)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
