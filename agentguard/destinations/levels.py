"""What the words of other catalogs mean here, from ``levels.yaml``. A word that is not there is never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from agentguard.core.values import Sensitivity
from agentguard.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Levels:
    """One catalog's words. ``unknown`` are those that say that nobody has classified a thing."""

    levels: Mapping[str, Sensitivity]
    unknown: frozenset[str]

    def of(self, word: str) -> Sensitivity | None:
        """The level a word means, or None for one that means none. Raises ValueError for every other word."""
        if word in self.unknown:
            return None
        found = self.levels.get(word)
        if found is None:
            expected = ", ".join(f"`{known}`" for known in self.levels)
            raise ValueError(
                f"`{word}` is not known here; expected {expected}; if it is yours, say what it means "
                f"(`--map '{word}=confidential'`) or that it means nothing (`--ignore '{word}'`)"
            )
        return found

    def with_more(self, mapped: Mapping[str, str], ignored: frozenset[str]) -> Levels:
        """The same with an organisation's own words. Raises ConfigurationError for one that is known already."""
        for word in (*mapped, *ignored):
            if word in self.levels or word in self.unknown or (word in mapped and word in ignored):
                raise ConfigurationError(f"`{word}` has a meaning already; docs/destinations.md lists what is known")
        try:
            more = {word: Sensitivity.parse(level) for word, level in mapped.items()}
        except ValueError as error:
            raise ConfigurationError(f"--map: {error}") from None
        return Levels(MappingProxyType({**self.levels, **more}), self.unknown | ignored)


@cache
def known_levels() -> Mapping[str, Levels]:
    """Every catalog that can be read, by name."""
    import yaml

    file = yaml.safe_load(resources.files(__package__).joinpath("levels.yaml").read_text("utf-8"))
    return MappingProxyType(
        {
            name: Levels(
                MappingProxyType({word: Sensitivity.parse(level) for word, level in entry["levels"].items()}),
                frozenset(entry["unknown"]),
            )
            for name, entry in file.items()
        }
    )
