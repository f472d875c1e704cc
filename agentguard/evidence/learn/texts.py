"""What links and addresses the free text of an argument carries, and which inputs of the run they are.

A text that few runs write a link or an address into is permitted without. Where many do, they come from an input of the
run, or it is an owner's to say: refusing what everybody writes would refuse the work, and permitting it would let
anybody's link through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from agentguard.core.text.links import Found, Link, link_key, links_in
from agentguard.core.values import Json
from agentguard.evidence.traffic import PastCall, PastRun

# Where one of four runs writes one, it belongs to the work.
USUAL = 0.25
# So many of the runs that write one must have it from the inputs that are named.
EXPLAINED = 0.95


@dataclass(frozen=True, slots=True)
class Carried:
    """The words ``links`` and ``addresses`` of an argument; without a word where an owner must say it. ``breaks``: how
    many runs carry what the words refuse."""

    words: dict[str, Any]
    breaks: int = 0

    @property
    def asks(self) -> bool:
        """Whether an owner must say where one of them may lead."""
        return len(self.words) < 2


NOTHING = Carried({"links": "none", "addresses": "none"})


def carried(name: str, calls: Iterable[tuple[PastRun, PastCall]]) -> Carried:
    """What the texts of this argument carry."""
    runs: set[str] = set()
    having: dict[str, dict[str, set[str]]] = {"links": {}, "addresses": {}}
    for run, call in calls:
        value = call.arguments.get(name)
        if not isinstance(value, str) or name in call.hidden:
            continue
        runs.add(run.id)
        for word, key in _keys(value):
            sources = {f"inputs.{given}" for given, held in (run.inputs or {}).items() if key in _held(word, held)}
            known = having[word].get(run.id)
            having[word][run.id] = sources if known is None else known & sources
    words: dict[str, Any] = {}
    breaks: set[str] = set()
    for word, found in having.items():
        often = len(found) >= USUAL * len(runs) and bool(found)
        best = max(sorted({s for each in found.values() for s in each}), key=lambda s: _runs_of(s, found), default=None)
        if not often:
            words[word] = "none"
            breaks |= found.keys()
        elif best is not None and _runs_of(best, found) >= EXPLAINED * len(found):
            words[word] = {"from": best}
            breaks |= {run for run, each in found.items() if best not in each}
    return Carried(words, len(breaks))


def _runs_of(source: str, found: dict[str, set[str]]) -> int:
    return sum(source in each for each in found.values())


def _keys(text: str) -> Iterator[tuple[str, str]]:
    """Each link and address of a text, under the word that speaks of it."""
    found = links_in(text)
    for link in (Link(Found.OTHER, ""),) if found is None else found:
        if link.found in (Found.EMAIL, Found.MENTION):
            yield "addresses", link.target.casefold()
        else:
            yield "links", link_key(link.target) or link.target


def _held(word: str, value: Json) -> set[str]:
    texts = value if isinstance(value, list) else [value]
    plain = [text.strip() for text in texts if isinstance(text, str)]
    return {text.casefold() if word == "addresses" else link_key(text) or text for text in plain}
