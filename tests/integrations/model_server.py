"""A model on loopback that says what the test scripted: Chat Completions and Responses, whole or streamed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ModelServer(ThreadingHTTPServer):
    """Answers each request with the next scripted body; a list is sent as a stream of events. Keeps the requests."""

    daemon_threads = True

    def __init__(self, script: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(script)
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(json.loads(body))
        said = self.server.script.pop(0)
        streamed = isinstance(said, list)
        data = "".join(_event(event) for event in said) if streamed else json.dumps(said)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        self.send_header("Content-Length", str(len(data.encode())))
        self.end_headers()
        self.wfile.write(data.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _event(event: dict[str, Any]) -> str:
    kind = f"event: {event['type']}\n" if "type" in event else ""
    return f"{kind}data: {json.dumps(event)}\n\n"


@contextmanager
def model_server(*script: Any) -> Iterator[ModelServer]:
    server = ModelServer(list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chat_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat(*calls: dict[str, Any], text: str | None = None, finish: str | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = list(calls)
    reason = finish or ("tool_calls" if calls else "stop")
    return {
        "id": "chat-1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": reason, "message": message, "logprobs": None}],
    }  # fmt: skip


def chunks(*deltas: dict[str, Any], finish: str | None = "tool_calls") -> list[dict[str, Any]]:
    last: list[dict[str, Any]] = [{}] if finish else []
    return [
        {
            "id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish if delta == {} else None}],
        }
        for delta in [*deltas, *last]
    ]  # fmt: skip


def function_call(call_id: str, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    return {
        "type": "function_call", "id": f"fc-{call_id}", "call_id": call_id, "name": name, "arguments": arguments,
        "status": status,
    }  # fmt: skip


def response(*output: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {
        "id": "resp-1", "object": "response", "created_at": 0, "model": "m", "status": status, "output": list(output),
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}, "error": None,
        "incomplete_details": None, "instructions": None, "temperature": 1, "top_p": 1,
    }  # fmt: skip


def said(text: str) -> dict[str, Any]:
    content = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg-1", "role": "assistant", "status": "completed", "content": [content]}
