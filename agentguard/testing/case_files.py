"""Which files hold decision cases. Imports nothing: pytest asks of every file it sees."""

from __future__ import annotations

from pathlib import Path

CASES = (".cases.yaml", ".cases.yml")
_HEAD_BYTES = 4_096


def is_case_file(path: Path) -> bool:
    """Files of other projects that happen to be called so are not ours."""
    return path.name.endswith(CASES) and _is_ours(path)


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"agentguard/" in file.read(_HEAD_BYTES)
    except OSError:
        return False
