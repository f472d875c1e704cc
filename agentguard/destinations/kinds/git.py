"""The kind ``git``: one repository on one host, whichever protocol reaches it.

``https://github.com/Owner/repo.git``, ``ssh://git@github.com/owner/repo`` and ``git@github.com:owner/repo.git`` are
``github.com/owner/repo`` (hosting services do not tell case apart). Local paths, remote names, helpers (``ext::``) and
everything that git could take for an option are refused.

Patterns: ``github.com/owner/*``, ``github.com/owner/repo``, ``*.example.com/*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind
from agentguard.destinations.kinds.hosts import canonical_host, canonical_port, host_pattern, wildcards
from agentguard.destinations.kinds.segments import check_path_pattern, path_keys

MAX_LENGTH = 2048
_URL = re.compile(
    r"(?i:(https|ssh|git\+ssh))://(?:([A-Za-z0-9_.-]+)@)?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])(?::([0-9]+))?/(.+)"
)
_AUTHORITY = re.compile(r"(?i:https|ssh)://([^/?#]*)")
_SCP = re.compile(r"(?:([A-Za-z0-9_][A-Za-z0-9_.-]*)@)?([A-Za-z0-9][A-Za-z0-9_.-]*\.[A-Za-z0-9_.-]+):([^/].*)")
_HELPER = re.compile(r"[^/:]*::")
_PATH = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~][A-Za-z0-9_.~-]*)*")
# These two put the name of the user, or of the organisation, into the addresses that they show.
_NAMES_ITS_USERS = frozenset({"bitbucket.org", "dev.azure.com"})
_USER = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PORTS = {"https": "443", "ssh": "22"}


class _Git(TextKind):
    name = "git"
    max_per_call = 64
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        if _HELPER.match(text):
            return Ambiguous("remote_helper")
        if text.startswith("-"):
            return Ambiguous("looks_like_an_option")
        found = _parts(text)
        if isinstance(found, Ambiguous):
            return found
        raw_host, raw_path = found
        path = raw_path.lower().rstrip("/").removesuffix(".git")
        if _PATH.fullmatch(path) is None or "//" in raw_path or path.endswith(".git"):
            return Ambiguous("not_a_repository")
        return self.place(f"{raw_host}/{path}", host=raw_host, path=f"/{path}")

    def place_from_id(self, identity: str) -> Place | None:
        derived = self.derive(f"ssh://{identity}", {})
        return None if isinstance(derived, Ambiguous) else derived[0]

    def pattern_key(self, pattern: str) -> str:
        host, slash, path = pattern.partition("/")
        if not slash or pattern != pattern.lower() or pattern.endswith(".git"):
            raise ValueError(f"`{pattern}` is not a repository pattern; expected such as `github.com/owner/*`")
        name, colon, port = host.partition(":")
        host_pattern(name)
        if colon and isinstance(canonical_port(port), Ambiguous):
            raise ValueError(f"`{pattern}` has no valid port; expected 1 to 65535")
        if host.startswith("*") and path != "*":
            raise ValueError(f"`{pattern}` has a wildcard host and a path; write `/*`, or name the host")
        return host + check_path_pattern("/" + path)

    def place_keys(self, place: Place) -> Iterable[str]:
        host = place.parts["host"]
        for path in path_keys(place.parts["path"]):
            yield host + path
        for wildcard in wildcards(host):
            yield f"{wildcard}/*"


def _parts(value: str) -> tuple[str, str] | Ambiguous:
    """Host (with a port that is not the protocol's own) and path."""
    match = _URL.fullmatch(value)
    if match is None:
        web = _AUTHORITY.match(value)
        if web is not None:
            return Ambiguous("userinfo" if "@" in web[1] else "not_a_remote_address")
        return _scp_parts(value)
    scheme, user, raw_host, raw_port, path = match.groups()
    # What git calls ssh, too.
    scheme = scheme.lower().removeprefix("git+")
    # In a web address this would be a token; in ssh it is the account that git logs in with.
    if (
        user is not None
        and scheme == "https"
        and (raw_host.lower() not in _NAMES_ITS_USERS or not _USER.fullmatch(user))
    ):
        return Ambiguous("userinfo")
    if user is not None and user.startswith("-"):
        return Ambiguous("looks_like_an_option")
    host = canonical_host(raw_host)
    if isinstance(host, Ambiguous):
        return host
    port = canonical_port(raw_port) if raw_port else _PORTS[scheme]
    if isinstance(port, Ambiguous):
        return port
    return host if port == _PORTS[scheme] else f"{host}:{port}", path


def _scp_parts(value: str) -> tuple[str, str] | Ambiguous:
    match = _SCP.fullmatch(value)
    if match is None or "://" in value:
        return Ambiguous("scheme_not_allowed" if "://" in value else "not_a_remote_address")
    host = canonical_host(match[2])
    return host if isinstance(host, Ambiguous) else (host, match[3])


GIT = _Git()
