"""The reasons of decisions in words, from ``reasons.yaml``, and the page of the documentation made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from agentguard.core.reasons import Reason

TURNS = ("workflow owner", "developer", "security", "operations", "approver", "nobody")


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """One reason in words. ``turn`` is who can change the answer; ``controls`` maps a framework to its control ids."""

    means: str
    turn: str
    controls: Mapping[str, tuple[str, ...]]


@cache
def reasons() -> Mapping[Reason, ReasonInfo]:
    """Every reason a decision can give, in the order of the file, with what it means. Read on first use."""
    return MappingProxyType({Reason(code): _info(entry) for code, entry in _file()["reasons"].items()})


def reasons_page() -> str:
    """The page ``docs/reasons.md``: all reasons, by whose turn it is, and the titles of the controls."""
    parts = [_HEAD]
    for turn in TURNS:
        rows = [_row(code, info) for code, info in reasons().items() if info.turn == turn]
        parts += [f"## {_TITLES[turn]}\n", "| Code | What it means | Controls |", "| --- | --- | --- |", *rows, ""]
    parts.append("## The controls\n")
    for framework in _file()["frameworks"].values():
        parts.append(f"**{framework['title']}**\n")
        parts += [f"- `{control}` {title}" for control, title in framework["controls"].items()]
        parts.append("")
    return "\n".join(parts)


_HEAD = """# Reasons

Every decision names its reasons by these codes. They are for ever: codes are added, never renamed. A model never sees
them; they stand in the record (`agentguard audit show`). The list is made from `agentguard/audit/reasons.yaml`.
"""

_TITLES = {
    "workflow owner": "The workflow owner's turn",
    "developer": "The developer's turn",
    "security": "Security's turn",
    "operations": "Operations' turn",
    "approver": "An approver's turn",
    "nobody": "Nobody's turn: the guard did its work",
}


def _row(code: Reason, info: ReasonInfo) -> str:
    controls = ", ".join(control for ids in info.controls.values() for control in ids)
    return f"| `{code}` | {info.means} | {controls} |"


def _info(entry: Mapping[str, Any]) -> ReasonInfo:
    controls = {framework: tuple(ids) for framework, ids in entry["controls"].items()}
    return ReasonInfo(entry["means"], entry["turn"], MappingProxyType(controls))


@cache
def _file() -> Mapping[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("reasons.yaml").read_text("utf-8"))
    return found
