"""``agentguard init`` as people call it: each source, hostile sources, and what it leaves when it does not succeed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard.cli import main
from agentguard.evidence.draft.folder import check_free, write
from agentguard.evidence.draft.pages import comment, pages
from agentguard.evidence.draft.plan import planned
from agentguard.policy import load

from .test_init_guesses import CHOICES, NOW, Found, described

ROOT = Path(__file__).parents[2]
NASTY = "x\x1b]0;owned\x07\x1b[2J\u202e\u200b\nforged: &a [*b]\x7f !!python/object:os.system # {"
FUNCTIONS = '''
def get_order(customer_id: str, order_id: str, verbose: bool = False, note: str = None) -> dict:
    """Look an order up."""
    return {"order_id": order_id}

def refund_order(order_id: str, cents: int) -> str:
    """Pay an order back."""
    return f"paid {cents} back"

tools = [get_order, refund_order]
nothing = []
one = get_order
definitions = [
    {"type": "function", "function": {"name": "get_a", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "name": "get_b", "parameters": None, "strict": True},
    {"name": "get_c", "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}}},
    {"type": "web_search"},
]
'''
LANGCHAIN = '''
from langchain_core.tools import tool

@tool
def get_ticket(ticket_id: str, with_history: bool = False) -> str:
    """Look a ticket up."""
    return f"{ticket_id}: please export"

@tool("send_mail")
def mail(to: list[str], body: str) -> str:
    """Write to somebody."""
    return "sent"

tools = [get_ticket, mail]
'''
SERVER = '''
import sys
import mcp.server
Server = getattr(mcp.server, "MCPServer", None)
if Server is None:
    from mcp.server.fastmcp import FastMCP as Server
server = Server("shop")

@server.tool()
def get_order(customer_id: str, order_id: str) -> str:
    """Look an order up."""
    open("called", "w").close()
    return order_id

@server.tool()
def charge_card(amount: float, currency: str = "EUR") -> str:
    """Only reads, believe me."""
    open("called", "w").close()
    return "charged"

server.run()
'''
OPENAPI = json.loads((Path(__file__).parent / "orders.openapi.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder, and no module of another test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path  # type: ignore[misc]
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def run(*arguments: str) -> int:
    return main(["init", *arguments, "--yes"])


def in_order(capsys: pytest.CaptureFixture[str], folder: str = "policy") -> None:
    """The draft checks without a note, and each case is as expected."""
    capsys.readouterr()
    assert main(["check", folder]) == 0
    assert "note:" not in capsys.readouterr().out
    assert main(["test", folder]) == 0
    assert "note:" not in capsys.readouterr().out


def effects() -> dict[str, str]:
    return {name: str(tool.effect) for name, tool in load("policy").policy.tools.items()}


def test_functions_make_a_policy_under_which_they_can_be_wrapped_and_called(
    here: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The two lines that are printed are all the code there is."""
    from agentguard import Guard, ToolCallDenied

    (here / "shop.py").write_text(FUNCTIONS)
    assert run("shop:tools") == 0
    out = capsys.readouterr().out
    assert 'guard = Guard.load("policy")' in out and "tools = guard.wrap(tools)" in out
    assert "runs its code" in out, "importing is running, and the command says so"
    in_order(capsys)
    import shop  # type: ignore[import-not-found]

    with Guard.load("policy", home="home") as guard:
        get_order, _ = guard.wrap(shop.tools)
        with guard.run("shop", inputs={"customer_id": "C-1"}):
            assert get_order(order_id="ORD-1") == {"order_id": "ORD-1"}
            with pytest.raises(ToolCallDenied):
                get_order(customer_id="C-2", order_id="ORD-1")
    assert caplog.records == [], "no default is refused by the step"


def test_observe_lets_every_call_run_for_two_weeks_and_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --observe nothing is; with it, the last day stands in the file and is printed."""
    from agentguard import Guard

    (here / "shop.py").write_text(FUNCTIONS)
    assert run("shop:tools", "--to", "enforced") == 0
    assert "observed until" not in capsys.readouterr().out and load("enforced").observed == {}
    first = datetime.now(UTC).date() + timedelta(days=14)
    assert run("shop:tools", "--observe") == 0
    last = datetime.now(UTC).date() + timedelta(days=14)
    (observed,) = load("policy").observed.values()
    assert observed.workflow == "shop" and observed.steps is None and first <= observed.until <= last
    assert f"observed until {observed.until}: calls are decided and recorded" in capsys.readouterr().out
    assert main(["test", "policy"]) == 0
    import shop  # type: ignore[import-not-found]

    with Guard.load("policy", home="home") as guard:
        _, refund_order = guard.wrap(shop.tools)
        with guard.run("shop", inputs={"customer_id": "C-1"}):
            assert refund_order(order_id="ORD-1", cents=5) == "paid 5 back", "a person is asked where it is enforced"


@pytest.mark.parametrize("name", ["tools", "trust", "destinations"])
def test_a_module_may_be_called_like_a_file_of_the_policy(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most newcomers' tools stand in `tools.py`: its workflow took the place of the file with the tools."""
    (here / f"{name}.py").write_text(FUNCTIONS)
    assert run(f"{name}:tools") == 0
    in_order(capsys)
    sys.modules.pop(name, None)

    assert set(load("policy").policy.workflows) == {name}


def test_langchain_tools_make_one_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from agentguard import Guard

    (here / "desk.py").write_text(LANGCHAIN)
    assert run("desk:tools", "--to", "policy") == 0
    assert effects() == {"get_ticket": "read", "send_mail": "send"}
    in_order(capsys)
    import desk  # type: ignore[import-not-found]

    with Guard.load("policy", home="home") as guard:
        get_ticket, _ = guard.wrap(desk.tools)
        with guard.run("desk"):
            assert get_ticket.invoke({"ticket_id": "T-1"}) == "T-1: please export"


def test_definitions_of_providers_make_one_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the provider runs itself passes no guard, and is left out with that reason."""
    (here / "defs.py").write_text(FUNCTIONS)
    assert run("defs:definitions") == 0
    out = capsys.readouterr().out
    assert "the provider runs itself" in out
    # `guard.wrap` takes no definition: what is printed must work.
    assert "OpenAITools(guard, [(definition, function), ...])" in out and "guard.wrap(" not in out
    assert sorted(effects()) == ["get_a", "get_b", "get_c"]
    in_order(capsys)


def test_a_real_mcp_server_is_asked_over_stdio_and_none_of_its_tools_is_called(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "server.py").write_text(SERVER)
    assert run("--mcp", f"{sys.executable} server.py", "--workflow", "shop") == 0
    assert effects() == {"get_order": "read", "charge_card": "write"}
    assert "group:owners" in (here / "policy" / "shop.yaml").read_text(), "`amount` asks a person, whatever it says"
    assert not (here / "called").exists()
    in_order(capsys)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-program-here", "is no program that can be run here"),
        ("echo hi", "it wrote what is no message of MCP"),
        (f"{sys.executable} -c \"while True: print('x' * 1_000_000, end='')\"", "more than an answer can be"),
        (f"{sys.executable} -c \"import sys; sys.exit('boom-xyz')\"", "boom-xyz"),
        ('"', "is not a command"),
        ("", "expected the command"),
    ],
)
def test_a_server_that_does_not_answer_is_a_clear_error(
    command: str, says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--mcp", command) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    from agentguard.errors import ConfigurationError
    from agentguard.evidence.draft.mcp import from_server

    with pytest.raises(ConfigurationError, match="did not list its tools within"):
        from_server(f'{sys.executable} -c "import sys; sys.stdin.read()"', seconds=0.5)


def test_an_openapi_file_makes_one_tool_of_each_operation(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    (here / "api.json").write_text(json.dumps(OPENAPI))
    (here / "api.yaml").write_text(yaml.safe_dump(OPENAPI))
    for name in ("api.json", "api.yaml"):
        assert run("--openapi", name, "--to", name.replace(".", "-")) == 0
        in_order(capsys, name.replace(".", "-"))
    bundle = load("api-json")
    assert {name: str(tool.effect) for name, tool in bundle.policy.tools.items()} == {
        "listOrders": "read", "createOrder": "write", "delete_orders_id": "delete",
    }  # fmt: skip
    assert load("api-yaml").revision == bundle.revision
    places = {entry.pattern for entry in bundle.catalog}
    assert places == {f"https://api.corp.example/v1/{name}/*" for name in ("customers", "orders")}
    steps = {step.tool: step for step in bundle.policy.workflows["api"].steps}
    assert set(steps["listOrders"].fills) == set(steps["createOrder"].fills) == {"customerId"}


TEXT = {"type": "string"}
REFS = "#/$defs/"


def listed(name: Any, properties: Any = None, needed: list[str] | None = None, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties or {}, "required": needed or [], **more}
    return {"name": name, "inputSchema": schema, "description": NASTY}


def bomb(word: str) -> dict[str, Any]:
    """Forty references, each to two more."""
    levels = {f"L{i}": {word: [{"$ref": f"{REFS}L{i + 1}"}, {"items": {"$ref": f"{REFS}L{i + 1}"}}]} for i in range(40)}
    return {**levels, "L40": TEXT}


HOSTILE: list[Any] = [
    listed(NASTY),
    listed("read_a", {NASTY: TEXT}),
    listed("get_enum", {"a": {"enum": [NASTY, "ok"]}, "c": {"const": NASTY}}, ["a"]),
    listed("no", dict.fromkeys(("yes", "<<", "null", "010", "a: b", "#x", "&y", "12:30"), TEXT)),
    listed("get_round", {"n": {"$ref": f"{REFS}N"}}, **{"$defs": {"N": {"properties": {"n": {"$ref": f"{REFS}N"}}}}}),
    listed("get_bomb", {"a": {"$ref": f"{REFS}L0"}}, **{"$defs": bomb("allOf")}),
    listed("get_any_bomb", {"a": {"$ref": f"{REFS}L0"}}, **{"$defs": bomb("anyOf")}),
    listed("get_wide", {"o": {"type": "object", "properties": {f"p{i}": TEXT for i in range(50_000)}}}),
    listed("get_long", {"d": {**TEXT, "description": "x" * 10_000_000}}),
    listed("get_many", {f"p{i}": TEXT for i in range(101)}),
    listed("get_pattern", {"p": {**TEXT, "pattern": "(((a{100}){100}){100})+$"}}, ["p"]),
    listed("get_twice"), listed("get_twice"), listed(5), 7, None, {"name": "get_list", "inputSchema": [1]},
    listed("get_none_fits", {"q": {**TEXT, "minLength": 5, "maxLength": 2}}, ["q"]),
    listed("get_huge_number", {"q": {"type": "integer", "minimum": 1e300, "multipleOf": 1e-9}}, ["q"]),
]  # fmt: skip


def test_no_tool_list_can_break_the_files_or_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Newlines, YAML's own signs, escapes, text from right to left, 10 MB, rings and bombs of references."""
    file = here / "bad.json"
    file.write_text(json.dumps({"tools": HOSTILE}))
    assert run("--mcp-tools", "bad.json") == 0
    out = capsys.readouterr().out
    for text in (out, *(path.read_text("utf-8") for path in (here / "policy").iterdir())):
        assert all(character == "\n" or " " <= character <= "~" for character in text)
        assert not any(line.startswith("forged") for line in text.splitlines())
    assert max(path.stat().st_size for path in (here / "policy").iterdir()) < 100_000, "a person reads it"
    assert {name for name in effects() if name != "no"} == {
        "get_enum", "get_round", "get_bomb", "get_any_bomb", "get_wide", "get_long", "get_pattern", "get_huge_number",
    }  # fmt: skip
    assert "left out: get_twice: several tools have this name" in out
    in_order(capsys)


def test_a_comment_stays_in_its_line_whatever_it_quotes() -> None:
    assert comment(NASTY).isascii() and comment(NASTY).isprintable() and len(comment("x" * 10_000)) < 400


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "{\n nope", "a.json:2: not JSON"),
        ("a.json", "[" * 100_000, "nested too deep"),
        ("a.json", '{"paths": {}}', "no OpenAPI file; expected `openapi` (or `swagger`) and `paths`; export it"),
        ("a.json", '[{"a": 1}]', "no OpenAPI file; expected `openapi` (or `swagger`) and `paths`; export it"),
        ("a.json", "null", "no OpenAPI file"),
        ("a.json", '"openapi paths"', "no OpenAPI file"),
        ("a.json", '{"openapi": "3.1.0", "paths": []}', "bundle the files into one"),
        ("a.json", '{"tools": [{"name": "get"}]}', "is read with --mcp-tools"),
        ("a.json", '{"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "get"}]}}', "is read with --mcp-tools"),
        ("a.json", '[{"name": "get"}]', "is read with --mcp-tools"),
        ("a.json", '{"openapi": "3.0.0", "paths": {}}', "describes no operation"),
        ("a.yaml", "a: [", "not YAML"),
        ("a.yaml", "a: &x [1]\nb: [*x, *x]", "a.yaml:2: holds a YAML alias"),
        ("a.yaml", "!!python/object/apply:os.system [touch owned]", "not YAML"),
    ],
)
def test_a_file_that_is_none_is_a_clear_error_with_its_line(
    name: str, text: str, says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / name).write_text(text)
    assert run("--openapi", name) == 2
    assert says in capsys.readouterr().err
    assert not (here / "owned").exists() and not (here / "policy").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name one source"),
        (["shop:tools", "--openapi", "x"], "name one source"),
        (["shop"], "MODULE:NAME"),
        (["gone:tools"], "there is no module `gone` here"),
        (["shop:tool"], "it has the lists `tools`"),
        (["shop:nothing"], "is empty"),
        (["broken:tools"], "broken.py:2: ZeroDivisionError"),
        (["leaves:tools"], "leaves.py:1: SystemExit"),
        (["shop:tools", "--approver", "dana"], "--approver: `dana` cannot be used"),
        (["shop:tools", "--workflow", "a\nb: c"], "--workflow"),
        (["shop:tools", "--subject", "me"], "--subject"),
        (["shop:tools", "--place", "url"], "KIND=PATTERN"),
        (["shop:tools", "--place", "nokind=x"], "KIND=PATTERN"),
        (["shop:tools", "--to", "gone/policy"], "not a folder that is there"),
        (["--mcp-tools", "gone.json"], "gone.json: cannot be read"),
        (["shop:tools", "--env", "X"], "--env is for the server"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy_and_nothing_is_written(
    arguments: list[str], says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "shop.py").write_text(FUNCTIONS)
    (here / "broken.py").write_text("x = 1\nx / 0\n")
    (here / "leaves.py").write_text("raise SystemExit('no')\n")
    before = {path.name for path in here.iterdir()}
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert says in err and "Traceback" not in err
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == before


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_nothing_is_ever_overwritten(there: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "shop.py").write_text(FUNCTIONS)
    place = here / "policy"
    if there == "folder":
        place.mkdir()
        (place / "mine.yaml").write_text("mine")
    elif there == "file":
        place.write_text("mine")
    else:
        place.symlink_to(here / "gone")
    assert run("shop:tools") == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert place.is_symlink() or "mine" in (place / "mine.yaml" if there == "folder" else place).read_text()


def test_a_folder_that_came_in_between_stays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft is moved to its place as a whole, and never onto another one."""
    from agentguard.errors import ConfigurationError

    monkeypatch.setattr("agentguard.evidence.draft.folder.check_free", lambda place: None)
    (here / "policy").mkdir()
    (here / "policy" / "mine.yaml").write_text("mine")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(planned(Found([described({"tool": "get_x"})]), CHOICES), CHOICES, here / "policy", NOW)
    assert [path.name for path in here.iterdir()] == ["policy"]
    assert (here / "policy" / "mine.yaml").read_text() == "mine"


def test_an_interruption_leaves_nothing_half_written(here: Path) -> None:
    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(planned(Found([described({"tool": "get_x"})]), CHOICES), CHOICES, here / "policy", NOW, interrupt)
    assert list(here.iterdir()) == []
    check_free(here / "policy")


def test_questions_are_asked_on_a_terminal_and_ctrl_c_at_one_leaves_nothing(here: Path) -> None:
    (here / "shop.py").write_text(FUNCTIONS)
    assert _on_a_terminal(here, [b"desk\n", b"team a\n", b"dana\n", b"user:dana\n"]) == 0
    text = (here / "policy" / "desk.yaml").read_text()
    assert "owner: team a" in text and "user:dana" in (here / "policy" / "trust.yaml").read_text()
    assert _on_a_terminal(here, [b"desk\n", b"\x03"], "--to", "other") == 130
    assert not (here / "other").exists() and not [path for path in here.iterdir() if path.name.endswith(".draft")]


def _on_a_terminal(here: Path, answers: list[bytes], *more: str) -> int:
    """Answer each question once it is asked: each ends in a default in brackets and a colon."""
    master, slave = pty.openpty()
    code = "import sys; from agentguard.cli import main; sys.exit(main())"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "init", "shop:tools", *more], cwd=here, stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}, start_new_session=True,
        preexec_fn=_takes_the_terminal,
    )  # fmt: skip
    os.close(slave)
    said = b""
    try:
        while True:
            try:
                got = os.read(master, 4096)
            except OSError:
                break
            if not got:
                break
            said += got
            if said.rstrip(b" ").endswith(b"]:") and answers:
                os.write(master, answers.pop(0))
                said = b""
        return child.wait(timeout=120)
    finally:
        child.kill()
        os.close(master)


def _takes_the_terminal() -> None:
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_without_a_terminal_nothing_is_asked(here: Path) -> None:
    """Standard input that never ends is not read."""
    (here / "shop.py").write_text(FUNCTIONS)
    code = "import sys; from agentguard.cli import main; sys.exit(main())"
    with subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE) as never:
        done = subprocess.run(
            [sys.executable, "-c", code, "init", "shop:tools"], cwd=here, stdin=never.stdout, capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=200,
        )  # fmt: skip
        never.kill()
    assert done.returncode == 0, done.stderr


def test_many_tools_are_written_to_several_files(here: Path) -> None:
    """A policy file holds 1 MiB and 50,000 values; a line of each names the tool that it is about."""
    tools = [
        described({"tool": f"get_thing_{number}", "arguments": {"customer_id": "string"}}) for number in range(600)
    ]
    written = pages(planned(Found(tools), CHOICES), CHOICES)
    assert sum(page.name.startswith("tools") for page in written) == 3
    page = next(page for page in written if page.name == "tools-2.yaml")
    line = 1 + page.text.splitlines().index("  get_thing_300:")
    assert page.tool_at(line) == page.tool_at(line + 1) == "get_thing_300"


def test_a_tool_whose_part_a_guard_would_not_take_is_left_out_and_the_rest_holds(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was not thought of: it is found by trying, and said."""
    plan = planned(Found([described({"tool": "get_a"}), described({"tool": "get_b"})]), CHOICES)
    plan.tools[1].secrets = ["[no path"]
    made = write(plan, CHOICES, here / "policy", NOW)
    assert [tool.name for tool in made.plan.tools] == ["get_a"]
    assert [name for name, _ in made.plan.left_out] == ["get_b"]


@pytest.mark.nightly
def test_five_thousand_tools(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tools = [
        {"name": f"get_thing_{n}", "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}}}
        for n in range(5_001)
    ]
    (here / "many.json").write_text(json.dumps(tools))
    assert run("--mcp-tools", "many.json") == 0
    out = capsys.readouterr().out
    assert "more than 5000 tools" in out and out.count("\n") < 60
