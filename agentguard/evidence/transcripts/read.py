"""Runs out of a file of transcripts: JSON lines of one format, read once, with no more held than is looked at."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agentguard.core.canonical import NotCanonical, parse_json
from agentguard.errors import ConfigurationError
from agentguard.evidence.sample import rank
from agentguard.evidence.traffic import PastCall, PastRun, Ran
from agentguard.evidence.transcripts.events import Called, NotATranscript, Trace, wrong
from agentguard.evidence.transcripts.formats import FORMATS, Format
from agentguard.guard.result_paths import ResultPath
from agentguard.guard.seen_in import SeenIn

# One line may hold a whole conversation; JSON itself is bounded by `parse_json`.
MAX_LINE = 8 * 1024 * 1024

Outsiders = Callable[[str], tuple[ResultPath, ...]]


class _Held:
    """The traces that are looked at: those of the lowest rank, and never more than so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.traces: dict[str, Trace] = {}
        self._highest: int | None = None
        self.begun = 0

    def __call__(self, name: str) -> Trace | None:
        if name in self.traces:
            return self.traces[name]
        mine = rank(name)
        if len(self.traces) >= self._most:
            if self._highest is None:
                self._highest = max(map(rank, self.traces))
            if mine >= self._highest:
                return None
            del self.traces[next(known for known in self.traces if rank(known) == self._highest)]
            self._highest = None
        self.traces[name] = Trace(name)
        return self.traces[name]


def read_transcripts(
    file: Path,
    named: str,
    most: int,
    outsiders: Outsiders,
    on_bytes: Callable[[int, int], None] | None = None,
) -> list[PastRun]:
    """The runs of one file. ``named``: its format, or ``auto``. ``outsiders``: where they can write in what a tool
    returns. ``on_bytes`` hears (read, in all). Raises ConfigurationError with file and line."""
    held = _Held(most)
    form: Format | None = None if named == "auto" else FORMATS[named]
    for number, line in _lines(file, on_bytes):
        try:
            data = parse_json(line.decode("utf-8"))
        except UnicodeDecodeError:
            raise wrong(str(file), number, "is not UTF-8 text; save it as UTF-8") from None
        except NotCanonical as error:
            raise wrong(str(file), number, f"is not a line of JSON: {error}; export it again as JSON lines") from None
        if form is None:
            form = _detected(data, str(file), number)
        if not form.fits(data):
            meant = next(name for name, known in FORMATS.items() if known is form)
            raise wrong(str(file), number, f"is not as the lines before it: expected {_EXPECTED[meant]}")
        try:
            form.read(data, number, held)
        except NotATranscript as error:
            raise wrong(str(file), number, str(error)) from None
    if form is None:
        raise ConfigurationError(f"`{file}` holds no lines; expected JSON lines, one message or trace each")
    return [_run(trace, file, outsiders) for trace in held.traces.values() if trace.calls]


_EXPECTED = {
    "openai": "`messages`, a list of OpenAI messages",
    "langsmith": "a LangSmith run with `run_type`",
    "otel": "an OpenTelemetry span with `name` and `attributes`, or `resourceSpans`",
    "mcp": "a JSON-RPC message with `jsonrpc`, or one under `message`",
}


def _detected(data: Any, file: str, number: int) -> Format:
    for form in FORMATS.values():
        if form.fits(data):
            return form
    raise wrong(file, number, f"is in no format that is known; expected {'; or '.join(_EXPECTED.values())}")


def _lines(file: Path, on_bytes: Callable[[int, int], None] | None) -> Iterator[tuple[int, bytes]]:
    try:
        state = file.stat()
        if not stat.S_ISREG(state.st_mode):
            raise ConfigurationError(f"`{file}` is not a regular file; name a file of JSON lines")
        done = 0
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise wrong(
                        str(file),
                        number,
                        f"is longer than {MAX_LINE} bytes; leave it out, or export shorter conversations",
                    )
                done += len(line)
                if on_bytes is not None and number % 200 == 0:
                    on_bytes(done, state.st_size)
                if line.strip():
                    yield number, line.strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise ConfigurationError(f"`{file}` cannot be read ({why}); check the name, and that you may read it") from None


def _run(trace: Trace, file: Path, outsiders: Outsiders) -> PastRun:
    calls = sorted(trace.calls, key=lambda called: called.order)
    seen = SeenIn()
    run = PastRun(f"{file.name}:{trace.id}", "", requester=trace.requester, inputs=dict(trace.inputs))
    for called in calls:
        run.started = run.started or called.at
        given = called.arguments or {}
        run.calls.append(
            PastCall(
                tool=called.tool,
                arguments=given,
                ran=_ran(called),
                at=called.at,
                hidden=frozenset() if called.arguments is not None else frozenset({""}),
                seen_in=_told(seen.of(given, trace.inputs)),
                where=f"{file.name}:{called.line}",
            )
        )
        if called.returned:
            seen.remember(called.tool, called.result, given, outsiders(called.tool))
    return run


def _told(found: dict[str, list[str]] | None) -> dict[str, tuple[str, ...]] | None:
    return None if found is None else {name: tuple(paths) for name, paths in found.items()}


def _ran(called: Called) -> Ran:
    if called.failed:
        return Ran.FAILED
    return Ran.SUCCEEDED if called.returned and called.arguments is not None else Ran.UNKNOWN


# Of a tool that nobody has declared, all that it returned.
EVERYTHING: tuple[ResultPath, ...] = ((),)
