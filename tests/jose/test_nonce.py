"""Names that nobody had before: what replay protection and every record rest on."""

from __future__ import annotations

import os
import re
import threading

from agentguard.jose.nonce import nonce

MANY = 2_000


def test_names_are_128_bits_in_hex_and_never_the_same() -> None:
    """An id that came twice would make a fresh assertion a replay, or two decisions one."""
    drawn = [nonce() for _ in range(MANY)]

    assert len(set(drawn)) == MANY
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in drawn)


def test_threads_share_no_name() -> None:
    """The stock is refilled by whoever finds it empty, perhaps by several at once."""
    drawn: list[str] = []

    def draw() -> None:
        drawn.extend([nonce() for _ in range(MANY)])

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(drawn)) == 8 * MANY


def test_a_forked_child_draws_other_names_than_its_parent() -> None:
    """Both have the same memory at the fork, and both go on."""
    nonce()  # so that there is a stock
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "\n".join(nonce() for _ in range(100)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().split()
    os.waitpid(child, 0)

    assert len(theirs) == 100
    assert not set(theirs) & {nonce() for _ in range(1_000)}
