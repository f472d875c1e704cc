"""The page for developers is run, word for word, top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from integrations.model_server import chat, chat_call, chunks, function_call, model_server, response, said

PAGE = Path(__file__).parents[2] / "docs" / "developers.md"
_BLOCK = re.compile(r"^```(python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

CALL = '{"ticket_id": "EXP-7"}'
PIECE = {"index": 0, "id": "c3", "type": "function", "function": {"name": "get_ticket", "arguments": CALL}}
SCRIPT: tuple[Any, ...] = (
    chat(chat_call("c1", "get_ticket", CALL)),
    chat(chat_call("c2", "close_ticket", CALL), chat_call("c3", "close_ticket", CALL)),
    chat(text="closed"),
    response(function_call("c1", "get_ticket", CALL)),
    response(function_call("c2", "close_ticket", CALL)),
    response(said("closed too")),
    chunks({"tool_calls": [PIECE]}),
    response(function_call("c1", "get_ticket", '{"ticket_id": "EXP-7", "with_history": false}')),
    response(said("looked up")),
)


def test_every_block_of_the_developers_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Documentation that does not run is wrong sooner or later."""
    monkeypatch.chdir(tmp_path)
    blocks = _BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) >= 8
    with model_server(*SCRIPT) as server:
        names: dict[str, Any] = {
            "client": OpenAI(api_key="none", base_url=server.url, max_retries=0),
            "__name__": "page",
        }
        for language, text in blocks:
            if language == "yaml":
                place = Path(re.match(r"# (\S+)", text)[1])  # type: ignore[index]
                place.parent.mkdir(exist_ok=True)
                place.write_text(text, "utf-8")
            else:
                exec(compile(text, str(PAGE), "exec"), names)
        answers = [item["content"] for item in server.requests[2]["messages"] if item["role"] == "tool"]

    said_ = capsys.readouterr().out.splitlines()
    assert said_[0].startswith("this tool call was not allowed (decision `d-")
    assert said_[1].startswith("not given: this tool call was not allowed (decision `d-")
    assert said_[2:] == ["closed", "closed too", '{"id":"EXP-7","text":"please export"}', "looked up"]
    assert answers[1] == "EXP-7 is closed" and answers[2].startswith("this tool call was not allowed")
