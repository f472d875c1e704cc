"""check, test, explain and schema, over the bundle of the owners' tutorial."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from agentguard.audit import reasons
from agentguard.ledger import open_ledger
from cli.bundle import FILES, PAGE, ROOT, write
from cli.conftest import NASTY, Call, decide
from cli.test_cli_use import is_clear

WORKFLOW = FILES["customer-export.yaml"]
CASES = FILES["customer-export.cases.yaml"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "exports")


def test_the_page_holds_the_whole_bundle() -> None:
    """Else the tests below would run on less than the page shows."""
    assert set(FILES) == {
        "trust.yaml", "tools.yaml", "destinations.yaml", "customer-export.yaml", "customer-export.cases.yaml",
    }  # fmt: skip


# check


def test_a_good_bundle_is_ok(bundle: Path, call: Call) -> None:
    """As the page shows it, word for word."""
    ended = call("check", bundle)
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "ok: 1 workflow, 2 steps, 2 tools, 2 destinations, 1 issuer"
    assert ended.out.splitlines()[0] in PAGE
    told = json.loads(call("check", bundle, "--json").out)
    assert (told["ok"], told["problems"], told["workflows"], told["steps"]) == (True, [], 1, 2)


TOOLS = FILES["tools.yaml"]


@pytest.mark.parametrize(
    ("changed", "file", "words"),
    [
        ({"customer_export": WORKFLOW.replace("after: [look-up]", "after: [lookup]")}, "customer-export.yaml:", "look"),
        ({"customer_export": WORKFLOW.replace("at_most: 5", "atmost: 5")}, "customer-export.yaml:", "at_most"),
        ({"customer_export": WORKFLOW + "\nsteps: {}\n"}, "customer-export.yaml:", "steps"),
        ({"customer_export": WORKFLOW.replace("args.rows > 1000", "args.rowz > 1000")}, "customer-export.yaml:", "row"),
        ({"tools": TOOLS.replace("kind: url", "kind: url, dialect: x")}, "tools.yaml:", "dialect"),
        ({"tools": TOOLS.replace("kind: url,", "kind: urll,")}, "tools.yaml:", "urll"),
        ({"tools": TOOLS.replace("argument: target", 'argument: "[*"')}, "tools.yaml:", "argument path"),
        ({"destinations": FILES["destinations.yaml"].replace("https://vault", "ftp:/vault")}, "destinations.yaml:", ""),
        (
            {"destinations": FILES["destinations.yaml"].replace("vault.corp", "files.corp")},
            "destinations.yaml:", "listed already",
        ),
        ({"trust": "a: [\n"}, "trust.yaml:", ""),
        ({"trust": "\x00"}, "trust.yaml", ""),
    ],
)  # fmt: skip
def test_every_mistake_is_named_with_its_file_and_exit_code_1(
    changed: dict[str, str], file: str, words: str, tmp_path: Path, call: Call
) -> None:
    """What the loader refuses, and what only the guard would have refused at start-up."""
    directory = write(tmp_path / "exports", **changed)
    ended = call("check", directory)
    assert ended.code == 1, ended
    assert file in ended.out
    assert words in ended.out
    assert "Traceback" not in ended.out + ended.err
    told = json.loads(call("check", directory, "--json").out)
    assert told["ok"] is False
    assert told["problems"]


def test_an_issuer_whose_keys_cannot_be_used_is_a_problem_of_its_line(tmp_path: Path, call: Call) -> None:
    """Found when checking, and not when the agent starts."""
    trust = FILES["trust.yaml"] + (
        "  - {name: corp, profile: oidc, issuer: 'https://id.corp.example', audience: a, max_age: 60s,"
        " max_lifetime: 15m, keys_file: missing.json}\n"
    )
    ended = call("check", write(tmp_path / "exports", trust=trust))
    assert ended.code == 1, ended
    assert "trust.yaml:" in ended.out
    assert "missing.json" in ended.out


def test_an_overdue_workflow_is_noted(tmp_path: Path, call: Call) -> None:
    """It loads, and permits nothing."""
    directory = write(tmp_path / "exports", customer_export=WORKFLOW.replace("2029-12-31", "2020-12-31"))
    ended = call("check", directory)
    assert ended.code == 0
    assert "`customer-export` is overdue" in ended.out


def test_a_subject_that_no_issuer_can_assert_is_noted(tmp_path: Path, call: Call) -> None:
    """A slip of the pen in a subject permits nothing, and nothing else would say why."""
    (subject,) = yaml.safe_load(WORKFLOW)["subjects"]
    directory = write(tmp_path / "exports", customer_export=WORKFLOW.replace(subject, subject.replace("corp", "crop")))
    ended = call("check", directory)
    assert ended.code == 0
    assert f"did you mean `{subject}`?" in ended.out
    told = json.loads(call("check", directory, "--json").out)
    assert told["without_issuer"] == {"customer-export": [subject.replace("corp", "crop")]}


@pytest.mark.parametrize("command", ["check", "test"])
@pytest.mark.parametrize("where", ["none", "file", "empty", "\udcff", "x" * 5_000, ""])
def test_what_is_not_a_bundle_is_said_to_be_none(command: str, where: str, tmp_path: Path, call: Call) -> None:
    """A misspelt directory, a file, an empty directory."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    ended = call(command, tmp_path / where if where else tmp_path / "empty")
    assert ended.code in (1, 2)
    assert "Traceback" not in ended.out + ended.err
    assert ended.out + ended.err


def test_a_file_that_attacks_the_terminal_is_shown_escaped(tmp_path: Path, call: Call) -> None:
    """A bundle under review comes from somebody else."""
    for name, text in (("a", f"? {json.dumps(NASTY)}\n: 1\n"), ("b", NASTY), ("c", f"kind: {json.dumps(NASTY)}\n")):
        ended = call("check", write(tmp_path / name, trust=text))
        assert ended.code == 1
        assert {c for c in ended.out + ended.err if not (c.isascii() and c.isprintable()) and c != "\n"} == set()


# test


def test_every_case_of_the_page_is_as_expected(bundle: Path, call: Call) -> None:
    """The tutorial is true."""
    ended = call("test", bundle)
    assert ended.code == 0, ended
    assert ended.out.splitlines()[-1] == "10 of 10 as expected"
    assert ended.out.splitlines()[-1] in PAGE
    assert json.loads(call("test", bundle, "--json").out)["ok"] is True


def test_a_condition_that_failed_is_explained_by_its_false_part_and_its_values(tmp_path: Path, call: Call) -> None:
    """In `test` and in `explain`, kept values too: the owner wrote them. A declared secret is shown by neither."""
    require = "    require: [args.table in kept.tables && size(args.password) > 99]\n"
    workflow = WORKFLOW.replace("    require:\n      - args.table in kept.tables\n", require)
    workflow = workflow.replace(
        "      table: {type: string}\n", "      table: {type: string}\n      password: {type: string}\n"
    )
    assert "password" in workflow and "size(args.password)" in workflow
    tools = TOOLS.replace("    aliases: [export_orders]\n", "    aliases: [export_orders]\n    secrets: [password]\n")
    assert "secrets" in tools
    cases = (
        "apiVersion: agentguard/v1\nkind: Cases\nworkflow: customer-export\ncases:\n"
        "  - name: another table\n    given: {inputs: {ticket: EXP-7}, done: [look-up], kept: {tables: [orders]}}\n"
        "    call: {tool: warehouse.export, arguments: {table: TABLE, password: hunter2, rows: 1, "
        "target: 'https://files.corp.example/a'}}\n    expect: permit\n"
    )
    directory = write(tmp_path / "exports", customer_export=workflow, tools=tools)
    (directory / "customer-export.cases.yaml").write_text(cases.replace("TABLE", "payroll"))
    ended = call("test", directory)
    assert '`args.table in kept.tables` is false: args.table is "payroll", kept.tables is ["orders"] (cond' in ended.out
    (directory / "customer-export.cases.yaml").write_text(cases.replace("TABLE", "orders"))
    ended = call("test", directory)
    assert "`size(args.password) > 99` is false: args.password is a secret (condition 1 of `export`" in ended.out
    given = ["--inputs", '{"ticket": "EXP-7"}', "--kept", '{"tables": ["orders"]}', "--done", "look-up"]
    arguments = '{"table": "orders", "rows": 1, "password": "hunter2", "target": "https://files.corp.example/a"}'
    told = call(
        "explain", directory, "--workflow", "customer-export", "--tool", "warehouse.export", "--args", arguments, *given
    )
    assert "args.password is a secret (condition 1 of" in told.out and "[redacted]" in told.out
    assert "hunter2" not in ended.out + told.out


def test_a_case_that_fails_is_named_with_file_line_and_findings(tmp_path: Path, call: Call) -> None:
    """The owner sees what was found, and why."""
    directory = write(tmp_path / "exports", customer_export_cases=CASES.replace("rows: 1000,", "rows: 1001,"))
    ended = call("test", directory)
    assert ended.code == 1
    assert "expected permit, found escalate" in ended.out
    assert "customer-export.cases.yaml:" in ended.out
    assert "approval_required" in ended.out
    told = json.loads(call("test", directory, "--json").out)
    assert told["ok"] is False
    assert [entry["name"] for entry in told["cases"] if not entry["passed"]] == ["a small export runs without asking"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("[condition_false]", "[step_used_up]", "expected step_used_up, found condition_false"),
        (
            "{effect: permit, step: look-up}",
            "{effect: permit, step: export}",
            "expected step `export`, found `look-up`",
        ),
        ("{effect: permit, step: look-up}", "deny", "expected deny, found permit"),
    ],
)
def test_the_nearest_other_expectation_fails(before: str, after: str, words: str, tmp_path: Path, call: Call) -> None:
    """Effect, reasons and step are each compared."""
    assert CASES.count(before) == 1
    ended = call("test", write(tmp_path / "exports", customer_export_cases=CASES.replace(before, after)))
    assert ended.code == 1
    assert words in ended.out


def test_no_cases_are_a_failure(tmp_path: Path, call: Call) -> None:
    """A pipeline that tests nothing must not be green; neither must a filter that finds nothing."""
    directory = write(tmp_path / "exports", customer_export_cases=None)
    ended = call("test", directory)
    assert ended.code == 1
    assert "no case to run" in ended.err
    assert json.loads(call("test", directory, "--json").out)["ok"] is False
    assert call("test", write(tmp_path / "full"), "--only", "nonsense").code == 1


def test_a_word_that_no_case_holds_is_a_failure_that_says_so(bundle: Path, call: Call) -> None:
    """A misspelt --only in a pipeline must not be green, nor send anybody to write cases that are there."""
    ended = call("test", bundle, "--only", "the vualt")
    assert ended.code == 1
    assert "none of 10 has `the vualt` in its name" in ended.err


def test_a_broken_rule_turns_a_case_red(tmp_path: Path, call: Call) -> None:
    """The cases of the page guard each rule of the page: take one out, and one fails."""
    for number, rule in enumerate(
        ["      - args.ticket_id == inputs.ticket\n", "    after: [look-up]\n", "      when: args.rows > 1000\n"]
    ):
        assert WORKFLOW.count(rule) == 1
        broken = WORKFLOW.replace(rule, "").replace("    require:\n    keep:", "    keep:")
        assert call("test", write(tmp_path / str(number), customer_export=broken)).code in (1, 2), rule


def test_steps_that_no_case_reaches_are_noted(tmp_path: Path, call: Call) -> None:
    """Their mistakes would go unnoticed."""
    only_first = CASES[: CASES.index("  - name: another ticket")]
    ended = call("test", write(tmp_path / "exports", customer_export_cases=only_first))
    assert ended.code == 0
    assert "no case reaches step `export` of `customer-export`" in ended.out


def test_a_case_of_an_unknown_step_is_the_owners_mistake(tmp_path: Path, call: Call) -> None:
    """A misspelt step in `done` would make a case true for the wrong reason."""
    ended = call("test", write(tmp_path / "exports", customer_export_cases=CASES.replace("[look-up]", "[lookup]")))
    assert ended.code == 2
    assert "lookup" in ended.err


# explain


def explain(call: Call, bundle: Path, *more: str, rows: int = 5, target: str = "https://files.corp.example/x") -> dict:  # type: ignore[type-arg]
    arguments = json.dumps({"table": "orders", "rows": rows, "target": target})
    ended = call(
        "explain", bundle, "--workflow", "customer-export", "--tool", "export_orders", "--args", arguments,
        "--inputs", '{"ticket": "EXP-7"}', "--json", *more,
        *(() if "--calls" in more else ("--kept", '{"tables": ["orders"]}')),
    )  # fmt: skip
    assert ended.code == 0, ended
    found: dict[str, object] = json.loads(ended.out)
    return found


def test_explain_says_what_the_loops_of_conditions_cost(call: Call, bundle: Path) -> None:
    workflow = next(path for path in bundle.rglob("*.yaml") if "require:" in path.read_text())
    text = workflow.read_text()
    workflow.write_text(text.replace("args.table in kept.tables", "kept.tables.exists(t, t == args.table)"))
    assert workflow.read_text() != text
    (cost,) = explain(call, bundle, "--done", "look-up")["costs"]  # type: ignore[misc]
    assert cost["condition"] == "kept.tables.exists(t, t == args.table)"
    assert cost["steps"] > 0


@pytest.mark.parametrize(
    ("more", "rows", "effect", "reasons"),
    [
        (["--done", "look-up"], 5, "permit", []),
        ([], 5, "deny", ["step_out_of_order"]),
        (["--done", "look-up", "--done", "export"], 5, "deny", ["step_used_up"]),
        (["--done", "look-up", "--age", "60s"], 5, "permit", []),
        (["--done", "look-up", "--age", "61s"], 5, "deny", ["identity_stale"]),
        (["--done", "look-up", "--risk", "high"], 5, "deny", ["risk_too_high"]),
        (["--done", "look-up", "--at", "2029-12-31T23:59:59Z"], 5, "permit", []),
        (["--done", "look-up", "--at", "2030-01-01T00:00:00Z"], 5, "deny", ["workflow_overdue"]),
        (["--done", "look-up", "--subject", "spiffe://x/y"], 5, "deny", ["subject_not_allowed", "subject_changed"]),
        (["--done", "look-up"], 1001, "escalate", ["approval_required"]),
        (["--done", "look-up", "--approved-by", "user:alice"], 1001, "escalate", ["approval_pending"]),
        (["--done", "look-up", "--approved-by", "user:alice", "--approved-by", "user:bob"], 1001, "permit", []),
        (
            ["--done", "look-up", "--approved-by", "user:alice", "--approved-by", "user:bob",
             "--requester", "user:bob"], 1001, "deny", ["approval_impossible"],  # one of the two who could answer
        ),
        (["--done", "look-up"], 50_001, "deny", ["arguments_invalid"]),
    ],
)  # fmt: skip
def test_every_flag_changes_the_world_of_the_call(
    more: list[str], rows: int, effect: str, reasons: list[str], bundle: Path, call: Call
) -> None:
    """With the near miss of each."""
    found = explain(call, bundle, *more, rows=rows)
    assert found["effect"] == effect
    assert set(reasons) <= set(found["reasons"])


def test_an_explanation_shows_the_destination_as_the_tool_would_get_it(bundle: Path, call: Call) -> None:
    """Canonical, as in a real call."""
    found = explain(call, bundle, "--done", "look-up", target="HTTPS://FILES.corp.example:443/x")
    assert found["arguments"]["target"] == "https://files.corp.example/x"
    assert found["destinations"][0]["sensitivity"] == "internal"


def test_an_explanation_says_where_each_argument_came_from(bundle: Path, call: Call) -> None:
    """By what tools returned before, in order; the same in words for people."""
    seen = ("--seen", 'get_ticket={"tables": ["orders"]}', "--seen", 'tickets.get=["https://files.corp.example/x"]')
    found = explain(call, bundle, "--done", "look-up", *seen, target="https://files.corp.example/x")
    assert found["origins"] == {"rows": ["unknown"], "table": ["kept.tables", "tickets.get"], "target": ["tickets.get"]}

    ended = call(
        *("explain", str(bundle), "--workflow", "customer-export", "--tool", "tickets.get"),
        *("--args", '{"ticket_id": "EXP-7"}', "--inputs", '{"ticket": "EXP-7"}'),
    )
    assert "origin of ticket_id" in ended.out
    assert "inputs, inputs.ticket" in ended.out


STORY = """\
calls:
  - {tool: tickets.get, arguments: {ticket_id: EXP-7}, result: {tables: [orders], text: see}}
"""


def test_explain_tells_how_a_run_stands_after_its_story(call: Call, bundle: Path, tmp_path: Path) -> None:
    """An owner sees a step's state in the middle of a run, and need not work out what follows from the calls."""
    story = tmp_path / "so-far.yaml"
    story.write_text(STORY)
    found = explain(call, bundle, "--calls", str(story))
    assert found["effect"] == "permit", found["findings"]
    assert found["run"] == {"done": ["look-up"], "counts": {"look-up": 1}, "kept": {"tables": ["orders"]}}
    assert explain(call, bundle, "--done", "look-up")["run"] is None
    shown = call(
        *("explain", str(bundle), "--workflow", "customer-export", "--tool", "tickets.get"),
        *("--args", '{"ticket_id": "EXP-7"}', "--inputs", '{"ticket": "EXP-7"}', "--calls", str(story)),
    )
    assert "look-up 1; succeeded: look-up" in shown.out
    assert "kept tables[0]" in shown.out


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("calls: []", [], "calls"),
        ("call: x", [], "call"),
        ("", [], "expected one document"),
        (STORY.replace("result", "rsult"), [], "rsult"),
        (STORY.replace("EXP-7", "EXP-8"), [], "so-far.yaml:2: call 1 of the story (`tickets.get`) would be refused"),
        (STORY, ["--done", "look-up"], "leave --done, --kept, --seen out"),
        (None, [], "so-far.yaml"),
    ],
)
def test_a_story_that_could_not_be_is_said(
    text: str | None, more: list[str], said: str, call: Call, bundle: Path, tmp_path: Path
) -> None:
    """With the file, and the line where there is one."""
    story = tmp_path / "so-far.yaml"
    if text is not None:
        story.write_text(text)
    ended = call(
        *("explain", str(bundle), "--workflow", "customer-export", "--tool", "tickets.get", "--calls", str(story)),
        *("--args", '{"ticket_id": "EXP-7"}', "--inputs", '{"ticket": "EXP-7"}', *more),
    )
    assert ended.code != 0
    assert said in " ".join(ended.err.split()), ended.err


@pytest.mark.parametrize("wrong", ["tickets.get", "tickets.get=", "tickets.get={", "tickets.get=@nowhere"])
def test_a_result_that_cannot_be_read_is_said(wrong: str, bundle: Path, call: Call) -> None:
    """Left out silently, the answer would be about another run."""
    ended = call("explain", str(bundle), "--workflow", "customer-export", "--tool", "tickets.get", "--seen", wrong)
    assert ended.code == 2
    assert "--seen" in ended.err


def test_the_command_of_the_page_says_what_the_page_says(bundle: Path, call: Call) -> None:
    """Copied out of the page and run."""
    start = PAGE.index("$ agentguard explain exports/")
    line = PAGE[start + 2 : PAGE.index("```", start)].replace("\\\n", " ").replace("exports/", str(bundle))
    ended = call(*shlex.split(line)[1:])
    assert ended.code == 0, ended
    assert "destination_too_sensitive" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--decision"),
        (["DIR"], "--workflow"),
        (["DIR", "--workflow", "customer-export"], "--tool"),
        (["DIR", "--decision", "d-1"], "leave out DIR"),
        (["DIR", "--workflow", "nonsense", "--tool", "tickets.get"], "customer-export"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--args", "{"], "--args"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--args", "[]"], "--args"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--args", '{"a":1,"a":2}'], "twice"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--args", '{"a":NaN}'], "NaN"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--args", "[" * 100_000], "--args"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--args", "@/nowhere"], "cannot be read"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--args", "\udcff"], "--args"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--done", "lookup"], "look-up"),
        (
            ["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--done", "look-up,export"],
            "say `--done` once for each",
        ),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--age", "fast"], "--age"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--age", "999999999d"], "--age"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--age", "3661d"], "--age"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--risk", "HIGH"], "--risk"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--at", "now"], "--at"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--inputs", '{"ticket": 7}'], "inputs"),
        (["DIR", "--workflow", "customer-export", "--tool", "tickets.get", "--approved-by", "alice"], "user:alice"),
    ],
    ids=lambda a: " ".join(a)[-30:].encode("ascii", "replace").decode() if isinstance(a, list) else a,
)
def test_a_wrong_explain_gives_one_clear_line(arguments: list[str], words: str, bundle: Path, call: Call) -> None:
    """Every flag can be wrong in its own way."""
    ended = call("explain", *(str(bundle) if a == "DIR" else a for a in arguments))
    assert ended.code == 2, ended
    assert is_clear(ended), ended.err
    assert words in ended.err


def test_each_reason_is_explained_in_the_words_of_the_page_of_reasons(store: Path, call: Call) -> None:
    """A list of its own for the command left two reasons of three unexplained."""
    ledger = open_ledger(store)
    found = [{"effect": "deny", "reason": str(reason), "step": None, "detail": "x"} for reason in reasons()]
    decide(ledger, "d-all", reasons=list(map(str, reasons())), findings=found)
    ledger.shut()

    shown = " ".join(call("explain", "--decision", "d-all", "--ledger", store).out.split())

    assert all(f"deny {reason}: x {info.means}" in shown for reason, info in reasons().items())
    assert "Whose turn it is: workflow owner." in shown


def test_a_decision_is_explained_from_its_record(store: Path, call: Call) -> None:
    """What was really decided, with each finding."""
    ended = call("explain", "--decision", "d-1", "--ledger", store)
    assert ended.code == 0
    assert "condition_false (step export): `args.rows < 5`" in ended.out
    missing = call("explain", "--decision", "d-9", "--ledger", store)
    assert missing.code == 3
    assert is_clear(missing)


# schema


def test_schemas_are_json_schemas_that_accept_the_page(call: Call) -> None:
    """Editors judge by them what the loader judges by itself."""
    import jsonschema_rs
    import yaml

    all_of_them = json.loads(call("schema").out)
    for text in FILES.values():
        document = yaml.load(text, yaml.BaseLoader)
        kind = document["kind"]
        if kind in all_of_them and kind == "Trust":
            schema = json.loads(call("schema", kind).out)
            assert schema == all_of_them[kind]
            assert jsonschema_rs.validator_for(schema).is_valid(document)
    assert set(all_of_them) >= {"Trust", "Tools", "Destinations", "Workflow"}


def test_an_unknown_kind_is_answered_with_the_known_ones(call: Call) -> None:
    """The nearest help."""
    ended = call("schema", "workflow")
    assert ended.code == 2
    assert "Workflow" in ended.err


def test_check_takes_a_folder_of_bundles(tmp_path: Path, call: Call) -> None:
    """The first thing that is tried in a fresh clone. One that is broken does not hide the others."""
    ended = call("check", ROOT / "workflows")
    assert ended.code == 0
    assert [line for line in ended.out.splitlines() if line.endswith("customer_export:")]
    for name in ("good", "bad"):
        write(tmp_path / "all" / name, **({"customer_export": WORKFLOW + "x: 1\n"} if name == "bad" else {}))
    ended = call("check", tmp_path / "all")
    assert ended.code == 1
    assert "ok: 1 workflow, 2 steps" in ended.out and "there is no key `x` here" in ended.out
    told = json.loads(call("check", tmp_path / "all", "--json").out)
    assert [(Path(one["directory"]).name, one["ok"]) for one in told["bundles"]] == [("bad", False), ("good", True)]


def test_folders_of_one_bundle_are_not_taken_for_bundles(tmp_path: Path, call: Call) -> None:
    """Trust in one folder and workflows in another are one bundle, also when it has a mistake."""
    files = {"trust": FILES["trust.yaml"], "tools": FILES["tools.yaml"], "flows": WORKFLOW + "x: 1\n"}
    for name, text in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.yaml").write_text(text)
    ended = call("check", tmp_path)
    assert ended.code == 1 and "if each is a bundle" in ended.out and "trust:" not in ended.out.splitlines()


def test_check_reads_the_cases_too(bundle: Path, call: Call) -> None:
    """A case that names no step would be found only when somebody runs the tests."""
    good = call("check", bundle)
    assert re.search(r"^[0-9]+ cases beside it: `agentguard test ", good.out, re.MULTILINE)
    cases = bundle / "customer-export.cases.yaml"
    cases.write_text(cases.read_text().replace("tool: warehouse.export", "tool: warehouse.exprot", 1))
    ended = call("check", bundle)
    assert ended.code == 1 and "did you mean `warehouse.export`?" in ended.out and "cases.yaml:" in ended.out


NOTES = [
    (
        {"customer_export": WORKFLOW.replace("args.table in kept.tables", "kept.tables.all(t, t == args.table)")},
        "empty",
    ),
    ({"customer_export": WORKFLOW.replace("args.table in kept.tables", "now.getDayOfWeek() in [1, 2]")}, "Sunday is 0"),
    ({"customer_export": WORKFLOW.replace("up_to: confidential", "up_to: public")}, "is denied"),
]


@pytest.mark.parametrize(("changed", "said"), NOTES)
def test_what_is_no_mistake_and_does_something_else_is_noted(
    changed: dict[str, str], said: str, tmp_path: Path, call: Call
) -> None:
    """It loads; the note has the file and the line, and says what will happen."""
    ended = call("check", write(tmp_path / "exports", **changed))
    assert ended.code == 0, ended
    notes = [line for line in ended.out.splitlines() if line.startswith("note: ")]
    assert [line for line in notes if re.search(r"customer-export\.yaml:[0-9]+: ", line) and said in line], ended.out
    assert json.loads(call("check", tmp_path / "exports", "--json").out)["notes"]


def test_a_fixed_destination_beyond_a_step_is_noted(tmp_path: Path, call: Call) -> None:
    """The tool always goes there, so the step never permits a call, whatever the agent does."""
    tools = TOOLS.replace("argument: target", 'fixed: "https://elsewhere.corp.example/"')
    ended = call("check", write(tmp_path / "exports", tools=tools))
    assert "never permits a call" in ended.out, ended


def test_a_folder_of_bundles_is_told_from_a_bundle(call: Call) -> None:
    """That every issuer is given twice explains nothing."""
    ended = call("explain", ROOT / "workflows", "--workflow", "customer-export", "--tool", "tickets.get")
    assert ended.code in (1, 2)
    assert "if each is a bundle, name one, such as" in ended.out + ended.err
    assert "customer_export" in ended.out + ended.err


def test_a_bundle_with_files_in_one_place_gets_no_such_hint(tmp_path: Path, call: Call) -> None:
    """It would send an owner looking in the wrong direction."""
    ended = call("check", write(tmp_path / "bundle", trust="kind: nonsense\n"))
    assert ended.code == 1 and "if each is a bundle" not in ended.out


def test_the_shipped_bundles_are_good(call: Call) -> None:
    """What we ship passes what we ship."""
    shipped = sorted(path for path in (ROOT / "workflows").iterdir() if path.is_dir())
    assert shipped
    for directory in shipped:
        assert call("check", directory).code == 0, directory.name


# show


def test_a_workflow_is_shown_in_full_with_the_steps_it_includes(tmp_path: Path, call: Call) -> None:
    """One file that means the same, and where each included step stands."""
    for name, text in {"tools": TOOLS_ALONE, "reads": READS, "pay": PAY}.items():
        (tmp_path / f"{name}.yaml").write_text(text)

    ended = call("show", tmp_path, "pay")

    assert ended.code == 0
    assert f"  # from `bank-reads`, {tmp_path / 'reads.yaml'}:5" in ended.out.splitlines()
    alone = tmp_path / ".alone"
    alone.mkdir()
    (alone / "tools.yaml").write_text(TOOLS_ALONE)
    (alone / "pay.yaml").write_text(ended.out)
    again = call("show", alone, "--json")
    assert again.code == 0
    one, other = json.loads(again.out), json.loads(call("show", tmp_path, "pay", "--json").out)
    assert [(step["name"], step["content"]) for step in one["steps"]] == [
        (step["name"], step["content"]) for step in other["steps"]
    ]
    assert [step["from"] for step in other["steps"]] == [None, "bank-reads"]


def test_show_says_which_workflows_there_are(bundle: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one workflow its name can be left out, and with one name the directory is the one we are in."""
    assert call("show", bundle, "customer-exprt").code != 0
    assert "this bundle has customer-export" in call("show", bundle, "customer-exprt").err
    monkeypatch.chdir(bundle)
    assert call("show", "customer-export").out == call("show", bundle).out


TOOLS_ALONE = "apiVersion: agentguard/v1\nkind: Tools\ntools:\n  pay: {effect: send}\n  look: {effect: read}\n"
READS = """\
apiVersion: agentguard/v1
kind: Steps
metadata: {name: bank-reads}
steps:
  look:
    tool: look
    arguments: {note: {enum: ["no", "12:30", "a: b", "\\U0001F600", 5, null]}}
    keep: {rows: "result[\\"odd name\\"]"}
"""
PAY = """\
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: pay, version: 1, owner: o, review_by: 2029-12-31}
subjects: [spiffe://corp.example/agent/payer]
include: [bank-reads]
steps:
  pay:
    tool: pay
    after: [look]
    arguments: {to: {type: string, pattern: "[A-Z]{2}"}}
"""


# test, over a folder of bundles


def test_a_folder_of_bundles_is_tested_bundle_by_bundle(tmp_path: Path, call: Call) -> None:
    """One broken bundle hides no other, and says which it is."""
    for name in ("one", "two"):
        write(tmp_path / name)

    ended = call("test", tmp_path)
    assert ended.code == 0
    assert "2 bundles: 20 of 20 cases as expected" in ended.out

    text = (tmp_path / "two" / "customer-export.cases.yaml").read_text()
    (tmp_path / "two" / "customer-export.cases.yaml").write_text(text.replace("step: export}", "step: look-up}", 1))
    ended = call("test", tmp_path)
    assert ended.code == 1
    assert f"not in order: {tmp_path / 'two'}" in ended.out
    assert f"not in order: {tmp_path / 'one'}" not in ended.out

    (tmp_path / "one" / "tools.yaml").write_text("kind: Tools\n")
    ended = call("test", tmp_path, "--json")
    assert ended.code == 2
    assert [entry["ok"] for entry in json.loads(ended.out)["bundles"]] == [False, False]


def test_steps_that_no_case_reaches_are_named_in_one_line(tmp_path: Path, call: Call) -> None:
    """Twenty notes of one step each are read by nobody."""
    cases = re.sub(r"(?s)  - name: a small export.*", "", CASES)
    write(tmp_path, customer_export_cases=cases)

    ended = call("test", tmp_path)

    assert [line for line in ended.out.splitlines() if line.startswith("note:")] == [
        "note: no case reaches step `export` of `customer-export`"
    ]
