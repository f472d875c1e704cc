"""Runs one command and turns every end of it into an exit code and, where something is wrong, one clear message.

Exit codes: 0 it worked; 1 the answer is no; 2 the command, a file or the policy must be put right; 3 the ledger could
not do it; 70 a defect of agentguard; 130 interrupted; 141 nobody read its output to the end. Nobody at a terminal ever
meets a traceback.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from agentguard.cli.app import command
from agentguard.display import plain
from agentguard.errors import AgentGuardError, LedgerError, PolicyError

DEFECT = 70
INTERRUPTED = 130
UNREAD = 141
# What may follow the name is a guess of Typer's own; ours is made the same way everywhere.
_NO_COMMAND = re.compile(r"No such command '(.*?)'(\. Did you mean .*)?", re.DOTALL)
_CLICK_ERROR = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. Never raises."""
    _open_what_is_closed()
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        result = command().main(given, prog_name="agentguard", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit as leaving:  # Typer leaves so when a pipe breaks inside a command
        return _nobody_reads() if isinstance(leaving.__context__, BrokenPipeError) else _failed(leaving)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted; nothing more was done", INTERRUPTED)
    except Exception as error:
        return _failed(error)
    return result if isinstance(result, int) else 0


def _open_what_is_closed() -> None:
    """Whoever closes a stream (``>&-``) wants nothing from it: what is said there is lost, what was asked is done.

    Python then has None there. In the order of their numbers, so that no file that is opened later gets one of them.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the end


def _failed(error: BaseException) -> int:
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, PolicyError):
        for problem in error.problems:
            _say(str(problem), 2)
        return 2
    if isinstance(error, LedgerError):
        return _say(str(error), 3)
    if isinstance(error, AgentGuardError):
        return _say(str(error), 2)
    if isinstance(error, _CLICK_ERROR):
        return _say(f"{_usage(error)} (`agentguard --help`, or --help after a command, shows what can be written)", 2)
    if isinstance(error, OSError):
        return _say(_operating_system(error), 2)
    return _say(
        f"agentguard itself failed ({type(error).__name__}); nothing was permitted by it. "
        "Run the command once more; if it fails again, please report the command and this line",
        DEFECT,
    )


def _usage(error: Any) -> str:
    """What is wrong with the command line, in our manner of speaking, with the nearest command where there is none."""
    text = str(error.format_message()).rstrip(".")
    number = _number(error)
    if number is not None:
        return number
    unknown = _NO_COMMAND.fullmatch(text)
    if unknown is None:
        return text[:1].lower() + text[1:]
    known = error.ctx.command.list_commands(error.ctx)
    close = difflib.get_close_matches(unknown[1], known, 1)
    return f"there is no command `{unknown[1]}`; " + (f"did you mean `{close[0]}`?" if close else ", ".join(known))


def _number(error: Any) -> str | None:
    """What is wrong with a number, which Typer says in the words of its own library."""
    found = getattr(error.__cause__, "errors", None)
    if not callable(found) or getattr(error, "param", None) is None:
        return None
    first = found(include_url=False)[0]
    limits = first.get("ctx") or {}
    wanted = {
        "greater_than_equal": f"expected {limits.get('ge')} or more",
        "less_than_equal": f"expected {limits.get('le')} or less",
        "int_parsing": "expected a whole number",
        "int_parsing_size": "that number is too large",
        "float_parsing": "expected a number",
    }.get(first["type"])
    return None if wanted is None else f"{max(error.param.opts, key=len)}: {wanted}"


def _operating_system(error: OSError) -> str:
    why = error.strerror or type(error).__name__
    if error.filename is None:
        return f"what was to be shown could not be written: {why}; check where the output goes"
    return f"`{error.filename}`: {why}; check that it exists and that you may use it"


def _say(message: str, code: int) -> int:
    """One line to standard error. What is quoted in it may come from anybody, so it is escaped."""
    text = " ".join(plain(message.replace("\n", "; ")).split())
    with contextlib.suppress(OSError):
        print(f"agentguard: {text}", file=sys.stderr)
    return code


def _nobody_reads() -> int:
    """The reader of a pipe has gone (``| head``): stop quietly, as other tools do, and not as if all had been well: a
    verdict may be among what nobody read."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD
