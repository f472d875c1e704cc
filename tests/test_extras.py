"""Whoever installs an extra gets releases that we know, newest or lowest, and none with a hole that has a name."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# The first release without a hole that is known, of what our extras bring along.
SAFE = {
    "starlette": "1.0.1",  # CVE-2025-62727, CVE-2026-48710
    "h11": "0.16",  # CVE-2025-43859
    "jinja2": "3.1.6",  # CVE-2025-27516
    "requests": "2.32.4",  # CVE-2024-47081
    "urllib3": "2.6.3",  # CVE-2025-66418, CVE-2025-66471, CVE-2026-21441
}

_OFFLINE = re.compile(r"error sending|dns|connect|timed out|offline|failed to fetch", re.IGNORECASE)


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_requirement_has_a_floor(extra: str) -> None:
    """Without one, a resolver that cannot have the newest takes an ancient release, and says nothing."""
    for line in EXTRAS[extra] if extra else PROJECT["dependencies"]:
        wanted = Requirement(line)
        if wanted.name != PROJECT["name"]:
            assert any(part.operator in (">=", "==", "~=") for part in wanted.specifier), line


def resolved(extra: str, resolution: str) -> dict[str, Version]:
    """What this extra installs. Skips where no index can be asked."""
    if importlib.util.find_spec("uv") is None:
        pytest.skip("uv is not installed")
    # Without its build, which needs an index of its own.
    wanted = [*PROJECT["dependencies"], *_flat(extra)]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary",
               ":all:", "--python-version", "3.11", "--resolution", resolution, "-"]  # fmt: skip
    run = subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, timeout=240)
    if run.returncode and _OFFLINE.search(run.stderr):
        pytest.skip("the package index cannot be reached")
    assert run.returncode == 0, run.stderr
    pinned = (line.partition("==") for line in run.stdout.splitlines() if "==" in line)
    return {name.partition("[")[0]: Version(version.partition(" ")[0]) for name, _, version in pinned}


def _flat(extra: str) -> list[str]:
    """The requirements of an extra, those of the extras it names included."""
    found: list[str] = []
    for line in EXTRAS[extra]:
        wanted = Requirement(line)
        found += [line] if wanted.name != PROJECT["name"] else [one for name in wanted.extras for one in _flat(name)]
    return found


@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_resolves_newest_and_lowest(extra: str, resolution: str) -> None:
    found = resolved(extra, resolution)
    for line in (*PROJECT["dependencies"], *_flat(extra)):
        wanted = Requirement(line)
        assert found[_normal(wanted.name)] in wanted.specifier, line
    for name, first in SAFE.items():
        assert found.get(name, Version(first)) >= Version(first), f"{extra}: {name} {found[name]}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
