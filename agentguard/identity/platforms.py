"""Sources of assertions that platforms offer: SPIFFE, GitHub Actions, Kubernetes, or a command of your own.

A source only fetches. Whatever it returns is verified like any token from a stranger, so what a platform's client
library lets through (a subject outside the trust domain, no ``exp``, a trailing newline) is refused all the same.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity.sources import MAX_TEXT, AssertionRequest, FileSource, missing, one_line
from agentguard.jose.fetch import Address, ReadFailed, get
from agentguard.jose.jsontext import parse_object
from agentguard.jose.refusal import Refused

# A tool call waits for this. The agents that hand out tokens are on the same machine or network.
TIMEOUT_SECONDS = 5.0
# Where the Kubernetes pages of the docs have the token mounted.
KUBERNETES_TOKEN = "/var/run/secrets/tokens/agentguard"  # noqa: S105


class KubernetesSource(FileSource):
    """A projected service account token, which the kubelet renews in place."""

    def __init__(self, path: str | Path = KUBERNETES_TOKEN) -> None:
        super().__init__(path)


class GitHubActionsSource:
    """A job's OIDC token from the runner; the job needs ``permissions: id-token: write``."""

    may_block = True

    def __init__(self, *, environment: Mapping[str, str] | None = None, timeout: float = TIMEOUT_SECONDS) -> None:
        self._environment = os.environ if environment is None else environment
        self._timeout = timeout

    def assertion(self, request: AssertionRequest) -> str | Unavailable:
        """A token for the request's audience."""
        url = self._environment.get("ACTIONS_ID_TOKEN_REQUEST_URL")
        bearer = self._environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        if not url or not bearer:
            return missing("not in a GitHub Actions job with `permissions: id-token: write`")
        joint = "&" if "?" in url else "?"
        try:
            address = Address(f"{url}{joint}audience={quote(request.audience, safe='')}")
            headers = {"Authorization": f"Bearer {bearer}"}
            answer = parse_object(get(address, limit=4 * MAX_TEXT, deadline=self._timeout, headers=headers), "answer")
        except (ConfigurationError, ReadFailed) as error:
            return missing(str(error))
        except Refused as refusal:
            return missing(f"the runner's answer cannot be used: {refusal.detail}")
        value = answer.get("value")
        return value if isinstance(value, str) else missing("the runner's answer holds no `value`")


class CommandSource:
    """A program that prints a token. It is run without a shell, and killed with its children when it is too slow.

    It is told of the call by ``AGENTGUARD_AUDIENCE`` and ``AGENTGUARD_REQUEST_DIGEST`` in its environment.
    """

    may_block = True

    def __init__(self, command: Sequence[str], *, timeout: float = TIMEOUT_SECONDS) -> None:
        if isinstance(command, str) or not command:
            raise ConfigurationError("`command` must be a list: the program and its arguments, without a shell")
        self._command = tuple(command)
        self._timeout = timeout

    def assertion(self, request: AssertionRequest) -> str | Unavailable:
        """What the program printed on standard output, without its line end."""
        environment = os.environ | {
            "AGENTGUARD_AUDIENCE": request.audience,
            "AGENTGUARD_REQUEST_DIGEST": request.request_digest,
        }
        until = time.monotonic() + self._timeout
        with subprocess.Popen(
            self._command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        ) as process:
            data, status = _finished(process, until)
        if data is None or status != 0:
            why = "took too long or printed too much" if data is None else f"ended with status {status}"
            return missing(f"`{self._command[0]}` {why}")
        return one_line(data)


class SpiffeSource:
    """A JWT-SVID from the SPIFFE Workload API; needs ``pip install agentguard[spiffe]``.

    ``socket`` None means what ``SPIFFE_ENDPOINT_SOCKET`` names. Raises ConfigurationError without the package.
    """

    may_block = True

    def __init__(self, socket: str | None = None, *, timeout: float = TIMEOUT_SECONDS) -> None:
        try:
            import spiffe
        except ImportError:
            raise ConfigurationError("SPIFFE needs one more package: pip install agentguard[spiffe]") from None
        self._spiffe = spiffe
        self._socket = socket
        self._timeout = timeout
        self._client: Any = None
        self._lock = threading.Lock()

    def assertion(self, request: AssertionRequest) -> str:
        """A new JWT-SVID for the request's audience; for its subject, where it names one."""
        subject = None if request.subject is None else self._spiffe.SpiffeId(request.subject)
        svid = self._connected().fetch_jwt_svid(audience={request.audience}, subject=subject, timeout=self._timeout)
        return str(svid.token)

    def close(self) -> None:
        """Close the connection to the Workload API."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> Any:
        # Connected at the first call, not at import or set-up: the agent may start after us.
        with self._lock:
            if self._client is None:
                self._client = self._spiffe.WorkloadApiClient(socket_path=self._socket)
            return self._client


def _finished(process: subprocess.Popen[bytes], until: float) -> tuple[bytes | None, int | None]:
    """What a program printed, and how it ended; None where it was stopped, or nobody knows what else it would print."""
    status: int | None = None
    try:
        data = _printed(process, until)
        if data is None:
            return None, None
        status = process.wait(max(0.0, until - time.monotonic()))
        return data, status
    except subprocess.TimeoutExpired:
        return None, None
    finally:
        if status is None:
            # Its own session was made for this: its children end too. Nobody has waited for the program yet, so its
            # number is nobody else's, even if it ended long ago.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _printed(process: subprocess.Popen[bytes], until: float) -> bytes | None:
    """Everything up to the end; None where that does not come in time, or is too much."""
    if process.stdout is None:
        return None
    data = b""
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        # One byte too many is enough to know; the rest is not waited for.
        while len(data) <= MAX_TEXT and waiting.select(max(0.0, until - time.monotonic())):
            more = process.stdout.read(MAX_TEXT + 1 - len(data))
            if not more:
                return data
            data += more
    return None
