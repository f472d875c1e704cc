"""Tools from an MCP server: its answer to ``tools/list``, from a file or from the server itself.

What a server says is a claim. A hint that a tool only reads counts where nothing in the tool's name speaks against it;
descriptions count for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentguard.errors import ConfigurationError
from agentguard.evidence.draft import relay
from agentguard.evidence.draft.described import MOST_TOOLS, Described, Found, parameters_of
from agentguard.evidence.draft.reading import read_data

# A server that is installed on its first start may take long; one that says nothing is not waited for.
MOST_SECONDS = 60.0
_MOST_PAGES = 200
_MOST_SAID = 2_000
# Bytes of one answer, and of everything that a server may write.
_MOST_LINE = 16 * 1024 * 1024
_MOST_WRITTEN = 4 * _MOST_LINE
_REMEDY = "expected the command of an MCP server that speaks over its standard input and output; try it by itself"


def from_tools_list(path: Path) -> Found:
    """The tools of a saved answer to ``tools/list``: the whole answer, its result, or the list alone."""
    data = read_data(path)
    for key in ("result", "tools"):
        if isinstance(data, Mapping) and key in data:
            data = data[key]
    if not isinstance(data, list):
        raise ConfigurationError(
            f"{path}: no answer to `tools/list`; expected `tools`, a list of tools with `inputSchema`"
        )
    return _found(data, str(path))


def from_server(command: str, passed_on: Sequence[str] = (), seconds: float = MOST_SECONDS) -> Found:
    """Start a server, ask it for its tools, and stop it. No tool is called. Raises ConfigurationError.

    ``passed_on``: environment variables that it gets beside the ordinary ones.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"--mcp: `{command}` is not a command ({error})") from None
    if not words:
        raise ConfigurationError('--mcp: expected the command that starts the server, such as --mcp "python server.py"')
    if shutil.which(words[0]) is None:
        raise ConfigurationError(f"--mcp: `{words[0]}` is no program that can be run here; {_REMEDY}")
    missing = [name for name in passed_on if name not in os.environ]
    if missing:
        raise ConfigurationError(f"--env: `{missing[0]}` is not set here; set it, or leave it out")
    try:
        import mcp  # noqa: F401 - asked for first, so that a server's own ImportError is not taken for ours
    except ImportError:
        raise ConfigurationError(
            'an MCP server is asked through the `mcp` SDK; pip install "agentguard[mcp]"'
        ) from None
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said, _heard() as heard:
        try:
            tools = asyncio.run(asyncio.wait_for(_listed(words, passed_on, said), seconds))
        except TimeoutError:
            raise ConfigurationError(
                f"--mcp: `{command}` did not list its tools within {seconds:.0f} s{_last(said)}; {_REMEDY}"
            ) from None
        except (Exception, BaseExceptionGroup) as error:
            why = _first(error)
            text = f"{type(why).__name__}: {str(why)[:300]}"
            if heard.anything:
                text = "it wrote what is no message of MCP"
            raise ConfigurationError(f"--mcp: `{command}` listed no tools: {text}{_last(said)}; {_REMEDY}") from None
    return _found(tools, "the server")


async def _listed(words: Sequence[str], passed_on: Sequence[str], said: Any) -> list[Any]:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import get_default_environment, stdio_client
    from mcp.types import PaginatedRequestParams

    environment = {**get_default_environment(), **{name: os.environ[name] for name in passed_on}}
    bounded = ["-I", relay.__file__, str(_MOST_LINE), str(_MOST_WRITTEN), *words]
    server = StdioServerParameters(command=sys.executable, args=bounded, env=environment)
    tools: list[Any] = []
    async with stdio_client(server, errlog=said) as streams, ClientSession(*streams) as session:
        await session.initialize()
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            tools += [tool.model_dump(mode="json", by_alias=True) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None or len(tools) > MOST_TOOLS:
                break
    return tools


class _Heard(logging.Handler):
    """Whether the SDK has logged anything, in place of the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = False

    def emit(self, record: logging.LogRecord) -> None:
        self.anything = True


@contextlib.contextmanager
def _heard() -> Iterator[_Heard]:
    handler, logger = _Heard(), logging.getLogger("mcp")
    kept, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = kept


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _last(said: Any) -> str:
    """The end of what a server wrote to its standard error."""
    said.flush()
    said.seek(0)
    text = " ".join(said.read()[-_MOST_SAID:].split())
    return f"; it said: {text[-300:]}" if text else ""


def _found(tools: Iterable[Any], where: str) -> Found:
    found = Found()
    for position, tool in enumerate(tools):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if not isinstance(name, str):
            found.left_out.append((f"number {position + 1}", f"{where} gives it no name"))
            continue
        hints = tool.get("annotations")
        hints = hints if isinstance(hints, Mapping) else {}
        try:
            parameters = parameters_of(tool.get("inputSchema"))
        except ValueError as error:
            found.left_out.append((name, str(error)))
            continue
        read_only, destructive = (
            hint if isinstance(hint, bool) else None for hint in map(hints.get, ("readOnlyHint", "destructiveHint"))
        )
        found.tools.append(Described(name, parameters, parameters, read_only, destructive))
    return found
