"""The kind ``dsn``: which database a connection URL opens, without its credentials.

The id names scheme, host, port (always) and database: ``postgresql://db.example.com:5432/sales``. The tool
keeps its own spelling, because the id has lost the password. Refused is whatever names a second place:
several hosts, sockets, ``host=`` or ``service=`` and every other parameter that is not on the list below.
A database that is not named is what every client takes for it (``redis://h`` is ``redis://h:6379/0``), or else the
whole server.

Patterns: ``postgresql://db.example.com:5432/sales``, ``postgresql://db.example.com/*`` (every database,
default port), ``postgresql://*.example.com/*``, ``mysql://db.example.com/`` (the whole server, which no ``*`` covers).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind, make_place
from agentguard.destinations.kinds.hosts import canonical_host, canonical_port, host_pattern, wildcards
from agentguard.destinations.kinds.path import canonical_path

MAX_LENGTH = 4096

# Spellings of one server's protocol, after a driver suffix (`+psycopg`) has been cut off.
_SCHEMES: Mapping[str, str] = MappingProxyType(
    {
        "postgres": "postgresql",
        "postgresql": "postgresql",
        "mysql": "mysql",
        "mariadb": "mysql",
        "mssql": "mssql",
        "sqlserver": "mssql",
        "oracle": "oracle",
        "clickhouse": "clickhouse",
        "mongodb": "mongodb",
        "redis": "redis",
        "rediss": "redis",
        "sqlite": "sqlite",
    }
)
_PORTS: Mapping[str, str] = MappingProxyType(
    {
        "postgresql": "5432",
        "mysql": "3306",
        "mssql": "1433",
        "oracle": "1521",
        "mongodb": "27017",
        "redis": "6379",
    }
)
# Without a driver, one client of ClickHouse takes its native port and another its web port.
_DRIVER_PORTS: Mapping[str, str] = MappingProxyType({"asynch": "9000", "http": "8123", "native": "9000"})
# What the database is taken for where none is named.
_DEFAULT_DATABASES: Mapping[str, str] = MappingProxyType({"clickhouse": "default", "redis": "0"})
# libpq takes the user's name for a missing database, so the place would depend on who connects.
_NEEDS_DATABASE = frozenset({"postgresql", "oracle"})
# Without a database, these take the host for the name of an entry in ODBC's own settings.
_ODBC = frozenset({"aioodbc", "pyodbc"})
# A driver that nobody here has looked at may read the rest in its own way (``+srv`` and ``+unix`` do).
_DRIVERS = frozenset(
    {"aiomysql", "aiosqlite", "asyncmy", "asyncpg", "cx_oracle", "cymysql", "mariadbconnector", "mysqlclient"}
    | {"mysqlconnector", "mysqldb", "oracledb", "oracledb_async", "pg8000", "psycopg", "psycopg2", "psycopg_async"}
    | {"pymssql", "pymysql", "pysqlite", *_ODBC, *_DRIVER_PORTS}
)
# Redis numbers its databases. Its client for Python opens number 0 for whatever is no number.
_REDIS_DATABASE = re.compile(r"0|[1-9][0-9]{0,4}")
# Parameters that change how a connection is made and never where to.
_HARMLESS = frozenset(
    {"application_name", "appname", "authsource", "channel_binding", "charset", "client_encoding"}
    | {"connect_timeout", "connecttimeoutms", "decode_responses", "directconnection", "encrypt"}
    | {"fallback_application_name", "gssencmode", "health_check_interval", "keepalives", "keepalives_count"}
    | {"keepalives_idle", "keepalives_interval", "max_connections", "maxpoolsize", "minpoolsize"}
    | {"readpreference", "retryreads", "retrywrites", "socket_connect_timeout", "socket_timeout", "ssl"}
    | {"ssl_cert_reqs", "ssl_min_protocol_version", "sslmode", "sslnegotiation", "target_session_attrs"}
    | {"tcp_user_timeout", "timeout", "tls", "trustservercertificate", "w"}
)
# Microsoft's own; any other name could be that of a library to load.
_ODBC_DRIVER = re.compile(r"driver=ODBC([+]|%20)Driver\1[0-9]{2}\1for\1SQL\1Server", re.IGNORECASE)
_DSN = re.compile(
    r"([A-Za-z][A-Za-z0-9]*)(?:\+([a-z0-9_]+))?://"
    r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*(?::[A-Za-z0-9._~!$&'()*+,;=%-]*)?@)?"
    r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]+))?"
    r"(?:/([A-Za-z0-9_$.-]*))?(?:\?([A-Za-z0-9._~$&=,:%+-]*))?"
)
_SQLITE = re.compile(r"(?i:sqlite)(?:\+(?:aio|py)sqlite)?:///(/[^?#%]*)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class _Dsn(TextKind):
    name = "dsn"
    most = 64
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        if text[:6].lower() == "sqlite":
            return _sqlite(text)
        match = _DSN.fullmatch(text)
        if match is None or _BAD_ESCAPE.search(text):
            return Ambiguous(_why_not_a_dsn(text))
        raw_scheme, driver, raw_host, raw_port, name, query = match.groups("")
        scheme = _SCHEMES.get(raw_scheme.lower())
        if scheme is None or (driver and driver not in _DRIVERS):
            return Ambiguous("scheme_not_allowed")
        host = canonical_host(raw_host)
        if isinstance(host, Ambiguous):
            return host
        default = _DRIVER_PORTS.get(driver, "") if scheme == "clickhouse" else _PORTS[scheme]
        port = canonical_port(raw_port) if raw_port else default or Ambiguous("no_port")
        if isinstance(port, Ambiguous):
            return port
        if not name and (scheme in _NEEDS_DATABASE or driver in _ODBC):
            return Ambiguous("no_database")
        database = _database(scheme, name)
        if database is None:
            return Ambiguous("not_a_database")
        problem = _query_problem(query)
        if problem is not None:
            return Ambiguous(problem)
        identity = f"{scheme}://{host}:{port}/{database}"
        return self.place(identity, scheme=scheme, host=host, port=port, database=database)

    def pattern_key(self, pattern: str) -> str:
        if pattern.startswith("sqlite:///"):
            read = _sqlite(pattern)
            if isinstance(read, Ambiguous) or read[0].id != pattern:
                raise ValueError(f"`{pattern}` is not a SQLite file; expected such as `sqlite:////srv/data.db`")
            return pattern
        match = re.fullmatch(r"([a-z]+)://([^/?#@]+?)(?::([0-9]+))?/([A-Za-z0-9_$.-]*|\*)", pattern)
        if match is None or match[1] not in _SCHEMES.values() or match[1] == "sqlite":
            raise ValueError(
                f"`{pattern}` is not a DSN pattern; expected such as `postgresql://db.example.com/sales`, "
                f"with one of {', '.join(sorted(set(_SCHEMES.values())))}"
            )
        scheme, host, port, name = match.groups()
        if port is None and scheme not in _PORTS:
            raise ValueError(f"`{pattern}` has no port, and clients of {scheme} do not agree on one; write it")
        database = "*" if name == "*" else _database(scheme, name)
        if database is None:
            raise ValueError(f"`{pattern}` names no database; expected a number, such as `redis://cache.example.com/0`")
        host_pattern(host)
        if port is not None and isinstance(canonical_port(port), Ambiguous):
            raise ValueError(f"`{pattern}` has no valid port; expected 1 to 65535")
        if host.startswith("*") and database != "*":
            raise ValueError(f"`{pattern}` has a wildcard host and a database; write `/*`, or name the host")
        return f"{scheme}://{host}:{port or _PORTS[scheme]}/{database}"

    def place_keys(self, place: Place) -> Iterable[str]:
        yield place.id
        if place.parts["scheme"] == "sqlite":
            return
        if not place.parts["database"]:
            return
        scheme, host, port = place.parts["scheme"], place.parts["host"], place.parts["port"]
        yield f"{scheme}://{host}:{port}/*"
        for wildcard in wildcards(host):
            yield f"{scheme}://{wildcard}:{port}/*"


def _sqlite(value: str) -> Derived:
    """A database file: four slashes, an absolute path, no parameters (``?mode=``, ``?vfs=`` change what is
    opened)."""
    match = _SQLITE.fullmatch(value)
    if match is None:
        return Ambiguous("not_a_sqlite_file")
    path = canonical_path(match[1])
    if isinstance(path, Ambiguous):
        return path
    return (make_place("dsn", f"sqlite:///{path}", scheme="sqlite", path=path),)


def _database(scheme: str, name: str) -> str | None:
    """The name in one case, for whether a server tells cases apart depends on its platform; None for no name."""
    database = name.lower() or _DEFAULT_DATABASES.get(scheme, "")
    return None if scheme == "redis" and _REDIS_DATABASE.fullmatch(database) is None else database


def _query_problem(query: str) -> str | None:
    seen = set()
    for pair in query.split("&") if query else ():
        name = pair.partition("=")[0].lower()
        if name not in _HARMLESS and _ODBC_DRIVER.fullmatch(pair) is None:
            return "parameter_not_allowed"
        if name in seen:
            return "parameter_repeated"
        seen.add(name)
    return None


# Only for the words of a refusal: whatever comes here is refused already.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:\+[a-z0-9_]+)?://([^/?#]*)")


def _why_not_a_dsn(value: str) -> str:
    if not value:
        return "empty"
    if not value.isprintable():
        return "control_character"
    if "\\" in value:
        return "backslash"
    authority = _AUTHORITY.match(value)
    if authority is None:
        return "keyword_form" if "=" in value else "no_slashes"
    host = authority[1].rpartition("@")[2]
    if not host:
        return "empty_host"
    if "," in host:
        return "several_hosts"
    if "%" in host:
        return "percent_encoded_host"
    return "userinfo" if authority[1].count("@") > 1 else "not_a_dsn"


DSN = _Dsn()
