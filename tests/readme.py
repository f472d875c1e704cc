"""Reads the README's code blocks. As a program, prints the one of its shell commands that is asked for (1, 2 …)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """The contents of every block in this language, in order."""
    return [body for found, body in _BLOCK.findall(README.read_text("utf-8")) if found == language]


if __name__ == "__main__":
    print(blocks("sh")[int(sys.argv[1]) - 1], end="")
