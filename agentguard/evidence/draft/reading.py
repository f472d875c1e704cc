"""Files and answers that others wrote, read within bounds. Nothing in them is imported, run or fetched."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from agentguard.errors import ConfigurationError

# The largest OpenAPI file of a public service that was looked at has 12 MB.
MOST_BYTES = 64 * 1024 * 1024


def read_data(path: Path) -> Any:
    """JSON or, where the name ends so, YAML. Raises ConfigurationError with the file and the line."""
    text = _text(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _yaml(path, text)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}:{error.lineno}: not JSON: {error.msg}; export the file again") from None
    except (RecursionError, ValueError):
        raise ConfigurationError(
            f"{path}: not JSON that can be read: it is nested too deep, or a number is too long"
        ) from None


def _text(path: Path) -> str:
    try:
        # Without O_NONBLOCK the open of a named pipe would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigurationError(f"{path}: not a regular file")
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); check the name") from None
    if len(raw) > MOST_BYTES:
        raise ConfigurationError(
            f"{path}: longer than {MOST_BYTES // 1024 // 1024} MiB; take out what the agent does not call"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: not UTF-8 text; save it as UTF-8") from None


def _yaml(path: Path, text: str) -> Any:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            # Ten lines of aliases of aliases are a billion values.
            if isinstance(event, yaml.AliasEvent):
                line = 0 if event.start_mark is None else event.start_mark.line + 1
                raise ConfigurationError(
                    f"{path}:{line}: holds a YAML alias; write the value out, or save the file as JSON"
                )
        return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader: plain data and nothing else
    except yaml.MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise ConfigurationError(f"{path}:{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not YAML that can be read ({type(error).__name__})") from None
