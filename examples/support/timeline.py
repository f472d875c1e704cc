"""The guard's own records as a timeline in the terminal, each line printed when its record is durable."""

from __future__ import annotations

import io
import json
import threading
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentguard.display import shown

_STYLES = {"permit": "bold green", "deny": "bold red", "escalate": "bold yellow"}
_SIGNS = {"permit": "✔ permit", "deny": "✘ deny", "escalate": "? escalate"}
# An outcome is durable, and shown, a moment after its call; what is said next waits for it, but not for ever.
_MOMENT_SECONDS = 1.0
_OUTCOMES = {"succeeded": "green", "failed": "red", "unknown": "yellow"}


class Timeline(io.StringIO):
    """Pass it as ``Guard.load(log=...)``: it reads the JSON lines that any log collector would get."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(highlight=False)
        self._began: datetime | None = None
        self._rest = ""
        self._running: set[str] = set()
        self._told = threading.Condition()

    def write(self, text: str) -> int:
        """Take some of the log; show every line that is complete."""
        with self._told:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                if line.strip():
                    self._show(json.loads(line))
            self._told.notify_all()
        return len(text)

    def title(self, text: str, below: str = "") -> None:
        """A heading between acts."""
        self._let_finish()
        self.console.print()
        self.console.rule(Text(text, style="bold"), align="left")
        if below:
            self.console.print(Text(below, style="dim"))

    def note(self, sign: Text, text: Text) -> None:
        """One point of a list; what does not fit on the line goes on under its beginning."""
        row = Table.grid(padding=(0, 1))
        row.add_column(width=3, justify="right")
        row.add_column()
        row.add_row(sign, text)
        self.console.print(row)

    def say(self, who: str, text: str) -> None:
        """What somebody other than the guard says."""
        self._let_finish()
        self._line(None, Text(who, style="bold cyan"), Text(text, style="italic"))

    def _let_finish(self) -> None:
        with self._told:
            self._told.wait_for(lambda: not self._running, _MOMENT_SECONDS)

    def _show(self, record: dict[str, Any]) -> None:
        show = {"decision": self._decision, "outcome": self._outcome}.get(record["kind"])
        if show is not None:
            show(record)
        elif record["kind"] in ("run", "operation", "approval"):
            what = record["outcome"] or "asks"
            words = [record["workflow"] or record["subject"] or "", record["why"] or ""]
            if record["approved_by"]:
                words.append(f"by {', '.join(record['approved_by'])}")
            self._line(record, Text(f"• {record['kind']}", style="blue"), Text(f"{what}  {' '.join(words)}".rstrip()))
            for reason in record["reasons"]:
                self._line(None, Text(""), Text(reason, style="red"))

    def _decision(self, record: dict[str, Any]) -> None:
        effect = record["effect"]
        arguments = ", ".join(f"{shown(name)}={_leaf(value)}" for name, value in (record["arguments"] or {}).items())
        words = Text(f"{record['tool']}({arguments})")
        if record["approved_by"]:
            words.append(f"  approved by {', '.join(record['approved_by'])}", style="yellow")
        if effect == "permit":
            self._running.add(record["decision_id"])
        self._line(record, Text(_SIGNS[effect], style=_STYLES[effect]), words)
        for finding in record["findings"]:
            reason = Text(finding["reason"], style=_STYLES[finding["effect"]].removeprefix("bold "))
            reason.append(f"  {finding['detail']}", style="dim")
            self._line(None, Text(""), reason)

    def _outcome(self, record: dict[str, Any]) -> None:
        self._running.discard(record["decision_id"])
        words = Text(f"{record['tool']} {record['outcome']}", style=_OUTCOMES[record["outcome"]])
        if record["error"]:
            words.append(f"  {record['error']}", style="dim")
        self._line(record, Text("  ran", style="dim"), words)

    def _line(self, record: dict[str, Any] | None, left: Text, right: Text) -> None:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=8, style="dim", justify="right")
        row.add_column(width=11, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(self._since(record), left, right)
        self.console.print(row)

    def _since(self, record: dict[str, Any] | None) -> str:
        if record is None:
            return ""
        at = datetime.fromisoformat(record["time"])
        self._began = self._began or at
        return f"{(at - self._began).total_seconds():.3f}s"


def _leaf(value: Any) -> str:
    """An argument as it may be shown: what a model wrote must not draw on the terminal."""
    return shown(value if isinstance(value, str) else json.dumps(value))
