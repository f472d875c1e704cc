"""For tests: a guard that needs nothing, a clock that obeys, and the pytest plugin that runs decision cases.

The plugin is found by pytest where agentguard is installed. It collects every ``*.cases.yaml`` that begins with
``apiVersion: agentguard/…``, one test a case, and judges it by the bundle in the nearest directory above it that holds
policy files. The fakes need no pytest, and nothing here turns a check off.
"""

from __future__ import annotations

from agentguard.testing.fakes import FakeClock, in_memory_guard
from agentguard.testing.plugin import pytest_collect_file as pytest_collect_file

__all__ = ["FakeClock", "in_memory_guard"]
