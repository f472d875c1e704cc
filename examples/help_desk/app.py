"""A conversation over web requests: ``HELP_DESK=FOLDER uvicorn examples.help_desk.app:app --workers 4``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header

from agentguard import Guard, ToolCallDenied
from examples.help_desk.shop import Shop

FOLDER = Path(os.environ["HELP_DESK"])
guard = Guard.load(FOLDER / "policy", home=FOLDER / "home")  # in each worker, when it starts
look_up, refund = guard.wrap(Shop(FOLDER).tools())
app = FastAPI()


@app.post("/threads/{thread}/{order}")
def ask_for_money(thread: str, order: str, user: Annotated[str, Header()]) -> dict[str, object]:
    """One message of a conversation. `user` is whoever your login says that it is."""
    with guard.run("help-desk", inputs={"customer": user}, requester=f"user:{user}", key=thread) as run:
        try:
            look_up(user, order)
            answer = refund(user, order, 1000)
        except ToolCallDenied as refusal:
            answer = str(refusal)
    return {"answer": answer, "run": run.id, "worker": os.getpid()}


@app.delete("/threads/{thread}")
def close(thread: str, user: Annotated[str, Header()]) -> None:
    """The conversation is over."""
    with guard.run("help-desk", inputs={"customer": user}, requester=f"user:{user}", key=thread) as run:
        run.end()
