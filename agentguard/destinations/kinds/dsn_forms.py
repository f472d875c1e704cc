"""What a connection string says, whichever of its forms it is written in.

Forms: a URL (``postgresql+psycopg://u:p@db.example.com/sales``), the same behind ``jdbc:``, libpq's keywords
(``host=db.example.com dbname=sales``), and ODBC's (``Driver={…};Server=…;Database=…``). Each is read by a closed
grammar: what it does not know is refused, as every driver reads the rest in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_plus

from agentguard.destinations.kinds.base import Ambiguous


@dataclass(frozen=True, slots=True)
class Said:
    """The parts of a connection string as they were written. ``hosts`` has host and port, "" where none is written."""

    scheme: str
    driver: str
    hosts: tuple[tuple[str, str], ...]
    path: str
    # Names in lower case, values decoded.
    parameters: tuple[tuple[str, str], ...]


_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9_]*)(?:\+([a-z0-9_]+))?://"
    r"((?:[A-Za-z0-9._~!$&'()*+,;=%-]*(?::[A-Za-z0-9._~!$&'()*+,;=%-]*)?@)?)"
    r"([A-Za-z0-9._,:\[\]-]*)"
    r"(?:/([A-Za-z0-9_$./%-]*))?(?:\?([A-Za-z0-9._~$&=,:%+/*@-]*))?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]+))?")
_KEYWORDS = re.compile(r"(?:[a-z_]+ *= *(?:'[^'\\]*'|[^\s'\\]+)(?: +|$))+")
_KEYWORD = re.compile(r"([a-z_]+) *= *(?:'([^'\\]*)'|([^\s'\\]+))(?: +|$)")
_PAIR_TEXT = r" *[A-Za-z][A-Za-z0-9 _]*=(?: *\{[^{}]*\} *|[^;{}]*)"
_PAIRS = re.compile(rf"{_PAIR_TEXT}(?:;{_PAIR_TEXT})*;? *")
_PAIR = re.compile(r" *([A-Za-z][A-Za-z0-9 _]*)=(?: *\{([^{}]*)\} *|([^;{}]*))(?:;|$)")
_ODBC_DRIVERS = (
    (re.compile(r"odbc driver [0-9]{2} for sql server|sql server(?: native client [0-9.]+)?"), "mssql"),
    (re.compile(r"postgresql(?: (?:unicode|ansi))?(?:\(x64\))?"), "postgresql"),
    (re.compile(r"mysql odbc [0-9.]+(?: (?:unicode|ansi))? driver|mariadb odbc [0-9.]+ driver"), "mysql"),
    (re.compile(r"amazon redshift(?: odbc driver)?(?: \(x64\))?"), "redshift"),
    (re.compile(r"snowflakedsiidriver"), "snowflake"),
)
_ODBC_NAMES = {
    "address": "server",
    "addr": "server",
    "network address": "server",
    "data source": "server",
    "host": "server",
    "initial catalog": "database",
    "user id": "uid",
    "user": "uid",
    "username": "uid",
    "password": "pwd",
    "connection timeout": "timeout",
    "connect timeout": "timeout",
    "login timeout": "timeout",
    "trust server certificate": "trustservercertificate",
    "ssl mode": "sslmode",
    "application name": "applicationname",
}
# Names that say how, in the three .NET and ODBC dialects read here.
_ODBC_HARMLESS = frozenset(
    {"persist security info", "pooling", "sslrootcert", "minimum pool size", "maximum pool size"}
)
_ORACLE = re.compile(
    r"oracle:thin:(?:[A-Za-z0-9_$#]+/[A-Za-z0-9_$#.~!-]+)?@(?://)?([^/?:@()]+)(?::([0-9]+))?[/:]([^/?:@()]+)"
)
_SEMICOLONS = re.compile(r"([a-z0-9]+)://([A-Za-z0-9._\[\]:-]+?)(?:/([A-Za-z0-9_]*))?;(.+)")


def read_dsn(text: str) -> Said | Ambiguous:
    """What a connection string says, or why it cannot be told."""
    if not text.isprintable() or not text:
        return Ambiguous("control_character" if text else "empty")
    if text.lower().startswith("jdbc:"):
        return _jdbc(text[5:])
    if "://" in text.partition("=")[0]:
        return _url(text)
    if ";" in text and _PAIRS.fullmatch(text):
        return _odbc(text)
    if _KEYWORDS.fullmatch(text):
        return _keywords(text)
    return Ambiguous(_why_not_a_dsn(text))


def _url(text: str, *, credentials: bool = True) -> Said | Ambiguous:
    match = _URL.fullmatch(text)
    if match is None or _BAD_ESCAPE.search(text):
        return Ambiguous(_why_not_a_dsn(text))
    scheme, driver, userinfo, raw_hosts, path, query = match.groups("")
    if userinfo and not credentials:
        # A driver that knows no credentials here takes them for a part of the host.
        return Ambiguous("userinfo")
    parameters = _parameters(query.split("&") if query else ())
    if isinstance(parameters, Ambiguous):
        return parameters
    if not raw_hosts:
        return _odbc_inside(scheme, driver, path, parameters)
    hosts = _hosts(raw_hosts.split(","))
    return hosts if isinstance(hosts, Ambiguous) else Said(scheme, driver, hosts, path, parameters)


def _hosts(written: Iterable[str]) -> tuple[tuple[str, str], ...] | Ambiguous:
    hosts = []
    for one in written:
        match = _HOST.fullmatch(one)
        if match is None:
            return Ambiguous("not_a_dsn" if one else "empty_host")
        hosts.append((match[1], match[2] or ""))
    return tuple(hosts)


def _parameters(pairs: Iterable[str]) -> tuple[tuple[str, str], ...] | Ambiguous:
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name.lower() in found:
            return Ambiguous("parameter_repeated")
        found[name.lower()] = unquote_plus(value, errors="replace")
    return tuple(found.items())


def _odbc_inside(scheme: str, driver: str, path: str, parameters: tuple[tuple[str, str], ...]) -> Said | Ambiguous:
    """SQLAlchemy's way to hand a whole ODBC string on."""
    if driver not in ("pyodbc", "aioodbc") or path or len(parameters) != 1 or parameters[0][0] != "odbc_connect":
        return Ambiguous("empty_host")
    said = _odbc(parameters[0][1]) if _PAIRS.fullmatch(parameters[0][1]) else Ambiguous("not_a_dsn")
    if isinstance(said, Said) and {said.scheme, scheme} not in ({"mssql"}, {"mysql"}):
        return Ambiguous("scheme_not_allowed")
    return said


def _jdbc(text: str) -> Said | Ambiguous:
    oracle = _ORACLE.fullmatch(text)
    if oracle is not None:
        hosts = _hosts([f"{oracle[1]}:{oracle[2]}" if oracle[2] else oracle[1]])
        return hosts if isinstance(hosts, Ambiguous) else Said("oracle", "", hosts, oracle[3], ())
    semicolons = _SEMICOLONS.fullmatch(text)
    if semicolons is not None and semicolons[1] in ("sqlserver", "databricks"):
        return _semicolons(*semicolons.groups(""))
    if ";" in text or "+" in text.partition("://")[0]:
        return Ambiguous("not_a_dsn")
    said = _url(text, credentials=text.startswith("mysql:"))
    if isinstance(said, Said) and said.scheme not in _JDBC:
        return Ambiguous("scheme_not_allowed")
    return said


_JDBC = frozenset({"clickhouse", "mariadb", "mysql", "postgresql", "presto", "redshift", "snowflake", "trino"})


def _semicolons(scheme: str, raw_host: str, path: str, rest: str) -> Said | Ambiguous:
    if not _PAIRS.fullmatch(rest):
        return Ambiguous("not_a_dsn")
    hosts = _hosts([raw_host])
    if isinstance(hosts, Ambiguous):
        return hosts
    named = _named(rest, {"databasename": "database"})
    if isinstance(named, Ambiguous):
        return named
    if scheme == "sqlserver":
        if path:
            return Ambiguous("not_a_dsn")
        path = named.pop("database", "")
    return Said(scheme, "", hosts, path, tuple(named.items()))


def _named(text: str, same: dict[str, str]) -> dict[str, str] | Ambiguous:
    """The pairs of a text, each name once: drivers differ in which of two they take."""
    found: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        name = " ".join(match[1].lower().split())
        name = same.get(name, name)
        if name in found:
            return Ambiguous("parameter_repeated")
        found[name] = match[2] if match[2] is not None else match[3].strip()
    return found


def _odbc(text: str) -> Said | Ambiguous:
    # Of .NET's readers only PostgreSQL's knows `Host`, and only SQL Server's an initial catalog and `tcp:`.
    npgsql = re.match(r"(?i) *host *=", text) is not None
    sqlclient = re.search(r"(?i)(?:^|;) *initial catalog *=|(?:^|;) *(?:server|data source) *= *tcp:", text) is not None
    named = _named(text, _ODBC_NAMES)
    if isinstance(named, Ambiguous):
        return named
    driver = named.pop("driver", None)
    if driver is None:
        scheme = "postgresql" if npgsql and not sqlclient else "mssql" if sqlclient and not npgsql else None
        if scheme is None:
            return Ambiguous("keyword_form")
    else:
        scheme = next((name for pattern, name in _ODBC_DRIVERS if pattern.fullmatch(driver.lower())), None)
        if scheme is None:
            return Ambiguous("scheme_not_allowed")
    server, database = named.pop("server", ""), named.pop("database", "")
    port = named.pop("port", "")
    if scheme == "mssql":
        server, comma, written = server.removeprefix("tcp:").partition(",")
        if comma and port:
            return Ambiguous("parameter_repeated")
        port = written.strip() if comma else port
        if comma and not port:
            return Ambiguous("bad_port")
    if not server:
        return Ambiguous("empty_host")
    if port and not port.isdecimal():
        return Ambiguous("bad_port")
    rest = tuple((name, value) for name, value in named.items() if name not in _ODBC_HARMLESS)
    return Said(scheme, "", ((server, port),), database, rest)


def _keywords(text: str) -> Said | Ambiguous:
    """libpq's own form. Without a host or a database, these would come from the environment."""
    found: dict[str, str] = {}
    for match in _KEYWORD.finditer(text):
        if match[1] in found:
            return Ambiguous("parameter_repeated")
        found[match[1]] = match[2] if match[2] is not None else match[3]
    raw_hosts, raw_ports, database = found.pop("host", ""), found.pop("port", ""), found.pop("dbname", "")
    if not raw_hosts:
        return Ambiguous("empty_host")
    # In a database's name, libpq reads a whole connection string.
    hosts, ports = raw_hosts.split(","), raw_ports.split(",")
    if len(ports) not in (1, len(hosts)):
        return Ambiguous("bad_port")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if any(port and not port.isdecimal() for port in ports):
        return Ambiguous("bad_port")
    return Said("postgresql", "", tuple(zip(hosts, ports, strict=True)), database, tuple(found.items()))


# Only for the words of a refusal: whatever comes here is refused already.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\+[a-z0-9_]+)?://([^/?#]*)")


def _why_not_a_dsn(text: str) -> str:
    if "\\" in text:
        return "backslash"
    authority = _AUTHORITY.match(text)
    if authority is None:
        return "keyword_form" if "=" in text else "no_slashes"
    host = authority[1].rpartition("@")[2]
    if not host:
        return "empty_host"
    if "%" in host:
        return "percent_encoded_host"
    return "userinfo" if authority[1].count("@") > 1 else "not_a_dsn"
