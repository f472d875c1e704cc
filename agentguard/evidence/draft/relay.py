"""Runs a command, and hands on what it writes while that has an end: a server that lies cannot fill our memory.

Started by its path as a process of its own, with the most bytes of one line, those in all, and the command. Imports
nothing of agentguard, so that it starts at once.
"""

from __future__ import annotations

import os
import subprocess
import sys

_CHUNK = 65_536


def main(most_line: int, most: int, command: list[str]) -> int:
    """Exits as the command does; 1 where it wrote too much, and was ended for that."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        line = written = 0
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while chunk := os.read(process.stdout.fileno(), _CHUNK):
            written += len(chunk)
            line = len(chunk) - chunk.rfind(b"\n") - 1 if b"\n" in chunk else line + len(chunk)
            if line > most_line or written > most:
                process.kill()
                print("more than an answer can be: it was ended", file=sys.stderr)
                return 1
            view = memoryview(chunk)
            while view:
                view = view[os.write(1, view) :]
        return process.wait()


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
    except (OSError, KeyboardInterrupt) as error:
        sys.exit(str(error) or 1)
