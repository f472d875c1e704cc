"""Whether what is installed is what agentguard was tested with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import yaml

from agentguard.evidence.doctor.finding import Finding, Severity

_RELEASE = re.compile(r"(?:[0-9]+!)?([0-9]+(?:\.[0-9]+)*)")


@lru_cache(maxsize=1)
def known_versions() -> Mapping[str, tuple[str, str]]:
    """By package: the lowest version that works, and the newest one that was tested."""
    text = (Path(__file__).parent / "tested.yaml").read_text("utf-8")
    return {name: (str(low), str(high)) for name, (low, high) in yaml.safe_load(text).items()}


def version_findings(installed: Callable[[str], str] = metadata.version) -> Iterator[Finding]:
    """Packages that are older than what works, or of a later major release than was tested."""
    for name, (low, high) in known_versions().items():
        try:
            found = installed(name)
        except metadata.PackageNotFoundError:
            continue
        if _parts(found) < _parts(low):
            yield Finding(
                Severity.WEAK,
                f"version {found} is older than {low}, the lowest that was tested",
                name,
                f'pip install "{name}>={low}"',
            )
        elif _major(found) > _major(high):
            yield Finding(
                Severity.WEAK,
                f"version {found} is a later major release than {high}, the newest tested",
                name,
                f'pip install "{name}<{_major(high) + 1}", or test agentguard with it',
            )


def _parts(version: str) -> tuple[int, ...]:
    found = _RELEASE.match(version)
    numbers = [int(part) for part in found[1].split(".")] if found is not None else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _major(version: str) -> int:
    return _parts(version)[0]
