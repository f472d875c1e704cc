"""One server for all these tests: starting and stopping one takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from signals.signals_servers import serving


class Stage:
    """A running server whose application each test puts on."""

    def __init__(self) -> None:
        self.app: Any = None
        self.port = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def the_stage() -> Iterator[Stage]:
    """The server itself."""
    made = Stage()
    with serving(made) as made.port:
        yield made


@pytest.fixture
def stage(the_stage: Stage) -> Iterator[Stage]:
    """The server, with nothing on it before and after."""
    yield the_stage
    the_stage.app = None
