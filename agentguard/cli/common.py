"""What several commands share: the ledger at hand, times as people write them, and output that is safe to show."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from agentguard import display
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from rich.console import Console

    from agentguard.guard import Operations

_Command = TypeVar("_Command", bound=Callable[..., Any])

LedgerOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        help="The ledger's file. Without it: ledger.sqlite3 in $AGENTGUARD_HOME, or in ./.agentguard.",
        show_default=False,
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
WhyOption: TypeAlias = Annotated[str, typer.Option("--why", help="The reason; it stands in the record.")]
# The longest that a policy may say, too; every time a person means is nearer.
LONGEST = timedelta(days=3660)

COLOURS = {
    "permit": "green", "succeeded": "green", "approved": "green", "agreed": "green", "active": "green",
    "escalate": "yellow", "open": "yellow", "unknown": "yellow", "medium": "yellow",
    "deny": "bold red", "refused": "red", "failed": "red", "stopped": "red", "high": "red",
}  # fmt: skip

_SQLITE = b"SQLite format 3\0"
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


class _App(typer.Typer):
    """Commands whose examples can be pasted: their lines stay as they are written, and a shell joins them."""

    def command(self, name: str | None = None, **more: Any) -> Callable[[_Command], _Command]:
        """As Typer's; the help is the docstring."""
        register = super().command

        def add(function: _Command) -> _Command:
            paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
            return register(name, help="\n\n".join(map(_pasteable, paragraphs)), **more)(function)

        return add


def _pasteable(paragraph: str) -> str:
    # The first line tells Click to wrap none of the others.
    return "\b\n" + paragraph.replace("\n", " \\\n    ") if paragraph.startswith("Example: ") else paragraph


def new_app(summary: str, *, group: bool = True) -> typer.Typer:
    """A command or a group of commands in our manner."""
    app = _App(add_completion=False, rich_markup_mode=None, no_args_is_help=group, help=summary)
    if group:
        app.callback()(_nothing)
    return app


def _nothing() -> None:
    """A group does nothing by itself."""


def ledger_named(given: Path | None) -> Path:
    """Which ledger is meant, whether it is there or not."""
    home = Path(os.environ.get("AGENTGUARD_HOME") or ".agentguard")
    return given if given is not None else home / "ledger.sqlite3"


def ledger_path(given: Path | None) -> Path:
    """Which ledger is meant. Raises LedgerError where it is not an SQLite file; never creates one."""
    from agentguard.ledger import check_is_path

    path = ledger_named(given)
    check_is_path(path)
    remedy = "point --ledger or AGENTGUARD_HOME at the ledger of a guard that has run"
    try:
        # Opening a pipe or a device would wait for somebody to write to it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise LedgerError(f"the ledger at `{path}` is not a regular file; {remedy}")
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
    except FileNotFoundError:
        raise LedgerError(f"there is no ledger at `{path}`; {remedy}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise LedgerError(f"the ledger at `{path}` cannot be read ({why}); {remedy}") from None
    if head != _SQLITE:
        raise LedgerError(f"`{path}` is not a ledger: it is no SQLite database; {remedy}")
    return path


@contextlib.contextmanager
def operations(given: Path | None) -> Iterator[Operations]:
    """The hand on the switch over one ledger that exists. Raises LedgerError."""
    with _opened(ledger_path(given)) as hand:
        yield hand


@contextlib.contextmanager
def first_operations(given: Path | None) -> Iterator[Operations]:
    """As ``operations``, for what may run before any guard has: a ledger that is not there yet is made."""
    path = ledger_named(given)
    with _opened(ledger_path(path) if path.exists() else path) as hand:
        yield hand


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Operations]:
    from agentguard.guard import Operations
    from agentguard.ledger import open_ledger

    ledger = open_ledger(path)
    try:
        yield Operations(ledger)
    finally:
        ledger.shut()


def duration(text: str, flag: str) -> timedelta:
    """``250ms``, ``10s``, ``5m``, ``2h``, ``1d``. Raises ConfigurationError on anything else."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{flag}: `{text}` is not a duration; expected such as 10s, 5m, 2h or 1d")
    if int(found[1]) > LONGEST // _UNITS[found[2]]:
        raise ConfigurationError(f"{flag}: `{text}` is longer than {LONGEST.days} days")
    return int(found[1]) * _UNITS[found[2]]


def moment(text: str, flag: str, now: datetime) -> datetime:
    """An RFC 3339 time with a zone, or a duration that means so long ago. Raises ConfigurationError."""
    try:
        if _DURATION.fullmatch(text):
            return now - duration(text, flag)
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None and "T" in text:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(
        f"{flag}: `{text}` is not a time; expected such as 2026-11-24T12:00:00Z, or 10m for ten minutes ago"
    )


def parse_object(text: str, flag: str) -> dict[str, Json]:
    """A JSON object from a flag, or from the file after ``@``. Raises ConfigurationError, without the value."""
    wanted = "a JSON object, such as '{\"rows\": 5}'"
    found = parse_value(text, flag, wanted)
    if not isinstance(found, dict):
        raise ConfigurationError(f"{flag}: expected {wanted}")
    return found


def parse_value(text: str, flag: str, wanted: str = "JSON") -> Json:
    """Any JSON from a flag, or from the file after ``@``. Raises ConfigurationError, without the value."""
    from agentguard.core.canonical import NotCanonical, parse_json

    try:
        found: Json = parse_json(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except NotCanonical as error:
        raise ConfigurationError(f"{flag}: {error}; expected {wanted}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise ConfigurationError(f"{flag}: `{text[1:]}` cannot be read ({why})") from None
    return found


def reason_given(why: str) -> str:
    """What stands in the record. Raises ConfigurationError where it is too long to be a reason."""
    from agentguard.guard import said

    return said.reason(why, "--why")


def choice(word: str, words: Iterable[str], flag: str) -> str:
    """One of a few words. Raises ConfigurationError with all of them."""
    allowed = list(words)
    if word not in allowed:
        raise ConfigurationError(f"{flag}: `{word}` is not one of {', '.join(allowed)}")
    return word


def console(*, wide: bool = False) -> Console:
    """Standard output, coloured where a person looks at it. A pipe gets lines wide enough to keep columns apart."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else (160 if wide else 100)
    return Console(highlight=False, markup=False, emoji=False, width=width, soft_wrap=not wide)


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A table of texts that have not been escaped yet."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(display.shown(cell), COLOURS.get(cell, "")) for cell in row))
    console(wide=True).print(drawn)


def id_table(headings: Iterable[str], cells: Iterable[Iterable[str]]) -> None:
    """As ``table``, for rows that begin with an id to be copied: where the screen is too narrow for all of it, the id
    has a line of its own, and the rest stands under it."""
    from rich.text import Text

    given = [list(row) for row in cells]
    shown = [[display.shown(cell) for cell in row] for row in given]
    names = list(headings)
    widths = [max(map(len, column)) for column in zip(names, *shown, strict=True)]
    out = console(wide=True)
    if sum(widths) + 2 * (len(widths) - 1) <= out.width:
        table(names, given)
        return
    out.print(Text("  ".join(names), "bold"))
    for first, *rest in shown:
        out.print(Text(first))
        out.print(Text.assemble("  ", *((f"{cell}  ", COLOURS.get(cell, "")) for cell in rest)))


def rows(pairs: Iterable[tuple[str, str]]) -> None:
    """Labels and texts, one a line. The texts are escaped already; no value can begin a line or imitate a label."""
    from rich.text import Text

    out = console()
    for label, text in pairs:
        out.print(Text.assemble((f"{label:<18}", "bold"), " ", (text, COLOURS.get(text.partition(",")[0], ""))))


def line(text: str) -> None:
    """One of our own sentences, which may quote what others wrote."""
    typer.echo(display.plain(text))


def print_json(data: Any) -> None:
    """One line of JSON."""
    typer.echo(display.machine(data))


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal while something big is worked on: call it with (done, in all). Nothing in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bar:
        task = bar.add_task(display.plain(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def seconds(value: float, flag: str) -> timedelta:
    """A number of seconds. Raises ConfigurationError for one that cannot be used."""
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise ConfigurationError(f"{flag}: `{value}` is not a number of seconds that can be used") from None


def point_in_time(value: float | None, flag: str) -> datetime:
    """Seconds since 1970, or now. Raises ConfigurationError for what is no time."""
    try:
        return now_utc() if value is None else datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise ConfigurationError(f"{flag}: `{value}` is not a time in seconds since 1970") from None


def now_utc() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)
