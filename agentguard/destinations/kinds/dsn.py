"""The kind ``dsn``: which database a connection string opens, without its credentials.

The id names server, host, port and database: ``postgresql://db.example.com:5432/sales``. The tool keeps its own
spelling, because the id has lost the password. ``dsn_forms`` says which forms are read, and ``dsn_servers`` which
servers are known. Several hosts are several places, and all of them are judged. Refused is whatever names a second
place: sockets, ``host=`` or ``service=`` and every other parameter that is not listed as harmless. A database that is
not named is what every client takes for it (``redis://h`` is ``redis://h:6379/0``), or else the whole server.

A place is what one session can reach: a schema below the database is no part of it. For Snowflake, the host is the
account's (``snowflake://ab12345.eu-central-1.snowflakecomputing.com:443/prod``); for BigQuery, the database is the
project (``bigquery://bigquery.googleapis.com:443/proj-a``); for Databricks and Trino, it is the catalog.

Patterns: ``postgresql://db.example.com:5432/sales``, ``postgresql://db.example.com/*`` (every database,
default port), ``postgresql://*.example.com/*``, ``mysql://db.example.com/`` (the whole server, which no ``*`` covers),
``snowflake://ab12345.eu-central-1/prod``, ``bigquery://proj-a``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind, make_place
from agentguard.destinations.kinds.dsn_forms import Said, read_dsn
from agentguard.destinations.kinds.dsn_servers import FILES, SECRETS, SERVERS, Server, default_port, find_server
from agentguard.destinations.kinds.hosts import canonical_host, canonical_port, host_pattern, is_address, wildcards
from agentguard.destinations.kinds.path import canonical_path

MAX_LENGTH = 4096
MAX_HOSTS = 16
# Without a database, these take the host for the name of an entry in ODBC's own settings.
_ODBC = frozenset({"aioodbc", "pyodbc"})
# Redis numbers its databases. Its client for Python opens number 0 for whatever is no number.
_REDIS_DATABASE = re.compile(r"0|[1-9][0-9]{0,4}")
_SNOWFLAKE = ".snowflakecomputing.com"
_BIGQUERY = "bigquery.googleapis.com"
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9_$-]+")
_ID = re.compile(r"([a-z0-9+]+)://([^/?#@]+?)(?::([0-9]+))?/([A-Za-z0-9_$.%-]*|\*)")

# Databases in a file, or in memory: four slashes, an absolute path, and nothing that changes what is opened (`?mode=`,
# `?vfs=`).
_FILE = re.compile(
    r"(?i:(sqlite|duckdb))(?:(?<=[eE])\+(?:aio|py)sqlite)?:///(/[^?#%]*|:memory:)"
    r"(?:\?(?:check_same_thread|timeout|access_mode|read_only|threads)=[A-Za-z0-9_]+)?"
)
_JDBC_FILE = re.compile(r"(?i:jdbc:(sqlite|duckdb)):(/[^?#%]*|:memory:)")

_WAREHOUSE = re.compile(r"/?sql(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+/?")
# What a parameter may say, where not every value is harmless.
_VALUE = re.compile(r"[A-Za-z0-9_.,:+~$@*= -]*")
_VALUES: Mapping[str, re.Pattern[str]] = {
    # Microsoft's own; any other name could be that of a library to load.
    "driver": re.compile(r"(?i:odbc driver [0-9]{2} for sql server)"),
    # Anything else is the address of somebody who is sent the password.
    "authenticator": re.compile(
        r"(?i:snowflake|externalbrowser|oauth|snowflake_jwt|username_password_mfa|programmatic_access_token)"
    ),
    "http_scheme": re.compile(r"https?"),
    "http_path": _WAREHOUSE,
    "httppath": _WAREHOUSE,
    "transportmode": re.compile(r"(?i:http)"),
    "hostnameincertificate": re.compile(r"\*?[A-Za-z0-9.-]+"),
}
_FILE_VALUE = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+|system")


class _Dsn(TextKind):
    name = "dsn"
    max_per_call = 64
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        if text[:6].lower() in ("sqlite", "duckdb") or text[:11].lower() in ("jdbc:sqlite", "jdbc:duckdb"):
            return _file(text)
        said = read_dsn(text)
        if isinstance(said, Ambiguous):
            return said
        server = find_server(said.scheme, said.driver)
        if server is None:
            return Ambiguous("scheme_not_allowed")
        problem = _parameter_problem(server, said)
        if problem is not None:
            return Ambiguous(problem)
        if server.name == "bigquery":
            return _bigquery(said)
        database = _database(server, said)
        if isinstance(database, Ambiguous):
            return database
        if len(said.hosts) > (MAX_HOSTS if server.several_hosts else 1):
            return Ambiguous("several_hosts")
        places: dict[str, Place] = {}
        for raw_host, raw_port in said.hosts:
            reached = _address(server, said.driver, raw_host, raw_port)
            if isinstance(reached, Ambiguous):
                return reached
            place = _place(server.name, *reached, database)
            places.setdefault(place.id, place)
        return tuple(places.values())

    def place_from_id(self, identity: str) -> Place | None:
        match = _ID.fullmatch(identity)
        if match is not None and match[1] in SERVERS and match[4] != "*":
            return _place(match[1], match[2], match[3] or "", match[4])
        read = _file(identity)
        return None if isinstance(read, Ambiguous) else read[0]

    def pattern_key(self, pattern: str) -> str:
        if pattern.startswith(("sqlite:///", "duckdb:///")):
            read = _file(pattern)
            if isinstance(read, Ambiguous) or read[0].id != pattern:
                raise ValueError(f"`{pattern}` is not a database file; expected such as `sqlite:////srv/data.db`")
            return pattern
        match = _ID.fullmatch(_whole(pattern))
        if match is None or match[1] not in SERVERS:
            raise ValueError(
                f"`{pattern}` is not a DSN pattern; expected such as `postgresql://db.example.com/sales`, "
                f"with one of {', '.join(sorted({*SERVERS, 'sqlite', 'duckdb'}))}"
            )
        server, host, port, name = SERVERS[match[1]], match[2], match[3], match[4]
        if port is None and not server.port and server.name != "mongodb+srv":
            raise ValueError(f"`{pattern}` has no port, and clients of {server.name} do not agree on one; write it")
        database = "*" if name == "*" else _one_case(server, name)
        if database is None:
            raise ValueError(f"`{pattern}` names no database; expected a number, such as `redis://cache.example.com/0`")
        if server.name == "snowflake" and not host.startswith("*"):
            account = _account(host.lower(), "")
            host = host if isinstance(account, Ambiguous) else account
        host_pattern(host)
        if port is not None and isinstance(canonical_port(port), Ambiguous):
            raise ValueError(f"`{pattern}` has no valid port; expected 1 to 65535")
        if host.startswith("*") and database != "*":
            raise ValueError(f"`{pattern}` has a wildcard host and a database; write `/*`, or name the host")
        return _identity(server.name, host, port or server.port, database)

    def place_keys(self, place: Place) -> Iterable[str]:
        yield place.id
        if place.parts["scheme"] in ("sqlite", "duckdb") or not place.parts["database"]:
            return
        scheme, host, port = place.parts["scheme"], place.parts["host"], place.parts["port"]
        yield _identity(scheme, host, port, "*")
        for wildcard in wildcards(host):
            yield _identity(scheme, wildcard, port, "*")


def _identity(scheme: str, host: str, port: str, database: str) -> str:
    return f"{scheme}://{host}:{port}/{database}" if port else f"{scheme}://{host}/{database}"


def _place(scheme: str, host: str, port: str, database: str) -> Place:
    identity = _identity(scheme, host, port, database)
    return make_place("dsn", identity, scheme=scheme, host=host, port=port, database=database)


def _file(text: str) -> Derived:
    match = _FILE.fullmatch(text) or _JDBC_FILE.fullmatch(text)
    if match is None:
        return Ambiguous("not_a_sqlite_file" if "sqlite" in text[:11].lower() else "not_a_duckdb_file")
    scheme = match[1].lower()
    path = match[2] if match[2] == ":memory:" else canonical_path(match[2])
    if isinstance(path, Ambiguous):
        return path
    return (make_place("dsn", f"{scheme}:///{path}", scheme=scheme, path=path),)


def _whole(pattern: str) -> str:
    """A pattern with all of its parts: an account or a project may stand alone."""
    if pattern.startswith("bigquery://") and not pattern.startswith(f"bigquery://{_BIGQUERY}"):
        project = pattern.removeprefix("bigquery://")
        return f"bigquery://{_BIGQUERY}/{project}" if _PROJECT.fullmatch(project) else pattern
    return pattern


def _address(server: Server, driver: str, raw_host: str, raw_port: str) -> tuple[str, str] | Ambiguous:
    """Host and port, both canonical."""
    if server.name == "mongodb+srv":
        # The port stands in the DNS, too.
        host = canonical_host(raw_host)
        if raw_port or (isinstance(host, str) and (host.count(".") < 2 or is_address(host))):
            return Ambiguous("bad_port" if raw_port else "not_a_host_name")
        return host if isinstance(host, Ambiguous) else (host, "")
    host = canonical_host(raw_host)
    if server.name == "snowflake" and isinstance(host, str):
        host = _account(host, raw_port)
    if isinstance(host, Ambiguous):
        return host
    port = canonical_port(raw_port) if raw_port else default_port(server, driver) or Ambiguous("no_port")
    return port if isinstance(port, Ambiguous) else (host, port)


def _account(host: str, port: str) -> str | Ambiguous:
    """The host of a Snowflake account. Its clients take a name with a port, or with Snowflake's own domain somewhere in
    it, for a host as it stands."""
    if host.endswith(_SNOWFLAKE) and port in ("", "443"):
        account = host.removesuffix(_SNOWFLAKE)
    elif port or _SNOWFLAKE in host or host.count(".") > 2:
        return Ambiguous("not_an_account")
    else:
        account = host
    # An account's underscores are hyphens in its address.
    return account.replace("_", "-") + _SNOWFLAKE


def _bigquery(said: Said) -> Derived:
    (project, port), *more = said.hosts
    if more or port or _PROJECT.fullmatch(project) is None or not re.fullmatch(r"[A-Za-z0-9_]*", said.path):
        return Ambiguous("not_a_project")
    return (_place("bigquery", _BIGQUERY, "443", project),)


def _database(server: Server, said: Said) -> str | Ambiguous:
    """The database a session is in, in one case, for whether a server tells cases apart depends on its platform."""
    named, parameters = said.path, dict(said.parameters)
    if server.schema_in_path and "/" in named:
        named, _, schema = named.partition("/")
        if not named or _SEGMENT.fullmatch(schema) is None:
            return Ambiguous("not_a_database")
    elif server.name == "databricks":
        if not re.fullmatch(r"[A-Za-z0-9_]*", named):
            return Ambiguous("not_a_database")
        # What stands in the path is a schema.
        named = parameters.get("catalog") or parameters.get("conncatalog") or ""
    inside = [parameters[name] for name in _NAMING.get(server.name, ()) if name in parameters]
    if inside:
        if named or len(inside) > 1:
            return Ambiguous("several_databases")
        named = inside[0]
    if server.path.fullmatch(named) is None:
        return Ambiguous("not_a_dsn")
    if not named and (server.default is None or said.driver in _ODBC):
        return Ambiguous("no_database")
    database = _one_case(server, named)
    return Ambiguous("not_a_database") if database is None else database


# Parameters that name the database.
_NAMING: Mapping[str, tuple[str, ...]] = {"oracle": ("service_name", "sid"), "snowflake": ("db",)}


def _one_case(server: Server, name: str) -> str | None:
    database = name.lower() or server.default or ""
    return None if server.name == "redis" and _REDIS_DATABASE.fullmatch(database) is None else database


def _parameter_problem(server: Server, said: Said) -> str | None:
    for name, value in said.parameters:
        if not server.takes(name):
            return "parameter_not_allowed"
        if name in SECRETS:
            continue
        allowed = _FILE_VALUE if name in FILES else _VALUES.get(name, _VALUE)
        if allowed.fullmatch(value) is None:
            return "parameter_not_allowed"
    return None


DSN = _Dsn()
