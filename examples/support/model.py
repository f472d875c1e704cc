"""A scripted model behind the Chat Completions API, on loopback: what a model would answer, without a key or a cost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.support.serve import serving

# One turn of the model: a line of text, and the tool calls it makes with it (name and arguments).
Turn = tuple[str, Sequence[tuple[str, dict[str, Any]]]]


@contextmanager
def scripted_model(script: Sequence[Turn]) -> Iterator[str]:
    """Serve ``/v1/chat/completions``. Stateless: the turn is the number of answers already in the conversation."""

    async def complete(request: Request) -> Response:
        body = await request.json()
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        if turn >= len(script):
            return JSONResponse({"error": {"message": "the script has ended"}}, status_code=400)
        text, calls = script[turn]
        tool_calls = [
            {
                "id": f"call_{turn}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(calls)
        ]
        message = {"role": "assistant", "content": text, "tool_calls": tool_calls or None}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if tool_calls else "stop"}
        return JSONResponse(
            {
                "id": f"chatcmpl-{turn}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": body["model"],
                "choices": [choice],
                "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            }
        )

    with serving(Route("/v1/chat/completions", complete, methods=["POST"])) as url:
        yield f"{url}/v1"
