"""Which runs nothing is learnt from: those that break what most agree on, or do what few do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agentguard.evidence.learn.arguments import HIDDEN, Explained, Use, is_nothing, visible
from agentguard.evidence.learn.learnt import Tooling
from agentguard.evidence.traffic import PastCall, PastRun

# What a tool that more than reads does on its own account must be usual: done in one of three runs.
USUAL = 1 / 3


def uses_of(name: str, calls: Iterable[tuple[PastRun, PastCall]]) -> list[Use]:
    """Each value of an argument."""
    found = []
    for run, call in calls:
        if name in call.arguments:
            value = call.arguments[name]
            hidden = name in call.hidden or not visible(value)
            places = None if call.seen_in is None else call.seen_in.get(name, ())
            found.append(Use(run.id, HIDDEN if hidden else value, places))
    return found


def set_aside(
    runs: Sequence[PastRun],
    used: Mapping[str, Sequence[tuple[PastRun, PastCall]]],
    sources: Mapping[str, Mapping[str, Explained | None]],
    tools: Mapping[str, Tooling],
) -> dict[str, str]:
    """Rule 1, with the reason for each."""
    aside: dict[str, str] = {}
    for tool, calls in sorted(used.items()):
        within = {run.id for run, _ in calls}
        for name, source in sources[tool].items():
            if source is not None:
                said = f"`{tool}` got `{name}` from elsewhere than {' or '.join(source.words)}"
                aside |= dict.fromkeys(sorted(source.breaks - aside.keys()), said)
        if tools[tool].reads or len(within) >= USUAL * len(runs):
            continue
        explained = all(
            (source is not None and source.words[0].startswith("inputs.")) or _only_nothing(uses_of(name, calls))
            for name, source in sources[tool].items()
        )
        if not explained or not sources[tool]:
            for run in within:
                aside.setdefault(run, f"`{tool}` was called in {len(within)} of {len(runs)} runs only")
    # Where nearly everybody is, nobody is the exception: then all are asked about.
    return aside if len(aside) <= len(runs) / 2 else {}


def _only_nothing(uses: Sequence[Use]) -> bool:
    return all(use.value is not HIDDEN and is_nothing(use.value) for use in uses)
