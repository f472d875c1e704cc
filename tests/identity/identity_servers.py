"""Real servers on loopback that behave as told, well or badly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Script:
    """What the server answers, changeable while it runs. ``drip`` seconds between bytes; ``seen`` are the requests."""

    def __init__(self, body: bytes = b"{}") -> None:
        self.status, self.body, self.headers, self.drip = 200, body, {}, 0.0
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.before: Callable[[], None] = lambda: None


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The address of a running server."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.seen.append((self.path, dict(self.headers.items())))
            script.before()
            try:
                self.send_response(script.status)
                for name, value in script.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(script.body)))
                self.end_headers()
                if not script.drip:
                    self.wfile.write(script.body)
                    return
                for byte in script.body:
                    self.wfile.write(bytes([byte]))
                    if closing.wait(script.drip):
                        return
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something comes true in time; for what another thread ends."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.005)
    return holds()
