"""Transcripts that people have: every format comes to the same calls, and a bad line is named."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentguard.cli import bundles
from agentguard.errors import ConfigurationError
from agentguard.evidence.draft.effects import guessed_effect
from agentguard.evidence.learn.bundle import Wanted, draft
from agentguard.evidence.traffic import PastRun, Ran
from agentguard.evidence.transcripts.read import EVERYTHING, read_transcripts

PAID = {"iban": "DE1", "amount": 5}
OPENAI = {
    "id": "a",
    "metadata": {"requester": "user:ann", "inputs": {"amount": 5}},
    "messages": [
        {"role": "user", "content": "pay"},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "list", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": '[{"iban": "DE1"}]'},
        {"role": "assistant", "tool_calls": [{"id": "2", "function": {"name": "pay", "arguments": json.dumps(PAID)}}]},
        {"role": "tool", "tool_call_id": "2", "content": "Error: no money"},
    ],
}
RESPONSES = {
    "id": "a",
    "metadata": {"requester": "user:ann", "inputs": {"amount": 5}},
    "input": [{"type": "function_call", "call_id": "1", "name": "list", "arguments": "{}"}],
    "output": [
        {"type": "function_call_output", "call_id": "1", "output": '[{"iban": "DE1"}]'},
        {"type": "function_call", "call_id": "2", "name": "pay", "arguments": json.dumps(PAID)},
    ],
}
_ABOUT = {"metadata": {"user_id": "user:ann", "inputs": {"amount": 5}}}
LANGSMITH = [
    {"trace_id": "a", "run_type": "chain", "name": "agent", "start_time": "2026-12-01T10:00:00", "extra": _ABOUT},
    {"trace_id": "a", "run_type": "tool", "name": "pay", "start_time": "2026-12-01T10:00:02",
     "inputs": {"input": json.dumps(PAID)}, "error": "no money"},
    {"trace_id": "a", "run_type": "tool", "name": "list", "start_time": "2026-12-01T10:00:01", "inputs": {},
     "outputs": {"output": [{"iban": "DE1"}]}},
]  # fmt: skip


def _span(name: str, at: int, **more: Any) -> dict[str, Any]:
    held = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "enduser.id": "user:ann", **more}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in held.items()]
    return {"traceId": "a", "name": f"execute_tool {name}", "startTimeUnixNano": str(at), "attributes": attributes}


_LISTED = {"gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": '[{"iban": "DE1"}]'}
_FAILED = {"gen_ai.tool.call.arguments": json.dumps(PAID), "error.type": "ValueError"}
OTEL = [
    {"resourceSpans": [{"scopeSpans": [{"spans": [_span("pay", 1_700_000_000_000_000_002, **_FAILED)]}]}]},
    _span("list", 1_700_000_000_000_000_001, **_LISTED),
]
MCP = [
    {"session": "a", "user": "user:ann", "message": {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list", "arguments": {}}}},
    {"session": "a", "message": {"jsonrpc": "2.0", "id": 1, "result": {"structuredContent": [{"iban": "DE1"}]}}},
    {"session": "a", "message": {
        "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "pay", "arguments": PAID}}},
    {"session": "a", "message": {"jsonrpc": "2.0", "id": 2, "result": {"content": [], "isError": True}}},
]  # fmt: skip
FORMATS = {"openai": [OPENAI], "responses": [RESPONSES], "langsmith": LANGSMITH, "otel": OTEL, "mcp": MCP}


def read(folder: Path, lines: list[Any], named: str = "auto", most: int = 100) -> list[PastRun]:
    """The runs of these lines, of tools whose results are clean."""
    file = folder / "t.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return read_transcripts(file, named, most, lambda tool: ())


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_says_what_was_called_and_where_its_values_stood(tmp_path: Path, name: str) -> None:
    """The order of the calls, who asked, what failed, and that the account stood in the list."""
    (run,) = read(tmp_path, FORMATS[name])
    assert [(call.tool, dict(call.arguments)) for call in run.calls] == [("list", {}), ("pay", PAID)]
    assert run.requester == "user:ann"
    assert run.calls[0].ran is Ran.SUCCEEDED
    assert run.calls[1].ran is (Ran.UNKNOWN if name == "responses" else Ran.FAILED)
    seen = run.calls[1].seen_in
    assert seen is not None and "list[*].iban" in seen["iban"]
    if run.inputs:
        assert seen["amount"] == ("inputs.amount",)


def connection(number: int, *, named: str = "") -> list[dict[str, Any]]:
    """One connection to an MCP server, as the server writes it down: the ids begin anew each time."""
    lines = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 0, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "pay", "arguments": {"n": number}}},
        {"jsonrpc": "2.0", "id": 1, "result": {"content": []}},
    ]
    return [{"message": line, **({"session": named} if named else {})} for line in lines]


def test_an_mcp_log_without_sessions_has_a_run_for_each_connection(tmp_path: Path) -> None:
    """Each begins with `initialize`. Where a line names its session, that alone tells."""
    told = read(tmp_path, [line for n in range(3) for line in connection(n)])
    assert [[dict(call.arguments) for call in run.calls] for run in told] == [[{"n": 0}], [{"n": 1}], [{"n": 2}]]
    assert all(call.ran is Ran.SUCCEEDED for run in told for call in run.calls)
    (one,) = read(tmp_path, [line for n in range(3) for line in connection(n, named="a")])
    assert len(one.calls) == 3
    mixed = [line for pair in zip(connection(0, named="a"), connection(1), strict=True) for line in pair]
    assert sorted(len(run.calls) for run in read(tmp_path, mixed)) == [1, 1]


def test_what_an_undeclared_tool_returned_is_outsiders(tmp_path: Path) -> None:
    """Its path begins with a sign that no source has, and its own names are not told."""
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(OPENAI), "utf-8")
    (run,) = read_transcripts(file, "auto", 100, lambda tool: EVERYTHING)
    assert run.calls[1].seen_in == {"iban": ("~list",), "amount": ("inputs.amount",)}


WRONG = [
    ("not JSON", ["{", ""], ":1: is not a line of JSON"),
    ("a member twice", ['{"messages": [], "messages": []}'], ":1: is not a line of JSON"),
    ("the second line", [OPENAI, {"x": 1}], ":2: is not as the lines before it"),
    ("no format", [{"x": 1}], ":1: is in no format that is known"),
    ("a hostile name", [{"messages": [
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "a\u202eb; drop", "arguments": "{}"}}]}
    ]}], ":1: a tool's name is not one"),
    ("messages that are none", [{"messages": ["hello"]}], ":1: expected messages"),
    ("nested too deeply", ['{"messages": ' + "[" * 500 + "]" * 500 + "}"], ":1: is not a line of JSON"),
    ("too long", ['{"messages": ["' + "x" * (9 * 1024 * 1024) + '"]}'], ":1: is longer than"),
    ("spans that are none", [{"resourceSpans": [{"scopeSpans": 7}]}], ":1: expected `scopeSpans`"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "lines", "said"), WRONG, ids=[case[0] for case in WRONG])
def test_a_bad_line_is_an_error_that_names_it(tmp_path: Path, name: str, lines: list[Any], said: str) -> None:
    """Nothing is learnt from the rest: what is left out of a draft must be told."""
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, lines)
    assert said in str(error.value)
    assert "\u202e" not in str(error.value)


def test_an_empty_file_and_one_that_is_not_there_say_so(tmp_path: Path) -> None:
    """And a pipe is not waited for."""
    with pytest.raises(ConfigurationError, match="holds no lines"):
        read(tmp_path, [])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_transcripts(tmp_path / "gone", "auto", 100, lambda tool: ())
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read_transcripts(tmp_path, "auto", 100, lambda tool: ())


def test_never_more_runs_are_held_than_are_looked_at(tmp_path: Path) -> None:
    """The same ones whatever the order of the lines."""
    lines = [{**OPENAI, "id": str(number)} for number in range(60)]
    there = {run.id for run in read(tmp_path, lines, most=20)}
    back = {run.id for run in read(tmp_path, lines[::-1], most=20)}
    assert len(there) == 20
    assert there == back


def shop(number: int) -> dict[str, Any]:
    """One conversation with a shop's agent: it looks an order up, reads a page, and writes to somebody."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("get_order", {"order": f"ORD-{number}", "view": ("full", "short")[number % 2]}),
        ("fetch_page", {"url": f"https://shop.example/{number % 2}"}),
        ("send_email", {"to": "ann@shop.example", "body": f"order {number} is on its way"}),
        ("frobnicate", {"level": number % 2}),
        ("get_account", {"password": f"s3cret-{number}"}),
    ]
    messages: list[dict[str, Any]] = []
    for at, (name, arguments) in enumerate(calls):
        function = {"name": name, "arguments": json.dumps(arguments)}
        messages.append({"role": "assistant", "tool_calls": [{"id": str(at), "function": function}]})
        messages.append({"role": "tool", "tool_call_id": str(at), "content": '{"total": 5}'})
    return {"id": f"c{number}", "messages": messages}


def test_without_a_bundle_effects_are_guessed_as_init_would_and_marked(tmp_path: Path) -> None:
    """What reads is bounded by the traffic; what sends, what nobody can tell, places and secrets are an owner's."""
    runs = read(tmp_path, [shop(number) for number in range(20)])
    wanted = Wanted("shop", "me", ["anyone"], [], 0, date(2026, 12, 1))
    made = draft(runs, None, tmp_path / "draft", wanted, bundles.load)
    asks = {step.tool: [question.partition(":")[0] for question in step.questions] for step in made.workflow.steps}
    assert asks["get_order"] == []
    assert asks["fetch_page"] == ["`url`"]
    assert asks["send_email"] and asks["frobnicate"]
    assert asks["get_account"] == ["`password`"]
    text = (tmp_path / "draft" / "tools.yaml").read_text("utf-8")
    said = yaml.safe_load(text)["tools"]
    assert {name: entry["effect"] for name, entry in said.items()} == {
        name: guessed_effect(name).effect for name in asks
    }
    assert [said[name]["effect"] for name in ("get_order", "send_email", "frobnicate")] == ["read", "send", "write"]
    assert text.count("guess: ") == 8 and "guess: `url` names a place" in text
    assert said["get_account"]["secrets"] == ["password"]
    assert all(entry["untrusted_results"] == ["*"] for entry in said.values())
    everything = "".join(file.read_text("utf-8") for file in (tmp_path / "draft").iterdir())
    assert "s3cret" not in everything
