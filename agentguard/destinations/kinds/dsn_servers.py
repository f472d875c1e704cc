"""What is known of each kind of server: the words for it, its port, its drivers, and parameters that lead nowhere else.

A new kind of server is a row. What no row names is refused: another driver, and every parameter that nobody has looked
at (``host``, ``service``, ``proxyHost``, ``socketFactory``, ``destination`` … lead elsewhere or run code).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Parameters that change how a connection is made and never where to. All names are compared in lower case.
_COMMON = _words(
    """
    application_name appname authsource channel_binding charset client_encoding connect_timeout connecttimeoutms
    decode_responses directconnection encrypt fallback_application_name gssencmode health_check_interval keepalives
    keepalives_count keepalives_idle keepalives_interval max_connections maxpoolsize minpoolsize readpreference
    retryreads retrywrites socket_connect_timeout socket_timeout ssl ssl_cert_reqs ssl_min_protocol_version sslmode
    sslnegotiation target_session_attrs tcp_user_timeout timeout tls trustservercertificate w
    applicationname autocommit connection_limit connecttimeout logintimeout pool_size pool_timeout sockettimeout
    """
)
# Certificates, keys and lists of authorities. They are read and never sent; what stands in one names no place.
FILES = _words(
    """
    ca_certs cacertfile certfile keyfile private_key_file ssl_ca ssl_ca_certs ssl_cert ssl_certfile ssl_key ssl_keyfile
    sslca sslcert sslcrl sslkey sslrootcert tlscafile tlscertificatekeyfile
    """
)
# Their values are no business of a destination.
SECRETS = _words(
    """
    access_token authtoken passcode password private_key_file_pwd pwd sslpassword tlscertificatekeyfilepassword token
    uid user username
    """
)


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of server. ``port`` is empty where clients do not agree on one; ``default`` is the database that is
    opened where none is named (None: that depends on who connects, so that one must be named)."""

    name: str
    port: str = ""
    default: str | None = ""
    drivers: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    several_hosts: bool = False
    # `/catalog/schema`: the first part is what a session can reach all of.
    schema_in_path: bool = False
    # Nothing in the path: the server is the place.
    path: re.Pattern[str] = re.compile(r"[A-Za-z0-9_$.-]*")

    def takes(self, name: str) -> bool:
        """Whether a parameter leads nowhere else."""
        return name in _COMMON or name in SECRETS or name in self.parameters


_NO_PATH = re.compile(r"")
_POSTGRES_DRIVERS = _words("asyncpg pg8000 psycopg psycopg2 psycopg2cffi psycopg_async")
_POSTGRES = _words(
    """
    autosave binarytransfer currentschema defaultrowfetchsize krbsrvname load_balance_hosts loadbalancehosts pgbouncer
    prepared_statement_cache_size preparethreshold readonly require_auth rewritebatchedinserts schema
    ssl_max_protocol_version sslcert sslcompression sslcrl sslkey sslpassword sslrootcert sslsni statement_cache_size
    stringtype targetservertype tcpkeepalive uselibpqcompat
    """
)
_MYSQL = _words(
    """
    allowpublickeyretrieval characterencoding collation connectiontimezone loc parsetime requiressl
    rewritebatchedstatements servertimezone ssl-mode ssl_ca ssl_cert ssl_key sql_mode tinyint1isbit usecompression
    usecursorfetch useunicode usessl verifyservercertificate zerodatetimebehavior
    """
)
_MONGO = _words(
    """
    authmechanism compressors heartbeatfrequencyms journal loadbalanced localthresholdms maxconnecting maxidletimems
    maxstalenessseconds readconcernlevel readpreferencetags replicaset servermonitoringmode serverselectiontimeoutms
    sockettimeoutms srvmaxhosts timeoutms tlscafile tlscertificatekeyfile tlscertificatekeyfilepassword
    uuidrepresentation waitqueuetimeoutms wtimeout wtimeoutms zlibcompressionlevel
    """
)
_SNOWFLAKE = _words(
    """
    application authenticator cache_column_metadata client_session_keep_alive db login_timeout network_timeout numpy
    passcode private_key_file private_key_file_pwd role schema timezone token warehouse
    """
)
_TRINO = _words("access_token client_tags http_scheme source sslverification timezone")
_AMQP = _words(
    """
    auth_mechanism blocked_connection_timeout cacertfile certfile channel_max connection_attempts connection_timeout
    frame_max heartbeat keyfile locale retry_delay stack_timeout verify
    """
)
_NEO4J = _words("s ssc")

_ROWS = (
    Server("postgresql", "5432", None, _POSTGRES_DRIVERS, _POSTGRES, several_hosts=True),
    Server("cockroachdb", "26257", None, _POSTGRES_DRIVERS, _POSTGRES, several_hosts=True),
    Server("redshift", "5439", None, _words("psycopg2 psycopg2cffi redshift_connector"), _POSTGRES),
    Server(
        "mysql",
        "3306",
        "",
        _words("aiomysql aioodbc asyncmy cymysql mariadbconnector mysqlclient mysqlconnector mysqldb pymysql pyodbc"),
        _MYSQL,
        several_hosts=True,
    ),
    Server(
        "mssql",
        "1433",
        "",
        _words("aioodbc pymssql pyodbc"),
        _words(
            """
            app applicationintent authentication columnencryption driver hostnameincertificate integratedsecurity
            mars_connection multipleactiveresultsets multisubnetfailover tds_version trusted_connection wsid
            """
        ),
    ),
    Server("oracle", "1521", None, _words("cx_oracle oracledb oracledb_async"), _words("encoding service_name sid")),
    Server(
        "clickhouse", "", "default", _words("asynch connect http native"), _words("compress compression secure verify")
    ),
    Server("mongodb", "27017", "", frozenset(), _MONGO, several_hosts=True),
    # The hosts stand in the DNS, below the domain that is named.
    Server("mongodb+srv", "", "", frozenset(), _MONGO),
    Server(
        "redis",
        "6379",
        "0",
        frozenset(),
        _words("client_name family protocol retry_on_timeout socket_keepalive ssl_ca_certs ssl_certfile ssl_keyfile"),
    ),
    Server("snowflake", "443", "", frozenset(), _SNOWFLAKE, schema_in_path=True),
    Server("bigquery", "443", "", frozenset(), _words("arraysize list_tables_page_size location maximum_bytes_billed")),
    Server(
        "databricks",
        "443",
        "",
        _words("connector"),
        _words(
            """
            authmech catalog conncatalog connschema enablearrow http_path httppath pwd schema transportmode uid
            useragententry
            """
        ),
    ),
    Server("trino", "", "", frozenset(), _TRINO, schema_in_path=True),
    Server("presto", "", "", frozenset(), _TRINO, schema_in_path=True),
    Server("cassandra", "9042", "", frozenset(), _words("consistency protocol_version")),
    Server("hive", "10000", "default", _words("http https"), _words("auth kerberos_service_name")),
    Server("impala", "21050", "default", frozenset(), _words("auth_mechanism kerberos_service_name use_ssl")),
    Server("vertica", "5433", None, _words("vertica_python"), frozenset()),
    Server("db2", "50000", None, frozenset(), frozenset()),
    Server("hana", "", "", _words("hdbcli"), frozenset()),
    Server("teradatasql", "1025", "", frozenset(), _words("logmech")),
    Server("exasol", "8563", "", _words("websocket"), frozenset()),
    Server("elasticsearch", "9200", "", _words("http https"), _words("ca_certs use_ssl verify_certs"), path=_NO_PATH),
    Server("opensearch", "9200", "", _words("http https"), _words("ca_certs use_ssl verify_certs"), path=_NO_PATH),
    Server("neo4j", "7687", "", _NEO4J, frozenset(), path=_NO_PATH),
    Server("libsql", "443", "", frozenset(), _words("authtoken"), path=_NO_PATH),
    Server("amqp", "5672", "%2f", frozenset(), _AMQP, path=re.compile(r"[A-Za-z0-9_$.-]+|%2[Ff]|")),
    Server("amqps", "5671", "%2f", frozenset(), _AMQP, path=re.compile(r"[A-Za-z0-9_$.-]+|%2[Ff]|")),
)
SERVERS: Mapping[str, Server] = MappingProxyType({server.name: server for server in _ROWS})
# Other words for one server's protocol, before a driver (`+psycopg`).
_SAME = {
    "postgres": "postgresql",
    "timescaledb": "postgresql",
    "mariadb": "mysql",
    "sqlserver": "mssql",
    "clickhousedb": "clickhouse",
    "rediss": "redis",
    "valkey": "redis",
    "valkeys": "redis",
    "cockroach": "cockroachdb",
    "scylla": "cassandra",
    "hive2": "hive",
    "ibm_db_sa": "db2",
    "exa": "exasol",
    "bolt": "neo4j",
}
# Without a driver, one client of ClickHouse takes its native port and another its web port.
_DRIVER_PORTS = {"asynch": "9000", "http": "8123", "native": "9000"}


def find_server(scheme: str, driver: str) -> Server | None:
    """The server that a scheme and a driver speak to, or None where one of them is not known."""
    name = scheme.lower()
    if (name, driver) == ("mongodb", "srv"):
        return SERVERS["mongodb+srv"]
    server = SERVERS.get(_SAME.get(name, name))
    return server if server is not None and (not driver or driver in server.drivers) else None


def default_port(server: Server, driver: str) -> str:
    """The port that every client takes where none is written, or nothing."""
    return _DRIVER_PORTS.get(driver, server.port)
