"""The console as people start it: where it listens, what it prints, and what it refuses to be."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .conftest import Call, hears_interrupts

_COMMAND = [sys.executable, "-c", "import sys; from agentguard.cli import main; sys.exit(main())", "console"]


def test_it_prints_a_link_that_signs_in_and_ends_with_ctrl_c(store: Path) -> None:
    command = [*_COMMAND, "--ledger", str(store), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hears_interrupts) as console:
        assert console.stdout is not None
        said = console.stdout.readline() + console.stdout.readline()
        found = re.fullmatch(
            r"the console is at (http://localhost:\d+)\nsign in, once, within ten minutes: (\1/sign-in/link/[\w-]+)\n",
            said,
        )
        assert found is not None, said
        origin, link = found.groups()
        with urllib.request.urlopen(link, timeout=20) as page:
            assert b"Sign in" in page.read()
        send = urllib.request.Request(link, b"", {"Origin": origin})
        with urllib.request.urlopen(send, timeout=20) as page:
            assert "__Host-agentguard=" in str(page.headers) or page.url.startswith(f"{origin}/sign-in")
        with pytest.raises(urllib.error.HTTPError) as again:
            urllib.request.urlopen(send, timeout=20)
        assert again.value.code == 403
        console.send_signal(signal.SIGINT)
        assert console.wait(timeout=30) in (0, -signal.SIGINT, 130)


def test_nobody_else_of_this_machine_listens_in_its_place(store: Path, call: Call) -> None:
    """A browser takes `localhost` for either loopback address, and may ask the other one first."""
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with taken:
        ended = call("console", "--ledger", store, "--port", taken.getsockname()[1])
    assert ended.code == 2
    assert "cannot listen on `::1`" in ended.err


@pytest.mark.parametrize(("arguments", "says"), [
    (["--host", "0.0.0.0"], "is not loopback, so sessions would go in the clear"),
    (["--certificate", "c.pem"], "belong together"),
    (["--origin", "http://console.example"], "must begin with https://"),
    (["--origin", "console.example"], "is no origin"),
])  # fmt: skip
def test_what_it_refuses_to_be(store: Path, call: Call, arguments: list[str], says: str) -> None:
    ended = call("console", "--ledger", store, "--port", "0", *arguments)
    assert ended.code == 2
    assert says in ended.err


def test_it_needs_a_ledger_that_is_there_and_a_bundle_that_loads(store: Path, tmp_path: Path, call: Call) -> None:
    assert "there is no ledger" in call("console", "--ledger", tmp_path / "none").err
    assert call("console", tmp_path / "nothing", "--ledger", store, "--port", "0").code != 0
