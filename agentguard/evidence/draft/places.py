"""Which arguments name places, and of which kind: guesses from formats and names.

Nobody has listed a place yet, so each kind gets one that stands for nothing (``replace-me.example``): the draft can be
tested with it, and no real place is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentguard.core.values import Json
from agentguard.destinations import kind_names
from agentguard.evidence.draft.words import words

_BY_FORMAT = {
    "uri": "url", "iri": "url", "uri-reference": "url", "iri-reference": "url", "email": "email", "idn-email": "email",
    "hostname": "host", "idn-hostname": "host", "ipv4": "ip", "ipv6": "ip",
}  # fmt: skip
# The last words of a name, and the kind. Longer ones first.
_BY_NAME: tuple[tuple[tuple[str, ...], str], ...] = (
    *((words_, "git") for words_ in (("repo", "url"), ("repository", "url"), ("clone", "url"), ("remote", "url"))),
    *((words_, "dsn") for words_ in (("connection", "string"), ("database", "url"), ("db", "url"), ("dsn",))),
    *((words_, "object") for words_ in (("s3", "uri"), ("gcs", "uri"), ("object", "uri"), ("bucket", "uri"))),
    *((words_, "email") for words_ in (("email", "address"), ("email",), ("emails",), ("mail", "address"))),
    *((words_, "ip") for words_ in (("ip", "address"), ("ip",))),
    *((words_, "table") for words_ in (("table", "name"), ("table",))),
    *((words_, "sql") for words_ in (("sql", "query"), ("sql",))),
    *(((word,), "url") for word in ("url", "urls", "uri", "href", "link", "endpoint", "website", "webhook")),
    *(((word,), "host") for word in ("host", "hostname", "domain")),
    *(((word,), "path") for word in ("path", "paths", "filepath", "filename", "directory", "dir", "file")),
    *(((word,), "command") for word in ("command", "cmd", "argv")),
    (("iban",), "iban"),
)
_MAIL_TOOL = frozenset({"mail", "email", "gmail", "outlook", "inbox", "smtp"})
_MAIL_ARGUMENT = frozenset({"to", "cc", "bcc", "recipient", "recipients", "attendees", "participants", "invitees"})
_DATABASE_TOOL = frozenset(
    {"sql", "database", "db", "warehouse", "bigquery", "snowflake", "duckdb", "postgres", "mysql"}
)
_SERVICES = frozenset({"slack", "discord", "telegram", "teams", "mattermost", "matrix", "irc", "webex"})
# Whom something is told, or what is handed over. A tool that only reads tells nobody.
TELLS = frozenset({"email", "iban", "channel"})
# Where a call that does more than read sends what it was given.
RECEIVES = frozenset({"url", "host", "ip", "dsn", "git", "object", "command", "sql", *TELLS})

PLACEHOLDERS: Mapping[str, str] = {
    "url": "https://replace-me.example/*", "host": "replace-me.example", "ip": "192.0.2.0/24",
    "path": "/replace-me/*", "email": "*@replace-me.example", "dsn": "postgresql://replace-me.example/replace_me",
    "git": "replace-me.example/*", "object": "s3://replace-me/*", "command": "replace-me",
    "iban": "GB33BUKB20201555555555",
}  # fmt: skip
_INSIDE = {
    "url": "https://replace-me.example/a", "host": "replace-me.example", "ip": "192.0.2.1", "path": "/replace-me/a",
    "email": "someone@replace-me.example", "dsn": "postgresql://replace-me.example/replace_me",
    "git": "https://replace-me.example/owner/repo", "object": "s3://replace-me/a", "command": "replace-me",
    "iban": "GB33BUKB20201555555555",
}  # fmt: skip
_OUTSIDE = {
    "url": "https://unlisted.example/a", "host": "unlisted.example", "ip": "198.51.100.1", "path": "/unlisted/a",
    "dsn": "postgresql://unlisted.example/unlisted", "git": "https://unlisted.example/owner/repo",
    "object": "s3://unlisted/a",
}  # fmt: skip
_MOST_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the arguments a place stands, and of which kind it is. ``why``: what it was guessed from."""

    kind: str
    argument: str
    top: str
    why: str
    optional: bool = False
    options: Mapping[str, Json] = field(default_factory=dict)

    def pattern(self) -> str:
        """A pattern of `Destinations` for a place that stands for nothing."""
        if self.kind == "sql":
            return f"{self.options['dialect']}:replace_me.*"
        if self.kind == "channel":
            return f"{self.options['service']}:#replace-me"
        return "table:replace_me" if self.kind == "pattern" else PLACEHOLDERS[self.kind]

    def inside(self, listed: Sequence[str]) -> str:
        """A value that the draft's catalog lists."""
        if listed and self.kind not in ("sql", "pattern", "channel", "git", "ip"):
            return listed[0].replace("*", "a")
        if self.kind == "sql":
            return "select a from replace_me.a"
        if self.kind == "channel":
            return "#replace-me"
        return "replace_me" if self.kind == "pattern" else _INSIDE[self.kind]

    def outside(self) -> str | None:
        """A value of the kind that it does not list."""
        if self.kind == "sql":
            return "select a from unlisted.a"
        return "unlisted" if self.kind == "pattern" else _OUTSIDE.get(self.kind)


def places_of(
    tool: str, name: str, schema: Mapping[str, Any], *, optional: bool, dialect: str | None
) -> Iterator[Place]:
    """The places in one argument, at whatever depth an owner would still write it."""
    for argument, last, part, left_out in _leaves(name, name, schema, optional, 0):
        found = _kind(tool, last, part, dialect)
        if found is not None:
            kind, why, options = found
            yield Place(kind, argument, name, why, left_out, options)


def known_kind(kind: str) -> bool:
    """Whether there is such a kind of destination."""
    return kind in kind_names()


def _leaves(
    path: str, last: str, schema: Mapping[str, Any], optional: bool, depth: int
) -> Iterator[tuple[str, str, Mapping[str, Any], bool]]:
    """The texts in a schema: where each stands, its name, its own schema, and whether it may be missing."""
    types = schema.get("type")
    alone = [one for one in (types if isinstance(types, list) else [types]) if one != "null"]
    missing = optional or (isinstance(types, list) and "null" in types)
    if alone == ["string"]:
        if "enum" not in schema:
            yield path, last, schema, missing
    elif alone == ["array"] and depth < _MOST_DEPTH:
        yield from _leaves(path + "[*]", last, schema["items"], missing or not schema.get("minItems"), depth + 1)
    elif alone == ["object"] and depth < _MOST_DEPTH:
        required = schema.get("required", ())
        for name, part in schema.get("properties", {}).items():
            if name.isidentifier():
                inner = missing or name not in required
                yield from _leaves(f"{path}.{name}", name, part, inner, depth + 1)


def _kind(
    tool: str, name: str, schema: Mapping[str, Any], dialect: str | None
) -> tuple[str, str, dict[str, Json]] | None:
    """The kind, what it was guessed from, and its options; None where nothing tells, or an option is not known."""
    found, of_tool = words(name), set(words(tool))
    by_format = _BY_FORMAT.get(schema.get("format", ""))
    kind = next((kind for last, kind in _BY_NAME if tuple(found[-len(last) :]) == last), None)
    why = "its name"
    if kind in (None, "url") and by_format is not None:
        kind, why = by_format, f"`format: {schema['format']}`"
    if kind is None and len(found) == 1 and found[0] in _MAIL_ARGUMENT and of_tool & _MAIL_TOOL:
        kind, why = "email", "its name, in a tool for mail"
    if kind is None and found in (["query"], ["statement"]) and of_tool & _DATABASE_TOOL:
        kind, why = "sql", "its name, in a tool for a database"
    if kind is None and found[:1] == ["channel"] and of_tool & _SERVICES:
        return "channel", "its name", {"service": min(of_tool & _SERVICES)}
    if kind == "sql":
        return None if dialect is None else ("sql", why, {"dialect": dialect})
    if kind == "table":
        return "pattern", why, {"name": "table", "pattern": "[A-Za-z0-9_.$-]+"}
    return None if kind is None else (kind, why, {})
