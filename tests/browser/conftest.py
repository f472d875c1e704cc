"""The console in a real browser: Chromium without a window, driven by Playwright. Skipped where there is none."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from server.console.conftest import Place

from agentguard.cli import serving
from agentguard.ledger import memory_ledger

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = os.environ.get("AGENTGUARD_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    # Ended with its module: while it is there, its loop runs in this thread, and no other can.
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


class Served:
    """A console that listens, and a browser to look at it with. Whatever a page complains of is noted."""

    def __init__(self, place: Place, browser: Browser) -> None:
        self.place, self.browser = place, browser
        self.complaints: list[str] = []

    def context(self, **more: Any) -> BrowserContext:
        made = self.browser.new_context(base_url=self.place.origin, **more)
        made.set_default_timeout(15_000)
        made.on("console", lambda message: self.complaints.append(message.text))
        made.on("weberror", lambda error: self.complaints.append(str(error.error)))
        return made

    def page(self, **more: Any) -> Page:
        """A page of a browser that has just been opened."""
        return self.context(**more).new_page()

    def signed_in(self, person: str = "user:ann", how: str = "link", **more: Any) -> Page:
        """A page of somebody who is signed in already."""
        context = self.context(**more)
        secret = self.place.sessions.begin(person, how)
        context.add_cookies(
            [
                {
                    "name": "__Host-agentguard",
                    "value": secret,
                    "url": "https://localhost",
                    "secure": True,
                    "httpOnly": True,
                }
            ]
        )
        return context.new_page()

    def link(self) -> str:
        assert self.place.link.make()
        return f"{self.place.origin}/sign-in/link/{self.place.links[-1]}"


@pytest.fixture
def served(browser: Browser) -> Iterator[Served]:
    ledger = memory_ledger()
    with serving.listening("localhost", 0) as sockets:
        place = Place(ledger, origin=f"http://localhost:{sockets[0].getsockname()[1]}")
        place.run()
        place.ask()
        server = serving.server(place.app, 100, None, None)
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
        thread.start()
        made = Served(place, browser)
        yield made
        for context in browser.contexts:
            context.close()
        server.should_exit = True
        thread.join(30)
    ledger.shut()
