"""The kind ``url``: a web address that every client takes to the same host.

The text is read twice: by the closed grammar below, and by a browser-grade parser (WHATWG URL). Only what
both read alike has a canonical form. Options: ``schemes`` (default ``[http, https]``), and ``default_scheme``, which an
address without one is given (``example.com/x``).

Servers differ in what they make of ``%2F``, ``//`` and ``;`` in a path. An address with one of them is refused unless
an entry of the catalog that covers it promises ``paths_as_written``: the host takes ``%2F`` and ``;`` for letters and
``//`` for an empty segment.

Patterns: ``https://api.example.com/reports/*``, ``https://api.example.com:8443/status``,
``https://*.example.com/*``. Scheme and port are exact; a wildcard host covers every path. An exact host beats
a wildcard, a longer path a shorter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from ada_url import URL

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind, make_place, option_words, unknown_options
from agentguard.destinations.kinds.hosts import canonical_host, canonical_port, host_pattern, wildcards
from agentguard.destinations.kinds.segments import check_path_pattern, path_keys
from agentguard.destinations.text import is_plain_text

# Longer than any server accepts by default (nginx and Apache stop at 8 KiB).
MAX_LENGTH = 8192
PROMISE = "paths_as_written"
DEFAULT_SCHEMES = frozenset({"http", "https"})
DEFAULT_PORTS: Mapping[str, str] = MappingProxyType(
    {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
)

_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([A-Za-z0-9._\x80-\U0010ffff-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]+))?"
    r"(/[^?#]*)?(\?[^#]*)?(?:#.*)?"
)
# What is spelled one way only and needs no further reading.
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~!$&()+,=:@-][A-Za-z0-9._~!$&()+,=:@-]*)*/?")
_PLAIN_QUERY = re.compile(r"(?:\?[A-Za-z0-9._~!$&()+,;=:@/?-]+)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_NOT_IN_PATH = re.compile(r"[^A-Za-z0-9._~!$&()+,;=:@/%-]")
_NOT_IN_QUERY = re.compile(r"[^A-Za-z0-9._~!$&()*+,;=:@/?%\[\]-]")
# An escaped separator or dot is read as the real thing by some servers, and as a letter by others.
_ESCAPED_STRUCTURE = re.compile(r"%(?:2e|5c|3b)", re.IGNORECASE)
_ESCAPED_SLASH = re.compile(r"%2f", re.IGNORECASE)
# Some servers decode twice.
_DOUBLE_ESCAPE = re.compile(r"%25[0-9A-Fa-f]{2}")
_SEGMENTS = re.compile(r"/|%2f", re.IGNORECASE)
# Clients escape a space in a query alike; anywhere else they differ.
_SPACE = re.compile(r"^[^?]* |^ | $")
_NO_SCHEME = re.compile(
    r"(?:[A-Za-z0-9_\x80-\U0010ffff-]+(?:\.[A-Za-z0-9_\x80-\U0010ffff-]+)+|localhost|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
    r"(?:[/?#].*)?"
)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class _Url(TextKind):
    name = "url"
    options = frozenset({"schemes", "default_scheme"})
    rewrites_argument = True
    max_length = MAX_LENGTH
    promises = frozenset({PROMISE})

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        default = options.get("default_scheme")
        if default is not None and _NO_SCHEME.fullmatch(text):
            text = f"{default}://{text}"
        place = read_url(text, option_words(options, "schemes", DEFAULT_SCHEMES) or DEFAULT_SCHEMES)
        return place if isinstance(place, Ambiguous) else (place,)

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        schemes = option_words(options, "schemes", DEFAULT_SCHEMES)
        if schemes is None or not schemes <= DEFAULT_PORTS.keys():
            return f"`schemes` must be a list of some of {', '.join(sorted(DEFAULT_PORTS))}"
        default = options.get("default_scheme")
        if default is not None and default not in schemes:
            return f"`default_scheme` must be one of {', '.join(sorted(schemes))}"
        return unknown_options(options, self.options)

    def place_from_id(self, identity: str) -> Place | None:
        place = read_url(identity, frozenset(DEFAULT_PORTS))
        return place.unless_promised if isinstance(place, Ambiguous) else place

    def pattern_key(self, pattern: str) -> str:
        match = re.fullmatch(r"([a-z]+)://([^/?#@]+?)(?::([0-9]+))?(/[^?#]*)", pattern)
        if match is None or match[1] not in DEFAULT_PORTS:
            raise ValueError(f"`{pattern}` is not a URL pattern; expected such as `https://api.example.com/reports/*`")
        scheme, host, port, path = match.groups()
        host_pattern(host)
        if port is not None and isinstance(canonical_port(port), Ambiguous):
            raise ValueError(f"`{pattern}` has no valid port; expected 1 to 65535")
        if host.startswith("*") and path != "/*":
            raise ValueError(f"`{pattern}` has a wildcard host and a path; write `/*`, or name the host")
        check_path_pattern(path)
        if path.endswith("/*") and "//" in path:
            raise ValueError(f"`{pattern}` has an empty segment; end the pattern before it")
        decoded = _pattern_path(path)
        return f"{scheme}://{host}:{port or DEFAULT_PORTS[scheme]}{decoded}"

    def place_keys(self, place: Place) -> Iterable[str]:
        parts = place.parts
        scheme, host, port = parts["scheme"], parts["host"], parts["port"]
        origin = f"{scheme}://{host}:{port}"
        for path in path_keys(parts["path"]):
            yield origin + path
        for wildcard in wildcards(host):
            yield f"{scheme}://{wildcard}:{port}/*"

    def promise_problem(self, pattern: str, promises: frozenset[str]) -> str | None:
        path = pattern.partition("://")[2].partition("/")[2]
        if PROMISE not in promises and _doubt(f"/{path}") is not None:
            return (
                f"`{pattern}` has `%2F`, `//` or `;` in its path, which servers read in different ways; add "
                f"`promises: [{PROMISE}]` where this host takes paths as they are written"
            )
        return None

    def doubt(self, place: Place, promises: Iterable[frozenset[str]]) -> str | None:
        found = place.parts.get("doubt")
        return None if found is None or any(PROMISE in one for one in promises) else found


def read_url(value: str, schemes: frozenset[str] = DEFAULT_SCHEMES) -> Place | Ambiguous:
    """The one place a URL names, or why there is none."""
    if len(value) > MAX_LENGTH:
        return Ambiguous("too_long")
    match = _URL.fullmatch(value)
    if match is None or "\\" in value or not value.isprintable() or _SPACE.search(value):
        return Ambiguous(_why_not_a_url(value, schemes))
    raw_scheme, raw_host, raw_port, raw_path, raw_query = match.groups("")
    scheme = raw_scheme.lower()
    if scheme not in schemes:
        return Ambiguous("scheme_not_allowed")
    host = canonical_host(raw_host)
    if isinstance(host, Ambiguous):
        return host
    port = canonical_port(raw_port) if raw_port else DEFAULT_PORTS[scheme]
    if isinstance(port, Ambiguous):
        return port
    read = _canonical_path(raw_path or "/")
    if isinstance(read, Ambiguous):
        return read
    path, decoded = read
    query = _canonical_query(raw_query)
    if isinstance(query, Ambiguous):
        return query
    shown_port = "" if port == DEFAULT_PORTS[scheme] else f":{port}"
    canonical = f"{scheme}://{host}{shown_port}{path}{query}"
    if not _second_reader_agrees(value, canonical, scheme, host, shown_port):
        return Ambiguous("parsers_disagree")
    parts = {"scheme": scheme, "host": host, "port": port, "path": decoded, "query": query[1:]}
    doubt = _doubt(path)
    if doubt is not None:
        return Ambiguous(doubt, make_place("url", canonical, **parts, doubt=doubt))
    return make_place("url", canonical, **parts)


def _second_reader_agrees(value: str, canonical: str, scheme: str, host: str, shown_port: str) -> bool:
    """Whether the WHATWG parser takes the original to the same host, and leaves the canonical form as it
    is."""
    try:
        if URL(canonical).href != canonical:
            return False
        if value == canonical:
            return True
        read = URL(value)
        return bool(read.protocol == f"{scheme}:" and read.host == host + shown_port and not read.username)
    except (ValueError, UnicodeError):
        return False


def _canonical_path(path: str) -> tuple[str, str] | Ambiguous:
    """The path as sent, and as servers decode it."""
    if _PLAIN_PATH.fullmatch(path):
        return path, path
    problem = _path_problem(path)
    if problem is not None:
        return Ambiguous(problem)
    try:
        # An escaped slash that is a letter stays apart from a slash.
        decoded = unquote_to_bytes(_ESCAPED_SLASH.sub("%252F", path)).decode("utf-8")
    except UnicodeError:
        # Overlong forms such as %c0%ae are an old way past a check for `..`.
        return Ambiguous("not_utf8")
    if not decoded.isprintable():
        return Ambiguous("control_character")
    if not is_plain_text(decoded):
        return Ambiguous("compatibility_character")
    return _respell(path, _NOT_IN_PATH), decoded


def _path_problem(path: str) -> str | None:
    if path.startswith("//"):
        return "empty_segment"
    # Also for a server that takes `%2F` for a slash, and one that cuts `;name=value` out of a segment.
    if any(segment.partition(";")[0] in (".", "..") for segment in _SEGMENTS.split(path)):
        return "dot_segment"
    if _BAD_ESCAPE.search(path):
        return "bad_escape"
    if _ESCAPED_STRUCTURE.search(path):
        return "escaped_separator"
    if _DOUBLE_ESCAPE.search(path):
        return "double_escape"
    return None


def _doubt(path: str) -> str | None:
    """What servers differ in, if a path has it."""
    if "//" in path:
        return "empty_segment"
    # Java servers cut `;name=value` out of a segment before they look it up.
    if ";" in path:
        return "path_parameter"
    return "escaped_separator" if _ESCAPED_SLASH.search(path) else None


def _canonical_query(query: str) -> str | Ambiguous:
    if _PLAIN_QUERY.fullmatch(query):
        return query
    if query == "?":
        return ""
    if _BAD_ESCAPE.search(query):
        return Ambiguous("bad_escape")
    return _respell(query, _NOT_IN_QUERY, keep_first=True)


def _respell(text: str, foreign: re.Pattern[str], keep_first: bool = False) -> str:
    """One spelling of each escape: unreserved characters plain, everything foreign escaped, hex in upper
    case."""
    text = _ESCAPE.sub(_respell_escape, text)
    head, rest = (text[:1], text[1:]) if keep_first else ("", text)
    return head + foreign.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8")), rest)


def _respell_escape(found: re.Match[str]) -> str:
    byte = int(found[1], 16)
    return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"


def _pattern_path(path: str) -> str:
    body, star = (path[:-1], "*") if path.endswith("/*") else (path, "")
    read = _canonical_path(body)
    if isinstance(read, Ambiguous):
        raise ValueError(f"the path `{path}` could not be matched ({read.reason}); write it plainly")
    return read[1] + star


# Only for the words of a refusal: whatever comes here is refused already.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def _why_not_a_url(value: str, schemes: frozenset[str]) -> str:
    if not value:
        return "empty"
    if not value.isprintable():
        return "control_character"
    if _SPACE.search(value):
        return "whitespace"
    scheme = _SCHEME.match(value)
    if scheme is None:
        return "no_scheme"
    if scheme[1].lower() not in schemes:
        return "scheme_not_allowed"
    if "\\" in value:
        return "backslash"
    authority = _AUTHORITY.match(value)
    if authority is None:
        return "no_slashes"
    return _authority_problem(authority[1])


def _authority_problem(authority: str) -> str:
    if "@" in authority:
        return "userinfo"
    if authority.startswith("[") and "]" not in authority:
        return "not_a_host_name"
    host = authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]
    if host in ("", "[]"):
        return "empty_host"
    if "%" in host:
        return "zone_id" if host.startswith("[") else "percent_encoded_host"
    if not host.isascii():
        return "non_ascii_host"
    return "bad_port" if isinstance(canonical_host(host), str) else "not_a_host_name"


URL_KIND = _Url()
