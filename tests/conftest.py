"""What every test shares: which sources are tested, the long form behind ``--nightly``, a profile for each form."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tested_sources import wrong_sources

import agentguard

# The same examples on every run, so that a red build is red for everybody; the nightly form looks for new ones.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the long form of the tests too")


def pytest_configure(config: pytest.Config) -> None:
    wrong = wrong_sources(Path(agentguard.__file__ or ""), os.environ)
    if wrong is not None:
        raise pytest.UsageError(wrong)
    settings.load_profile("nightly" if config.getoption("--nightly") else "ci")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--nightly"):
        return
    skip = pytest.mark.skip(reason="the long form; run with --nightly")
    for item in items:
        if item.get_closest_marker("nightly") is not None:
            item.add_marker(skip)
