"""A real HTTP server on loopback, in a thread, for as long as a ``with`` block."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute


@contextmanager
def serving(*routes: BaseRoute) -> Iterator[str]:
    """Serve these routes on a free port. Yields the base URL, without a slash at its end."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=list(routes)), log_level="critical", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    # The socket listens already, so nobody has to wait for the thread: a request queues until it is served.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()
